/* SPDX-License-Identifier: MIT */
/* Scopes in which one child decides: who it is, what becomes of the others, what is remembered. */
#include "support/support.h"

#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/task.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static _Atomic long report_count;
static _Atomic long cancelled_count;
static _Atomic long parked_count;

static void note_report(void *context, const struct weir_failure *failure)
{
    (void)context;
    (void)failure;
    report_count++;
}

static const struct weir_options noting = { .loop_count = 2, .on_failure = note_report };

static int setup(void **state)
{
    (void)state;
    report_count = cancelled_count = parked_count = 0;
    return 0;
}

static struct weir_scope *create(enum weir_scope_kind kind)
{
    struct weir_scope *scope = NULL;

    CHECK_EQUAL(weir_scope_create(&scope, kind, NULL), 0);
    return scope;
}

static void spawn(struct weir_scope *scope, weir_task_fn *fn, void *arg, unsigned loop_index)
{
    struct weir_spawn_options options = {
        .name = fn ? "runner" : NULL,
        .place = WEIR_PLACE_LOOP,
        .loop_index = loop_index,
    };

    CHECK_EQUAL(weir_spawn(scope, fn, arg, &options), 0);
}

static int return_code(void *arg)
{
    return *(int *)arg;
}

static int park(void *arg)
{
    int error;

    (void)arg;
    parked_count++;
    error = weir_sleep(WEIR_FOREVER);
    cancelled_count += error == -ECANCELED;
    return error;
}

/* Cancelled, it returns what it was given. */
static int park_and_return(void *arg)
{
    park(NULL);
    return *(int *)arg;
}

static void await_empty(struct weir_scope *scope, size_t count)
{
    while (weir_scope_count(scope) > count)
        CHECK_EQUAL(weir_yield(), 0);
}

/* --- Who decides. ----------------------------------------------------------------------------- */

static int race_to(void *arg)
{
    static int codes[] = { 7, 0, -EIO };
    struct weir_scope_outcome outcome;

    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct weir_scope *scope = create(WEIR_SCOPE_RACE);

        parked_count = cancelled_count = 0;
        for (unsigned loop = 0; loop < 2; loop++)
            spawn(scope, park, NULL, loop);
        test_await(&parked_count, 2);
        spawn(scope, return_code, &codes[i], 1);
        await_empty(scope, 0);
        CHECK_EQUAL(weir_spawn(scope, park, NULL, NULL), -ECANCELED);
        CHECK_EQUAL(weir_scope_join_outcome(scope, &outcome, WEIR_FOREVER), codes[i]);
        CHECK_EQUAL(cancelled_count, 2);
        CHECK(outcome.has_winner);
        CHECK_EQUAL(outcome.winner.result, codes[i]);
        CHECK_EQUAL(outcome.winner.loop_index, 1);
        CHECK(outcome.winner.arg == &codes[i]);
        CHECK(outcome.winner.spawned_at != NULL);
        CHECK(strcmp(outcome.winner.task_name, "runner") == 0);
        CHECK_EQUAL(outcome.has_failure, codes[i] < 0);
    }
    return 0;
}

static void test_the_first_to_end_wins_a_race(void **state)
{
    (void)state;
    assert_int_equal(test_run(race_to, NULL, &noting), 0);
    assert_int_equal(report_count, 0);
}

static int any_to(void *arg)
{
    static int codes[] = { -EIO, -ENOENT, 5, -EPIPE };
    struct weir_scope *scope = create(WEIR_SCOPE_ANY);
    struct weir_scope_outcome outcome;

    (void)arg;
    spawn(scope, park, NULL, 1);
    spawn(scope, park_and_return, &codes[3], 0);
    test_await(&parked_count, 2);
    spawn(scope, return_code, &codes[0], 0);
    await_empty(scope, 2);
    spawn(scope, return_code, &codes[1], 1);
    await_empty(scope, 2);
    CHECK_EQUAL(weir_scope_read(scope, &outcome), 0);
    CHECK(!outcome.has_winner && outcome.has_failure);
    CHECK_EQUAL(cancelled_count, 0); /* errors decide nothing */
    spawn(scope, return_code, &codes[2], 1);
    CHECK_EQUAL(weir_scope_join_outcome(scope, &outcome, WEIR_FOREVER), 5);
    CHECK_EQUAL(cancelled_count, 2);
    CHECK(outcome.has_winner && outcome.has_failure);
    CHECK(outcome.winner.arg == &codes[2]);
    CHECK(outcome.failure.arg == &codes[0]);
    CHECK_EQUAL(outcome.failure.result, -EIO);
    scope = create(WEIR_SCOPE_ANY);
    spawn(scope, return_code, &codes[1], 0);
    await_empty(scope, 0);
    spawn(scope, return_code, &codes[0], 0);
    CHECK_EQUAL(weir_scope_join_outcome(scope, &outcome, WEIR_FOREVER), -ENOENT);
    CHECK(!outcome.has_winner);
    CHECK(outcome.failure.arg == &codes[1]);
    return 0;
}

static void test_the_first_success_wins_any(void **state)
{
    (void)state;
    assert_int_equal(test_run(any_to, NULL, &noting), 0);
    assert_int_equal(report_count, 0);
}

/* --- Nobody, or late. ------------------------------------------------------------------------- */

static int undecided(void *arg)
{
    static const enum weir_scope_kind kinds[] = { WEIR_SCOPE_RACE, WEIR_SCOPE_ANY };

    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct weir_scope *scope = create(kinds[i]);
        int failed = -EIO, fine = 3;

        CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), -ENOENT);
        parked_count = 0;
        scope = create(kinds[i]);
        spawn(scope, park, NULL, 1);
        spawn(scope, park_and_return, &failed, 0); /* obeys, in its way */
        test_await(&parked_count, 2);
        CHECK_EQUAL(weir_scope_join(scope, WEIR_NOW), -ETIME);
        scope = create(kinds[i]);
        spawn(scope, park, NULL, 1);
        CHECK_EQUAL(weir_scope_cancel(scope), 0);
        CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), -ECANCELED);
        scope = create(kinds[i]);
        spawn(scope, park_and_return, &fine, 0);
        test_await(&parked_count, 3);
        CHECK_EQUAL(weir_scope_join(scope, WEIR_NOW), 3); /* an effect is not hidden */
    }
    return 0;
}

static void test_nobody_decides_or_late(void **state)
{
    (void)state;
    assert_int_equal(test_run(undecided, NULL, &noting), 0);
    assert_int_equal(report_count, 0);
}

/* --- What other kinds remember. --------------------------------------------------------------- */

static int remember(void *arg)
{
    static const struct {
        enum weir_scope_kind kind;
        int joined, reports;
    } rows[] = {
        { WEIR_SCOPE_FAIL_FAST, -EIO, 0 },
        { WEIR_SCOPE_COLLECT, -EIO, 1 },
        { WEIR_SCOPE_SUPERVISE, 0, 2 },
    };
    static int codes[] = { 0, -EIO, -ENOENT };

    (void)arg;
    for (size_t i = 0; i < 3; i++) {
        struct weir_scope *scope = create(rows[i].kind);
        struct weir_scope_outcome outcome;

        report_count = 0;
        CHECK_EQUAL(weir_scope_read(scope, &outcome), 0);
        CHECK(!outcome.has_winner && !outcome.has_failure);
        for (size_t j = 0; j < 3; j++) {
            if (weir_spawn(scope, return_code, &codes[j], NULL) < 0)
                CHECK_EQUAL(rows[i].kind, WEIR_SCOPE_FAIL_FAST);
            await_empty(scope, 0);
        }
        CHECK_EQUAL(weir_scope_join_outcome(scope, &outcome, WEIR_FOREVER), rows[i].joined);
        CHECK(outcome.has_failure && !outcome.has_winner);
        CHECK(outcome.failure.arg == &codes[1]);
        CHECK_EQUAL(outcome.failure.result, -EIO);
        CHECK_EQUAL(report_count, rows[i].reports);
    }
    CHECK_EQUAL(weir_scope_read(NULL, NULL), -EINVAL);
    return 0;
}

static void test_the_first_failure_is_remembered(void **state)
{
    (void)state;
    assert_int_equal(test_run(remember, NULL, &noting), 0);
}

enum { AGE_NS = 20000000 };

static int fail_of_age(void *arg)
{
    (void)arg;
    return weir_sleep(weir_in_ns(AGE_NS)) < 0 ? 0 : -EIO;
}

static int age(void *arg)
{
    struct weir_scope *scope = create(WEIR_SCOPE_COLLECT);
    struct weir_scope_outcome outcome;

    (void)arg;
    CHECK_EQUAL(weir_spawn(scope, fail_of_age, NULL, NULL), 0);
    CHECK_EQUAL(weir_scope_join_outcome(scope, &outcome, WEIR_FOREVER), -EIO);
    CHECK(outcome.failure.age_ns >= AGE_NS);
    return 0;
}

static void test_the_age_is_remembered(void **state)
{
    (void)state;
    assert_int_equal(test_run(age, NULL, &noting), 0);
}

/* --- Many, from two loops. -------------------------------------------------------------------- */

static _Atomic long success_count;

static int end_at_once(void *arg)
{
    (void)arg;
    success_count++;
    return (int)weir_loop_index() + 1;
}

static int end_cancelled_or_not(void *arg)
{
    int error = weir_yield();

    (void)arg;
    if (error >= 0)
        success_count++;
    return error < 0 ? error : (int)weir_loop_index() + 1;
}

/* Both loops end children while a cancel or a deadline comes: what is reported happened. */
static int race_often(void *arg)
{
    long rounds = *(long *)arg;

    for (long i = 0; i < rounds; i++) {
        enum weir_scope_kind kind = i % 2 ? WEIR_SCOPE_RACE : WEIR_SCOPE_ANY;
        struct weir_scope *scope = create(kind);
        int64_t deadline_ns = i % 3 ? WEIR_FOREVER : WEIR_NOW;
        int result;

        success_count = 0;
        for (unsigned child = 0; child < 4; child++) {
            struct weir_spawn_options options = {
                .place = WEIR_PLACE_LOOP,
                .loop_index = child % 2,
            };
            int error =
                weir_spawn(scope, child % 3 ? end_cancelled_or_not : end_at_once, NULL, &options);

            CHECK(error == 0 || error == -ECANCELED);
        }
        if (i % 5 == 0)
            weir_scope_cancel(scope);
        if (i % 7 == 0)
            CHECK_EQUAL(weir_scope_set_deadline(scope, 1), 0);
        result = weir_scope_join(scope, deadline_ns);
        if (success_count > 0)
            CHECK(result == 1 || result == 2);
        else
            CHECK(result == -ECANCELED || result == -ETIME);
    }
    return 0;
}

static void test_ends_cancels_and_deadlines_from_two_loops(void **state)
{
    long rounds = test_rounds(50000, 250000, 2500000); /* of four children */

    (void)state;
    assert_int_equal(test_run(race_often, &rounds, &noting), 0);
    assert_int_equal(report_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_first_to_end_wins_a_race, setup),
        cmocka_unit_test_setup(test_the_first_success_wins_any, setup),
        cmocka_unit_test_setup(test_nobody_decides_or_late, setup),
        cmocka_unit_test_setup(test_the_first_failure_is_remembered, setup),
        cmocka_unit_test_setup(test_the_age_is_remembered, setup),
        cmocka_unit_test_setup(test_ends_cancels_and_deadlines_from_two_loops, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
