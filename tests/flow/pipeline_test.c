/* SPDX-License-Identifier: MIT */
/* Ordered pipelines in their four modes. Section K of the conformance cases. */
#include "flow/line.h"

#include <ctype.h>

enum {
    TEXT_BYTES = 16,
    CROWD = 16,
    LATE_NS = 250000000, /* far more than the others need */
};

/* --- 172: text through two pools --- */

static int to_upper(const void *source, struct weir_emit *emit, void *context)
{
    char text[TEXT_BYTES];

    (void)context;
    for (size_t i = 0; i < TEXT_BYTES; i++)
        text[i] = (char)toupper(((const unsigned char *)source)[i]);
    return weir_emit(emit, text);
}

static int reverse(const void *source, struct weir_emit *emit, void *context)
{
    char text[TEXT_BYTES] = "";
    size_t length = strlen(source);

    (void)context;
    for (size_t i = 0; i < length; i++)
        text[i] = ((const char *)source)[length - 1 - i];
    return weir_emit(emit, text);
}

static int feed_text(void *arg)
{
    static const char words[][TEXT_BYTES] = { "weir", "river", "dam", "" };
    struct weir_chan *chan = arg;

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        CHECK_SAME(weir_chan_send(chan, words[i], WEIR_FOREVER), 0);
    return weir_chan_close(chan, 0);
}

CASE(case_172_text_through_the_pool, EVERYWHERE, ANY_CAPACITY)
{
    static const char *const expected[] = { "RIEW", "REVIR", "MAD", "" };
    const struct weir_pipeline_options options = { .parallelism = 3 };
    struct weir_chan *chans[3];
    struct weir_scope *scope = make_scope();
    struct actor actor;
    char text[TEXT_BYTES];

    for (size_t i = 0; i < 3; i++)
        CHECK_SAME(weir_chan_create(&chans[i], TEXT_BYTES, scene->capacity, NULL), 0);
    CHECK_SAME(
        weir_pipeline(scope, chans[0], chans[1], WEIR_PIPELINE_POOL, to_upper, NULL, &options), 0);
    CHECK_SAME(
        weir_pipeline(scope, chans[1], chans[2], WEIR_PIPELINE_POOL, reverse, NULL, &options), 0);
    actor_start(scene, &actor, feed_text, chans[0]);
    for (size_t i = 0; i < 4; i++) {
        CHECK_SAME(weir_chan_recv(chans[2], text, end_of_patience()), 0);
        CHECK_SAME(strcmp(text, expected[i]), 0);
    }
    expect_end(chans[2], -EPIPE);
    CHECK_SAME(actor_join(&actor), 0);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    for (size_t i = 0; i < 3; i++)
        weir_chan_release(chans[i]);
}

/* --- 208 to 221 --- */

MODE_CASE(case_208_output_is_closed_or_kept_open, EVERYWHERE, ANY_CAPACITY)
{
    for (int keep = 0; keep < 2; keep++) {
        const struct weir_pipeline_options options = {
            .parallelism = 2,
            .flags = keep ? WEIR_STAGE_KEEP_OPEN : 0,
        };
        struct line line = { .mode = mode };
        struct feeder feeder;
        struct op op;

        line_start(&line, scene, mode, echo, NULL, &options);
        feeder_start(scene, &feeder, &line, 1, 10);
        for (uint64_t value = 1; value <= 10; value++)
            expect(line.output, value);
        CHECK_SAME(actor_join(&feeder.actor), 0);
        if (!keep)
            expect_end(line.output, -EPIPE);
        CHECK_SAME(line_join(&line), 0);
        CHECK_SAME(look(line.output).closed, !keep);
        if (keep) {
            begin_recv(scene, &op, line.output);
            CHECK_SAME(try_send(line.output, 11), 0);
            CHECK_SAME(end_op(&op), 0);
            CHECK_SAME(op.value, 11);
        }
        line_release(&line);
    }
}

static int fail_at_three(const void *source, struct weir_emit *emit, void *context)
{
    uint64_t value = *(const uint64_t *)source;

    (void)context;
    return value == 3 ? -ENOTTY : weir_emit(emit, &value);
}

static int substitute(int error, const void *source, void *target, void *context)
{
    (void)context;
    CHECK_SAME(error, -ENOTTY);
    CHECK_SAME(*(const uint64_t *)source, 3);
    *(uint64_t *)target = 300;
    return 0;
}

MODE_CASE(case_209_handler_stands_in_for_the_failed, EVERYWHERE, ANY_CAPACITY)
{
    for (unsigned n = 1; n <= 4; n++) {
        const struct weir_pipeline_options options = {
            .parallelism = n,
            .on_error = substitute,
        };
        struct line line = { .mode = mode };
        struct feeder feeder;

        line_start(&line, scene, mode, fail_at_three, NULL, &options);
        feeder_start(scene, &feeder, &line, 1, 4);
        expect(line.output, 1);
        expect(line.output, 2);
        expect(line.output, 300);
        expect(line.output, 4);
        expect_end(line.output, -EPIPE);
        CHECK_SAME(actor_join(&feeder.actor), 0);
        CHECK_SAME(line_join(&line), 0);
        line_release(&line);
    }
}

/* As many outputs as the number says: 0, 1, 2 ... */
static int multiply(const void *source, struct weir_emit *emit, void *context)
{
    uint64_t count = *(const uint64_t *)source;
    int code = 0;

    (void)context;
    for (uint64_t value = 0; value < count && code == 0; value++)
        code = weir_emit(emit, &value);
    return code;
}

MODE_CASE(case_211_any_number_of_outputs, EVERYWHERE, ANY_CAPACITY)
{
    for (unsigned n = 1; n <= 5; n++) {
        const struct weir_pipeline_options options = { .parallelism = n };
        struct line line = { .mode = mode };
        struct feeder feeder;

        line_start(&line, scene, mode, multiply, NULL, &options);
        feeder_start(scene, &feeder, &line, 0, 6);
        for (uint64_t count = 0; count <= 6; count++)
            for (uint64_t value = 0; value < count; value++)
                expect(line.output, value);
        expect_end(line.output, -EPIPE);
        CHECK_SAME(actor_join(&feeder.actor), 0);
        CHECK_SAME(line_join(&line), 0);
        line_release(&line);
    }
}

/* Of two at a time the later one is always done first. */
MODE_CASE(case_212_order_is_kept_when_the_later_is_faster, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_pipeline_options options = { .parallelism = 2 };
    struct line line = { .mode = mode };
    struct gates gates;
    struct feeder feeder;

    gates_init(&gates);
    line_start(&line, scene, mode, echo_at_gate, &gates, &options);
    feeder_start(scene, &feeder, &line, 0, 3);
    for (uint64_t slow = 0; slow < 4; slow += 2) {
        gate_open(&gates, slow + 1);
        AWAIT(atomic_load(&gates.done) == (long)slow + 1);
        CHECK_SAME(look(line.output).sent_total, slow);
        gate_open(&gates, slow);
        expect(line.output, slow);
        expect(line.output, slow + 1);
    }
    expect_end(line.output, -EPIPE);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(line_join(&line), 0);
    line_release(&line);
    gates_term(&gates);
}

/* Takes up to *context us, parked or blocked. */
static int linger(const void *source, struct weir_emit *emit, void *context)
{
    static __thread uint64_t random;
    int64_t span_ns = *(const int64_t *)context;
    struct timespec pause = { 0 };

    if (!random)
        random = (uint64_t)(uintptr_t)&random;
    pause.tv_nsec = (long)(roll(&random) % (uint64_t)span_ns);
    if (weir_task_self())
        (void)!weir_sleep(weir_in_ns(pause.tv_nsec));
    else
        nanosleep(&pause, NULL);
    return weir_emit(emit, source);
}

static void order_random(struct scene *scene, unsigned mode, uint64_t count, int64_t span_ns)
{
    const struct weir_pipeline_options options = { .parallelism = CROWD };
    struct line line = { .mode = mode };
    struct feeder feeder;

    line_start(&line, scene, mode, linger, &span_ns, &options);
    feeder_start(scene, &feeder, &line, 1, count);
    for (uint64_t value = 1; value <= count; value++)
        expect(line.output, value);
    expect_end(line.output, -EPIPE);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(line_join(&line), 0);
    line_release(&line);
}

MODE_CASE(case_214_order_is_kept_at_random_delays, EVERYWHERE, 0, 7)
{
    uint64_t count = (uint64_t)test_rounds(500, 100000, 100000);

    order_random(scene, mode, count, 50000);
    order_random(scene, mode, count / 50, 5000000);
}

MODE_CASE(case_215_never_more_at_once_than_asked_for, EVERYWHERE, ANY_CAPACITY)
{
    for (unsigned n = 1; n <= 5; n += 2) {
        const struct weir_pipeline_options options = { .parallelism = n };
        struct line line = { .mode = mode, .output = make_chan(0, NULL) };
        struct gates gates;
        struct feeder feeder;

        gates_init(&gates);
        line_start(&line, scene, mode, echo_at_gate, &gates, &options);
        feeder_start(scene, &feeder, &line, 0, GATE_COUNT - 1);
        AWAIT(atomic_load(&gates.inside) == n);
        CHECK_SAME(look(line.input).received_total, n);
        gates_open_all(&gates);
        AWAIT(atomic_load(&gates.inside) == 0);
        await_senders(line.output, 1);
        CHECK_SAME(look(line.input).received_total, n); /* done, but still inside */
        for (uint64_t value = 0; value < GATE_COUNT; value++) {
            expect(line.output, value);
            CHECK(look(line.input).received_total <= value + 1 + n);
        }
        expect_end(line.output, -EPIPE);
        CHECK_SAME(atomic_load(&gates.inside_max), n);
        CHECK_SAME(actor_join(&feeder.actor), 0);
        CHECK_SAME(line_join(&line), 0);
        line_release(&line);
        gates_term(&gates);
    }
}

/* Parked for an element. */
MODE_CASE(case_217_closed_output_stops_intake, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_pipeline_options options = { .parallelism = 3 };
    struct line line = { .mode = mode };

    line_start(&line, scene, mode, echo, NULL, &options);
    await_receivers(line.input, 3);
    weir_chan_close(line.output, 0);
    CHECK_SAME(line_join(&line), 0);
    CHECK(!look(line.input).closed);
    CHECK_SAME(look(line.input).received_total, 0);
    line_release(&line);
}

/* Parked in the function, and behind it. Threads hear no cancel: their gates are opened. */
MODE_CASE(case_217_closed_output_cancels_workers, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_pipeline_options options = { .parallelism = 3 };
    struct line line = { .mode = mode };
    struct gates gates;
    struct feeder feeder;

    gates_init(&gates);
    line_start(&line, scene, mode, echo_at_gate, &gates, &options);
    feeder_start(scene, &feeder, &line, 0, 99);
    gate_open(&gates, 1);
    AWAIT(atomic_load(&gates.entered) == 3 && atomic_load(&gates.done) == 1);
    weir_chan_close(line.output, 0);
    if (mode != WEIR_PIPELINE_TASK)
        gates_open_all(&gates);
    CHECK_SAME(line_join(&line), 0);
    CHECK_SAME(atomic_load(&gates.cancelled), mode == WEIR_PIPELINE_TASK ? 2 : 0);
    CHECK_SAME(look(line.input).received_total + look(line.input).dropped_total, 3);
    CHECK_SAME(look(line.output).sent_total, 0);
    CHECK(!look(line.input).closed);
    weir_chan_abort(line.input, 0);
    actor_join(&feeder.actor);
    line_release(&line);
    gates_term(&gates);
}

/* Parked in the send of an output, the second of the first element, and threads before the turn. */
MODE_CASE(case_217_closed_output_lets_no_sender_wait, EVERYWHERE, 0, 1)
{
    const struct weir_pipeline_options options = {
        .parallelism = 3,
        .flags = WEIR_STAGE_ABORT_INPUT,
    };
    struct line line = { .mode = mode };
    struct feeder feeder;

    line_start(&line, scene, mode, multiply, NULL, &options);
    feeder_start(scene, &feeder, &line, 2, 20);
    await_senders(line.output, 1);
    weir_chan_close(line.output, 0); /* gently: a parked send stays, but for the cancel */
    CHECK_SAME(line_join(&line), 0);
    CHECK(look(line.input).closed);
    CHECK_SAME(actor_join(&feeder.actor), -EPIPE);
    line_release(&line);
}

static int stand_in_for_late(int error, const void *source, void *target, void *context)
{
    (void)context;
    CHECK_SAME(error, -ETIME);
    *(uint64_t *)target = 100 + *(const uint64_t *)source;
    return 0;
}

/* The second never finishes in its own time. */
CASE(case_218_late_element_resolves_its_slot, EVERYWHERE, 1)
{
    static const unsigned modes[] = { WEIR_PIPELINE_TASK, ASYNC };

    for (size_t i = 0; i < 2; i++) {
        const struct weir_pipeline_options options = {
            .parallelism = 3,
            .item_ns = LATE_NS,
            .on_error = stand_in_for_late,
        };
        struct line line = { .mode = modes[i] };
        struct gates gates;
        struct feeder feeder;

        gates_init(&gates);
        for (size_t gate = 0; gate < GATE_COUNT; gate++)
            if (gate != 1)
                gate_open(&gates, gate);
        line_start(&line, scene, modes[i], echo_at_gate, &gates, &options);
        feeder_start(scene, &feeder, &line, 0, 3);
        expect(line.output, 0);
        expect(line.output, 101);
        expect(line.output, 2);
        expect(line.output, 3);
        expect_end(line.output, -EPIPE);
        CHECK_SAME(atomic_load(&gates.cancelled), modes[i] == WEIR_PIPELINE_TASK);
        gate_open(&gates, 1); /* what was left to itself ends, and changes nothing */
        CHECK_SAME(actor_join(&feeder.actor), 0);
        CHECK_SAME(line_join(&line), 0);
        line_release(&line);
        gates_term(&gates);
    }
}

/* --- 220: results misused --- */

struct misuse {
    struct weir_chan *late[4];
    size_t count;
};

/* Twice closed, sent to after the close, and kept for later. */
static int finish_twice(const void *source, struct weir_chan *results, void *context)
{
    struct misuse *misuse = context;

    CHECK_SAME(weir_chan_send(results, source, WEIR_NOW), 0);
    CHECK_SAME(weir_chan_close(results, 0), 0);
    CHECK_SAME(weir_chan_close(results, -EIO), WEIR_ALREADY);
    CHECK_SAME(weir_chan_send(results, source, WEIR_FOREVER), -EPIPE);
    misuse->late[misuse->count++] = results;
    return 0;
}

/* After the element was resolved, from the other side. */
static int finish_late(void *arg)
{
    struct misuse *misuse = arg;
    uint64_t value = 7;

    for (size_t i = 0; i < misuse->count; i++) {
        CHECK_SAME(weir_chan_send(misuse->late[i], &value, WEIR_FOREVER), -EPIPE);
        CHECK_SAME(weir_chan_close(misuse->late[i], 0), WEIR_ALREADY);
        CHECK_SAME(weir_chan_release(misuse->late[i]), 0);
    }
    return 0;
}

CASE(case_220_finishing_twice_or_late_is_harmless, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_pipeline_options options = { .parallelism = 2 };
    struct weir_scope *scope = make_scope();
    struct line line = {
        .input = make_chan(scene->capacity, NULL),
        .output = make_chan(scene->capacity, NULL),
    };
    struct misuse misuse = { .count = 0 };
    struct feeder feeder;
    struct actor actor;

    CHECK_SAME(weir_pipeline_async(scope, line.input, line.output, finish_twice, &misuse, &options),
               0);
    feeder_start(scene, &feeder, &line, 1, 4);
    for (uint64_t value = 1; value <= 4; value++)
        expect(line.output, value);
    actor_start(scene, &actor, finish_late, &misuse);
    actor_join(&actor);
    expect_end(line.output, -EPIPE);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    line_release(&line);
}

MODE_CASE(case_221_closed_input_delivers_all_in_flight, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_pipeline_options options = { .parallelism = 4 };
    struct line line = { .mode = mode };
    struct gates gates;
    struct feeder feeder;

    gates_init(&gates);
    line_start(&line, scene, mode, echo_at_gate, &gates, &options);
    feeder_start_with_reason(scene, &feeder, &line, 0, 2, -ESTALE);
    AWAIT(look(line.input).closed && atomic_load(&gates.inside) == 3);
    CHECK(!look(line.output).closed);
    for (uint64_t value = 3; value > 0; value--)
        gate_open(&gates, value - 1);
    for (uint64_t value = 0; value < 3; value++)
        expect(line.output, value);
    expect_end(line.output, -ESTALE);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(line_join(&line), 0);
    line_release(&line);
    gates_term(&gates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_172_text_through_the_pool),
        cmocka_unit_test(case_208_output_is_closed_or_kept_open),
        cmocka_unit_test(case_209_handler_stands_in_for_the_failed),
        cmocka_unit_test(case_211_any_number_of_outputs),
        cmocka_unit_test(case_212_order_is_kept_when_the_later_is_faster),
        cmocka_unit_test(case_214_order_is_kept_at_random_delays),
        cmocka_unit_test(case_215_never_more_at_once_than_asked_for),
        cmocka_unit_test(case_217_closed_output_stops_intake),
        cmocka_unit_test(case_217_closed_output_cancels_workers),
        cmocka_unit_test(case_217_closed_output_lets_no_sender_wait),
        cmocka_unit_test(case_218_late_element_resolves_its_slot),
        cmocka_unit_test(case_220_finishing_twice_or_late_is_harmless),
        cmocka_unit_test(case_221_closed_input_delivers_all_in_flight),
    };

    return cmocka_run_group_tests_name("flow/pipeline", tests, set_stage, NULL);
}
