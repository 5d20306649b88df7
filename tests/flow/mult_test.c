/* SPDX-License-Identifier: MIT */
/* The mult. Section L of the conformance cases, and what broadcast means. */
#include "flow/fan.h"

enum { STORMERS = 8 };

static int do_untap(void *arg)
{
    struct verb *verb = arg;

    verb->result = weir_mult_untap(verb->mult, verb->chan, WEIR_FOREVER);
    return 0;
}

static int do_close(void *arg)
{
    struct verb *verb = arg;

    verb->result = weir_chan_close(verb->chan, 0);
    return 0;
}

static int do_abort(void *arg)
{
    struct verb *verb = arg;

    verb->result = weir_chan_abort(verb->chan, 0);
    return 0;
}

static int act(struct scene *scene, weir_task_fn *fn, struct weir_mult *mult,
               struct weir_chan *chan)
{
    struct verb verb = { .mult = mult, .chan = chan, .deadline_ns = WEIR_FOREVER };

    actor_start(scene, &verb.actor, fn, &verb);
    actor_join(&verb.actor);
    return verb.result;
}

/* --- L. mult --- */

CASE(case_224_two_taps_see_all_in_order, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_chan *chans[2];
    struct reader readers[2];

    for (size_t i = 0; i < 2; i++) {
        chans[i] = make_chan(scene->capacity, NULL);
        CHECK_SAME(act(scene, do_tap, mult, chans[i]), 0);
        start_reader(scene, &readers[i], chans[i]);
    }
    for (uint64_t value = 0; value < 4; value++)
        put(source, value);
    CHECK_SAME(weir_chan_close(source, -EIO), 0);
    for (size_t i = 0; i < 2; i++) {
        end_reader(&readers[i], 0, 4, -EIO);
        weir_chan_release(chans[i]);
    }
    weir_mult_release(mult);
    weir_chan_release(source);
}

CASE(case_226_without_taps_elements_are_dropped, EVERYWHERE, ANY_CAPACITY)
{
    struct ledger ledger;
    struct weir_chan *source = make_source(scene->capacity, &ledger);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_chan *late = make_chan(scene->capacity, NULL);
    struct reader reader;

    for (uint64_t value = 0; value < 100; value++)
        put(source, value);
    AWAIT(look_at(mult).unheard_total == 100);
    CHECK_SAME(ledger.dropped[WEIR_DROP_DISCARD], 100);
    CHECK_SAME(ledger.dropped_last, 99);
    tap(mult, late, WEIR_TAP_PARK, 0);
    start_reader(scene, &reader, late);
    for (uint64_t value = 100; value < 110; value++)
        put(source, value);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    end_reader(&reader, 100, 10, -EPIPE);
    CHECK_SAME(all_dropped(&ledger), 100);
    CHECK_SAME(ledger.retained, 0);
    weir_chan_release(late);
    weir_mult_release(mult);
    weir_chan_release(source);
}

CASE(case_227_slow_tap_holds_others_one_ahead, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_tap_stats slow, fast;
    struct reader reader;
    struct jam jam;

    begin_jam(scene, scene->scope, &jam);
    weir__sched_settle();
    fast = look_at_tap(jam.mult, jam.fast);
    slow = look_at_tap(jam.mult, jam.slow);
    CHECK_SAME(fast.delivered_total, jam.capacity + 1);
    CHECK_SAME(fast.parked_total, 0);
    CHECK_SAME(fast.parked_since_ns, 0);
    CHECK_SAME(slow.delivered_total, jam.capacity);
    CHECK_SAME(slow.parked_total, 1);
    CHECK(slow.parked_ns > 0);
    CHECK_SAME(look(jam.source).count, 3);
    take(jam.slow, 0);
    AWAIT(look_at_tap(jam.mult, jam.slow).parked_total == 2);
    weir__sched_settle();
    CHECK_SAME(look_at_tap(jam.mult, jam.fast).delivered_total, jam.capacity + 2);
    CHECK(look_at_tap(jam.mult, jam.slow).parked_ns > slow.parked_ns);
    CHECK_SAME(weir_chan_close(jam.source, 0), 0);
    start_reader(scene, &reader, jam.slow);
    end_reader(&reader, 1, jam.capacity + 3, -EPIPE);
    CHECK_SAME(all_dropped(&jam.ledger), 0);
    CHECK_SAME(jam.ledger.retained, jam.capacity + 4);
    end_jam(&jam, jam.capacity + 4, -EPIPE);
}

/* The slow tap of a jam has gone: the mult goes on, and has dropped one copy. */
static void check_jam_is_over(struct jam *jam)
{
    AWAIT(look_at(jam->mult).received_total == jam->capacity + 4);
    CHECK_SAME(look_at(jam->mult).tap_count, 1);
    CHECK_SAME(look_at(jam->mult).dropped_total, 1);
    CHECK_SAME(jam->ledger.dropped[WEIR_DROP_DISCARD], 1);
    CHECK_SAME(jam->ledger.dropped_last, jam->capacity);
    CHECK_SAME(all_dropped(&jam->ledger), 1);
    CHECK_SAME(jam->ledger.retained, jam->capacity + 1);
}

CASE(case_229_untap_cancels_a_parked_delivery, EVERYWHERE, ANY_CAPACITY)
{
    struct jam jam;

    begin_jam(scene, scene->scope, &jam);
    CHECK_SAME(act(scene, do_untap, jam.mult, jam.slow), 0);
    CHECK_SAME(act(scene, do_untap, jam.mult, jam.slow), WEIR_ALREADY);
    check_jam_is_over(&jam);
    CHECK_SAME(look(jam.slow).sent_total, jam.capacity);
    CHECK_SAME(look(jam.slow).waiting_senders, 0);
    CHECK(!look(jam.slow).closed);
    CHECK_SAME(weir_chan_close(jam.source, 0), 0);
    end_jam(&jam, jam.capacity + 4, -EPIPE);
}

CASE(case_230_end_of_a_tap_cancels_a_parked_delivery, EVERYWHERE, ANY_CAPACITY)
{
    static weir_task_fn *const endings[] = { do_close, do_abort };

    for (size_t i = 0; i < 2; i++) {
        struct jam jam;

        begin_jam(scene, scene->scope, &jam);
        CHECK_SAME(act(scene, endings[i], jam.mult, jam.slow), 0);
        check_jam_is_over(&jam);
        CHECK_SAME(look(jam.slow).waiting_senders, 0);
        CHECK_SAME(look(jam.slow).sent_total, jam.capacity);
        CHECK_SAME(weir_mult_untap(jam.mult, jam.slow, WEIR_FOREVER), WEIR_ALREADY);
        CHECK_SAME(weir_chan_close(jam.source, 0), 0);
        end_jam(&jam, jam.capacity + 4, -EPIPE);
    }
}

CASE(case_232_tap_after_the_end_is_ended_at_once, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_tap_options keep = { .flags = WEIR_TAP_KEEP_OPEN };
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_chan *early = make_chan(scene->capacity, NULL);
    struct weir_chan *late = make_chan(scene->capacity, NULL);
    struct weir_chan *later = make_chan(scene->capacity, NULL);

    tap(mult, early, WEIR_TAP_PARK, WEIR_TAP_KEEP_OPEN);
    CHECK_SAME(weir_chan_close(source, -EIO), 0);
    CHECK_SAME(act(scene, do_tap, mult, late), 0); /* at the end, or after it */
    CHECK_SAME(take_end(late), -EIO);
    AWAIT(look_at(mult).ended);
    AWAIT(weir_scope_count(scene->scope) == 0);
    CHECK_SAME(weir_mult_tap(mult, later, &keep, WEIR_FOREVER), 0);
    CHECK(!look(later).closed);
    CHECK_SAME(act(scene, do_tap, mult, later), 0);
    CHECK_SAME(take_end(later), -EIO);
    CHECK(!look(early).closed);
    CHECK_SAME(weir_mult_untap(mult, early, WEIR_FOREVER), WEIR_ALREADY);
    CHECK_SAME(weir_mult_untap_all(mult, WEIR_FOREVER), WEIR_ALREADY);
    CHECK_SAME(look_at(mult).tap_count, 0);
    weir_chan_release(early);
    weir_chan_release(late);
    weir_chan_release(later);
    weir_mult_release(mult);
    weir_chan_release(source);
}

/* --- The storm --- */

struct stormer {
    struct actor actor;
    struct weir_mult *mult;
    struct weir_chan *chan;
    uint64_t random;
    uint64_t next;      /* the least value it may get now; 0: any */
    bool in_run;        /* then the value must be just this one */
    atomic_bool tapped; /* at least once */
    atomic_ulong runs;
    unsigned long gaps;
};

static void check_in(struct stormer *stormer, uint64_t value)
{
    if (stormer->in_run ? value != stormer->next : value < stormer->next)
        stormer->gaps++;
    stormer->in_run = true;
    stormer->next = value + 1;
}

/* Receives at least `count` values of a run; -EPIPE or so at the end of all. */
static int read_run(struct stormer *stormer, uint64_t count)
{
    uint64_t value;
    int error = 0;

    while (error == 0 && count-- > 0) {
        error = weir_chan_recv(stormer->chan, &value, WEIR_FOREVER);
        if (error == 0)
            check_in(stormer, value);
    }
    return error;
}

/* What was delivered before the untap; nothing comes after it. */
static int read_rest(struct stormer *stormer)
{
    uint64_t value;
    int error;

    while ((error = weir_chan_recv(stormer->chan, &value, WEIR_NOW)) == 0)
        check_in(stormer, value);
    return error;
}

static int storm(void *arg)
{
    struct stormer *stormer = arg;
    int error = 0;

    while (error == 0) {
        stormer->in_run = false;
        CHECK_SAME(weir_mult_tap(stormer->mult, stormer->chan, NULL, WEIR_FOREVER), 0);
        atomic_store(&stormer->tapped, true);
        error = read_run(stormer, roll(&stormer->random) % 16);
        CHECK(weir_mult_untap(stormer->mult, stormer->chan, WEIR_FOREVER) >= 0);
        if (read_rest(stormer) == -EAGAIN && read_rest(stormer) == -EAGAIN)
            atomic_fetch_add(&stormer->runs, 1);
        else
            error = -EPIPE;
    }
    CHECK_SAME(read_rest(stormer), -EPIPE);
    return 0;
}

CASE(case_233_storm_of_taps_and_untaps, EVERYWHERE, 0, 7)
{
    uint64_t count = (uint64_t)test_rounds(10000, 1000000, 5000000);
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct stormer stormers[STORMERS];

    for (size_t i = 0; i < STORMERS; i++) {
        stormers[i] = (struct stormer){
            .mult = mult,
            .chan = make_chan(scene->capacity, NULL),
            .random = i + 1,
        };
        actor_start_in_crowd(scene, &stormers[i].actor, i, storm, &stormers[i]);
    }
    for (size_t i = 0; i < STORMERS; i++)
        AWAIT(atomic_load(&stormers[i].tapped));
    for (uint64_t value = 1; value <= count; value++)
        CHECK_SAME(weir_chan_send(source, &value, WEIR_FOREVER), 0);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    for (size_t i = 0; i < STORMERS; i++) {
        actor_join(&stormers[i].actor);
        CHECK_SAME(stormers[i].gaps, 0);
        CHECK(stormers[i].runs > 0);
        weir_chan_release(stormers[i].chan);
    }
    CHECK_SAME(look_at(mult).received_total, count);
    weir_mult_release(mult);
    weir_chan_release(source);
}

/* --- Counted payloads --- */

/* Takes some, and then leaves in a way of its own. */
struct consumer {
    struct actor actor;
    struct weir_mult *mult;
    struct weir_chan *chan;
    size_t quota;
    size_t way;
};

static int consume(void *arg)
{
    struct consumer *consumer = arg;
    struct payload *payload;

    while (consumer->quota > 0 && weir_chan_recv(consumer->chan, &payload, WEIR_FOREVER) == 0) {
        release_payload(payload);
        consumer->quota--;
    }
    if (consumer->way == 0)
        CHECK(weir_mult_untap(consumer->mult, consumer->chan, WEIR_FOREVER) >= 0);
    if (consumer->way <= 1)
        weir_chan_abort(consumer->chan, 0);
    if (consumer->way == 2)
        weir_chan_close(consumer->chan, 0);
    return 0;
}

/* Two taps stay to the end, three leave on the way; one loses elements by its policy. */
CASE(case_235_payload_is_released_once_after_the_last, EVERYWHERE, ANY_CAPACITY)
{
    static const enum weir_tap_policy policies[TAPS] = {
        [1] = WEIR_TAP_DROP_OLDEST, [3] = WEIR_TAP_DROP_NEWEST
    };
    const struct weir_chan_options options = { .drop = drop_payload, .retain = retain_payload };
    struct weir_chan *source = make_chan(scene->capacity, &options);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct consumer consumers[TAPS];
    atomic_long live = 0;

    for (size_t i = 0; i < TAPS; i++) {
        consumers[i] = (struct consumer){
            .mult = mult,
            .chan = make_chan(scene->capacity, &options),
            .quota = i < 3 ? 10 * i : SIZE_MAX,
            .way = i,
        };
        tap(mult, consumers[i].chan, policies[i], 0);
        actor_start_in_crowd(scene, &consumers[i].actor, i, consume, &consumers[i]);
    }
    for (int i = 0; i < 100; i++)
        send_payload(source, &live);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    AWAIT(look_at(mult).ended);
    for (size_t i = 0; i < TAPS; i++) {
        actor_join(&consumers[i].actor);
        weir_chan_release(consumers[i].chan);
    }
    weir_mult_release(mult);
    weir_chan_release(source);
    CHECK_SAME(live, 0);
}

/* --- J. broadcast is a mult --- */

CASE(case_206_broadcast_waits_for_all, EVERYWHERE, 0)
{
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_chan *chans[TAPS];
    struct op second;

    for (size_t i = 0; i < TAPS; i++) {
        chans[i] = make_chan(scene->capacity, NULL);
        tap(mult, chans[i], WEIR_TAP_PARK, 0);
    }
    put(source, 1);
    begin_send(scene, &second, source, 2);
    for (size_t i = 0; i < TAPS; i++) {
        weir__sched_settle();
        CHECK(!is_done(&second));
        take(chans[i], 1);
    }
    CHECK_SAME(end_op(&second), 0);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    for (size_t i = 0; i < TAPS; i++)
        take(chans[i], 2);
    for (size_t i = 0; i < TAPS; i++) {
        CHECK_SAME(take_end(chans[i]), -EPIPE);
        weir_chan_release(chans[i]);
    }
    weir_mult_release(mult);
    weir_chan_release(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_206_broadcast_waits_for_all),
        cmocka_unit_test(case_224_two_taps_see_all_in_order),
        cmocka_unit_test(case_226_without_taps_elements_are_dropped),
        cmocka_unit_test(case_227_slow_tap_holds_others_one_ahead),
        cmocka_unit_test(case_229_untap_cancels_a_parked_delivery),
        cmocka_unit_test(case_230_end_of_a_tap_cancels_a_parked_delivery),
        cmocka_unit_test(case_232_tap_after_the_end_is_ended_at_once),
        cmocka_unit_test(case_233_storm_of_taps_and_untaps),
        cmocka_unit_test(case_235_payload_is_released_once_after_the_last),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
