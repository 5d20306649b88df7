/* SPDX-License-Identifier: MIT */
/* The end of a runtime with tasks in every state, and starts that fail for want of memory: nothing
 * hangs, nothing stays. */
#include "base/memory.h"
#include "support/support.h"

#include <weir/chan.h>
#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/select.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { EACH = 20, SLACK_MAPPINGS = 16, FAILURES_MAX = 200 };

static const struct weir_options two_loops = { .loop_count = 2 };

static _Atomic long started_count;
static _Atomic long cancelled_count;
static struct weir_chan *rendezvous, *full, *empty;
static struct weir_task *sleeper;

static void note(int error)
{
    cancelled_count += error == -ECANCELED;
}

static int in_sleep(void *arg)
{
    (void)arg;
    started_count++;
    note(weir_sleep(WEIR_FOREVER));
    return 0;
}

static int in_timed_sleep(void *arg)
{
    (void)arg;
    started_count++;
    note(weir_sleep(weir_in_seconds(1000)));
    return 0;
}

static int in_send(void *arg)
{
    int elem = 1;

    (void)arg;
    started_count++;
    note(weir_chan_send(rendezvous, &elem, WEIR_FOREVER));
    note(weir_chan_send(full, &elem, WEIR_FOREVER));
    return 0;
}

static int in_buffered_send(void *arg)
{
    int elem = 1;

    (void)arg;
    started_count++;
    note(weir_chan_send(full, &elem, weir_in_seconds(1000)));
    return 0;
}

static int in_recv(void *arg)
{
    int elem;

    (void)arg;
    started_count++;
    note(weir_chan_recv(empty, &elem, WEIR_FOREVER));
    return 0;
}

/* The sleeper may end first: then the cancel is met by the next call. */
static int in_select(void *arg)
{
    int elem = 2;
    struct weir_clause clauses[] = {
        weir_clause_recv(empty, &elem),
        weir_clause_send(full, &elem),
        weir_clause_join(sleeper, NULL),
        weir_clause_timer(weir_in_seconds(1000)),
    };

    int won;

    (void)arg;
    started_count++;
    won = weir_select(clauses, 4, 0, WEIR_FOREVER);
    note(won < 0 ? won : weir_sleep(WEIR_FOREVER));
    return 0;
}

static int in_join(void *arg)
{
    struct weir_clause clause = weir_clause_join(sleeper, NULL);
    int won;

    (void)arg;
    started_count++;
    won = weir_select(&clause, 1, 0, WEIR_FOREVER);
    note(won < 0 ? won : weir_sleep(WEIR_FOREVER));
    return 0;
}

static int in_scope_join(void *arg)
{
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, in_sleep, NULL, NULL), 0);
    started_count++;
    note(weir_scope_join(scope, WEIR_FOREVER));
    return 0;
}

static int in_yield(void *arg)
{
    int error;

    (void)arg;
    started_count++;
    while ((error = weir_yield()) >= 0)
        ;
    note(error);
    return 0;
}

static weir_task_fn *const bodies[] = {
    in_sleep, in_timed_sleep, in_send, in_buffered_send, in_recv, in_select, in_join, in_scope_join,
};
enum { BODIES = sizeof bodies / sizeof bodies[0] };

static void spawn_each(void)
{
    struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP };

    for (unsigned i = 0; i < BODIES * EACH; i++) {
        options.loop_index = i % 2;
        CHECK_EQUAL(weir_spawn(weir_task_scope(), bodies[i / EACH], NULL, &options), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        options.loop_index = i;
        CHECK_EQUAL(weir_spawn(weir_task_scope(), in_yield, NULL, &options), 0);
    }
}

/* The root returns, and leaves them all where they are. */
static int leave_all(void *arg)
{
    struct weir_spawn_options options = { .task = &sleeper };
    int elem = 0;

    (void)arg;
    started_count = cancelled_count = 0;
    CHECK_EQUAL(weir_chan_create(&rendezvous, sizeof elem, 0, NULL), 0);
    CHECK_EQUAL(weir_chan_create(&full, sizeof elem, 1, NULL), 0);
    CHECK_EQUAL(weir_chan_create(&empty, sizeof elem, 1, NULL), 0);
    CHECK_EQUAL(weir_chan_send(full, &elem, WEIR_NOW), 0);
    CHECK_EQUAL(weir_spawn(weir_task_scope(), in_sleep, NULL, &options), 0);
    spawn_each();
    test_await(&started_count, 1 + BODIES * EACH + EACH + 2);
    return 0;
}

static void test_tasks_in_every_state_end_with_the_root(void **state)
{
    int fds = 0, threads = 0;
    size_t mappings = 0;

    (void)state;
    for (long i = 0; i < test_rounds(20, 200, 2000) + 5; i++) {
        if (i == 5) { /* until allocator and C library have what they keep */
            fds = count_fds();
            threads = count_threads();
            mappings = count_mappings();
        }
        assert_int_equal(test_run(leave_all, NULL, &two_loops), 0);
        /* In send, the second call meets the cancel as well. */
        assert_int_equal(cancelled_count, started_count + EACH);
        weir_task_release(sleeper);
        assert_int_equal(weir_chan_release(rendezvous), 0);
        assert_int_equal(weir_chan_release(full), 0);
        assert_int_equal(weir_chan_release(empty), 0);
    }
    assert_int_equal(count_fds(), fds);
    test_await_threads(threads);
    assert_true(TEST_SANITIZED || count_mappings() <= mappings + SLACK_MAPPINGS);
}

/* --- Failing allocations. --------------------------------------------------------------------- */

static int use_little(void *arg)
{
    (void)arg;
    return weir_yield();
}

static void test_a_start_without_memory_leaves_nothing(void **state)
{
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int stderr_fd = dup(STDERR_FILENO);
    long failed_count = 0;
    int error = -ENOMEM;
    int fds, threads;

    (void)state;
    assert_int_equal(weir_run(use_little, NULL, &two_loops), 0);
    fds = count_fds();
    threads = count_threads();
    dup2(null_fd, STDERR_FILENO); /* each failure explains itself there */
    for (long nth = 1; nth < FAILURES_MAX && error < 0; nth++) {
        weir__memory_fail_after(nth);
        error = weir_run(use_little, NULL, &two_loops);
        failed_count += error < 0;
        if (error != 0 && error != -ENOMEM)
            break;
        if (error < 0 && !weir_last_error()[0])
            break;
        test_await_threads(threads);
        if (count_fds() != fds)
            break;
    }
    weir__memory_fail_after(-1);
    dup2(stderr_fd, STDERR_FILENO);
    close(stderr_fd);
    close(null_fd);
    assert_int_equal(error, 0);
    assert_true(failed_count > 5);
    assert_int_equal(count_fds(), fds - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks_in_every_state_end_with_the_root),
        cmocka_unit_test(test_a_start_without_memory_leaves_nothing),
    };

    return cmocka_run_group_tests_name("runtime/teardown", tests, NULL, NULL);
}
