/* SPDX-License-Identifier: MIT */
/* Async sends and receives: section D of the conformance cases, and how they end. */
#include "sync/async_fixture.h"

enum { CROWD = 5, LIMIT = 1024 };

/* --- The conformance cases --- */

CASE(case_074_put_completes_when_a_taker_comes, EVERYWHERE, 0)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op take = { .chan = chan, .deadline_ns = WEIR_FOREVER };
    struct call put;

    CHECK_SAME(start_send(&put, chan, 42, WEIR_FOREVER), 0);
    CHECK_SAME(look(chan).waiting_senders, 1);
    weir__chan_verify(chan);
    weir__sched_settle();
    CHECK(!is_called(&put));
    actor_start(scene, &take.actor, op_recv, &take);
    CHECK_SAME(end_op(&take), 0);
    CHECK_SAME(take.value, 42);
    CHECK_SAME(end_call(&put), 0);
    CHECK_SAME(count_waiters(chan), 0);
    weir_chan_release(chan);
}

CASE(case_076_never_completes_inside_the_start, EVERYWHERE, 1, 2, 7, 64)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct call put, take, late;
    struct op parked;

    CHECK_SAME(start_send(&put, chan, 1, WEIR_FOREVER), 0);
    CHECK(!is_called(&put));
    CHECK_SAME(look(chan).count, 1); /* but it is done */
    CHECK_SAME(weir_async_cancel(&put.async), WEIR_ALREADY);
    CHECK_SAME(start_recv(&take, chan, WEIR_FOREVER), 0);
    CHECK(!is_called(&take));
    CHECK_SAME(end_call(&put), 0);
    CHECK_SAME(end_call(&take), 0);
    CHECK_SAME(take.value, 1);
    begin_recv(scene, &parked, chan);
    CHECK_SAME(start_send(&late, chan, 2, WEIR_FOREVER), 0);
    CHECK(!is_called(&late));
    CHECK_SAME(end_op(&parked), 0);
    CHECK_SAME(parked.value, 2);
    CHECK_SAME(end_call(&late), 0);
    weir_chan_release(chan);
}

struct chain {
    struct call call;
    long rounds;
    uintptr_t lowest, highest; /* addresses in the frames of the callbacks */
};

static int take_again(struct weir_async *async, int result)
{
    struct chain *chain = async->context;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    CHECK_SAME(result, 0);
    CHECK_SAME(chain->call.value, chain->rounds);
    chain->lowest = here < chain->lowest ? here : chain->lowest;
    chain->highest = here > chain->highest ? here : chain->highest;
    if (--chain->rounds == 0) {
        atomic_fetch_add(&chain->call.count, 1);
        return 0;
    }
    chain->call.value = (uint64_t)chain->rounds;
    CHECK_SAME(weir_chan_send(chain->call.chan, &chain->call.value, WEIR_NOW), 0);
    return weir_chan_recv_async(chain->call.chan, &chain->call.value, async, WEIR_FOREVER);
}

CASE(case_077_million_takes_on_one_stack, ALONE, 1, 64)
{
    struct chain chain = { .rounds = test_rounds(1000000, 1000000, 10000000),
                           .lowest = UINTPTR_MAX };
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    uint64_t first = (uint64_t)chain.rounds;

    chain.call.chan = chan;
    chain.call.async = (struct weir_async){ .done = take_again, .context = &chain };
    CHECK_SAME(try_send(chan, first), 0);
    CHECK_SAME(weir_chan_recv_async(chan, &chain.call.value, &chain.call.async, WEIR_FOREVER), 0);
    AWAIT(is_called(&chain.call));
    CHECK_SAME(chain.rounds, 0);
    CHECK_SAME(chain.highest, chain.lowest);
    weir_chan_release(chan);
}

/* Uses its channel in every way, and gives back the last reference but the case's. */
static int use_the_channel(struct weir_async *async, int result)
{
    struct call *call = async->context;
    struct weir_chan *chan = call->chan;
    uint64_t value = 5;

    CHECK_SAME(result, 0);
    CHECK_SAME(weir_chan_send(chan, &value, WEIR_NOW), 0);
    CHECK_SAME(weir_chan_recv(chan, &value, WEIR_NOW), 0);
    CHECK_SAME(value, 5);
    CHECK_SAME(weir_chan_close(chan, 0), 0);
    CHECK_SAME(weir_chan_abort(chan, 0), 0);
    CHECK_SAME(weir_chan_release(chan), 0);
    return note(async, result);
}

CASE(case_079_callback_may_use_the_channel, EVERYWHERE, 1, 2, 7, 64)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op put = { .chan = chan, .value = 3, .deadline_ns = WEIR_FOREVER };
    struct call take;

    prepare_call(&take, chan, 0);
    take.async.done = use_the_channel;
    CHECK_SAME(weir_chan_recv_async(chan, &take.value, &take.async, WEIR_FOREVER), 0);
    actor_start(scene, &put.actor, op_send, &put);
    CHECK_SAME(end_op(&put), 0);
    CHECK_SAME(end_call(&take), 0); /* and the channel is gone */
}

/* A take on one channel whose callback closes the other. */
struct crossed {
    struct call take;
    struct weir_chan *other;
};

static int close_the_other(struct weir_async *async, int result)
{
    struct call *call = async->context;
    struct crossed *crossed = WEIR_CONTAINER_OF(call, struct crossed, take);

    CHECK(weir_chan_close(crossed->other, 0) >= 0);
    return note(async, result);
}

static int start_crossed(void *arg)
{
    struct crossed *crossed = arg;

    prepare_call(&crossed->take, crossed->take.chan, 0);
    crossed->take.async.done = close_the_other;
    return weir_chan_recv_async(crossed->take.chan, &crossed->take.value, &crossed->take.async,
                                WEIR_FOREVER);
}

struct closer {
    struct barrier barrier;
    struct weir_chan *chan;
    long rounds;
};

static int close_in_rounds(void *arg)
{
    struct closer *closer = arg;
    uint64_t random = 3;

    for (long round = 0; round < closer->rounds; round++) {
        meet(&closer->barrier);
        dawdle(&random);
        CHECK(weir_chan_close(closer->chan, 0) >= 0);
        meet(&closer->barrier);
    }
    return 0;
}

CASE(case_080_callbacks_close_each_others_channel, EVERYWHERE, 0, 1)
{
    struct closer closer = { .rounds = test_rounds(1000, 100000, 1000000) };
    struct actor actor;
    uint64_t random = 4;

    actor_start(scene, &actor, close_in_rounds, &closer);
    for (long round = 0; round < closer.rounds; round++) {
        struct weir_chan *chans[] = { make_chan(scene->capacity, NULL),
                                      make_chan(scene->capacity, NULL) };
        struct crossed crossed[2];
        struct actor starter;

        for (int i = 0; i < 2; i++) {
            crossed[i].take.chan = chans[i];
            crossed[i].other = chans[1 - i];
        }
        CHECK_SAME(start_crossed(&crossed[0]), 0);
        actor_start_at(scene, &starter, scene->setting == TWO_LOOPS, start_crossed, &crossed[1]);
        CHECK_SAME(actor_join(&starter), 0);
        closer.chan = chans[1];
        meet(&closer.barrier);
        dawdle(&random);
        CHECK(weir_chan_close(chans[0], 0) >= 0);
        meet(&closer.barrier);
        for (int i = 0; i < 2; i++) {
            AWAIT(is_called(&crossed[i].take));
            CHECK_SAME(crossed[i].take.result, -EPIPE);
        }
        for (int i = 0; i < 2; i++)
            CHECK_SAME(weir_chan_release(chans[i]), 0);
    }
    actor_join(&actor);
}

static atomic_long freed_count;

static int free_own_storage(struct weir_async *async, int result)
{
    struct call *call = async->context;

    CHECK(result == 0 || result == -ECANCELED || result == -ETIME);
    memset(call, 0x5a, sizeof *call);
    free(call);
    atomic_fetch_add(&freed_count, 1);
    return 0;
}

/* Ends in each way there is: at once, by a peer, a cancel, a deadline. */
CASE(case_082_storage_is_free_in_its_callback, EVERYWHERE, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    long rounds = test_rounds(200, 2000, 20000);

    atomic_store(&freed_count, 0);
    for (long round = 0; round < rounds; round++) {
        struct call *takes[4];
        struct op put = { .chan = chan, .deadline_ns = WEIR_FOREVER };

        CHECK_SAME(try_send(chan, 1), 0);
        for (int i = 0; i < 4; i++) {
            takes[i] = malloc(sizeof *takes[i]);
            prepare_call(takes[i], chan, 0);
            takes[i]->async.done = free_own_storage;
            CHECK_SAME(weir_chan_recv_async(chan, &takes[i]->value, &takes[i]->async,
                                            i == 3 ? weir_in_us(20) : WEIR_FOREVER),
                       0);
        }
        actor_start(scene, &put.actor, op_send, &put);
        CHECK_SAME(end_op(&put), 0);
        CHECK_SAME(weir_async_cancel(&takes[2]->async), 0);
        AWAIT(atomic_load(&freed_count) == 4 * (round + 1));
    }
    CHECK_SAME(count_waiters(chan), 0);
    weir_chan_release(chan);
}

CASE(case_083_one_too_many_is_refused, ALONE, 0, 1)
{
    static struct call puts[LIMIT + 1], takes[3];
    struct weir_chan *chan = make_chan(scene->capacity, NULL), *small;
    struct weir_chan_options options = { .async_limit = 2 };

    fill(chan, scene->capacity);
    for (size_t i = 0; i < LIMIT; i++)
        CHECK_SAME(start_send(&puts[i], chan, scene->capacity + 1 + i, WEIR_FOREVER), 0);
    CHECK_SAME(start_send(&puts[LIMIT], chan, 0, WEIR_FOREVER), -ENOBUFS);
    CHECK_SAME(look(chan).refused_total, 1);
    CHECK_SAME(look(chan).waiting_senders, LIMIT);
    take_value(chan, 1);
    AWAIT(is_called(&puts[0]));
    CHECK_SAME(start_send(&puts[LIMIT], chan, scene->capacity + 1 + LIMIT, WEIR_FOREVER), 0);
    for (size_t i = 1; i < LIMIT + 1 + scene->capacity; i++)
        take_value(chan, 1 + i);
    for (size_t i = 0; i <= LIMIT; i++)
        CHECK_SAME(end_call(&puts[i]), 0);
    weir_chan_release(chan);

    small = make_chan(scene->capacity, &options);
    for (size_t i = 0; i < 3; i++)
        CHECK_SAME(start_recv(&takes[i], small, WEIR_FOREVER), i < 2 ? 0 : -ENOBUFS);
    CHECK_SAME(start_recv(&takes[2], small, WEIR_NOW), 0); /* it would not wait */
    CHECK_SAME(end_call(&takes[2]), -EAGAIN);
    CHECK_SAME(weir_chan_close(small, 0), 0);
    for (size_t i = 0; i < 2; i++)
        CHECK_SAME(end_call(&takes[i]), -EPIPE);
    weir_chan_release(small);
}

CASE(case_085_cancelled_operations_count_no_more, ALONE, 0, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct call take;

    for (long round = test_rounds(100000, 1000000, 1000000); round > 0; round--) {
        CHECK_SAME(start_recv(&take, chan, round % 2 ? WEIR_FOREVER : weir_in_seconds(9)), 0);
        CHECK_SAME(weir_async_cancel(&take.async), 0);
        CHECK_SAME(weir_async_cancel(&take.async), WEIR_ALREADY);
        CHECK_SAME(look(chan).waiting_receivers, 0);
        while (!is_called(&take))
            CHECK_SAME(weir_yield(), 0);
        CHECK_SAME(take.result, -ECANCELED);
    }
    CHECK_SAME(weir__loop_current->wheel.count, 0);
    weir_chan_release(chan);
}

struct failures {
    atomic_int count;
    struct weir_failure last;
};

static void note_failure(void *context, const struct weir_failure *failure)
{
    struct failures *failures = context;

    failures->last = *failure;
    CHECK(strcmp(failure->task_name, "async") == 0);
    atomic_fetch_add(&failures->count, 1);
}

static int fail_in_callbacks(void *arg)
{
    struct failures *failures = arg;
    struct weir_chan *chan = make_chan(1, NULL);
    struct call call;

    for (int i = 1; i <= 3; i++) {
        prepare_call(&call, chan, 1);
        call.answer = -EIO;
        CHECK_SAME(i % 2 ? weir_chan_send_async(chan, &call.value, &call.async, WEIR_FOREVER)
                         : weir_chan_recv_async(chan, &call.value, &call.async, WEIR_FOREVER),
                   0);
        CHECK_SAME(end_call(&call), 0);
        CHECK_SAME(failures->count, i);
        CHECK_SAME(failures->last.error, -EIO);
    }
    take_value(chan, 1);
    weir_chan_release(chan);
    return 0;
}

static void case_169_failing_callback_is_reported(void **state)
{
    struct failures failures = { 0 };
    struct weir_options options = { .on_failure = note_failure, .context = &failures };

    (void)state;
    assert_int_equal(test_run(fail_in_callbacks, &failures, &options), 0);
    assert_int_equal(failures.count, 3);
}

/* However a wait ends, its callback comes, once, and fails nobody else's. */
CASE(case_170_every_failure_completes, EVERYWHERE, 0, 1)
{
    char text[512];

    for (int way = 0; way < 5; way++) {
        struct weir_chan *chan = make_chan(scene->capacity, NULL);
        struct call takes[CROWD];
        int expected = (const int[]){ -ENODATA, -EIO, -EPIPE, -ECANCELED, -ETIME }[way];

        for (size_t i = 0; i < CROWD; i++)
            CHECK_SAME(
                start_recv(&takes[i], chan, way == 4 ? weir_in_us(50 * (int64_t)i) : WEIR_FOREVER),
                0);
        if (way == 0)
            CHECK_SAME(weir_chan_close(chan, -ENODATA), 0);
        if (way == 1)
            CHECK_SAME(weir_chan_abort(chan, -EIO), 0);
        if (way == 2) {
            CHECK_SAME(release_overheard(chan, text, sizeof text), -EBUSY);
            CHECK(strstr(text, "an async operation was parked in recv") != NULL);
        }
        for (size_t i = 0; i < CROWD; i++) {
            if (way == 3)
                CHECK_SAME(weir_async_cancel(&takes[i].async), 0);
            CHECK_SAME(end_call(&takes[i]), expected);
        }
        if (way != 2)
            CHECK_SAME(weir_chan_release(chan), 0);
    }
}

/* --- Among others --- */

CASE(async_and_parked_waiters_share_one_queue, EVERYWHERE, 0, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct call async_puts[2], async_take;
    struct op put, take;

    fill(chan, scene->capacity);
    CHECK_SAME(start_send(&async_puts[0], chan, scene->capacity + 1, WEIR_FOREVER), 0);
    begin_send(scene, &put, chan, scene->capacity + 2);
    CHECK_SAME(start_send(&async_puts[1], chan, scene->capacity + 3, WEIR_FOREVER), 0);
    drain(chan, scene->capacity + 3);
    CHECK_SAME(end_op(&put), 0);
    CHECK_SAME(end_call(&async_puts[0]), 0);
    CHECK_SAME(end_call(&async_puts[1]), 0);

    CHECK_SAME(start_recv(&async_take, chan, WEIR_FOREVER), 0);
    begin_recv(scene, &take, chan);
    CHECK_SAME(try_send(chan, 1), 0);
    CHECK_SAME(end_call(&async_take), 0);
    CHECK_SAME(async_take.value, 1);
    CHECK(!is_done(&take));
    CHECK_SAME(try_send(chan, 2), 0);
    CHECK_SAME(end_op(&take), 0);
    weir_chan_release(chan);
}

/* Two async operations meet, and one meets a select. */
CASE(async_meets_async_and_select, ALONE, 0)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_clause clause;
    struct call put, take;
    uint64_t value = 0;

    CHECK_SAME(start_recv(&take, chan, WEIR_FOREVER), 0);
    CHECK_SAME(start_send(&put, chan, 4, WEIR_FOREVER), 0);
    CHECK_SAME(end_call(&put), 0);
    CHECK_SAME(end_call(&take), 0);
    CHECK_SAME(take.value, 4);
    CHECK_SAME(start_send(&put, chan, 5, WEIR_FOREVER), 0);
    clause = weir_clause_recv(chan, &value);
    CHECK_SAME(weir_select(&clause, 1, 0, WEIR_NOW), 0);
    CHECK_SAME(value, 5);
    CHECK_SAME(end_call(&put), 0);
    weir_chan_release(chan);
}

static void count_in_context(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)elem;
    (void)reason;
    atomic_fetch_add((atomic_int *)context, 1);
}

CASE(async_send_to_channels_that_never_park, ALONE, 1)
{
    for (int policy = WEIR_CHAN_DROP_NEWEST; policy <= WEIR_CHAN_PROMISE; policy++) {
        atomic_int dropped = 0;
        struct weir_chan *chan =
            make_chan(scene->capacity, &(struct weir_chan_options){
                                           .policy = (enum weir_chan_policy)policy,
                                           .drop = count_in_context,
                                           .context = &dropped,
                                       });
        struct call puts[2], take, parked;

        CHECK_SAME(start_recv(&parked, chan, WEIR_FOREVER), 0);
        for (uint64_t i = 0; i < 2; i++)
            CHECK_SAME(start_send(&puts[i], chan, i, WEIR_FOREVER), 0);
        CHECK_SAME(end_call(&parked), 0);
        CHECK_SAME(parked.value, 0);
        CHECK_SAME(end_call(&puts[0]), 0);
        CHECK_SAME(end_call(&puts[1]), policy == WEIR_CHAN_PROMISE ? WEIR_DROPPED : 0);
        CHECK_SAME(start_recv(&take, chan, WEIR_NOW), 0);
        CHECK_SAME(end_call(&take), 0);
        CHECK_SAME(take.value, policy != WEIR_CHAN_PROMISE);
        CHECK_SAME(dropped, policy == WEIR_CHAN_PROMISE);
        weir_chan_release(chan);
    }
}

CASE(deadlines_that_cannot_be_waited_for, ALONE, 0)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct call call;

    CHECK_SAME(start_recv(&call, chan, WEIR_NOW), 0);
    CHECK(!is_called(&call));
    CHECK_SAME(end_call(&call), -EAGAIN);
    CHECK_SAME(start_send(&call, chan, 1, 1), 0);
    CHECK_SAME(end_call(&call), -ETIME);
    CHECK_SAME(count_waiters(chan), 0);
    weir_chan_release(chan);
}

/* --- Bad input --- */

static int start_cancelled(void *arg)
{
    struct call call;

    while (!weir_cancelled())
        (void)weir_yield();
    CHECK_SAME(start_send(&call, arg, 1, WEIR_FOREVER), -ECANCELED);
    CHECK_SAME(start_recv(&call, arg, WEIR_FOREVER), -ECANCELED);
    return 0;
}

static void *start_on_thread(void *arg)
{
    struct call call;

    CHECK_SAME(start_send(&call, arg, 1, WEIR_FOREVER), -ENXIO);
    CHECK_SAME(start_recv(&call, arg, WEIR_FOREVER), -ENXIO);
    return NULL;
}

CASE(bad_starts_are_refused, ALONE, 0, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL), *signal;
    struct actor actor;
    pthread_t thread;
    struct call call, none;

    prepare_call(&call, chan, 0);
    prepare_call(&none, chan, 0);
    none.async.done = NULL;
    CHECK_SAME(weir_chan_send_async(NULL, &call.value, &call.async, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_chan_send_async(chan, NULL, &call.async, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_chan_send_async(chan, &call.value, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_chan_send_async(chan, &call.value, &none.async, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_chan_recv_async(NULL, &call.value, &call.async, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_chan_recv_async(chan, NULL, &call.async, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_chan_recv_async(chan, &call.value, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_chan_recv_async(chan, &call.value, &none.async, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_async_cancel(NULL), -EINVAL);

    actor_start(scene, &actor, start_cancelled, chan);
    CHECK_SAME(weir_task_cancel(actor.task), 0);
    actor_join(&actor);
    CHECK_SAME(pthread_create(&thread, NULL, start_on_thread, chan), 0);
    pthread_join(thread, NULL);
    CHECK_SAME(count_waiters(chan) + look(chan).count, 0);
    weir__sched_settle();
    CHECK(!is_called(&call));
    weir_chan_release(chan);

    CHECK_SAME(weir_chan_create(&signal, 0, 1, NULL), 0);
    CHECK_SAME(weir_chan_send_async(signal, NULL, &call.async, WEIR_FOREVER), 0);
    CHECK_SAME(end_call(&call), 0);
    prepare_call(&call, signal, 0);
    CHECK_SAME(weir_chan_recv_async(signal, NULL, &call.async, WEIR_FOREVER), 0);
    CHECK_SAME(end_call(&call), 0);
    weir_chan_release(signal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_074_put_completes_when_a_taker_comes),
        cmocka_unit_test(case_076_never_completes_inside_the_start),
        cmocka_unit_test(case_077_million_takes_on_one_stack),
        cmocka_unit_test(case_079_callback_may_use_the_channel),
        cmocka_unit_test(case_080_callbacks_close_each_others_channel),
        cmocka_unit_test(case_082_storage_is_free_in_its_callback),
        cmocka_unit_test(case_083_one_too_many_is_refused),
        cmocka_unit_test(case_085_cancelled_operations_count_no_more),
        cmocka_unit_test(case_169_failing_callback_is_reported),
        cmocka_unit_test(case_170_every_failure_completes),
        cmocka_unit_test(async_and_parked_waiters_share_one_queue),
        cmocka_unit_test(async_meets_async_and_select),
        cmocka_unit_test(async_send_to_channels_that_never_park),
        cmocka_unit_test(deadlines_that_cannot_be_waited_for),
        cmocka_unit_test(bad_starts_are_refused),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
