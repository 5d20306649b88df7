/* SPDX-License-Identifier: MIT */
/* Reports to a standard error that nobody reads: the watcher goes on looking, and what is missing
 * is counted. It used to wait in write(2), and saw nothing any more. */
#include "base/log.h"
#include "watch/watched.h"

#include <unistd.h>

struct pair {
    struct weir_mutex *mutexes[2];
    _Atomic long held_count;
};

static int lock_both(struct pair *pair, int first)
{
    CHECK_SAME(weir_mutex_lock(pair->mutexes[first], WEIR_FOREVER), 0);
    atomic_fetch_add(&pair->held_count, 1);
    AWAIT(atomic_load(&pair->held_count) == 2);
    if (weir_mutex_lock(pair->mutexes[1 - first], WEIR_FOREVER) >= 0) /* the other was cancelled */
        weir_mutex_unlock(pair->mutexes[1 - first]);
    return weir_mutex_unlock(pair->mutexes[first]);
}

static int lock_left(void *arg)
{
    return lock_both(arg, 0);
}

static int lock_right(void *arg)
{
    return lock_both(arg, 1);
}

/* Two tasks that wait for each other for ever. */
static struct weir_scope *cross(struct pair *pair)
{
    struct weir_scope *scope = make_scope("transfers");

    *pair = (struct pair){ .held_count = 0 };
    CHECK_SAME(weir_mutex_create(&pair->mutexes[0], "left"), 0);
    CHECK_SAME(weir_mutex_create(&pair->mutexes[1], "right"), 0);
    weir_task_release(spawn_at(scope, 0, "debit", lock_left, pair));
    weir_task_release(spawn_at(scope, 1, "credit", lock_right, pair));
    return scope;
}

static void end(struct pair *pair, struct weir_scope *scope)
{
    weir_scope_cancel(scope);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_SAME(weir_mutex_destroy(pair->mutexes[0]), 0);
    CHECK_SAME(weir_mutex_destroy(pair->mutexes[1]), 0);
}

/* Whatever is counted last: a deadlock is, after its report. */
static int lock_two_pairs(void *arg)
{
    struct weir_scope *first, *second;
    struct pair pairs[2];

    (void)arg;
    while (weir__log_text("here is no reader\n"))
        ;
    first = cross(&pairs[0]);
    AWAIT(read_counter(WEIR_DEADLOCKS) == 1);
    AWAIT(read_counter(WEIR_MUTEXES_HELD_LONG) == 2);
    second = cross(&pairs[1]);
    AWAIT(read_counter(WEIR_DEADLOCKS) == 2);
    AWAIT(read_counter(WEIR_MUTEXES_HELD_LONG) == 4);
    CHECK(read_counter(WEIR_REPORT_LINES_DROPPED) > 1 + 2 + 4);
    await_looks(LOOKS);
    end(&pairs[0], first);
    end(&pairs[1], second);
    return 0;
}

static void report_on_stderr(struct weir_options *options)
{
    options->on_deadlock = NULL;
    options->on_warning = NULL;
    options->mutex_limit_ns = 2 * MS;
}

static void nobody_reads(void **state)
{
    int ends[2], saved = dup(STDERR_FILENO);

    (void)state;
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    play(lock_two_pairs, report_on_stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
    close(ends[1]);
    test_carry_out();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nobody_reads) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
