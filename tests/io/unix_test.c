/* SPDX-License-Identifier: MIT */
/* Descriptors and credentials in messages: none is leaked, whatever becomes of the message. */
#include "fixture.h"

#include <sys/resource.h>
#include <sys/socket.h>

static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

enum { TYPE_COUNT = sizeof types / sizeof types[0] };

static void open_pair(int type, int pair[2])
{
    CHECK_EQUAL(weir_socketpair(AF_UNIX, type, 0, pair), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(fcntl(pair[i], F_GETFD), FD_CLOEXEC);
}

static void close_pair(const int pair[2])
{
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
}

/* As many descriptors as a message holds: they arrive in order, and work. */
static int passing_body(void *arg)
{
    (void)arg;
    for (int t = 0; t < TYPE_COUNT; t++) {
        int pair[2], ends[2], fds[WEIR_FDS_MAX], got[WEIR_FDS_MAX], fd_count = count_fds();
        unsigned count = WEIR_FDS_MAX;
        char text[4];

        open_pair(types[t], pair);
        make_pipe(ends);
        for (int i = 0; i < WEIR_FDS_MAX; i++)
            fds[i] = ends[i % 2];
        CHECK_EQUAL(weir_send_fds(pair[0], "abc", 3, fds, WEIR_FDS_MAX, WEIR_FOREVER), 3);
        CHECK_EQUAL(weir_recv_fds(pair[1], text, sizeof text, got, &count, NULL, WEIR_FOREVER), 3);
        CHECK_EQUAL(memcmp(text, "abc", 3), 0);
        if (CHECK_EQUAL(count, WEIR_FDS_MAX)) {
            CHECK_EQUAL(fcntl(got[0], F_GETFD), FD_CLOEXEC);
            CHECK_EQUAL(weir_write(got[1], "pipe", 4, WEIR_FOREVER), 4);
            CHECK_EQUAL(weir_read(got[WEIR_FDS_MAX - 1], text, 4, WEIR_FOREVER), 4);
            CHECK_EQUAL(memcmp(text, "pipe", 4), 0);
        }
        for (unsigned i = 0; i < count; i++)
            CHECK_EQUAL(weir_close(got[i]), 0);
        CHECK_EQUAL(weir_send_fds(pair[0], "d", 1, NULL, 0, WEIR_FOREVER), 1);
        count = 1;
        CHECK_EQUAL(weir_recv_fds(pair[1], text, 1, got, &count, NULL, WEIR_FOREVER), 1);
        CHECK_EQUAL(count, 0);
        close_pair(ends);
        close_pair(pair);
        CHECK_EQUAL(count_fds(), fd_count);
    }
    return 0;
}

static void test_descriptors_are_passed(void **state)
{
    (void)state;
    assert_int_equal(test_run(passing_body, NULL, &one_loop), 0);
}

/* No room for them in the call, in the process; and no call at all. */
static int refused_body(void *arg)
{
    (void)arg;
    for (int t = 0; t < TYPE_COUNT; t++) {
        int pair[2], ends[2], got[2], fd_count = count_fds(), open_count;
        struct rlimit limit, narrow;
        unsigned count = 1;
        char byte = 0;

        open_pair(types[t], pair);
        make_pipe(ends);
        open_count = count_fds();
        CHECK_EQUAL(weir_send_fds(pair[0], "a", 1, ends, 2, WEIR_FOREVER), 1);
        CHECK_EQUAL(weir_recv_fds(pair[1], &byte, 1, got, &count, NULL, WEIR_FOREVER), -EMSGSIZE);
        CHECK_EQUAL(count, 0);
        CHECK_EQUAL(byte, 'a');
        CHECK_EQUAL(count_fds(), open_count);
        CHECK_EQUAL(weir_send_fds(pair[0], "b", 1, ends, 2, WEIR_FOREVER), 1);
        CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
        got[0] =
            known(open("/dev/null", O_RDONLY | O_CLOEXEC)); /* the lowest number: one is left */
        narrow = (struct rlimit){ (rlim_t)got[0] + 1, limit.rlim_max };
        plain_close(got[0]);
        CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &narrow), 0);
        count = 2;
        CHECK_EQUAL(weir_recv_fds(pair[1], &byte, 1, got, &count, NULL, WEIR_FOREVER), -EMFILE);
        CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
        CHECK_EQUAL(count, 0);
        CHECK_EQUAL(byte, 'b');
        CHECK_EQUAL(count_fds(), open_count);
        CHECK_EQUAL(weir_send_fds(pair[0], "c", 1, ends, 2, WEIR_FOREVER), 1); /* never received */
        close_pair(pair);
        close_pair(ends);
        CHECK_EQUAL(count_fds(), fd_count);
    }
    return 0;
}

static void test_refused_descriptors_are_closed(void **state)
{
    (void)state;
    assert_int_equal(test_run(refused_body, NULL, &one_loop), 0);
}

static int64_t recv_call(void *arg, int64_t deadline_ns)
{
    unsigned count = 1;
    int got;
    char byte;

    return weir_recv_fds(*(int *)arg, &byte, 1, &got, &count, NULL, deadline_ns);
}

static int64_t send_descriptors(void *arg, int64_t deadline_ns)
{
    long rounds = test_rounds(1000, 100000, 1000000);
    int fd = known(open("/dev/null", O_RDONLY | O_CLOEXEC));

    for (long i = 0; i < rounds; i++) {
        char byte = (char)i;

        CHECK_EQUAL(weir_send_fds(*(int *)arg, &byte, 1, &fd, 1, deadline_ns), 1);
        if (i % 4 == 0)
            CHECK_EQUAL(weir_sleep(weir_in_us(i % 50)), 0);
    }
    CHECK_EQUAL(weir_close(fd), 0);
    return rounds;
}

/* Deadlines race with arrivals: each descriptor comes with its byte, or is still in the kernel. */
static int race_body(void *arg)
{
    long rounds = test_rounds(1000, 100000, 1000000), next = 0;
    int pair[2];
    struct call call = call_of(send_descriptors, &pair[1]);

    (void)arg;
    open_pair(SOCK_SEQPACKET, pair);
    call.loop_index = 1;
    call_start(&call);
    for (long i = 0; next < rounds; i++) {
        unsigned count = 1;
        char byte;
        int fd;
        ssize_t got = weir_recv_fds(pair[0], &byte, 1, &fd, &count, NULL,
                                    i % 7 ? weir_in_us(i % 40 + 1) : WEIR_NOW);

        CHECK(got == 1 || got == -ETIME || got == -EAGAIN);
        if (got == -EAGAIN)
            CHECK_EQUAL(weir_yield(), 0);
        if (got != 1)
            continue;
        CHECK_EQUAL(byte, (char)next++);
        if (CHECK_EQUAL(count, 1))
            CHECK_EQUAL(weir_close(fd), 0);
    }
    CHECK_EQUAL(call_finish(&call), rounds);
    call = call_of(recv_call, &pair[0]);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    close_pair(pair);
    return 0;
}

static void test_races_leak_nothing(void **state)
{
    int fd_count = count_fds();

    (void)state;
    assert_int_equal(test_run(race_body, NULL, &two_loops), 0);
    assert_int_equal(count_fds(), fd_count);
}

static int credentials_body(void *arg)
{
    (void)arg;
    for (int t = 0; t < TYPE_COUNT; t++) {
        int pair[2], got;
        struct weir_credentials who = { 0 };
        unsigned count = 1;
        char byte;

        open_pair(types[t], pair);
        CHECK_EQUAL(weir_send_fds(pair[0], "a", 1, NULL, 0, WEIR_FOREVER), 1);
        CHECK_EQUAL(weir_recv_fds(pair[1], &byte, 1, &got, &count, &who, WEIR_FOREVER), 1);
        CHECK_EQUAL(who.pid, -1);
        CHECK_EQUAL(weir_socket_set(pair[1], WEIR_SOCKET_PASS_CREDENTIALS, 1), 0);
        count = 1;
        CHECK_EQUAL(weir_send_fds(pair[0], "b", 1, &pair[0], 1, WEIR_FOREVER), 1);
        CHECK_EQUAL(weir_recv_fds(pair[1], &byte, 1, &got, &count, &who, WEIR_FOREVER), 1);
        CHECK_EQUAL(who.pid, getpid());
        CHECK_EQUAL(who.uid, getuid());
        CHECK_EQUAL(who.gid, getgid());
        if (CHECK_EQUAL(count, 1))
            CHECK_EQUAL(weir_close(got), 0);
        memset(&who, 0, sizeof who);
        CHECK_EQUAL(weir_peer_credentials(pair[1], &who), 0);
        CHECK_EQUAL(who.pid, getpid());
        close_pair(pair);
    }
    return 0;
}

static void test_credentials(void **state)
{
    (void)state;
    assert_int_equal(test_run(credentials_body, NULL, &one_loop), 0);
}

/* Messages keep their bounds, and the end is seen where there is one. */
static int kinds_body(void *arg)
{
    (void)arg;
    for (int t = 0; t < TYPE_COUNT; t++) {
        int pair[2];
        char text[8];

        open_pair(types[t], pair);
        CHECK_EQUAL(weir_send(pair[0], "abc", 3, 0, WEIR_FOREVER), 3);
        CHECK_EQUAL(weir_send(pair[0], "de", 2, 0, WEIR_FOREVER), 2);
        CHECK_EQUAL(weir_recv(pair[1], text, sizeof text, 0, WEIR_FOREVER),
                    types[t] == SOCK_STREAM ? 5 : 3);
        if (types[t] != SOCK_STREAM)
            CHECK_EQUAL(weir_recv(pair[1], text, 1, MSG_TRUNC, WEIR_FOREVER), 2);
        CHECK_EQUAL(weir_recv(pair[1], text, sizeof text, 0, weir_in_ms(1)), -ETIME);
        CHECK_EQUAL(weir_close(pair[0]), 0);
        if (types[t] != SOCK_DGRAM)
            CHECK_EQUAL(weir_recv(pair[1], text, sizeof text, 0, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_close(pair[1]), 0);
    }
    return 0;
}

static void test_each_kind(void **state)
{
    (void)state;
    assert_int_equal(test_run(kinds_body, NULL, &one_loop), 0);
}

static int refusals_body(void *arg)
{
    int pair[2], got, gone, file = memory_file();
    struct weir_credentials who;
    unsigned count = 1, none = 0;
    char byte;

    (void)arg;
    open_pair(SOCK_STREAM, pair);
    gone = known(dup(file));
    plain_close(gone);
    CHECK_EQUAL(weir_socketpair(AF_UNIX, SOCK_STREAM, 0, NULL), -EINVAL);
    CHECK_EQUAL(weir_send_fds(pair[0], "a", 0, &file, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_send_fds(pair[0], NULL, 1, &file, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_send_fds(pair[0], "a", 1, NULL, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_send_fds(pair[0], "a", 1, &file, WEIR_FDS_MAX + 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_send_fds(pair[0], "a", 1, &gone, 1, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(weir_send_fds(file, "a", 1, &file, 1, WEIR_FOREVER), -ENOTSOCK);
    CHECK_EQUAL(weir_recv_fds(pair[1], NULL, 1, &got, &count, NULL, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_recv_fds(pair[1], &byte, 1, NULL, &count, NULL, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_recv_fds(pair[1], &byte, 1, &got, NULL, NULL, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_recv_fds(pair[1], &byte, 1, NULL, &none, NULL, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_recv_fds(file, &byte, 1, &got, &count, NULL, WEIR_NOW), -ENOTSOCK);
    CHECK_EQUAL(weir_peer_credentials(pair[0], NULL), -EINVAL);
    CHECK_EQUAL(weir_peer_credentials(file, &who), -ENOTSOCK);
    CHECK_EQUAL(weir_peer_credentials(-1, &who), -EBADF);
    CHECK_EQUAL(weir_close(file), 0);
    close_pair(pair);
    return 0;
}

static void test_refusals(void **state)
{
    int pair[2];

    (void)state;
    assert_int_equal(test_run(refusals_body, NULL, &one_loop), 0);
    assert_int_equal(weir_socketpair(AF_UNIX, SOCK_STREAM, 0, pair), -ENXIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors_are_passed),
        cmocka_unit_test(test_refused_descriptors_are_closed),
        cmocka_unit_test(test_races_leak_nothing),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_each_kind),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
