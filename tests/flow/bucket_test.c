/* SPDX-License-Identifier: MIT */
/* Token buckets, in simulated time: when each call passes, to the ns; and that nothing is lost or
 * made of roundings. */
#include "flow/simulated.h"
#include "sync/fixture.h"

#include <weir/bucket.h>

enum {
    THIRD = 333333334,                 /* ns until one token of three a second has come in */
    TICK = 1 << WEIR__TIMER_TICK_BITS, /* a timer is late by less */
    TAKERS = 8,
};

static struct weir_bucket *make_bucket(const struct weir_bucket_options *options)
{
    struct weir_bucket *bucket = NULL;

    CHECK_SAME(weir_bucket_create(&bucket, options), 0);
    return bucket;
}

/* Three a second. */
static struct weir_bucket *make_three(uint64_t burst)
{
    return make_bucket(&(struct weir_bucket_options){ .rate = 3, .burst = burst });
}

static struct weir_bucket_stats look_at(struct weir_bucket *bucket)
{
    struct weir_bucket_stats stats;

    CHECK_SAME(weir_bucket_read_stats(bucket, &stats), 0);
    return stats;
}

/* Somebody who takes, and when it had them. */
struct taker {
    struct actor actor;
    struct weir_bucket *bucket;
    uint64_t count;
    int64_t deadline_ns;
    int64_t passed_ns; /* 0: not yet */
    int result;
};

static int take(void *arg)
{
    struct taker *taker = arg;

    taker->result = weir_bucket_take(taker->bucket, taker->count, taker->deadline_ns);
    taker->passed_ns = weir__clock_now();
    return 0;
}

static void begin_take(struct scene *scene, struct taker *taker, struct weir_bucket *bucket,
                       uint64_t count)
{
    *taker = (struct taker){ .bucket = bucket, .count = count, .deadline_ns = WEIR_FOREVER };
    actor_start(scene, &taker->actor, take, taker);
    weir__sched_settle();
}

/* Nobody passes before this time, and this one then. */
static void expect_at(struct taker *taker, int64_t at_ns)
{
    int64_t left_ns = at_ns - weir__clock_now();

    CHECK(left_ns > 0);
    pass_time(left_ns - 1);
    CHECK_SAME(taker->passed_ns, 0);
    pass_time(1 + TICK);
    CHECK_SAME(taker->result, 0);
    CHECK_SAME(taker->passed_ns, at_ns + TICK);
    CHECK_SAME(actor_join(&taker->actor), 0);
}

/* --- The rate --- */

CASE(a_burst_and_then_the_rate, ALONE, 0)
{
    struct weir_bucket *bucket = make_three(5);

    (void)scene;
    for (int i = 0; i < 5; i++)
        CHECK_SAME(weir_bucket_take(bucket, 1, WEIR_NOW), 0);
    CHECK_SAME(weir_bucket_take(bucket, 1, WEIR_NOW), -EAGAIN);
    pass_time(THIRD - 1);
    CHECK_SAME(weir_bucket_take(bucket, 1, WEIR_NOW), -EAGAIN);
    pass_time(1);
    CHECK_SAME(weir_bucket_take(bucket, 1, WEIR_NOW), 0);
    CHECK_SAME(weir_bucket_take(bucket, 1, WEIR_NOW), -EAGAIN);
    pass_time(SECOND - THIRD); /* three in a second, whatever the thirds are rounded to */
    CHECK_SAME(weir_bucket_take(bucket, 2, WEIR_NOW), 0);
    CHECK_SAME(weir_bucket_take(bucket, 1, WEIR_NOW), -EAGAIN);
    pass_time(1000LL * SECOND);
    CHECK_SAME(look_at(bucket).tokens, 5);
    CHECK_SAME(weir_bucket_take(bucket, 5, WEIR_NOW), 0);
    CHECK_SAME(weir_bucket_take(bucket, 1, WEIR_NOW), -EAGAIN);
    CHECK_SAME(look_at(bucket).taken_total, 13);
    CHECK_SAME(look_at(bucket).passed_total, 8);
    CHECK_SAME(look_at(bucket).refused_total, 5);
    weir_bucket_release(bucket);
}

/* A thousand million tokens at an awkward rate, taken after awkward times: what was given out is
 * what came in, to the token. */
CASE(nothing_is_rounded_away, ALONE, 0)
{
    const struct weir_bucket_options options = {
        .rate = 333333331,
        .period_ns = 999999937,
        .burst = 1000000,
        .starts_empty = true,
    };
    struct weir_bucket *bucket = make_bucket(&options);
    int64_t start_ns = weir__clock_now();
    uint64_t dice = 7, taken = 0;

    (void)scene;
    while (taken < UINT64_C(1000000000)) {
        atomic_fetch_add(&simulated_ns, (int64_t)(1 + roll(&dice) % 2000003));
        uint64_t due = (uint64_t)((unsigned __int128)(weir__clock_now() - start_ns) * options.rate /
                                  (uint64_t)options.period_ns);

        CHECK_SAME(look_at(bucket).tokens, due - taken);
        CHECK_SAME(weir_bucket_take(bucket, due - taken + 1, WEIR_NOW), -EAGAIN);
        CHECK_SAME(weir_bucket_take(bucket, due - taken, WEIR_NOW), 0);
        taken = due;
    }
    CHECK_SAME(look_at(bucket).taken_total, taken);
    weir_bucket_release(bucket);
}

/* --- Waiting --- */

CASE(parks_as_long_as_needed, ALONE, 0)
{
    struct weir_bucket *bucket = make_three(3);
    int64_t start_ns = weir__clock_now();
    struct taker takers[3];

    CHECK_SAME(weir_bucket_take(bucket, 3, WEIR_NOW), 0);
    for (int i = 0; i < 3; i++)
        begin_take(scene, &takers[i], bucket, 1);
    CHECK_SAME(look_at(bucket).waiting, 3);
    expect_at(&takers[0], start_ns + THIRD);
    expect_at(&takers[1], start_ns + 2 * THIRD - 1);
    expect_at(&takers[2], start_ns + SECOND);
    CHECK_SAME(look_at(bucket).waiting, 0);
    CHECK_SAME(look_at(bucket).waiting_max, 3);
    CHECK_SAME(look_at(bucket).waited_total, 3);
    CHECK(look_at(bucket).wait_ns_total >= 2 * (uint64_t)SECOND);
    weir_bucket_release(bucket);
}

CASE(a_small_one_does_not_overtake, ALONE, 0)
{
    struct weir_bucket *bucket = make_three(3);
    int64_t start_ns = weir__clock_now();
    struct taker large, small;

    CHECK_SAME(weir_bucket_take(bucket, 2, WEIR_NOW), 0);
    begin_take(scene, &large, bucket, 3);
    begin_take(scene, &small, bucket, 1);
    CHECK_SAME(weir_bucket_take(bucket, 1, WEIR_NOW), -EAGAIN); /* one is there: it is taken */
    expect_at(&large, start_ns + 2 * THIRD - 1);
    CHECK_SAME(small.passed_ns, 0);
    expect_at(&small, start_ns + SECOND);
    weir_bucket_release(bucket);
}

CASE(a_hopeless_deadline_is_told_at_once, ALONE, 0)
{
    struct weir_bucket *bucket = make_three(3);
    int64_t start_ns = weir__clock_now();
    struct taker taker;

    CHECK_SAME(weir_bucket_take(bucket, 3, WEIR_NOW), 0);
    CHECK_SAME(weir_bucket_take(bucket, 1, start_ns + THIRD - 1), -ETIME);
    CHECK_SAME(weir_bucket_take(bucket, 1, 1), -ETIME);
    CHECK_SAME(weir__clock_now(), start_ns);
    CHECK_SAME(look_at(bucket).expired_total, 2);
    taker = (struct taker){ .bucket = bucket, .count = 1, .deadline_ns = start_ns + THIRD };
    actor_start(scene, &taker.actor, take, &taker);
    weir__sched_settle();
    expect_at(&taker, start_ns + THIRD);
    weir_bucket_release(bucket);
}

CASE(the_line_is_bounded, ALONE, 0)
{
    struct weir_bucket *bucket =
        make_bucket(&(struct weir_bucket_options){ .rate = 1, .waiters_max = 2 });
    struct taker takers[2];

    CHECK_SAME(weir_bucket_take(bucket, 1, WEIR_NOW), 0);
    begin_take(scene, &takers[0], bucket, 1);
    begin_take(scene, &takers[1], bucket, 1);
    CHECK_SAME(weir_bucket_take(bucket, 1, WEIR_FOREVER), -EBUSY);
    CHECK_SAME(look_at(bucket).refused_total, 1);
    pass_time(2LL * SECOND + TICK);
    CHECK_SAME(takers[1].result, 0);
    CHECK(takers[1].passed_ns > 0);
    for (size_t i = 0; i < 2; i++)
        CHECK_SAME(actor_join(&takers[i].actor), 0);
    CHECK_SAME(look_at(bucket).waiting, 0);
    weir_bucket_release(bucket);
}

/* --- Cancel --- */

static void cancel(struct taker *taker)
{
    CHECK_SAME(weir_task_cancel(taker->actor.task), 0);
    weir__sched_settle();
    CHECK_SAME(taker->result, -ECANCELED);
    CHECK_SAME(actor_join(&taker->actor), 0);
}

/* Whichever of the line is cancelled: those behind it go earlier, and no token is lost. */
CASE(what_a_cancelled_one_had_goes_to_those_behind, ALONE, 0)
{
    for (unsigned victims = 0; victims < 1u << TAKERS; victims += 1 + victims % 3) {
        struct weir_bucket *bucket = make_three(3);
        struct taker takers[TAKERS];
        int64_t at_ns = weir__clock_now();
        int64_t thirds = 0;

        CHECK_SAME(weir_bucket_take(bucket, 3, WEIR_NOW), 0);
        for (unsigned i = 0; i < TAKERS; i++)
            begin_take(scene, &takers[i], bucket, 1 + i % 3);
        for (unsigned i = 0; i < TAKERS; i++)
            if (victims & 1u << i)
                cancel(&takers[i]);
        for (unsigned i = 0; i < TAKERS; i++) {
            if (victims & 1u << i)
                continue;
            thirds += 1 + i % 3;
            expect_at(&takers[i], at_ns + (thirds * SECOND + 2) / 3);
        }
        CHECK_SAME(look_at(bucket).cancelled_total, __builtin_popcount(victims));
        CHECK_SAME(look_at(bucket).taken_total, 3 + thirds);
        CHECK_SAME(look_at(bucket).waiting, 0);
        weir_bucket_release(bucket);
    }
}

static int take_once_cancelled(void *arg)
{
    while (!weir_cancelled())
        (void)weir_yield();
    return take(arg);
}

CASE(a_cancelled_task_takes_nothing, ALONE, 0)
{
    struct weir_bucket *bucket = make_three(3);
    struct taker taker = { .bucket = bucket, .count = 1, .deadline_ns = WEIR_FOREVER };

    actor_start(scene, &taker.actor, take_once_cancelled, &taker);
    CHECK_SAME(weir_task_cancel(taker.actor.task), 0);
    weir__sched_settle();
    CHECK_SAME(taker.result, -ECANCELED);
    CHECK_SAME(actor_join(&taker.actor), 0);
    CHECK_SAME(look_at(bucket).tokens, 3);
    weir_bucket_release(bucket);
}

/* --- Options --- */

static int create_with(const struct weir_bucket_options *options)
{
    struct weir_bucket *bucket = NULL;
    int error = weir_bucket_create(&bucket, options);

    weir_bucket_release(bucket);
    return error;
}

CASE(options_are_checked, ALONE, 0)
{
    struct weir_bucket *bucket = make_three(3);

    (void)scene;
    CHECK_SAME(create_with(NULL), -EINVAL);
    CHECK_SAME(create_with(&(struct weir_bucket_options){ .burst = 1 }), -EINVAL);
    CHECK_SAME(create_with(&(struct weir_bucket_options){ .rate = 1, .period_ns = -1 }), -EINVAL);
    CHECK_SAME(create_with(&(struct weir_bucket_options){ .rate = UINT64_MAX }), -EINVAL);
    CHECK_SAME(create_with(&(struct weir_bucket_options){ .rate = 1, .reserved = { 1 } }), -EINVAL);
    CHECK_SAME(create_with(&(struct weir_bucket_options){ .rate = 1, .size = 8 }), -EINVAL);
    CHECK_SAME(create_with(&(struct weir_bucket_options){ .rate = UINT32_MAX }), -EOVERFLOW);
    CHECK_SAME(create_with(&(struct weir_bucket_options){
                   .rate = 1, .name = "a name of more than thirty-one letters" }),
               -E2BIG);
    CHECK_SAME(weir_bucket_create(NULL, &(struct weir_bucket_options){ .rate = 1 }), -EINVAL);
    CHECK_SAME(weir_bucket_take(NULL, 1, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_bucket_take(bucket, 4, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_bucket_read_stats(NULL, NULL), -EINVAL);
    CHECK(weir_bucket_retain(bucket) == bucket);
    weir_bucket_release(bucket);
    weir_bucket_release(bucket);
    weir_bucket_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_burst_and_then_the_rate, start_clock),
        cmocka_unit_test_setup(nothing_is_rounded_away, start_clock),
        cmocka_unit_test_setup(parks_as_long_as_needed, start_clock),
        cmocka_unit_test_setup(a_small_one_does_not_overtake, start_clock),
        cmocka_unit_test_setup(a_hopeless_deadline_is_told_at_once, start_clock),
        cmocka_unit_test_setup(the_line_is_bounded, start_clock),
        cmocka_unit_test_setup(what_a_cancelled_one_had_goes_to_those_behind, start_clock),
        cmocka_unit_test_setup(a_cancelled_task_takes_nothing, start_clock),
        cmocka_unit_test_setup(options_are_checked, start_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
