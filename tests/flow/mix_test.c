/* SPDX-License-Identifier: MIT */
/* The mix. Section N of the conformance cases. */
#include "core/sched.h"
#include "flow/desk.h"

enum { FEEDERS = 8 };

/* How many inputs; what a select of all of them costs is their square. */
static size_t burst_count(void)
{
    return TEST_SANITIZED && test_tier() == TEST_FAST ? 256 : 2048;
}

/* One of those who send to every input once. */
struct burst_feeder {
    struct actor actor;
    struct weir_chan **chans;
    size_t first;
    size_t count;
};

static int feed_burst(void *arg)
{
    struct burst_feeder *feeder = arg;

    for (uint64_t i = feeder->first; i < feeder->count; i += FEEDERS)
        CHECK_SAME(weir_chan_send(feeder->chans[i], &i, end_of_patience()), 0);
    return 0;
}

CASE(case_247_burst_of_inputs, EVERYWHERE, 0, 1)
{
    const size_t count = burst_count();
    struct weir_chan **chans = calloc(count, sizeof(struct weir_chan *));
    bool *seen = calloc(count, sizeof *seen);
    struct burst_feeder feeders[FEEDERS];
    struct desk desk;

    open_desk(scene, &desk, NULL);
    for (size_t i = 0; i < count; i++)
        chans[i] = make_chan(scene->capacity, NULL);
    for (size_t i = 0; i < FEEDERS; i++) {
        feeders[i] = (struct burst_feeder){ .chans = chans, .first = i, .count = count };
        actor_start(scene, &feeders[i].actor, feed_burst, &feeders[i]);
    }
    for (size_t i = 0; i < count; i++)
        add(desk.mix, chans[i], 0);
    CHECK_SAME(look_at(desk.mix).inputs, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t value = count;

        CHECK_SAME(weir_chan_recv(desk.output, &value, end_of_patience()), 0);
        if (CHECK(value < count)) {
            CHECK(!seen[value]);
            seen[value] = true;
        }
    }
    for (size_t i = 0; i < FEEDERS; i++)
        actor_join(&feeders[i].actor);
    close_desk(&desk);
    for (size_t i = 0; i < count; i++)
        weir_chan_release(chans[i]);
    free(seen);
    free(chans);
}

CASE(case_248_muted_is_consumed, EVERYWHERE, ANY_CAPACITY)
{
    struct feeder feeder;
    struct desk desk;

    open_desk(scene, &desk, NULL);
    add(desk.mix, desk.a, WEIR_MIX_MUTE);
    CHECK_SAME(look_at(desk.mix).inputs_muted, 1);
    start_feeder(scene, &feeder, desk.a, 1, FEW);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    AWAIT(look_at(desk.mix).muted_total == FEW);
    CHECK_SAME(desk.dropped, FEW);
    CHECK_SAME(look(desk.a).dropped_total, FEW);
    CHECK_SAME(look(desk.output).waiting_senders, 0);
    change(desk.mix, desk.a, 0, WEIR_MIX_MUTE);
    start_feeder(scene, &feeder, desk.a, 100, FEW);
    expect_run(desk.output, 100, FEW);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(desk.dropped, FEW);
    AWAIT(look_at(desk.mix).sent_total == FEW);
    close_desk(&desk);
}

CASE(case_250_solo_mutes_the_others, EVERYWHERE, ANY_CAPACITY)
{
    struct feeder heard, muted;
    struct desk desk;

    open_desk(scene, &desk, NULL);
    CHECK_SAME(weir_mix_solo_mode(desk.mix, WEIR_MIX_MUTE, end_of_patience()), 0);
    add(desk.mix, desk.b, 0);
    /* Solo is stronger than mute and pause. */
    add(desk.mix, desk.a, WEIR_MIX_SOLO | WEIR_MIX_MUTE | WEIR_MIX_PAUSE);
    CHECK_SAME(look_at(desk.mix).inputs_muted, 1);
    CHECK_SAME(look_at(desk.mix).inputs_paused, 0);
    start_feeder(scene, &muted, desk.b, 1000, FEW);
    start_feeder(scene, &heard, desk.a, 1, FEW);
    expect_run(desk.output, 1, FEW);
    CHECK_SAME(actor_join(&heard.actor), 0);
    CHECK_SAME(actor_join(&muted.actor), 0);
    AWAIT(look_at(desk.mix).muted_total == FEW);
    CHECK_SAME(desk.dropped, FEW);
    CHECK_SAME(look(desk.output).waiting_senders, 0);
    close_desk(&desk);
}

CASE(case_251_solo_pauses_the_others, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_mix_options options = { .solo_mode = WEIR_MIX_PAUSE };
    struct feeder heard, paused;
    struct desk desk;

    open_desk(scene, &desk, &options);
    add(desk.mix, desk.a, WEIR_MIX_SOLO);
    add(desk.mix, desk.b, 0);
    CHECK_SAME(look_at(desk.mix).inputs_paused, 1);
    start_feeder(scene, &paused, desk.b, 1000, scene->capacity + 1);
    await_senders(desk.b, 1);
    start_feeder(scene, &heard, desk.a, 1, FEW);
    expect_run(desk.output, 1, FEW);
    CHECK_SAME(actor_join(&heard.actor), 0);
    AWAIT(look_at(desk.mix).sent_total == FEW);
    CHECK_SAME(paused.sent, scene->capacity);
    CHECK_SAME(look(desk.b).received_total, 0);
    change(desk.mix, desk.a, 0, WEIR_MIX_SOLO);
    expect_run(desk.output, 1000, scene->capacity + 1);
    CHECK_SAME(actor_join(&paused.actor), 0);
    CHECK_SAME(desk.dropped, 0);
    close_desk(&desk);
}

/* Sends rising numbers, even ones to a, odd ones to b, until either ends. */
static int feed_in_turn(void *arg)
{
    struct desk *desk = arg;
    int error = 0;

    for (uint64_t value = 0; error >= 0; value++)
        error = weir_chan_send(value % 2 ? desk->b : desk->a, &value, end_of_patience());
    return error;
}

/* Receives numbers, and counts the changes of parity. */
struct listener {
    struct actor actor;
    struct weir_chan *output;
    atomic_ulong changes;
};

/*
 * The mix takes the numbers in order, and lets those of one parity pass. Toggled between two of
 * them, the last one of the old parity is followed by the next of the new one, or by the one after
 * that, when its neighbour came just before. A gap shows a moment in which neither was heard.
 */
static int listen_to_parity(void *arg)
{
    struct listener *listener = arg;
    uint64_t value, last;

    CHECK_SAME(weir_chan_recv(listener->output, &last, end_of_patience()), 0);
    while (weir_chan_recv(listener->output, &value, end_of_patience()) == 0) {
        if (value % 2 == last % 2)
            CHECK_SAME(value, last + 2);
        else
            CHECK(value == last + 1 || value == last + 3);
        if (value % 2 != last % 2)
            atomic_fetch_add(&listener->changes, 1);
        last = value;
    }
    return 0;
}

/* A moment in which both are heard shows by more changes than there were toggles. */
CASE(case_253_toggle_is_atomic, EVERYWHERE, 0)
{
    unsigned long rounds = (unsigned long)test_rounds(300, 30000, 30000);
    struct listener listener = { 0 };
    struct actor actor;
    struct desk desk;

    open_desk(scene, &desk, NULL);
    add(desk.mix, desk.a, WEIR_MIX_MUTE);
    add(desk.mix, desk.b, 0);
    listener.output = desk.output;
    actor_start_at(scene, &listener.actor, 0, listen_to_parity, &listener);
    actor_start(scene, &actor, feed_in_turn, &desk);
    AWAIT(look_at(desk.mix).sent_total > 1);
    for (unsigned long round = 0; round < rounds; round++) {
        struct weir_mix_change up = {
            .chan = round % 2 ? desk.b : desk.a,
            .clear = WEIR_MIX_MUTE,
        };
        struct weir_mix_change down = {
            .chan = round % 2 ? desk.a : desk.b,
            .set = WEIR_MIX_MUTE,
        };
        struct weir_mix_change changes[] = { round % 4 < 2 ? up : down, round % 4 < 2 ? down : up };

        CHECK_SAME(weir_mix_toggle(desk.mix, changes, 2, end_of_patience()), 0);
        AWAIT(atomic_load(&listener.changes) > round);
    }
    weir_chan_abort(desk.output, 0);
    AWAIT(look_at(desk.mix).ended);
    CHECK_SAME(listener.changes, rounds);
    actor_join(&listener.actor);
    weir_chan_abort(desk.a, 0);
    weir_chan_abort(desk.b, 0);
    CHECK_SAME(actor_join(&actor), -EPIPE);
    close_desk(&desk);
}

CASE(case_254_toggle_adds_an_input_paused, EVERYWHERE, ANY_CAPACITY)
{
    struct feeder feeder;
    struct desk desk;

    open_desk(scene, &desk, NULL);
    change(desk.mix, desk.a, WEIR_MIX_PAUSE, 0);
    CHECK_SAME(look_at(desk.mix).inputs, 1);
    CHECK_SAME(look_at(desk.mix).inputs_paused, 1);
    start_feeder(scene, &feeder, desk.a, 1, scene->capacity + 1);
    await_senders(desk.a, 1);
    CHECK_SAME(look(desk.a).received_total, 0);
    change(desk.mix, desk.a, 0, WEIR_MIX_PAUSE);
    expect_run(desk.output, 1, scene->capacity + 1);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    close_desk(&desk);
}

CASE(case_256_ended_input_is_removed, EVERYWHERE, ANY_CAPACITY)
{
    struct feeder feeder;
    struct desk desk;

    open_desk(scene, &desk, NULL);
    add(desk.mix, desk.a, 0);
    add(desk.mix, desk.b, 0);
    start_feeder(scene, &feeder, desk.a, 1, FEW);
    expect_run(desk.output, 1, FEW);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(weir_chan_close(desk.a, 0), 0);
    AWAIT(look_at(desk.mix).inputs == 1);
    CHECK_SAME(weir_mix_remove(desk.mix, desk.a, end_of_patience()), WEIR_ALREADY);
    start_feeder(scene, &feeder, desk.b, 1, FEW);
    expect_run(desk.output, 1, FEW);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK(!look(desk.output).closed);
    CHECK_SAME(weir_chan_abort(desk.b, -EIO), 0);
    AWAIT(look_at(desk.mix).inputs == 0);
    CHECK(!look_at(desk.mix).ended);
    close_desk(&desk);
}

/* Nothing is taken from a channel any more: its buffer fills, and then a send finds no room. */
static void check_unheard(struct scene *scene, struct weir_chan *chan)
{
    uint64_t received = look(chan).received_total;

    fill(chan, scene->capacity);
    CHECK_SAME(try_send(chan, 1), -EAGAIN);
    CHECK_SAME(look(chan).received_total, received);
    CHECK_SAME(look(chan).waiting_receivers, 0);
}

CASE(case_257_closed_output_ends_it, ON_TASKS, ANY_CAPACITY)
{
    struct desk desk;

    open_desk(scene, &desk, NULL);
    add(desk.mix, desk.a, 0);
    add(desk.mix, desk.b, WEIR_MIX_MUTE);
    weir__sched_settle(); /* it waits for its inputs */
    CHECK_SAME(weir_chan_close(desk.output, 0), 0);
    AWAIT(look_at(desk.mix).ended);
    CHECK_SAME(look_at(desk.mix).inputs, 0);
    check_unheard(scene, desk.a);
    check_unheard(scene, desk.b);
    check_refusals(&desk);
    close_desk(&desk);
}

/* Muted inputs that are always ready must not hide the end of the output. */
CASE(case_257_closed_output_beats_ready_inputs, EVERYWHERE, ANY_CAPACITY)
{
    struct feeder feeder;
    struct desk desk;

    open_desk(scene, &desk, NULL);
    add(desk.mix, desk.b, WEIR_MIX_MUTE);
    start_feeder(scene, &feeder, desk.b, 1, UINT64_MAX);
    AWAIT(look_at(desk.mix).muted_total > FEW);
    CHECK_SAME(weir_chan_close(desk.output, 0), 0);
    AWAIT(look_at(desk.mix).ended);
    CHECK_SAME(look(desk.b).waiting_receivers, 0);
    await_senders(desk.b, 1);
    CHECK_SAME(look(desk.b).received_total, 0); /* a discarded one is not counted as received */
    CHECK_SAME(weir_chan_abort(desk.b, 0), 0);
    CHECK_SAME(actor_join(&feeder.actor), -EPIPE);
    atomic_store(&desk.wrong, 0); /* what the abort dropped */
    close_desk(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_247_burst_of_inputs),
        cmocka_unit_test(case_248_muted_is_consumed),
        cmocka_unit_test(case_250_solo_mutes_the_others),
        cmocka_unit_test(case_251_solo_pauses_the_others),
        cmocka_unit_test(case_253_toggle_is_atomic),
        cmocka_unit_test(case_254_toggle_adds_an_input_paused),
        cmocka_unit_test(case_256_ended_input_is_removed),
        cmocka_unit_test(case_257_closed_output_ends_it),
        cmocka_unit_test(case_257_closed_output_beats_ready_inputs),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
