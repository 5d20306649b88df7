/* SPDX-License-Identifier: MIT */
/* The mult: policies of taps, its verbs in trouble, its cancel. The cases are in mult_test.c. */
#include "base/memory.h"
#include "flow/fan.h"

/* --- Policies --- */

CASE(drop_newest_holds_nobody, EVERYWHERE, 1, 2, 7, 64)
{
    struct ledger ledger;
    struct weir_chan *source = make_source(scene->capacity, &ledger);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    tap(mult, chan, WEIR_TAP_DROP_NEWEST, 0);
    for (uint64_t value = 1; value <= scene->capacity + 10; value++)
        put(source, value);
    AWAIT(look_at(mult).received_total == scene->capacity + 10);
    CHECK_SAME(look_at_tap(mult, chan).delivered_total, scene->capacity);
    CHECK_SAME(look_at_tap(mult, chan).dropped_total, 10);
    CHECK_SAME(look_at_tap(mult, chan).parked_total, 0);
    CHECK_SAME(ledger.dropped[WEIR_DROP_NEWEST], 10);
    CHECK_SAME(all_dropped(&ledger), 10);
    drain(chan, scene->capacity);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    CHECK_SAME(take_end(chan), -EPIPE);
    weir_chan_release(chan);
    weir_mult_release(mult);
    weir_chan_release(source);
}

CASE(drop_oldest_keeps_the_newest, EVERYWHERE, 1, 2, 7, 64)
{
    struct ledger ledger, own;
    struct weir_chan *source = make_source(scene->capacity, &ledger);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_chan *chan = make_source(scene->capacity, &own);

    tap(mult, chan, WEIR_TAP_DROP_OLDEST, 0);
    for (uint64_t value = 1; value <= scene->capacity + 10; value++)
        put(source, value);
    AWAIT(look_at(mult).received_total == scene->capacity + 10);
    CHECK_SAME(look_at_tap(mult, chan).delivered_total, scene->capacity + 10);
    CHECK_SAME(look_at_tap(mult, chan).dropped_total, 10);
    CHECK_SAME(all_dropped(&ledger), 0);
    CHECK_SAME(own.dropped[WEIR_DROP_DISCARD], 10);
    for (uint64_t value = 11; value <= scene->capacity + 10; value++)
        take_value(chan, value);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    CHECK_SAME(take_end(chan), -EPIPE);
    weir_chan_release(chan);
    weir_mult_release(mult);
    weir_chan_release(source);
}

/* Without a buffer there is no oldest. */
CASE(drop_oldest_of_a_rendezvous_drops_the_copy, EVERYWHERE, 0)
{
    struct ledger ledger;
    struct weir_chan *source = make_source(scene->capacity, &ledger);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op receiver;

    tap(mult, chan, WEIR_TAP_DROP_OLDEST, 0);
    put(source, 1);
    AWAIT(look_at_tap(mult, chan).dropped_total == 1);
    CHECK_SAME(ledger.dropped[WEIR_DROP_NEWEST], 1);
    begin_recv(scene, &receiver, chan);
    put(source, 2);
    CHECK_SAME(end_op(&receiver), 0);
    CHECK_SAME(receiver.value, 2);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    CHECK_SAME(take_end(chan), -EPIPE);
    weir_chan_release(chan);
    weir_mult_release(mult);
    weir_chan_release(source);
}

CASE(full_tap_is_disconnected, EVERYWHERE, ANY_CAPACITY)
{
    struct ledger ledger;
    struct weir_chan *source = make_source(scene->capacity, &ledger);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    tap(mult, chan, WEIR_TAP_DISCONNECT, WEIR_TAP_KEEP_OPEN);
    for (uint64_t value = 1; value <= scene->capacity + 1; value++)
        put(source, value);
    AWAIT(look_at(mult).tap_count == 0);
    CHECK_SAME(ledger.dropped[WEIR_DROP_NEWEST], 1);
    drain(chan, scene->capacity);
    CHECK_SAME(take_end(chan), -ENOBUFS);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    weir_chan_release(chan);
    weir_mult_release(mult);
    weir_chan_release(source);
}

/* The drop callback has spoiled its bytes; the tap that waits still gets the element. */
CASE(dropped_copy_is_a_copy, EVERYWHERE, 0)
{
    struct ledger ledger;
    struct weir_chan *source = make_source(scene->capacity, &ledger);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_chan *leaves = make_chan(scene->capacity, NULL);
    struct weir_chan *stays = make_chan(scene->capacity, NULL);

    tap(mult, leaves, WEIR_TAP_PARK, 0);
    tap(mult, stays, WEIR_TAP_PARK, 0);
    put(source, 7);
    await_senders(leaves, 1);
    await_senders(stays, 1);
    CHECK_SAME(weir_mult_untap(mult, leaves, WEIR_FOREVER), 0);
    CHECK_SAME(all_dropped(&ledger), 1);
    take(stays, 7);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    CHECK_SAME(take_end(stays), -EPIPE);
    weir_chan_release(leaves);
    weir_chan_release(stays);
    weir_mult_release(mult);
    weir_chan_release(source);
}

/* --- Verbs --- */

CASE(second_tap_changes_the_options, ALONE, 1)
{
    const struct weir_tap_options newest = { .policy = WEIR_TAP_DROP_NEWEST };
    struct ledger ledger;
    struct weir_chan *source = make_source(scene->capacity, &ledger);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    tap(mult, chan, WEIR_TAP_PARK, WEIR_TAP_KEEP_OPEN);
    CHECK_SAME(weir_mult_tap(mult, chan, &newest, WEIR_FOREVER), WEIR_ALREADY);
    CHECK_SAME(look_at(mult).tap_count, 1);
    put(source, 1);
    put(source, 2);
    AWAIT(look_at_tap(mult, chan).dropped_total == 1);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    take(chan, 1);
    CHECK_SAME(take_end(chan), -EPIPE);
    weir_chan_release(chan);
    weir_mult_release(mult);
    weir_chan_release(source);
}

CASE(untap_all_frees_the_mult, EVERYWHERE, ANY_CAPACITY)
{
    struct jam jam;

    begin_jam(scene, scene->scope, &jam);
    CHECK_SAME(weir_mult_untap_all(jam.mult, WEIR_FOREVER), 0);
    CHECK_SAME(weir_mult_untap_all(jam.mult, WEIR_FOREVER), WEIR_ALREADY);
    AWAIT(look_at(jam.mult).unheard_total == 3);
    CHECK_SAME(look_at(jam.mult).tap_count, 0);
    CHECK_SAME(all_dropped(&jam.ledger), 4);
    CHECK_SAME(weir_chan_close(jam.source, 0), 0);
    CHECK_SAME(weir_chan_close(jam.fast, 0), 0); /* not by the mult: it is no tap */
    end_jam(&jam, jam.capacity + 1, -EPIPE);
}

CASE(bad_input_is_refused, ALONE, 1)
{
    struct weir_chan *source = make_chan(scene->capacity, NULL), *narrow = NULL;
    const struct weir_mult_options sized = { .size = 1 }, reserved = { .reserved = { 0, 1 } };
    const struct weir_mult_options named = { .name = "a name of thirty-two characters." };
    const struct weir_tap_options bad[] = {
        { .size = 1 },
        { .policy = WEIR_TAP_DISCONNECT + 1 },
        { .flags = WEIR_TAP_KEEP_OPEN << 1 },
        { .reserved = { 0, 0, 0, 1 } },
    };
    struct weir_mult *mult = NULL;
    struct weir_mult_stats stats;

    CHECK_SAME(weir_chan_create(&narrow, 4, 1, NULL), 0);
    CHECK_SAME(weir_mult_create(NULL, source, NULL, &mult), -EINVAL);
    CHECK_SAME(weir_mult_create(scene->scope, NULL, NULL, &mult), -EINVAL);
    CHECK_SAME(weir_mult_create(scene->scope, source, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_mult_create(scene->scope, source, &sized, &mult), -EINVAL);
    CHECK_SAME(weir_mult_create(scene->scope, source, &reserved, &mult), -EINVAL);
    CHECK_SAME(weir_mult_create(scene->scope, source, &named, &mult), -E2BIG);
    CHECK(!mult);
    mult = make_mult(scene->scope, source);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_SAME(weir_mult_tap(mult, source, &bad[i], WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mult_tap(mult, source, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mult_tap(mult, narrow, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mult_tap(mult, NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mult_tap(NULL, source, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mult_untap(mult, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mult_untap(NULL, source, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mult_untap_all(NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mult_read_stats(mult, NULL, NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mult_read_stats(mult, &stats, NULL, 1, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mult_read_stats(NULL, &stats, NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(look_at(mult).tap_count, 0);
    weir_mult_release(NULL);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    weir_mult_release(weir_mult_retain(mult));
    weir_mult_release(mult);
    weir_chan_release(narrow);
    weir_chan_release(source);
}

/* All parked at once, in one wait. */
CASE(taps_are_bounded, ALONE, 0)
{
    static struct weir_chan *chans[WEIR_MULT_TAPS_MAX + 1];
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_mult_stats stats;

    for (size_t i = 0; i <= WEIR_MULT_TAPS_MAX; i++) {
        chans[i] = make_chan(scene->capacity, NULL);
        CHECK_SAME(weir_mult_tap(mult, chans[i], NULL, WEIR_FOREVER),
                   i < WEIR_MULT_TAPS_MAX ? 0 : -ENOBUFS);
    }
    CHECK_SAME(weir_mult_read_stats(mult, &stats, NULL, 0, WEIR_FOREVER), 0);
    CHECK_SAME(stats.tap_count_max, WEIR_MULT_TAPS_MAX);
    CHECK_SAME(stats.refused_total, 1);
    put(source, 7);
    for (size_t i = 0; i < WEIR_MULT_TAPS_MAX; i++)
        await_senders(chans[i], 1);
    for (size_t i = 0; i < WEIR_MULT_TAPS_MAX; i++)
        take(chans[i], 7);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    for (size_t i = 0; i < WEIR_MULT_TAPS_MAX; i++) {
        CHECK_SAME(take_end(chans[i]), -EPIPE);
        weir_chan_release(chans[i]);
    }
    weir_chan_release(chans[WEIR_MULT_TAPS_MAX]);
    weir_mult_release(mult);
    weir_chan_release(source);
}

/* Holds the mult in the drop callback of its source, where it takes no command. */
static void wait_at_gate(void *elem, void *context, enum weir_drop_reason reason)
{
    uint64_t value;

    (void)elem;
    (void)reason;
    CHECK_SAME(weir_chan_recv(context, &value, end_of_patience()), 0);
}

/* A verb that was not carried out has changed nothing. */
CASE(untaken_verb_has_no_effect, ON_TASKS, 0)
{
    struct weir_chan *gate = make_chan(0, NULL);
    const struct weir_chan_options options = { .drop = wait_at_gate, .context = gate };
    struct weir_chan *source = make_chan(scene->capacity, &options);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct verb verb = { .mult = mult, .chan = chan, .deadline_ns = WEIR_FOREVER };

    put(source, 1);
    await_receivers(gate, 1);
    CHECK_SAME(weir_mult_tap(mult, chan, NULL, WEIR_NOW), -EAGAIN);
    CHECK_SAME(weir_mult_tap(mult, chan, NULL, weir_in_us(200)), -ETIME);
    actor_start(scene, &verb.actor, do_tap, &verb);
    weir__sched_settle();
    CHECK(!atomic_load(&verb.actor.done));
    CHECK_SAME(weir_task_cancel(verb.actor.task), 0);
    actor_join(&verb.actor);
    CHECK_SAME(verb.result, -ECANCELED);
    put(gate, 0);
    CHECK_SAME(look_at(mult).tap_count, 0);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    AWAIT(look_at(mult).ended);
    CHECK(!look(chan).closed);
    weir_chan_release(chan);
    weir_chan_release(gate);
    weir_mult_release(mult);
    weir_chan_release(source);
}

/* Cancels come at any moment of a verb; what it says is what happened. */
CASE(cancelled_verb_tells_the_truth, ON_TASKS, 0)
{
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_mult *mult = make_mult(scene->scope, source);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    long rounds = test_rounds(2000, 100000, 1000000);
    uint64_t random = 3;

    for (long round = 0; round < rounds; round++) {
        struct verb verb = { .mult = mult, .chan = chan, .deadline_ns = WEIR_FOREVER };

        actor_start(scene, &verb.actor, do_tap, &verb);
        if (roll(&random) % 2)
            dawdle(&random);
        else
            (void)weir_yield();
        weir_task_cancel(verb.actor.task);
        actor_join(&verb.actor);
        CHECK(verb.result == 0 || verb.result == -ECANCELED);
        CHECK_SAME(weir_mult_untap(mult, chan, WEIR_FOREVER), verb.result == 0 ? 0 : WEIR_ALREADY);
    }
    CHECK_SAME(weir_chan_close(source, 0), 0);
    weir_chan_release(chan);
    weir_mult_release(mult);
    weir_chan_release(source);
}

/* --- Cancel of the mult --- */

CASE(cancel_while_waiting, ON_TASKS, ANY_CAPACITY)
{
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_scope *scope = make_scope();
    struct weir_mult *mult = make_mult(scope, source);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_chan *kept = make_chan(scene->capacity, NULL);

    tap(mult, chan, WEIR_TAP_PARK, 0);
    tap(mult, kept, WEIR_TAP_PARK, WEIR_TAP_KEEP_OPEN);
    cancel(scope);
    CHECK_SAME(take_end(chan), -ECANCELED);
    CHECK(!look(kept).closed);
    CHECK(!look(source).closed);
    CHECK_SAME(weir_mult_tap(mult, kept, NULL, WEIR_FOREVER), 0);
    CHECK_SAME(take_end(kept), -ECANCELED);
    weir_chan_release(chan);
    weir_chan_release(kept);
    weir_mult_release(mult);
    weir_chan_release(source);
}

/* Wherever it was: the element was not lost. */
CASE(cancel_right_after_creation, ALONE, 1)
{
    struct ledger ledger;
    struct weir_chan *source = make_source(scene->capacity, &ledger);
    struct weir_scope *scope = make_scope();
    struct weir_mult *mult = make_mult(scope, source);

    fill(source, 1);
    cancel(scope);
    CHECK(look_at(mult).ended);
    CHECK_SAME(look(source).count + all_dropped(&ledger), 1);
    weir_mult_release(mult);
    weir_chan_release(source);
    CHECK_SAME(all_dropped(&ledger), 1);
}

CASE(cancel_while_delivering, ON_TASKS, ANY_CAPACITY)
{
    struct weir_scope *scope = make_scope();
    struct jam jam;

    begin_jam(scene, scope, &jam);
    cancel(scope);
    CHECK_SAME(jam.ledger.dropped[WEIR_DROP_DISCARD], 1); /* the copy that was parked */
    CHECK_SAME(all_dropped(&jam.ledger), 1);
    CHECK_SAME(look(jam.source).count, 3);
    for (uint64_t value = 0; value < jam.capacity; value++)
        take(jam.slow, value);
    CHECK_SAME(take_end(jam.slow), -ECANCELED);
    end_jam(&jam, jam.capacity + 1, -ECANCELED);
}

/* The last reference to the source is the mult's: a sender hears of the cancel. */
CASE(cancel_frees_the_senders, EVERYWHERE, 0)
{
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_scope *scope = make_scope();
    struct weir_mult *mult = make_mult(scope, source);
    struct weir_chan *chan = make_chan(0, NULL);
    struct op first, second;
    char told[512];
    int saved = dup(STDERR_FILENO), quiet = memfd_create("stderr", MFD_CLOEXEC);

    tap(mult, chan, WEIR_TAP_PARK, 0);
    first = (struct op){ .chan = source, .value = 1, .deadline_ns = WEIR_FOREVER };
    actor_start(scene, &first.actor, op_send, &first);
    CHECK_SAME(end_op(&first), 0);
    begin_send(scene, &second, source, 2);
    weir_chan_release(source);
    dup2(quiet, STDERR_FILENO);
    cancel(scope);
    dup2(saved, STDERR_FILENO);
    CHECK_SAME(end_op(&second), -EPIPE);
    CHECK(pread(quiet, told, sizeof told, 0) > 0); /* a release over a parked sender is reported */
    close(quiet);
    close(saved);
    weir_chan_release(chan);
    weir_mult_release(mult);
}

CASE(reason_of_the_source_is_no_failure_of_the_mult, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_scope *scope = make_scope();
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_mult *mult = make_mult(scope, source);

    CHECK_SAME(weir_chan_close(source, -EIO), 0);
    CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
    weir_mult_release(mult);
    weir_chan_release(source);
}

/* --- No memory --- */

CASE(no_memory_leaves_no_trace, ALONE, 1)
{
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_mult *mult = NULL;

    for (long count = 1; count <= 2; count++) {
        weir__memory_fail_after(count);
        CHECK_SAME(weir_mult_create(scene->scope, source, NULL, &mult), -ENOMEM);
    }
    weir__memory_fail_after(-1);
    mult = make_mult(scene->scope, source);
    weir__memory_fail_after(1);
    CHECK_SAME(weir_mult_tap(mult, chan, NULL, WEIR_FOREVER), -ENOBUFS);
    weir__memory_fail_after(-1);
    CHECK_SAME(look_at(mult).tap_count, 0);
    CHECK_SAME(weir_mult_tap(mult, chan, NULL, WEIR_FOREVER), 0);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    CHECK_SAME(take_end(chan), -EPIPE);
    weir_chan_release(chan);
    weir_mult_release(mult);
    weir_chan_release(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drop_newest_holds_nobody),
        cmocka_unit_test(drop_oldest_keeps_the_newest),
        cmocka_unit_test(drop_oldest_of_a_rendezvous_drops_the_copy),
        cmocka_unit_test(full_tap_is_disconnected),
        cmocka_unit_test(dropped_copy_is_a_copy),
        cmocka_unit_test(second_tap_changes_the_options),
        cmocka_unit_test(untap_all_frees_the_mult),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(taps_are_bounded),
        cmocka_unit_test(untaken_verb_has_no_effect),
        cmocka_unit_test(cancelled_verb_tells_the_truth),
        cmocka_unit_test(cancel_while_waiting),
        cmocka_unit_test(cancel_right_after_creation),
        cmocka_unit_test(cancel_while_delivering),
        cmocka_unit_test(cancel_frees_the_senders),
        cmocka_unit_test(reason_of_the_source_is_no_failure_of_the_mult),
        cmocka_unit_test(no_memory_leaves_no_trace),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
