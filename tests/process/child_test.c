/* SPDX-License-Identifier: MIT */
/* Child processes: what they get, how they end, and that none is left. */
#include "fixture.h"

enum { NO_FD = 1000 };

static const struct weir_child_options plain;

/* --- Exit statuses --- */

static int status_of(const char *script)
{
    struct weir_scope *scope = make_scope(WEIR_SCOPE_FAIL_FAST);
    struct weir_child *child = start_shell(scope, script, plain);
    int status = -1;

    CHECK(weir_child_pid(child) > 0);
    CHECK_EQUAL(weir_child_wait(child, &status, weir_in_ms(20000)), 0);
    CHECK_EQUAL(weir_child_kill(child, SIGTERM), -ESRCH);
    weir_child_release(child);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return status;
}

static int exits(void *arg)
{
    int status = status_of("exit 0");

    (void)arg;
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    status = status_of("exit 255");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 255);
    status = status_of("kill -TERM $$");
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK(!WCOREDUMP(status));
    status = status_of("kill -KILL $$");
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return 0;
}

static void test_statuses_are_exact(void **state)
{
    (void)state;
    run_clean(exits, &one_loop);
}

/* --- Starts that fail --- */

static int spawn_error(const char *program, const char *directory, int fd)
{
    const char *const argv[] = { program, NULL };
    struct weir_child_options options = { .argv = argv, .directory = directory };
    struct weir_scope *scope = make_scope(WEIR_SCOPE_FAIL_FAST);
    struct weir_child *child = NULL;
    int error;

    options.output = (struct weir_child_io){ WEIR_CHILD_PIPE, 0 };
    options.fds = &fd;
    options.fd_count = fd != 0;
    error = weir_child_spawn(&child, scope, &options, WEIR_FOREVER);
    CHECK(child == NULL);
    CHECK(strstr(weir_last_error(), program) != NULL);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return error;
}

static int fail_to_start(void *arg)
{
    (void)arg;
    CHECK_EQUAL(spawn_error("/no/such/program", NULL, 0), -ENOENT);
    CHECK_EQUAL(spawn_error("no-such-program-in-the-path", NULL, 0), -ENOENT);
    CHECK_EQUAL(spawn_error("/etc/passwd", NULL, 0), -EACCES);
    CHECK_EQUAL(spawn_error("sh", "/no/such/directory", 0), -ENOENT);
    CHECK_EQUAL(spawn_error("sh", "/etc/passwd", 0), -ENOTDIR);
    CHECK_EQUAL(spawn_error("sh", NULL, NO_FD), -EBADF);
    return 0;
}

static void test_a_start_that_fails_says_why_and_leaves_nothing(void **state)
{
    (void)state;
    run_clean(fail_to_start, &one_loop);
}

static int spawn_bad(struct weir_child_options options, bool with_handle)
{
    struct weir_scope *scope = make_scope(WEIR_SCOPE_FAIL_FAST);
    struct weir_child *child;
    int error = weir_child_spawn(with_handle ? &child : NULL, scope, &options, WEIR_FOREVER);

    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return error;
}

static int misuse(void *arg)
{
    const char *const argv[] = { "true", NULL };
    const char *const nobody[] = { NULL };
    struct weir_child_io pipe = { WEIR_CHILD_PIPE, 0 }, to_output = { WEIR_CHILD_OUTPUT, 0 };

    (void)arg;
    CHECK_EQUAL(spawn_bad((struct weir_child_options){ 0 }, true), -EINVAL);
    CHECK_EQUAL(spawn_bad((struct weir_child_options){ .argv = nobody }, true), -EINVAL);
    CHECK_EQUAL(spawn_bad((struct weir_child_options){ .argv = argv, .size = 8 }, true), -EINVAL);
    CHECK_EQUAL(spawn_bad((struct weir_child_options){ .argv = argv, .reserved = { 1 } }, true),
                -EINVAL);
    CHECK_EQUAL(spawn_bad((struct weir_child_options){ .argv = argv, .input = pipe }, false),
                -EINVAL);
    CHECK_EQUAL(spawn_bad((struct weir_child_options){ .argv = argv, .input = to_output }, true),
                -EINVAL);
    CHECK_EQUAL(spawn_bad((struct weir_child_options){ .argv = argv, .fd_count = 1 }, true),
                -EINVAL);
    CHECK_EQUAL(spawn_bad((struct weir_child_options){ .argv = argv, .stop_signal = 99 }, true),
                -EINVAL);
    CHECK_EQUAL(weir_child_run(NULL, NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_child_wait(NULL, NULL, WEIR_NOW), -EINVAL);
    weir_child_release(NULL);
    return 0;
}

static void test_misuse_is_refused(void **state)
{
    (void)state;
    run_clean(misuse, &one_loop);
}

static int sigchld_ignored(void *arg)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, no_wait = { .sa_flags = SA_NOCLDWAIT };
    struct sigaction saved;
    const char *const argv[] = { "true", NULL };
    struct weir_child_options options = { .argv = argv };

    (void)arg;
    CHECK_EQUAL(sigaction(SIGCHLD, &ignore, &saved), 0);
    CHECK_EQUAL(spawn_bad(options, true), -ECHILD);
    CHECK(strstr(weir_last_error(), "SIGCHLD") != NULL);
    CHECK_EQUAL(sigaction(SIGCHLD, &no_wait, NULL), 0);
    CHECK_EQUAL(spawn_bad(options, true), -ECHILD);
    CHECK_EQUAL(sigaction(SIGCHLD, &saved, NULL), 0);
    return 0;
}

static void test_an_ignored_sigchld_is_refused(void **state)
{
    (void)state;
    run_clean(sigchld_ignored, &one_loop);
}

/* --- What a child gets --- */

static int surroundings(void *arg)
{
    const char *const env[] = { "ONLY=this", NULL };
    char text[TEXT_BYTES];
    int stray = open("/dev/null", O_RDONLY); /* not close-on-exec */

    (void)arg;
    run_shell("pwd", (struct weir_child_options){ .directory = "/usr" }, text);
    CHECK(strcmp(text, "/usr\n") == 0);
    run_shell("/usr/bin/env", (struct weir_child_options){ .env = env }, text);
    CHECK(strstr(text, "ONLY=this\n") != NULL && strstr(text, "PATH=/") == NULL);
    /* 0, 1, 2, and the one that lists them */
    run_shell("exec ls /proc/self/fd", plain, text);
    CHECK(strcmp(text, "0\n1\n2\n3\n") == 0);
    run_shell("grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -d 'SIigBlkn:\t\n0'", plain, text);
    /* 18 and zeros are the two that the C library keeps to itself. */
    CHECK(strcmp(text, "") == 0 || strcmp(text, "18") == 0);
    run_shell("cat; echo end", (struct weir_child_options){ .input = { WEIR_CHILD_NULL, 0 } },
              text);
    CHECK(strcmp(text, "end\n") == 0);
    run_shell("echo wrong >&2", (struct weir_child_options){ .error = { WEIR_CHILD_OUTPUT, 0 } },
              text);
    CHECK(strcmp(text, "wrong\n") == 0);
    run_shell("set -- $(cut -d' ' -f1,5,6 /proc/$$/stat); [ $1 = $2 ] && [ $1 = $3 ] && echo own",
              (struct weir_child_options){ .group = WEIR_CHILD_OWN_SESSION }, text);
    CHECK(strcmp(text, "own\n") == 0);
    CHECK_EQUAL(close(stray), 0);
    return 0;
}

static void test_a_child_gets_what_it_is_given_and_nothing_else(void **state)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, saved;

    (void)state;
    sigaction(SIGUSR1, &ignore, &saved);
    run_clean(surroundings, &two_loops);
    sigaction(SIGUSR1, &saved, NULL);
}

/* The first descriptor given is the second's number in the child, and the other way round. */
static int crossed(void *arg)
{
    struct weir_child_options options = { .fds = arg, .fd_count = 2 };
    char text[TEXT_BYTES];

    run_shell("cat <&3; cat <&4", options, text);
    CHECK(strcmp(text, "first\nsecond\n") == 0);
    return 0;
}

static void test_given_descriptors_do_not_overwrite_each_other(void **state)
{
    int first[2], second[2], fds[2] = { 4, 3 };

    (void)state;
    if (fcntl(3, F_GETFD) >= 0 || fcntl(4, F_GETFD) >= 0)
        skip(); /* somebody has started us with more than the standard ones */
    assert_int_equal(pipe(second), 0); /* 3 is its reading end */
    assert_int_equal(pipe(first), 0);
    assert_int_equal(write(first[1], "first\n", 6), 6);
    assert_int_equal(write(second[1], "second\n", 7), 7);
    assert_int_equal(close(second[1]), 0);
    assert_int_equal(dup2(first[0], 4), 4);
    assert_int_equal(close(first[0]), 0);
    assert_int_equal(close(first[1]), 0);
    assert_int_equal(test_run(crossed, fds, &one_loop), 0);
    assert_int_equal(close(3), 0);
    assert_int_equal(close(4), 0);
}

static int talk(void *arg)
{
    struct weir_child_options options = { 0 };
    struct weir_scope *scope = make_scope(WEIR_SCOPE_FAIL_FAST);
    struct weir_child *child;
    char text[8] = "";
    int input, output, status;

    (void)arg;
    options.input.kind = options.output.kind = options.error.kind = WEIR_CHILD_PIPE;
    child = start_shell(scope, "exec cat", options);
    input = weir_child_take(child, 0);
    output = weir_child_take(child, 1);
    CHECK(input >= 0 && output >= 0);
    CHECK_EQUAL(weir_child_take(child, 0), -EBADF);
    CHECK_EQUAL(weir_child_take(child, 3), -EBADF);
    for (int i = 0; i < 10; i++) {
        CHECK_EQUAL(weir_write_all(input, "ping", 4, NULL, weir_in_ms(20000)), 4);
        CHECK_EQUAL(weir_read(output, text, sizeof text, weir_in_ms(20000)), 4);
    }
    CHECK_EQUAL(weir_read(output, text, sizeof text, weir_in_us(100)), -ETIME);
    CHECK_EQUAL(weir_close(input), 0);
    CHECK_EQUAL(weir_read(output, text, sizeof text, weir_in_ms(20000)), 0);
    CHECK_EQUAL(weir_child_wait(child, &status, weir_in_ms(20000)), 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQUAL(weir_close(output), 0);
    weir_child_release(child); /* closes the error output, which nobody took */
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_pipes_carry_both_ways(void **state)
{
    (void)state;
    run_clean(talk, &two_loops);
}

/* --- Waiting --- */

static int wait_in_vain(void *arg)
{
    int status = -1, error = weir_child_wait(arg, &status, WEIR_FOREVER);

    CHECK_EQUAL(status, -1);
    return error;
}

static int wait_on_loop(void *arg)
{
    int status = -1;

    CHECK_EQUAL(weir_child_wait(arg, &status, weir_in_ms(20000)), 0);
    return status;
}

static int waits(void *arg)
{
    struct weir_scope *scope = make_scope(WEIR_SCOPE_FAIL_FAST);
    struct weir_scope *waiters = make_scope(WEIR_SCOPE_COLLECT);
    struct weir_child_options options = { .input = { WEIR_CHILD_PIPE, 0 } };
    struct weir_child *child = start_shell(scope, "read line; exit 4", options);
    struct weir_task *cancelled, *there;
    struct weir_spawn_options here = { .task = &cancelled };
    struct weir_spawn_options other = {
        .task = &there,
        .place = WEIR_PLACE_LOOP,
        .loop_index = 1,
    };
    int status = -1, clause_status = -1, result, input = weir_child_take(child, 0);
    struct weir_clause clauses[] = {
        weir_clause_child(child, &clause_status),
        weir_clause_timer(weir_in_us(200)),
    };

    (void)arg;
    CHECK_EQUAL(weir_child_wait(child, &status, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_child_wait(child, &status, weir_in_us(100)), -ETIME);
    CHECK_EQUAL(weir_select(clauses, 2, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_spawn(waiters, wait_in_vain, child, &here), 0);
    CHECK_EQUAL(weir_spawn(waiters, wait_on_loop, child, &other), 0);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_task_cancel(cancelled), 0);
    CHECK_EQUAL(weir_join(cancelled, &result, WEIR_FOREVER), 0);
    CHECK_EQUAL(result, -ECANCELED);
    CHECK_EQUAL(weir_child_kill(child, 0), 0);
    CHECK_EQUAL(weir_close(input), 0);
    CHECK_EQUAL(weir_select(clauses, 1, 0, weir_in_ms(20000)), 0);
    CHECK(WIFEXITED(clause_status) && WEXITSTATUS(clause_status) == 4);
    CHECK_EQUAL(weir_child_wait(child, &status, WEIR_NOW), 0);
    CHECK_EQUAL(status, clause_status);
    CHECK_EQUAL(weir_join(there, &result, WEIR_FOREVER), 0);
    CHECK_EQUAL(result, status);
    weir_child_release(child);
    CHECK_EQUAL(weir_scope_join(waiters, WEIR_FOREVER), 0);
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_many_may_wait_for_one_end(void **state)
{
    (void)state;
    run_clean(waits, &two_loops);
}

/* --- The end of the scope --- */

/* How the child ends that has said a line, when its scope is joined with a deadline that passed. */
static int ended_by_scope(const char *script, struct weir_child_options options)
{
    struct weir_scope *scope = make_scope(WEIR_SCOPE_SUPERVISE);
    struct weir_child *child;
    int status = -1, output;

    options.output.kind = WEIR_CHILD_PIPE;
    child = start_shell(scope, script, options);
    output = weir_child_take(child, 1);
    await_line(output);
    CHECK_EQUAL(weir_scope_join(scope, weir_in_us(100)), -ETIME);
    CHECK_EQUAL(weir_child_wait(child, &status, WEIR_NOW), 0);
    weir_child_release(child);
    /* With its group gone, nobody holds the output open. */
    if (options.group != WEIR_CHILD_SAME_GROUP) {
        char byte;

        CHECK_EQUAL(weir_read(output, &byte, 1, weir_in_ms(20000)), 0);
    }
    CHECK_EQUAL(weir_close(output), 0);
    return status;
}

static int ends(void *arg)
{
    static const char *const obstinate =
        "trap '' TERM; echo up; while :; do read x; done </dev/zero";
    int status;

    (void)arg;
    status = ended_by_scope("echo up; exec sleep 60", plain);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    status = ended_by_scope("trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done", plain);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    status = ended_by_scope("trap 'exit 5' INT; echo up; while :; do sleep 0.01; done",
                            (struct weir_child_options){ .stop_signal = SIGINT });
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    status = ended_by_scope(obstinate, (struct weir_child_options){ .grace_ns = SECOND_NS / 100 });
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status =
        ended_by_scope("echo up; exec sleep 60", (struct weir_child_options){ .grace_ns = -1 });
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = ended_by_scope("sh -c \"trap '' TERM; echo up; exec sleep 60\" & wait",
                            (struct weir_child_options){ .group = WEIR_CHILD_OWN_GROUP });
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    return 0;
}

static void test_a_scope_ends_its_children(void **state)
{
    (void)state;
    run_clean(ends, &one_loop);
}

/* --- Bounds and storms --- */

static int hold_thread(void *arg)
{
    char byte;

    return (int)read(*(int *)arg, &byte, 1);
}

static int hold(void *arg)
{
    return weir_pool_run(hold_thread, arg, WEIR_FOREVER);
}

static int late_start(void *arg)
{
    struct weir_scope *scope = make_scope(WEIR_SCOPE_FAIL_FAST), *children;
    const char *const argv[] = { "true", NULL };
    struct weir_child_options options = { .argv = argv };
    struct weir_child *child;
    struct weir_pool_stats stats = { 0 };
    int gate[2];

    (void)arg;
    children = make_scope(WEIR_SCOPE_FAIL_FAST);
    CHECK_EQUAL(pipe2(gate, O_CLOEXEC), 0);
    CHECK_EQUAL(weir_spawn(scope, hold, gate, NULL), 0);
    while (stats.threads_busy == 0) {
        CHECK_EQUAL(weir_yield(), 0);
        CHECK_EQUAL(weir_pool_read_stats(&stats), 0);
    }
    CHECK_EQUAL(weir_child_spawn(&child, children, &options, weir_in_us(100)), -ETIME);
    CHECK_EQUAL(weir_child_spawn(&child, children, &options, WEIR_NOW), -EAGAIN);
    CHECK(!has_children());
    CHECK_EQUAL(weir_scope_join(children, WEIR_FOREVER), 0);
    CHECK_EQUAL(write(gate[1], "x", 1), 1);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(close(gate[0]) + close(gate[1]), 0);
    return 0;
}

static void test_a_start_that_waits_too_long_never_happens(void **state)
{
    static const struct weir_options options = { .loop_count = 1, .pool_threads_max = 1 };

    (void)state;
    run_clean(late_start, &options);
}

enum { STORM_TASKS = 8 };

static int run_many(void *arg)
{
    for (long i = 0; i < test_rounds(5, 50, 500); i++) {
        struct weir_scope *scope = make_scope(WEIR_SCOPE_SUPERVISE);
        struct weir_child_options options = { .grace_ns = (i % 3 - 1) * SECOND_NS };
        struct weir_child *child = start_shell(scope, i % 2 ? "exec sleep 60" : "exit 9", options);
        int status;

        if (i % 2 == 0) {
            CHECK_EQUAL(weir_child_wait(child, &status, weir_in_ms(20000)), 0);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
        }
        weir_child_release(child);
        CHECK_EQUAL(weir_scope_join(scope, WEIR_NOW), i % 2 ? -ETIME : 0);
    }
    return (int)(intptr_t)arg;
}

static int storm(void *arg)
{
    struct weir_scope *scope = make_scope(WEIR_SCOPE_FAIL_FAST);
    struct weir_spawn_options anywhere = { .place = WEIR_PLACE_ANYWHERE };

    for (int i = 0; i < STORM_TASKS; i++)
        CHECK_EQUAL(weir_spawn(scope, run_many, arg, &anywhere), 0);
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_a_storm_of_children_leaves_nothing(void **state)
{
    (void)state;
    run_clean(storm, &two_loops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses_are_exact),
        cmocka_unit_test(test_a_start_that_fails_says_why_and_leaves_nothing),
        cmocka_unit_test(test_misuse_is_refused),
        cmocka_unit_test(test_an_ignored_sigchld_is_refused),
        cmocka_unit_test(test_a_child_gets_what_it_is_given_and_nothing_else),
        cmocka_unit_test(test_given_descriptors_do_not_overwrite_each_other),
        cmocka_unit_test(test_pipes_carry_both_ways),
        cmocka_unit_test(test_many_may_wait_for_one_end),
        cmocka_unit_test(test_a_scope_ends_its_children),
        cmocka_unit_test(test_a_start_that_waits_too_long_never_happens),
        cmocka_unit_test(test_a_storm_of_children_leaves_nothing),
    };

    return cmocka_run_group_tests_name("process/child", tests, NULL, NULL);
}
