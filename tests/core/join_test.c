/* SPDX-License-Identifier: MIT */
/* The end of a task as its joiners, and those who gave its handle up, hear of it. */
#include "core/join.h"

#include "support/support.h"

#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/select.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static _Atomic long failure_count;
static struct weir_failure last_failure;
static char last_task_name[WEIR_NAME_BYTES];
static char last_scope_name[WEIR_NAME_BYTES];

static void note_failure(void *context, const struct weir_failure *failure)
{
    CHECK(context == &failure_count);
    last_failure = *failure;
    strcpy(last_task_name, failure->task_name);
    strcpy(last_scope_name, failure->scope_name);
    failure_count++;
}

static const struct weir_options noting = {
    .loop_count = 2,
    .on_failure = note_failure,
    .context = &failure_count,
};

static int setup(void **state)
{
    (void)state;
    failure_count = 0;
    return 0;
}

static int return_code(void *arg)
{
    return *(int *)arg;
}

static int sleep_forever(void *arg)
{
    (void)arg;
    return weir_sleep(WEIR_FOREVER);
}

static struct weir_task *spawn(weir_task_fn *fn, void *arg, unsigned loop_index)
{
    struct weir_task *task = NULL;
    struct weir_spawn_options options = {
        .name = "child",
        .task = &task,
        .place = WEIR_PLACE_LOOP,
        .loop_index = loop_index,
    };

    CHECK_EQUAL(weir_spawn(weir_task_scope(), fn, arg, &options), 0);
    return task;
}

static void await_end(struct weir_task *task)
{
    for (bool ended = false; !ended;) {
        weir__lock_acquire(&task->lock);
        ended = task->ended;
        weir__lock_release(&task->lock);
        CHECK_EQUAL(weir_yield(), 0);
    }
}

/* --- What join tells. ------------------------------------------------------------------------- */

static int tell_apart(void *arg)
{
    int codes[] = { 0, 17, -EIO };
    struct weir_task *task;
    int result;

    (void)arg;
    for (unsigned loop = 0; loop < 2; loop++) {
        for (size_t i = 0; i < 3; i++) {
            for (int wait_first = 0; wait_first < 2; wait_first++) {
                task = spawn(return_code, &codes[i], loop);
                if (wait_first)
                    await_end(task);
                CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
                CHECK_EQUAL(result, codes[i]);
            }
        }
        task = spawn(sleep_forever, NULL, loop);
        CHECK_EQUAL(weir_task_cancel(task), 0);
        CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
        CHECK_EQUAL(result, -ECANCELED);
        CHECK_EQUAL(weir_join(spawn(return_code, &codes[2], loop), NULL, WEIR_FOREVER), 0);
    }
    return 0;
}

static void test_join_tells_value_error_and_cancel(void **state)
{
    (void)state;
    assert_int_equal(test_run(tell_apart, NULL, &noting), 0);
    assert_int_equal(failure_count, 0); /* the joiner has heard them */
}

static int keep_the_handle(void *arg)
{
    struct weir_task *task = spawn(sleep_forever, NULL, 1);
    int result = 0;

    (void)arg;
    CHECK_EQUAL(weir_join(NULL, &result, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_join(task, &result, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_join(task, &result, 1), -ETIME);
    CHECK_EQUAL(weir_join(task, &result, weir_in_us(200)), -ETIME);
    CHECK(strcmp(weir_task_name(task), "child") == 0);
    CHECK_EQUAL(weir_task_cancel(task), 0);
    CHECK_EQUAL(weir_join(task, &result, weir_in_seconds(1000)), 0);
    CHECK_EQUAL(result, -ECANCELED);
    return 0;
}

static void test_a_join_that_failed_keeps_the_handle(void **state)
{
    (void)state;
    assert_int_equal(test_run(keep_the_handle, NULL, &noting), 0);
}

static int join_in_vain(void *arg)
{
    int result;

    return weir_join(arg, &result, WEIR_FOREVER);
}

static int cancel_the_joiner(void *arg)
{
    struct weir_task *sleeper = spawn(sleep_forever, NULL, 1);
    struct weir_task *joiner = spawn(join_in_vain, sleeper, 0);
    int result;

    (void)arg;
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_task_cancel(joiner), 0);
    CHECK_EQUAL(weir_join(joiner, &result, WEIR_FOREVER), 0);
    CHECK_EQUAL(result, -ECANCELED);
    CHECK_EQUAL(weir_task_cancel(sleeper), 0);
    return weir_join(sleeper, &result, WEIR_FOREVER);
}

static void test_a_cancelled_joiner_leaves_no_trace(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_the_joiner, NULL, &noting), 0);
}

static int join_self(void *arg)
{
    struct weir_task **self = arg;
    int result;

    return weir_join(*self, &result, WEIR_FOREVER);
}

static int spawn_self_joiner(void *arg)
{
    static struct weir_task *self;
    struct weir_spawn_options options = { .task = &self };
    int result = 0;

    (void)arg;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), join_self, &self, &options), 0);
    CHECK_EQUAL(weir_join(self, &result, WEIR_FOREVER), 0);
    CHECK_EQUAL(result, -EDEADLK);
    return 0;
}

static void test_no_task_joins_itself(void **state)
{
    (void)state;
    assert_int_equal(test_run(spawn_self_joiner, NULL, &noting), 0);
}

/* --- As a clause of a select. ----------------------------------------------------------------- */

static int select_joins(void *arg)
{
    int code = -EIO;
    int results[2] = { 0 };
    struct weir_task *sleeper = spawn(sleep_forever, NULL, 1);
    struct weir_task *failing;

    (void)arg;
    for (unsigned loop = 0; loop < 2; loop++) {
        struct weir_clause clauses[2];

        failing = spawn(return_code, &code, loop);
        clauses[0] = weir_clause_join(sleeper, &results[0]);
        clauses[1] = weir_clause_join(failing, &results[1]);
        CHECK_EQUAL(weir_select(clauses, 2, 0, WEIR_FOREVER), 1);
        CHECK_EQUAL(results[1], -EIO);
        results[1] = 0;
        CHECK_EQUAL(weir_select(clauses, 2, 0, WEIR_NOW), 1); /* it stays ready */
        CHECK_EQUAL(results[1], -EIO);
        weir_task_release(failing); /* heard already: not reported */
        CHECK_EQUAL(weir_select(clauses, 1, 0, WEIR_NOW), -EAGAIN);
        CHECK_EQUAL(weir_select(clauses, 1, 0, weir_in_us(100)), -ETIME);
        CHECK(weir__list_empty(&sleeper->joiners));
        clauses[0] = weir_clause_join(weir_task_self(), NULL);
        CHECK_EQUAL(weir_select(clauses, 1, 0, WEIR_FOREVER), -EINVAL);
    }
    CHECK_EQUAL(weir_task_cancel(sleeper), 0);
    return weir_join(sleeper, NULL, WEIR_FOREVER);
}

static void test_a_select_hears_an_end(void **state)
{
    (void)state;
    assert_int_equal(test_run(select_joins, NULL, &noting), 0);
    assert_int_equal(failure_count, 0);
}

/* --- Handles that are given up. --------------------------------------------------------------- */

static int give_up_before_the_end(void *arg)
{
    static int code = -ENOENT;

    (void)arg;
    weir_task_release(spawn(return_code, &code, 0)); /* it has not run yet */
    test_await(&failure_count, 1);
    CHECK_EQUAL(last_failure.error, -ENOENT);
    CHECK_EQUAL(last_failure.loop_index, 0);
    CHECK(strcmp(last_task_name, "child") == 0);
    CHECK(strcmp(last_scope_name, "root") == 0);
    return 0;
}

static void test_a_release_before_the_end_leaves_it_to_the_report(void **state)
{
    (void)state;
    assert_int_equal(test_run(give_up_before_the_end, NULL, &noting), 0);
    assert_int_equal(failure_count, 1);
}

static int give_up_after_the_end(void *arg)
{
    static int code = -ENOENT;

    (void)arg;
    for (unsigned loop = 0; loop < 2; loop++) {
        struct weir_task *task = spawn(return_code, &code, loop);

        await_end(task);
        CHECK_EQUAL(failure_count, loop);
        weir_task_release(task);
        CHECK_EQUAL(failure_count, loop + 1);
        CHECK_EQUAL(last_failure.error, -ENOENT);
        CHECK_EQUAL(last_failure.loop_index, loop);
        CHECK(strcmp(last_task_name, "child") == 0);
    }
    return 0;
}

static void test_a_release_after_the_end_reports_once(void **state)
{
    (void)state;
    assert_int_equal(test_run(give_up_after_the_end, NULL, &noting), 0);
    assert_int_equal(failure_count, 2);
}

static int leave_handles(void *arg)
{
    static int codes[] = { -ENOENT, 3, -EIO };
    struct weir_task **tasks = arg;

    for (size_t i = 0; i < 3; i++)
        tasks[i] = spawn(return_code, &codes[i], 1);
    for (size_t i = 0; i < 3; i++)
        await_end(tasks[i]);
    return 0;
}

static void test_handles_outlive_their_runtime(void **state)
{
    struct weir_task *tasks[3];
    int result = 0;

    (void)state;
    assert_int_equal(test_run(leave_handles, tasks, &noting), 0);
    assert_int_equal(failure_count, 0);
    assert_int_equal(weir_task_cancel(tasks[0]), WEIR_ALREADY);
    assert_int_equal(weir_join(tasks[0], &result, WEIR_FOREVER), 0);
    assert_int_equal(result, -ENOENT);
    weir_task_release(tasks[1]);
    assert_int_equal(failure_count, 0);
    weir_task_release(tasks[2]);
    assert_int_equal(failure_count, 1);
    assert_int_equal(last_failure.error, -EIO);
    assert_int_equal(last_failure.loop_index, 1);
}

/* --- Many ends at once. ----------------------------------------------------------------------- */

static int join_many(void *arg)
{
    long rounds = test_rounds(20000, 200000, 2000000);
    int codes[4] = { 1, 2, -EIO, -ECANCELED };

    (void)arg;
    for (long i = 0; i < rounds; i++) {
        struct weir_task *task = spawn(return_code, &codes[i % 4], (unsigned)(i / 4 % 2));
        int result = 0;

        if (i % 3 == 0)
            weir_task_cancel(task);
        while (i % 5 == 0 && weir_join(task, &result, weir_in_ns(i % 4000)) != 0)
            ;
        if (i % 5)
            CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
        CHECK_EQUAL(result, codes[i % 4]);
    }
    return 0;
}

static void test_ends_and_joins_race(void **state)
{
    (void)state;
    test_inject_yields(true);
    assert_int_equal(test_run(join_many, NULL, &noting), 0);
    test_inject_yields(false);
    assert_int_equal(failure_count, 0);
}

/* --- What is told of a failure. --------------------------------------------------------------- */

static int code = -EIO;

/* Not static, and by itself: its name is what is looked for. */
int spawn_somebody(struct weir_scope *scope);
__attribute__((noinline)) int spawn_somebody(struct weir_scope *scope)
{
    struct weir_spawn_options options = { .name = "somebody" };

    return weir_spawn(scope, return_code, &code, &options) + 1;
}

static int fail_one(void *arg)
{
    struct weir_scope *scope = NULL;
    struct weir_scope_options options = { .name = "some" };

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE, &options), 0);
    CHECK_EQUAL(spawn_somebody(scope), 1);
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_a_failure_tells_where_it_was_spawned(void **state)
{
    const char *place;

    (void)state;
    assert_int_equal(test_run(fail_one, NULL, &noting), 0);
    assert_int_equal(failure_count, 1);
    assert_string_equal(last_task_name, "somebody");
    assert_string_equal(last_scope_name, "some");
    assert_int_equal(last_failure.error, -EIO);
    assert_in_range(last_failure.age_ns, 0, 1000000000000);
    place = last_failure.spawned_at;
    assert_in_range((uintptr_t)place, (uintptr_t)spawn_somebody, (uintptr_t)spawn_somebody + 2000);
}

static void run_without_listener(void *arg)
{
    (void)arg;
    weir_run(fail_one, NULL, NULL);
}

static void test_a_failure_that_nobody_hears_is_printed(void **state)
{
    char output[1024];

    (void)state;
    assert_int_equal(test_fork(run_without_listener, NULL, output, sizeof output), 0);
    assert_non_null(strstr(output,
                           "weir: task \"somebody\" of scope \"some\" on loop 0, spawned by "
                           "spawn_somebody+0x"));
    assert_non_null(strstr(output, " ms ago, failed with EIO (-5) and nobody joined it"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: once weir has run, a forked child may not. */
        cmocka_unit_test_setup(test_a_failure_that_nobody_hears_is_printed, setup),
        cmocka_unit_test_setup(test_join_tells_value_error_and_cancel, setup),
        cmocka_unit_test_setup(test_a_join_that_failed_keeps_the_handle, setup),
        cmocka_unit_test_setup(test_a_cancelled_joiner_leaves_no_trace, setup),
        cmocka_unit_test_setup(test_no_task_joins_itself, setup),
        cmocka_unit_test_setup(test_a_select_hears_an_end, setup),
        cmocka_unit_test_setup(test_a_release_before_the_end_leaves_it_to_the_report, setup),
        cmocka_unit_test_setup(test_a_release_after_the_end_reports_once, setup),
        cmocka_unit_test_setup(test_handles_outlive_their_runtime, setup),
        cmocka_unit_test_setup(test_ends_and_joins_race, setup),
        cmocka_unit_test_setup(test_a_failure_tells_where_it_was_spawned, setup),
    };

    return cmocka_run_group_tests_name("core/join", tests, NULL, NULL);
}
