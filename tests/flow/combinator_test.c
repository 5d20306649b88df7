/* SPDX-License-Identifier: MIT */
/* Stages that only hand on, or have several inputs or outputs: pipe, split, zip, merge, take.
 * Section J of the conformance cases. */
#include "flow/fixture.h"

enum { FEW = 5, MANY = 10000, SOURCES = 4 };

static int is_even(const void *elem, void *context)
{
    (void)context;
    return *(const uint64_t *)elem % 2 == 0;
}

/* --- Pipe --- */

CASE(case_191_pipe_hands_on_and_closes, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *input = make_chan(scene->capacity, NULL);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct feeder source;

    CHECK_SAME(weir_pipe(scene->scope, input, output, NULL), 0);
    start_source(scene, &source, input, 1, 5);
    EXPECT(output, 1, 2, 3, 4, 5);
    CHECK_SAME(await_end(output), -EPIPE);
    CHECK(look(output).closed);
    actor_join(&source.actor);
    RELEASE(input, output);
}

CASE(case_193_pipe_stops_when_its_output_closes, EVERYWHERE, 0)
{
    struct ledger ledger = { 0 };
    struct weir_chan *input = make_ledger_chan(scene->capacity, &ledger);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct weir_stage *stage = NULL;
    const struct weir_stage_options options = { .stage = &stage };
    struct feeder source = { 0 };

    CHECK_SAME(weir_pipe(scene->scope, input, output, &options), 0);
    start_feeder(scene, &source, input, 1, 3);
    CHECK_SAME(await_value(output), 1);
    await_senders(output, 1);
    await_senders(input, 1);
    weir_chan_abort(output, 0);
    end_stage(stage);
    check_ledger(&ledger, 2);
    CHECK_SAME(await_value(input), 3); /* the next one stayed where it was */
    actor_join(&source.actor);
    CHECK_SAME(source.result, 0);
    RELEASE(input, output);
}

/* A parked send outlives a gentle close: it is delivered, and then the stage stops. */
CASE(pipe_delivers_what_was_parked_at_the_close, EVERYWHERE, 0)
{
    struct ledger ledger = { 0 };
    struct weir_chan *input = make_ledger_chan(scene->capacity, &ledger);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct weir_stage *stage = NULL;
    const struct weir_stage_options options = { .stage = &stage };
    struct feeder source = { 0 };

    CHECK_SAME(weir_pipe(scene->scope, input, output, &options), 0);
    start_feeder(scene, &source, input, 1, 2);
    await_senders(output, 1);
    await_senders(input, 1);
    weir_chan_close(output, 0);
    CHECK_SAME(await_value(output), 1);
    CHECK_SAME(await_end(output), -EPIPE);
    end_stage(stage);
    check_ledger(&ledger, UINT64_MAX);
    CHECK_SAME(await_value(input), 2);
    actor_join(&source.actor);
    RELEASE(input, output);
}

/* --- Split --- */

CASE(case_194_split_even_and_odd, EVERYWHERE, 7, 64)
{
    struct weir_chan *input = make_chan(scene->capacity, NULL);
    struct weir_chan *even = make_chan(scene->capacity, NULL);
    struct weir_chan *odd = make_chan(scene->capacity, NULL);
    struct feeder source;

    CHECK_SAME(weir_split(scene->scope, input, even, odd, is_even, NULL, NULL), 0);
    start_source(scene, &source, input, 1, 9);
    EXPECT(even, 2, 4, 6, 8);
    CHECK_SAME(await_end(even), -EPIPE);
    EXPECT(odd, 1, 3, 5, 7, 9);
    CHECK_SAME(await_end(odd), -EPIPE);
    actor_join(&source.actor);
    RELEASE(input, even, odd);
}

/* Parked on one output, it hears the end of the other; and waiting for its input, of either. */
CASE(split_ends_with_either_output, EVERYWHERE, 0)
{
    for (int ended = 0; ended < 2; ended++)
        for (uint64_t value = 0; value < 3; value++) {
            struct ledger ledger = { 0 };
            struct weir_chan *input = make_ledger_chan(scene->capacity, &ledger);
            struct weir_chan *outputs[] = { make_chan(0, NULL), make_chan(0, NULL) };
            struct weir_stage *stage = NULL;
            const struct weir_stage_options options = { .stage = &stage };
            struct feeder source = { 0 };

            CHECK_SAME(
                weir_split(scene->scope, input, outputs[0], outputs[1], is_even, NULL, &options),
                0);
            start_feeder(scene, &source, input, value, value < 2);
            if (value < 2)
                await_senders(outputs[value % 2], 1);
            else
                await_receivers(input, 1);
            weir_chan_abort(outputs[ended], 0);
            end_stage(stage);
            check_ledger(&ledger, value < 2 ? value : UINT64_MAX);
            CHECK(look(outputs[0]).closed && look(outputs[1]).closed);
            CHECK(!look(input).closed);
            actor_join(&source.actor);
            RELEASE(input, outputs[0], outputs[1]);
        }
}

/* --- Zip --- */

struct row {
    uint64_t values[SOURCES];
};

static struct weir_chan *make_row_chan(size_t capacity)
{
    struct weir_chan *chan = NULL;

    CHECK_SAME(weir_chan_create(&chan, sizeof(struct row), capacity, NULL), 0);
    return chan;
}

CASE(case_196_zip_of_four, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *output = make_row_chan(scene->capacity);
    struct weir_chan *inputs[SOURCES];
    struct feeder sources[SOURCES];
    struct row row;

    for (size_t i = 0; i < SOURCES; i++)
        inputs[i] = make_chan(scene->capacity, NULL);
    CHECK_SAME(weir_zip(scene->scope, inputs, SOURCES, output, NULL), 0);
    for (size_t i = 0; i < SOURCES; i++)
        start_source(scene, &sources[i], inputs[i], 10 * i, 4);
    for (uint64_t k = 0; k < 4; k++) {
        CHECK_SAME(weir_chan_recv(output, &row, end_of_patience()), 0);
        for (size_t i = 0; i < SOURCES; i++)
            CHECK_SAME(row.values[i], 10 * i + k);
    }
    CHECK_SAME(weir_chan_recv(output, &row, end_of_patience()), -EPIPE);
    for (size_t i = 0; i < SOURCES; i++)
        actor_join(&sources[i].actor);
    release_all(inputs, SOURCES);
    RELEASE(output);

    output = make_chan(scene->capacity, NULL);
    CHECK_SAME(weir_zip(scene->scope, NULL, 0, output, NULL), 0);
    CHECK_SAME(await_end(output), -EPIPE);
    RELEASE(output);
}

CASE(case_197_zip_drops_what_is_left_over, EVERYWHERE, 0, 1, 7)
{
    struct ledger ledgers[SOURCES] = { 0 };
    struct weir_chan *output = make_row_chan(scene->capacity);
    struct weir_chan *inputs[SOURCES];
    struct feeder sources[SOURCES];
    struct row row;

    for (size_t i = 0; i < SOURCES; i++)
        inputs[i] = make_ledger_chan(scene->capacity, &ledgers[i]);
    CHECK_SAME(weir_zip(scene->scope, inputs, SOURCES, output, NULL), 0);
    for (size_t i = 0; i < SOURCES; i++) {
        sources[i] = (struct feeder){ 0 };
        start_feeder(scene, &sources[i], inputs[i], 10 * i, i == 2 ? 1 : 2);
    }
    CHECK_SAME(weir_chan_recv(output, &row, end_of_patience()), 0);
    for (size_t i = 0; i < SOURCES; i++) /* each has taken one more, but for the third */
        actor_join(&sources[i].actor);
    for (size_t i = 0; i < SOURCES; i++)
        AWAIT(look(inputs[i]).received_total == (i == 2 ? 1 : 2));
    weir_chan_close(inputs[2], -EIO);
    CHECK_SAME(weir_chan_recv(output, &row, end_of_patience()), -EIO);
    for (size_t i = 0; i < SOURCES; i++)
        check_ledger(&ledgers[i], i == 2 ? UINT64_MAX : 10 * i + 1);
    release_all(inputs, SOURCES);
    RELEASE(output);
}

CASE(zip_tells_those_that_go_on, EVERYWHERE, 0, 1, 7)
{
    const struct weir_stage_options options = { .flags = WEIR_STAGE_ABORT_INPUT };
    struct weir_chan *inputs[] = { make_chan(scene->capacity, NULL),
                                   make_chan(scene->capacity, NULL) };
    struct weir_chan *output = NULL;
    struct feeder source = { 0 };
    uint64_t row[2];

    CHECK_SAME(weir_chan_create(&output, sizeof row, scene->capacity, NULL), 0);
    CHECK_SAME(weir_zip(scene->scope, inputs, 2, output, &options), 0);
    start_feeder(scene, &source, inputs[0], 1, scene->capacity + 2);
    await_senders(inputs[0], 1);
    weir_chan_close(inputs[1], -EIO);
    CHECK_SAME(weir_chan_recv(output, row, end_of_patience()), -EIO);
    actor_join(&source.actor);
    CHECK_SAME(source.result, -EPIPE);
    CHECK_SAME(await_end(inputs[0]), -EIO);
    CHECK_SAME(await_end(inputs[1]), -EIO); /* its own, still */
    RELEASE(inputs[0], inputs[1], output);
}

/* --- Merge --- */

CASE(case_199_merge_stops_when_its_output_closes, EVERYWHERE, ANY_CAPACITY)
{
    struct ledger ledger = { 0 };
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct weir_stage *stage = NULL;
    const struct weir_stage_options options = { .stage = &stage };
    struct weir_chan *inputs[SOURCES];
    uint64_t sent = scene->capacity + 1;

    for (size_t i = 0; i < SOURCES; i++)
        inputs[i] = make_ledger_chan(64, &ledger);
    CHECK_SAME(weir_merge(scene->scope, inputs, SOURCES, output, &options), 0);
    for (uint64_t i = 0; i < sent; i++)
        CHECK_SAME(weir_chan_send(inputs[i % SOURCES], &i, end_of_patience()), 0);
    await_senders(output, 1); /* it holds one, and the buffer is full */
    weir_chan_abort(output, 0);
    end_stage(stage);
    CHECK_SAME(ledger.count, 1);
    for (size_t i = 0; i < SOURCES; i++) {
        CHECK_SAME(look(inputs[i]).waiting_receivers, 0);
        CHECK_SAME(try_send(inputs[i], 7), 0);
        CHECK_SAME(look(inputs[i]).count, 1);
        weir_chan_abort(inputs[i], 0);
    }
    release_all(inputs, SOURCES);
    RELEASE(output);
}

CASE(merge_waits_on_none_after_its_output_closed, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct weir_stage *stage = NULL;
    const struct weir_stage_options options = { .stage = &stage };
    struct weir_chan *inputs[SOURCES];

    for (size_t i = 0; i < SOURCES; i++)
        inputs[i] = make_chan(scene->capacity, NULL);
    CHECK_SAME(weir_merge(scene->scope, inputs, SOURCES, output, &options), 0);
    await_receivers(inputs[SOURCES - 1], 1);
    weir_chan_close(output, 0);
    end_stage(stage);
    for (size_t i = 0; i < SOURCES; i++)
        CHECK_SAME(look(inputs[i]).waiting_receivers, 0);
    release_all(inputs, SOURCES);
    RELEASE(output);
}

CASE(case_205_multiplex_delivers_the_union, EVERYWHERE, ANY_CAPACITY)
{
    uint64_t counts[] = { (uint64_t)test_rounds(MANY, MANY, MANY), 10 };
    struct weir_chan *inputs[] = { make_chan(scene->capacity, NULL),
                                   make_chan(scene->capacity, NULL) };
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    uint64_t next[] = { 0, 2 * MANY };
    struct feeder sources[2] = { 0 };

    CHECK_SAME(weir_merge(scene->scope, inputs, 2, output, NULL), 0);
    for (size_t i = 0; i < 2; i++)
        start_feeder(scene, &sources[i], inputs[i], next[i], counts[i]);
    for (uint64_t k = 0; k < counts[0] + counts[1]; k++) {
        uint64_t value = await_value(output);

        CHECK_SAME(value, next[value >= 2 * MANY]++); /* each input's in order */
    }
    weir_chan_close(inputs[0], -EIO);
    AWAIT(look(inputs[0]).waiting_receivers == 0);
    weir__sched_settle();
    CHECK(!look(output).closed); /* not before all have ended */
    weir_chan_close(inputs[1], 0);
    CHECK_SAME(await_end(output), -EIO);
    for (size_t i = 0; i < 2; i++)
        actor_join(&sources[i].actor);
    RELEASE(inputs[0], inputs[1], output);
}

CASE(merge_of_nothing_and_of_the_most, ALONE, 0)
{
    struct weir_chan *inputs[WEIR_SELECT_MAX];
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    uint64_t value = 6;

    CHECK_SAME(weir_merge(scene->scope, NULL, 0, output, NULL), 0);
    CHECK_SAME(await_end(output), -EPIPE);
    RELEASE(output);

    output = make_chan(scene->capacity, NULL);
    for (size_t i = 0; i < WEIR_SELECT_MAX; i++)
        inputs[i] = make_chan(0, NULL);
    CHECK_SAME(weir_merge(scene->scope, inputs, WEIR_SELECT_MAX, output, NULL), -EINVAL);
    CHECK_SAME(weir_merge(scene->scope, inputs, WEIR_SELECT_MAX - 1, output, NULL), 0);
    CHECK_SAME(weir_chan_send(inputs[WEIR_SELECT_MAX - 2], &value, end_of_patience()), 0);
    CHECK_SAME(await_value(output), 6);
    for (size_t i = 0; i < WEIR_SELECT_MAX; i++)
        weir_chan_close(inputs[i], 0);
    CHECK_SAME(await_end(output), -EPIPE);
    release_all(inputs, WEIR_SELECT_MAX);
    RELEASE(output);
}

/* --- Take --- */

CASE(case_200_take_takes_no_more, EVERYWHERE, ANY_CAPACITY)
{
    for (uint64_t count = 0; count < 4; count++) {
        struct weir_chan *input = make_chan(scene->capacity, NULL);
        struct weir_chan *output = make_chan(scene->capacity, NULL);
        struct weir_stage *stage = NULL;
        const struct weir_stage_options options = { .stage = &stage };
        struct feeder source;

        start_source(scene, &source, input, 1, FEW);
        CHECK_SAME(weir_take(scene->scope, input, output, count, &options), 0);
        expect_run(output, 1, count);
        CHECK_SAME(await_end(output), -EPIPE);
        end_stage(stage);
        expect_run(input, count + 1, FEW - count);
        CHECK_SAME(await_end(input), -EPIPE);
        actor_join(&source.actor);
        RELEASE(input, output);
    }
}

CASE(take_from_too_few, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *input = make_chan(scene->capacity, NULL);
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct feeder source = { .closes = true, .reason = -EIO };

    CHECK_SAME(weir_take(scene->scope, input, output, UINT64_MAX, NULL), 0);
    start_feeder(scene, &source, input, 1, 2);
    EXPECT(output, 1, 2);
    CHECK_SAME(await_end(output), -EIO);
    actor_join(&source.actor);
    RELEASE(input, output);
}

/* --- The group --- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_191_pipe_hands_on_and_closes),
        cmocka_unit_test(case_193_pipe_stops_when_its_output_closes),
        cmocka_unit_test(pipe_delivers_what_was_parked_at_the_close),
        cmocka_unit_test(case_194_split_even_and_odd),
        cmocka_unit_test(split_ends_with_either_output),
        cmocka_unit_test(case_196_zip_of_four),
        cmocka_unit_test(case_197_zip_drops_what_is_left_over),
        cmocka_unit_test(zip_tells_those_that_go_on),
        cmocka_unit_test(case_199_merge_stops_when_its_output_closes),
        cmocka_unit_test(merge_waits_on_none_after_its_output_closed),
        cmocka_unit_test(case_200_take_takes_no_more),
        cmocka_unit_test(take_from_too_few),
        cmocka_unit_test(case_205_multiplex_delivers_the_union),
        cmocka_unit_test(merge_of_nothing_and_of_the_most),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
