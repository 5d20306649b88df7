/* SPDX-License-Identifier: MIT */
/* Stages with a function: map, filter, expand, partition; errors and early ends. Sections B and I
 * of the conformance cases. */
#include "flow/fixture.h"

enum { FEW = 10, COPIES = 3, WORKERS = 4 };

/* --- Functions --- */

/* As many copies as `context` says; without one, as the value says. Counts its flushes. */
struct copier {
    uint64_t copies;
    atomic_ulong flushes;
};

static int copy(const void *source, struct weir_emit *emit, void *context)
{
    struct copier *copier = context;
    uint64_t value;
    int error = 0;

    if (!source) {
        atomic_fetch_add(&copier->flushes, 1);
        return 0;
    }
    value = *(const uint64_t *)source;
    for (uint64_t i = 0; error >= 0 && i < (copier->copies ? copier->copies : value); i++)
        error = weir_emit(emit, &value);
    return error;
}

/* --- B. What expands into a full buffer --- */

CASE(case_034_expanding_does_not_overfill, EVERYWHERE, 2)
{
    struct weir_chan *input = make_chan(0, NULL);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct copier copier = { .copies = COPIES };
    struct feeder source;

    CHECK_SAME(weir_expand(scene->scope, input, output, copy, &copier, NULL), 0);
    start_source(scene, &source, input, 7, 1);
    await_senders(output, 1);
    CHECK_SAME(look(output).count, 2);
    CHECK_SAME(await_value(output), 7);
    CHECK_SAME(look(output).count, 2); /* the surplus moved in: still full */
    CHECK_SAME(await_value(output), 7);
    CHECK_SAME(look(output).count, 1);
    CHECK_SAME(await_value(output), 7);
    CHECK_SAME(await_end(output), -EPIPE);
    CHECK_SAME(look(output).count_max, 2);
    actor_join(&source.actor);
    RELEASE(input, output);
}

/* --- I. Stages and transforms --- */

static void map_filter_expand(struct scene *scene)
{
    struct weir_chan *chans[4];
    struct copier copier = { 0 };
    struct feeder source;

    for (size_t i = 0; i < 4; i++)
        chans[i] = make_chan(scene->capacity, NULL);
    CHECK_SAME(weir_map(scene->scope, chans[0], chans[1], add_one, NULL, NULL), 0);
    CHECK_SAME(weir_filter(scene->scope, chans[1], chans[2], is_odd, NULL, NULL), 0);
    CHECK_SAME(weir_expand(scene->scope, chans[2], chans[3], copy, &copier, NULL), 0);
    start_source(scene, &source, chans[0], 0, FEW);
    for (uint64_t value = 1; value < FEW; value += 2)
        for (uint64_t i = 0; i < value; i++)
            CHECK_SAME(await_value(chans[3]), value);
    CHECK_SAME(await_end(chans[3]), -EPIPE);
    CHECK_SAME(copier.flushes, 1);
    actor_join(&source.actor);
    release_all(chans, 4);
}

struct batch {
    struct weir_batch head;
    uint64_t elems[5];
};

static void partition_of(struct scene *scene, uint64_t count)
{
    struct weir_chan *input = make_chan(scene->capacity, NULL);
    struct weir_chan *output = NULL;
    struct feeder source;
    struct batch batch;
    uint64_t next = 0;

    CHECK_SAME(
        weir_chan_create(&output, WEIR_BATCH_BYTES(sizeof(uint64_t), 5), scene->capacity, NULL), 0);
    CHECK_SAME(weir_partition(scene->scope, input, output, 5, NULL), 0);
    start_source(scene, &source, input, 0, count);
    while (next < count) {
        CHECK_SAME(weir_chan_recv(output, &batch, end_of_patience()), 0);
        if (!CHECK_SAME(batch.head.count, count - next < 5 ? count - next : 5))
            break;
        for (size_t i = 0; i < batch.head.count; i++)
            CHECK_SAME(batch.elems[i], next++);
    }
    CHECK_SAME(weir_chan_recv(output, &batch, end_of_patience()), -EPIPE);
    actor_join(&source.actor);
    RELEASE(input, output);
}

CASE(case_181_as_in_the_world_of_sequences, EVERYWHERE, ANY_CAPACITY)
{
    map_filter_expand(scene);
    partition_of(scene, FEW);
    partition_of(scene, FEW + 3);
    partition_of(scene, 0);
}

CASE(case_182_rejected_values_leave_takers_parked, EVERYWHERE, ANY_CAPACITY)
{
    struct ledger ledger = { 0 };
    struct weir_chan *input = make_ledger_chan(scene->capacity, &ledger);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct op takers[2];
    uint64_t value = 2;

    CHECK_SAME(weir_filter(scene->scope, input, output, is_odd, NULL, NULL), 0);
    for (size_t i = 0; i < 2; i++)
        begin_recv(scene, &takers[i], output);
    CHECK_SAME(weir_chan_send(input, &value, end_of_patience()), 0);
    AWAIT(atomic_load(&ledger.count) == 1);
    check_ledger(&ledger, 2);
    await_receivers(input, 1);
    CHECK_SAME(look(output).waiting_receivers, 2);
    CHECK_SAME(look(output).sent_total, 0);
    value = 3;
    CHECK_SAME(weir_chan_send(input, &value, end_of_patience()), 0);
    CHECK_SAME(end_op(&takers[0]), 0);
    CHECK_SAME(takers[0].value, 3);
    CHECK_SAME(look(output).waiting_receivers, 1);
    weir_chan_close(input, 0);
    CHECK_SAME(end_op(&takers[1]), -EPIPE);
    RELEASE(input, output);
}

CASE(case_184_surplus_holds_the_input, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *input = make_chan(0, NULL);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct copier copier = { .copies = scene->capacity + COPIES };
    struct feeder source;

    CHECK_SAME(weir_expand(scene->scope, input, output, copy, &copier, NULL), 0);
    start_source(scene, &source, input, 1, 2);
    /* The buffer is full; each take lets one of the surplus in, and nothing more from the input. */
    for (uint64_t left = COPIES; left > 0; left--) {
        await_senders(output, 1);
        await_senders(input, 1);
        CHECK_SAME(atomic_load(&source.sent), 1);
        CHECK_SAME(await_value(output), 1);
    }
    AWAIT(atomic_load(&source.sent) == 2);
    for (uint64_t i = 0; i < scene->capacity; i++)
        CHECK_SAME(await_value(output), 1);
    for (uint64_t i = 0; i < copier.copies; i++)
        CHECK_SAME(await_value(output), 2);
    CHECK_SAME(await_end(output), -EPIPE);
    actor_join(&source.actor);
    RELEASE(input, output);
}

CASE(case_185_completion_runs_once, EVERYWHERE, ANY_CAPACITY)
{
    static const unsigned parallelisms[] = { 0, 1, WORKERS };

    for (size_t i = 0; i < sizeof parallelisms / sizeof parallelisms[0]; i++) {
        const struct weir_stage_options options = { .parallelism = parallelisms[i] };
        struct weir_chan *input = make_chan(scene->capacity, NULL);
        struct weir_chan *output = make_chan(scene->capacity, NULL);
        struct copier copier = { .copies = 1 };
        struct feeder source;
        uint64_t sum = 0;

        CHECK_SAME(weir_expand(scene->scope, input, output, copy, &copier, &options), 0);
        start_source(scene, &source, input, 0, FEW);
        for (size_t k = 0; k < FEW; k++)
            sum += await_value(output);
        CHECK_SAME(sum, FEW * (FEW - 1) / 2);
        for (size_t k = 0; k < 10; k++)
            CHECK_SAME(await_end(output), -EPIPE);
        CHECK_SAME(copier.flushes, 1);
        actor_join(&source.actor);
        RELEASE(input, output);
    }
}

CASE(case_187_early_end_tells_both_sides, EVERYWHERE, 0)
{
    const struct weir_stage_options options = { .flags = WEIR_STAGE_ABORT_INPUT };
    struct weir_chan *input = make_chan(scene->capacity, NULL);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct op puts[3], takers[3];

    for (size_t i = 0; i < 3; i++) {
        begin_send(scene, &puts[i], input, i + 1);
        begin_recv(scene, &takers[i], output);
    }
    CHECK_SAME(weir_take(scene->scope, input, output, 2, &options), 0);
    for (size_t i = 0; i < 2; i++) {
        CHECK_SAME(end_op(&takers[i]), 0);
        CHECK_SAME(takers[i].value, i + 1);
        CHECK_SAME(end_op(&puts[i]), 0);
    }
    CHECK_SAME(end_op(&takers[2]), -EPIPE);
    CHECK_SAME(end_op(&puts[2]), -EPIPE);
    RELEASE(input, output);
}

static int substitute(int error, const void *source, void *target, void *context)
{
    (void)context;
    CHECK_SAME(error, -EDOM);
    *(uint64_t *)target = *(const uint64_t *)source * 100;
    return 0;
}

static int leave_out(int error, const void *source, void *target, void *context)
{
    (void)source;
    (void)target;
    (void)context;
    CHECK_SAME(error, -EDOM);
    return WEIR_SKIP;
}

static void recover_by(struct scene *scene, enum failing kind, weir_stage_error_fn *on_error,
                       const uint64_t *expected, size_t count)
{
    const struct weir_stage_options options = { .on_error = on_error };
    struct ledger ledger = { 0 };
    struct weir_chan *input = make_ledger_chan(scene->capacity, &ledger);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct feeder source;

    CHECK_SAME(start_failing(kind, scene->scope, input, output, &options), 0);
    start_source(scene, &source, input, 1, 4);
    expect_values(output, expected, count);
    CHECK_SAME(await_end(output), -EPIPE);
    check_ledger(&ledger, UINT64_MAX); /* the handler has seen to it */
    actor_join(&source.actor);
    RELEASE(input, output);
}

CASE(case_188_substitute_appears_in_place, EVERYWHERE, ANY_CAPACITY)
{
    for (enum failing kind = 0; kind < FAILING_COUNT; kind++) {
        recover_by(scene, kind, substitute, (const uint64_t[]){ 1, 2, 300, 4 }, 4);
        recover_by(scene, kind, leave_out, (const uint64_t[]){ 1, 2, 4 }, 3);
    }
}

static int fail_again(int error, const void *source, void *target, void *context)
{
    (void)error;
    (void)source;
    (void)target;
    (void)context;
    return -EILSEQ;
}

CASE(case_190_handler_that_fails_itself, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_stage_options options = { .on_error = fail_again };

    for (enum failing kind = 0; kind < FAILING_COUNT; kind++) {
        struct ledger ledger = { 0 };
        struct weir_scope *scope = make_scope(WEIR_SCOPE_COLLECT);
        struct weir_chan *input = make_ledger_chan(scene->capacity, &ledger);
        struct weir_chan *output = make_chan(scene->capacity, NULL);
        struct feeder source = { 0 };

        CHECK_SAME(start_failing(kind, scope, input, output, &options), 0);
        start_feeder(scene, &source, input, 1, 3);
        EXPECT(output, 1, 2);
        CHECK_SAME(await_end(output), -EILSEQ);
        CHECK_SAME(weir_scope_join(scope, end_of_patience()), -EILSEQ);
        check_ledger(&ledger, 3);
        /* Both channels go on as they should: one is open and empty, one has ended. */
        actor_join(&source.actor);
        CHECK_SAME(source.result, 0);
        CHECK_SAME(try_recv(input, &(uint64_t){ 0 }), -EAGAIN);
        CHECK_SAME(try_send(output, 1), -EPIPE);
        RELEASE(input, output);
    }
}

/* --- Ends --- */

CASE(a_function_fails, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_stage_options options = { .flags = WEIR_STAGE_ABORT_INPUT };

    for (enum failing kind = 0; kind < FAILING_COUNT; kind++) {
        struct ledger ledger = { 0 };
        struct weir_scope *scope = make_scope(WEIR_SCOPE_FAIL_FAST);
        struct weir_chan *input = make_ledger_chan(0, &ledger);
        struct weir_chan *output = make_chan(scene->capacity, NULL);
        struct feeder source = { 0 };

        CHECK_SAME(start_failing(kind, scope, input, output, &options), 0);
        start_feeder(scene, &source, input, 1, 9);
        EXPECT(output, 1, 2);
        CHECK_SAME(await_end(output), -EDOM);
        CHECK_SAME(weir_scope_join(scope, end_of_patience()), -EDOM);
        check_ledger(&ledger, 3);
        actor_join(&source.actor);
        CHECK_SAME(source.result, -EPIPE);
        CHECK_SAME(await_end(input), -EDOM); /* the reason it was aborted with */
        RELEASE(input, output);
    }
}

CASE(the_inputs_reason_travels_on, EVERYWHERE, ANY_CAPACITY)
{
    /* Codes that also mean something to the stage itself. */
    static const int reasons[] = { -EIO, -EPIPE, -ECANCELED, -EAGAIN, -ETIME };

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        struct weir_scope *scope = make_scope(WEIR_SCOPE_COLLECT);
        struct weir_chan *input = make_chan(scene->capacity, NULL);
        struct weir_chan *output = make_chan(scene->capacity, NULL);
        struct feeder source = { .closes = true, .reason = reasons[i] };

        CHECK_SAME(weir_map(scope, input, output, add_one, NULL, NULL), 0);
        start_feeder(scene, &source, input, 0, 3);
        EXPECT(output, 1, 2, 3);
        CHECK_SAME(await_end(output), reasons[i]);
        CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
        actor_join(&source.actor);
        RELEASE(input, output);
    }
}

CASE(keep_open_keeps_the_output_open, EVERYWHERE, 1, 2, 7, 64)
{
    const struct weir_stage_options options = { .flags = WEIR_STAGE_KEEP_OPEN };
    struct weir_scope *scope = make_scope(WEIR_SCOPE_COLLECT);
    struct weir_chan *input = make_chan(scene->capacity, NULL);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct feeder source;

    CHECK_SAME(weir_map(scope, input, output, add_one, NULL, &options), 0);
    start_source(scene, &source, input, 0, 3);
    EXPECT(output, 1, 2, 3);
    CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
    CHECK_SAME(try_send(output, 5), 0);
    take_value(output, 5);
    actor_join(&source.actor);
    RELEASE(input, output);
}

/* Whatever the output is closed with is no error of the stage's. */
CASE(a_closed_output_ends_a_waiting_stage, EVERYWHERE, ANY_CAPACITY)
{
    static const unsigned flags[] = { 0, WEIR_STAGE_ABORT_INPUT };

    for (size_t i = 0; i < 2; i++) {
        const struct weir_stage_options options = { .flags = flags[i] };
        struct weir_scope *scope = make_scope(WEIR_SCOPE_COLLECT);
        struct weir_chan *input = make_chan(scene->capacity, NULL);
        struct weir_chan *output = make_chan(scene->capacity, NULL);

        CHECK_SAME(weir_map(scope, input, output, add_one, NULL, &options), 0);
        await_receivers(input, 1);
        CHECK_SAME(weir_chan_close(output, -EIO), 0);
        CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
        CHECK_SAME(look(input).waiting_receivers, 0);
        CHECK_SAME(look(input).closed, i == 1);
        RELEASE(input, output);
    }
}

/* One that lets nothing through never sends, and never waits for its input. */
CASE(a_closed_output_ends_a_busy_filter, EVERYWHERE, 64)
{
    struct ledger ledger = { 0 };
    struct weir_scope *scope = make_scope(WEIR_SCOPE_COLLECT);
    struct weir_chan *input = make_ledger_chan(scene->capacity, &ledger);
    struct weir_chan *output = make_chan(0, NULL);

    for (size_t i = 0; i < scene->capacity; i++)
        CHECK_SAME(try_send(input, 2), 0);
    CHECK_SAME(weir_filter(scope, input, output, is_odd, NULL, NULL), 0);
    weir_chan_close(output, 0);
    CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
    CHECK_SAME(look(input).count, scene->capacity);
    CHECK_SAME(atomic_load(&ledger.count), 0);
    weir_chan_abort(input, 0);
    RELEASE(input, output);
}

/* --- The group --- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_034_expanding_does_not_overfill),
        cmocka_unit_test(case_181_as_in_the_world_of_sequences),
        cmocka_unit_test(case_182_rejected_values_leave_takers_parked),
        cmocka_unit_test(case_184_surplus_holds_the_input),
        cmocka_unit_test(case_185_completion_runs_once),
        cmocka_unit_test(case_187_early_end_tells_both_sides),
        cmocka_unit_test(case_188_substitute_appears_in_place),
        cmocka_unit_test(case_190_handler_that_fails_itself),
        cmocka_unit_test(a_function_fails),
        cmocka_unit_test(the_inputs_reason_travels_on),
        cmocka_unit_test(keep_open_keeps_the_output_open),
        cmocka_unit_test(a_closed_output_ends_a_waiting_stage),
        cmocka_unit_test(a_closed_output_ends_a_busy_filter),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
