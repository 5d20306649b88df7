/* SPDX-License-Identifier: MIT */
/* Classes of work: who gets the turn, who inherits which, and that a burst starves nobody. */
#include "core/priority.h"

#include "core/park.h"
#include "support/support.h"

#include <weir/pool.h>
#include <weir/runtime.h>
#include <weir/scope.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { OF_EACH = 20, BURST = 10000, CALLS = 400 };

static const struct weir_options one_loop = { .loop_count = 1 };

static void spawn_as(struct weir_scope *scope, enum weir_priority priority, weir_task_fn *fn,
                     void *arg)
{
    struct weir_spawn_options options = { .sets_priority = true, .priority = priority };

    CHECK_EQUAL(weir_spawn(scope, fn, arg, &options), 0);
}

/* --- The rule. -------------------------------------------------------------------------------- */

static void test_turns_go_by_shares(void **state)
{
    struct weir__shares shares = weir__shares_standard;
    const char *turns = "LLLLLLLLNNNNB";

    (void)state;
    for (size_t i = 0; i < 3 * strlen(turns); i++)
        assert_int_equal("NLB"[weir__shares_take(&shares, 7)], turns[i % strlen(turns)]);
    for (int i = 0; i < 100; i++) /* what nobody else wants */
        assert_int_equal(weir__shares_take(&shares, 1U << WEIR_PRIORITY_BACKGROUND),
                         WEIR_PRIORITY_BACKGROUND);
    assert_int_equal(weir__shares_take(&shares, 7), WEIR_PRIORITY_LATENCY);
}

/* --- The ready queue. ------------------------------------------------------------------------- */

static char order[3 * OF_EACH + 1];
static size_t order_count;

static int note(void *arg)
{
    order[order_count++] = *(const char *)arg;
    return 0;
}

static int ready_together(void *arg)
{
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < OF_EACH; i++) {
        spawn_as(scope, WEIR_PRIORITY_BACKGROUND, note, "B");
        spawn_as(scope, WEIR_PRIORITY_NORMAL, note, "N");
        spawn_as(scope, WEIR_PRIORITY_LATENCY, note, "L");
    }
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_ready_tasks_take_turns(void **state)
{
    (void)state;
    order_count = 0;
    assert_int_equal(test_run(ready_together, NULL, &one_loop), 0);
    assert_string_equal(order, "LLLLLLLLNNNNB"
                               "LLLLLLLLNNNNB"
                               "LLLLNNNNB"
                               "NNNNB"
                               "NNNNB"
                               "BBBBBBBBBBBBBBB");
}

static void test_shares_are_an_option(void **state)
{
    const struct weir_options options = {
        .loop_count = 1,
        .share_latency = 1,
        .share_normal = 2,
        .share_background = 3,
    };

    (void)state;
    order_count = 0;
    assert_int_equal(test_run(ready_together, NULL, &options), 0);
    assert_memory_equal(order, "LNNBBBLNNBBBLNNBBB", 18);
}

/* --- Inheritance. ----------------------------------------------------------------------------- */

static int tell(void *arg)
{
    *(enum weir_priority *)arg = weir_priority();
    return 0;
}

static int tell_child(void *arg)
{
    struct weir_task *task;
    struct weir_spawn_options options = { .task = &task };

    CHECK_EQUAL(weir_spawn(weir_task_scope(), tell, arg, &options), 0);
    CHECK_EQUAL(weir_set_priority(WEIR_PRIORITY_NORMAL), 0); /* its own, and from here on */
    return weir_join(task, NULL, WEIR_FOREVER);
}

static int hand_down(void *arg)
{
    enum weir_priority seen = WEIR_PRIORITY_LATENCY;
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_priority(), WEIR_PRIORITY_NORMAL);
    CHECK_EQUAL(weir_set_priority(WEIR_PRIORITY_BACKGROUND + 1), -EINVAL);
    CHECK_EQUAL(weir_set_priority(WEIR_PRIORITY_BACKGROUND), 0);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, tell_child, &seen, NULL), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(seen, WEIR_PRIORITY_BACKGROUND);
    CHECK_EQUAL(weir_priority(), WEIR_PRIORITY_BACKGROUND);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    spawn_as(scope, WEIR_PRIORITY_LATENCY, tell, &seen);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(seen, WEIR_PRIORITY_LATENCY);
    CHECK_EQUAL(weir_pool_run(tell, &seen, WEIR_FOREVER), 0);
    CHECK_EQUAL(seen, WEIR_PRIORITY_BACKGROUND);
    return 0;
}

static void test_children_and_jobs_inherit(void **state)
{
    (void)state;
    assert_int_equal(test_run(hand_down, NULL, &one_loop), 0);
    assert_int_equal(weir_priority(), WEIR_PRIORITY_NORMAL); /* of a plain thread */
}

/* --- A burst of background tasks. ------------------------------------------------------------- */

static bool stop;
static long burst_runs;

static int churn(void *arg)
{
    (void)arg;
    while (!stop) {
        burst_runs++;
        CHECK_EQUAL(weir_yield(), 0);
    }
    return 0;
}

/* Between two runs of ours, how often did the burst run? At most its share. */
static int run_beside(void *arg)
{
    long share = *(const long *)arg;
    long before = burst_runs;

    for (int i = 0; i < CALLS; i++)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK(burst_runs - before > 0);
    CHECK(burst_runs - before <= CALLS / share + 1);
    stop = true;
    return 0;
}

static int burst(void *arg)
{
    enum weir_priority priority = *(const enum weir_priority *)arg;
    struct weir_scope *scope;
    long share = priority == WEIR_PRIORITY_LATENCY ? 8 : 4;

    stop = false;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < BURST; i++)
        spawn_as(scope, WEIR_PRIORITY_BACKGROUND, churn, NULL);
    spawn_as(scope, priority, run_beside, &share);
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_a_burst_has_its_share(void **state)
{
    enum weir_priority priorities[] = { WEIR_PRIORITY_LATENCY, WEIR_PRIORITY_NORMAL };

    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(test_run(burst, &priorities[i], &one_loop), 0);
}

/* And it does not keep the loop from looking who else has come. */
static int look_often(void *arg)
{
    struct weir__counters *counters = &weir__loop_current->counters;
    uint64_t turns, switches;

    (void)arg;
    CHECK_EQUAL(weir_set_priority(WEIR_PRIORITY_BACKGROUND), 0);
    turns = weir__counter_get(counters, WEIR_TURNS);
    switches = weir__counter_get(counters, WEIR_SWITCHES);
    for (int i = 0; i < CALLS; i++)
        CHECK_EQUAL(weir_yield(), 0);
    turns = weir__counter_get(counters, WEIR_TURNS) - turns;
    switches = weir__counter_get(counters, WEIR_SWITCHES) - switches;
    CHECK(turns >= CALLS / WEIR__LOOP_BACKGROUND_BUDGET - 1);
    CHECK(turns <= CALLS / WEIR__LOOP_BACKGROUND_BUDGET + 1);
    CHECK(switches >= CALLS - WEIR__LOOP_BUDGET); /* those of the turn under way are not counted */
    CHECK(switches <= CALLS + WEIR__LOOP_BUDGET);
    return 0;
}

static void test_background_ends_the_turn_early(void **state)
{
    (void)state;
    assert_int_equal(test_run(look_often, NULL, &one_loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns_go_by_shares),
        cmocka_unit_test(test_ready_tasks_take_turns),
        cmocka_unit_test(test_shares_are_an_option),
        cmocka_unit_test(test_children_and_jobs_inherit),
        cmocka_unit_test(test_a_burst_has_its_share),
        cmocka_unit_test(test_background_ends_the_turn_early),
    };

    return cmocka_run_group_tests_name("core/priority", tests, NULL, NULL);
}
