/* SPDX-License-Identifier: MIT */
/* How pipelines begin and end: refusals, errors, cancels in each state. */
#include "base/memory.h"
#include "flow/line.h"

enum { LATE_NS = 100000000 };

/* --- Beginning --- */

static int start_nothing(const void *source, struct weir_chan *results, void *context)
{
    (void)source;
    (void)results;
    (void)context;
    CHECK(false);
    return 0;
}

static const struct {
    int error;
    struct weir_pipeline_options options;
} bad[] = {
    { -EINVAL, { .size = 8 } },
    { -EINVAL, { .flags = 1 << 2 } },
    { -EINVAL, { .parallelism = WEIR_PIPELINE_MAX + 1 } },
    { -EINVAL, { .item_ns = -1 } },
    { -EINVAL, { .reserved = { [3] = 1 } } },
    { -E2BIG, { .name = "a name of thirty-two bytes, so.." } },
};

CASE(test_what_makes_no_sense_is_refused, ALONE, 1)
{
    struct weir_chan *in = make_chan(scene->capacity, NULL);
    struct weir_chan *out = make_chan(scene->capacity, NULL);
    struct weir_scope *scope = make_scope();
    enum weir_pipeline_mode task = WEIR_PIPELINE_TASK;

    CHECK_SAME(weir_pipeline(NULL, in, out, task, echo, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_pipeline(scope, NULL, out, task, echo, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_pipeline(scope, in, NULL, task, echo, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_pipeline(scope, in, out, task, NULL, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_pipeline(scope, in, out, task + 3, echo, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_pipeline_async(scope, in, out, NULL, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_pipeline_async(NULL, in, out, start_nothing, NULL, NULL), -EINVAL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_SAME(weir_pipeline(scope, in, out, task, echo, NULL, &bad[i].options), bad[i].error);
        CHECK_SAME(weir_pipeline_async(scope, in, out, start_nothing, NULL, &bad[i].options),
                   bad[i].error);
    }
    weir_scope_cancel(scope);
    CHECK_SAME(weir_pipeline(scope, in, out, task, echo, NULL, NULL), -ECANCELED);
    CHECK_SAME(weir_scope_count(scope), 0);
    weir_scope_join(scope, WEIR_FOREVER);
    CHECK(!look(in).closed && !look(out).closed);
    weir_chan_release(in);
    weir_chan_release(out);
}

/* One run from full input to the end, of which the count-th allocation fails. */
static int run_starved(struct scene *scene, unsigned mode, int64_t item_ns, long count)
{
    const struct weir_pipeline_options options = { .parallelism = 2, .item_ns = item_ns };
    struct line line = {
        .scene = scene,
        .mode = mode,
        .fn = echo,
        .scope = make_scope(),
        .input = make_chan(4, NULL),
        .output = make_chan(4, NULL),
    };
    int error, joined;

    fill(line.input, 4);
    weir_chan_close(line.input, 0);
    weir__memory_fail_after(count);
    error = line_run(&line, &options);
    joined = weir_scope_join(line.scope, end_of_patience());
    weir__memory_fail_after(-1);
    CHECK_SAME(look(line.output).closed, error == 0);
    line_release(&line);
    return error < 0 ? error : joined;
}

MODE_CASE(test_any_lack_of_memory_is_told, ALONE, 1)
{
    for (int64_t item_ns = 0; item_ns <= LATE_NS; item_ns += LATE_NS) {
        long count = 1;
        int error;

        while ((error = run_starved(scene, mode, item_ns, count)) < 0 && count < 1000) {
            CHECK_SAME(error, -ENOMEM);
            count++;
        }
        CHECK(count > 7); /* for each slot two, and what they share */
        CHECK_SAME(error, 0);
    }
}

static int run_without_room(void *arg)
{
    const struct weir_pipeline_options options = { .parallelism = 100 };
    struct scene scene = { .setting = SAME_LOOP };
    struct line line = { .mode = WEIR_PIPELINE_TASK };

    (void)arg;
    line_start(&line, &scene, WEIR_PIPELINE_TASK, echo, NULL, &options);
    expect_end(line.output, -EAGAIN);
    CHECK_SAME(line_join(&line), -EAGAIN);
    line_release(&line);
    return 0;
}

static void test_too_few_tasks_end_the_pipeline(void **state)
{
    const struct weir_options options = { .loop_count = 1, .tasks_per_loop = 50 };

    (void)state;
    assert_int_equal(test_run(run_without_room, NULL, &options), 0);
}

static int launch(void *arg)
{
    return line_run(arg, NULL);
}

CASE(test_any_thread_may_start_one, EVERYWHERE, 1)
{
    struct line line = { .scene = scene, .fn = echo, .scope = scene->scope };
    struct actor actor;
    struct feeder feeder;

    line.input = make_chan(scene->capacity, NULL);
    line.output = make_chan(scene->capacity, NULL);
    actor_start(scene, &actor, launch, &line);
    feeder_start(scene, &feeder, &line, 1, 3);
    for (uint64_t value = 1; value <= 3; value++)
        expect(line.output, value);
    expect_end(line.output, -EPIPE);
    CHECK_SAME(actor_join(&actor), 0);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    line_release(&line);
}

/* --- Errors --- */

static int fail_after_gate_at_two(const void *source, struct weir_emit *emit, void *context)
{
    uint64_t value = *(const uint64_t *)source;
    int code = gate_pass(context, value);

    if (code == 0)
        code = weir_emit(emit, source); /* also when it fails afterwards */
    return value == 2 && code == 0 ? -ENOTTY : code;
}

/* The third of four fails first; what came before it, and its output, is sent all the same. */
MODE_CASE(test_an_error_ends_it_after_what_came_before, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_pipeline_options options = {
        .parallelism = 4,
        .flags = WEIR_STAGE_ABORT_INPUT,
    };
    struct line line = { .mode = mode };
    struct gates gates;
    struct feeder feeder;

    gates_init(&gates);
    line_start(&line, scene, mode, fail_after_gate_at_two, &gates, &options);
    feeder_start(scene, &feeder, &line, 0, 99);
    AWAIT(atomic_load(&gates.inside) == 4);
    gate_open(&gates, 2);
    AWAIT(atomic_load(&gates.inside) == 3);
    CHECK(!look(line.output).closed);
    gate_open(&gates, 1);
    gate_open(&gates, 0);
    if (mode != WEIR_PIPELINE_TASK)
        gates_open_all(&gates); /* no cancel reaches the others */
    for (uint64_t value = 0; value <= 2; value++)
        expect(line.output, value);
    expect_end(line.output, -ENOTTY);
    CHECK_SAME(line_join(&line), -ENOTTY);
    CHECK(atomic_load(&gates.cancelled) > 0 || mode != WEIR_PIPELINE_TASK);
    expect_end(line.input, -ENOTTY);
    actor_join(&feeder.actor);
    line_release(&line);
    gates_term(&gates);
}

/* Skips, replaces, and gives up at nine. */
static int handle_by_number(int error, const void *source, void *target, void *context)
{
    (void)context;
    CHECK_SAME(*(const uint64_t *)source, -error);
    if (error == -1)
        return WEIR_SKIP;
    *(uint64_t *)target = (uint64_t)-error * 100;
    return error == -9 ? -EXFULL : 0;
}

MODE_CASE(test_a_handler_skips_replaces_or_gives_up, EVERYWHERE, 0, 7)
{
    static const uint64_t expected[] = { 0, 2, 300, 4, 500, 6, 700, 8 };
    const struct weir_pipeline_options options = {
        .parallelism = 3,
        .on_error = handle_by_number,
    };
    struct line line = { .mode = mode };
    struct feeder feeder;

    line_start(&line, scene, mode, fail_by_number, NULL, &options);
    feeder_start(scene, &feeder, &line, 0, 12);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        expect(line.output, expected[i]);
    expect_end(line.output, -EXFULL);
    CHECK_SAME(line_join(&line), -EXFULL);
    weir_chan_abort(line.input, 0);
    actor_join(&feeder.actor);
    line_release(&line);
}

static int refuse_odd(const void *source, struct weir_chan *results, void *context)
{
    uint64_t value = *(const uint64_t *)source;

    (void)context;
    if (value % 2)
        return -(int)value;
    CHECK_SAME(weir_chan_send(results, source, WEIR_NOW), 0);
    weir_chan_close(results, 0);
    return weir_chan_release(results);
}

CASE(test_an_async_function_may_fail_at_once, EVERYWHERE, 0, 7)
{
    static const uint64_t expected[] = { 0, 2, 300, 4, 500, 6 };
    const struct weir_pipeline_options options = {
        .parallelism = 3,
        .on_error = handle_by_number,
    };
    struct line line = { .scene = scene, .scope = make_scope() };
    struct feeder feeder;

    line.input = make_chan(scene->capacity, NULL);
    line.output = make_chan(scene->capacity, NULL);
    CHECK_SAME(weir_pipeline_async(line.scope, line.input, line.output, refuse_odd, NULL, &options),
               0);
    feeder_start(scene, &feeder, &line, 0, 6);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        expect(line.output, expected[i]);
    expect_end(line.output, -EPIPE);
    CHECK_SAME(line_join(&line), 0);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    line_release(&line);
}

static int stop_at_three(const void *source, struct weir_emit *emit, void *context)
{
    int code = weir_emit(emit, source);

    (void)context;
    return code == 0 && *(const uint64_t *)source == 3 ? WEIR_STOP : code;
}

MODE_CASE(test_a_function_may_end_it, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_pipeline_options options = {
        .parallelism = 4,
        .flags = WEIR_STAGE_ABORT_INPUT,
    };
    struct line line = { .mode = mode };
    struct feeder feeder;

    if (mode == ASYNC) /* what was started can only fail */
        return;
    line_start(&line, scene, mode, stop_at_three, NULL, &options);
    feeder_start(scene, &feeder, &line, 1, 99);
    for (uint64_t value = 1; value <= 3; value++)
        expect(line.output, value);
    expect_end(line.output, -EPIPE);
    CHECK_SAME(line_join(&line), 0);
    expect_end(line.input, -EPIPE);
    CHECK_SAME(actor_join(&feeder.actor), -EPIPE);
    line_release(&line);
}

/* The one who sends hears of it before the one who watches. */
CASE(test_a_closed_output_is_no_error_whoever_hears_first, ALONE, ANY_CAPACITY)
{
    struct line line = { .mode = WEIR_PIPELINE_TASK };
    struct gates gates;

    gates_init(&gates);
    line_start(&line, scene, line.mode, echo_at_gate, &gates, NULL);
    await_receivers(line.input, 1);
    CHECK_SAME(try_send(line.input, 0), 0);
    AWAIT(atomic_load(&gates.inside) == 1);
    gate_open(&gates, 0);
    weir_chan_close(line.output, 0);
    CHECK_SAME(line_join(&line), 0);
    expect_end(line.output, -EPIPE);
    line_release(&line);
    gates_term(&gates);
}

/* --- Cancels --- */

/* A cancelled task that returns -ECANCELED is no failure to its scope. */
static void cancel_and_join(struct line *line)
{
    CHECK_SAME(weir_scope_cancel(line->scope), 0);
    CHECK_SAME(line_join(line), 0);
    CHECK(look(line->output).closed);
    CHECK(!look(line->input).closed);
}

MODE_CASE(test_cancel_of_one_that_waits_for_input, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_pipeline_options options = { .parallelism = 3 };
    struct line line = { .mode = mode };

    line_start(&line, scene, mode, echo, NULL, &options);
    await_receivers(line.input, 3);
    cancel_and_join(&line);
    expect_end(line.output, -ECANCELED);
    line_release(&line);
}

MODE_CASE(test_cancel_before_it_has_begun, ON_TASKS, 0)
{
    struct line line = { .mode = mode };

    line_start(&line, scene, mode, echo, NULL, NULL);
    cancel_and_join(&line);
    expect_end(line.output, -ECANCELED);
    line_release(&line);
}

/* The first is in its function, the second waits for its turn with one output, the third, too, and
 * with a second output in its function. */
MODE_CASE(test_cancel_of_those_that_work_or_wait_for_their_turn, EVERYWHERE, ANY_CAPACITY)
{
    for (int64_t item_ns = 0; item_ns <= INT64_MAX / 2; item_ns += INT64_MAX / 2) {
        const struct weir_pipeline_options options = { .parallelism = 3, .item_ns = item_ns };
        struct line line = { .mode = mode };
        struct gates gates;
        struct feeder feeder;

        gates_init(&gates);
        line_start(&line, scene, mode, emit_twice_at_gate, &gates, &options);
        feeder_start(scene, &feeder, &line, 0, 99);
        gate_open(&gates, 1);
        gate_open(&gates, 2);
        AWAIT(atomic_load(&gates.done) == 2 && atomic_load(&gates.inside) == 1);
        if (is_on_threads(&line))
            AWAIT(look_at_threads(mode).threads_busy == 2);
        weir_scope_cancel(line.scope);
        if (is_on_threads(&line)) {
            AWAIT(look_at_threads(mode).threads_busy == 1); /* the wait for a turn has ended */
            gate_open(&gates, 0);
        }
        CHECK_SAME(line_join(&line), 0);
        gate_open(&gates, 0);
        CHECK_SAME(atomic_load(&gates.cancelled), mode == WEIR_PIPELINE_TASK);
        expect_end(line.output, -ECANCELED);
        weir_chan_abort(line.input, 0);
        actor_join(&feeder.actor);
        line_release(&line);
        gates_term(&gates);
    }
}

MODE_CASE(test_cancel_of_one_that_waits_for_its_output, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_pipeline_options options = { .parallelism = 3 };
    struct line line = { .mode = mode };
    struct feeder feeder;

    line_start(&line, scene, mode, echo, NULL, &options);
    feeder_start(scene, &feeder, &line, 1, 200);
    await_senders(line.output, 1);
    cancel_and_join(&line);
    for (uint64_t value = 1; value <= scene->capacity; value++)
        expect(line.output, value);
    expect_end(line.output, -ECANCELED);
    weir_chan_abort(line.input, 0);
    CHECK_SAME(actor_join(&feeder.actor), -EPIPE);
    line_release(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_makes_no_sense_is_refused),
        cmocka_unit_test(test_any_lack_of_memory_is_told),
        cmocka_unit_test(test_too_few_tasks_end_the_pipeline),
        cmocka_unit_test(test_any_thread_may_start_one),
        cmocka_unit_test(test_an_error_ends_it_after_what_came_before),
        cmocka_unit_test(test_a_handler_skips_replaces_or_gives_up),
        cmocka_unit_test(test_an_async_function_may_fail_at_once),
        cmocka_unit_test(test_a_function_may_end_it),
        cmocka_unit_test(test_a_closed_output_is_no_error_whoever_hears_first),
        cmocka_unit_test(test_cancel_of_one_that_waits_for_input),
        cmocka_unit_test(test_cancel_before_it_has_begun),
        cmocka_unit_test(test_cancel_of_those_that_work_or_wait_for_their_turn),
        cmocka_unit_test(test_cancel_of_one_that_waits_for_its_output),
    };

    return cmocka_run_group_tests_name("flow/pipeline_end", tests, set_stage, NULL);
}
