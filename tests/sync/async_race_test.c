/* SPDX-License-Identifier: MIT */
/* Async operations against all that ends them: races, and the end of the runtime. */
#include "sync/async_fixture.h"

#include <sys/socket.h>

enum { CROWD = 5 };

/* --- Cancel and deadline against hand-off --- */

struct duel {
    struct barrier barrier; /* of three */
    struct call take;
    long rounds;
    int cancelled, sent;
};

static int cancel_in_rounds(void *arg)
{
    struct duel *duel = arg;
    uint64_t random = 1;

    for (long round = 0; round < duel->rounds; round++) {
        meet(&duel->barrier);
        dawdle(&random);
        duel->cancelled = weir_async_cancel(&duel->take.async);
        meet(&duel->barrier);
    }
    return 0;
}

static int send_in_rounds(void *arg)
{
    struct duel *duel = arg;
    uint64_t random = 2;

    for (long round = 0; round < duel->rounds; round++) {
        uint64_t value = (uint64_t)round;

        meet(&duel->barrier);
        dawdle(&random);
        duel->sent = weir_chan_send(duel->take.chan, &value, WEIR_NOW);
        meet(&duel->barrier);
    }
    return 0;
}

CASE(cancel_against_hand_off, EVERYWHERE, 0, 1)
{
    struct duel duel = { .barrier = { .parties = 3 },
                         .rounds = test_rounds(2000, 200000, 1000000) };
    struct actor canceller, sender;

    actor_start(scene, &canceller, cancel_in_rounds, &duel);
    actor_start(scene, &sender, send_in_rounds, &duel);
    for (long round = 0; round < duel.rounds; round++) {
        struct weir_chan *chan = make_chan(scene->capacity, NULL);
        bool taken;

        CHECK_SAME(start_recv(&duel.take, chan, WEIR_FOREVER), 0);
        meet(&duel.barrier);
        meet(&duel.barrier);
        AWAIT(is_called(&duel.take));
        taken = duel.take.result == 0;
        CHECK_SAME(duel.take.result, taken ? 0 : -ECANCELED);
        CHECK_SAME(duel.cancelled, taken ? WEIR_ALREADY : 0);
        CHECK_SAME(duel.sent, taken || scene->capacity ? 0 : -EAGAIN);
        CHECK_SAME(look(chan).count, !taken && scene->capacity);
        if (taken)
            CHECK_SAME(duel.take.value, round);
        CHECK_SAME(duel.take.count, 1);
        weir_chan_release(chan);
    }
    actor_join(&canceller);
    actor_join(&sender);
}

struct expiry {
    struct weir_chan *chan;
    atomic_bool done;
    uint64_t taken;
};

static int take_until_done(void *arg)
{
    struct expiry *expiry = arg;
    uint64_t value, last = 0;

    while (!atomic_load(&expiry->done)) {
        if (weir_chan_recv(expiry->chan, &value, weir_in_us(5)) < 0)
            continue;
        CHECK(value > last);
        last = value;
        expiry->taken++;
    }
    while (weir_chan_recv(expiry->chan, &value, WEIR_NOW) == 0)
        expiry->taken++;
    return 0;
}

CASE(deadline_against_hand_off, EVERYWHERE, 0, 1)
{
    struct expiry expiry = { .chan = make_chan(scene->capacity, NULL) };
    long rounds = test_rounds(2000, 200000, 1000000);
    uint64_t random = 3, sent = 0;
    struct actor taker;
    struct call put;

    actor_start(scene, &taker, take_until_done, &expiry);
    for (long round = 1; round <= rounds; round++) {
        CHECK_SAME(start_send(&put, expiry.chan, (uint64_t)round,
                              weir_in_us((int64_t)(roll(&random) % 20))),
                   0);
        AWAIT(is_called(&put));
        CHECK(put.result == 0 || put.result == -ETIME);
        sent += put.result == 0;
    }
    atomic_store(&expiry.done, true);
    actor_join(&taker);
    CHECK_SAME(expiry.taken, sent);
    CHECK_SAME(count_waiters(expiry.chan), 0);
    weir_chan_release(expiry.chan);
}

/* --- The end of the runtime --- */

enum { PENDING = 64 };

struct ending {
    struct weir_chan *chan;
    struct call calls[2][PENDING]; /* per loop */
    atomic_int ended;
    int fds[2]; /* two ends */
};

static int note_the_end(struct weir_async *async, int result)
{
    struct call *call = async->context, again;

    CHECK(result == 0 || result == -ECANCELED);
    if (result == -ECANCELED)
        CHECK_SAME(start_recv(&again, call->chan, WEIR_FOREVER), -ECANCELED);
    return note(async, result);
}

static int start_pending(void *arg)
{
    struct ending *ending = arg;
    struct call *calls = ending->calls[weir_loop_index()];

    for (size_t i = 0; i < PENDING; i++) {
        prepare_call(&calls[i], ending->chan, 0);
        calls[i].async.done = note_the_end;
        CHECK_SAME(weir_chan_recv_async(ending->chan, &calls[i].value, &calls[i].async,
                                        i % 2 ? WEIR_FOREVER : weir_in_seconds(100)),
                   0);
    }
    return 0;
}

static int leave_pending(void *arg)
{
    struct weir_spawn_options there = { .place = WEIR_PLACE_LOOP, .loop_index = 1 };
    struct weir_scope *scope;

    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_SAME(weir_spawn(scope, start_pending, arg, &there), 0);
    CHECK_SAME(start_pending(arg), 0);
    return weir_scope_join(scope, WEIR_FOREVER);
}

/* From outside, until there is nobody left to send to. */
static void *send_until_ended(void *arg)
{
    struct ending *ending = arg;
    uint64_t random = 11;
    long sent = 0;

    while (!atomic_load(&ending->ended)) {
        uint64_t value = 1;

        sent += weir_chan_send(ending->chan, &value, WEIR_NOW) == 0;
        dawdle(&random);
    }
    return (void *)sent;
}

static void pending_operations_end_with_the_runtime(void **state)
{
    struct weir_options options = { .loop_count = 2 };
    static struct ending ending;

    (void)state;
    for (long round = test_rounds(20, 200, 2000); round > 0; round--) {
        long received = 0;
        pthread_t sender;
        void *sent;

        memset(&ending, 0, sizeof ending);
        ending.chan = make_chan(0, NULL);
        assert_int_equal(pthread_create(&sender, NULL, send_until_ended, &ending), 0);
        assert_int_equal(test_run(leave_pending, &ending, &options), 0);
        atomic_store(&ending.ended, true);
        pthread_join(sender, &sent);
        for (size_t i = 0; i < 2 * PENDING; i++) {
            struct call *call = &ending.calls[i / PENDING][i % PENDING];

            assert_int_equal(call->count, 1);
            received += call->result == 0;
        }
        assert_int_equal(received, (long)sent);
        assert_int_equal(count_waiters(ending.chan), 0);
        assert_int_equal(weir_chan_release(ending.chan), 0);
    }
}

static size_t weigh_value(const void *elem, void *context)
{
    uint64_t value;

    (void)context;
    memcpy(&value, elem, sizeof value);
    return (size_t)value;
}

/* A heavy one first, and light ones that fit as soon as it has gone. */
static int leave_heavy(void *arg)
{
    struct ending *ending = arg;
    uint64_t value = 60;

    CHECK_SAME(weir_chan_send(ending->chan, &value, WEIR_NOW), 0);
    for (size_t i = 0; i < CROWD; i++)
        CHECK_SAME(start_send(&ending->calls[0][i], ending->chan, i ? 5 : 50, WEIR_FOREVER), 0);
    return 0;
}

static void ending_one_lets_others_complete(void **state)
{
    struct weir_chan_options options = { .weigh = weigh_value, .weight_limit = 100 };
    static struct ending ending;

    (void)state;
    memset(&ending, 0, sizeof ending);
    ending.chan = make_chan(CROWD + 1, &options);
    assert_int_equal(test_run(leave_heavy, &ending, NULL), 0);
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(ending.calls[0][i].count, 1);
        assert_int_equal(ending.calls[0][i].result, i ? 0 : -ECANCELED);
    }
    assert_int_equal(look(ending.chan).count, CROWD);
    assert_int_equal(weir_chan_release(ending.chan), 0);
}

static int write_and_close(struct weir_async *async, int result)
{
    struct call *call = async->context;
    struct ending *ending = WEIR_CONTAINER_OF(call, struct ending, calls);

    CHECK_SAME(result, -ECANCELED);
    CHECK_SAME(weir_send_all(ending->fds[1], "x", 1, 0, NULL, WEIR_FOREVER), 1);
    CHECK_SAME(weir_close(ending->fds[1]), 0);
    return note(async, result);
}

static int leave_one(void *arg)
{
    struct ending *ending = arg;
    struct call *call = &ending->calls[0][0];

    prepare_call(call, ending->chan, 0);
    call->async.done = write_and_close;
    return weir_chan_recv_async(call->chan, &call->value, &call->async, WEIR_FOREVER);
}

static void last_callbacks_may_do_io(void **state)
{
    static struct ending ending;
    char byte;

    (void)state;
    memset(&ending, 0, sizeof ending);
    ending.chan = make_chan(0, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ending.fds), 0);
    assert_int_equal(test_run(leave_one, &ending, NULL), 0);
    assert_int_equal(ending.calls[0][0].count, 1);
    assert_int_equal(read(ending.fds[0], &byte, 1), 1);
    assert_int_equal(read(ending.fds[0], &byte, 1), 0);
    close(ending.fds[0]);
    assert_int_equal(weir_chan_release(ending.chan), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancel_against_hand_off),
        cmocka_unit_test(deadline_against_hand_off),
        cmocka_unit_test(pending_operations_end_with_the_runtime),
        cmocka_unit_test(ending_one_lets_others_complete),
        cmocka_unit_test(last_callbacks_may_do_io),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
