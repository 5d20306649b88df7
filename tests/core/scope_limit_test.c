/* SPDX-License-Identifier: MIT */
/* The bound of a scope: who waits for a place, who gets it, who is refused, and what is counted. */
#include "support/support.h"

#include <weir/queue.h>
#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/task.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { LIMIT = 2, GUESTS = 4 };

static const struct weir_options two_loops = { .loop_count = 2 };
static _Atomic long gate, began_count;
static struct weir_scope *scope, *others;
static int order[GUESTS];
static _Atomic long order_count;

static int setup(void **state)
{
    (void)state;
    gate = began_count = order_count = 0;
    return 0;
}

static struct weir_scope *create(size_t limit)
{
    struct weir_scope_options options = { .name = "bounded", .limit = limit };
    struct weir_scope *made = NULL;

    CHECK_EQUAL(weir_scope_create(&made, WEIR_SCOPE_COLLECT, &options), 0);
    return made;
}

static struct weir_scope_stats stats_of(struct weir_scope *of)
{
    struct weir_scope_stats stats = { 0 };

    CHECK_EQUAL(weir_scope_read_stats(of, &stats), 0);
    return stats;
}

/* Ends when the gate has opened for one more. */
static int pass_the_gate(void *arg)
{
    long turn = ++began_count;

    (void)arg;
    while (gate < turn && weir_yield() >= 0)
        ;
    return 0;
}

static void fill(void)
{
    for (int i = 0; i < LIMIT; i++)
        CHECK_EQUAL(weir_spawn(scope, pass_the_gate, NULL, NULL), 0);
    test_await(&began_count, LIMIT);
}

static int spawn_into(int64_t wait_ns)
{
    return weir_spawn(scope, pass_the_gate, NULL,
                      &(struct weir_spawn_options){ .wait_ns = wait_ns });
}

static int be_guest(void *arg)
{
    int error = spawn_into(WEIR_FOREVER);

    if (error >= 0)
        order[order_count++] = (int)(intptr_t)arg;
    return error;
}

static void add_guests(int count)
{
    others = create(0);
    for (int i = 0; i < count; i++) {
        struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP, .loop_index = 0 };

        CHECK_EQUAL(weir_spawn(others, be_guest, (void *)(intptr_t)i, &options), 0);
        while (stats_of(scope).waiting <= (size_t)i)
            CHECK_EQUAL(weir_yield(), 0);
    }
}

/* The scope as weir_queue_walk shows it. */
static struct weir_queue_stats seen;

static void see_queue(const struct weir_queue_stats *queue, void *context)
{
    (void)context;
    if (strcmp(queue->name, "bounded") == 0 && strcmp(queue->owner, "scope") == 0)
        seen = *queue;
}

static void check_queue(const struct weir_scope_stats *stats)
{
    CHECK(weir_queue_walk(see_queue, NULL) > 0);
    CHECK_EQUAL(seen.limit, LIMIT);
    CHECK_EQUAL(seen.now_max, LIMIT);
    CHECK_EQUAL(seen.waiting_max, GUESTS);
    CHECK_EQUAL(seen.waited_count, stats->spawns_waited);
    CHECK_EQUAL(seen.wait_ns, stats->wait_ns);
    CHECK_EQUAL(seen.refused_count, 1);
    CHECK_EQUAL(seen.expired_count, 1);
}

static int take_turns(void *arg)
{
    struct weir_scope_stats stats;

    (void)arg;
    scope = create(LIMIT);
    fill();
    CHECK_EQUAL(spawn_into(0), -EAGAIN);
    CHECK_EQUAL(spawn_into(1), -ETIME);
    add_guests(GUESTS);
    for (int i = 0; i < GUESTS; i++) {
        gate++;
        test_await(&order_count, i + 1);
        CHECK_EQUAL(order[i], i);
        CHECK_EQUAL(weir_scope_count(scope), LIMIT);
    }
    gate = LIMIT + GUESTS;
    CHECK_EQUAL(weir_scope_join(others, WEIR_FOREVER), 0);
    stats = stats_of(scope);
    CHECK_EQUAL(stats.children_max, LIMIT);
    CHECK_EQUAL(stats.waiting, 0);
    CHECK_EQUAL(stats.spawns_refused, 1);
    CHECK_EQUAL(stats.spawns_waited, GUESTS + 1);
    CHECK_EQUAL(stats.spawns_expired, 1);
    CHECK(stats.wait_ns >= stats.wait_max_ns);
    CHECK(stats.wait_max_ns > 0);
    CHECK_EQUAL(stats.waiting_max, GUESTS);
    check_queue(&stats);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    seen.limit = 0;
    CHECK(weir_queue_walk(see_queue, NULL) > 0);
    CHECK_EQUAL(seen.limit, 0); /* it is gone */
    return 0;
}

static void test_guests_get_places_in_order(void **state)
{
    (void)state;
    assert_int_equal(test_run(take_turns, NULL, &two_loops), 0);
}

/* The same, cancelled or not. */
static int pass_shielded(void *arg)
{
    weir_shield_enter();
    pass_the_gate(arg);
    weir_shield_leave();
    return 0;
}

/* Cancelled, the scope is full until its children have ended: guests do not wait for that. */
static int cancel_under_guests(void *arg)
{
    (void)arg;
    scope = create(LIMIT);
    for (int i = 0; i < LIMIT; i++)
        CHECK_EQUAL(weir_spawn(scope, pass_shielded, NULL, NULL), 0);
    test_await(&began_count, LIMIT);
    add_guests(1);
    CHECK_EQUAL(weir_scope_cancel(scope), 0);
    CHECK_EQUAL(weir_scope_join(others, WEIR_FOREVER), -ECANCELED);
    CHECK_EQUAL(spawn_into(0), -ECANCELED);
    CHECK_EQUAL(weir_scope_count(scope), LIMIT);
    gate = LIMIT;
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return 0;
}

static int cancel_guest(void *arg)
{
    (void)arg;
    scope = create(LIMIT);
    fill();
    add_guests(1);
    CHECK_EQUAL(weir_scope_cancel(others), 0);
    CHECK_EQUAL(weir_scope_join(others, WEIR_FOREVER), 0);
    CHECK_EQUAL(stats_of(scope).waiting, 0);
    CHECK_EQUAL(weir_scope_count(scope), LIMIT);
    gate = LIMIT;
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return 0;
}

static int join_scope(void *arg)
{
    (void)arg;
    return weir_scope_join(scope, WEIR_FOREVER);
}

static int join_under_guests(void *arg)
{
    struct weir_scope *joiners = create(0);

    (void)arg;
    scope = create(LIMIT);
    fill();
    add_guests(GUESTS);
    CHECK_EQUAL(weir_spawn(joiners, join_scope, NULL, NULL), 0);
    CHECK_EQUAL(weir_scope_join(others, WEIR_FOREVER), -EPIPE);
    gate = LIMIT;
    CHECK_EQUAL(weir_scope_join(joiners, WEIR_FOREVER), 0);
    CHECK_EQUAL(order_count, 0);
    return 0;
}

static _Atomic long refusal_count;

static void note_refusal(void *context, const struct weir_failure *failure)
{
    (void)context;
    CHECK_EQUAL(failure->error, -EPIPE);
    refusal_count++;
}

static void test_guests_leave(void **state)
{
    struct weir_options noting = { .loop_count = 2, .on_failure = note_refusal };

    assert_int_equal(test_run(cancel_under_guests, NULL, &two_loops), 0);
    setup(state);
    assert_int_equal(test_run(cancel_guest, NULL, &two_loops), 0);
    setup(state);
    refusal_count = 0;
    assert_int_equal(test_run(join_under_guests, NULL, &noting), 0);
    assert_int_equal(refusal_count, GUESTS - 1);
}

/* A place that cannot be used, for want of room on the loop, is given on. */
static int want_of_room(void *arg)
{
    struct weir_scope *filling = create(0);

    (void)arg;
    scope = create(1);
    while (weir_spawn(filling, pass_the_gate, NULL, NULL) >= 0)
        ;
    CHECK_EQUAL(spawn_into(0), -EAGAIN);
    CHECK_EQUAL(weir_scope_count(scope), 0);
    CHECK_EQUAL(spawn_into(1), -ETIME);
    CHECK_EQUAL(weir_scope_count(scope), 0);
    gate = 1000;
    CHECK_EQUAL(weir_scope_join(filling, WEIR_FOREVER), 0);
    CHECK_EQUAL(spawn_into(0), 0);
    CHECK_EQUAL(weir_scope_count(scope), 1);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return 0;
}

static void test_a_place_without_room_is_given_back(void **state)
{
    struct weir_options options = { .loop_count = 1, .tasks_per_loop = 8 };

    (void)state;
    assert_int_equal(test_run(want_of_room, NULL, &options), 0);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int spawn_many(void *arg)
{
    long count = *(long *)arg;

    for (long i = 0; i < count; i++) {
        struct weir_spawn_options options = {
            .wait_ns = WEIR_FOREVER,
            .place = WEIR_PLACE_LOOP,
            .loop_index = (unsigned)i % 2,
        };

        CHECK_EQUAL(weir_spawn(scope, nothing, NULL, &options), 0);
    }
    return 0;
}

static int crowd(void *arg)
{
    (void)arg;
    scope = create(LIMIT);
    others = create(0);
    for (unsigned i = 0; i < GUESTS; i++) {
        struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP, .loop_index = i % 2 };

        CHECK_EQUAL(weir_spawn(others, spawn_many, arg, &options), 0);
    }
    CHECK_EQUAL(weir_scope_join(others, WEIR_FOREVER), 0);
    CHECK(stats_of(scope).children_max == LIMIT);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return 0;
}

static void test_never_more_than_the_limit(void **state)
{
    long count = test_rounds(20000, 100000, 1000000);

    (void)state;
    assert_int_equal(test_run(crowd, &count, &two_loops), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_guests_get_places_in_order, setup),
        cmocka_unit_test_setup(test_guests_leave, setup),
        cmocka_unit_test_setup(test_a_place_without_room_is_given_back, setup),
        cmocka_unit_test_setup(test_never_more_than_the_limit, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
