/* SPDX-License-Identifier: MIT */
/*
 * Fork and exec with operations in flight. What the parent waits for stays its own; what a process
 * waits for when it becomes another program ends with it, and takes no byte along.
 */
#include "fixture.h"

#include <spawn.h>
#include <sys/wait.h>

enum { RECEIVERS = 16 };

extern char **environ;

static int64_t recv_call(void *arg, int64_t deadline_ns)
{
    char byte;

    return weir_recv(*(int *)arg, &byte, 1, 0, deadline_ns);
}

/* --- this process becomes another ------------------------------------------------------------- */

static int exec_body(void *arg)
{
    int *pair = arg;
    struct call calls[RECEIVERS];

    for (size_t i = 0; i < RECEIVERS; i++) {
        calls[i] = call_of(recv_call, &pair[0]);
        call_start(&calls[i]);
    }
    weir__sched_settle();
    execl("/bin/true", "true", (char *)NULL);
    return 1;
}

static void become_another(void *arg)
{
    _exit(weir_run(exec_body, arg, &two_loops) == 0 ? 1 : 2);
}

static void test_exec_with_calls_in_flight(void **state)
{
    char output[1024], byte = 0;
    int pair[2];

    (void)state;
    make_pair(pair);
    assert_int_equal(test_fork(become_another, pair, output, sizeof output), 0);
    assert_int_equal(send(pair[1], "x", 1, 0), 1);
    assert_int_equal(recv(pair[0], &byte, 1, MSG_DONTWAIT), 1); /* nobody else has taken it */
    assert_int_equal(byte, 'x');
    plain_close(pair[0]);
    plain_close(pair[1]);
    test_carry_out();
}

/* --- this process starts others --------------------------------------------------------------- */

static void start_true(void)
{
    char *arguments[] = { (char *)"true", NULL };
    int status = -1;
    pid_t child;

    CHECK_EQUAL(posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ), 0);
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
}

static void fork_and_leave(void)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        char byte;

        _exit(weir_recv(0, &byte, 1, 0, WEIR_NOW) == -EOWNERDEAD ? 0 : 3);
    }
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
}

/* What waits on the ring goes on as if nothing was. */
static int children_body(void *arg)
{
    long rounds = test_rounds(5, 200, 2000);
    int pair[2];

    (void)arg;
    make_pair(pair);
    for (long i = 0; i < rounds; i++) {
        struct call call = call_of(recv_call, &pair[0]);

        call_start(&call);
        weir__sched_settle();
        start_true();
        fork_and_leave();
        CHECK_EQUAL(call.result, 0);
        CHECK_EQUAL(weir_send(pair[1], "x", 1, 0, WEIR_FOREVER), 1);
        CHECK_EQUAL(call_finish(&call), 1);
    }
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_children_with_calls_in_flight(void **state)
{
    int fd_count = count_fds();

    (void)state;
    assert_int_equal(test_run(children_body, NULL, &one_loop), 0);
    assert_int_equal(count_fds(), fd_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec_with_calls_in_flight),
        cmocka_unit_test(test_children_with_calls_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
