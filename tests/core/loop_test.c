/* SPDX-License-Identifier: MIT */
/* Loops across threads: wakes, doorbells, sleeps; each with and without spinning and MSG_RING. */
#include "core/loop.h"

#include "core/park.h"
#include "core/task.h"
#include "support/support.h"

#include <weir/runtime.h>
#include <weir/scope.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct weir__reason test_reason = { "test", WEIR_PHASE_TASK, NULL };

enum { THREADS = 3, CROWD = 100 };

static const struct weir_options variants[] = {
    { .loop_count = 2 },
    { .loop_count = 2, .spin_max_ns = -1 },
    { .loop_count = 2, .spin_max_ns = -1, .without_features = WEIR_FEATURE_SYNC_MSG_RING },
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

static uint64_t counter(unsigned loop_index, enum weir_counter id)
{
    return weir__counter_get(&weir__loop_current->runtime->loops[loop_index]->counters, id);
}

static struct weir_spawn_options on_loop(unsigned loop_index)
{
    return (struct weir_spawn_options){ .place = WEIR_PLACE_LOOP, .loop_index = loop_index };
}

/* --- Ping-pong. ------------------------------------------------------------------------------- */

/* Each opens its own wait before it fires the other's: so a fire always finds it open. Side 0
 * begins once side 1 has opened. */
static struct game {
    _Atomic(struct weir__wait *) players[2];
    long rounds;
} game;

static int play(void *arg)
{
    size_t side = (uintptr_t)arg;
    struct weir__wait *own = weir__wait_self();

    while (side == 0 && !atomic_load(&game.players[1]))
        CHECK_EQUAL(weir_yield(), 0);
    weir__wait_begin(own, &test_reason, NULL);
    atomic_store(&game.players[side], own);
    for (long i = 0; i < game.rounds; i++) {
        struct weir__wait *other = atomic_load(&game.players[1 - side]);

        if (side == 0 && !CHECK(weir__wait_fire(other, (int)(i & 0xffff))))
            return -EINVAL;
        if (!CHECK_EQUAL(weir__wait_park(own, WEIR_FOREVER, WEIR__PARK_CANCELLABLE), i & 0xffff))
            return -EINVAL;
        weir__wait_begin(own, &test_reason, NULL);
        other = atomic_load(&game.players[1 - side]);
        if (side == 1 && !CHECK(weir__wait_fire(other, (int)(i & 0xffff))))
            return -EINVAL;
    }
    return 0;
}

static int play_on_two_loops(void *arg)
{
    struct weir_scope *scope;

    (void)arg;
    game.players[0] = game.players[1] = NULL;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (unsigned side = 0; side < 2; side++) {
        struct weir_spawn_options options = on_loop(side);

        CHECK_EQUAL(weir_spawn(scope, play, (void *)(uintptr_t)side, &options), 0);
    }
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_no_wake_is_lost_between_loops(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIANTS; i++) {
        game.rounds =
            i == 0 ? test_rounds(100000, 10000000, 20000000) : test_rounds(10000, 300000, 3000000);
        assert_int_equal(test_run(play_on_two_loops, NULL, &variants[i]), 0);
    }
}

/* --- Threads that fire the waits of tasks. ---------------------------------------------------- */

static _Atomic(struct weir__wait *) targets[THREADS];
static _Atomic bool done;

static void *fire_targets(void *arg)
{
    _Atomic(struct weir__wait *) *target = arg;

    while (!atomic_load(&done)) {
        struct weir__wait *wait = atomic_exchange(target, NULL);

        if (wait)
            CHECK(weir__wait_fire(wait, 3));
    }
    return NULL;
}

static int be_fired(void *arg)
{
    _Atomic(struct weir__wait *) *target = arg;
    struct weir__wait *wait = weir__wait_self();
    long rounds = test_rounds(5000, 100000, 1000000);

    for (long i = 0; i < rounds; i++) {
        weir__wait_begin(wait, &test_reason, NULL);
        atomic_store(target, wait);
        CHECK_EQUAL(weir__wait_park(wait, WEIR_FOREVER, WEIR__PARK_CANCELLABLE), 3);
    }
    return 0;
}

static int be_fired_at(void *arg)
{
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        struct weir_spawn_options options = on_loop(i % 2);

        CHECK_EQUAL(weir_spawn(scope, be_fired, &targets[i], &options), 0);
    }
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_threads_wake_tasks(void **state)
{
    (void)state;
    for (size_t variant = 0; variant < VARIANTS; variant++) {
        pthread_t threads[THREADS];

        done = false;
        for (size_t i = 0; i < THREADS; i++)
            pthread_create(&threads[i], NULL, fire_targets, &targets[i]);
        assert_int_equal(test_run(be_fired_at, NULL, &variants[variant]), 0);
        done = true;
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        test_carry_out();
    }
}

/* --- Sleep. ----------------------------------------------------------------------------------- */

static int sleep_and_measure(void *arg)
{
    int64_t deadline_ns = weir_now_ns() + *(int64_t *)arg;

    CHECK_EQUAL(weir_sleep(deadline_ns), 0);
    CHECK(weir_now_ns() >= deadline_ns);
    return 0;
}

static int sleep_in_a_crowd(void *arg)
{
    static int64_t durations_ns[CROWD];
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (unsigned i = 0; i < CROWD; i++) {
        struct weir_spawn_options options = on_loop(i % 2);

        durations_ns[i] = (int64_t)(i * i * i % 7919) * 500;
        CHECK_EQUAL(weir_spawn(scope, sleep_and_measure, &durations_ns[i], &options), 0);
    }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK(counter(0, WEIR_SLEEPS) + counter(1, WEIR_SLEEPS) > 0);
    CHECK_EQUAL(weir__loop_current->wheel.count, 0);
    CHECK_EQUAL(weir_sleep(WEIR_NOW), 0);
    CHECK_EQUAL(weir_sleep(-1), 0);
    return 0;
}

static void test_no_sleep_is_too_short(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIANTS; i++)
        assert_int_equal(test_run(sleep_in_a_crowd, NULL, &variants[i]), 0);
}

/* --- Doorbells, only for sleepers. ------------------------------------------------------------ */

static int end_at_once(void *arg)
{
    (void)arg;
    return 0;
}

static int flood(void *arg)
{
    struct weir_spawn_options options = on_loop(1);
    struct weir_scope *scope;

    (void)arg;
    options.wait_ns = INT64_MAX;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < 2000; i++)
        CHECK_EQUAL(weir_spawn(scope, end_at_once, NULL, &options), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(counter(1, WEIR_TASKS_STARTED), 2000 + 1); /* and the callback task */
    CHECK(counter(1, WEIR_MAIL_RECEIVED) >= 2000);
    CHECK(counter(0, WEIR_DOORBELLS_RUNG) <= counter(1, WEIR_SLEEPS));
    return 0;
}

static void test_only_sleepers_are_rung(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIANTS; i++)
        assert_int_equal(test_run(flood, NULL, &variants[i]), 0);
}

/* --- The end of a loop. ----------------------------------------------------------------------- */

void __real_weir__memory_free(void *block);
void __wrap_weir__memory_free(void *block);

/* A handler of a signal that came now would look at the loop's task. */
void __wrap_weir__memory_free(void *block)
{
    const struct weir__loop *loop = weir__loop_current;

    CHECK(!block || !loop || (void *)loop->current != block);
    __real_weir__memory_free(block);
}

static void test_nobody_runs_who_is_freed(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIANTS; i++)
        assert_int_equal(test_run(end_at_once, NULL, &variants[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_wake_is_lost_between_loops),
        cmocka_unit_test(test_threads_wake_tasks),
        cmocka_unit_test(test_no_sleep_is_too_short),
        cmocka_unit_test(test_only_sleepers_are_rung),
        cmocka_unit_test(test_nobody_runs_who_is_freed),
    };

    return cmocka_run_group_tests_name("core/loop", tests, NULL, NULL);
}
