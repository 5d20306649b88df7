/* SPDX-License-Identifier: MIT */
/* Watermarks and the end of a channel as clauses of a select. */
#include "sync/fixture.h"

enum { CROWD = 5, MANY = 10000 };

static size_t watchers_of(struct weir_chan *chan)
{
    size_t count;

    weir__lock_acquire(&chan->lock);
    count = weir__chan_waiting(&chan->watchers);
    weir__lock_release(&chan->lock);
    return count;
}

/* Starts a select whose first clause watches `chan`, and which must park. */
static void begin_watch(struct scene *scene, struct pick *pick, size_t count,
                        const struct weir_clause *clauses)
{
    struct weir_chan *chan = clauses[0].object;
    size_t waiting = watchers_of(chan);

    *pick = (struct pick){ .count = count, .deadline_ns = WEIR_FOREVER };
    memcpy(pick->clauses, clauses, count * sizeof *clauses);
    actor_start(scene, &pick->actor, pick_once, pick);
    AWAIT(watchers_of(chan) > waiting);
    weir__chan_verify(chan);
    CHECK(!atomic_load(&pick->actor.done));
}

/* One clause alone, once, without parking: its result, or what the select says. */
static int watch_now(struct weir_clause clause)
{
    int won = weir_select(&clause, 1, 0, WEIR_NOW);

    return won < 0 ? won : clause.result;
}

CASE(watermarks_follow_the_count, ALONE, 1, 2, 7, 64)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    for (size_t count = 0; count <= scene->capacity; count++) {
        for (size_t level = 0; level <= scene->capacity + 1; level++) {
            CHECK_SAME(watch_now(weir_clause_below(chan, level)), count <= level ? 0 : -EAGAIN);
            CHECK_SAME(watch_now(weir_clause_above(chan, level)), count >= level ? 0 : -EAGAIN);
        }
        CHECK_SAME(watch_now(weir_clause_closed(chan)), -EAGAIN);
        if (count < scene->capacity)
            CHECK_SAME(try_send(chan, count), 0);
    }
    CHECK_SAME(look(chan).count, scene->capacity); /* they take nothing */
    CHECK_SAME(weir_chan_close(chan, -ENODATA), 0);
    CHECK_SAME(watch_now(weir_clause_closed(chan)), -ENODATA);
    CHECK_SAME(watch_now(weir_clause_above(chan, scene->capacity)), 0);
    CHECK_SAME(watch_now(weir_clause_above(chan, scene->capacity + 1)), -ENODATA);
    CHECK_SAME(watch_now(weir_clause_below(chan, scene->capacity)), 0);
    CHECK_SAME(watch_now(weir_clause_below(chan, scene->capacity - 1)), -EAGAIN);
    CHECK_SAME(weir_chan_abort(chan, -EIO), 0);
    CHECK_SAME(watch_now(weir_clause_below(chan, 0)), -EIO);
    CHECK_SAME(watch_now(weir_clause_above(chan, 1)), -EIO);
    CHECK_SAME(watch_now(weir_clause_closed(chan)), -EIO);
    weir_chan_release(chan);
}

CASE(parked_watchers_wake_at_their_level, EVERYWHERE, 2, 7, 64)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_clause above[] = { weir_clause_above(chan, scene->capacity) };
    struct weir_clause below[] = { weir_clause_below(chan, 1) };
    struct pick full[CROWD], empty[CROWD];
    uint64_t value;

    for (size_t i = 0; i < CROWD; i++)
        begin_watch(scene, &full[i], 1, above);
    for (size_t count = 1; count < scene->capacity; count++)
        CHECK_SAME(try_send(chan, count), 0);
    CHECK_SAME(watchers_of(chan), CROWD);
    CHECK_SAME(try_send(chan, 1), 0);
    for (size_t i = 0; i < CROWD; i++) {
        CHECK_SAME(end_pick(&full[i]), 0);
        CHECK_SAME(full[i].clauses[0].result, 0);
    }
    for (size_t i = 0; i < CROWD; i++)
        begin_watch(scene, &empty[i], 1, below);
    for (size_t count = scene->capacity; count > 2; count--)
        CHECK_SAME(try_recv(chan, &value), 0);
    CHECK_SAME(watchers_of(chan), CROWD);
    CHECK_SAME(try_recv(chan, &value), 0);
    for (size_t i = 0; i < CROWD; i++)
        CHECK_SAME(end_pick(&empty[i]), 0);
    CHECK_SAME(watchers_of(chan), 0);
    CHECK_SAME(chan->special, 0); /* and the short way is open again */
    weir_chan_release(chan);
}

static size_t weigh_value(const void *elem, void *context)
{
    uint64_t value;

    (void)context;
    memcpy(&value, elem, sizeof value);
    return (size_t)value;
}

CASE(watermarks_follow_the_weight, EVERYWHERE, 7)
{
    struct weir_chan_options options = { .weigh = weigh_value, .weight_limit = 100 };
    struct weir_chan *chan = make_chan(scene->capacity, &options);
    struct weir_clause above[] = { weir_clause_above(chan, 60) };
    struct weir_clause below[] = { weir_clause_below(chan, 30) };
    struct op heavy = { .chan = chan, .value = 90 };
    struct pick pick;

    CHECK_SAME(try_send(chan, 20), 0);
    begin_watch(scene, &pick, 1, above);
    CHECK_SAME(try_send(chan, 30), 0);
    CHECK_SAME(watchers_of(chan), 1);
    /* Heavy does not fit, so light waits behind it; when heavy leaves, light reaches the level. */
    heavy.deadline_ns = weir_in_ms(2);
    actor_start(scene, &heavy.actor, op_send, &heavy);
    AWAIT(look(chan).waiting_senders == 1 || is_done(&heavy));
    {
        struct op light = { .chan = chan, .value = 10, .deadline_ns = WEIR_FOREVER };

        actor_start(scene, &light.actor, op_send, &light);
        CHECK_SAME(end_op(&heavy), -ETIME);
        CHECK_SAME(end_op(&light), 0);
    }
    CHECK_SAME(end_pick(&pick), 0);
    CHECK_SAME(look(chan).weight, 60);
    begin_watch(scene, &pick, 1, below);
    take_value(chan, 20);
    CHECK_SAME(watchers_of(chan), 1);
    take_value(chan, 30);
    CHECK_SAME(end_pick(&pick), 0);
    weir_chan_release(chan);
}

CASE(watermarks_stand_beside_others, EVERYWHERE, 2, 7)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_chan *other = make_chan(0, NULL);
    uint64_t value = 0;
    struct weir_clause clauses[] = {
        weir_clause_above(chan, 2),
        weir_clause_closed(chan),
        weir_clause_recv(other, &value),
        weir_clause_timer(WEIR_FOREVER),
    };
    struct pick pick;

    begin_watch(scene, &pick, 4, clauses); /* won by another clause */
    CHECK_SAME(try_send(other, 5), 0);
    CHECK_SAME(end_pick(&pick), 2);
    CHECK_SAME(value, 5);
    CHECK_SAME(watchers_of(chan), 0);

    begin_watch(scene, &pick, 4, clauses); /* by the watermark */
    CHECK_SAME(try_send(chan, 1), 0);
    CHECK_SAME(try_send(chan, 2), 0);
    CHECK_SAME(end_pick(&pick), 0);
    CHECK_SAME(count_waiters(other), 0);
    drain(chan, 2);

    begin_watch(scene, &pick, 4, clauses); /* by the end: both could */
    CHECK_SAME(weir_chan_close(chan, -ENODATA), 0);
    CHECK(end_pick(&pick) <= 1);
    CHECK_SAME(pick.clauses[pick.won].result, -ENODATA);
    CHECK_SAME(watchers_of(chan) + count_waiters(other), 0);
    weir_chan_release(chan);
    weir_chan_release(other);
}

/* A send or receive of a select beside watchers of the same channel: one effect, whoever wins. */
CASE(watcher_and_receiver_in_one_select, EVERYWHERE, 1, 7)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    uint64_t value = 0;
    struct weir_clause clauses[] = {
        weir_clause_above(chan, 1),
        weir_clause_recv(chan, &value),
    };
    struct pick pick;

    begin_watch(scene, &pick, 2, clauses);
    CHECK_SAME(try_send(chan, 5), 0); /* handed over: never buffered */
    CHECK_SAME(end_pick(&pick), 1);
    CHECK_SAME(value, 5);
    CHECK_SAME(look(chan).count, 0);
    CHECK_SAME(watchers_of(chan) + count_waiters(chan), 0);
    weir_chan_release(chan);
}

CASE(abort_wakes_all_watchers, EVERYWHERE, 2, 7)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_clause clauses[] = {
        weir_clause_below(chan, 0),
        weir_clause_above(chan, 2),
        weir_clause_closed(chan),
    };
    struct pick picks[3];

    CHECK_SAME(try_send(chan, 1), 0);
    for (size_t i = 0; i < 3; i++)
        begin_watch(scene, &picks[i], 1, &clauses[i]);
    CHECK_SAME(weir_chan_abort(chan, -EIO), 0);
    weir__chan_verify(chan);
    for (size_t i = 0; i < 3; i++) {
        CHECK_SAME(end_pick(&picks[i]), 0);
        CHECK_SAME(picks[i].clauses[0].result, -EIO);
    }
    weir_chan_release(chan);
}

/* Watchers are waiters: the last release says who they are, and they outlive it. */
CASE(last_release_names_watchers, EVERYWHERE, 0, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_clause clauses[] = { weir_clause_closed(chan), weir_clause_above(chan, 2) };
    struct pick picks[2];
    char text[1024];

    begin_watch(scene, &picks[0], 2, clauses);
    begin_watch(scene, &picks[1], 1, clauses);
    CHECK_SAME(release_overheard(chan, text, sizeof text), -EBUSY);
    CHECK(strstr(text, scene->setting == WITH_THREAD ? "a plain thread" : "actor") != NULL);
    CHECK(strstr(text, "parked in a select") != NULL);
    for (size_t i = 0; i < 2; i++) {
        CHECK(end_pick(&picks[i]) >= 0);
        CHECK_SAME(picks[i].clauses[picks[i].won].result, -EPIPE);
    }
}

CASE(cancelled_watcher_leaves_nothing, ON_TASKS, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_clause clauses[] = { weir_clause_above(chan, 1), weir_clause_closed(chan) };
    struct pick pick;

    begin_watch(scene, &pick, 2, clauses);
    CHECK_SAME(weir_task_cancel(pick.actor.task), 0);
    CHECK_SAME(end_pick(&pick), -ECANCELED);
    CHECK_SAME(watchers_of(chan), 0);
    CHECK_SAME(weir_select(clauses, 2, 0, weir_in_us(10)), -ETIME);
    CHECK_SAME(watchers_of(chan), 0);
    CHECK_SAME(try_send(chan, 1), 0);
    CHECK_SAME(chan->special, 0);
    weir_chan_release(chan);
}

static int watch_one(void *arg)
{
    struct weir_clause clause = weir_clause_above(arg, 1);

    CHECK_SAME(weir_select(&clause, 1, 0, WEIR_FOREVER), 0);
    return clause.result;
}

/* All of them by one send: the time under the lock must not grow with their square. */
CASE(one_send_wakes_ten_thousand, ALONE, 1)
{
    size_t many = (size_t)test_rounds(MANY, MANY, MANY);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    for (size_t i = 0; i < many; i++)
        CHECK_SAME(weir_spawn(scene->scope, watch_one, chan, NULL), 0);
    AWAIT(watchers_of(chan) == many);
    CHECK_SAME(try_send(chan, 1), 0);
    CHECK_SAME(weir_scope_join(scene->scope, end_of_patience()), 0);
    CHECK_SAME(weir_scope_create(&scene->scope, WEIR_SCOPE_SUPERVISE, NULL), 0);
    CHECK_SAME(watchers_of(chan), 0);
    weir_chan_release(chan);
}

/* --- Races --- */

/* A producer that sends only when the buffer has run dry, and a consumer that takes only when it is
 * full: a level that is missed stops both. */
struct tide {
    struct weir_chan *chan;
    long rounds;
};

static int rise(void *arg)
{
    struct tide *tide = arg;
    struct weir_clause dry = weir_clause_below(tide->chan, 0);

    for (long round = 0; round < tide->rounds; round++) {
        CHECK_SAME(weir_select(&dry, 1, 0, WEIR_FOREVER), 0);
        for (uint64_t i = 0; i < tide->chan->capacity; i++)
            CHECK_SAME(weir_chan_send(tide->chan, &i, WEIR_NOW), 0);
    }
    return weir_chan_close(tide->chan, 0);
}

CASE(no_level_is_missed, EVERYWHERE, 1, 2, 7)
{
    struct tide tide = { .chan = make_chan(scene->capacity, NULL),
                         .rounds = test_rounds(2000, 200000, 1000000) };
    struct weir_clause full = weir_clause_above(tide.chan, scene->capacity);
    struct actor producer;
    long round = 0;

    actor_start(scene, &producer, rise, &tide);
    while (weir_select(&full, 1, 0, WEIR_FOREVER) == 0 && full.result == 0) {
        for (uint64_t i = 0; i < scene->capacity; i++)
            take_value(tide.chan, i);
        round++;
    }
    CHECK_SAME(round, tide.rounds);
    CHECK_SAME(full.result, -EPIPE);
    actor_join(&producer);
    weir_chan_release(tide.chan);
}

/* Watchers with short deadlines against a send and an abort. */
struct flood {
    struct barrier barrier;
    struct weir_chan *chan;
    long rounds;
};

static int watch_in_rounds(void *arg)
{
    struct flood *flood = arg;
    uint64_t random = 6, value;

    for (long round = 0; round < flood->rounds; round++) {
        struct weir_clause clauses[3];
        int won;

        meet(&flood->barrier);
        clauses[0] = weir_clause_above(flood->chan, 1);
        clauses[1] = weir_clause_closed(flood->chan);
        clauses[2] = weir_clause_recv(flood->chan, &value);
        won = weir_select(clauses, 3, 0, weir_in_ns((int64_t)(roll(&random) % 40000)));
        CHECK(won >= 0 || won == -ETIME);
        meet(&flood->barrier);
    }
    return 0;
}

CASE(watch_against_send_and_abort, EVERYWHERE, 1)
{
    struct flood flood = { .rounds = test_rounds(2000, 200000, 1000000) };
    struct actor watcher;
    uint64_t random = 7;

    actor_start(scene, &watcher, watch_in_rounds, &flood);
    for (long round = 0; round < flood.rounds; round++) {
        uint64_t value = 1;

        flood.chan = make_chan(scene->capacity, NULL);
        meet(&flood.barrier);
        dawdle(&random);
        CHECK_SAME(weir_chan_send(flood.chan, &value, WEIR_NOW), 0);
        if (round % 2)
            CHECK_SAME(weir_chan_abort(flood.chan, 0), 0);
        meet(&flood.barrier);
        CHECK_SAME(watchers_of(flood.chan) + count_waiters(flood.chan), 0);
        CHECK_SAME(weir_chan_release(flood.chan), 0);
    }
    actor_join(&watcher);
}

CASE(clauses_of_no_channel_are_disabled, ALONE, 0)
{
    struct weir_clause clauses[] = {
        weir_clause_below(NULL, 0),
        weir_clause_above(NULL, 0),
        weir_clause_closed(NULL),
    };
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    CHECK_SAME(weir_select(clauses, 3, 0, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_select(clauses, 3, 0, WEIR_NOW), -EAGAIN);
    CHECK_SAME(watch_now(weir_clause_below(chan, 0)), 0); /* a rendezvous buffers nothing */
    CHECK_SAME(watch_now(weir_clause_above(chan, 1)), -EAGAIN);
    weir_chan_release(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watermarks_follow_the_count),
        cmocka_unit_test(parked_watchers_wake_at_their_level),
        cmocka_unit_test(watermarks_follow_the_weight),
        cmocka_unit_test(watermarks_stand_beside_others),
        cmocka_unit_test(watcher_and_receiver_in_one_select),
        cmocka_unit_test(abort_wakes_all_watchers),
        cmocka_unit_test(last_release_names_watchers),
        cmocka_unit_test(cancelled_watcher_leaves_nothing),
        cmocka_unit_test(one_send_wakes_ten_thousand),
        cmocka_unit_test(no_level_is_missed),
        cmocka_unit_test(watch_against_send_and_abort),
        cmocka_unit_test(clauses_of_no_channel_are_disabled),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
