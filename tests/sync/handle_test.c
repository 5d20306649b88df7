/* SPDX-License-Identifier: MIT */
/* Counted handles: cases 61 and 62, and the races of the last one. */
#include "sync/fixture.h"

static void count_in_context(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)elem;
    CHECK_SAME(reason, WEIR_DROP_ABORT);
    atomic_fetch_add((atomic_int *)context, 1);
}

CASE(case_061_last_sender_closes, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    uint64_t value;
    struct op put, take;

    for (int i = 0; i < 3; i++)
        CHECK_SAME(weir_chan_open_sender(chan), 0);
    CHECK_SAME(look(chan).senders, 3);
    fill(chan, scene->capacity);
    begin_send(scene, &put, chan, scene->capacity + 1);
    for (int i = 0; i < 3; i++) {
        CHECK(!look(chan).closed);
        CHECK_SAME(weir_chan_close_sender(chan), 0);
    }
    CHECK(look(chan).closed);
    weir__chan_verify(chan);
    CHECK_SAME(try_send(chan, 99), -EPIPE);
    drain(chan, scene->capacity + 1); /* what was parked, too */
    CHECK_SAME(try_recv(chan, &value), -EPIPE);
    CHECK_SAME(end_op(&put), 0);
    weir_chan_release(chan);

    chan = make_chan(scene->capacity, NULL);
    CHECK_SAME(weir_chan_open_sender(chan), 0);
    begin_recv(scene, &take, chan);
    CHECK_SAME(weir_chan_close_sender(chan), 0);
    CHECK_SAME(end_op(&take), -EPIPE);
    weir_chan_release(chan);
}

/* A receiver that wants no more closes the channel: what is buffered can still be taken. Only the
 * last handle's end drops it, since nobody is left. */
CASE(case_062_receiver_closes_its_side, EVERYWHERE, 1, 2, 7, 64)
{
    atomic_int dropped = 0;
    struct weir_chan_options options = { .drop = count_in_context, .context = &dropped };
    struct weir_chan *chan = make_chan(scene->capacity, &options);
    struct op put;

    for (int i = 0; i < 2; i++)
        CHECK_SAME(weir_chan_open_receiver(chan), 0);
    CHECK_SAME(look(chan).receivers, 2);
    fill(chan, scene->capacity);
    begin_send(scene, &put, chan, scene->capacity + 1);
    CHECK_SAME(weir_chan_close(chan, 0), 0);
    CHECK_SAME(try_send(chan, 99), -EPIPE);
    CHECK_SAME(weir_chan_close_receiver(chan), 0);
    take_value(chan, 1);
    CHECK_SAME(end_op(&put), 0);
    CHECK_SAME(dropped, 0);
    CHECK_SAME(weir_chan_close_receiver(chan), 0);
    CHECK_SAME(dropped, scene->capacity);
    CHECK_SAME(weir_chan_abort(chan, 0), WEIR_ALREADY);
    weir_chan_release(chan);
}

CASE(last_receiver_aborts, EVERYWHERE, ANY_CAPACITY)
{
    atomic_int dropped = 0;
    struct weir_chan_options options = { .drop = count_in_context, .context = &dropped };
    struct weir_chan *chan = make_chan(scene->capacity, &options);
    struct op put;

    CHECK_SAME(weir_chan_open_receiver(chan), 0);
    fill(chan, scene->capacity);
    begin_send(scene, &put, chan, 99);
    CHECK_SAME(weir_chan_close_receiver(chan), 0);
    CHECK_SAME(end_op(&put), -EPIPE);
    CHECK_SAME(dropped, scene->capacity);
    CHECK_SAME(look(chan).receivers, 0);
    CHECK_SAME(try_send(chan, 1), -EPIPE);
    weir_chan_release(chan);
}

/* The handles keep the channel; with the last of both sides it goes. */
CASE(handles_are_references, EVERYWHERE, 1, 7)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    CHECK_SAME(weir_chan_open_sender(chan), 0);
    CHECK_SAME(weir_chan_open_receiver(chan), 0);
    CHECK_SAME(weir_chan_release(chan), 0);
    CHECK_SAME(try_send(chan, 4), 0);
    CHECK_SAME(weir_chan_close_sender(chan), 0);
    take_value(chan, 4);
    CHECK_SAME(weir_chan_close_receiver(chan), 0);
}

CASE(bad_handles_are_refused, ALONE, 0, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    CHECK_SAME(weir_chan_open_sender(NULL), -EINVAL);
    CHECK_SAME(weir_chan_open_receiver(NULL), -EINVAL);
    CHECK_SAME(weir_chan_close_sender(NULL), -EINVAL);
    CHECK_SAME(weir_chan_close_receiver(NULL), -EINVAL);
    CHECK_SAME(weir_chan_close_sender(chan), -EINVAL);
    CHECK_SAME(weir_chan_close_receiver(chan), -EINVAL);
    CHECK_SAME(weir_chan_open_sender(chan), 0);
    CHECK_SAME(weir_chan_close_receiver(chan), -EINVAL);
    CHECK(!look(chan).closed);
    CHECK_SAME(weir_chan_open_receiver(chan), 0);
    CHECK_SAME(weir_chan_close_sender(chan), 0);
    CHECK_SAME(weir_chan_close_sender(chan), -EINVAL);
    CHECK_SAME(weir_chan_open_sender(chan), -EPIPE); /* closed for good */
    CHECK_SAME(weir_chan_open_receiver(chan), -EPIPE);
    CHECK_SAME(weir_chan_close_receiver(chan), 0);
    CHECK_SAME(weir_chan_open_receiver(chan), -EPIPE);
    CHECK_SAME(look(chan).senders + look(chan).receivers, 0);
    weir_chan_release(chan);
}

/* A channel that has ended already stays as it ended. */
CASE(last_handles_leave_an_end_alone, ALONE, 0, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    uint64_t value;

    CHECK_SAME(weir_chan_open_sender(chan), 0);
    CHECK_SAME(weir_chan_open_receiver(chan), 0);
    CHECK_SAME(weir_chan_close(chan, -ENODATA), 0);
    CHECK_SAME(weir_chan_close_sender(chan), 0);
    CHECK_SAME(try_recv(chan, &value), -ENODATA);
    CHECK_SAME(weir_chan_abort(chan, -EIO), 0);
    CHECK_SAME(weir_chan_close_receiver(chan), 0);
    CHECK_SAME(try_recv(chan, &value), -EIO);
    CHECK_SAME(weir_chan_abort(chan, 0), WEIR_ALREADY);
    weir_chan_release(chan);
}

/* --- Races --- */

/* The last sender closes, while another opens a handle and sends: either it came in time, and what
 * it sent is received, or it was refused. */
struct duel {
    struct barrier barrier;
    struct weir_chan *chan;
    long rounds;
    int opened, sent;
};

static int open_in_rounds(void *arg)
{
    struct duel *duel = arg;
    uint64_t random = 1;

    for (long round = 0; round < duel->rounds; round++) {
        uint64_t value = (uint64_t)round;

        meet(&duel->barrier);
        dawdle(&random);
        duel->opened = weir_chan_open_sender(duel->chan);
        duel->sent = -EPIPE;
        if (duel->opened == 0) {
            duel->sent = weir_chan_send(duel->chan, &value, WEIR_NOW);
            CHECK_SAME(weir_chan_close_sender(duel->chan), 0);
        }
        meet(&duel->barrier);
    }
    return 0;
}

CASE(open_against_last_close, EVERYWHERE, 1)
{
    struct duel duel = { .rounds = test_rounds(3000, 300000, 1000000) };
    struct actor opener;
    uint64_t random = 2;

    actor_start(scene, &opener, open_in_rounds, &duel);
    for (long round = 0; round < duel.rounds; round++) {
        uint64_t value;

        duel.chan = make_chan(scene->capacity, NULL);
        CHECK_SAME(weir_chan_open_sender(duel.chan), 0);
        meet(&duel.barrier);
        dawdle(&random);
        CHECK_SAME(weir_chan_close_sender(duel.chan), 0);
        meet(&duel.barrier);
        CHECK(duel.opened == 0 || duel.opened == -EPIPE);
        CHECK_SAME(duel.sent, duel.opened);
        CHECK(look(duel.chan).closed);
        CHECK_SAME(look(duel.chan).senders, 0);
        if (duel.opened == 0) {
            CHECK_SAME(weir_chan_recv(duel.chan, &value, WEIR_NOW), 0);
            CHECK_SAME(value, round);
        }
        CHECK_SAME(weir_chan_recv(duel.chan, &value, WEIR_FOREVER), -EPIPE);
        CHECK_SAME(weir_chan_release(duel.chan), 0);
    }
    actor_join(&opener);
}

/* The last of both sides go at once, and with them the channel. */
static int close_sender_in_rounds(void *arg)
{
    struct duel *duel = arg;
    uint64_t random = 3;

    for (long round = 0; round < duel->rounds; round++) {
        uint64_t value = 1;

        meet(&duel->barrier);
        dawdle(&random);
        (void)!weir_chan_send(duel->chan, &value, WEIR_FOREVER);
        CHECK_SAME(weir_chan_close_sender(duel->chan), 0);
        meet(&duel->barrier);
    }
    return 0;
}

CASE(last_of_both_sides_at_once, EVERYWHERE, 0, 1)
{
    struct duel duel = { .rounds = test_rounds(3000, 300000, 1000000) };
    struct actor closer;
    uint64_t random = 4;

    actor_start(scene, &closer, close_sender_in_rounds, &duel);
    for (long round = 0; round < duel.rounds; round++) {
        duel.chan = make_chan(scene->capacity, NULL);
        CHECK_SAME(weir_chan_open_sender(duel.chan), 0);
        CHECK_SAME(weir_chan_open_receiver(duel.chan), 0);
        CHECK_SAME(weir_chan_release(duel.chan), 0);
        meet(&duel.barrier);
        dawdle(&random);
        CHECK_SAME(weir_chan_close_receiver(duel.chan), 0);
        meet(&duel.barrier);
    }
    actor_join(&closer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_061_last_sender_closes),
        cmocka_unit_test(case_062_receiver_closes_its_side),
        cmocka_unit_test(last_receiver_aborts),
        cmocka_unit_test(handles_are_references),
        cmocka_unit_test(bad_handles_are_refused),
        cmocka_unit_test(last_handles_leave_an_end_alone),
        cmocka_unit_test(open_against_last_close),
        cmocka_unit_test(last_of_both_sides_at_once),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
