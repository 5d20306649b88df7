/* SPDX-License-Identifier: MIT */
/* Promises: the first element stays, and everybody gets a copy of it. */
#include "sync/fixture.h"

enum { CROWD = 5 };

/* What the callbacks of a promise saw. */
struct tally {
    atomic_long retained;
    atomic_long dropped[WEIR_DROP_DISCARD + 1];
};

static void count_retain(void *elem, void *context)
{
    struct tally *tally = context;

    CHECK(elem != NULL);
    atomic_fetch_add(&tally->retained, 1);
}

static void count_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    struct tally *tally = context;

    CHECK(elem != NULL);
    atomic_fetch_add(&tally->dropped[reason], 1);
}

static struct weir_chan *make_promise(struct tally *tally)
{
    return make_chan(1, &(struct weir_chan_options){
                            .policy = WEIR_CHAN_PROMISE,
                            .drop = tally ? count_drop : NULL,
                            .retain = tally ? count_retain : NULL,
                            .context = tally,
                        });
}

/* --- The conformance cases --- */

CASE(case_037_second_put_changes_nothing, EVERYWHERE, 1)
{
    struct tally tally = { 0 };
    struct weir_chan *promise = make_promise(&tally);
    struct op take;

    begin_recv(scene, &take, promise);
    CHECK_SAME(try_send(promise, 1), 0);
    CHECK_SAME(end_op(&take), 0);
    CHECK_SAME(take.value, 1);
    for (uint64_t value = 2; value < 5; value++)
        CHECK_SAME(try_send(promise, value), WEIR_DROPPED);
    CHECK_SAME(tally.dropped[WEIR_DROP_NEWEST], 3);
    take_value(promise, 1);
    weir_chan_release(promise);
    CHECK_SAME(tally.dropped[WEIR_DROP_DESTROY], 1);
}

CASE(case_038_takes_repeat_for_ever, EVERYWHERE, 1)
{
    struct weir_chan *promise = make_promise(NULL);
    struct op take = { .chan = promise, .deadline_ns = WEIR_FOREVER };

    CHECK_SAME(try_send(promise, 7), 0);
    for (int i = 0; i < 1000; i++)
        take_value(promise, 7);
    CHECK_SAME(weir_chan_close(promise, -ENODATA), 0);
    for (int i = 0; i < 1000; i++)
        take_value(promise, 7);
    actor_start(scene, &take.actor, op_recv, &take);
    CHECK_SAME(end_op(&take), 0);
    CHECK_SAME(take.value, 7);
    CHECK_SAME(look(promise).count, 1);
    CHECK_SAME(look(promise).received_total, 2001);
    weir_chan_release(promise);
}

CASE(case_040_put_after_close_is_refused, EVERYWHERE, 1)
{
    struct weir_chan *promise = make_promise(NULL);
    struct op take;
    uint64_t value;

    begin_recv(scene, &take, promise);
    CHECK_SAME(weir_chan_close(promise, -ENODATA), 0);
    CHECK_SAME(end_op(&take), -ENODATA);
    CHECK_SAME(try_send(promise, 1), -EPIPE);
    CHECK_SAME(try_recv(promise, &value), -ENODATA);
    weir_chan_release(promise);

    promise = make_promise(NULL);
    CHECK_SAME(try_send(promise, 1), 0);
    CHECK_SAME(weir_chan_close(promise, 0), 0);
    CHECK_SAME(try_send(promise, 2), -EPIPE);
    take_value(promise, 1);
    weir_chan_release(promise);
}

CASE(case_041_kept_promise_is_always_ready, EVERYWHERE, 1)
{
    struct tally tally = { 0 };

    for (int counted = 0; counted < 2; counted++) {
        struct weir_chan *promise = make_promise(counted ? &tally : NULL);
        struct weir_chan *never = make_chan(0, NULL);
        uint64_t value = 0, other;
        struct weir_clause clauses[] = {
            weir_clause_recv(never, &other),
            weir_clause_recv(promise, &value),
        };
        struct pick pick;

        begin_pick(scene, &pick, 2, clauses);
        CHECK_SAME(try_send(promise, 9), 0);
        CHECK_SAME(end_pick(&pick), 1);
        CHECK_SAME(pick.clauses[1].result, 0);
        for (int i = 0; i < 100; i++) {
            value = 0;
            CHECK_SAME(weir_select(clauses, 2, i % 2 ? WEIR_SELECT_PRIORITY : 0, WEIR_NOW), 1);
            CHECK_SAME(clauses[1].result, 0);
            CHECK_SAME(value, 9);
        }
        CHECK_SAME(look(promise).waiting_receivers + look(never).waiting_receivers, 0);
        weir_chan_release(promise);
        weir_chan_release(never);
    }
    CHECK_SAME(tally.retained, 101);
}

/* --- Many receivers --- */

CASE(all_parked_receivers_get_it, EVERYWHERE, 1)
{
    struct tally tally = { 0 };
    struct weir_chan *promise = make_promise(&tally);
    struct op takes[CROWD];
    struct pick pick;
    uint64_t value = 0;

    for (size_t i = 0; i < CROWD; i++)
        begin_recv(scene, &takes[i], promise);
    /* A select over the same promise twice gets one copy. */
    begin_pick(scene, &pick, 2,
               (struct weir_clause[]){ weir_clause_recv(promise, &value),
                                       weir_clause_recv(promise, &value) });
    CHECK_SAME(try_send(promise, 3), 0);
    for (size_t i = 0; i < CROWD; i++) {
        CHECK_SAME(end_op(&takes[i]), 0);
        CHECK_SAME(takes[i].value, 3);
    }
    CHECK(end_pick(&pick) >= 0);
    CHECK_SAME(value, 3);
    CHECK_SAME(tally.retained, CROWD + 1);
    CHECK_SAME(count_waiters(promise), 0);
    weir_chan_release(promise);
}

/* Every way in which a copy is handed out calls the hook once. */
CASE(each_copy_is_retained_once, EVERYWHERE, 1)
{
    struct tally tally = { 0 };
    struct weir_chan *promise = make_promise(&tally);
    uint64_t value = 5, second = 6;
    struct weir_clause send = weir_clause_send(promise, &value);
    struct weir_clause twice[] = { weir_clause_recv(promise, &value),
                                   weir_clause_recv(promise, &second) };
    struct op take;

    begin_recv(scene, &take, promise);
    CHECK_SAME(weir_select(&send, 1, 0, WEIR_NOW), 0);
    CHECK_SAME(send.result, 0);
    CHECK_SAME(end_op(&take), 0);
    CHECK_SAME(tally.retained, 1);
    CHECK_SAME(weir_select(&send, 1, 0, WEIR_NOW), 0); /* kept already: dropped, nothing retained */
    CHECK_SAME(send.result, WEIR_DROPPED);
    CHECK_SAME(tally.dropped[WEIR_DROP_NEWEST], 1);
    CHECK_SAME(tally.retained, 1);
    take_value(promise, 5);
    CHECK_SAME(tally.retained, 2);
    CHECK(weir_select(twice, 2, 0, WEIR_FOREVER) >= 0);
    CHECK_SAME(tally.retained, 3);
    CHECK_SAME(weir_chan_recv(promise, NULL, WEIR_NOW), 0); /* a copy, and it is dropped */
    CHECK_SAME(tally.retained, 4);
    CHECK_SAME(tally.dropped[WEIR_DROP_DISCARD], 1);
    weir_chan_release(promise);
    CHECK_SAME(tally.retained, 4);
    CHECK_SAME(tally.dropped[WEIR_DROP_DESTROY], 1);
}

/* Without a hook there is one element: what is received into nothing stays. */
CASE(uncounted_element_is_not_discarded, ALONE, 1)
{
    struct tally tally = { 0 };
    struct weir_chan *promise = make_chan(scene->capacity, &(struct weir_chan_options){
                                                               .policy = WEIR_CHAN_PROMISE,
                                                               .drop = count_drop,
                                                               .context = &tally,
                                                           });

    CHECK_SAME(weir_chan_recv(promise, NULL, WEIR_NOW), -EAGAIN);
    CHECK_SAME(try_send(promise, 5), 0);
    CHECK_SAME(weir_chan_recv(promise, NULL, WEIR_NOW), 0);
    take_value(promise, 5);
    CHECK_SAME(weir_chan_abort(promise, 0), 0);
    CHECK_SAME(tally.dropped[WEIR_DROP_DISCARD], 0);
    CHECK_SAME(tally.dropped[WEIR_DROP_ABORT], 1);
    weir_chan_release(promise);
}

CASE(large_elements_travel_whole, EVERYWHERE, 1)
{
    enum { LARGE = 1000 };
    struct weir_chan_options options = { .policy = WEIR_CHAN_PROMISE };
    unsigned char sent[LARGE], received[LARGE];
    struct weir_clause clause;
    struct weir_chan *promise;

    memset(sent, 0x5a, sizeof sent);
    memset(received, 0, sizeof received);
    CHECK_SAME(weir_chan_create(&promise, LARGE, scene->capacity, &options), 0);
    clause = weir_clause_send(promise, sent);
    CHECK_SAME(weir_select(&clause, 1, 0, WEIR_NOW), 0);
    CHECK_SAME(clause.result, 0);
    CHECK_SAME(weir_chan_recv(promise, received, WEIR_NOW), 0);
    CHECK_SAME(memcmp(sent, received, LARGE), 0);
    weir_chan_release(promise);
}

/* --- In the middle of a hand-out --- */

/* The first call of the hook stands still, wherever it runs, until it may go on. */
struct gate {
    atomic_bool entered;
    atomic_bool open;
    atomic_long retained;
    atomic_long dropped;
};

static void retain_at_gate(void *elem, void *context)
{
    struct gate *gate = context;

    (void)elem;
    if (atomic_fetch_add(&gate->retained, 1))
        return;
    atomic_store(&gate->entered, true);
    while (!atomic_load(&gate->open))
        sched_yield();
}

static void drop_at_gate(void *elem, void *context, enum weir_drop_reason reason)
{
    struct gate *gate = context;

    (void)elem;
    (void)reason;
    CHECK(atomic_load(&gate->open)); /* not while a copy is lent */
    atomic_fetch_add(&gate->dropped, 1);
}

static struct weir_chan *make_gated(struct gate *gate)
{
    return make_chan(1, &(struct weir_chan_options){
                            .policy = WEIR_CHAN_PROMISE,
                            .drop = drop_at_gate,
                            .retain = retain_at_gate,
                            .context = gate,
                        });
}

/* Receivers here, the sender on the other side, which stands in the hook for the first of them. */
static void begin_hand_out(struct scene *scene, struct weir_chan *promise, struct gate *gate,
                           struct op *takes, size_t count, struct op *put)
{
    for (size_t i = 0; i < count; i++) {
        takes[i] = (struct op){ .chan = promise, .deadline_ns = WEIR_FOREVER };
        actor_start_at(scene, &takes[i].actor, 0, op_recv, &takes[i]);
    }
    await_receivers(promise, count);
    *put = (struct op){ .chan = promise, .value = 8, .deadline_ns = WEIR_FOREVER };
    actor_start(scene, &put->actor, op_send, put);
    AWAIT(atomic_load(&gate->entered));
}

CASE(close_waits_for_the_hand_out, ACROSS | ON_THREAD, 1)
{
    struct gate gate = { 0 };
    struct weir_chan *promise = make_gated(&gate);
    struct op takes[CROWD], put;

    begin_hand_out(scene, promise, &gate, takes, CROWD, &put);
    CHECK_SAME(weir_chan_close(promise, 0), 0);
    atomic_store(&gate.open, true);
    CHECK_SAME(end_op(&put), 0);
    for (size_t i = 0; i < CROWD; i++) {
        CHECK_SAME(end_op(&takes[i]), 0); /* it was kept before it was closed */
        CHECK_SAME(takes[i].value, 8);
    }
    CHECK_SAME(gate.retained, CROWD);
    weir_chan_release(promise);
    CHECK_SAME(gate.dropped, 1);
}

CASE(abort_drops_when_no_copy_is_lent, ACROSS | ON_THREAD, 1)
{
    struct gate gate = { 0 };
    struct weir_chan *promise = make_gated(&gate);
    struct op takes[CROWD], put;
    long got = 0;

    begin_hand_out(scene, promise, &gate, takes, CROWD, &put);
    CHECK_SAME(weir_chan_abort(promise, -EIO), 0);
    CHECK_SAME(gate.dropped, 0);
    CHECK_SAME(look(promise).count, 0);
    atomic_store(&gate.open, true);
    CHECK_SAME(end_op(&put), 0);
    for (size_t i = 0; i < CROWD; i++) {
        int result = end_op(&takes[i]);

        CHECK(result == 0 || result == -EIO);
        got += result == 0;
    }
    CHECK_SAME(got, 1);
    CHECK_SAME(gate.retained, 1);
    CHECK_SAME(gate.dropped, 1);
    weir_chan_release(promise);
    CHECK_SAME(gate.dropped, 1);
}

/* The sender needs no reference of its own once somebody has the element. */
CASE(receiver_may_release_during_the_hand_out, ACROSS | ON_THREAD, 1)
{
    struct gate gate = { 0 };
    struct weir_chan *promise = make_gated(&gate);
    struct op take, put;
    uint64_t value = 0;

    begin_hand_out(scene, promise, &gate, &take, 1, &put);
    CHECK_SAME(weir_chan_recv(promise, &value, WEIR_NOW), 0);
    CHECK_SAME(value, 8);
    CHECK_SAME(weir_chan_release(promise), 0);
    atomic_store(&gate.open, true);
    CHECK_SAME(end_op(&put), 0);
    CHECK_SAME(end_op(&take), 0);
    CHECK_SAME(gate.retained, 2);
    CHECK_SAME(gate.dropped, 1);
}

/* --- Kept, aborted and received at once --- */

enum { TAKERS = 3 };

/* An object behind a counted pointer. */
struct payload {
    atomic_long refs;
    atomic_long freed;
};

struct race {
    struct barrier barrier;
    long rounds;
    struct weir_chan *promise;
    struct payload payload;
    int results[TAKERS];
};

static void give_back(struct payload *payload)
{
    CHECK(atomic_load(&payload->refs) > 0);
    if (atomic_fetch_sub(&payload->refs, 1) == 1)
        CHECK_SAME(atomic_fetch_add(&payload->freed, 1), 0);
}

static struct payload *payload_of(const void *elem)
{
    struct payload *payload;

    memcpy(&payload, elem, sizeof payload);
    return payload;
}

static void retain_payload(void *elem, void *context)
{
    (void)context;
    CHECK(atomic_fetch_add(&payload_of(elem)->refs, 1) > 0);
}

static void drop_payload(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)context;
    (void)reason;
    give_back(payload_of(elem));
}

/* Receives plainly, by a select, or into nothing. */
static int take_payload(struct weir_chan *promise, uint64_t chance)
{
    struct payload *payload = NULL;
    struct weir_clause clause = weir_clause_recv(promise, &payload);
    int result;

    if (chance % 3 == 0)
        return weir_chan_recv(promise, NULL, WEIR_FOREVER);
    if (chance % 3 == 1) {
        CHECK_SAME(weir_select(&clause, 1, 0, WEIR_FOREVER), 0);
        result = clause.result;
    } else {
        result = weir_chan_recv(promise, &payload, WEIR_FOREVER);
    }
    if (result == 0)
        give_back(payload);
    return result;
}

struct taker {
    struct race *race;
    struct actor actor;
    size_t index;
};

static int take_in_rounds(void *arg)
{
    struct taker *taker = arg;
    struct race *race = taker->race;
    uint64_t random = taker->index + 1;

    for (long round = 0; round < race->rounds; round++) {
        meet(&race->barrier);
        dawdle(&random);
        race->results[taker->index] = take_payload(race->promise, roll(&random));
        meet(&race->barrier);
    }
    return 0;
}

static int end_in_rounds(void *arg)
{
    struct race *race = arg;
    uint64_t random = 77;

    for (long round = 0; round < race->rounds; round++) {
        meet(&race->barrier);
        dawdle(&random);
        CHECK_SAME(
            round % 2 ? weir_chan_close(race->promise, 0) : weir_chan_abort(race->promise, 0), 0);
        meet(&race->barrier);
    }
    return 0;
}

/* A closed promise that was kept serves everybody; whatever happens, nothing is lost or leaked. */
static void check_round(struct race *race, long round, int sent)
{
    for (size_t i = 0; i < TAKERS; i++)
        CHECK_SAME(race->results[i], round % 2 && sent == 0 ? 0 : race->results[i] ? -EPIPE : 0);
    for (size_t i = 0; i < TAKERS; i++)
        CHECK(sent == 0 || race->results[i] == -EPIPE);
}

CASE(keep_against_end_against_takes, ON_TASKS | ON_THREAD, 1)
{
    struct weir_chan_options options = {
        .policy = WEIR_CHAN_PROMISE,
        .drop = drop_payload,
        .retain = retain_payload,
    };
    struct race race = { .barrier = { .parties = TAKERS + 2 },
                         .rounds = test_rounds(2000, 200000, 1000000) };
    struct taker takers[TAKERS];
    struct actor ender;
    uint64_t random = 5;

    actor_start(scene, &ender, end_in_rounds, &race);
    for (size_t i = 0; i < TAKERS; i++) {
        takers[i] = (struct taker){ .race = &race, .index = i };
        actor_start_in_crowd(scene, &takers[i].actor, i, take_in_rounds, &takers[i]);
    }
    for (long round = 0; round < race.rounds; round++) {
        struct payload *payload = &race.payload;
        int sent;

        *payload = (struct payload){ .refs = 1 };
        CHECK_SAME(weir_chan_create(&race.promise, sizeof payload, 1, &options), 0);
        meet(&race.barrier);
        dawdle(&random);
        sent = weir_chan_send(race.promise, &payload, WEIR_NOW);
        CHECK(sent == 0 || sent == -EPIPE);
        if (sent < 0)
            give_back(payload);
        meet(&race.barrier);
        check_round(&race, round, sent);
        CHECK_SAME(weir_chan_release(race.promise), 0);
        CHECK_SAME(payload->freed, 1);
    }
    for (size_t i = 0; i < TAKERS; i++)
        actor_join(&takers[i].actor);
    actor_join(&ender);
}

/* --- Bad input --- */

CASE(bad_promises_are_refused, ALONE, 0)
{
    struct weir_chan_options options = { .policy = WEIR_CHAN_PROMISE };
    struct weir_chan *promise = NULL;
    uint64_t value = 1;

    CHECK_SAME(weir_chan_create(&promise, sizeof value, scene->capacity, &options), -EINVAL);
    CHECK_SAME(weir_chan_create(&promise, sizeof value, 2, &options), -EINVAL);
    options.policy = (enum weir_chan_policy)(WEIR_CHAN_PROMISE + 1);
    CHECK_SAME(weir_chan_create(&promise, sizeof value, 1, &options), -EINVAL);
    CHECK(promise == NULL);
    promise = make_promise(NULL);
    CHECK_SAME(weir_chan_send(promise, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_chan_recv(promise, &value, WEIR_NOW), -EAGAIN);
    CHECK_SAME(weir_chan_recv(promise, &value, 1), -ETIME);
    weir_chan_release(promise);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_037_second_put_changes_nothing),
        cmocka_unit_test(case_038_takes_repeat_for_ever),
        cmocka_unit_test(case_040_put_after_close_is_refused),
        cmocka_unit_test(case_041_kept_promise_is_always_ready),
        cmocka_unit_test(all_parked_receivers_get_it),
        cmocka_unit_test(each_copy_is_retained_once),
        cmocka_unit_test(uncounted_element_is_not_discarded),
        cmocka_unit_test(large_elements_travel_whole),
        cmocka_unit_test(close_waits_for_the_hand_out),
        cmocka_unit_test(abort_drops_when_no_copy_is_lent),
        cmocka_unit_test(receiver_may_release_during_the_hand_out),
        cmocka_unit_test(keep_against_end_against_takes),
        cmocka_unit_test(bad_promises_are_refused),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
