/* SPDX-License-Identifier: MIT */
/* The parallel loop: each item once, never more at once than may be, and how it ends early. */
#include "support/support.h"

#include <weir/for_each.h>
#include <weir/local.h>
#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/stats.h>
#include <weir/task.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { ITEMS = 100, PARALLELISM = 4 };

static _Atomic long report_count, now_count, max_count, begun_count, loops_seen;
static _Atomic unsigned char begun[ITEMS];
static int key;

static void note_report(void *context, const struct weir_failure *failure)
{
    (void)context;
    (void)failure;
    report_count++;
}

static const struct weir_options noting = { .loop_count = 2, .on_failure = note_report };

static int make_key(void **state)
{
    (void)state;
    key = weir_local_create("item", NULL);
    return key >= 0 ? 0 : -1;
}

static int setup(void **state)
{
    (void)state;
    report_count = now_count = max_count = begun_count = loops_seen = 0;
    for (size_t i = 0; i < ITEMS; i++)
        begun[i] = 0;
    return 0;
}

/* What the items of a trial do. */
struct trial {
    size_t failing; /* this one fails; ITEMS: none */
    bool wait;      /* the others wait for ever */
    bool gather;    /* the first ones wait for each other: so many are at it at once */
};

static void enter(size_t index)
{
    long now = ++now_count;

    begun[index]++;
    begun_count++;
    while (now > max_count)
        max_count = now;
    loops_seen |= 1l << weir_loop_index();
}

static int do_item(size_t index, void *context)
{
    const struct trial *trial = context;
    int result = 0;

    enter(index);
    if (trial->gather)
        test_await(&begun_count, PARALLELISM);
    for (int i = 0; i < 3 && result >= 0; i++)
        result = weir_yield();
    if (index == trial->failing)
        result = -EIO;
    else if (trial->wait)
        result = weir_sleep(WEIR_FOREVER);
    now_count--;
    return result < 0 ? result : (int)index;
}

/* --- All of them. ----------------------------------------------------------------------------- */

static int do_all(void *arg)
{
    const struct trial trial = { .failing = ITEMS, .gather = true };
    int results[ITEMS];
    struct weir_for_each_options options = {
        .parallelism = PARALLELISM,
        .results = results,
        .everywhere = *(bool *)arg,
    };

    CHECK_EQUAL(weir_for_each(ITEMS, do_item, (void *)&trial, &options, WEIR_FOREVER), 0);
    for (int i = 0; i < ITEMS; i++) {
        CHECK_EQUAL(begun[i], 1);
        CHECK_EQUAL(results[i], i);
    }
    CHECK_EQUAL(now_count, 0);
    CHECK_EQUAL(weir_for_each(0, do_item, (void *)&trial, &options, WEIR_FOREVER), 0);
    return 0;
}

static void each_item_once_and_in_the_bound(void **state)
{
    bool everywhere = false;

    assert_int_equal(test_run(do_all, &everywhere, &noting), 0);
    assert_int_equal(max_count, PARALLELISM);
    assert_int_equal(loops_seen, 1);
    setup(state);
    everywhere = true;
    assert_int_equal(test_run(do_all, &everywhere, &noting), 0);
    assert_int_equal(max_count, PARALLELISM);
    assert_int_equal(loops_seen, 3);
}

static int do_in_order(void *arg)
{
    const struct trial trial = { .failing = ITEMS };

    (void)arg;
    CHECK_EQUAL(weir_for_each(ITEMS, do_item, (void *)&trial, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(begun_count, ITEMS);
    CHECK_EQUAL(max_count, 1);
    return 0;
}

static void one_at_a_time_by_default(void **state)
{
    (void)state;
    assert_int_equal(test_run(do_in_order, NULL, &noting), 0);
}

/* --- Not all. --------------------------------------------------------------------------------- */

static int fail_third(void *arg)
{
    const struct trial trial = { .failing = 2, .wait = true };
    int results[ITEMS];
    struct weir_for_each_options options = { .parallelism = PARALLELISM, .results = results };

    (void)arg;
    CHECK_EQUAL(weir_for_each(ITEMS, do_item, (void *)&trial, &options, WEIR_FOREVER), -EIO);
    CHECK_EQUAL(now_count, 0);
    CHECK_EQUAL(begun_count, PARALLELISM);
    for (int i = 0; i < ITEMS; i++)
        CHECK_EQUAL(results[i], i == 2 ? -EIO : -ECANCELED);
    return 0;
}

static int collect(void *arg)
{
    const struct trial trial = { .failing = 2 };
    int results[ITEMS];
    struct weir_for_each_options options = {
        .parallelism = PARALLELISM,
        .collect = true,
        .results = results,
    };

    (void)arg;
    CHECK_EQUAL(weir_for_each(ITEMS, do_item, (void *)&trial, &options, WEIR_FOREVER), -EIO);
    CHECK_EQUAL(begun_count, ITEMS);
    for (int i = 0; i < ITEMS; i++)
        CHECK_EQUAL(results[i], i == 2 ? -EIO : i);
    return 0;
}

static void the_first_error_ends_it_or_is_collected(void **state)
{
    assert_int_equal(test_run(fail_third, NULL, &noting), 0);
    setup(state);
    assert_int_equal(test_run(collect, NULL, &noting), 0);
    assert_int_equal(report_count, 0);
}

static int expire(void *arg)
{
    const struct trial trial = { .failing = ITEMS, .wait = true };
    int results[ITEMS];
    struct weir_for_each_options options = { .parallelism = PARALLELISM, .results = results };

    (void)arg;
    CHECK_EQUAL(weir_for_each(ITEMS, do_item, (void *)&trial, &options, 1), -ETIME);
    CHECK_EQUAL(now_count, 0);
    for (int i = 0; i < ITEMS; i++)
        CHECK_EQUAL(results[i], -ECANCELED);
    options.collect = true;
    CHECK_EQUAL(weir_for_each(ITEMS, do_item, (void *)&trial, &options, 1), -ETIME);
    CHECK_EQUAL(now_count, 0);
    return 0;
}

static int do_shielded(size_t index, void *context)
{
    int result;

    (void)context;
    weir_shield_enter();
    now_count++;
    while (!weir_cancelled())
        (void)weir_yield();
    result = (int)index;
    weir_shield_leave();
    return result;
}

/* The deadline passed, but all that was to be done is. */
static int finish_late(void *arg)
{
    struct weir_for_each_options options = { .parallelism = 2 };

    (void)arg;
    now_count = 0;
    CHECK_EQUAL(weir_for_each(2, do_shielded, NULL, &options, 1), 0);
    CHECK_EQUAL(now_count, 2);
    CHECK_EQUAL(weir_for_each(3, do_shielded, NULL, &options, 1), -ETIME);
    return 0;
}

static void a_deadline_ends_it(void **state)
{
    (void)state;
    assert_int_equal(test_run(expire, NULL, &noting), 0);
    assert_int_equal(test_run(finish_late, NULL, &noting), 0);
    assert_int_equal(report_count, 0);
}

/* --- Tasks. ----------------------------------------------------------------------------------- */

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int squeeze(void *arg)
{
    const struct trial trial = { .failing = ITEMS };
    struct weir_for_each_options options = { .parallelism = 50 };
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_for_each(ITEMS, do_item, (void *)&trial, &options, WEIR_FOREVER), 0);
    CHECK_EQUAL(begun_count, ITEMS);
    CHECK_EQUAL(max_count, 3); /* of four tasks one is the root */
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    while (weir_spawn(scope, do_nothing, NULL, NULL) >= 0)
        ;
    CHECK_EQUAL(weir_for_each(ITEMS, do_item, (void *)&trial, &options, WEIR_FOREVER), -EAGAIN);
    CHECK_EQUAL(begun_count, ITEMS);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return 0;
}

static void fewer_tasks_do(void **state)
{
    struct weir_options options = { .loop_count = 1, .tasks_per_loop = 4 };

    (void)state;
    assert_int_equal(test_run(squeeze, NULL, &options), 0);
}

static int change_locals(size_t index, void *context)
{
    int64_t *deadline_ns = context;

    CHECK(weir_local_get(key) == context); /* not what the item before has set */
    CHECK_EQUAL(weir_local_set(key, (char *)context + index + 1), 0);
    CHECK_EQUAL(weir_deadline_ns(), *deadline_ns);
    CHECK_EQUAL(strcmp(weir_task_name(NULL), "for each"), 0);
    return 0;
}

static int inherit(void *arg)
{
    struct weir_for_each_options options = { .parallelism = 2, .everywhere = true };
    int64_t deadline_ns = weir_in_seconds(1000);

    (void)arg;
    CHECK_EQUAL(weir_local_set(key, &deadline_ns), 0);
    CHECK_EQUAL(weir_for_each(ITEMS, change_locals, &deadline_ns, &options, deadline_ns), 0);
    CHECK(weir_local_get(key) == &deadline_ns);
    return 0;
}

static void items_begin_with_the_callers_values(void **state)
{
    (void)state;
    assert_int_equal(test_run(inherit, NULL, &noting), 0);
}

/* A task on another loop, which finds no stack there, is one of those that could not be had. */
static long count_failed_tasks(void)
{
    uint64_t counters[WEIR_COUNTER_COUNT];

    CHECK_EQUAL(weir_stats_read(counters, WEIR_COUNTER_COUNT), WEIR_COUNTER_COUNT);
    return (long)counters[WEIR_TASKS_FAILED];
}

static int do_after_the_failure(size_t index, void *context)
{
    int error = 0;

    (void)context;
    begun[index]++;
    while (error >= 0 && count_failed_tasks() == 0)
        error = weir_yield();
    for (int i = 0; error >= 0 && i < 100; i++)
        error = weir_yield();
    return error;
}

static int run_beside_a_full_loop(void *arg)
{
    struct weir_for_each_options options = {
        .parallelism = 2, .everywhere = true, .stack_bytes = 1 << 22, /* there is room for one */
    };

    (void)arg;
    CHECK_EQUAL(weir_for_each(ITEMS, do_after_the_failure, NULL, &options, WEIR_FOREVER), 0);
    for (size_t i = 0; i < ITEMS; i++)
        CHECK_EQUAL(begun[i], 1);
    return 0;
}

static void a_loop_without_a_stack_leaves_it_to_the_others(void **state)
{
    struct weir_options options = { .loop_count = 2, .stack_total_bytes = 3 << 20 }; /* of each */

    (void)state;
    assert_int_equal(test_run(run_beside_a_full_loop, NULL, &options), 0);
}

static int misuse(void *arg)
{
    struct weir_for_each_options cases[] = {
        { .size = 1 },
        { .reserved = { 1 } },
        { .name = "a name that is longer than a name may be" },
    };

    (void)arg;
    CHECK_EQUAL(weir_for_each(1, NULL, NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_for_each(1, do_item, NULL, &cases[0], WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_for_each(1, do_item, NULL, &cases[1], WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_for_each(1, do_item, NULL, &cases[2], WEIR_FOREVER), -E2BIG);
    return 0;
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    assert_int_equal(test_run(misuse, NULL, &noting), 0);
    assert_int_equal(weir_for_each(1, do_item, NULL, NULL, WEIR_FOREVER), -ENXIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_item_once_and_in_the_bound, setup),
        cmocka_unit_test_setup(one_at_a_time_by_default, setup),
        cmocka_unit_test_setup(the_first_error_ends_it_or_is_collected, setup),
        cmocka_unit_test_setup(a_deadline_ends_it, setup),
        cmocka_unit_test_setup(fewer_tasks_do, setup),
        cmocka_unit_test_setup(a_loop_without_a_stack_leaves_it_to_the_others, setup),
        cmocka_unit_test_setup(items_begin_with_the_callers_values, setup),
        cmocka_unit_test_setup(bad_arguments_are_refused, setup),
    };

    return cmocka_run_group_tests(tests, make_key, NULL);
}
