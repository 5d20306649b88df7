/* SPDX-License-Identifier: MIT */
/* The mix. Section N of the conformance cases. */
#include "base/memory.h"
#include "core/sched.h"
#include "sync/fixture.h"

#include <weir/mix.h>

enum { FEW = 20, BURST = 2048, FEEDERS = 8 };

/* --- A desk: a mix, its output, two inputs --- */

struct desk {
    struct weir_mix *mix;
    struct weir_chan *output;
    struct weir_chan *a;
    struct weir_chan *b;
    atomic_ulong dropped; /* elements of a and b */
    atomic_ulong wrong;   /* dropped for another reason than being received for nobody */
};

static void note_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    struct desk *desk = context;

    (void)elem;
    atomic_fetch_add(&desk->dropped, 1);
    if (reason != WEIR_DROP_DISCARD)
        atomic_fetch_add(&desk->wrong, 1);
}

static void open_desk(struct scene *scene, struct desk *desk,
                      const struct weir_mix_options *options)
{
    struct weir_chan_options inputs = { .drop = note_drop, .context = desk };

    *desk = (struct desk){
        .output = make_chan(0, NULL),
        .a = make_chan(scene->capacity, &inputs),
        .b = make_chan(scene->capacity, &inputs),
    };
    CHECK_SAME(weir_mix_create(scene->scope, desk->output, options, &desk->mix), 0);
}

static struct weir_mix_stats look_at(struct weir_mix *mix)
{
    struct weir_mix_stats stats;

    CHECK_SAME(weir_mix_read_stats(mix, &stats), 0);
    return stats;
}

static void add(struct weir_mix *mix, struct weir_chan *chan, unsigned state)
{
    CHECK_SAME(weir_mix_add(mix, chan, state, end_of_patience()), 0);
}

static void change(struct weir_mix *mix, struct weir_chan *chan, unsigned set, unsigned clear)
{
    const struct weir_mix_change one = { .chan = chan, .set = set, .clear = clear };

    CHECK_SAME(weir_mix_toggle(mix, &one, 1, end_of_patience()), 0);
}

/* Ends the mix by its output, if it has not ended. */
static void close_desk(struct desk *desk)
{
    weir_chan_abort(desk->output, 0);
    AWAIT(look_at(desk->mix).ended);
    CHECK_SAME(desk->wrong, 0);
    weir_mix_release(desk->mix);
    weir_chan_abort(desk->a, 0);
    weir_chan_abort(desk->b, 0);
    weir_chan_release(desk->a);
    weir_chan_release(desk->b);
    weir_chan_release(desk->output);
}

/* Somebody who sends `count` values from `first` on. */
struct feeder {
    struct actor actor;
    struct weir_chan *chan;
    uint64_t first;
    uint64_t count;
    atomic_ulong sent;
};

static int feed(void *arg)
{
    struct feeder *feeder = arg;
    int error = 0;

    for (uint64_t i = 0; error >= 0 && i < feeder->count; i++) {
        uint64_t value = feeder->first + i;

        error = weir_chan_send(feeder->chan, &value, end_of_patience());
        if (error >= 0)
            atomic_fetch_add(&feeder->sent, 1);
    }
    return error;
}

static void start_feeder(struct scene *scene, struct feeder *feeder, struct weir_chan *chan,
                         uint64_t first, uint64_t count)
{
    *feeder = (struct feeder){ .chan = chan, .first = first, .count = count };
    actor_start(scene, &feeder->actor, feed, feeder);
}

/* Receives `count` values, which must be those from `first` on. */
static void expect_run(struct weir_chan *chan, uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t value = 0;

        CHECK_SAME(weir_chan_recv(chan, &value, end_of_patience()), 0);
        CHECK_SAME(value, first + i);
    }
}

/* --- N. Mix --- */

/* One of those who send to every input once. */
struct burst_feeder {
    struct actor actor;
    struct weir_chan **chans;
    size_t first;
};

static int feed_burst(void *arg)
{
    struct burst_feeder *feeder = arg;

    for (uint64_t i = feeder->first; i < BURST; i += FEEDERS)
        CHECK_SAME(weir_chan_send(feeder->chans[i], &i, end_of_patience()), 0);
    return 0;
}

CASE(case_247_burst_of_inputs, EVERYWHERE, 0, 1)
{
    struct weir_chan **chans = calloc(BURST, sizeof(struct weir_chan *));
    bool *seen = calloc(BURST, sizeof *seen);
    struct burst_feeder feeders[FEEDERS];
    struct desk desk;

    open_desk(scene, &desk, NULL);
    for (size_t i = 0; i < BURST; i++)
        chans[i] = make_chan(scene->capacity, NULL);
    for (size_t i = 0; i < FEEDERS; i++) {
        feeders[i] = (struct burst_feeder){ .chans = chans, .first = i };
        actor_start(scene, &feeders[i].actor, feed_burst, &feeders[i]);
    }
    for (size_t i = 0; i < BURST; i++)
        add(desk.mix, chans[i], 0);
    CHECK_SAME(look_at(desk.mix).inputs, BURST);
    for (size_t i = 0; i < BURST; i++) {
        uint64_t value = BURST;

        CHECK_SAME(weir_chan_recv(desk.output, &value, end_of_patience()), 0);
        if (CHECK(value < BURST)) {
            CHECK(!seen[value]);
            seen[value] = true;
        }
    }
    for (size_t i = 0; i < FEEDERS; i++)
        actor_join(&feeders[i].actor);
    close_desk(&desk);
    for (size_t i = 0; i < BURST; i++)
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

static void check_refusals(struct desk *desk)
{
    CHECK_SAME(weir_mix_add(desk->mix, desk->a, 0, WEIR_FOREVER), -EPIPE);
    CHECK_SAME(weir_mix_remove(desk->mix, desk->a, WEIR_FOREVER), -EPIPE);
    CHECK_SAME(weir_mix_remove_all(desk->mix, WEIR_FOREVER), -EPIPE);
    CHECK_SAME(weir_mix_solo_mode(desk->mix, WEIR_MIX_MUTE, WEIR_FOREVER), -EPIPE);
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

/* --- What the header says --- */

/* One element is in hand when the output goes: the drop callback of its input gets it. */
CASE(element_in_hand_is_dropped_at_the_end, EVERYWHERE, ANY_CAPACITY)
{
    struct feeder feeder;
    struct desk desk;

    open_desk(scene, &desk, NULL);
    add(desk.mix, desk.a, 0);
    start_feeder(scene, &feeder, desk.a, 1, 1);
    await_senders(desk.output, 1);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(weir_chan_abort(desk.output, 0), 0);
    AWAIT(look_at(desk.mix).ended);
    CHECK_SAME(desk.dropped, 1);
    CHECK_SAME(look_at(desk.mix).sent_total, 0);
    close_desk(&desk);
}

/* Verbs are carried out while the mix waits for its output; what it has in hand is delivered. */
CASE(verbs_while_the_output_waits, EVERYWHERE, ANY_CAPACITY)
{
    struct feeder feeder;
    struct desk desk;

    open_desk(scene, &desk, NULL);
    add(desk.mix, desk.a, 0);
    start_feeder(scene, &feeder, desk.a, 1, scene->capacity + 2);
    await_senders(desk.output, 1);
    await_senders(desk.a, 1);
    CHECK_SAME(weir_mix_remove(desk.mix, desk.a, WEIR_NOW), 0);
    add(desk.mix, desk.b, WEIR_MIX_PAUSE);
    expect_run(desk.output, 1, 1);
    AWAIT(look_at(desk.mix).sent_total == 1);
    CHECK_SAME(look(desk.a).received_total, 1);
    CHECK_SAME(look(desk.a).waiting_receivers, 0);
    add(desk.mix, desk.a, 0);
    expect_run(desk.output, 2, scene->capacity + 1);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(weir_mix_remove_all(desk.mix, end_of_patience()), 0);
    CHECK_SAME(look_at(desk.mix).inputs, 0);
    close_desk(&desk);
}

CASE(bound_on_inputs, ALONE, 1)
{
    struct weir_mix_options options = { .inputs_max = 2 };
    struct weir_chan *third = make_chan(1, NULL);
    struct weir_mix_change changes[2];
    struct desk desk;

    open_desk(scene, &desk, &options);
    add(desk.mix, desk.a, 0);
    changes[0] = (struct weir_mix_change){ .chan = desk.a, .set = WEIR_MIX_MUTE };
    changes[1] = (struct weir_mix_change){ .chan = desk.b };
    CHECK_SAME(weir_mix_toggle(desk.mix, changes, 2, WEIR_FOREVER), 0);
    changes[0].set = WEIR_MIX_PAUSE;
    changes[1].chan = third;
    CHECK_SAME(weir_mix_toggle(desk.mix, changes, 2, WEIR_FOREVER), -ENOBUFS);
    CHECK_SAME(look_at(desk.mix).inputs, 2);
    CHECK_SAME(look_at(desk.mix).inputs_paused, 0);
    CHECK_SAME(look_at(desk.mix).inputs_muted, 1);
    CHECK_SAME(look_at(desk.mix).refused_total, 1);
    CHECK_SAME(weir_mix_remove(desk.mix, desk.b, WEIR_FOREVER), 0);
    add(desk.mix, third, 0);
    close_desk(&desk);
    weir_chan_release(third);
}

/* A verb that the mix does not take: somebody who holds the mix by a drop callback. */
struct held {
    struct weir_chan *gate;
    struct desk desk;
    struct actor actor;
    int result;
};

static void wait_at_the_gate(void *elem, void *context, enum weir_drop_reason reason)
{
    struct held *held = context;

    (void)elem;
    (void)reason;
    CHECK_SAME(weir_chan_recv(held->gate, NULL, end_of_patience()), 0);
}

static int add_b(void *arg)
{
    struct held *held = arg;

    held->result = weir_mix_add(held->desk.mix, held->desk.b, 0, WEIR_FOREVER);
    return 0;
}

CASE(verbs_keep_the_callers_deadline, ON_TASKS, 1)
{
    struct weir_chan_options options = { .drop = wait_at_the_gate };
    struct held held = { .result = 1 };

    open_desk(scene, &held.desk, NULL);
    weir_chan_release(held.desk.a);
    options.context = &held;
    held.desk.a = make_chan(1, &options);
    CHECK_SAME(weir_chan_create(&held.gate, 0, 0, NULL), 0);
    add(held.desk.mix, held.desk.a, WEIR_MIX_MUTE);
    CHECK_SAME(try_send(held.desk.a, 1), 0);
    await_receivers(held.gate, 1);
    CHECK_SAME(weir_mix_add(held.desk.mix, held.desk.b, 0, WEIR_NOW), -EAGAIN);
    CHECK_SAME(weir_mix_add(held.desk.mix, held.desk.b, 0, weir_in_ms(1)), -ETIME);
    actor_start(scene, &held.actor, add_b, &held);
    if (scene->setting == SAME_LOOP)
        weir__sched_settle();
    CHECK_SAME(weir_task_cancel(held.actor.task), 0);
    actor_join(&held.actor);
    CHECK_SAME(held.result, -ECANCELED);
    CHECK_SAME(look_at(held.desk.mix).inputs, 1);
    CHECK_SAME(weir_chan_send(held.gate, NULL, end_of_patience()), 0);
    add(held.desk.mix, held.desk.b, 0);
    CHECK_SAME(look_at(held.desk.mix).inputs, 2);
    close_desk(&held.desk);
    weir_chan_release(held.gate);
}

/* Without handles it lives as long as there is somebody to hear. */
CASE(last_release_lets_it_end, EVERYWHERE, ANY_CAPACITY)
{
    struct feeder feeder;
    struct desk desk;
    struct weir_mix *kept;

    open_desk(scene, &desk, NULL);
    kept = weir_mix_retain(desk.mix);
    add(desk.mix, desk.a, 0);
    add(desk.mix, desk.b, WEIR_MIX_PAUSE);
    weir_mix_release(kept);
    weir_mix_release(desk.mix);
    start_feeder(scene, &feeder, desk.a, 1, FEW);
    expect_run(desk.output, 1, FEW);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(weir_chan_close(desk.a, 0), 0);
    AWAIT(weir_scope_count(scene->scope) == 0 || scene->setting != SAME_LOOP);
    CHECK_SAME(weir_scope_join(scene->scope, end_of_patience()), 0);
    CHECK_SAME(weir_scope_create(&scene->scope, WEIR_SCOPE_SUPERVISE, NULL), 0);
    CHECK(!look(desk.output).closed);
    weir_chan_release(desk.a);
    weir_chan_release(desk.b);
    weir_chan_release(desk.output);
}

CASE(cancelled_mix_drops_what_it_has, ALONE, ANY_CAPACITY)
{
    struct weir_scope *scope;
    struct feeder feeder;
    struct desk desk;
    struct scene inner = *scene;

    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    inner.scope = scope;
    open_desk(&inner, &desk, NULL);
    add(desk.mix, desk.a, 0);
    start_feeder(scene, &feeder, desk.a, 1, 1);
    await_senders(desk.output, 1);
    weir_scope_cancel(scope);
    CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
    CHECK(look_at(desk.mix).ended);
    CHECK_SAME(desk.dropped, 1);
    check_refusals(&desk);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    close_desk(&desk);
}

CASE(refuses_what_makes_no_sense, ALONE, 0)
{
    struct weir_mix_change bad[] = { { .chan = NULL } };
    struct weir_mix_options options = { .solo_mode = WEIR_MIX_SOLO };
    struct weir_chan *wide;
    struct weir_mix *mix;
    struct desk desk;

    open_desk(scene, &desk, NULL);
    CHECK_SAME(weir_chan_create(&wide, 2 * sizeof(uint64_t), 0, NULL), 0);
    CHECK_SAME(weir_mix_create(scene->scope, desk.output, &options, &mix), -EINVAL);
    options = (struct weir_mix_options){ .size = 1 };
    CHECK_SAME(weir_mix_create(scene->scope, desk.output, &options, &mix), -EINVAL);
    options = (struct weir_mix_options){ .reserved = { 0, 1 } };
    CHECK_SAME(weir_mix_create(scene->scope, desk.output, &options, &mix), -EINVAL);
    options = (struct weir_mix_options){ .name = "a name of thirty-two characters!" };
    CHECK_SAME(weir_mix_create(scene->scope, desk.output, &options, &mix), -E2BIG);
    CHECK_SAME(weir_mix_create(NULL, desk.output, NULL, &mix), -EINVAL);
    CHECK_SAME(weir_mix_add(desk.mix, wide, 0, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_add(desk.mix, desk.output, 0, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_add(desk.mix, desk.a, 8, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_toggle(desk.mix, bad, 1, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_toggle(desk.mix, NULL, 1, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_solo_mode(desk.mix, WEIR_MIX_SOLO, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_remove(NULL, desk.a, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_read_stats(desk.mix, NULL), -EINVAL);
    for (long failing = 1, error = -ENOMEM; error < 0; failing++) {
        weir__memory_fail_after(failing);
        error = weir_mix_create(scene->scope, desk.output, NULL, &mix);
        weir__memory_fail_after(-1);
        CHECK(error == 0 || error == -ENOMEM);
    }
    weir_mix_release(mix);
    weir_chan_release(wide);
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
        cmocka_unit_test(element_in_hand_is_dropped_at_the_end),
        cmocka_unit_test(verbs_while_the_output_waits),
        cmocka_unit_test(bound_on_inputs),
        cmocka_unit_test(verbs_keep_the_callers_deadline),
        cmocka_unit_test(last_release_lets_it_end),
        cmocka_unit_test(cancelled_mix_drops_what_it_has),
        cmocka_unit_test(refuses_what_makes_no_sense),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
