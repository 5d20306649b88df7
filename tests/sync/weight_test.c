/* SPDX-License-Identifier: MIT */
/* Channels bounded by weight: case 35, and what follows from it. */
#include "sync/fixture.h"

enum { LIMIT = 100, HEAVIEST = 250 };

/* An element's last three digits are what it weighs, unless it is the largest. */
#define WEIGHING(id, weight) ((uint64_t)(id)*1000 + (weight))

static size_t weigh_value(const void *elem, void *context)
{
    uint64_t value;

    if (context)
        atomic_fetch_add((atomic_long *)context, 1);
    memcpy(&value, elem, sizeof value);
    return value == UINT64_MAX ? SIZE_MAX : value % 1000;
}

static struct weir_chan *make_weighed(size_t capacity)
{
    struct weir_chan_options options = { .weigh = weigh_value, .weight_limit = LIMIT };

    return make_chan(capacity, &options);
}

static void check_load(struct weir_chan *chan, size_t count, size_t weight)
{
    weir__chan_verify(chan);
    CHECK_SAME(look(chan).count, count);
    CHECK_SAME(look(chan).weight, weight);
}

CASE(case_035_weight_bounds_the_buffer, EVERYWHERE, 2, 7, 64)
{
    struct weir_chan *chan = make_weighed(scene->capacity);
    struct op put, heavy;

    CHECK_SAME(look(chan).weight_limit, LIMIT);
    CHECK_SAME(try_send(chan, WEIGHING(1, 60)), 0);
    CHECK_SAME(try_send(chan, WEIGHING(2, 60)), -EAGAIN);
    begin_send(scene, &put, chan, WEIGHING(2, 60));
    check_load(chan, 1, 60);
    take_value(chan, WEIGHING(1, 60));
    CHECK_SAME(end_op(&put), 0); /* without another take */
    check_load(chan, 1, 60);
    take_value(chan, WEIGHING(2, 60));

    CHECK_SAME(try_send(chan, WEIGHING(3, HEAVIEST)), 0); /* alone */
    CHECK_SAME(try_send(chan, WEIGHING(4, 0)), -EAGAIN);
    take_value(chan, WEIGHING(3, HEAVIEST));
    CHECK_SAME(try_send(chan, WEIGHING(5, 40)), 0);
    begin_send(scene, &heavy, chan, WEIGHING(6, HEAVIEST));
    take_value(chan, WEIGHING(5, 40));
    CHECK_SAME(end_op(&heavy), 0);
    check_load(chan, 1, HEAVIEST);
    take_value(chan, WEIGHING(6, HEAVIEST));
    check_load(chan, 0, 0);
    weir_chan_release(chan);
}

CASE(count_is_a_bound_too, EVERYWHERE, 1, 2, 7, 64)
{
    struct weir_chan *chan = make_weighed(scene->capacity);
    struct op put;

    for (uint64_t i = 0; i < scene->capacity; i++)
        CHECK_SAME(try_send(chan, WEIGHING(i, 1)), 0);
    begin_send(scene, &put, chan, WEIGHING(99, 0));
    take_value(chan, WEIGHING(0, 1));
    CHECK_SAME(end_op(&put), 0);
    check_load(chan, scene->capacity, scene->capacity - 1);
    weir_chan_release(chan);
}

/* Weights that would overflow when added. */
CASE(weights_do_not_overflow, ALONE, 2)
{
    struct weir_chan *chan = make_weighed(scene->capacity);

    CHECK_SAME(try_send(chan, UINT64_MAX), 0);
    CHECK_SAME(try_send(chan, WEIGHING(1, 1)), -EAGAIN);
    take_value(chan, UINT64_MAX);
    CHECK_SAME(try_send(chan, WEIGHING(1, LIMIT)), 0);
    CHECK_SAME(try_send(chan, UINT64_MAX), -EAGAIN);
    CHECK_SAME(try_send(chan, WEIGHING(2, 0)), 0);
    check_load(chan, 2, LIMIT);
    weir_chan_release(chan);
}

/* One take may let several in, in their order. */
CASE(one_take_lets_several_in, EVERYWHERE, 7, 64)
{
    struct weir_chan *chan = make_weighed(scene->capacity);
    struct op puts[4];

    CHECK_SAME(try_send(chan, WEIGHING(9, 100)), 0);
    for (size_t i = 0; i < 4; i++)
        begin_send(scene, &puts[i], chan, WEIGHING(i, 30));
    take_value(chan, WEIGHING(9, 100));
    for (size_t i = 0; i < 3; i++)
        CHECK_SAME(end_op(&puts[i]), 0);
    CHECK(!is_done(&puts[3]));
    check_load(chan, 3, 90);
    for (size_t i = 0; i < 4; i++)
        take_value(chan, WEIGHING(i, 30));
    CHECK_SAME(end_op(&puts[3]), 0);
    weir_chan_release(chan);
}

/* A light one waits behind a heavy one that does not fit, until that has gone: by its deadline, by
 * a cancel, because its select had another winner. */
CASE(light_one_waits_behind_a_heavy_one, EVERYWHERE, 2, 7, 64)
{
    struct weir_chan *chan = make_weighed(scene->capacity);
    struct weir_chan *other = make_chan(0, NULL);
    uint64_t heavy_value = WEIGHING(2, 90), value = 0;
    struct weir_clause clauses[] = {
        weir_clause_send(chan, &heavy_value),
        weir_clause_recv(other, &value),
    };
    struct op heavy = { .chan = chan, .value = heavy_value }, light;
    struct pick pick;

    CHECK_SAME(try_send(chan, WEIGHING(1, 60)), 0);
    heavy.deadline_ns = weir_in_ms(1);
    actor_start(scene, &heavy.actor, op_send, &heavy);
    AWAIT(look(chan).waiting_senders == 1 || is_done(&heavy));
    light = (struct op){ .chan = chan, .value = WEIGHING(3, 10), .deadline_ns = WEIR_FOREVER };
    actor_start(scene, &light.actor, op_send, &light);
    CHECK_SAME(end_op(&heavy), -ETIME);
    CHECK_SAME(end_op(&light), 0);
    check_load(chan, 2, 70);
    take_value(chan, WEIGHING(1, 60));
    take_value(chan, WEIGHING(3, 10));

    CHECK_SAME(try_send(chan, WEIGHING(1, 60)), 0);
    begin_pick(scene, &pick, 2, clauses);
    CHECK_SAME(try_send(chan, WEIGHING(3, 10)), -EAGAIN); /* it would fit, but comes later */
    begin_send(scene, &light, chan, WEIGHING(3, 10));
    CHECK_SAME(try_send(other, 5), 0);
    CHECK_SAME(end_pick(&pick), 1);
    CHECK_SAME(end_op(&light), 0);
    check_load(chan, 2, 70);
    weir_chan_release(chan);
    weir_chan_release(other);
}

CASE(cancelled_heavy_one_makes_way, ON_TASKS, 2)
{
    struct weir_chan *chan = make_weighed(scene->capacity);
    struct op heavy, light;

    CHECK_SAME(try_send(chan, WEIGHING(1, 60)), 0);
    begin_send(scene, &heavy, chan, WEIGHING(2, 90));
    begin_send(scene, &light, chan, WEIGHING(3, 10));
    CHECK_SAME(weir_task_cancel(heavy.actor.task), 0);
    CHECK_SAME(end_op(&heavy), -ECANCELED);
    CHECK_SAME(end_op(&light), 0);
    check_load(chan, 2, 70);
    weir_chan_release(chan);
}

/* Who waits gets it whatever it weighs; nothing stays behind in the figures. */
CASE(parked_receiver_takes_any_weight, EVERYWHERE, 1, 7)
{
    struct weir_chan *chan = make_weighed(scene->capacity);
    uint64_t value = 0;
    struct weir_clause clause = weir_clause_recv(chan, &value);
    struct op take;
    struct pick pick;

    begin_recv(scene, &take, chan);
    CHECK_SAME(try_send(chan, WEIGHING(1, HEAVIEST)), 0);
    CHECK_SAME(end_op(&take), 0);
    CHECK_SAME(take.value, WEIGHING(1, HEAVIEST));
    check_load(chan, 0, 0);
    begin_pick(scene, &pick, 1, &clause);
    CHECK_SAME(try_send(chan, WEIGHING(2, 7)), 0);
    CHECK_SAME(end_pick(&pick), 0);
    check_load(chan, 0, 0);
    CHECK_SAME(look(chan).count_max, 0);
    weir_chan_release(chan);
}

/* The send finds a receiver that had left already: the element is buffered with its weight. */
CASE(receiver_that_had_left_costs_nothing, ALONE, 2)
{
    struct weir_chan *chan = make_weighed(scene->capacity);
    struct op take;

    begin_recv(scene, &take, chan);
    CHECK_SAME(weir_task_cancel(take.actor.task), 0);
    /* The cancel is in the mailbox: it claims when this loop turns, and the task runs after. */
    while (weir__wait_is_open(&take.actor.task->wait))
        weir__loop_turn(weir__loop_current);
    CHECK_SAME(look(chan).waiting_receivers, 1);
    CHECK_SAME(try_send(chan, WEIGHING(1, 60)), 0);
    check_load(chan, 1, 60);
    CHECK_SAME(end_op(&take), -ECANCELED);
    CHECK_SAME(try_send(chan, WEIGHING(2, 60)), -EAGAIN);
    take_value(chan, WEIGHING(1, 60));
    weir_chan_release(chan);
}

CASE(clauses_are_weighed, EVERYWHERE, 2, 7)
{
    struct weir_chan *chan = make_weighed(scene->capacity);
    uint64_t first = WEIGHING(1, 60), second = WEIGHING(2, 60);
    struct weir_clause clauses[] = {
        weir_clause_send(chan, &first),
        weir_clause_send(chan, &second),
    };
    struct pick pick;

    CHECK_SAME(weir_select(clauses, 2, WEIR_SELECT_PRIORITY, WEIR_NOW), 0);
    CHECK_SAME(weir_select(clauses, 2, 0, WEIR_NOW), -EAGAIN);
    begin_pick(scene, &pick, 1, &clauses[1]);
    take_value(chan, first);
    CHECK_SAME(end_pick(&pick), 0);
    CHECK_SAME(pick.clauses[0].result, 0);
    check_load(chan, 1, 60);
    take_value(chan, second);
    check_load(chan, 0, 0);
    weir_chan_release(chan);
}

CASE(close_and_abort_keep_the_figures, EVERYWHERE, 2, 7)
{
    struct weir_chan *chan = make_weighed(scene->capacity);
    struct op puts[2];

    CHECK_SAME(try_send(chan, WEIGHING(1, 60)), 0);
    begin_send(scene, &puts[0], chan, WEIGHING(2, 60));
    begin_send(scene, &puts[1], chan, WEIGHING(3, HEAVIEST));
    CHECK_SAME(weir_chan_close(chan, 0), 0);
    take_value(chan, WEIGHING(1, 60));
    CHECK_SAME(end_op(&puts[0]), 0);
    check_load(chan, 1, 60);
    CHECK_SAME(weir_chan_abort(chan, 0), 0);
    CHECK_SAME(end_op(&puts[1]), -EPIPE);
    check_load(chan, 0, 0);
    CHECK_SAME(look(chan).dropped_total, 1);
    weir_chan_release(chan);
}

/* Outside of the lock, and once per call. */
CASE(each_send_weighs_once, ALONE, 2)
{
    atomic_long calls = 0;
    struct weir_chan_options options = {
        .weigh = weigh_value,
        .weight_limit = LIMIT,
        .context = &calls,
    };
    struct weir_chan *chan = make_chan(scene->capacity, &options);
    uint64_t value = WEIGHING(1, 60);
    struct weir_clause clause = weir_clause_send(chan, &value);
    struct op put;

    CHECK_SAME(weir_select(&clause, 1, 0, WEIR_NOW), 0);
    CHECK_SAME(calls, 1);
    begin_send(scene, &put, chan, value);
    CHECK_SAME(calls, 2);
    take_value(chan, value);
    take_value(chan, value);
    CHECK_SAME(end_op(&put), 0);
    CHECK_SAME(calls, 2);
    weir_chan_release(chan);
}

/* --- Deadlines against takes --- */

enum { SENDERS = 4 };

struct trade {
    struct weir_chan *chan;
    long rounds;
    atomic_long sent_count, sent_weight;
};

struct trader {
    struct actor actor;
    struct trade *trade;
    uint64_t random;
};

static int send_impatiently(void *arg)
{
    struct trader *trader = arg;
    struct trade *trade = trader->trade;

    for (long round = 0; round < trade->rounds; round++) {
        uint64_t chance = roll(&trader->random);
        uint64_t weight = chance % 8 ? chance % 40 : chance % HEAVIEST;
        uint64_t value = WEIGHING(round, weight);
        struct weir_clause clause = weir_clause_send(trade->chan, &value);
        int64_t deadline_ns = weir_in_ns((int64_t)(chance >> 32) % 30000);
        int result;

        if (chance & 256) {
            result = weir_select(&clause, 1, 0, deadline_ns);
            result = result < 0 ? result : clause.result;
        } else {
            result = weir_chan_send(trade->chan, &value, deadline_ns);
        }
        CHECK(result == 0 || result == -ETIME || result == -EAGAIN);
        weir__chan_verify(trade->chan); /* nobody is first in the queue who would fit */
        if (result < 0)
            continue;
        atomic_fetch_add(&trade->sent_count, 1);
        atomic_fetch_add(&trade->sent_weight, (long)weight);
    }
    return 0;
}

CASE(deadlines_against_takes, EVERYWHERE, 1, 7)
{
    struct trade trade = { .chan = make_weighed(scene->capacity),
                           .rounds = test_rounds(2000, 250000, 1000000) };
    struct trader traders[SENDERS];
    long count = 0, weight = 0;
    uint64_t value, random = 21;
    bool all_done = false;

    for (size_t i = 0; i < SENDERS; i++) {
        traders[i] = (struct trader){ .trade = &trade, .random = i + 1 };
        actor_start_in_crowd(scene, &traders[i].actor, i, send_impatiently, &traders[i]);
    }
    while (!all_done) {
        all_done = true;
        for (size_t i = 0; i < SENDERS; i++)
            all_done &= atomic_load(&traders[i].actor.done);
        while (weir_chan_recv(trade.chan, &value, weir_in_us(10)) == 0) {
            count++;
            weight += (long)(value % 1000);
            dawdle(&random);
        }
    }
    for (size_t i = 0; i < SENDERS; i++)
        actor_join(&traders[i].actor);
    CHECK_SAME(count, trade.sent_count);
    CHECK_SAME(weight, trade.sent_weight);
    CHECK_SAME(count_waiters(trade.chan), 0);
    check_load(trade.chan, 0, 0);
    weir_chan_release(trade.chan);
}

/* --- Bad input --- */

CASE(bad_bounds_are_refused, ALONE, 8)
{
    const struct weir_chan_options bad[] = {
        { .weigh = weigh_value },
        { .weight_limit = LIMIT },
        { .weigh = weigh_value, .weight_limit = LIMIT, .policy = WEIR_CHAN_DROP_NEWEST },
        { .weigh = weigh_value, .weight_limit = LIMIT, .policy = WEIR_CHAN_DROP_OLDEST },
        { .weigh = weigh_value, .weight_limit = LIMIT, .policy = WEIR_CHAN_PROMISE },
    };
    const struct weir_chan_options good = { .weigh = weigh_value, .weight_limit = LIMIT };
    struct weir_chan *chan = NULL;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_SAME(weir_chan_create(&chan, 8, i == 4 ? 1 : scene->capacity, &bad[i]), -EINVAL);
    CHECK_SAME(weir_chan_create(&chan, 8, 0, &good), -EINVAL);
    CHECK_SAME(weir_chan_create(&chan, 0, SIZE_MAX / 8, &good), -EOVERFLOW);
    CHECK_SAME(weir_chan_create(&chan, 1, SIZE_MAX / 16, &good), -EOVERFLOW);
    CHECK(chan == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_035_weight_bounds_the_buffer),
        cmocka_unit_test(count_is_a_bound_too),
        cmocka_unit_test(weights_do_not_overflow),
        cmocka_unit_test(one_take_lets_several_in),
        cmocka_unit_test(light_one_waits_behind_a_heavy_one),
        cmocka_unit_test(cancelled_heavy_one_makes_way),
        cmocka_unit_test(parked_receiver_takes_any_weight),
        cmocka_unit_test(receiver_that_had_left_costs_nothing),
        cmocka_unit_test(clauses_are_weighed),
        cmocka_unit_test(close_and_abort_keep_the_figures),
        cmocka_unit_test(each_send_weighs_once),
        cmocka_unit_test(deadlines_against_takes),
        cmocka_unit_test(bad_bounds_are_refused),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
