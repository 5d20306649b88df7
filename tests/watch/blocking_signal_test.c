/* SPDX-License-Identifier: MIT */
/*
 * Signals of a trapped thread that once brought it down: one that comes right behind a call which
 * went on aside, and a SIGSYS that nobody handles.
 */
#include "blocking.h"

#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static struct notes notes;
static atomic_int handled;

static void on_child(int number)
{
    atomic_fetch_add(&handled, number == SIGCHLD && getppid() > 0);
}

/* Its signal comes where the parent goes on. */
static __attribute__((noinline)) void lose_child(void)
{
    pid_t child = vfork();
    int status = -1;

    if (child == 0)
        _exit(15);
    CHECK(child > 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQUAL(WEXITSTATUS(status), 15);
}

static int lose_children(void *arg)
{
    for (int i = 0; i < 3; i++)
        lose_child();
    CHECK_EQUAL(atomic_load(&handled), 3);
    return arg != NULL;
}

static void test_a_child_may_end_at_once(void **state)
{
    struct sigaction action = { .sa_handler = on_child, .sa_flags = SA_RESTART };
    struct weir_options options = checked_options(&notes);

    (void)state;
    need_traps();
    atomic_store(&handled, 0);
    assert_int_equal(sigaction(SIGCHLD, &action, NULL), 0);
    assert_int_equal(weir_run_on_this_thread(lose_children, NULL, &options), 0);
    signal(SIGCHLD, SIG_DFL);
    test_carry_out();
    assert_int_equal(count_of(&notes, "vfork"), 1);
}

static int raise_sigsys(void *arg)
{
    (void)arg;
    raise(SIGSYS);
    return 0;
}

static void die_of_sigsys(void *arg)
{
    struct weir_options options = checked_options(&notes);

    (void)arg;
    signal(SIGSYS, SIG_DFL); /* not cmocka's */
    _exit(weir_run_on_this_thread(raise_sigsys, NULL, &options) < 0 ? 1 : 0);
}

static void test_sigsys_without_a_handler_ends_the_process(void **state)
{
    char output[256];
    int status;

    (void)state;
    need_traps();
    status = test_fork(die_of_sigsys, NULL, output, sizeof output);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sigsys_without_a_handler_ends_the_process), /* it forks: first */
        cmocka_unit_test(test_a_child_may_end_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
