/* SPDX-License-Identifier: MIT */
/*
 * The contract of a call that ends early: the effect happened if and only if the call says so. One
 * test for each way in which that broke, or could have.
 */
#include "fixture.h"

#include "io/socket.h"

enum { PART_BYTES = 10, WHOLE_BYTES = 100, FLOOD_BYTES = 8 * 1024 * 1024 };

/* A call on the whole of something, of which a part gets done. */
struct whole {
    int fd;
    char *bytes;
    size_t byte_count;
    size_t done_bytes;
};

static int64_t recv_whole(void *arg, int64_t deadline_ns)
{
    struct whole *whole = arg;

    whole->done_bytes = SIZE_MAX;
    return weir_recv_all(whole->fd, whole->bytes, whole->byte_count, 0, &whole->done_bytes,
                         deadline_ns);
}

static int64_t send_whole(void *arg, int64_t deadline_ns)
{
    struct whole *whole = arg;

    whole->done_bytes = SIZE_MAX;
    return weir_send_all(whole->fd, whole->bytes, whole->byte_count, 0, &whole->done_bytes,
                         deadline_ns);
}

static int64_t close_call(void *arg, int64_t deadline_ns)
{
    (void)deadline_ns;
    return weir_close(*(int *)arg);
}

static int64_t recv_call(void *arg, int64_t deadline_ns)
{
    char byte;

    return weir_recv(*(int *)arg, &byte, 1, 0, deadline_ns);
}

/* Two TCP sockets that talk to each other, by plain calls. */
static void make_connection(int ends[2])
{
    struct sockaddr_in address;
    int listener = loopback_socket(1, &address);

    ends[0] = plain_connect(&address);
    ends[1] = known(accept(listener, NULL, NULL));
    plain_close(listener);
}

/* --- what was done before the end ------------------------------------------------------------- */

/* With MSG_WAITALL the kernel returned the bytes, lost the reset, and went on with an end. */
static int reset_body(void *arg)
{
    struct linger at_once = { .l_onoff = 1 };
    char bytes[WHOLE_BYTES];
    struct whole whole = { .bytes = bytes, .byte_count = sizeof bytes };
    struct call call = call_of(recv_whole, &whole);
    int ends[2];

    (void)arg;
    make_connection(ends);
    whole.fd = ends[1];
    CHECK_EQUAL(send(ends[0], bytes, PART_BYTES, 0), PART_BYTES);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    plain_close(ends[0]);
    CHECK_EQUAL(call_finish(&call), -ECONNRESET);
    CHECK_EQUAL(whole.done_bytes, PART_BYTES);
    CHECK_EQUAL(weir_close(ends[1]), 0);
    return 0;
}

static void test_a_reset_is_no_end(void **state)
{
    (void)state;
    assert_int_equal(test_run(reset_body, NULL, &one_loop), 0);
}

static int count_received_body(void *arg)
{
    char bytes[WHOLE_BYTES] = { 0 };
    struct whole whole = { .bytes = bytes, .byte_count = sizeof bytes };
    struct call call = call_of(recv_whole, &whole);
    int pair[2];

    (void)arg;
    make_pair(pair);
    whole.fd = pair[1];
    CHECK_EQUAL(send(pair[0], bytes, PART_BYTES, 0), PART_BYTES);
    CHECK_EQUAL(recv_whole(&whole, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(whole.done_bytes, PART_BYTES);
    CHECK_EQUAL(recv_whole(&whole, weir_now_ns()), -ETIME);
    CHECK_EQUAL(whole.done_bytes, 0);
    CHECK_EQUAL(send(pair[0], bytes, PART_BYTES, 0), PART_BYTES);
    CHECK_EQUAL(recv_whole(&whole, weir_in_ms(2)), -ETIME);
    CHECK_EQUAL(whole.done_bytes, PART_BYTES);
    CHECK_EQUAL(send(pair[0], bytes, PART_BYTES, 0), PART_BYTES);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    CHECK_EQUAL(whole.done_bytes, PART_BYTES);
    CHECK_EQUAL(weir_recv_all(-1, bytes, 1, 0, &whole.done_bytes, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(whole.done_bytes, 0);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_received_before_an_error_is_counted(void **state)
{
    (void)state;
    assert_int_equal(test_run(count_received_body, NULL, &one_loop), 0);
}

/* Everything that is in a socket. */
static size_t drain_socket(int fd)
{
    static char bytes[BLOCK_BYTES * 16];
    size_t sum = 0;
    ssize_t got;

    while ((got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        sum += (size_t)got;
    return sum;
}

static int count_sent_body(void *arg)
{
    struct whole whole = { .bytes = calloc(1, FLOOD_BYTES), .byte_count = FLOOD_BYTES };
    struct call call = call_of(send_whole, &whole);
    int pair[2];

    (void)arg;
    make_pair(pair);
    whole.fd = pair[0];
    CHECK_EQUAL(send_whole(&whole, WEIR_NOW), -EAGAIN);
    CHECK(whole.done_bytes > 0);
    CHECK_EQUAL(drain_socket(pair[1]), whole.done_bytes);
    CHECK_EQUAL(send_whole(&whole, weir_in_ms(2)), -ETIME);
    CHECK(whole.done_bytes > 0);
    CHECK_EQUAL(drain_socket(pair[1]), whole.done_bytes);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    CHECK(whole.done_bytes > 0);
    CHECK_EQUAL(drain_socket(pair[1]), whole.done_bytes);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    CHECK_EQUAL(send_whole(&whole, WEIR_FOREVER), -EPIPE);
    CHECK_EQUAL(whole.done_bytes, 0);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    free(whole.bytes);
    return 0;
}

static void test_sent_before_an_error_is_counted(void **state)
{
    (void)state;
    assert_int_equal(test_run(count_sent_body, NULL, &one_loop), 0);
}

/* --- connect ---------------------------------------------------------------------------------- */

/* The kernel went on connecting after the deadline: the peer accepted what the caller had given
 * up, and a second connect was refused with -EALREADY. */
static int connect_body(void *arg)
{
    struct sockaddr_in address, peer;
    int listener = loopback_socket(0, &address);
    int first = plain_connect(&address);
    int fd = known(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    socklen_t bytes = sizeof peer;

    (void)arg;
    CHECK_EQUAL(weir_connect(fd, (struct sockaddr *)&address, sizeof address, weir_in_ms(2)),
                -ETIME);
    CHECK_EQUAL(weir_connect(fd, (struct sockaddr *)&address, sizeof address, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(getpeername(fd, (struct sockaddr *)&peer, &bytes), -1);
    plain_close(known(accept(listener, NULL, NULL)));
    CHECK_EQUAL(weir_connect(fd, (struct sockaddr *)&address, sizeof address, WEIR_FOREVER), 0);
    plain_close(known(accept(listener, NULL, NULL)));
    plain_close(first);
    CHECK_EQUAL(weir_close(fd), 0);
    plain_close(listener);
    return 0;
}

static void test_a_connect_is_taken_back(void **state)
{
    (void)state;
    assert_int_equal(test_run(connect_body, NULL, &one_loop), 0);
}

/* The outcome that came before the cancel did counts. */
static void test_a_connect_is_found_done(void **state)
{
    struct sockaddr_in address, refusing;
    int listener = loopback_socket(1, &address);
    int closed = loopback_socket(-1, &refusing);
    struct weir__op op = { .address = &address, .length = sizeof address, .reason = -ETIME };

    (void)state;
    op.fd = plain_connect(&address);
    assert_int_equal(weir__socket_settle_connect(&op), 0);
    plain_close(op.fd);
    op.fd = known(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    op.address = &refusing;
    connect(op.fd, (struct sockaddr *)&refusing, sizeof refusing); /* refused, and not yet told */
    assert_int_equal(weir__socket_settle_connect(&op), -ECONNREFUSED);
    plain_close(op.fd);
    plain_close(closed);
    plain_close(listener);
    test_carry_out();
}

/* --- close ------------------------------------------------------------------------------------ */

static int64_t create_call(void *arg, int64_t deadline_ns)
{
    return weir_openat(*(int *)arg, "made", O_CREAT | O_RDWR, 0600, deadline_ns);
}

static int64_t rename_call(void *arg, int64_t deadline_ns)
{
    return weir_renameat(AT_FDCWD, "file", *(int *)arg, "moved", 0, deadline_ns);
}

/* A path that begins at a folder took its number to the pool; closed meanwhile, the number could
 * stand for another folder when its turn came. */
static int folder_body(void *arg)
{
    int folders[2] = { plain_open(".", O_RDONLY | O_DIRECTORY),
                       plain_open(".", O_RDONLY | O_DIRECTORY) };
    struct call opening = call_of(create_call, &folders[0]);
    struct call renaming = call_of(rename_call, &folders[1]);
    struct call closers[2] = { call_of(close_call, &folders[0]), call_of(close_call, &folders[1]) };
    struct call holder;

    (void)arg;
    plain_close(plain_open("file", O_CREAT | O_RDWR));
    hold_pool(&holder);
    call_start(&opening);
    call_start(&renaming);
    weir__sched_settle();
    call_start(&closers[0]);
    call_start(&closers[1]);
    CHECK_EQUAL(call_finish(&opening), -EBADF);
    CHECK_EQUAL(call_finish(&renaming), -EBADF);
    let_pool_go(&holder);
    CHECK_EQUAL(call_finish(&closers[0]), 0);
    CHECK_EQUAL(call_finish(&closers[1]), 0);
    CHECK_EQUAL(access("made", F_OK), -1);
    CHECK_EQUAL(access("moved", F_OK), -1);
    return 0;
}

static void test_a_folder_is_held_by_its_paths(void **state)
{
    (void)state;
    assert_int_equal(test_run(folder_body, NULL, &one_thread), 0);
}

/* Between the first and its system call others of the loop ran: a second close passed too, on a
 * number that could be another's by then. */
static int twice_body(void *arg)
{
    int pair[2];
    struct call closers[2] = { call_of(close_call, &pair[0]), call_of(close_call, &pair[0]) };
    struct call receiver = call_of(recv_call, &pair[0]);
    int64_t results[2];

    (void)arg;
    make_pair(pair);
    call_start(&receiver);
    weir__sched_settle();
    call_start(&closers[0]);
    call_start(&closers[1]);
    CHECK_EQUAL(call_finish(&receiver), -EBADF);
    results[0] = call_finish(&closers[0]);
    results[1] = call_finish(&closers[1]);
    CHECK_EQUAL(results[0] + results[1], -EBADF);
    CHECK(results[0] == 0 || results[1] == 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_two_closes_of_one(void **state)
{
    (void)state;
    assert_int_equal(test_run(twice_body, NULL, &one_loop), 0);
}

/* The count of the number's new life went below zero, and the number was closed for ever. */
static int forget_body(void *arg)
{
    int pair[2];
    struct call receiver = call_of(recv_call, &pair[0]);

    (void)arg;
    make_pair(pair);
    call_start(&receiver);
    weir__sched_settle();
    weir_forget(pair[0]);
    CHECK_EQUAL(send(pair[1], "ab", 2, 0), 2);
    CHECK_EQUAL(call_finish(&receiver), 1);
    CHECK_EQUAL(recv_call(&pair[0], WEIR_NOW), 1);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_forgotten_while_busy(void **state)
{
    (void)state;
    assert_int_equal(test_run(forget_body, NULL, &one_loop), 0);
}

/* --- what the kernel's flag hides ------------------------------------------------------------- */

static int yield_until(void *arg)
{
    const struct call *call = arg;
    long yields = 0;

    while (call->result == 0 && yields++ < 100000)
        CHECK_EQUAL(weir_yield(), 0);
    return 0;
}

/* With the flag stale, a loop that always had somebody ready never looked for completions. */
static int stale_body(void *arg)
{
    int pair[2];
    struct call receiver = call_of(recv_call, &pair[0]);
    struct weir_scope *scope;

    (void)arg;
    make_pair(pair);
    call_start(&receiver);
    weir__sched_settle();
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, yield_until, &receiver, NULL), 0);
    CHECK_EQUAL(send(pair[1], "x", 1, 0), 1);
    weir__loop_current->ring.stale_flags = IORING_SQ_TASKRUN;
    CHECK_EQUAL(yield_until(&receiver), 0);
    CHECK_EQUAL(receiver.result, 1);
    CHECK_EQUAL(call_finish(&receiver), 1);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_a_stale_flag_starves_nobody(void **state)
{
    (void)state;
    assert_int_equal(test_run(stale_body, NULL, &one_loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reset_is_no_end),
        cmocka_unit_test(test_received_before_an_error_is_counted),
        cmocka_unit_test(test_sent_before_an_error_is_counted),
        cmocka_unit_test(test_a_connect_is_taken_back),
        cmocka_unit_test(test_a_connect_is_found_done),
        IN_FOLDER(test_a_folder_is_held_by_its_paths),
        cmocka_unit_test(test_two_closes_of_one),
        cmocka_unit_test(test_forgotten_while_busy),
        cmocka_unit_test(test_a_stale_flag_starves_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
