/* SPDX-License-Identifier: MIT */
/* Closing: what is in flight ends first, no byte is stolen, and it runs where it cannot block. */
#include "fixture.h"

static int64_t recv_call(void *arg, int64_t deadline_ns)
{
    char byte;

    return weir_recv(*(int *)arg, &byte, 1, 0, deadline_ns);
}

static int64_t send_call(void *arg, int64_t deadline_ns)
{
    return weir_send(*(int *)arg, "x", 1, 0, deadline_ns);
}

static int64_t poll_call(void *arg, int64_t deadline_ns)
{
    return weir_poll(*(int *)arg, POLLIN, deadline_ns);
}

static int64_t fsync_call(void *arg, int64_t deadline_ns)
{
    return weir_fsync(*(int *)arg, deadline_ns);
}

static int64_t close_call(void *arg, int64_t deadline_ns)
{
    (void)deadline_ns;
    return weir_close(*(int *)arg);
}

/* --- what is in flight ------------------------------------------------------------------------ */

static int pending_body(void *arg)
{
    int pair[2];
    struct call calls[] = {
        call_of(recv_call, &pair[0]),
        call_of(recv_call, &pair[0]),
        call_of(send_call, &pair[0]),
        call_of(poll_call, &pair[0]),
    };

    (void)arg;
    make_pair(pair);
    fill_socket(pair[0]);
    for (size_t i = 0; i < 4; i++)
        call_start(&calls[i]);
    weir__sched_settle();
    CHECK_EQUAL(weir_close(pair[0]), 0);
    for (size_t i = 0; i < 4; i++)
        CHECK_EQUAL(call_finish(&calls[i]), -EBADF);
    CHECK_EQUAL(weir_recv(pair[0], pair, 1, 0, WEIR_NOW), -EBADF);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    CHECK_EQUAL(weir_close(pair[1]), -EBADF);
    CHECK_EQUAL(weir_close(-1), -EBADF);
    return 0;
}

static void test_pending_calls_end(void **state)
{
    (void)state;
    assert_int_equal(test_run(pending_body, NULL, &one_loop), 0);
}

/* A plain close(2) would leave the receive in the kernel, where it eats the peer's next byte, or
 * that of whoever has the number then. The duplicate keeps the socket alive to see it. */
static int steal_body(void *arg)
{
    int pair[2], again[2], duplicate;
    struct call call = call_of(recv_call, &pair[0]);
    char byte = 0;

    (void)arg;
    make_pair(pair);
    duplicate = known(fcntl(pair[0], F_DUPFD_CLOEXEC, 0));
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(call_finish(&call), -EBADF);
    make_pair(again);
    CHECK_EQUAL(again[0], pair[0]); /* the number is reused */
    CHECK_EQUAL(weir_send(pair[1], "a", 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_send(again[1], "b", 1, 0, WEIR_FOREVER), 1);
    weir__sched_settle();
    CHECK_EQUAL(weir_recv(duplicate, &byte, 1, 0, WEIR_NOW), 1);
    CHECK_EQUAL(byte, 'a');
    CHECK_EQUAL(weir_recv(again[0], &byte, 1, 0, WEIR_NOW), 1);
    CHECK_EQUAL(byte, 'b');
    CHECK_EQUAL(weir_close(duplicate), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    CHECK_EQUAL(weir_close(again[0]), 0);
    CHECK_EQUAL(weir_close(again[1]), 0);
    return 0;
}

static void test_no_byte_is_stolen(void **state)
{
    (void)state;
    assert_int_equal(test_run(steal_body, NULL, &one_loop), 0);
}

/* A queued job ends too; and while a close waits for its turn, nobody else begins. */
static int queued_body(void *arg)
{
    int fd = plain_open("file", O_CREAT | O_RDWR);
    struct call holder, queued = call_of(fsync_call, &fd), closer = call_of(close_call, &fd);

    (void)arg;
    CHECK_EQUAL(weir_fsync(fd, WEIR_FOREVER), 0);
    hold_pool(&holder);
    call_start(&queued);
    weir__sched_settle();
    call_start(&closer);
    weir__sched_settle();
    CHECK_EQUAL(call_finish(&queued), -EBADF);
    CHECK_EQUAL(weir_fsync(fd, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(weir_close(fd), -EBADF);
    CHECK(fcntl(fd, F_GETFD) >= 0); /* not closed yet */
    let_pool_go(&holder);
    CHECK_EQUAL(call_finish(&closer), 0);
    CHECK_EQUAL(fcntl(fd, F_GETFD), -1);
    return 0;
}

static void test_queued_jobs_end(void **state)
{
    (void)state;
    assert_int_equal(test_run(queued_body, NULL, &one_thread), 0);
}

static int64_t read_call(void *arg, int64_t deadline_ns)
{
    static char block[BLOCK_BYTES] __attribute__((aligned(BLOCK_BYTES)));

    return weir_pread(*(int *)arg, block, sizeof block, 0, deadline_ns);
}

/* One that waits for its credit ends without it. */
static int credit_body(void *arg)
{
    struct weir__credits *credits = &weir__loop_current->io->credits[WEIR__CLASS_DISK_READ];
    int fd = known(open("file", O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0600));
    struct call call = call_of(read_call, &fd);
    bool usable;

    (void)arg;
    CHECK_EQUAL(weir_fsync(fd, WEIR_FOREVER), 0);
    usable = weir__descriptor_kind(fd) == WEIR__FD_DIRECT;
    if (usable) {
        CHECK_EQUAL(weir__credits_take(credits, WEIR_FOREVER), 0);
        call_start(&call);
        weir__sched_settle();
        CHECK_EQUAL(weir_close(fd), 0);
        CHECK_EQUAL(call_finish(&call), -EBADF);
        weir__credits_give(credits);
    } else {
        CHECK_EQUAL(weir_close(fd), 0);
    }
    return usable ? 0 : NO_SUCH_DISK;
}

static void test_one_without_a_credit_ends(void **state)
{
    const struct weir_options options = { .loop_count = 1, .submission_limit = 1 };

    (void)state;
    if (test_run(credit_body, NULL, &options) == NO_SUCH_DISK)
        skip();
}

/* --- loops ------------------------------------------------------------------------------------ */

static int busy_body(void *arg)
{
    int pair[2];
    struct call call = call_of(recv_call, &pair[0]);

    (void)arg;
    make_pair(pair);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(run_on_loop(1, close_call, &pair[0]), -EBUSY);
    CHECK_EQUAL(weir_send(pair[1], "x", 1, 0, WEIR_FOREVER), 1); /* nothing was closed */
    CHECK_EQUAL(call_finish(&call), 1);
    CHECK_EQUAL(run_on_loop(1, close_call, &pair[0]), 0); /* idle: any loop may */
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_busy_on_another_loop(void **state)
{
    (void)state;
    assert_int_equal(test_run(busy_body, NULL, &two_loops), 0);
}

/* Loops open and close the same numbers all the time; none is confused with another. */
static int64_t churn_call(void *arg, int64_t deadline_ns)
{
    long rounds = test_rounds(300, 5000, 100000);

    for (long i = 0; i < rounds; i++) {
        int fds[2] = { weir_listen_at("127.0.0.1:0", NULL), weir_socket(AF_INET, SOCK_STREAM, 0) };
        struct sockaddr_storage address;
        socklen_t bytes = sizeof address;
        char byte = 0;
        int fd;

        CHECK_EQUAL(getsockname(fds[0], (struct sockaddr *)&address, &bytes), 0);
        CHECK_EQUAL(weir_connect(fds[1], (struct sockaddr *)&address, bytes, deadline_ns), 0);
        fd = weir_accept(fds[0], NULL, NULL, 0, deadline_ns);
        CHECK_EQUAL(weir_send(fd, "x", 1, 0, deadline_ns), 1);
        CHECK_EQUAL(weir_recv(fds[1], &byte, 1, 0, deadline_ns), 1);
        CHECK_EQUAL(weir_close(fd), 0);
        CHECK_EQUAL(weir_close(fds[0]), 0);
        CHECK_EQUAL(weir_close(fds[1]), 0);
    }
    (void)arg;
    return 0;
}

static int churn_body(void *arg)
{
    struct call call = call_of(churn_call, arg);

    call.loop_index = 1;
    call_start(&call);
    CHECK_EQUAL(churn_call(arg, WEIR_FOREVER), 0);
    CHECK_EQUAL(call_finish(&call), 0);
    return 0;
}

static void test_reused_numbers(void **state)
{
    int fd_count = count_fds();

    (void)state;
    assert_int_equal(test_run(churn_body, NULL, &two_loops), 0);
    assert_int_equal(count_fds(), fd_count);
}

/* --- where it runs ---------------------------------------------------------------------------- */

static void check_route(int fd, enum weir__route route)
{
    long long before = routed(WEIR__OP_ID_CLOSE, route);

    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(routed(WEIR__OP_ID_CLOSE, route) - before, 1);
    CHECK_EQUAL(fcntl(fd, F_GETFD), -1);
}

static int route_body(void *arg)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 1 };
    struct sockaddr_in address;
    int pair[2];

    (void)arg;
    make_pair(pair);
    check_route(pair[0], WEIR__ROUTE_INLINE);
    check_route(pair[1], WEIR__ROUTE_INLINE);
    CHECK_EQUAL(pipe2(pair, O_CLOEXEC), 0);
    check_route(known(pair[0]), WEIR__ROUTE_INLINE);
    check_route(known(pair[1]), WEIR__ROUTE_INLINE);
    pair[0] = loopback_socket(1, &address);
    pair[1] = plain_connect(&address);
    CHECK_EQUAL(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    check_route(pair[1], WEIR__ROUTE_POOL);
    check_route(pair[0], WEIR__ROUTE_INLINE);
    check_route(plain_open("file", O_CREAT | O_RDWR), WEIR__ROUTE_POOL);
    check_route(plain_open(".", O_RDONLY | O_DIRECTORY), WEIR__ROUTE_POOL);
    return 0;
}

static void test_where_a_close_runs(void **state)
{
    (void)state;
    assert_int_equal(test_run(route_body, NULL, &one_loop), 0);
}

/* --- release ---------------------------------------------------------------------------------- */

static int64_t cancelled_close(void *arg, int64_t deadline_ns)
{
    (void)deadline_ns;
    while (weir_yield() == 0)
        ;
    CHECK_EQUAL(weir_recv(*(int *)arg, &deadline_ns, 1, 0, WEIR_FOREVER), -ECANCELED);
    return weir_close(*(int *)arg);
}

static int release_body(void *arg)
{
    int pair[2];
    struct call call = call_of(cancelled_close, &pair[0]);

    (void)arg;
    make_pair(pair);
    call_start(&call);
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), 0);
    CHECK_EQUAL(fcntl(pair[0], F_GETFD), -1);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_a_cancelled_task_closes(void **state)
{
    (void)state;
    assert_int_equal(test_run(release_body, NULL, &one_loop), 0);
}

/* close(2), then weir_forget: the number's next life starts anew, with a kind of its own. */
static int forget_body(void *arg)
{
    int fd = plain_open("file", O_CREAT | O_RDWR), pair[2];
    char byte;

    (void)arg;
    CHECK_EQUAL(weir_fsync(fd, WEIR_FOREVER), 0);
    CHECK(weir__descriptor_kind(fd) != WEIR__FD_UNKNOWN);
    CHECK_EQUAL(close(fd), 0);
    weir_forget(fd);
    CHECK_EQUAL(pipe2(pair, O_CLOEXEC), 0);
    CHECK_EQUAL(pair[0], fd);
    CHECK_EQUAL(weir_pread(fd, &byte, 1, 0, WEIR_FOREVER), -ESPIPE);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    weir_forget(-1);
    weir_forget(1 << 30);
    return 0;
}

static void test_forget(void **state)
{
    (void)state;
    assert_int_equal(test_run(forget_body, NULL, &one_loop), 0);
    assert_int_equal(weir_close(0), -ENXIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_pending_calls_end),
        IN_FOLDER(test_no_byte_is_stolen),
        IN_FOLDER(test_queued_jobs_end),
        IN_FOLDER(test_one_without_a_credit_ends),
        IN_FOLDER(test_busy_on_another_loop),
        IN_FOLDER(test_reused_numbers),
        IN_FOLDER(test_where_a_close_runs),
        IN_FOLDER(test_a_cancelled_task_closes),
        IN_FOLDER(test_forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
