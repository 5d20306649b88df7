/* SPDX-License-Identifier: MIT */
/* Sheds shared by two loops, and by a loop and a thread: each accepted work has exactly one fate,
 * taken or refused, whatever happens around it. */
#include "sync/fixture.h"

#include <weir/shed.h>

enum { SIDE = 6, CAPACITY = 16, US = 1000 };

/* Who was accepted, taken and refused: counts and sums of the values. */
struct ledger {
    atomic_ulong count;
    atomic_ulong sum;
};

struct market {
    struct weir_shed *shed;
    long rounds; /* of each putter */
    struct ledger accepted, taken, refused;
    atomic_ulong turned_away;
};

struct side {
    struct actor actor;
    struct market *market;
    uint64_t dice;
};

static void enter(struct ledger *ledger, uint64_t value)
{
    atomic_fetch_add(&ledger->count, 1);
    atomic_fetch_add(&ledger->sum, value);
}

static void hear(void *elem, void *context, enum weir_shed_reason reason)
{
    struct market *market = context;
    uint64_t value;

    memcpy(&value, elem, sizeof value);
    CHECK(reason < WEIR_SHED_REASONS);
    enter(&market->refused, value);
}

static int put_all(void *arg)
{
    struct side *side = arg;
    struct market *market = side->market;

    for (long i = 0; i < market->rounds && !weir_cancelled(); i++) {
        uint64_t value = roll(&side->dice) >> 32;
        int64_t deadline_ns = value % 4 ? WEIR_FOREVER : weir_in_us((int64_t)(value % 64));
        int result = weir_shed_put(market->shed, &value, deadline_ns);

        if (result == 0)
            enter(&market->accepted, value);
        else
            atomic_fetch_add(&market->turned_away, 1);
        if (result == -EPIPE)
            break;
        if (value % 8 == 0 && weir_task_self())
            (void)weir_yield();
    }
    return 0;
}

static int take_all(void *arg)
{
    struct side *side = arg;
    struct market *market = side->market;
    uint64_t value;

    for (;;) {
        int64_t deadline_ns = roll(&side->dice) % 4 ? WEIR_FOREVER : weir_in_us(20);
        int result = weir_shed_take(market->shed, &value, NULL, deadline_ns);

        if (result == 0)
            enter(&market->taken, value);
        else if (result != -ETIME)
            return 0; /* closed, or cancelled */
    }
}

static void open_market(struct scene *scene, struct market *market, struct side *putters,
                        struct side *takers)
{
    const struct weir_shed_options options = {
        .refuse = hear,
        .context = market,
        .capacity = CAPACITY,
        .target_ns = 20 * US,
        .interval_ns = 100 * US,
    };

    CHECK_SAME(weir_shed_create(&market->shed, sizeof(uint64_t), &options), 0);
    for (size_t i = 0; i < SIDE; i++) {
        takers[i] = (struct side){ .market = market, .dice = 2 * i + 1 };
        putters[i] = (struct side){ .market = market, .dice = 2 * i + 2 };
        actor_start_in_crowd(scene, &takers[i].actor, i, take_all, &takers[i]);
        actor_start_in_crowd(scene, &putters[i].actor, i + 1, put_all, &putters[i]);
    }
}

static void check_balance(struct market *market)
{
    struct weir_shed_stats stats;
    uint64_t refused = 0;

    CHECK_SAME(weir_shed_read_stats(market->shed, &stats), 0);
    for (int reason = 0; reason < WEIR_SHED_REASONS; reason++)
        refused += stats.refused_total[reason];
    weir_shed_release(market->shed);
    CHECK_SAME(stats.accepted_total, atomic_load(&market->accepted.count));
    CHECK_SAME(stats.taken_total, atomic_load(&market->taken.count));
    CHECK_SAME(stats.count + refused, atomic_load(&market->refused.count));
    CHECK_SAME(stats.waiting_takers, 0);
    CHECK_SAME(atomic_load(&market->accepted.count),
               atomic_load(&market->taken.count) + atomic_load(&market->refused.count));
    CHECK_SAME(atomic_load(&market->accepted.sum),
               atomic_load(&market->taken.sum) + atomic_load(&market->refused.sum));
}

CASE(each_has_one_fate, EVERYWHERE, 0)
{
    struct market market = { .rounds = test_rounds(60000, 200000, 2000000) };
    struct side putters[SIDE], takers[SIDE];

    open_market(scene, &market, putters, takers);
    for (size_t i = 0; i < SIDE; i++)
        actor_join(&putters[i].actor);
    CHECK_SAME(weir_shed_close(market.shed), 0);
    for (size_t i = 0; i < SIDE; i++)
        actor_join(&takers[i].actor);
    CHECK_SAME(atomic_load(&market.accepted.count) + atomic_load(&market.turned_away),
               market.rounds * SIDE);
    CHECK(atomic_load(&market.taken.count) > 0);
    check_balance(&market);
}

CASE(ended_at_random, ON_TASKS, 0)
{
    long rounds = test_rounds(60, 600, 6000);
    uint64_t dice = 99;

    for (long round = 0; round < rounds; round++) {
        struct market market = { .rounds = 1000000 };
        struct side putters[SIDE], takers[SIDE];

        open_market(scene, &market, putters, takers);
        for (size_t i = 0; i < SIDE; i++) {
            (void)weir_sleep(weir_in_us((int64_t)(roll(&dice) % 50)));
            if (i == SIDE / 2 && round % 3 < 2)
                CHECK_SAME(round % 3 ? weir_shed_abort(market.shed) : weir_shed_close(market.shed),
                           0);
            CHECK(weir_task_cancel(putters[i].actor.task) >= 0);
            CHECK(weir_task_cancel(takers[i].actor.task) >= 0);
        }
        for (size_t i = 0; i < SIDE; i++) {
            actor_join(&putters[i].actor);
            actor_join(&takers[i].actor);
        }
        check_balance(&market);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_one_fate),
        cmocka_unit_test(ended_at_random),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
