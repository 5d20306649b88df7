/* SPDX-License-Identifier: MIT */
/* The workers of a stage: functions that send by themselves, several side by side, on the pool. */
#include "flow/fixture.h"

enum { FEW = 10, WORKERS = 4, MANY = 200 };

/* --- Expand --- */

static int emit_in_vain(const void *source, struct weir_emit *emit, void *context)
{
    int *codes = context;

    if (source)
        for (size_t i = 0; i < 3; i++)
            codes[i] = weir_emit(emit, source);
    return source ? codes[2] : 0;
}

CASE(emit_says_that_nobody_wants_more, EVERYWHERE, 0)
{
    struct ledger taken = { 0 }, made = { 0 };
    struct weir_scope *scope = make_scope(WEIR_SCOPE_COLLECT);
    struct weir_chan *input = make_ledger_chan(1, &taken);
    struct weir_chan *output = make_ledger_chan(scene->capacity, &made);
    int codes[3] = { 1, 1, 1 };

    CHECK_SAME(weir_expand(scope, input, output, emit_in_vain, codes, NULL), 0);
    CHECK_SAME(try_send(input, 8), 0);
    CHECK_SAME(await_value(output), 8);
    await_senders(output, 1);
    weir_chan_abort(output, 0);
    CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
    CHECK_SAME(codes[0], 0);
    CHECK_SAME(codes[1], -EPIPE);
    CHECK_SAME(codes[2], -EPIPE);
    check_ledger(&taken, 8);
    CHECK_SAME(made.count, 2);
    CHECK_SAME(made.sum, 16);
    RELEASE(input, output);
}

static int stop_at_three(const void *source, struct weir_emit *emit, void *context)
{
    atomic_ulong *flushes = context;
    int error;

    if (!source) {
        atomic_fetch_add(flushes, 1);
        return 0;
    }
    error = weir_emit(emit, source);
    return error >= 0 && *(const uint64_t *)source == 3 ? WEIR_STOP : error;
}

CASE(expand_stops_early, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_stage_options options = { .flags = WEIR_STAGE_ABORT_INPUT };
    struct weir_chan *input = make_chan(0, NULL);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct feeder source = { 0 };
    atomic_ulong flushes = 0;

    CHECK_SAME(weir_expand(scene->scope, input, output, stop_at_three, &flushes, &options), 0);
    start_feeder(scene, &source, input, 1, 9);
    EXPECT(output, 1, 2, 3);
    CHECK_SAME(await_end(output), -EPIPE);
    actor_join(&source.actor);
    CHECK_SAME(source.result, -EPIPE);
    CHECK_SAME(atomic_load(&source.sent), 3);
    CHECK_SAME(flushes, 0);
    RELEASE(input, output);
}

static int fail_to_flush(const void *source, struct weir_emit *emit, void *context)
{
    (void)context;
    if (source)
        return weir_emit(emit, source);
    return weir_emit(emit, &(uint64_t){ 99 }) < 0 ? -EIO : -ERANGE;
}

CASE(a_flush_fails, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_scope *scope = make_scope(WEIR_SCOPE_COLLECT);
    struct weir_chan *input = make_chan(scene->capacity, NULL);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct feeder source;

    CHECK_SAME(weir_expand(scope, input, output, fail_to_flush, NULL, NULL), 0);
    start_source(scene, &source, input, 1, 2);
    EXPECT(output, 1, 2, 99);
    CHECK_SAME(await_end(output), -ERANGE);
    CHECK_SAME(weir_scope_join(scope, end_of_patience()), -ERANGE);
    actor_join(&source.actor);
    RELEASE(input, output);
}

/* --- Parallelism --- */

/* A function that parks until as many are in it as there are workers. */
struct crowd {
    struct barrier barrier;
    atomic_ulong inside;
    atomic_ulong inside_max;
};

static int meet_and_add(const void *source, void *target, void *context)
{
    struct crowd *crowd = context;
    unsigned long inside = atomic_fetch_add(&crowd->inside, 1) + 1;

    if (inside > atomic_load(&crowd->inside_max))
        atomic_store(&crowd->inside_max, inside);
    meet(&crowd->barrier);
    atomic_fetch_sub(&crowd->inside, 1);
    return add_one(source, target, NULL);
}

CASE(workers_work_side_by_side, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_stage_options options = { .parallelism = WORKERS };
    struct crowd crowd = { .barrier = { .parties = WORKERS } };
    struct weir_chan *input = make_chan(scene->capacity, NULL);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct feeder source;
    uint64_t sum = 0;

    CHECK_SAME(weir_map(scene->scope, input, output, meet_and_add, &crowd, &options), 0);
    start_source(scene, &source, input, 0, MANY);
    for (size_t i = 0; i < MANY; i++)
        sum += await_value(output);
    CHECK_SAME(sum, MANY * (MANY + 1) / 2);
    CHECK_SAME(await_end(output), -EPIPE);
    CHECK_SAME(crowd.inside_max, WORKERS);
    actor_join(&source.actor);
    RELEASE(input, output);
}

/* One worker fails: the others, that wait for elements, stop too, though the output stays open. */
CASE(one_of_several_workers_fails, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_stage_options options = {
        .parallelism = WORKERS,
        .flags = WEIR_STAGE_KEEP_OPEN,
    };

    for (enum failing kind = 0; kind < FAILING_COUNT; kind++) {
        struct ledger ledger = { 0 };
        struct weir_scope *scope = make_scope(WEIR_SCOPE_COLLECT);
        struct weir_chan *input = make_ledger_chan(scene->capacity, &ledger);
        struct weir_chan *output = make_chan(scene->capacity, NULL);
        uint64_t bad = 3;

        CHECK_SAME(start_failing(kind, scope, input, output, &options), 0);
        await_receivers(input, WORKERS);
        CHECK_SAME(weir_chan_send(input, &bad, end_of_patience()), 0);
        CHECK_SAME(weir_scope_join(scope, end_of_patience()), -EDOM);
        check_ledger(&ledger, 3);
        CHECK(!look(output).closed);
        RELEASE(input, output);
    }
}

/* --- That holds the loop --- */

struct turns {
    uint64_t count;    /* how often the others had a turn */
    uint64_t last;     /* the count at the element before */
    uint64_t in_a_row; /* elements without one */
    bool over;
};

static int count_turns(void *arg)
{
    struct turns *turns = arg;

    for (; !turns->over; turns->count++)
        CHECK_SAME(weir_yield(), 0);
    return 0;
}

static int note_turn(const void *source, void *target, void *context)
{
    struct turns *turns = context;

    turns->in_a_row += turns->count == turns->last;
    turns->last = turns->count;
    return add_one(source, target, NULL);
}

CASE(others_run_between_elements, ALONE, 64)
{
    const struct weir_stage_options options = { .kind = WEIR_STAGE_COMPUTES };
    struct weir_chan *input = make_chan(scene->capacity, NULL);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct turns turns = { .last = UINT64_MAX };

    fill(input, scene->capacity);
    weir_chan_close(input, 0);
    CHECK_SAME(weir_spawn(scene->scope, count_turns, &turns, NULL), 0);
    CHECK_SAME(weir_map(scene->scope, input, output, note_turn, &turns, &options), 0);
    AWAIT(look(output).closed);
    turns.over = true;
    CHECK_SAME(turns.in_a_row, 0);
    expect_run(output, 2, scene->capacity);
    RELEASE(input, output);
}

/* --- On the pool --- */

static int note_thread(const void *source, void *target, void *context)
{
    atomic_ulong *on_threads = context;

    if (!weir_task_self())
        atomic_fetch_add(on_threads, 1);
    return add_one(source, target, NULL);
}

static int note_odd_thread(const void *elem, void *context)
{
    note_thread(elem, &(uint64_t){ 0 }, context);
    return is_odd(elem, NULL);
}

static int note_copy_thread(const void *source, struct weir_emit *emit, void *context)
{
    uint64_t value = 99;

    note_thread(source ? source : &value, &value, context);
    return weir_emit(emit, &value);
}

CASE(blocking_functions_run_on_the_pool, ON_TASKS, ANY_CAPACITY)
{
    const struct weir_stage_options options = {
        .kind = WEIR_STAGE_BLOCKS,
        .parallelism = 2,
    };
    atomic_ulong on_threads = 0;
    struct weir_chan *chans[4];
    struct feeder source;
    uint64_t sum = 0;

    for (size_t i = 0; i < 4; i++)
        chans[i] = make_chan(scene->capacity, NULL);
    CHECK_SAME(weir_map(scene->scope, chans[0], chans[1], note_thread, &on_threads, &options), 0);
    CHECK_SAME(
        weir_filter(scene->scope, chans[1], chans[2], note_odd_thread, &on_threads, &options), 0);
    CHECK_SAME(
        weir_expand(scene->scope, chans[2], chans[3], note_copy_thread, &on_threads, &options), 0);
    start_source(scene, &source, chans[0], 0, FEW);
    for (size_t i = 0; i < FEW / 2 + 1; i++)
        sum += await_value(chans[3]);
    CHECK_SAME(sum, 2 + 4 + 6 + 8 + 10 + 100);
    CHECK_SAME(await_end(chans[3]), -EPIPE);
    CHECK_SAME(on_threads, FEW + FEW + FEW / 2 + 1);
    actor_join(&source.actor);
    release_all(chans, 4);
}

/* --- A pool without room: the function never runs, and the element is not lost --- */

static int hold_thread(void *arg)
{
    AWAIT(atomic_load((atomic_bool *)arg));
    return 0;
}

static int hold_pool(void *arg)
{
    return weir_pool_run(hold_thread, arg, WEIR_FOREVER);
}

static struct weir_pool_stats look_at_pool(void)
{
    struct weir_pool_stats stats;

    CHECK_SAME(weir_pool_read_stats(&stats), 0);
    return stats;
}

static int cancel_in_the_queue(void *arg)
{
    const struct weir_stage_options options = { .kind = WEIR_STAGE_BLOCKS };
    struct weir_scope *scope = make_scope(WEIR_SCOPE_COLLECT);
    struct weir_scope *holder = make_scope(WEIR_SCOPE_COLLECT);
    struct ledger ledger = { 0 };
    struct weir_chan *input = make_ledger_chan(1, &ledger);
    struct weir_chan *output = make_chan(1, NULL);
    atomic_ulong on_threads = 0;
    atomic_bool over = false;

    (void)arg;
    CHECK_SAME(weir_spawn(holder, hold_pool, &over, NULL), 0);
    AWAIT(look_at_pool().threads_busy == 1);
    CHECK_SAME(weir_map(scope, input, output, note_thread, &on_threads, &options), 0);
    fill(input, 1);
    AWAIT(look_at_pool().queued == 1);
    weir_scope_cancel(scope);
    CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
    CHECK_SAME(await_end(output), -ECANCELED);
    check_ledger(&ledger, 1);
    CHECK_SAME(on_threads, 0);
    atomic_store(&over, true);
    CHECK_SAME(weir_scope_join(holder, end_of_patience()), 0);
    RELEASE(input, output);
    return 0;
}

static void a_job_cancelled_in_the_queue(void **state)
{
    const struct weir_options options = { .loop_count = 1, .pool_threads_max = 1 };

    (void)state;
    assert_int_equal(test_run(cancel_in_the_queue, NULL, &options), 0);
}

/* --- The group --- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emit_says_that_nobody_wants_more),
        cmocka_unit_test(expand_stops_early),
        cmocka_unit_test(a_flush_fails),
        cmocka_unit_test(workers_work_side_by_side),
        cmocka_unit_test(one_of_several_workers_fails),
        cmocka_unit_test(others_run_between_elements),
        cmocka_unit_test(blocking_functions_run_on_the_pool),
        cmocka_unit_test(a_job_cancelled_in_the_queue),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
