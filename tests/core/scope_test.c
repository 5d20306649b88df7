/* SPDX-License-Identifier: MIT */
/* Scopes: what each kind does with failures, who is waited for, who is cancelled. */
#include "core/scope.h"

#include "base/clock.h"
#include "core/task.h"
#include "support/support.h"

#include <weir/runtime.h>
#include <weir/task.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static _Atomic long report_count;
static _Atomic long cancelled_count;
static _Atomic long parked_count;
static _Atomic long gate;
static int reported[8]; /* errors, on loop 0 only */

static void note_report(void *context, const struct weir_failure *failure)
{
    CHECK(context == &report_count);
    if (failure->loop_index == 0 && report_count < 8)
        reported[report_count] = failure->error;
    report_count++;
}

static const struct weir_options noting = {
    .loop_count = 2,
    .on_failure = note_report,
    .context = &report_count,
};

static int setup(void **state)
{
    (void)state;
    report_count = cancelled_count = parked_count = gate = 0;
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
    struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP, .loop_index = loop_index };

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

/* Ends when told, cancelled or not. */
static int finish_shielded(void *arg)
{
    (void)arg;
    parked_count++;
    test_await(&gate, 1);
    return 0;
}

/* --- Kinds. ----------------------------------------------------------------------------------- */

static int fail_fast(void *arg)
{
    int codes[] = { -EIO, -ENOENT };

    (void)arg;
    for (unsigned loop = 0; loop < 2; loop++) {
        struct weir_scope *scope = create(WEIR_SCOPE_FAIL_FAST);

        cancelled_count = parked_count = 0;
        for (unsigned i = 0; i < 10; i++)
            spawn(scope, park, NULL, i % 2);
        test_await(&parked_count, 10);
        spawn(scope, return_code, &codes[0], loop);
        while (weir_scope_count(scope))
            CHECK_EQUAL(weir_yield(), 0);
        CHECK_EQUAL(weir_spawn(scope, return_code, &codes[1], NULL), -ECANCELED);
        CHECK_EQUAL(weir_scope_cancel(scope), WEIR_ALREADY);
        CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), -EIO);
        CHECK_EQUAL(cancelled_count, 10);
    }
    return 0;
}

static void test_fail_fast_cancels_the_siblings(void **state)
{
    (void)state;
    assert_int_equal(test_run(fail_fast, NULL, &noting), 0);
    assert_int_equal(report_count, 0);
}

static int collect(void *arg)
{
    int codes[] = { 0, -EIO, -ENOENT, 4, -EPIPE };
    struct weir_scope *scope = create(WEIR_SCOPE_COLLECT);

    (void)arg;
    spawn(scope, finish_shielded, NULL, 1);
    test_await(&parked_count, 1);
    for (size_t i = 0; i < 5; i++)
        spawn(scope, return_code, &codes[i], 0);
    test_await(&report_count, 2);
    CHECK_EQUAL(weir_scope_count(scope), 1);
    gate = 1;
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), -EIO);
    return 0;
}

static void test_collect_returns_the_first_error_and_reports_the_rest(void **state)
{
    (void)state;
    assert_int_equal(test_run(collect, NULL, &noting), 0);
    assert_int_equal(report_count, 2);
    assert_int_equal(reported[0], -ENOENT);
    assert_int_equal(reported[1], -EPIPE);
}

static int supervise(void *arg)
{
    int codes[] = { -EIO, -ECANCELED, 0, -EPIPE };
    struct weir_scope *scope = create(WEIR_SCOPE_SUPERVISE);

    (void)arg;
    spawn(scope, finish_shielded, NULL, 1);
    for (size_t i = 0; i < 4; i++)
        spawn(scope, return_code, &codes[i], 0);
    test_await(&report_count, 3); /* -ECANCELED of one that nobody cancelled is a failure */
    gate = 1;
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(reported[0], -EIO);
    CHECK_EQUAL(reported[1], -ECANCELED);
    CHECK_EQUAL(reported[2], -EPIPE);
    return 0;
}

static void test_supervise_reports_each_and_returns_none(void **state)
{
    (void)state;
    assert_int_equal(test_run(supervise, NULL, &noting), 0);
    assert_int_equal(report_count, 3);
}

static long own_count;

static void note_own(void *context, const struct weir_failure *failure)
{
    CHECK(context == &own_count);
    CHECK(strcmp(failure->scope_name, "own") == 0);
    CHECK(strcmp(failure->task_name, "task") == 0);
    own_count++;
}

static int report_to_the_scope(void *arg)
{
    static int code = -EIO;
    struct weir_scope_options options = {
        .name = "own",
        .on_failure = note_own,
        .context = &own_count,
    };
    struct weir_scope *scope;

    (void)arg;
    own_count = 0;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE, &options), 0);
    spawn(scope, return_code, &code, 0);
    spawn(scope, return_code, &code, 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(own_count, 2); /* join returns after the last report */
    return 0;
}

static void test_a_scope_has_reports_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(test_run(report_to_the_scope, NULL, &noting), 0);
    assert_int_equal(report_count, 0);
}

/* --- Joining. --------------------------------------------------------------------------------- */

static int join_with_deadline(void *arg)
{
    int64_t deadlines_ns[] = { WEIR_NOW, 1, weir_in_us(200) };

    (void)arg;
    for (size_t i = 0; i < 3; i++) {
        struct weir_scope *scope = create(WEIR_SCOPE_COLLECT);

        cancelled_count = parked_count = 0;
        spawn(scope, park, NULL, 0);
        spawn(scope, park, NULL, 1);
        test_await(&parked_count, 2);
        CHECK_EQUAL(weir_scope_count(scope), 2);
        CHECK_EQUAL(weir_scope_join(scope, deadlines_ns[i]), -ETIME);
        CHECK_EQUAL(cancelled_count, 2);
        CHECK_EQUAL(weir_scope_join(create(WEIR_SCOPE_COLLECT), deadlines_ns[i]), 0);
    }
    return 0;
}

static void test_a_join_at_its_deadline_cancels_and_waits(void **state)
{
    (void)state;
    assert_int_equal(test_run(join_with_deadline, NULL, &noting), 0);
}

/* A scope within a task of a scope: a cancel of the outer one reaches the innermost child. */
static int own_a_scope(void *arg)
{
    long depth = *(long *)arg;
    long inner = depth - 1;
    struct weir_scope *scope = create(WEIR_SCOPE_FAIL_FAST);
    int error;

    spawn(scope, depth ? own_a_scope : park, &inner, (unsigned)depth % 2);
    error = weir_scope_join(scope, WEIR_FOREVER);
    cancelled_count += error == -ECANCELED;
    return error;
}

static int cancel_nested(void *arg)
{
    struct weir_scope *scope = create(WEIR_SCOPE_FAIL_FAST);
    long depth = 4;

    (void)arg;
    spawn(scope, own_a_scope, &depth, 1);
    test_await(&parked_count, 1);
    CHECK_EQUAL(weir_scope_cancel(scope), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(cancelled_count, 4 + 1 + 1);
    return 0;
}

static void test_a_cancel_goes_all_the_way_down(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_nested, NULL, &noting), 0);
    assert_int_equal(report_count, 0);
}

static struct weir_scope *shared;

static int join_shared(void *arg)
{
    (void)arg;
    return weir_scope_join(shared, WEIR_FOREVER);
}

static int spawn_into_shared(void *arg)
{
    return weir_spawn(shared, return_code, arg, NULL);
}

static int join_and_spawn(void *arg)
{
    static int zero = 0;
    struct weir_task *joiner;

    (void)arg;
    shared = create(WEIR_SCOPE_COLLECT);
    spawn(shared, join_shared, NULL, 0);
    CHECK_EQUAL(weir_scope_join(shared, WEIR_FOREVER), -EDEADLK);
    shared = create(WEIR_SCOPE_SUPERVISE);
    spawn(shared, finish_shielded, NULL, 1);
    CHECK_EQUAL(weir_spawn(weir_task_scope(), join_shared, NULL,
                           &(struct weir_spawn_options){ .task = &joiner }),
                0);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK(shared->joiner != NULL);
    CHECK_EQUAL(weir_spawn(shared, return_code, &zero, NULL), -EPIPE);
    CHECK_EQUAL(weir_scope_count(shared), 1);
    gate = 1;
    CHECK_EQUAL(weir_join(joiner, NULL, WEIR_FOREVER), 0);
    shared = create(WEIR_SCOPE_COLLECT);
    spawn(shared, spawn_into_shared, &zero, 0); /* a child may, while the scope is joined */
    CHECK_EQUAL(weir_scope_join(shared, WEIR_FOREVER), 0);
    return 0;
}

static void test_who_may_join_and_spawn(void **state)
{
    (void)state;
    assert_int_equal(test_run(join_and_spawn, NULL, &noting), 0);
    assert_int_equal(report_count, 0);
}

static int misuse(void *arg)
{
    char name[WEIR_NAME_BYTES + 1];
    struct weir_scope_options cases[] = {
        { .size = 1 },
        { .reserved = { 1 } },
        { .duration_ns = -1 },
    };
    struct weir_scope *scope;

    (void)arg;
    memset(name, 'n', sizeof name);
    name[WEIR_NAME_BYTES] = 0;
    CHECK_EQUAL(weir_scope_create(NULL, WEIR_SCOPE_COLLECT, NULL), -EINVAL);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_ANY + 1, NULL), -EINVAL);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, &cases[i]), -EINVAL);
    CHECK_EQUAL(
        weir_scope_create(&scope, WEIR_SCOPE_COLLECT, &(struct weir_scope_options){ .name = name }),
        -E2BIG);
    CHECK_EQUAL(weir_scope_join(NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_scope_cancel(NULL), -EINVAL);
    CHECK_EQUAL(weir_scope_count(NULL), 0);
    return 0;
}

static void test_bad_arguments_are_refused(void **state)
{
    (void)state;
    assert_int_equal(test_run(misuse, NULL, &noting), 0);
}

/* --- Plain threads. --------------------------------------------------------------------------- */

static _Atomic(struct weir_scope *) thread_scope;

static __thread bool dawdles;

/* Gives the others all the time they need to end before the doorbells are rung. */
static void dawdle(void)
{
    if (dawdles)
        weir__clock_sleep(300000);
}

static void *cancel_from_thread(void *arg)
{
    struct weir_scope *scope;

    (void)arg;
    while (!(scope = atomic_exchange(&thread_scope, NULL)))
        ;
    dawdles = true;
    CHECK_EQUAL(weir_scope_cancel(scope), 0);
    dawdles = false;
    return NULL;
}

/* Wakes by itself, often. */
static int doze(void *arg)
{
    int error;

    (void)arg;
    parked_count++;
    while ((error = weir_sleep(weir_in_us(30))) >= 0)
        ;
    return error;
}

/* The cancel ends the children, the scope, the root task and the runtime, mostly before the thread
 * that cancels has rung its last doorbell. */
static int end_by_cancel(void *arg)
{
    struct weir_scope *scope = create(WEIR_SCOPE_FAIL_FAST);

    (void)arg;
    parked_count = 0;
    spawn(scope, doze, NULL, 0);
    spawn(scope, doze, NULL, 1);
    test_await(&parked_count, 2);
    atomic_store(&thread_scope, scope);
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_a_thread_may_cancel_all_there_is(void **state)
{
    (void)state;
    weir__lock_release_hook = dawdle;
    for (long i = 0; i < test_rounds(200, 1000, 10000); i++) {
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, cancel_from_thread, NULL), 0);
        assert_int_equal(test_run(end_by_cancel, NULL, &noting), 0);
        pthread_join(thread, NULL);
    }
    weir__lock_release_hook = NULL;
}

static void *join_from_thread(void *arg)
{
    struct weir_scope *scope = create(WEIR_SCOPE_COLLECT);

    (void)arg;
    CHECK_EQUAL(weir_spawn(scope, park, NULL, NULL), -ENXIO); /* of no runtime */
    atomic_store(&thread_scope, scope);
    test_await(&parked_count, 2);
    CHECK_EQUAL(weir_scope_join(scope, weir_in_us(100)), -ETIME);
    gate = 1;
    return NULL;
}

static int fill_scope_of_thread(void *arg)
{
    struct weir_scope *scope;

    (void)arg;
    while (!(scope = atomic_exchange(&thread_scope, NULL)))
        CHECK_EQUAL(weir_yield(), 0);
    spawn(scope, park, NULL, 0);
    spawn(scope, park, NULL, 1);
    test_await(&gate, 1);
    CHECK_EQUAL(cancelled_count, 2);
    return 0;
}

static void test_a_thread_may_own_a_scope(void **state)
{
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, join_from_thread, NULL), 0);
    assert_int_equal(test_run(fill_scope_of_thread, NULL, &noting), 0);
    pthread_join(thread, NULL);
    test_carry_out();
}

/* --- Many. ------------------------------------------------------------------------------------ */

static void count_report(void *context, const struct weir_failure *failure)
{
    (void)context;
    CHECK(failure->error == -EIO);
    report_count++;
}

static int fail_every_third(void *arg)
{
    return (uintptr_t)arg % 3 == 0 ? -EIO : 0;
}

/* As many tasks as there can ever be at once: what memory they take is not growth. */
static void fill_both_loops(void)
{
    struct weir_scope *scope = create(WEIR_SCOPE_SUPERVISE);

    for (unsigned loop = 0; loop < 2; loop++) {
        struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP, .loop_index = loop };

        while (weir_spawn(scope, park, NULL, &options) >= 0)
            ;
    }
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_scope_cancel(scope), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
}

static int spawn_a_million(void *arg)
{
    static const struct weir_scope_options options = { .on_failure = count_report };
    long count = *(long *)arg;
    struct weir_scope *scope;
    size_t warm_bytes = 0;

    fill_both_loops();
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE, &options), 0);
    for (long i = 0; i < count; i++) {
        struct weir_spawn_options spawn_options = {
            .wait_ns = INT64_MAX,
            .place = i % 8 ? WEIR_PLACE_HERE : WEIR_PLACE_ANYWHERE,
        };

        if (!CHECK_EQUAL(weir_spawn(scope, fail_every_third, (void *)(uintptr_t)i, &spawn_options),
                         0))
            break;
        if (i == count / 10)
            warm_bytes = rss_bytes();
    }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    if (!TEST_SANITIZED)
        CHECK(rss_bytes() < warm_bytes + (4 << 20));
    return 0;
}

static void test_a_million_short_tasks_in_flat_memory(void **state)
{
    struct weir_options options = { .loop_count = 2, .tasks_per_loop = 1000 };
    long count = test_rounds(1000000, 3000000, 30000000);

    (void)state;
    assert_int_equal(test_run(spawn_a_million, &count, &options), 0);
    assert_int_equal(report_count, (count + 2) / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_fail_fast_cancels_the_siblings, setup),
        cmocka_unit_test_setup(test_collect_returns_the_first_error_and_reports_the_rest, setup),
        cmocka_unit_test_setup(test_supervise_reports_each_and_returns_none, setup),
        cmocka_unit_test_setup(test_a_scope_has_reports_of_its_own, setup),
        cmocka_unit_test_setup(test_a_join_at_its_deadline_cancels_and_waits, setup),
        cmocka_unit_test_setup(test_a_cancel_goes_all_the_way_down, setup),
        cmocka_unit_test_setup(test_who_may_join_and_spawn, setup),
        cmocka_unit_test_setup(test_bad_arguments_are_refused, setup),
        cmocka_unit_test_setup(test_a_thread_may_cancel_all_there_is, setup),
        cmocka_unit_test_setup(test_a_thread_may_own_a_scope, setup),
        cmocka_unit_test_setup(test_a_million_short_tasks_in_flat_memory, setup),
    };

    return cmocka_run_group_tests_name("core/scope", tests, NULL, NULL);
}
