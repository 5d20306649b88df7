/* SPDX-License-Identifier: MIT */
/* Close, abort, release. Section C of the conformance cases. */
#include "sync/fixture.h"

enum { CROWD = 5 };

static int recv_status(struct weir_chan *chan)
{
    uint64_t value;

    return weir_chan_recv(chan, &value, WEIR_FOREVER);
}

/* --- C. Close and abort --- */

CASE(case_043_closed_and_empty_says_so_at_once, ALONE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    CHECK_SAME(weir_chan_close(chan, 0), 0);
    for (int i = 0; i < 10; i++)
        CHECK_SAME(recv_status(chan), -EPIPE);
    CHECK_SAME(try_send(chan, 1), -EPIPE);
    CHECK(look(chan).closed);
    weir_chan_release(chan);
}

CASE(case_044_closed_delivers_what_is_buffered, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    fill(chan, scene->capacity);
    CHECK_SAME(weir_chan_close(chan, 0), 0);
    weir__chan_verify(chan);
    drain(chan, scene->capacity);
    CHECK_SAME(recv_status(chan), -EPIPE);
    weir_chan_release(chan);
}

/* A race of two in many rounds, each with a channel of its own. */
struct duel {
    struct barrier barrier;
    struct weir_chan *chan;
    long rounds;
    uint64_t random;
    int result; /* the actor's, valid after the round */
};

static int close_in_rounds(void *arg)
{
    struct duel *duel = arg;

    for (long round = 0; round < duel->rounds; round++) {
        meet(&duel->barrier);
        dawdle(&duel->random);
        duel->result = weir_chan_close(duel->chan, 0);
        meet(&duel->barrier);
    }
    return 0;
}

CASE(case_046_second_close_is_told_so, EVERYWHERE, 0, 1)
{
    struct duel duel = { .rounds = test_rounds(3000, 300000, 300000), .random = 1 };
    struct actor actor;
    uint64_t random = 2;

    actor_start(scene, &actor, close_in_rounds, &duel);
    for (long round = 0; round < duel.rounds; round++) {
        int result;

        duel.chan = make_chan(scene->capacity, NULL);
        meet(&duel.barrier);
        dawdle(&random);
        result = weir_chan_close(duel.chan, 0);
        meet(&duel.barrier);
        CHECK_SAME(result + duel.result, WEIR_ALREADY);
        CHECK_SAME(weir_chan_close(duel.chan, -EIO), WEIR_ALREADY);
        CHECK_SAME(recv_status(duel.chan), -EPIPE); /* the second reason changed nothing */
        weir_chan_release(duel.chan);
    }
    actor_join(&actor);
}

CASE(case_047_close_wakes_all_takers, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op takers[CROWD];

    for (size_t i = 0; i < CROWD; i++)
        begin_recv(scene, &takers[i], chan);
    CHECK_SAME(weir_chan_close(chan, 0), 0);
    for (size_t i = 0; i < CROWD; i++)
        CHECK_SAME(end_op(&takers[i]), -EPIPE);
    CHECK_SAME(look(chan).waiting_receivers, 0);
    weir_chan_release(chan);
}

/* Fills a channel, parks a crowd of puts on it, and closes it. */
static void close_with_parked_puts(struct scene *scene, struct weir_chan *chan, struct op *puts)
{
    fill(chan, scene->capacity);
    for (size_t i = 0; i < CROWD; i++)
        begin_send(scene, &puts[i], chan, scene->capacity + 1 + i);
    CHECK_SAME(weir_chan_close(chan, 0), 0);
    weir__chan_verify(chan);
    CHECK_SAME(look(chan).waiting_senders, CROWD);
}

CASE(case_048_close_still_delivers_parked_puts, EVERYWHERE, 0)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op puts[CROWD];

    close_with_parked_puts(scene, chan, puts);
    drain(chan, CROWD);
    CHECK_SAME(recv_status(chan), -EPIPE);
    for (size_t i = 0; i < CROWD; i++)
        CHECK_SAME(end_op(&puts[i]), 0);
    weir_chan_release(chan);
}

CASE(case_049_close_delivers_buffer_and_parked_puts, EVERYWHERE, 1, 2, 7, 64)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op puts[CROWD];

    close_with_parked_puts(scene, chan, puts);
    drain(chan, scene->capacity + CROWD);
    CHECK_SAME(recv_status(chan), -EPIPE);
    for (size_t i = 0; i < CROWD; i++)
        CHECK_SAME(end_op(&puts[i]), 0);
    weir_chan_release(chan);
}

CASE(case_050_new_put_refused_old_ones_delivered, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op puts[CROWD];
    uint64_t late = 99;

    close_with_parked_puts(scene, chan, puts);
    CHECK_SAME(weir_chan_send(chan, &late, WEIR_FOREVER), -EPIPE);
    drain(chan, scene->capacity + CROWD);
    CHECK_SAME(recv_status(chan), -EPIPE);
    for (size_t i = 0; i < CROWD; i++)
        CHECK_SAME(end_op(&puts[i]), 0);
    weir_chan_release(chan);
}

CASE(case_052_abort_after_close_fails_parked_puts, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op puts[CROWD];

    close_with_parked_puts(scene, chan, puts);
    take_value(chan, 1); /* one put, or one buffered value and so one put */
    CHECK_SAME(weir_chan_abort(chan, -EIO), 0);
    weir__chan_verify(chan);
    CHECK_SAME(recv_status(chan), -EIO);
    CHECK_SAME(end_op(&puts[0]), 0);
    for (size_t i = 1; i < CROWD; i++) {
        CHECK_SAME(end_op(&puts[i]), -EPIPE);
        CHECK_SAME(puts[i].value, scene->capacity + 1 + i);
    }
    CHECK_SAME(look(chan).dropped_total, scene->capacity);
    CHECK_SAME(weir_chan_abort(chan, 0), WEIR_ALREADY);
    weir_chan_release(chan);
}

CASE(case_053_close_with_a_reason, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op take;

    CHECK_SAME(weir_chan_close(chan, 5), -EINVAL);
    begin_recv(scene, &take, chan);
    CHECK_SAME(weir_chan_close(chan, -ENODATA), 0);
    CHECK_SAME(end_op(&take), -ENODATA);
    CHECK_SAME(try_send(chan, 1), -EPIPE);
    weir_chan_release(chan);

    chan = make_chan(scene->capacity, NULL);
    fill(chan, scene->capacity);
    CHECK_SAME(weir_chan_close(chan, -ENODATA), 0);
    drain(chan, scene->capacity);
    CHECK_SAME(recv_status(chan), -ENODATA);
    weir_chan_release(chan);
}

static void count_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)elem;
    (void)reason;
    atomic_fetch_add((atomic_uint *)context, 1);
}

static int put_in_rounds(void *arg)
{
    struct duel *duel = arg;

    for (long round = 0; round < duel->rounds; round++) {
        uint64_t value = (uint64_t)round;

        meet(&duel->barrier);
        dawdle(&duel->random);
        duel->result = weir_chan_send(duel->chan, &value, WEIR_FOREVER);
        meet(&duel->barrier);
    }
    return 0;
}

CASE(case_054_put_against_close, EVERYWHERE, 0, 1, 7)
{
    struct duel duel = { .rounds = test_rounds(3000, 300000, 300000), .random = 1 };
    atomic_uint dropped = 0;
    struct weir_chan_options options = { .drop = count_drop, .context = &dropped };
    struct actor actor;
    uint64_t random = 2;

    actor_start(scene, &actor, put_in_rounds, &duel);
    for (long round = 0; round < duel.rounds; round++) {
        unsigned taken = 0;
        uint64_t value;

        atomic_store(&dropped, 0);
        duel.chan = make_chan(scene->capacity, &options);
        meet(&duel.barrier);
        dawdle(&random);
        CHECK_SAME(round % 2 ? weir_chan_close(duel.chan, 0) : weir_chan_abort(duel.chan, 0), 0);
        while (weir_chan_recv(duel.chan, &value, WEIR_FOREVER) == 0)
            taken += CHECK_SAME(value, round);
        meet(&duel.barrier);
        CHECK(duel.result == 0 || duel.result == -EPIPE);
        CHECK_SAME(duel.result == 0, taken + dropped);
        CHECK_SAME(recv_status(duel.chan), -EPIPE);
        weir_chan_release(duel.chan);
    }
    actor_join(&actor);
}

CASE(case_055_take_against_close, EVERYWHERE, ANY_CAPACITY)
{
    struct duel duel = { .rounds = test_rounds(2000, 200000, 200000), .random = 1 };
    struct actor actor;
    uint64_t random = 2;

    actor_start(scene, &actor, close_in_rounds, &duel);
    for (long round = 0; round < duel.rounds; round++) {
        duel.chan = make_chan(scene->capacity, NULL);
        meet(&duel.barrier);
        dawdle(&random);
        CHECK_SAME(recv_status(duel.chan), -EPIPE);
        meet(&duel.barrier);
        weir_chan_release(duel.chan);
    }
    actor_join(&actor);
}

static int put_then_close_in_rounds(void *arg)
{
    struct duel *duel = arg;

    for (long round = 0; round < duel->rounds; round++) {
        uint64_t value = (uint64_t)round;

        meet(&duel->barrier);
        dawdle(&duel->random);
        CHECK_SAME(weir_chan_send(duel->chan, &value, WEIR_FOREVER), 0);
        CHECK_SAME(weir_chan_close(duel->chan, 0), 0);
        meet(&duel->barrier);
    }
    return 0;
}

CASE(case_056_last_value_comes_before_the_end, EVERYWHERE, ANY_CAPACITY)
{
    struct duel duel = { .rounds = test_rounds(2000, 200000, 200000), .random = 1 };
    struct actor actor;
    uint64_t random = 2;

    actor_start(scene, &actor, put_then_close_in_rounds, &duel);
    for (long round = 0; round < duel.rounds; round++) {
        uint64_t value = UINT64_MAX;

        duel.chan = make_chan(scene->capacity, NULL);
        meet(&duel.barrier);
        dawdle(&random);
        CHECK_SAME(weir_chan_recv(duel.chan, &value, WEIR_FOREVER), 0);
        CHECK_SAME(value, round);
        CHECK_SAME(recv_status(duel.chan), -EPIPE);
        meet(&duel.barrier);
        weir_chan_release(duel.chan);
    }
    actor_join(&actor);
}

struct gathering {
    struct weir_chan *chan;
    atomic_ulong woken;
};

static int wait_for_the_end(void *arg)
{
    struct gathering *gathering = arg;

    CHECK_SAME(recv_status(gathering->chan), -EPIPE);
    atomic_fetch_add(&gathering->woken, 1);
    return 0;
}

static int close_over_a_gathering(void *arg)
{
    size_t count = (size_t)test_rounds(10000, 10000, 10000);
    struct gathering gathering = { .chan = make_chan(0, NULL) };
    struct weir_scope *scope;

    (void)arg;
    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        struct weir_spawn_options options = {
            .place = WEIR_PLACE_LOOP,
            .loop_index = (unsigned)i % 8,
            .wait_ns = INT64_MAX,
        };

        CHECK_SAME(weir_spawn(scope, wait_for_the_end, &gathering, &options), 0);
    }
    await_receivers(gathering.chan, count);
    CHECK_SAME(weir_chan_close(gathering.chan, 0), 0);
    CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
    CHECK_SAME(gathering.woken, count);
    CHECK_SAME(look(gathering.chan).waiting_receivers, 0);
    weir_chan_release(gathering.chan);
    return 0;
}

static void case_058_close_wakes_ten_thousand_on_eight_loops(void **state)
{
    (void)state;
    assert_int_equal(
        test_run(close_over_a_gathering, NULL, &(struct weir_options){ .loop_count = 8 }), 0);
}

static int take_twice_and_release(void *arg)
{
    struct weir_chan *chan = arg;

    CHECK_SAME(recv_status(chan), -EPIPE);
    CHECK_SAME(recv_status(chan), -EPIPE);
    CHECK_SAME(weir_chan_release(chan), 0);
    return 0;
}

CASE(case_059_woken_by_close_takes_again, EVERYWHERE, 0, 2)
{
    for (long round = test_rounds(100, 10000, 10000); round > 0; round--) {
        struct weir_chan *chan = make_chan(scene->capacity, NULL);
        struct actor actor;

        actor_start(scene, &actor, take_twice_and_release, weir_chan_retain(chan));
        await_receivers(chan, 1);
        CHECK_SAME(weir_chan_close(chan, 0), 0);
        weir_chan_release(chan);
        actor_join(&actor);
    }
}

static int drain_in_rounds(void *arg)
{
    struct duel *duel = arg;

    for (long round = 0; round < duel->rounds; round++) {
        meet(&duel->barrier);
        while (recv_status(duel->chan) == 0)
            ;
        meet(&duel->barrier);
    }
    return 0;
}

CASE(case_065_count_stays_sane_while_closing, EVERYWHERE, 1, 2, 7, 64)
{
    struct duel duel = { .rounds = test_rounds(300, 30000, 30000), .random = 1 };
    struct actor actor;

    actor_start(scene, &actor, drain_in_rounds, &duel);
    for (long round = 0; round < duel.rounds; round++) {
        size_t last;

        duel.chan = make_chan(scene->capacity, NULL);
        fill(duel.chan, scene->capacity);
        last = scene->capacity;
        meet(&duel.barrier);
        CHECK_SAME(weir_chan_close(duel.chan, 0), 0);
        for (unsigned looks = 0; last > 0; looks++) {
            size_t count = look(duel.chan).count;

            CHECK(count <= last);
            last = count;
            give_way(looks);
        }
        meet(&duel.barrier);
        weir_chan_release(duel.chan);
    }
    actor_join(&actor);
}

static size_t count_lines(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += *text == '\n';
    return count;
}

CASE(case_067_last_release_over_parked_waiters, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *puts_wait = make_chan(scene->capacity, NULL);
    struct weir_chan_options named = { .name = "forgotten" };
    struct weir_chan *takes_wait = make_chan(scene->capacity, &named);
    const char *who = scene->setting == WITH_THREAD ? "a plain thread" : "actor";
    struct op puts[2], takes[2];
    char text[1024];

    fill(puts_wait, scene->capacity);
    for (size_t i = 0; i < 2; i++) {
        begin_send(scene, &puts[i], puts_wait, 100 + i);
        begin_recv(scene, &takes[i], takes_wait);
    }
    CHECK_SAME(release_overheard(puts_wait, text, sizeof text), -EBUSY);
    CHECK_SAME(count_lines(text), 2);
    CHECK(strstr(text, who) && strstr(text, "send"));
    CHECK_SAME(release_overheard(takes_wait, text, sizeof text), -EBUSY);
    CHECK_SAME(count_lines(text), 2);
    CHECK(strstr(text, who) && strstr(text, "recv") && strstr(text, "forgotten"));
    for (size_t i = 0; i < 2; i++) {
        CHECK_SAME(end_op(&puts[i]), -EPIPE);
        CHECK_SAME(end_op(&takes[i]), -EPIPE);
    }
}

/* --- Bugs --- */

static int recv_into_nothing(void *arg)
{
    struct op *op = arg;

    op->result = weir_chan_recv(op->chan, NULL, WEIR_FOREVER);
    return 0;
}

/* It held a reference of its own, so that the last release of the others never woke it. */
CASE(last_release_wakes_a_discarding_receiver, EVERYWHERE, ANY_CAPACITY)
{
    struct op op = { .chan = make_chan(scene->capacity, NULL) };
    char text[256];

    actor_start(scene, &op.actor, recv_into_nothing, &op);
    await_receivers(op.chan, 1);
    CHECK_SAME(release_overheard(op.chan, text, sizeof text), -EBUSY);
    CHECK_SAME(end_op(&op), -EPIPE);
}

static int abort_in_rounds(void *arg)
{
    struct duel *duel = arg;

    for (long round = 0; round < duel->rounds; round++) {
        meet(&duel->barrier);
        dawdle(&duel->random);
        CHECK_SAME(weir_chan_abort(duel->chan, 0), 0);
        meet(&duel->barrier);
    }
    return 0;
}

/* An abort dropped the buffer, and then woke the parked senders one by one: a receiver that came in
 * between got one of their elements, though older ones had been dropped. */
CASE(abort_is_one_step, ACROSS | ON_THREAD, 2)
{
    struct duel duel = { .rounds = test_rounds(1000, 100000, 100000), .random = 1 };
    struct actor actor;
    struct op puts[CROWD];
    uint64_t random = 2;

    actor_start(scene, &actor, abort_in_rounds, &duel);
    for (long round = 0; round < duel.rounds; round++) {
        uint64_t value = 0, expected = 1;

        duel.chan = make_chan(scene->capacity, NULL);
        fill(duel.chan, scene->capacity);
        for (size_t i = 0; i < CROWD; i++) {
            puts[i] = (struct op){ .chan = duel.chan, .deadline_ns = WEIR_FOREVER };
            puts[i].value = scene->capacity + 1 + i;
            actor_start_at(scene, &puts[i].actor, 0, op_send, &puts[i]);
        }
        await_senders(duel.chan, CROWD);
        meet(&duel.barrier);
        dawdle(&random);
        while (weir_chan_recv(duel.chan, &value, WEIR_FOREVER) == 0)
            CHECK_SAME(value, expected++);
        meet(&duel.barrier);
        for (size_t i = 0; i < CROWD; i++)
            end_op(&puts[i]);
        weir_chan_release(duel.chan);
    }
    actor_join(&actor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_043_closed_and_empty_says_so_at_once),
        cmocka_unit_test(case_044_closed_delivers_what_is_buffered),
        cmocka_unit_test(case_046_second_close_is_told_so),
        cmocka_unit_test(case_047_close_wakes_all_takers),
        cmocka_unit_test(case_048_close_still_delivers_parked_puts),
        cmocka_unit_test(case_049_close_delivers_buffer_and_parked_puts),
        cmocka_unit_test(case_050_new_put_refused_old_ones_delivered),
        cmocka_unit_test(case_052_abort_after_close_fails_parked_puts),
        cmocka_unit_test(case_053_close_with_a_reason),
        cmocka_unit_test(case_054_put_against_close),
        cmocka_unit_test(case_055_take_against_close),
        cmocka_unit_test(case_056_last_value_comes_before_the_end),
        cmocka_unit_test(case_058_close_wakes_ten_thousand_on_eight_loops),
        cmocka_unit_test(case_059_woken_by_close_takes_again),
        cmocka_unit_test(case_065_count_stays_sane_while_closing),
        cmocka_unit_test(case_067_last_release_over_parked_waiters),
        cmocka_unit_test(last_release_wakes_a_discarding_receiver),
        cmocka_unit_test(abort_is_one_step),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
