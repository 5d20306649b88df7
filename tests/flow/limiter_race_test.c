/* SPDX-License-Identifier: MIT */
/* Limiters shared by two loops, and by a loop and a thread: the limit holds, no room is lost, and
 * every call is counted once, whatever ends it. */
#include "sync/fixture.h"

#include <weir/limiter.h>

enum { GUESTS = 16, LIMIT = 3, US = 1000 };

struct crowd {
    struct weir_limiter *limiter;
    long rounds; /* of each */
    atomic_int under_way;
    atomic_int most;
    atomic_ulong passed;
    atomic_ulong refused;
};

struct guest {
    struct actor actor;
    struct crowd *crowd;
    uint64_t dice;
};

static void note_most(struct crowd *crowd)
{
    int now = atomic_fetch_add(&crowd->under_way, 1) + 1;
    int most = atomic_load(&crowd->most);

    while (most < now && !atomic_compare_exchange_weak(&crowd->most, &most, now))
        ;
}

/* With a deadline of a random kind: none, now, or soon. */
static void come_once(struct guest *guest)
{
    struct crowd *crowd = guest->crowd;
    uint64_t kind = roll(&guest->dice) % 8;
    int64_t deadline_ns = kind == 0   ? WEIR_NOW
                          : kind == 1 ? weir_in_us((int64_t)(roll(&guest->dice) % 20))
                                      : WEIR_FOREVER;
    struct weir_limiter_pass pass;
    int result = weir_limiter_enter(crowd->limiter, &pass, deadline_ns);

    if (result < 0) {
        CHECK(result == -ECANCELED || result == -EPIPE || result == -EBUSY ||
              (kind == 0 && result == -EAGAIN) || (kind == 1 && result == -ETIME));
        atomic_fetch_add(&crowd->refused, 1);
        return;
    }
    note_most(crowd);
    atomic_fetch_add(&crowd->passed, 1);
    if (roll(&guest->dice) % 4 == 0 && weir_task_self())
        (void)weir_yield();
    atomic_fetch_sub(&crowd->under_way, 1);
    weir_limiter_leave(crowd->limiter, &pass, kind == 2 ? -EIO : 0);
}

static int come_again(void *arg)
{
    struct guest *guest = arg;

    for (long i = 0; i < guest->crowd->rounds && !weir_cancelled(); i++)
        come_once(guest);
    return 0;
}

static void check_balance(struct crowd *crowd)
{
    struct weir_limiter_stats stats;

    CHECK_SAME(weir_limiter_read_stats(crowd->limiter, &stats), 0);
    CHECK_SAME(stats.passed_total, atomic_load(&crowd->passed));
    CHECK_SAME(stats.succeeded_total + stats.failed_total, stats.passed_total);
    CHECK_SAME(stats.in_flight, 0);
    CHECK_SAME(stats.waiting, 0);
}

static void start_crowd(struct scene *scene, struct crowd *crowd, struct guest *guests,
                        const struct weir_limiter_options *options)
{
    CHECK_SAME(weir_limiter_create(&crowd->limiter, options), 0);
    for (size_t i = 0; i < GUESTS; i++) {
        guests[i] = (struct guest){ .crowd = crowd, .dice = i + 1 };
        actor_start_in_crowd(scene, &guests[i].actor, i, come_again, &guests[i]);
    }
}

static void join_crowd(struct crowd *crowd, struct guest *guests)
{
    for (size_t i = 0; i < GUESTS; i++)
        actor_join(&guests[i].actor);
    check_balance(crowd);
    weir_limiter_release(crowd->limiter);
}

/* A million of them from the full tier on. */
CASE(each_pass_counts_once, EVERYWHERE, 0)
{
    struct crowd crowd = { .rounds = test_rounds(20000, 62500, 625000) };
    struct guest guests[GUESTS];

    start_crowd(scene, &crowd, guests, &(struct weir_limiter_options){ .limit = LIMIT });
    join_crowd(&crowd, guests);
    CHECK_SAME(atomic_load(&crowd.passed) + atomic_load(&crowd.refused), crowd.rounds * GUESTS);
    CHECK_SAME(atomic_load(&crowd.most), LIMIT);
}

/* The limit moves all the time, and lets in more than one at once. */
CASE(with_a_limit_that_moves, EVERYWHERE, 0)
{
    const struct weir_limiter_options options = {
        .adaptive = true,
        .limit_min = 1,
        .limit_max = GUESTS,
        .target_ns = 50 * US,
        .interval_ns = 200 * US,
    };
    struct crowd crowd = { .rounds = test_rounds(20000, 62500, 625000) };
    struct guest guests[GUESTS];

    start_crowd(scene, &crowd, guests, &options);
    join_crowd(&crowd, guests);
    CHECK_SAME(atomic_load(&crowd.passed) + atomic_load(&crowd.refused), crowd.rounds * GUESTS);
    CHECK(atomic_load(&crowd.most) <= GUESTS);
}

/* In the middle of it they are cancelled one by one, or it is closed, at random. */
CASE(cancelled_or_closed_at_random, ON_TASKS, 0)
{
    long rounds = test_rounds(60, 600, 6000);
    uint64_t dice = 99;

    for (long round = 0; round < rounds; round++) {
        struct crowd crowd = { .rounds = 1000000 };
        struct guest guests[GUESTS];

        start_crowd(scene, &crowd, guests, &(struct weir_limiter_options){ .limit = LIMIT });
        for (size_t i = 0; i < GUESTS; i++) {
            (void)weir_sleep(weir_in_us((int64_t)(roll(&dice) % 50)));
            if (round % 2 && i == GUESTS / 2)
                CHECK_SAME(weir_limiter_close(crowd.limiter), 0);
            CHECK_SAME(weir_task_cancel(guests[i].actor.task), 0);
        }
        join_crowd(&crowd, guests);
        CHECK(atomic_load(&crowd.most) <= LIMIT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pass_counts_once),
        cmocka_unit_test(with_a_limit_that_moves),
        cmocka_unit_test(cancelled_or_closed_at_random),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
