/* SPDX-License-Identifier: MIT */
/* What stages say of themselves: counts, sampled times, and which one of a line is the slow one. */
#include "flow/fixture.h"

#include "flow/stage.h"

enum { MANY = 100, WORKERS = 3, STAGES_MAX = 4 };

static const double tolerance = 0.001;

static void check_near(double value, double expected)
{
    if (!CHECK(value >= expected - tolerance && value <= expected + tolerance))
        fprintf(stderr, "%f is not %f\n", value, expected);
}

/* --- Counting --- */

static int fail_on_even(const void *source, void *target, void *context)
{
    (void)context;
    memcpy(target, source, sizeof(uint64_t));
    return *(const uint64_t *)source % 2 == 0 ? -EDOM : 0;
}

static int leave_out(int error, const void *source, void *target, void *context)
{
    (void)error;
    (void)source;
    (void)target;
    (void)context;
    return WEIR_SKIP;
}

CASE(elements_are_counted, EVERYWHERE, ANY_CAPACITY)
{
    for (unsigned parallelism = 1; parallelism <= WORKERS; parallelism += 2) {
        struct weir_stage *stage = NULL;
        const struct weir_stage_options options = {
            .name = "odd ones",
            .parallelism = parallelism,
            .kind = WEIR_STAGE_COMPUTES,
            .on_error = leave_out,
            .stage = &stage,
        };
        struct weir_chan *input = make_chan(scene->capacity, NULL);
        struct weir_chan *output = make_chan(scene->capacity, NULL);
        struct weir_stage_stats stats;
        struct feeder source;

        CHECK_SAME(weir_map(scene->scope, input, output, fail_on_even, NULL, &options), 0);
        stats = look_at(stage);
        CHECK(!stats.ended && stats.received_total == 0 && stats.elapsed_ns == 0);
        CHECK(stats.workers_enough == 1 && stats.utilisation == 0);
        start_source(scene, &source, input, 0, MANY);
        for (size_t i = 0; i < MANY / 2; i++)
            await_value(output);
        CHECK_SAME(await_end(output), -EPIPE);
        AWAIT(look_at(stage).ended);
        actor_join(&source.actor);
        RELEASE(input, output);

        stats = look_at(stage); /* the handle has outlived everything else */
        CHECK_SAME(strcmp(stats.name, "odd ones"), 0);
        CHECK_SAME(stats.kind, WEIR_STAGE_COMPUTES);
        CHECK_SAME(stats.parallelism, parallelism);
        CHECK_SAME(stats.received_total, MANY);
        CHECK_SAME(stats.failed_total, MANY / 2);
        CHECK_SAME(stats.sent_total, MANY / 2);
        CHECK(stats.elapsed_ns > 0 && stats.arrivals_per_s > 0);
        CHECK(stats.utilisation >= 0 && stats.utilisation <= 1);
        CHECK_SAME(look_at(stage).elapsed_ns, stats.elapsed_ns);
        weir_stage_release(stage);
    }
}

CASE(a_stage_is_named_for_its_kind, ALONE, 1)
{
    static const uint64_t values[3];
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct weir_stage *stage = NULL;
    const struct weir_stage_options options = { .stage = &stage };

    CHECK_SAME(weir_from_array(scene->scope, values, 3, output, &options), 0);
    CHECK_SAME(strcmp(look_at(stage).name, "from_array"), 0);
    for (size_t i = 0; i < 3; i++)
        await_value(output);
    AWAIT(look_at(stage).ended);
    CHECK_SAME(look_at(stage).received_total, 3);
    CHECK_SAME(look_at(stage).sent_total, 3);
    weir_stage_release(stage);
    RELEASE(output);
}

/* --- Sampling --- */

static void few_elements_are_timed(void **state)
{
    struct weir_stage *stage = NULL;
    struct weir__meter *meter;
    size_t readings = 0;

    (void)state;
    assert_int_equal(weir__stage_create(&stage, "map", NULL, NULL, 1), 0);
    meter = &stage->meters[0];
    for (size_t i = 0; i < MANY; i++) {
        bool expected = i < 16 || i % 16 == 15;

        weir__meter_begin(meter);
        assert_int_equal(meter->since_ns != 0, expected);
        readings += expected;
        weir__meter_received(meter);
        weir__meter_worked(meter, i % 2);
        weir__meter_sent(meter);
        assert_true(meter->timed_total <= meter->begun_total);
    }
    assert_int_equal(readings, 21);
    assert_int_equal(meter->begun_total, MANY);
    assert_int_equal(meter->timed_total, 16 + 5 * 16);
    assert_int_equal(meter->received_total, MANY);
    assert_int_equal(meter->failed_total, MANY / 2);
    weir_stage_release(stage);
}

/* --- Constructed lines: times in ms, of 1,000 --- */

struct figures {
    unsigned parallelism;
    uint64_t received;
    uint64_t input, work, output; /* sums over the workers */
    uint64_t held;                /* the senders of the input, sum over them */
};

static const uint64_t ms = 1000 * 1000;

static struct weir_stage *construct(const struct figures *figures)
{
    const struct weir_stage_options options = { .parallelism = figures->parallelism };
    struct weir_stage *stage = NULL;
    struct weir__meter *meter;

    assert_int_equal(weir__stage_create(&stage, "made", &options, NULL, 2), 0);
    stage->has_input = true;
    stage->first_ns = 1;
    stage->ended_ns = 1 + (int64_t)(1000 * ms);
    stage->held_ns = figures->held * ms + 77;
    stage->held_earlier_ns = 77;
    /* One meter has the whole input, the other the rest, of every second element. */
    meter = &stage->meters[0];
    meter->begun_total = figures->received;
    meter->timed_total = figures->received;
    meter->received_total = figures->received;
    meter->lap_ns[WEIR__LAP_INPUT] = figures->input * ms;
    meter = &stage->meters[1];
    meter->begun_total = figures->received;
    meter->timed_total = figures->received / 2;
    meter->lap_ns[WEIR__LAP_WORK] = figures->work * ms / 2;
    meter->lap_ns[WEIR__LAP_OUTPUT] = figures->output * ms / 2;
    return stage;
}

static void alone(const struct figures *figures, double service_ms, double utilisation,
                  unsigned workers_enough)
{
    struct weir_stage *stage = construct(figures);
    struct weir_stage_stats stats;

    assert_int_equal(weir_stage_read_stats(stage, &stats), 0);
    assert_int_equal(stats.elapsed_ns, 1000 * ms);
    assert_int_equal(stats.input_ns, figures->input * ms);
    assert_int_equal(stats.work_ns, figures->work * ms);
    assert_int_equal(stats.output_ns, figures->output * ms);
    check_near(stats.arrivals_per_s, (double)figures->received);
    check_near(stats.service_ns / (double)ms, service_ms);
    check_near(stats.utilisation, utilisation);
    assert_int_equal(stats.workers_enough, workers_enough);
    weir_stage_release(stage);
}

static void workers_that_are_enough(void **state)
{
    (void)state;
    /* Idle half of the time, nobody held. */
    alone(&(struct figures){ .received = 100, .input = 500, .work = 500 }, 5, 0.5, 1);
    /* Four workers where two would do: 100/s * 20 ms. */
    alone(&(struct figures){ .parallelism = 4, .received = 100, .input = 2000, .work = 2000 }, 20,
          0.5, 2);
    /* Its sender, held for 0.8 of its time, would bring 500/s; each takes 10 ms. */
    alone(&(struct figures){ .received = 100, .work = 1000, .held = 800 }, 10, 1, 5);
    alone(&(struct figures){ .received = 100, .work = 1000, .held = 810 }, 10, 1, 6);
    /* Of about three senders, 2.4 are parked: 500/s again. */
    alone(&(struct figures){ .received = 100, .work = 1000, .held = 2400 }, 10, 1, 5);
    /* Held up by its output, it has little work: 2,000/s * 0.5 ms. */
    alone(&(struct figures){ .received = 100, .work = 50, .output = 950, .held = 950 }, 0.5, 0.05,
          1);
    /* Nothing yet. */
    alone(&(struct figures){ 0 }, 0, 0, 1);
    test_carry_out();
}

static void line(const struct figures *figures, size_t count, int blocked, int busiest,
                 int pressure, unsigned workers_enough)
{
    struct weir_stage *stages[STAGES_MAX];
    struct weir_flow_report report;

    for (size_t i = 0; i < count; i++)
        stages[i] = construct(&figures[i]);
    assert_int_equal(weir_flow_read_report(stages, count, &report), 0);
    assert_int_equal(report.blocked, blocked);
    assert_int_equal(report.busiest, busiest);
    assert_int_equal(report.pressure, pressure);
    assert_int_equal(report.workers_enough, workers_enough);
    for (size_t i = 0; i < count; i++)
        weir_stage_release(stages[i]);
}

/* 1 ms, 10 ms, 2 ms an element: the second has a tenth of what the first could bring. */
static const struct figures fast = { .received = 100, .work = 100, .output = 900, .held = 950 };
static const struct figures slow = { .received = 100, .work = 1000, .held = 900 };
static const struct figures idle = { .received = 100, .input = 800, .work = 200 };

static void the_slow_stage_of_a_line_is_named(void **state)
{
    (void)state;
    line((struct figures[]){ fast, slow, idle }, 3, 0, 1, 1, 10);
    line((struct figures[]){ fast, fast, slow, idle }, 4, 0, 2, 2, 10);
    /* Alone in front, it knows its senders only: 1,000/s * 10 ms. */
    line((struct figures[]){ slow, idle }, 2, -1, 0, 0, 10);
    /* Nobody is held, whoever is busy. */
    line((struct figures[]){ idle, idle }, 2, -1, 0, -1, 0);
    /* Of two slow ones the last, which holds the other. */
    line((struct figures[]){ fast,
                             { .received = 100, .work = 450, .output = 550, .held = 900 },
                             slow },
         3, 0, 2, 2, 3);
    test_carry_out();
}

static void what_comes_is_bounded_by_those_before(void **state)
{
    /* The source could bring 200/s, the first stage serve 1,000/s: 2 is enough for 10 ms. */
    const struct figures fed_slowly = {
        .received = 100,
        .work = 100,
        .output = 900,
        .held = 500,
    };
    /* Half of its elements go no further: 500/s reach the slow one, 50 of 100. */
    const struct figures slow_half = { .received = 50, .work = 1000, .held = 900 };
    /* Four workers behind two: 2,000/s * 20 ms. */
    const struct figures crowd = { .parallelism = 4, .received = 200, .work = 4000, .held = 900 };
    const struct figures crowded = {
        .parallelism = 2,
        .received = 200,
        .work = 200,
        .output = 1800,
        .held = 990,
    };

    (void)state;
    line((struct figures[]){ fed_slowly, slow, idle }, 3, 0, 1, 1, 2);
    line((struct figures[]){ fast, slow_half }, 2, 0, 1, 1, 10);
    line((struct figures[]){ crowded, crowd }, 2, 0, 1, 1, 40);
    test_carry_out();
}

/* --- The group --- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_counted),
        cmocka_unit_test(a_stage_is_named_for_its_kind),
        cmocka_unit_test(few_elements_are_timed),
        cmocka_unit_test(workers_that_are_enough),
        cmocka_unit_test(the_slow_stage_of_a_line_is_named),
        cmocka_unit_test(what_comes_is_bounded_by_those_before),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
