/* SPDX-License-Identifier: MIT */
/* Bounds on spawning: tasks, arrivals from elsewhere, stacks, memory. */
#include "base/memory.h"
#include "core/task.h"
#include "support/support.h"

#include <weir/runtime.h>
#include <weir/scope.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { LONG_NS = 1000000000, LAST_TURN = 100 };

static _Atomic long gate; /* how many of those who wait at the gate may pass */
static _Atomic long running_count;
static _Atomic long turn; /* spawners below it may begin */
static int order[8];      /* in which spawns got their room */
static int order_count;

static uint64_t counter(unsigned loop_index, enum weir_counter id)
{
    return weir__counter_get(&weir__loop_current->runtime->loops[loop_index]->counters, id);
}

static int wait_at_gate(void *arg)
{
    long number = running_count++;

    (void)arg;
    test_await(&gate, number + 1);
    return 0;
}

static int note_order(void *arg)
{
    order[order_count++] = *(int *)arg;
    return 0;
}

static int setup(void **state)
{
    (void)state;
    gate = running_count = turn = order_count = 0;
    return 0;
}

/* Fills a loop with `count` tasks at the gate, and waits until they run. */
static void fill(struct weir_scope *scope, unsigned loop_index, int count)
{
    struct weir_spawn_options options = {
        .place = WEIR_PLACE_LOOP,
        .loop_index = loop_index,
        .wait_ns = LONG_NS,
    };

    for (int i = 0; i < count; i++)
        CHECK_EQUAL(weir_spawn(scope, wait_at_gate, NULL, &options), 0);
    test_await(&running_count, count);
}

/* The root task, whose scope it is, waits until it is alone. */
static void await_children(struct weir_scope *scope)
{
    while (weir_scope_count(scope) > 1)
        CHECK_EQUAL(weir_yield(), 0);
}

/* --- The bound on tasks. ---------------------------------------------------------------------- */

static int fill_to_the_bound(void *arg)
{
    struct weir_scope *scope = weir_task_scope();

    (void)arg;
    fill(scope, 0, 3); /* the root task is the fourth */
    CHECK_EQUAL(counter(0, WEIR_TASKS_NOW), 4);
    CHECK_EQUAL(weir_spawn(scope, wait_at_gate, NULL, NULL), -EAGAIN);
    CHECK_EQUAL(
        weir_spawn(scope, wait_at_gate, NULL, &(struct weir_spawn_options){ .wait_ns = 100000 }),
        -ETIME);
    CHECK_EQUAL(counter(0, WEIR_SPAWNS_REFUSED), 1);
    CHECK_EQUAL(counter(0, WEIR_SPAWNS_EXPIRED), 1);
    CHECK_EQUAL(counter(0, WEIR_SPAWNS_WAITED), 1);
    CHECK(counter(0, WEIR_SPAWN_WAIT_NS) >= 100000);
    gate = 1;
    CHECK_EQUAL(
        weir_spawn(scope, wait_at_gate, NULL, &(struct weir_spawn_options){ .wait_ns = LONG_NS }),
        0);
    gate = 100;
    return 0;
}

static void test_the_bound_on_tasks_refuses_or_waits(void **state)
{
    (void)state;
    assert_int_equal(test_run(fill_to_the_bound, NULL,
                              &(struct weir_options){ .loop_count = 1, .tasks_per_loop = 4 }),
                     0);
}

static int only_the_root(void *arg)
{
    (void)arg;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), wait_at_gate, NULL, NULL), -EAGAIN);
    return 7;
}

static void test_a_bound_of_one_is_enough_for_the_root(void **state)
{
    struct weir_options options = { .loop_count = 1, .tasks_per_loop = 1 };

    (void)state;
    assert_int_equal(test_run(only_the_root, NULL, &options), 7);
}

struct spawner {
    struct weir_scope *scope;
    int number;
    int64_t wait_ns;
    int error;
};

static int spawn_waiting(void *arg)
{
    struct spawner *spawner = arg;
    struct weir_spawn_options options = { .wait_ns = spawner->wait_ns };

    test_await(&turn, spawner->number + 1);
    spawner->error = weir_spawn(spawner->scope, note_order, &spawner->number, &options);
    test_await(&turn, LAST_TURN);
    return 0;
}

/* Four spawners wait for room in order; one of them expires, one is cancelled. */
static int wait_in_order(void *arg)
{
    struct weir_scope *scope = weir_task_scope();
    struct spawner spawners[4];
    struct weir_task *tasks[4];

    (void)arg;
    fill(scope, 0, 3);
    for (int i = 0; i < 4; i++) {
        spawners[i] = (struct spawner){ scope, i, i == 1 ? 50000 : LONG_NS * 100ll, 1 };
        CHECK_EQUAL(weir_spawn(scope, spawn_waiting, &spawners[i],
                               &(struct weir_spawn_options){ .task = &tasks[i] }),
                    0);
    }
    CHECK_EQUAL(counter(0, WEIR_TASKS_NOW), 8);
    for (turn = 1; turn <= 4; turn++)
        for (int i = 0; i < 3; i++)
            CHECK_EQUAL(weir_yield(), 0); /* now it waits, behind those before it */
    while (counter(0, WEIR_SPAWNS_EXPIRED) == 0)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_task_cancel(tasks[2]), 0);
    while (spawners[2].error == 1)
        CHECK_EQUAL(weir_yield(), 0);
    gate = 1; /* room for one: the first takes it, and leaves it to the fourth */
    while (order_count < 2)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(spawners[1].error, -ETIME);
    CHECK_EQUAL(spawners[2].error, -ECANCELED);
    gate = 3;
    turn = LAST_TURN;
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(weir_join(tasks[i], NULL, WEIR_FOREVER), 0);
    await_children(scope);
    return 0;
}

static void test_spawns_wait_for_room_in_order(void **state)
{
    (void)state;
    assert_int_equal(test_run(wait_in_order, NULL,
                              &(struct weir_options){ .loop_count = 1, .tasks_per_loop = 8 }),
                     0);
    assert_int_equal(order_count, 2);
    assert_int_equal(order[0], 0);
    assert_int_equal(order[1], 3);
}

/* --- The bound on spawns from elsewhere. ------------------------------------------------------ */

static struct weir_spawn_options to_loop_one(int64_t wait_ns)
{
    return (
        struct weir_spawn_options){ .place = WEIR_PLACE_LOOP, .loop_index = 1, .wait_ns = wait_ns };
}

static int fill_the_way(void *arg)
{
    struct weir_scope *scope = weir_task_scope();
    struct weir_spawn_options at_once = to_loop_one(0);
    struct weir_spawn_options briefly = to_loop_one(100000);
    struct weir_spawn_options patiently = to_loop_one(LONG_NS * 100ll);
    int numbers[] = { 0, 1, 2, 3 };

    (void)arg;
    fill(scope, 1, 2);
    CHECK_EQUAL(weir_spawn(scope, note_order, &numbers[0], &at_once), 0);
    CHECK_EQUAL(weir_spawn(scope, note_order, &numbers[1], &at_once), 0);
    CHECK_EQUAL(weir_spawn(scope, note_order, &numbers[2], &at_once), -EAGAIN);
    CHECK_EQUAL(weir_spawn(scope, note_order, &numbers[2], &briefly), -ETIME);
    gate = 1;
    CHECK_EQUAL(weir_spawn(scope, note_order, &numbers[2], &patiently), 0);
    CHECK_EQUAL(weir_spawn(scope, note_order, &numbers[3], &patiently), 0);
    gate = 2;
    await_children(scope);
    return 0;
}

static void test_spawns_from_elsewhere_are_bounded(void **state)
{
    struct weir_options options = { .loop_count = 2, .tasks_per_loop = 2, .remote_spawns = 2 };

    (void)state;
    assert_int_equal(test_run(fill_the_way, NULL, &options), 0);
    assert_int_equal(order_count, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(order[i], i);
}

/* Whoever has waited longest gets the room, from wherever it spawns. */
static int wait_before_an_arrival(void *arg)
{
    struct weir_scope *scope = weir_task_scope();
    struct weir_spawn_options at_once = to_loop_one(0);
    struct spawner spawner = { scope, 0, LONG_NS * 100ll, 1 };
    int number = 1;
    uint64_t turns;

    (void)arg;
    fill(scope, 1, 1);
    CHECK_EQUAL(weir_spawn(scope, spawn_waiting, &spawner, &at_once), 0);
    turn = 1;
    while (counter(1, WEIR_SPAWNS_WAITING_NOW) == 0)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_sleep(weir_in_us(100)), 0); /* this loop's reading of the clock is later */
    CHECK_EQUAL(weir_spawn(scope, note_order, &number, &at_once), 0);
    turns = counter(1, WEIR_TURNS);
    while (counter(1, WEIR_TURNS) < turns + 2) /* then it has arrived */
        CHECK_EQUAL(weir_yield(), 0);
    gate = 1;
    turn = LAST_TURN;
    await_children(scope);
    CHECK_EQUAL(spawner.error, 0);
    return 0;
}

static void test_arrivals_do_not_overtake_who_waits(void **state)
{
    struct weir_options options = { .loop_count = 2, .tasks_per_loop = 2 };

    (void)state;
    assert_int_equal(test_run(wait_before_an_arrival, NULL, &options), 0);
    assert_int_equal(order[0], 0);
    assert_int_equal(order[1], 1);
}

/* --- Stacks. ---------------------------------------------------------------------------------- */

static int use_up_stacks(void *arg)
{
    struct weir_scope *scope = weir_task_scope();
    int count = 0;

    (void)arg;
    while (weir_spawn(scope, wait_at_gate, NULL, NULL) == 0)
        count++;
    CHECK(count > 0);
    CHECK(count < 32);
    CHECK_EQUAL(weir_spawn(scope, wait_at_gate, NULL, NULL), -EAGAIN);
    CHECK_EQUAL(counter(0, WEIR_TASKS_NOW), count + 1);
    CHECK_EQUAL(weir_scope_count(scope), count + 1);
    gate = 100;
    await_children(scope);
    CHECK_EQUAL(weir_spawn(scope, wait_at_gate, NULL, NULL), 0);
    return 0;
}

static void test_the_bound_on_stack_memory_refuses(void **state)
{
    struct weir_options options = { .loop_count = 1, .stack_total_bytes = 32 * 64 * 1024 };

    (void)state;
    assert_int_equal(test_run(use_up_stacks, NULL, &options), 0);
}

/* A spawn from elsewhere that finds no stack ends with the error, and holds up nobody. */
static int arrive_without_a_stack(void *arg)
{
    struct weir_scope *scope = weir_task_scope();
    struct weir_task *stackless = NULL;
    struct weir_spawn_options patiently = to_loop_one(LONG_NS);
    struct weir_spawn_options large = to_loop_one(LONG_NS);
    int number = 5;
    int result = 0;

    (void)arg;
    fill(scope, 1, 1);
    large.stack_bytes = 1 << 30;
    large.task = &stackless;
    CHECK_EQUAL(weir_spawn(scope, wait_at_gate, NULL, &large), 0);
    CHECK_EQUAL(weir_spawn(scope, note_order, &number, &patiently), 0);
    gate = 1;
    CHECK_EQUAL(weir_join(stackless, &result, WEIR_FOREVER), 0);
    CHECK_EQUAL(result, -EAGAIN);
    await_children(scope);
    CHECK_EQUAL(order_count, 1);
    return 0;
}

static void test_an_arrival_without_a_stack_holds_up_nobody(void **state)
{
    struct weir_options options = { .loop_count = 2,
                                    .tasks_per_loop = 1,
                                    .stack_total_bytes = 64 * 64 * 1024 };

    (void)state;
    assert_int_equal(test_run(arrive_without_a_stack, NULL, &options), 0);
}

/* The scope is cancelled right when a spawn that will find no stack has entered it: the cancel's
 * mail is on its way to a task that never was. */
static struct weir_scope *cancelled_scope;

static void cancel_between(void)
{
    weir__lock_release_hook = NULL;
    CHECK_EQUAL(weir_scope_cancel(cancelled_scope), 0);
}

static int sleep_shortly(void *arg)
{
    (void)arg;
    return weir_sleep(weir_in_us(50));
}

static int cancel_an_entering_task(void *arg)
{
    struct weir_task *task, *bystander;
    struct weir_spawn_options large = { .stack_bytes = 1 << 30 };
    struct weir_spawn_options next = { .task = &bystander };
    int result = 0;

    (void)arg;
    for (int with_handle = 0; with_handle < 2; with_handle++) {
        large.task = with_handle ? &task : NULL;
        CHECK_EQUAL(weir_scope_create(&cancelled_scope, WEIR_SCOPE_COLLECT, NULL), 0);
        weir__lock_release_hook = cancel_between;
        CHECK_EQUAL(weir_spawn(cancelled_scope, wait_at_gate, NULL, &large), -EAGAIN);
        CHECK(weir__lock_release_hook == NULL);
        CHECK_EQUAL(weir_spawn(weir_task_scope(), sleep_shortly, NULL, &next), 0);
        CHECK_EQUAL(weir_join(bystander, &result, WEIR_FOREVER), 0);
        CHECK_EQUAL(result, 0); /* the cancel was not for it */
        CHECK_EQUAL(counter(0, WEIR_CANCELS_RECEIVED), with_handle + 1);
        CHECK_EQUAL(weir_scope_join(cancelled_scope, WEIR_FOREVER), 0);
    }
    return 0;
}

static void test_a_cancel_may_meet_a_spawn_that_fails(void **state)
{
    struct weir_options options = {
        .loop_count = 1,
        .stack_total_bytes = 32 * 64 * 1024,
        /* nobody else releases locks: no thread watches */
        .stall_limit_ns = -1,
        .deadlock_limit_ns = -1,
        .mutex_limit_ns = -1,
        .drain_limit_ns = -1,
        .device_limit_ns = -1,
        .peer_limit_ns = -1,
        .growth_limit_ns = -1,
        .drop_limit_ns = -1,
    };

    (void)state;
    if (!WEIR_DEBUG)
        skip(); /* the hook is there in debug builds only */
    assert_int_equal(test_run(cancel_an_entering_task, NULL, &options), 0);
}

/* --- Memory. ---------------------------------------------------------------------------------- */

static int run_out_of_memory(void *arg)
{
    struct weir_scope *scope;
    struct weir_task *task = NULL;

    (void)arg;
    weir__memory_fail_after(1);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), -ENOMEM);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (unsigned loop = 0; loop < 2; loop++) {
        struct weir_spawn_options options = {
            .place = WEIR_PLACE_LOOP,
            .loop_index = loop,
            .task = &task,
        };

        weir__task_drop_cache(weir__loop_current);
        weir__memory_fail_after(1);
        CHECK_EQUAL(weir_spawn(scope, wait_at_gate, NULL, &options), -ENOMEM);
        CHECK_EQUAL(weir_scope_count(scope), 0);
        CHECK_EQUAL(weir_spawn(scope, wait_at_gate, NULL, &options), 0); /* the room is free */
        gate = 100;
        CHECK_EQUAL(weir_join(task, NULL, WEIR_FOREVER), 0);
    }
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_a_spawn_without_memory_takes_nothing(void **state)
{
    struct weir_options options = { .loop_count = 2, .tasks_per_loop = 2, .remote_spawns = 1 };

    (void)state;
    assert_int_equal(test_run(run_out_of_memory, NULL, &options), 0);
    weir__memory_fail_after(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_bound_on_tasks_refuses_or_waits, setup),
        cmocka_unit_test_setup(test_a_bound_of_one_is_enough_for_the_root, setup),
        cmocka_unit_test_setup(test_spawns_wait_for_room_in_order, setup),
        cmocka_unit_test_setup(test_spawns_from_elsewhere_are_bounded, setup),
        cmocka_unit_test_setup(test_arrivals_do_not_overtake_who_waits, setup),
        cmocka_unit_test_setup(test_the_bound_on_stack_memory_refuses, setup),
        cmocka_unit_test_setup(test_an_arrival_without_a_stack_holds_up_nobody, setup),
        cmocka_unit_test_setup(test_a_cancel_may_meet_a_spawn_that_fails, setup),
        cmocka_unit_test_setup(test_a_spawn_without_memory_takes_nothing, setup),
    };

    return cmocka_run_group_tests_name("core/spawn", tests, NULL, NULL);
}
