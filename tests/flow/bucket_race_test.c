/* SPDX-License-Identifier: MIT */
/* Buckets shared by two loops, and by a loop and a thread: what is given out never exceeds what
 * came in, and every call is counted once, cancelled ones too. */
#include "sync/fixture.h"

#include <weir/bucket.h>

enum { TAKERS = 16, MS = 1000 * 1000 };

static const struct weir_bucket_options fast = {
    .rate = 3000000,
    .burst = 100,
};

struct crowd {
    struct weir_bucket *bucket;
    long rounds; /* of each */
    atomic_ulong passed;
    atomic_ulong tokens;
    atomic_ulong failed;
};

struct taker {
    struct actor actor;
    struct crowd *crowd;
    uint64_t dice;
};

/* One call with a deadline of a random kind: none, now, or soon. */
static void take_once(struct taker *taker)
{
    struct crowd *crowd = taker->crowd;
    uint64_t count = 1 + roll(&taker->dice) % 4, kind = roll(&taker->dice) % 8;
    int64_t deadline_ns = kind == 0   ? WEIR_NOW
                          : kind == 1 ? weir_in_us((int64_t)(roll(&taker->dice) % 20))
                                      : WEIR_FOREVER;
    int result = weir_bucket_take(crowd->bucket, count, deadline_ns);

    if (result == 0) {
        atomic_fetch_add(&crowd->passed, 1);
        atomic_fetch_add(&crowd->tokens, count);
    } else {
        CHECK(result == -ECANCELED || (kind == 0 && result == -EAGAIN) ||
              (kind == 1 && result == -ETIME));
        atomic_fetch_add(&crowd->failed, 1);
    }
}

static int take_all(void *arg)
{
    struct taker *taker = arg;

    for (long i = 0; i < taker->crowd->rounds && !weir_cancelled(); i++)
        take_once(taker);
    return 0;
}

static void check_balance(struct crowd *crowd, int64_t start_ns)
{
    struct weir_bucket_stats stats;
    int64_t elapsed_ns = weir_now_ns() - start_ns;

    CHECK_SAME(weir_bucket_read_stats(crowd->bucket, &stats), 0);
    CHECK_SAME(stats.passed_total, atomic_load(&crowd->passed));
    CHECK_SAME(stats.taken_total, atomic_load(&crowd->tokens));
    CHECK(stats.taken_total <=
          fast.burst + (uint64_t)(elapsed_ns / MS) * (fast.rate / 1000) + fast.rate / 1000);
    CHECK_SAME(stats.waiting, 0);
}

static void start_crowd(struct scene *scene, struct crowd *crowd, struct taker *takers)
{
    CHECK_SAME(weir_bucket_create(&crowd->bucket, &fast), 0);
    for (size_t i = 0; i < TAKERS; i++) {
        takers[i] = (struct taker){ .crowd = crowd, .dice = i + 1 };
        actor_start_in_crowd(scene, &takers[i].actor, i, take_all, &takers[i]);
    }
}

/* A million of them from the full tier on. */
CASE(each_take_counts_once, EVERYWHERE, 0)
{
    struct crowd crowd = { .rounds = test_rounds(20000, 62500, 625000) };
    int64_t start_ns = weir_now_ns();
    struct taker takers[TAKERS];

    start_crowd(scene, &crowd, takers);
    for (size_t i = 0; i < TAKERS; i++)
        actor_join(&takers[i].actor);
    check_balance(&crowd, start_ns);
    CHECK_SAME(atomic_load(&crowd.passed) + atomic_load(&crowd.failed), crowd.rounds * TAKERS);
    weir_bucket_release(crowd.bucket);
}

/* They are cancelled in the middle of it, at random, until none is left; the bucket goes on. */
CASE(cancelled_at_random, ON_TASKS, 0)
{
    long rounds = test_rounds(30, 300, 3000);
    uint64_t dice = 99;

    for (long round = 0; round < rounds; round++) {
        struct crowd crowd = { .rounds = 1000000 };
        int64_t start_ns = weir_now_ns();
        struct taker takers[TAKERS];

        start_crowd(scene, &crowd, takers);
        for (size_t i = 0; i < TAKERS; i++) {
            (void)weir_sleep(weir_in_us((int64_t)(roll(&dice) % 50)));
            CHECK_SAME(weir_task_cancel(takers[i].actor.task), 0);
        }
        for (size_t i = 0; i < TAKERS; i++)
            actor_join(&takers[i].actor);
        check_balance(&crowd, start_ns);
        CHECK_SAME(weir_bucket_take(crowd.bucket, 1, end_of_patience()), 0);
        weir_bucket_release(crowd.bucket);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_take_counts_once),
        cmocka_unit_test(cancelled_at_random),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
