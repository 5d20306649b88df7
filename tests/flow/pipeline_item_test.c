/* SPDX-License-Identifier: MIT */
/* Elements in pipelines: whom they hold up, how long they may take, who owns them, the figures. */
#include "flow/line.h"

enum { LATE_NS = 100000000 };

/* --- Turns --- */

/* Those that are done, but not yet in turn, hold no thread unless they have more to send. */
MODE_CASE(test_one_output_in_hand_holds_no_thread, EVERYWHERE, 1)
{
    const struct weir_pipeline_options options = { .parallelism = 4 };
    struct line line = { .mode = mode };
    struct gates gates;
    struct feeder feeder;

    if (mode == ASYNC || mode == WEIR_PIPELINE_TASK)
        return;
    gates_init(&gates);
    line_start(&line, scene, mode, emit_twice_at_gate, &gates, &options);
    feeder_start(scene, &feeder, &line, 0, 3);
    gate_open(&gates, 1);
    gate_open(&gates, 3);
    AWAIT(atomic_load(&gates.done) == 2 && look_at_threads(mode).threads_busy == 2);
    gate_open(&gates, 2);
    AWAIT(atomic_load(&gates.done) == 3);
    CHECK_SAME(look_at_threads(mode).threads_busy, 2); /* the third, too, for its second output */
    CHECK_SAME(look(line.output).sent_total, 0);
    gate_open(&gates, 0);
    expect(line.output, 0);
    expect(line.output, 1);
    expect(line.output, 2);
    expect(line.output, 2);
    expect(line.output, 3);
    expect_end(line.output, -EPIPE);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(line_join(&line), 0);
    line_release(&line);
    gates_term(&gates);
}

/* --- Time --- */

static int stand_in(int error, const void *source, void *target, void *context)
{
    (void)context;
    CHECK_SAME(error, -ETIME);
    *(uint64_t *)target = 100 + *(const uint64_t *)source;
    return 0;
}

/* The last output comes when nobody waits for others any more. */
static int emit_and_linger(const void *source, struct weir_emit *emit, void *context)
{
    int code = 0;

    (void)context;
    for (int i = 0; i < 4 && code == 0; i++) {
        if (i == 3)
            code = weir_sleep(weir_in_ms(1));
        if (code == 0)
            code = weir_emit(emit, source);
    }
    return code;
}

/* Nobody receives for longer than an element may take. */
MODE_CASE(test_time_spent_waiting_for_others_is_not_the_elements, EVERYWHERE, 0)
{
    const struct weir_pipeline_options options = {
        .parallelism = 3,
        .item_ns = LATE_NS,
        .on_error = stand_in,
    };
    struct line line = { .mode = mode };
    struct feeder feeder;

    line_start(&line, scene, mode, emit_and_linger, NULL, &options);
    feeder_start(scene, &feeder, &line, 0, 3);
    await_senders(line.output, 1);
    AWAIT(look(line.input).received_total == 3);
    CHECK_SAME(weir_sleep(weir_in_ns(2 * LATE_NS)), 0);
    for (uint64_t i = 0; i < 16; i++)
        expect(line.output, i / 4);
    expect_end(line.output, -EPIPE);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(line_join(&line), 0);
    line_release(&line);
}

/* Hears the cancel, and finishes all the same. */
static int finish_shielded(const void *source, struct weir_emit *emit, void *context)
{
    int code;

    CHECK_SAME(gate_pass(context, 0), -ECANCELED);
    weir_shield_enter();
    code = weir_emit(emit, source);
    if (code == 0)
        code = weir_emit(emit, source);
    weir_shield_leave();
    return code;
}

CASE(test_a_late_success_counts, ALONE, ANY_CAPACITY)
{
    const struct weir_pipeline_options options = { .item_ns = 1000, .on_error = stand_in };
    struct line line = { .mode = WEIR_PIPELINE_TASK };
    struct gates gates;
    struct feeder feeder;

    gates_init(&gates);
    line_start(&line, scene, WEIR_PIPELINE_TASK, finish_shielded, &gates, &options);
    feeder_start(scene, &feeder, &line, 1, 2);
    for (uint64_t value = 1; value <= 2; value++) {
        expect(line.output, value);
        expect(line.output, value);
    }
    expect_end(line.output, -EPIPE);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(line_join(&line), 0);
    line_release(&line);
    gates_term(&gates);
}

/* With one thread: the first has it for longer than either may take. */
static int wait_for_thread(void *arg)
{
    const struct weir_pipeline_options options = {
        .parallelism = 2,
        .item_ns = LATE_NS,
        .on_error = stand_in,
    };
    struct scene scene = { .setting = SAME_LOOP, .capacity = 2 };
    struct line line = { .mode = *(unsigned *)arg };
    struct gates gates;
    struct feeder feeder;

    CHECK_SAME(weir_scope_create(&scene.scope, WEIR_SCOPE_SUPERVISE, NULL), 0);
    gates_init(&gates);
    line_start(&line, &scene, line.mode, echo_at_gate, &gates, &options);
    feeder_start(&scene, &feeder, &line, 0, 1);
    AWAIT(look_at_threads(line.mode).jobs_expired == 1);
    gate_open(&gates, 0);
    expect(line.output, 0);
    expect(line.output, 101);
    expect_end(line.output, -EPIPE);
    CHECK_SAME(atomic_load(&gates.entered), 1);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(line_join(&line), 0);
    line_release(&line);
    gates_term(&gates);
    return weir_scope_join(scene.scope, WEIR_FOREVER);
}

static void test_an_element_may_wait_only_so_long_for_a_thread(void **state)
{
    const struct weir_options options = {
        .loop_count = 1,
        .pool_threads_max = 1,
        .cpu_threads = 1,
    };

    (void)state;
    for (unsigned mode = WEIR_PIPELINE_POOL; mode <= WEIR_PIPELINE_CPU; mode++)
        assert_int_equal(test_run(wait_for_thread, &mode, &options), 0);
}

/* --- Owners --- */

/* All elements that somebody owns. */
static atomic_long live_count;

static void drop_one(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)elem;
    (void)context;
    (void)reason;
    atomic_fetch_sub(&live_count, 1);
}

struct trader {
    unsigned mode;
    bool fails; /* every 64th time */
};

/* Emits none, one or two; owns the source when it succeeds, what was started in any case. */
static int trade(const void *source, struct weir_emit *emit, void *context)
{
    const struct trader *trader = context;
    uint64_t value = *(const uint64_t *)source;
    int code = 0;

    if (value % 7 == 0)
        (void)!weir_yield();
    for (uint64_t i = 0; i < value % 3 && code == 0; i++) {
        atomic_fetch_add(&live_count, 1);
        code = weir_emit(emit, &value);
        if (code < 0 && trader->mode == ASYNC)
            atomic_fetch_sub(&live_count, 1); /* a channel takes what it says it takes */
    }
    if (code == 0 && trader->fails && value % 64 == 63)
        code = -ENOTTY;
    if (code == 0 || trader->mode == ASYNC)
        atomic_fetch_sub(&live_count, 1);
    return code;
}

static int feed_live(void *arg)
{
    struct weir_chan *chan = arg;
    int code = 0;

    for (uint64_t value = 0; value < 200 && code == 0; value++) {
        atomic_fetch_add(&live_count, 1);
        code = weir_chan_send(chan, &value, WEIR_FOREVER);
    }
    if (code < 0)
        atomic_fetch_sub(&live_count, 1);
    weir_chan_close(chan, 0);
    return 0;
}

/* Takes some outputs, then ends it in one way or another. */
static void trade_once(struct scene *scene, unsigned mode, uint64_t *random)
{
    const struct weir_chan_options owned = { .drop = drop_one };
    struct trader trader = { .mode = mode, .fails = roll(random) % 4 == 0 };
    const struct weir_pipeline_options options = {
        .parallelism = 1 + (unsigned)(roll(random) % 5),
        .flags = WEIR_STAGE_ABORT_INPUT,
        .item_ns = roll(random) % 2 ? LATE_NS : 0,
    };
    struct line line = {
        .input = make_chan(scene->capacity, &owned),
        .output = make_chan(scene->capacity, &owned),
    };
    uint64_t value, end = roll(random) % 300;
    uint64_t way = roll(random) % 4;
    struct actor actor;

    line_start(&line, scene, mode, trade, &trader, &options);
    actor_start(scene, &actor, feed_live, line.input);
    while (end-- > 0 && weir_chan_recv(line.output, &value, WEIR_FOREVER) == 0)
        atomic_fetch_sub(&live_count, 1);
    if (way == 0)
        weir_scope_cancel(line.scope);
    else if (way == 1)
        weir_chan_abort(line.output, 0);
    else if (way == 2)
        weir_chan_close(line.output, 0);
    while (weir_chan_recv(line.output, &value, WEIR_FOREVER) == 0)
        atomic_fetch_sub(&live_count, 1);
    (void)line_join(&line);
    weir_chan_abort(line.input, 0);
    actor_join(&actor);
    line_release(&line);
    CHECK_SAME(atomic_load(&live_count), 0);
}

MODE_CASE(test_each_element_has_one_end, EVERYWHERE, 0, 1, 7)
{
    uint64_t random = 88172645463325252U + mode;

    for (long round = test_rounds(20, 1000, 10000); round >= 0; round--)
        trade_once(scene, mode, &random);
}

/* --- Figures --- */

static int skip_it(int error, const void *source, void *target, void *context)
{
    (void)error;
    (void)source;
    (void)target;
    (void)context;
    return WEIR_SKIP;
}

static uint64_t sent_by(struct weir_stage *stage)
{
    struct weir_stage_stats stats;

    CHECK_SAME(weir_stage_read_stats(stage, &stats), 0);
    return stats.sent_total;
}

MODE_CASE(test_figures_are_kept, EVERYWHERE, 1)
{
    static const enum weir_stage_kind kinds[MODE_COUNT] = {
        [WEIR_PIPELINE_POOL] = WEIR_STAGE_BLOCKS,
        [WEIR_PIPELINE_CPU] = WEIR_STAGE_COMPUTES,
    };
    struct weir_stage *stage = NULL;
    const struct weir_pipeline_options options = {
        .name = "figures",
        .parallelism = 3,
        .on_error = skip_it,
        .stage = &stage,
    };
    struct line line = { .mode = mode };
    struct weir_stage_stats stats;
    struct feeder feeder;

    line_start(&line, scene, mode, fail_by_number, NULL, &options);
    feeder_start(scene, &feeder, &line, 0, 39);
    for (uint64_t value = 0; value < 40; value += 2)
        expect(line.output, value);
    AWAIT(sent_by(stage) == 20); /* the last is counted when its send has returned */
    expect_end(line.output, -EPIPE);
    CHECK_SAME(line_join(&line), 0);
    CHECK_SAME(weir_stage_read_stats(stage, &stats), 0);
    CHECK_SAME(strcmp(stats.name, "figures"), 0);
    CHECK_SAME(stats.kind, kinds[mode]);
    CHECK_SAME(stats.parallelism, 3);
    CHECK(stats.ended);
    CHECK_SAME(stats.received_total, 40);
    CHECK_SAME(stats.sent_total, 20);
    CHECK_SAME(stats.failed_total, 20);
    CHECK(stats.work_ns > 0);
    CHECK(stats.arrivals_per_s > 0);
    weir_stage_release(stage);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    line_release(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_output_in_hand_holds_no_thread),
        cmocka_unit_test(test_time_spent_waiting_for_others_is_not_the_elements),
        cmocka_unit_test(test_a_late_success_counts),
        cmocka_unit_test(test_an_element_may_wait_only_so_long_for_a_thread),
        cmocka_unit_test(test_each_element_has_one_end),
        cmocka_unit_test(test_figures_are_kept),
    };

    return cmocka_run_group_tests_name("flow/pipeline_item", tests, set_stage, NULL);
}
