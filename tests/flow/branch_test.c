/* SPDX-License-Identifier: MIT */
/* all, race and any: what they return, what stands in the branches, and who is waited for. */
#include "support/support.h"

#include <weir/branch.h>
#include <weir/pool.h>
#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/task.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static _Atomic long report_count, running_count;

static void note_report(void *context, const struct weir_failure *failure)
{
    (void)context;
    (void)failure;
    report_count++;
}

static const struct weir_options noting = { .loop_count = 1, .on_failure = note_report };

/* What a branch does: yields so many times, then returns; cancelled or not, if it is stubborn. */
struct plan {
    int yields;
    int result;
    bool stubborn;
    bool never_ends;
};

static int follow(void *arg)
{
    const struct plan *plan = arg;
    int error = 0;

    running_count++;
    for (int i = 0; (i < plan->yields || plan->never_ends) && error >= 0; i++)
        error = plan->never_ends ? weir_sleep(WEIR_FOREVER) : weir_yield();
    running_count--;
    return error < 0 && !plan->stubborn ? error : plan->result;
}

typedef int helper_fn(struct weir_branch *branches, size_t count, int64_t deadline_ns);

struct row {
    helper_fn *helper;
    const char *what;
    struct plan plans[3];
    int64_t deadline_ns;
    int result;
    int results[3];
};

#define ENDS(count, code)                                                                          \
    {                                                                                              \
        .yields = count, .result = code                                                            \
    }
#define STUBBORN(count, code)                                                                      \
    {                                                                                              \
        .yields = count, .result = code, .stubborn = true                                          \
    }
#define AT_CANCEL(code)                                                                            \
    {                                                                                              \
        .never_ends = true, .result = code, .stubborn = true                                       \
    }
#define NEVER                                                                                      \
    {                                                                                              \
        .never_ends = true                                                                         \
    }

/* Yields enough for a cancel to come in between. */
#define SLOW 1000

/* It has passed; but what can end at once does so before timers are looked at. */
#define LATE ((int64_t)1)

static const struct row rows[] = {
    { weir_all, "all fine", { ENDS(1, 4), ENDS(0, 5), ENDS(2, 6) }, WEIR_FOREVER, 0, { 4, 5, 6 } },
    { weir_all,
      "one fails",
      { ENDS(SLOW, 4), ENDS(1, -EIO), ENDS(0, 6) },
      WEIR_FOREVER,
      -EIO,
      { -ECANCELED, -EIO, 6 } },
    { weir_all, "late", { NEVER, ENDS(0, 5), ENDS(0, 6) }, LATE, -ETIME, { -ECANCELED, 5, 6 } },
    { weir_all, "late, but fine", { AT_CANCEL(1), ENDS(0, 5), ENDS(0, 6) }, LATE, 0, { 1, 5, 6 } },
    { weir_race,
      "a success",
      { ENDS(SLOW, 4), ENDS(SLOW, 5), ENDS(1, 6) },
      WEIR_FOREVER,
      2,
      { -ECANCELED, -ECANCELED, 6 } },
    { weir_race,
      "an error",
      { ENDS(SLOW, 4), ENDS(0, -EIO), ENDS(SLOW, 6) },
      WEIR_FOREVER,
      1,
      { -ECANCELED, -EIO, -ECANCELED } },
    { weir_race,
      "a loser that succeeded",
      { STUBBORN(SLOW, 4), ENDS(0, 5), STUBBORN(SLOW, -EIO) },
      WEIR_FOREVER,
      1,
      { 4, 5, -EIO } },
    { weir_race,
      "late",
      { NEVER, NEVER, NEVER },
      LATE,
      -ETIME,
      { -ECANCELED, -ECANCELED, -ECANCELED } },
    { weir_race,
      "late, but a success",
      { NEVER, AT_CANCEL(3), NEVER },
      LATE,
      1,
      { -ECANCELED, 3, -ECANCELED } },
    { weir_any,
      "the second success",
      { ENDS(0, -EIO), ENDS(SLOW, 5), ENDS(1, 6) },
      WEIR_FOREVER,
      2,
      { -EIO, -ECANCELED, 6 } },
    { weir_any,
      "none",
      { ENDS(2, -EIO), ENDS(1, -ENOENT), ENDS(3, -EPIPE) },
      WEIR_FOREVER,
      -ENOENT,
      { -EIO, -ENOENT, -EPIPE } },
    { weir_any,
      "late",
      { ENDS(0, -EIO), NEVER, ENDS(0, -ENOENT) },
      LATE,
      -ETIME,
      { -EIO, -ECANCELED, -ENOENT } },
};

static int run_rows(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct weir_branch branches[3];

        for (int j = 0; j < 3; j++)
            branches[j] = (struct weir_branch){ .fn = follow, .arg = (void *)&row->plans[j] };
        if (!CHECK_EQUAL(row->helper(branches, 3, row->deadline_ns), row->result))
            print_error("%s\n", row->what);
        for (int j = 0; j < 3; j++)
            if (!CHECK_EQUAL(branches[j].result, row->results[j]))
                print_error("%s, branch %d\n", row->what, j);
        CHECK_EQUAL(running_count, 0);
    }
    return 0;
}

static void what_they_return(void **state)
{
    (void)state;
    assert_int_equal(test_run(run_rows, NULL, &noting), 0);
    assert_int_equal(report_count, 0);
}

/* --- Around it. ------------------------------------------------------------------------------- */

static helper_fn *const helpers[] = { weir_all, weir_race, weir_any };
static const struct plan never = { .never_ends = true };

static int call_helper(void *arg)
{
    struct weir_branch branches[2] = {
        { .fn = follow, .arg = (void *)&never },
        { .fn = follow, .arg = (void *)&never },
    };
    int result = helpers[*(int *)arg](branches, 2, WEIR_FOREVER);

    CHECK_EQUAL(branches[0].result, -ECANCELED);
    CHECK_EQUAL(branches[1].result, -ECANCELED);
    return result;
}

static int cancel_callers(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct weir_spawn_options options = { 0 };
        struct weir_scope *scope;
        struct weir_task *task;
        int result;

        options.task = &task;
        CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
        CHECK_EQUAL(weir_spawn(scope, call_helper, &i, &options), 0);
        test_await(&running_count, 2);
        CHECK_EQUAL(weir_task_cancel(task), 0);
        CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
        CHECK_EQUAL(result, -ECANCELED);
        CHECK_EQUAL(running_count, 0);
        CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    }
    return 0;
}

static void a_cancelled_caller_cancels_them(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_callers, NULL, &noting), 0);
    assert_int_equal(report_count, 0);
}

static int see_deadline(void *arg)
{
    *(int64_t *)arg = weir_deadline_ns();
    return strcmp(weir_task_name(NULL), "seer") == 0 ? 0 : -EINVAL;
}

static int see_deadlines(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        int64_t deadline_ns = weir_in_seconds(1000), seen_ns = 0;
        struct weir_branch branch = { .fn = see_deadline, .arg = &seen_ns, .name = "seer" };

        CHECK_EQUAL(helpers[i](&branch, 1, deadline_ns), 0);
        CHECK_EQUAL(seen_ns, deadline_ns);
    }
    return 0;
}

static void branches_see_the_deadline(void **state)
{
    (void)state;
    assert_int_equal(test_run(see_deadlines, NULL, &noting), 0);
}

/* The bound on tasks leaves no room for the last branch. */
static int begin_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct weir_branch branches[8];

        for (int j = 0; j < 8; j++)
            branches[j] = (struct weir_branch){ .fn = follow, .arg = (void *)&never };
        CHECK_EQUAL(helpers[i](branches, 8, WEIR_FOREVER), -EAGAIN);
        CHECK_EQUAL(branches[0].result, -ECANCELED);
        CHECK_EQUAL(branches[7].result, -ECANCELED);
        CHECK_EQUAL(branches[3].result, -EAGAIN);
        CHECK_EQUAL(running_count, 0);
    }
    return 0;
}

static void not_all_can_be_begun(void **state)
{
    struct weir_options options = { .loop_count = 1, .tasks_per_loop = 4 };

    (void)state;
    assert_int_equal(test_run(begin_some, NULL, &options), 0);
}

static int misuse(void *arg)
{
    char name[WEIR_NAME_BYTES + 1] = { 0 };
    struct weir_branch branch = { .fn = follow, .arg = (void *)&never };

    (void)arg;
    memset(name, 'n', WEIR_NAME_BYTES);
    CHECK_EQUAL(weir_all(NULL, 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_race(NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_any(NULL, 0, WEIR_FOREVER), -EINVAL);
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(helpers[i](NULL, 1, WEIR_FOREVER), -EINVAL);
        branch.fn = NULL;
        CHECK_EQUAL(helpers[i](&branch, 1, WEIR_FOREVER), -EINVAL);
        branch.fn = follow;
        branch.reserved[1] = 1;
        CHECK_EQUAL(helpers[i](&branch, 1, WEIR_FOREVER), -EINVAL);
        branch.reserved[1] = 0;
        branch.name = name;
        CHECK_EQUAL(helpers[i](&branch, 1, WEIR_FOREVER), -E2BIG);
        branch.name = NULL;
    }
    return 0;
}

static void bad_arguments_are_refused(void **state)
{
    struct weir_branch branch = { .fn = follow, .arg = (void *)&never };

    (void)state;
    assert_int_equal(test_run(misuse, NULL, &noting), 0);
    assert_int_equal(weir_all(&branch, 1, WEIR_FOREVER), -ENXIO); /* not in a task */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_they_return),
        cmocka_unit_test(a_cancelled_caller_cancels_them),
        cmocka_unit_test(branches_see_the_deadline),
        cmocka_unit_test(not_all_can_be_begun),
        cmocka_unit_test(bad_arguments_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
