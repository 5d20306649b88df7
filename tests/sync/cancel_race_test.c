/* SPDX-License-Identifier: MIT */
/* Cancellation against all else that ends a wait: the races of section G. */
#include "sync/fixture.h"

/* A cancel of a parked taker, by an actor, while the root sends. */
struct duel {
    struct barrier barrier;
    struct op take;
    long rounds;
};

static int cancel_in_rounds(void *arg)
{
    struct duel *duel = arg;
    uint64_t random = 1;

    for (long round = 0; round < duel->rounds; round++) {
        meet(&duel->barrier);
        dawdle(&random);
        CHECK(weir_task_cancel(duel->take.actor.task) >= 0);
        meet(&duel->barrier);
    }
    return 0;
}

CASE(case_151_cancel_races_with_a_hand_off, EVERYWHERE, 0, 1)
{
    struct duel duel = { .rounds = test_rounds(3000, 300000, 1000000) };
    struct actor canceller;
    uint64_t random = 2;

    actor_start(scene, &canceller, cancel_in_rounds, &duel);
    for (long round = 0; round < duel.rounds; round++) {
        struct weir_chan *chan = make_chan(scene->capacity, NULL);
        uint64_t value = (uint64_t)round;
        bool taken;
        int sent;

        duel.take = (struct op){ .chan = chan, .deadline_ns = WEIR_FOREVER };
        actor_start_at(scene, &duel.take.actor, scene->setting == TWO_LOOPS && round % 2, op_recv,
                       &duel.take);
        await_receivers(chan, 1);
        meet(&duel.barrier);
        dawdle(&random);
        sent = weir_chan_send(chan, &value, WEIR_NOW);
        meet(&duel.barrier);
        taken = end_op(&duel.take) == 0;
        CHECK_SAME(duel.take.result, taken ? 0 : -ECANCELED);
        CHECK_SAME(sent, taken || scene->capacity ? 0 : -EAGAIN);
        CHECK_SAME(look(chan).count, !taken && scene->capacity);
        if (taken)
            CHECK_SAME(duel.take.value, round);
        weir_chan_release(chan);
    }
    actor_join(&canceller);
}

/* --- Coming and going --- */

enum { CHURN_ACTORS = 8, CHURN_IDS = 1 << 17, SENT = 1, TAKEN = 2, DROPPED = 4 };

struct churn {
    struct weir_chan *chans[2]; /* the same twice, or two */
    atomic_ulong next_id;
    atomic_uchar fate[CHURN_IDS];
    atomic_ulong sent;
};

static struct churn churn;

static void set_fate(uint64_t id, unsigned char fate)
{
    if (CHECK(id < CHURN_IDS))
        CHECK_SAME(atomic_fetch_or(&churn.fate[id], fate) & fate, 0); /* once each */
}

static void drop_in_churn(void *elem, void *context, enum weir_drop_reason reason)
{
    uint64_t id;

    (void)context;
    (void)reason;
    memcpy(&id, elem, sizeof id);
    set_fate(id, DROPPED);
}

/* Half of the calls are selects, half have a short deadline. */
static int64_t churn_deadline(uint64_t chance)
{
    return chance & 1 ? WEIR_FOREVER : weir_in_ns((int64_t)(chance >> 8) % 50000);
}

static int churn_sends(void *arg)
{
    uint64_t random = (uintptr_t)arg;
    int result = 0;

    while (result != -ECANCELED && result != -EPIPE) {
        uint64_t id = atomic_fetch_add(&churn.next_id, 1), chance = roll(&random);
        struct weir_clause clauses[2];

        if (id >= CHURN_IDS)
            break;
        if (chance & 2) {
            clauses[0] = weir_clause_send(churn.chans[0], &id);
            clauses[1] = weir_clause_send(churn.chans[1], &id);
            result = weir_select(clauses, 2, 0, churn_deadline(chance));
            if (result >= 0)
                result = clauses[result].result;
        } else {
            result = weir_chan_send(churn.chans[chance >> 2 & 1], &id, churn_deadline(chance));
        }
        if (result >= 0)
            set_fate(id, SENT);
        atomic_fetch_add(&churn.sent, result >= 0);
    }
    return result < 0 ? result : 0;
}

static int churn_takes(void *arg)
{
    uint64_t random = (uintptr_t)arg;
    int result = 0;

    while (result != -ECANCELED && result != -EPIPE) {
        uint64_t chance = roll(&random), id = UINT64_MAX;
        struct weir_clause clauses[2];

        if (chance & 2) {
            clauses[0] = weir_clause_recv(churn.chans[0], &id);
            clauses[1] = weir_clause_recv(churn.chans[1], &id);
            result = weir_select(clauses, 2, 0, churn_deadline(chance));
            if (result >= 0)
                result = clauses[result].result;
        } else {
            result = weir_chan_recv(churn.chans[chance >> 2 & 1], &id, churn_deadline(chance));
        }
        if (result == 0)
            set_fate(id, TAKEN);
    }
    return result;
}

static void check_churn(void)
{
    uint64_t ids = atomic_load(&churn.next_id), sent = 0;

    for (uint64_t id = 0; id < ids && id < CHURN_IDS; id++) {
        unsigned fate = atomic_load(&churn.fate[id]);

        CHECK(fate == 0 || fate == (SENT | TAKEN) || fate == (SENT | DROPPED));
        sent += fate & SENT;
    }
    CHECK_SAME(sent, churn.sent);
}

static void churn_with(struct scene *scene, enum weir_chan_policy policy, bool two_channels)
{
    struct weir_chan_options options = { .policy = policy, .drop = drop_in_churn };
    struct actor actors[CHURN_ACTORS];
    uint64_t random = 99;

    memset(&churn, 0, sizeof churn);
    churn.chans[0] = make_chan(scene->capacity, &options);
    churn.chans[1] =
        two_channels ? make_chan(scene->capacity, &options) : weir_chan_retain(churn.chans[0]);
    for (size_t i = 0; i < CHURN_ACTORS; i++)
        actor_start_in_crowd(scene, &actors[i], i / 2, i % 2 ? churn_takes : churn_sends,
                             (void *)(uintptr_t)(i + 1));
    for (long round = 200; round > 0; round--) {
        size_t i = roll(&random) % CHURN_ACTORS;

        (void)weir_sleep(weir_in_us((int64_t)(roll(&random) % 50)));
        CHECK(weir_task_cancel(actors[i].task) >= 0);
        actor_join(&actors[i]);
        actor_start_in_crowd(scene, &actors[i], i / 2, i % 2 ? churn_takes : churn_sends,
                             (void *)(uintptr_t)(round * 100 + (long)i + 1));
    }
    for (size_t i = 0; i < 2; i++)
        CHECK(weir_chan_abort(churn.chans[i], 0) >= 0);
    for (size_t i = 0; i < CHURN_ACTORS; i++)
        actor_join(&actors[i]);
    CHECK_SAME(count_waiters(churn.chans[0]) + count_waiters(churn.chans[1]), 0);
    check_churn();
    for (size_t i = 0; i < 2; i++)
        CHECK_SAME(weir_chan_release(churn.chans[i]), 0);
}

CASE(case_162_coming_and_going_loses_nothing, ON_TASKS, 0, 1, 7)
{
    for (int policy = WEIR_CHAN_PARK; policy <= WEIR_CHAN_DROP_OLDEST; policy++) {
        if (policy != WEIR_CHAN_PARK && scene->capacity == 0)
            continue;
        for (long wave = test_rounds(1, 100, 1000); wave > 0; wave--) {
            churn_with(scene, (enum weir_chan_policy)policy, false);
            churn_with(scene, (enum weir_chan_policy)policy, true);
        }
    }
}

/* --- Three at once --- */

struct three {
    struct barrier barrier;
    struct op take;
    long rounds;
    int closed;
};

static int cancel_of_three(void *arg)
{
    struct three *three = arg;
    uint64_t random = 1;

    for (long round = 0; round < three->rounds; round++) {
        meet(&three->barrier);
        dawdle(&random);
        CHECK(weir_task_cancel(three->take.actor.task) >= 0);
        meet(&three->barrier);
    }
    return 0;
}

static int close_of_three(void *arg)
{
    struct three *three = arg;
    uint64_t random = 2;

    for (long round = 0; round < three->rounds; round++) {
        meet(&three->barrier);
        dawdle(&random);
        CHECK_SAME(round % 2 ? weir_chan_close(three->take.chan, 0)
                             : weir_chan_abort(three->take.chan, 0),
                   0);
        meet(&three->barrier);
    }
    return 0;
}

static void count_in_context(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)elem;
    (void)reason;
    atomic_fetch_add((atomic_uint *)context, 1);
}

CASE(case_164_cancel_against_close_against_value, EVERYWHERE, 0, 1)
{
    struct three three = { .barrier = { .parties = 3 },
                           .rounds = test_rounds(1500, 150000, 500000) };
    atomic_uint dropped = 0;
    struct weir_chan_options options = { .drop = count_in_context, .context = &dropped };
    struct actor canceller, closer;
    uint64_t random = 3;

    actor_start(scene, &canceller, cancel_of_three, &three);
    actor_start(scene, &closer, close_of_three, &three);
    for (long round = 0; round < three.rounds; round++) {
        uint64_t value = (uint64_t)round;
        int sent, taken;

        atomic_store(&dropped, 0);
        three.take = (struct op){ .chan = make_chan(scene->capacity, &options),
                                  .deadline_ns = WEIR_FOREVER };
        actor_start_at(scene, &three.take.actor, 0, op_recv, &three.take);
        await_receivers(three.take.chan, 1);
        meet(&three.barrier);
        dawdle(&random);
        sent = weir_chan_send(three.take.chan, &value, WEIR_NOW);
        meet(&three.barrier);
        taken = end_op(&three.take);
        CHECK(taken == 0 || taken == -ECANCELED || taken == -EPIPE);
        CHECK(sent == 0 || sent == -EPIPE || (sent == -EAGAIN && scene->capacity == 0));
        CHECK_SAME(sent == 0, (taken == 0) + dropped + look(three.take.chan).count);
        weir_chan_release(three.take.chan);
    }
    actor_join(&canceller);
    actor_join(&closer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_151_cancel_races_with_a_hand_off),
        cmocka_unit_test(case_162_coming_and_going_loses_nothing),
        cmocka_unit_test(case_164_cancel_against_close_against_value),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
