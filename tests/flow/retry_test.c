/* SPDX-License-Identifier: MIT */
/* Retries: how often, what stops them, and that the budget holds under many failing callers. */
#include "core/sched.h"
#include "sync/fixture.h"

#include <weir/retry.h>

enum { US = 1000, CALLERS = 8 };

#define LONG_NS (INT64_MAX / 1000) /* no draw from it is short */

/* Something to be called: fails so often, then succeeds. */
struct flaky {
    int error;
    atomic_ulong failures_left;
    atomic_ulong attempts;
    _Atomic int64_t deadline_ns; /* of the last attempt */
};

static int call_flaky(void *arg, int64_t deadline_ns)
{
    struct flaky *flaky = arg;
    unsigned long left = atomic_load(&flaky->failures_left);

    atomic_fetch_add(&flaky->attempts, 1);
    atomic_store(&flaky->deadline_ns, deadline_ns);
    while (left > 0 && !atomic_compare_exchange_weak(&flaky->failures_left, &left, left - 1))
        ;
    return left > 0 ? flaky->error : 7;
}

static struct weir_retry *make_retry(const struct weir_retry_options *options)
{
    struct weir_retry *retry = NULL;

    CHECK_SAME(weir_retry_create(&retry, options), 0);
    return retry;
}

static struct weir_retry_stats look_at(struct weir_retry *retry)
{
    struct weir_retry_stats stats;

    CHECK_SAME(weir_retry_read_stats(retry, &stats), 0);
    return stats;
}

struct call {
    struct weir_retry *retry;
    struct flaky *flaky;
    long rounds;
    struct actor actor;
};

static int run_call(void *arg)
{
    struct call *call = arg;

    return weir_retry_run(call->retry, call_flaky, call->flaky, WEIR_FOREVER);
}

CASE(tries_until_it_succeeds, EVERYWHERE, 0)
{
    struct flaky flaky = { .error = -ECONNREFUSED, .failures_left = 3 };
    struct weir_retry_options options = { .first_ns = 20 * US };
    struct call call = { .retry = make_retry(&options), .flaky = &flaky };

    actor_start(scene, &call.actor, run_call, &call);
    CHECK_SAME(actor_join(&call.actor), 7);
    CHECK_SAME(flaky.attempts, 4);
    CHECK_SAME(look_at(call.retry).calls_total, 1);
    CHECK_SAME(look_at(call.retry).attempts_total, 4);
    CHECK_SAME(look_at(call.retry).retries_total, 3);
    CHECK_SAME(look_at(call.retry).gave_up_total, 0);
    weir_retry_release(call.retry);
}

CASE(attempts_are_bounded, ALONE, 0)
{
    struct flaky flaky = { .error = -EBUSY, .failures_left = 100 };
    struct weir_retry_options options = { .first_ns = 20 * US, .attempts_max = 3 };
    struct weir_retry *retry = make_retry(&options);

    (void)scene;
    CHECK_SAME(weir_retry_run(retry, call_flaky, &flaky, WEIR_FOREVER), -EBUSY);
    CHECK_SAME(flaky.attempts, 3);
    CHECK_SAME(look_at(retry).gave_up_total, 1);
    CHECK_SAME(look_at(retry).refused_total, 0);
    weir_retry_release(retry);
}

static bool only_eio(int error, void *context)
{
    CHECK(error != -ECANCELED);
    ++*(int *)context;
    return error == -EIO;
}

CASE(what_is_final_is_not_retried, ALONE, 0)
{
    static const int final[] = { -EINVAL, -EPIPE, -ECANCELED, -EHOSTDOWN, -EIO };
    struct weir_retry *retry = make_retry(NULL);
    struct weir_retry_options options = {
        .first_ns = 20 * US,
        .is_retryable = only_eio,
    };
    struct flaky flaky = { .error = -EIO, .failures_left = 1 };
    int asked = 0;

    (void)scene;
    for (size_t i = 0; i < sizeof final / sizeof final[0]; i++) {
        struct flaky fails = { .error = final[i], .failures_left = 100 };

        CHECK_SAME(weir_retry_run(retry, call_flaky, &fails, WEIR_FOREVER), final[i]);
        CHECK_SAME(fails.attempts, 1);
    }
    CHECK_SAME(look_at(retry).gave_up_total, 0);
    weir_retry_release(retry);
    options.context = &asked;
    retry = make_retry(&options);
    CHECK_SAME(weir_retry_run(retry, call_flaky, &flaky, WEIR_FOREVER), 7);
    flaky = (struct flaky){ .error = -EBUSY, .failures_left = 1 };
    CHECK_SAME(weir_retry_run(retry, call_flaky, &flaky, WEIR_FOREVER), -EBUSY);
    CHECK_SAME(asked, 2);
    flaky = (struct flaky){ .error = -ECANCELED, .failures_left = 1 };
    CHECK_SAME(weir_retry_run(retry, call_flaky, &flaky, WEIR_FOREVER), -ECANCELED);
    CHECK_SAME(asked, 2);
    weir_retry_release(retry);
}

/* The pause would reach beyond the deadline: it is not begun. */
CASE(never_sleeps_past_the_deadline, ALONE, 0)
{
    struct weir_retry_options options = {
        .first_ns = INT64_MAX / 2, /* so that the draw is beyond any deadline of this test */
        .max_ns = INT64_MAX / 2,
        .budget_burst = 1000,
    };
    struct weir_retry *retry = make_retry(&options);
    struct flaky flaky = { .error = -ETIME, .failures_left = 1000 };
    int64_t deadline_ns = weir_in_seconds(60);

    (void)scene;
    for (int i = 0; i < 20; i++)
        CHECK_SAME(weir_retry_run(retry, call_flaky, &flaky, deadline_ns), -ETIME);
    CHECK_SAME(flaky.attempts, 20);
    CHECK_SAME(flaky.deadline_ns, deadline_ns);
    CHECK_SAME(weir_retry_run(retry, call_flaky, &flaky, WEIR_NOW), -ETIME);
    CHECK_SAME(flaky.deadline_ns, WEIR_NOW);
    CHECK_SAME(flaky.attempts, 21);
    CHECK_SAME(look_at(retry).gave_up_total, 21);
    weir_retry_release(retry);
}

CASE(attempts_have_deadlines_of_their_own, ALONE, 0)
{
    struct weir_retry_options options = { .attempt_ns = 1000 * US };
    struct weir_retry *retry = make_retry(&options);
    struct flaky flaky = { 0 };
    int64_t before_ns = weir_now_ns();

    (void)scene;
    CHECK_SAME(weir_retry_run(retry, call_flaky, &flaky, WEIR_FOREVER), 7);
    CHECK(flaky.deadline_ns >= before_ns + options.attempt_ns);
    CHECK(flaky.deadline_ns <= weir_now_ns() + options.attempt_ns);
    CHECK_SAME(weir_retry_run(retry, call_flaky, &flaky, before_ns), 7);
    CHECK_SAME(flaky.deadline_ns, before_ns);
    weir_retry_release(retry);
}

CASE(cancel_ends_the_pause, ALONE, 0)
{
    struct weir_retry_options options = { .first_ns = LONG_NS, .max_ns = LONG_NS };
    struct flaky flaky = { .error = -EAGAIN, .failures_left = 1000 };
    struct call call = { .retry = make_retry(&options), .flaky = &flaky };

    actor_start(scene, &call.actor, run_call, &call);
    weir__sched_settle();
    CHECK_SAME(weir_task_cancel(call.actor.task), 0);
    CHECK_SAME(actor_join(&call.actor), -EAGAIN);
    CHECK_SAME(flaky.attempts, 1);
    CHECK_SAME(look_at(call.retry).retries_total, 0);
    CHECK_SAME(look_at(call.retry).gave_up_total, 1);
    weir_retry_release(call.retry);
}

static int call_again_and_again(void *arg)
{
    struct call *call = arg;

    for (long i = 0; i < call->rounds; i++)
        CHECK_SAME(run_call(call), -ECONNRESET);
    return 0;
}

/* Everything fails, for everybody: the extra attempts stay within the budget, and use it up. */
CASE(budget_bounds_the_extra_attempts, EVERYWHERE, 0)
{
    struct weir_retry_options options = { .first_ns = 1, .max_ns = 1, .attempts_max = 5 };
    struct flaky flaky = { .error = -ECONNRESET, .failures_left = ULONG_MAX };
    struct weir_retry *retry = make_retry(&options);
    long rounds = test_rounds(500, 50000, 50000);
    unsigned long calls = (unsigned long)rounds * CALLERS;
    unsigned long allowed = 10 + calls / 10; /* the burst, and 10 % */
    struct call callers[CALLERS];
    struct weir_retry_stats stats;

    for (size_t i = 0; i < CALLERS; i++) {
        callers[i] = (struct call){ .retry = retry, .flaky = &flaky, .rounds = rounds };
        actor_start_in_crowd(scene, &callers[i].actor, i, call_again_and_again, &callers[i]);
    }
    for (size_t i = 0; i < CALLERS; i++)
        actor_join(&callers[i].actor);
    stats = look_at(retry);
    CHECK_SAME(stats.calls_total, calls);
    CHECK_SAME(stats.attempts_total, flaky.attempts);
    CHECK_SAME(stats.attempts_total, calls + stats.retries_total);
    CHECK(stats.retries_total <= allowed);
    CHECK(stats.retries_total + 3 >= allowed); /* what was earned while the bucket was full */
    CHECK(stats.refused_total > 0);
    CHECK(stats.budget < 1);
    weir_retry_release(retry);
}

CASE(success_fills_the_budget_up_to_the_burst, ALONE, 0)
{
    struct weir_retry_options options = {
        .first_ns = 1,
        .attempts_max = 100,
        .budget_burst = 2,
        .budget_percent = 60, /* does not divide the burst */
    };
    struct weir_retry *retry = make_retry(&options);
    struct flaky flaky = { .error = -EBUSY, .failures_left = 100 };

    (void)scene;
    CHECK_SAME(weir_retry_run(retry, call_flaky, &flaky, WEIR_FOREVER), -EBUSY);
    CHECK_SAME(flaky.attempts, 3);
    flaky = (struct flaky){ .error = -EBUSY };
    for (int i = 0; i < 20; i++)
        CHECK_SAME(weir_retry_run(retry, call_flaky, &flaky, WEIR_FOREVER), 7);
    CHECK(look_at(retry).budget == 2.0);
    flaky = (struct flaky){ .error = -EBUSY, .failures_left = 100 };
    CHECK_SAME(weir_retry_run(retry, call_flaky, &flaky, WEIR_FOREVER), -EBUSY);
    CHECK_SAME(flaky.attempts, 3);
    CHECK_SAME(look_at(retry).refused_total, 2);
    weir_retry_release(retry);
}

CASE(refuses_what_makes_no_sense, ALONE, 0)
{
    static const struct weir_retry_options bad[] = {
        { .size = 1 },
        { .reserved = { [3] = 1 } },
        { .first_ns = -1 },
        { .max_ns = -1 },
        { .attempt_ns = -1 },
        { .first_ns = 2, .max_ns = 1 },
        { .budget_percent = 1001 },
    };
    struct weir_retry *retry = make_retry(NULL);
    struct flaky flaky = { 0 };

    (void)scene;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct weir_retry *none;

        CHECK_SAME(weir_retry_create(&none, &bad[i]), -EINVAL);
    }
    CHECK_SAME(weir_retry_create(NULL, NULL), -EINVAL);
    CHECK_SAME(weir_retry_run(NULL, call_flaky, &flaky, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_retry_run(retry, NULL, &flaky, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_retry_read_stats(retry, NULL), -EINVAL);
    weir_retry_release(weir_retry_retain(retry));
    weir_retry_release(retry);
    weir_retry_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tries_until_it_succeeds),
        cmocka_unit_test(attempts_are_bounded),
        cmocka_unit_test(what_is_final_is_not_retried),
        cmocka_unit_test(never_sleeps_past_the_deadline),
        cmocka_unit_test(attempts_have_deadlines_of_their_own),
        cmocka_unit_test(cancel_ends_the_pause),
        cmocka_unit_test(budget_bounds_the_extra_attempts),
        cmocka_unit_test(success_fills_the_budget_up_to_the_burst),
        cmocka_unit_test(refuses_what_makes_no_sense),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
