/* SPDX-License-Identifier: MIT */
/* Cancellation. Section G of the conformance cases, but its races. */
#include "sync/fixture.h"

/* --- A parked one is cancelled --- */

CASE(case_149_cancelled_take_swallows_nothing, ON_TASKS, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op take;

    begin_recv(scene, &take, chan);
    CHECK_SAME(weir_task_cancel(take.actor.task), 0);
    CHECK_SAME(end_op(&take), -ECANCELED);
    CHECK_SAME(count_waiters(chan), 0);
    CHECK(weir__list_empty(&chan->receivers.waiters));
    CHECK_SAME(try_send(chan, 5), scene->capacity ? 0 : -EAGAIN);
    CHECK_SAME(look(chan).count, scene->capacity ? 1 : 0);
    weir_chan_release(chan);
}

CASE(cancelled_put_keeps_its_element, ON_TASKS, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op put;
    uint64_t value;

    fill(chan, scene->capacity);
    begin_send(scene, &put, chan, 1000);
    CHECK_SAME(weir_task_cancel(put.actor.task), 0);
    CHECK_SAME(weir_task_cancel(put.actor.task), WEIR_ALREADY);
    CHECK_SAME(end_op(&put), -ECANCELED);
    drain(chan, scene->capacity);
    CHECK_SAME(try_recv(chan, &value), -EAGAIN);
    weir_chan_release(chan);
}

CASE(case_152_committed_taker_outlives_its_cancel, ON_TASKS, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op first, second;

    begin_recv(scene, &first, chan);
    begin_recv(scene, &second, chan);
    CHECK_SAME(try_send(chan, 1), 0);
    CHECK(weir_task_cancel(first.actor.task) >= 0);
    CHECK_SAME(end_op(&first), 0);
    CHECK_SAME(first.value, 1);
    CHECK(!is_done(&second));
    CHECK_SAME(look(chan).count, 0);
    CHECK_SAME(try_send(chan, 2), 0);
    CHECK_SAME(end_op(&second), 0);
    weir_chan_release(chan);
}

/* What a task saw that was cancelled while a value was already its own. */
static int take_then_yield(void *arg)
{
    struct op *op = arg;

    op->result = weir_chan_recv(op->chan, &op->value, WEIR_FOREVER);
    AWAIT(weir_cancelled()); /* on its own loop it may be on its way still */
    CHECK_SAME(weir_yield(), -ECANCELED);
    CHECK_SAME(weir_yield(), -ECANCELED); /* for good */
    return 0;
}

CASE(case_154_cancel_stays_pending_after_success, ALONE, ANY_CAPACITY)
{
    struct op take = { .chan = make_chan(scene->capacity, NULL) };

    actor_start(scene, &take.actor, take_then_yield, &take);
    await_receivers(take.chan, 1);
    CHECK_SAME(try_send(take.chan, 4), 0);
    CHECK_SAME(weir_task_cancel(take.actor.task), 0);
    CHECK_SAME(end_op(&take), 0);
    CHECK_SAME(take.value, 4);
    weir_chan_release(take.chan);
}

CASE(case_155_committed_select_returns_its_clause, ON_TASKS, ANY_CAPACITY)
{
    struct weir_chan *left = make_chan(scene->capacity, NULL);
    struct weir_chan *right = make_chan(scene->capacity, NULL);
    uint64_t values[2] = { 0, 0 };
    struct weir_clause clauses[] = {
        weir_clause_recv(left, &values[0]),
        weir_clause_recv(right, &values[1]),
    };
    struct pick pick;

    begin_pick(scene, &pick, 2, clauses);
    CHECK_SAME(try_send(right, 6), 0);
    CHECK(weir_task_cancel(pick.actor.task) >= 0);
    CHECK_SAME(end_pick(&pick), 1);
    CHECK_SAME(values[1], 6);

    begin_pick(scene, &pick, 2, clauses);
    CHECK_SAME(weir_task_cancel(pick.actor.task), 0);
    CHECK_SAME(end_pick(&pick), -ECANCELED);
    CHECK_SAME(count_waiters(left), 0);
    CHECK_SAME(count_waiters(right), 0);
    weir_chan_release(left);
    weir_chan_release(right);
}

/* --- An already cancelled one begins --- */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

struct trial {
    struct weir_chan *ready; /* has a value and room */
    struct weir_task *other; /* has ended */
};

/* Every primitive refuses, and has no effect; releases do their work. */
static int try_everything(void *arg)
{
    struct trial *trial = arg;
    uint64_t value = 77;
    struct weir_clause clauses[] = {
        weir_clause_recv(trial->ready, &value),
        weir_clause_send(trial->ready, &value),
        weir_clause_timer(1),
        weir_clause_join(trial->other, NULL),
    };
    struct weir_scope *scope = NULL;
    struct weir_chan *chan;

    AWAIT(weir_cancelled());
    for (int round = 0; round < 2; round++) {
        int64_t deadline_ns = round ? WEIR_NOW : WEIR_FOREVER;

        CHECK_SAME(weir_chan_send(trial->ready, &value, deadline_ns), -ECANCELED);
        CHECK_SAME(weir_chan_recv(trial->ready, &value, deadline_ns), -ECANCELED);
        CHECK_SAME(weir_chan_recv(trial->ready, NULL, deadline_ns), -ECANCELED);
        CHECK_SAME(weir_select(clauses, 4, 0, deadline_ns), -ECANCELED);
        CHECK_SAME(weir_join(trial->other, NULL, deadline_ns), -ECANCELED);
        CHECK_SAME(weir_sleep(deadline_ns), -ECANCELED);
        CHECK_SAME(weir_yield(), -ECANCELED);
    }
    CHECK_SAME(value, 77);
    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_SAME(weir_spawn(scope, nothing, NULL, NULL), -ECANCELED);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    chan = make_chan(2, NULL);
    CHECK_SAME(weir_chan_close(chan, 0), 0);
    CHECK_SAME(weir_chan_abort(chan, 0), 0);
    CHECK_SAME(weir_chan_release(chan), 0);

    weir_shield_enter();
    CHECK_SAME(weir_chan_recv(trial->ready, &value, WEIR_FOREVER), 0);
    CHECK_SAME(weir_chan_send(trial->ready, &value, WEIR_FOREVER), 0);
    CHECK_SAME(weir_sleep(weir_in_us(50)), 0);
    weir_shield_leave();
    CHECK_SAME(weir_chan_recv(trial->ready, &value, WEIR_FOREVER), -ECANCELED);
    return 5;
}

CASE(case_158_all_primitives_agree, ON_TASKS, 2, 7, 64)
{
    struct trial trial = { .ready = make_chan(scene->capacity, NULL) };
    struct actor ended, cancelled;

    fill(trial.ready, 1);
    actor_start(scene, &ended, nothing, NULL);
    AWAIT(weir_scope_count(scene->scope) == 0);
    trial.other = ended.task;
    actor_start(scene, &cancelled, try_everything, &trial);
    CHECK_SAME(weir_task_cancel(cancelled.task), 0);
    CHECK_SAME(actor_join(&cancelled), 5);
    CHECK_SAME(look(trial.ready).count, 1);
    CHECK_SAME(count_waiters(trial.ready), 0);
    take_value(trial.ready, 1);
    CHECK_SAME(actor_join(&ended), 0);
    weir_chan_release(trial.ready);
}

static int send_when_cancelled(void *arg)
{
    struct op *op = arg;

    AWAIT(weir_cancelled());
    return op_send(op);
}

CASE(case_157_cancelled_put_on_a_ready_channel, ON_TASKS, ANY_CAPACITY)
{
    struct op put = { .chan = make_chan(scene->capacity, NULL), .deadline_ns = WEIR_FOREVER };
    struct op take;

    if (scene->capacity == 0)
        begin_recv(scene, &take, put.chan); /* so that it is ready */
    actor_start(scene, &put.actor, send_when_cancelled, &put);
    CHECK_SAME(weir_task_cancel(put.actor.task), 0);
    CHECK_SAME(end_op(&put), -ECANCELED);
    CHECK_SAME(look(put.chan).count, 0);
    CHECK_SAME(look(put.chan).sent_total, 0);
    if (scene->capacity == 0) {
        CHECK(!is_done(&take));
        CHECK_SAME(try_send(put.chan, 1), 0);
        CHECK_SAME(end_op(&take), 0);
    }
    weir_chan_release(put.chan);
}

/* --- Many --- */

struct crowd {
    struct weir_chan *chan;
    atomic_ulong cancelled;
    atomic_ulong served;
};

static int take_in_crowd(void *arg)
{
    struct crowd *crowd = arg;
    uint64_t value;
    int result = weir_chan_recv(crowd->chan, &value, WEIR_FOREVER);

    if (result == 0)
        atomic_fetch_add(&crowd->served, 1);
    else if (CHECK_SAME(result, -ECANCELED))
        atomic_fetch_add(&crowd->cancelled, 1);
    return result;
}

/* Each from the middle of the queue, none of which is walked: with as many again behind them, ten
 * thousand cancels of O(n) would take seconds. */
CASE(case_160_ten_thousand_cancels_on_one_channel, ON_TASKS, 0)
{
    size_t count = (size_t)test_rounds(10000, 10000, 10000);
    struct crowd crowd = { .chan = make_chan(scene->capacity, NULL) };
    struct weir_task **tasks = calloc(count, sizeof(struct weir_task *));

    for (size_t i = 0; i < count; i++) {
        struct weir_spawn_options options = {
            .task = &tasks[i],
            .place = WEIR_PLACE_LOOP,
            .loop_index = scene->setting == TWO_LOOPS ? i % 2 : 0,
            .wait_ns = INT64_MAX,
        };

        CHECK_SAME(weir_spawn(scene->scope, take_in_crowd, &crowd, &options), 0);
    }
    await_receivers(crowd.chan, count);
    for (size_t i = 0; i < count; i++) /* every other one, then the rest but the last */
        if (i % 2 || i == 0)
            CHECK_SAME(weir_task_cancel(tasks[i]), 0);
    await_receivers(crowd.chan, count - count / 2 - 1);
    CHECK_SAME(weir_chan_send(crowd.chan, &(uint64_t){ 1 }, WEIR_NOW), 0);
    for (size_t i = 0; i < count; i++) {
        (void)weir_task_cancel(tasks[i]);
        CHECK_SAME(weir_join(tasks[i], NULL, WEIR_FOREVER), 0);
    }
    CHECK_SAME(crowd.served, 1);
    CHECK_SAME(crowd.cancelled, count - 1);
    CHECK_SAME(count_waiters(crowd.chan), 0);
    free(tasks);
    weir_chan_release(crowd.chan);
}

CASE(case_161_cancelled_select_leaves_the_order, ON_TASKS, ANY_CAPACITY)
{
    enum { SELECTS = 5, CANCELLED = 2 };
    struct weir_chan *left = make_chan(scene->capacity, NULL);
    struct weir_chan *right = make_chan(scene->capacity, NULL);
    uint64_t values[SELECTS] = { 0 }, next = 1;
    struct pick picks[SELECTS];

    for (size_t i = 0; i < SELECTS; i++)
        begin_pick(scene, &picks[i], 2,
                   (struct weir_clause[]){
                       weir_clause_recv(left, &values[i]),
                       weir_clause_recv(right, &values[i]),
                   });
    CHECK_SAME(weir_task_cancel(picks[CANCELLED].actor.task), 0);
    CHECK_SAME(end_pick(&picks[CANCELLED]), -ECANCELED);
    weir__chan_verify(left);
    for (size_t i = 0; i < SELECTS; i++) {
        if (i == CANCELLED)
            continue;
        CHECK_SAME(try_send(i % 2 ? left : right, next), 0);
        CHECK_SAME(end_pick(&picks[i]), i % 2 ? 0 : 1);
        CHECK_SAME(values[i], next++);
    }
    CHECK_SAME(count_waiters(left) + count_waiters(right), 0);
    weir_chan_release(left);
    weir_chan_release(right);
}

static int pick_in_crowd(void *arg)
{
    struct crowd *crowd = arg;
    uint64_t value = 0;
    struct weir_clause clauses[] = {
        weir_clause_recv(crowd->chan, &value),
        weir_clause_timer(weir_in_seconds(1000)),
    };

    if (CHECK_SAME(weir_select(clauses, 2, 0, WEIR_FOREVER), -ECANCELED))
        atomic_fetch_add(&crowd->cancelled, 1);
    return -ECANCELED;
}

CASE(case_163_scope_cancel_frees_all_children, ON_TASKS, ANY_CAPACITY)
{
    enum { CHILDREN = 100 };
    struct crowd crowd = { .chan = make_chan(scene->capacity, NULL) };
    struct weir_scope *scope;

    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    for (unsigned i = 0; i < CHILDREN; i++) {
        struct weir_spawn_options options = {
            .place = WEIR_PLACE_LOOP,
            .loop_index = scene->setting == TWO_LOOPS ? i / 2 % 2 : 0,
            .wait_ns = INT64_MAX,
        };

        CHECK_SAME(weir_spawn(scope, i % 2 ? pick_in_crowd : take_in_crowd, &crowd, &options), 0);
    }
    await_receivers(crowd.chan, CHILDREN);
    CHECK_SAME(weir_scope_cancel(scope), 0);
    CHECK_SAME(weir_scope_cancel(scope), WEIR_ALREADY);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_SAME(crowd.cancelled, CHILDREN);
    CHECK_SAME(count_waiters(crowd.chan), 0);
    weir_chan_release(crowd.chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_149_cancelled_take_swallows_nothing),
        cmocka_unit_test(cancelled_put_keeps_its_element),
        cmocka_unit_test(case_152_committed_taker_outlives_its_cancel),
        cmocka_unit_test(case_154_cancel_stays_pending_after_success),
        cmocka_unit_test(case_155_committed_select_returns_its_clause),
        cmocka_unit_test(case_158_all_primitives_agree),
        cmocka_unit_test(case_157_cancelled_put_on_a_ready_channel),
        cmocka_unit_test(case_160_ten_thousand_cancels_on_one_channel),
        cmocka_unit_test(case_161_cancelled_select_leaves_the_order),
        cmocka_unit_test(case_163_scope_cancel_frees_all_children),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
