/* SPDX-License-Identifier: MIT */
/* Classes of spawns that wait for room: a burst of background spawns keeps no urgent one waiting,
 * whether they come from elsewhere, wait to be let in, or were made here. */
#include "core/park.h"
#include "core/task.h"
#include "support/support.h"

#include <weir/queue.h>
#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/task.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { OF_EACH = 20, SPAWNS = 3 * OF_EACH, BURST = 1000 };

static const char turns[] = "LLLLLLLLNNNNB"
                            "LLLLLLLLNNNNB"
                            "LLLLNNNNB"
                            "NNNNB"
                            "NNNNB"
                            "BBBBBBBBBBBBBBB";

static _Atomic long holds, spawned_count;
static char order[BURST + SPAWNS + 1];
static size_t order_count;
static struct weir_scope *scope;

static int note(void *arg)
{
    order[order_count++] = *(const char *)arg;
    return 0;
}

/* Fills a place of the loop until it is let go. */
static int hold(void *arg)
{
    (void)arg;
    while (holds)
        CHECK_EQUAL(weir_yield(), 0);
    return 0;
}

static void spawn_as(enum weir_priority priority, const char *name, int64_t wait_ns)
{
    struct weir_spawn_options options = {
        .sets_priority = true,
        .priority = priority,
        .place = WEIR_PLACE_LOOP,
        .wait_ns = wait_ns,
    };

    CHECK_EQUAL(weir_spawn(scope, note, (void *)(uintptr_t)name, &options), 0);
}

static void spawn_one_of_each(int64_t wait_ns)
{
    spawn_as(WEIR_PRIORITY_BACKGROUND, "B", wait_ns);
    spawn_as(WEIR_PRIORITY_NORMAL, "N", wait_ns);
    spawn_as(WEIR_PRIORITY_LATENCY, "L", wait_ns);
}

static int setup(void **state)
{
    (void)state;
    memset(order, 0, sizeof order);
    order_count = 0;
    spawned_count = 0;
    holds = 1;
    return 0;
}

static void begin(void)
{
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, hold, NULL, NULL), 0);
}

/* --- From a plain thread, to a loop that is full. --------------------------------------------- */

static void *spawn_a_burst(void *arg)
{
    (void)arg;
    for (int i = 0; i < BURST; i++)
        spawn_as(WEIR_PRIORITY_BACKGROUND, "b", 0);
    spawn_as(WEIR_PRIORITY_LATENCY, "L", 0);
    return NULL;
}

static void *spawn_of_each(void *arg)
{
    (void)arg;
    for (int i = 0; i < OF_EACH; i++)
        spawn_one_of_each(0);
    return NULL;
}

static int from_a_thread(void *arg)
{
    void *(*const *body)(void *arg) = arg;
    pthread_t thread;

    begin();
    CHECK_EQUAL(pthread_create(&thread, NULL, *body, NULL), 0);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_sleep(weir_in_ms(1)), 0); /* a turn: the mail has come */
    holds = 0;
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_arrivals(void **state)
{
    const struct weir_options options = { .loop_count = 1, .tasks_per_loop = 2 };
    void *(*body)(void *arg) = spawn_of_each;

    (void)state;
    assert_int_equal(test_run(from_a_thread, &body, &options), 0);
    assert_string_equal(order, turns);
}

/* A thousand background tasks are before it, and it is the first. */
static void test_an_urgent_one_behind_a_burst(void **state)
{
    const struct weir_options options = { .loop_count = 1, .tasks_per_loop = 2 };
    void *(*body)(void *arg) = spawn_a_burst;

    (void)state;
    assert_int_equal(test_run(from_a_thread, &body, &options), 0);
    assert_int_equal(order_count, BURST + 1);
    assert_int_equal(strchr(order, 'L') - order, 0);
}

/* --- Spawns that wait to be on their way to another loop, or for room on their own. ----------- */

struct spawner {
    enum weir_priority priority;
    const char *name;
};

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Notes when its spawn may go on. */
static int spawn_later(void *arg)
{
    const struct spawner *spawner = arg;
    struct weir_spawn_options options = {
        .sets_priority = true,
        .priority = spawner->priority,
        .place = WEIR_PLACE_LOOP,
        .wait_ns = WEIR_FOREVER,
    };

    spawned_count++;
    CHECK_EQUAL(weir_spawn(scope, nothing, NULL, &options), 0);
    order[order_count++] = *spawner->name;
    return 0;
}

/* They are of normal priority themselves, and begin in this order. */
static struct weir_scope *start_spawners(unsigned loop_index)
{
    static const struct spawner of_each[] = {
        { WEIR_PRIORITY_BACKGROUND, "B" },
        { WEIR_PRIORITY_NORMAL, "N" },
        { WEIR_PRIORITY_LATENCY, "L" },
    };
    struct weir_spawn_options there = {
        .place = WEIR_PLACE_LOOP,
        .loop_index = loop_index,
        .wait_ns = WEIR_FOREVER,
    };
    struct weir_scope *spawners = NULL;

    CHECK_EQUAL(weir_scope_create(&spawners, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < SPAWNS; i++)
        CHECK_EQUAL(weir_spawn(spawners, spawn_later, (void *)(uintptr_t)&of_each[i % 3], &there),
                    0);
    test_await(&spawned_count, SPAWNS);
    return spawners;
}

static int spawn_from(unsigned loop_index, int hold_count)
{
    struct weir__credits *credits = &weir__loop_current->arrivals_credits;
    struct weir_scope *spawners;
    struct weir_queue_stats stats = { 0 };

    begin();
    for (int i = 1; i < hold_count; i++)
        CHECK_EQUAL(weir_spawn(scope, hold, NULL, NULL), 0);
    spawners = start_spawners(loop_index);
    while (loop_index != 0 && stats.waiting < SPAWNS - 1) {
        CHECK_EQUAL(weir_yield(), 0);
        weir__credits_read(credits, &stats);
    }
    holds = 0;
    CHECK_EQUAL(weir_scope_join(spawners, WEIR_FOREVER), 0);
    return weir_scope_join(scope, WEIR_FOREVER);
}

/* Loop 0 is full of tasks that hold it. */
static int from_a_loop(void *arg)
{
    (void)arg;
    return spawn_from(1, SPAWNS);
}

/* The first one is on its way; nobody overtakes it. */
static void test_on_their_way(void **state)
{
    const struct weir_options options = {
        .loop_count = 2,
        .tasks_per_loop = 1 + SPAWNS,
        .remote_spawns = 1,
    };

    (void)state;
    assert_int_equal(test_run(from_a_loop, NULL, &options), 0);
    assert_int_equal(order[0], 'B');
    assert_memory_equal(order + 1, turns, SPAWNS - 1);
}

static int on_the_loop(void *arg)
{
    (void)arg;
    return spawn_from(0, 1);
}

static void test_on_the_loop(void **state)
{
    const struct weir_options options = { .loop_count = 1, .tasks_per_loop = 2 + SPAWNS };

    (void)state;
    assert_int_equal(test_run(on_the_loop, NULL, &options), 0);
    assert_string_equal(order, turns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_arrivals, setup),
        cmocka_unit_test_setup(test_an_urgent_one_behind_a_burst, setup),
        cmocka_unit_test_setup(test_on_their_way, setup),
        cmocka_unit_test_setup(test_on_the_loop, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
