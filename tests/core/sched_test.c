/* SPDX-License-Identifier: MIT */
/* Who runs next: order, and that nobody starves. */
#include "core/sched.h"

#include "core/park.h"
#include "support/support.h"

#include <weir/chan.h>
#include <weir/runtime.h>
#include <weir/scope.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { TASKS = 10, TURNS_MAX = 8 };

static const struct weir_options one_loop = { .loop_count = 1 };

static uint64_t turns(void)
{
    return weir__counter_get(&weir__loop_current->counters, WEIR_TURNS);
}

/* --- Order. ----------------------------------------------------------------------------------- */

static int sequence[3 * TASKS];
static int sequence_count;

static int note_thrice(void *arg)
{
    for (int i = 0; i < 3; i++) {
        sequence[sequence_count++] = *(int *)arg;
        CHECK_EQUAL(weir_yield(), 0);
    }
    return 0;
}

static int take_turns(void *arg)
{
    struct weir_scope *scope;
    int numbers[TASKS];

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < TASKS; i++) {
        numbers[i] = i;
        CHECK_EQUAL(weir_spawn(scope, note_thrice, &numbers[i], NULL), 0);
    }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    for (int i = 0; i < 3 * TASKS; i++)
        CHECK_EQUAL(sequence[i], i % TASKS);
    return 0;
}

static void test_ready_tasks_run_in_order(void **state)
{
    (void)state;
    assert_int_equal(test_run(take_turns, NULL, &one_loop), 0);
}

/* --- Nobody starves. -------------------------------------------------------------------------- */

static struct weir_chan *there, *back, *buffered;
static long played_count;
static bool stop;

static int serve(void *arg)
{
    (void)arg;
    while (weir_chan_send(there, NULL, WEIR_FOREVER) == 0 &&
           weir_chan_recv(back, NULL, WEIR_FOREVER) == 0)
        played_count++;
    return 0;
}

static int return_serve(void *arg)
{
    (void)arg;
    while (weir_chan_recv(there, NULL, WEIR_FOREVER) == 0 &&
           weir_chan_send(back, NULL, WEIR_FOREVER) == 0)
        ;
    return 0;
}

/* Its calls are always ready, so it never parks. */
static int feed_itself(void *arg)
{
    (void)arg;
    while (!stop) {
        CHECK_EQUAL(weir_chan_send(buffered, NULL, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_chan_recv(buffered, NULL, WEIR_FOREVER), 0);
    }
    return 0;
}

/* Sleeps that are due must end within a few turns, and so must a yield. */
static void make_progress(void)
{
    for (int i = 0; i < 20; i++) {
        int64_t deadline_ns = weir_in_us(50);
        uint64_t before;

        CHECK_EQUAL(weir_sleep(deadline_ns), 0);
        CHECK(weir_now_ns() >= deadline_ns);
        before = turns();
        CHECK_EQUAL(weir_yield(), 0);
        CHECK(turns() - before <= TURNS_MAX);
    }
}

static int play(void *arg)
{
    struct weir_scope *scope;
    long before;

    (void)arg;
    stop = false;
    CHECK_EQUAL(weir_chan_create(&there, 0, 0, NULL), 0);
    CHECK_EQUAL(weir_chan_create(&back, 0, 0, NULL), 0);
    CHECK_EQUAL(weir_chan_create(&buffered, 0, 1, NULL), 0);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, serve, NULL, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, return_serve, NULL, NULL), 0);
    make_progress();
    CHECK_EQUAL(weir_spawn(scope, feed_itself, NULL, NULL), 0);
    before = played_count;
    make_progress();
    CHECK(played_count > before);
    stop = true;
    CHECK_EQUAL(weir_chan_abort(there, 0), 0);
    CHECK_EQUAL(weir_chan_abort(back, 0), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    weir_chan_release(buffered);
    weir_chan_release(there);
    return weir_chan_release(back);
}

static void test_ping_pong_starves_nobody(void **state)
{
    (void)state;
    assert_int_equal(test_run(play, NULL, &one_loop), 0);
}

/* A sleeper whose time has come is ready after one turn, however many switches others make. */
static bool slept;

static int sleep_shortly(void *arg)
{
    CHECK_EQUAL(weir_sleep(*(int64_t *)arg), 0);
    slept = true;
    return 0;
}

static int yield_past_a_sleeper(void *arg)
{
    int64_t deadline_ns = weir_in_us(100);
    uint64_t before;

    (void)arg;
    slept = false;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), sleep_shortly, &deadline_ns, NULL), 0);
    CHECK_EQUAL(weir_yield(), 0);
    while (weir_now_ns() < deadline_ns + 20000) /* a tick of the wheel, too */
        ;
    before = turns();
    while (!slept)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK(turns() - before <= 2);
    return 0;
}

static void test_a_timer_is_seen_within_the_budget(void **state)
{
    (void)state;
    assert_int_equal(test_run(yield_past_a_sleeper, NULL, &one_loop), 0);
}

/* --- Budget and settling. --------------------------------------------------------------------- */

static int spend_the_budget(void *arg)
{
    uint64_t before = turns();

    (void)arg;
    CHECK_EQUAL(weir_chan_create(&buffered, 0, 1, NULL), 0);
    for (int i = 0; i < 10 * WEIR__LOOP_BUDGET; i++) {
        CHECK_EQUAL(weir_chan_send(buffered, NULL, WEIR_NOW), 0);
        CHECK_EQUAL(weir_chan_recv(buffered, NULL, WEIR_NOW), 0);
    }
    CHECK(turns() - before >= 20);
    CHECK(turns() - before <= 25);
    before = turns();
    for (int i = 0; i < 10 * WEIR__LOOP_BUDGET; i++)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK(turns() - before >= 10);
    CHECK(turns() - before <= 15);
    return weir_chan_release(buffered);
}

static void test_each_turn_has_a_budget(void **state)
{
    (void)state;
    assert_int_equal(test_run(spend_the_budget, NULL, &one_loop), 0);
}

static long yielded_count;

static int yield_often(void *arg)
{
    for (long i = 0; i < *(long *)arg; i++) {
        CHECK_EQUAL(weir_yield(), 0);
        yielded_count++;
    }
    return 0;
}

static int settle(void *arg)
{
    long counts[] = { 1, 10, 1000 };

    (void)arg;
    for (size_t i = 0; i < 3; i++) {
        yielded_count = 0;
        CHECK_EQUAL(weir_spawn(weir_task_scope(), yield_often, &counts[i], NULL), 0);
        weir__sched_settle();
        CHECK_EQUAL(yielded_count, counts[i]);
    }
    return 0;
}

static void test_settling_waits_for_all_that_is_ready(void **state)
{
    (void)state;
    assert_int_equal(test_run(settle, NULL, &one_loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_tasks_run_in_order),
        cmocka_unit_test(test_ping_pong_starves_nobody),
        cmocka_unit_test(test_a_timer_is_seen_within_the_budget),
        cmocka_unit_test(test_each_turn_has_a_budget),
        cmocka_unit_test(test_settling_waits_for_all_that_is_ready),
    };

    return cmocka_run_group_tests_name("core/sched", tests, NULL, NULL);
}
