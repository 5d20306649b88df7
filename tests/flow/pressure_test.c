/* SPDX-License-Identifier: MIT */
/*
 * A slow stage in a running line is found, and so is how many workers it needs. In simulated time:
 * this program has a clock of its own, which stands still but for a tick whenever nothing is left
 * to do. So no figure depends on the machine.
 */
#include "flow/fixture.h"

#include <stdatomic.h>
#include <time.h>

enum { STAGES = 3, ELEMENTS = 200, TICK_NS = 50 * 1000 };

static const int64_t ms = 1000 * 1000;

/* --- The clock --- */

static _Atomic int64_t clock_ns;

int64_t weir__clock_now(void)
{
    return atomic_load(&clock_ns);
}

void weir__clock_sleep(int64_t duration_ns)
{
    const struct timespec pause = { .tv_nsec = duration_ns % 1000000000 };

    nanosleep(&pause, NULL);
}

int64_t weir__clock_add(int64_t base_ns, int64_t duration_ns)
{
    return duration_ns > INT64_MAX - base_ns ? INT64_MAX : base_ns + duration_ns;
}

static void start_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_store(&clock_ns, (int64_t)now.tv_sec * 1000 * ms);
}

/* Lets the line run until all its stages have ended. */
static void run_clock(struct weir_scope *scope)
{
    while (weir_scope_count(scope) > 0) {
        weir__sched_settle();
        atomic_fetch_add(&clock_ns, TICK_NS);
    }
}

/* --- The line --- */

struct post {
    int64_t service_ns;
    unsigned parallelism;
    struct weir_stage *stage;
    struct weir_stage_stats stats;
};

static int serve(const void *source, void *target, void *context)
{
    const struct post *post = context;

    memcpy(target, source, sizeof(uint64_t));
    return weir_sleep(weir_in_ns(post->service_ns));
}

static int swallow(void *arg)
{
    uint64_t value;
    int result;

    while ((result = weir_chan_recv(arg, &value, WEIR_FOREVER)) == 0)
        ;
    return result == -EPIPE ? 0 : result;
}

/* Sends an element whenever `service_ns` has passed and there is room. */
struct origin {
    struct weir_chan *chan;
    int64_t service_ns;
};

static int produce(void *arg)
{
    const struct origin *origin = arg;

    for (uint64_t i = 0; i < ELEMENTS; i++) {
        CHECK_SAME(weir_sleep(weir_in_ns(origin->service_ns)), 0);
        CHECK_SAME(weir_chan_send(origin->chan, &i, WEIR_FOREVER), 0);
    }
    weir_chan_close(origin->chan, 0);
    return 0;
}

static void run_line(struct post *posts, int64_t origin_ns, struct weir_flow_report *report)
{
    struct weir_chan *chans[STAGES + 1];
    struct origin origin = { .service_ns = origin_ns };
    struct weir_stage *stages[STAGES];
    struct weir_scope *scope = NULL;

    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    for (size_t i = 0; i <= STAGES; i++)
        chans[i] = make_chan(2, NULL);
    for (size_t i = 0; i < STAGES; i++) {
        const struct weir_stage_options options = {
            .parallelism = posts[i].parallelism,
            .stage = &stages[i],
        };

        CHECK_SAME(weir_map(scope, chans[i], chans[i + 1], serve, &posts[i], &options), 0);
    }
    origin.chan = chans[0];
    CHECK_SAME(weir_spawn(scope, produce, &origin, NULL), 0);
    CHECK_SAME(weir_spawn(scope, swallow, chans[STAGES], NULL), 0);
    run_clock(scope);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_SAME(weir_flow_read_report(stages, STAGES, report), 0);
    for (size_t i = 0; i < STAGES; i++) {
        posts[i].stats = look_at(stages[i]);
        weir_stage_release(stages[i]);
    }
    release_all(chans, STAGES + 1);
}

static void check_about(double value, double expected)
{
    if (!CHECK(value > expected * 0.95 && value < expected * 1.05))
        fprintf(stderr, "%f is not about %f\n", value, expected);
}

static int slow_between_fast(void *arg)
{
    for (int64_t ratio = 2; ratio <= 8; ratio += 3) {
        struct post posts[STAGES] = {
            { .service_ns = 2 * ms },
            { .service_ns = 2 * ms * ratio },
            { .service_ns = 2 * ms },
        };
        struct weir_flow_report report;

        (void)arg;
        run_line(posts, ms, &report);
        CHECK_SAME(report.pressure, 1);
        CHECK_SAME(report.busiest, 1);
        CHECK_SAME(report.blocked, ratio == 2 ? -1 : 0);
        CHECK_SAME(report.workers_enough, ratio);
        for (size_t i = 0; i < STAGES; i++)
            check_about(posts[i].stats.service_ns, (double)posts[i].service_ns);
        check_about(posts[1].stats.utilisation, 1);
        check_about(posts[2].stats.utilisation, 1 / (double)ratio);
        check_about(posts[1].stats.arrivals_per_s, 500 / (double)ratio);
        check_about((double)posts[0].stats.output_ns, (double)(ELEMENTS * 2 * ms * (ratio - 1)));
        CHECK_SAME(posts[2].stats.workers_enough, 1);
        /* From what the stage itself can see: its sender's time aside from being held. */
        CHECK(posts[1].stats.workers_enough >= ratio && posts[1].stats.workers_enough <= ratio + 1);

        posts[1].parallelism = report.workers_enough;
        run_line(posts, ms, &report);
        CHECK(report.pressure != 1 || report.workers_enough <= posts[1].parallelism);
        check_about(posts[2].stats.arrivals_per_s, 500);
    }
    return 0;
}

/* The origin is the slowest but one: it, and not the stage between, says what can come. */
static int slow_origin(void *arg)
{
    struct post posts[STAGES] = {
        { .service_ns = ms },
        { .service_ns = 30 * ms },
        { .service_ns = ms },
    };
    struct weir_flow_report report;

    (void)arg;
    run_line(posts, 10 * ms, &report);
    CHECK_SAME(report.pressure, 1);
    CHECK(report.workers_enough == 3 || report.workers_enough == 4);
    return 0;
}

/* Nothing is held up, however busy the last is. */
static int no_pressure(void *arg)
{
    struct post posts[STAGES] = {
        { .service_ns = ms },
        { .service_ns = 2 * ms },
        { .service_ns = 8 * ms },
    };
    struct weir_flow_report report;

    (void)arg;
    run_line(posts, 10 * ms, &report);
    CHECK_SAME(report.pressure, -1);
    CHECK_SAME(report.blocked, -1);
    CHECK_SAME(report.busiest, 2);
    check_about(posts[2].stats.utilisation, 0.8);
    CHECK_SAME(posts[2].stats.workers_enough, 1);
    return 0;
}

static void play(int (*body)(void *arg))
{
    const struct weir_options options = { .loop_count = 1, .spin_max_ns = -1 };

    start_clock();
    assert_int_equal(test_run(body, NULL, &options), 0);
}

static void a_slow_stage_between_fast_ones(void **state)
{
    (void)state;
    play(slow_between_fast);
}

static void a_slow_stage_behind_a_slow_origin(void **state)
{
    (void)state;
    play(slow_origin);
}

static void a_line_that_keeps_up(void **state)
{
    (void)state;
    play(no_pressure);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_stage_between_fast_ones),
        cmocka_unit_test(a_slow_stage_behind_a_slow_origin),
        cmocka_unit_test(a_line_that_keeps_up),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
