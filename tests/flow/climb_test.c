/* SPDX-License-Identifier: MIT */
/*
 * The limit that is found against the best fixed one, in a simulated service: some servers, each
 * work takes a time at one of them, and a delay that many may share (a network). There is always
 * more to do, or as much as a load says. No clock, no thread: the figures are the same on every
 * machine.
 *
 * What counts is throughput / latency, as a share of the best that any fixed limit reaches.
 */
#include "flow/climb.h"
#include "support/support.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    EVENTS_MAX = 2048,
    SECONDS_MAX = 30,
    SLOWER_AT = 12, /* seconds */
    WITHIN = 5,
    MEASURED = 4,
    END = SLOWER_AT + WITHIN + MEASURED,
    LINE_MAX = 64, /* who comes when so many wait is refused */
};

#define FAILURE_S 0.05 /* after so long a failing work fails */

/* How much the time of a work varies. Coefficients of variation: 0, 0.29, 0.43, 1, 1, 2, 2.1. */
enum spread { CONSTANT, UNIFORM, WIDE, EXPONENTIAL, LOGNORMAL_1, LOGNORMAL_2, BIMODAL, SPREADS };

static const char *const spread_names[] = {
    "constant",       "uniform +- 1/2", "uniform +- 3/4", "exponential",
    "lognormal cv 1", "lognormal cv 2", "bimodal",
};

struct service {
    unsigned servers;
    double work_s;  /* at a server */
    double delay_s; /* on top, for any number at once */
    enum spread spread;
    double slower_from_s; /* from then on work takes so many times as long */
    double slower;
    double failing_from_s; /* from then on all fail, and slowly; 0: never */
    double load;           /* offered, as a share of the capacity; 0: always more to do */
    unsigned seed;
};

/* The end of a work at its server or of its delay, or an arrival. */
struct event {
    double at_s;
    double begun_s;
    uint32_t leg;
    enum { AT_SERVER, DELAYED, ARRIVAL } kind;
};

struct second {
    double finished;
    double latency_s; /* added up */
    double limit;     /* on average */
    double arrived;
};

struct simulation {
    const struct service *service;
    struct weir__climb *climb; /* NULL: the limit is fixed */
    unsigned fixed;
    double now_s;
    unsigned under_way;
    unsigned busy;
    unsigned waiting;
    uint64_t random;
    struct event heap[EVENTS_MAX]; /* the next first */
    unsigned heap_count;
    struct event queue[EVENTS_MAX]; /* for a server: a ring */
    unsigned queue_head, queue_tail;
    struct second seconds[SECONDS_MAX];
};

static struct simulation simulation;

static unsigned limit_now(const struct simulation *sim)
{
    return sim->climb ? sim->climb->limit : sim->fixed;
}

static double draw(struct simulation *sim)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return ((double)(sim->random >> 11) + 1) / ((double)(UINT64_C(1) << 53) + 2);
}

/* Of the mean 1 and this coefficient of variation. */
static double draw_lognormal(struct simulation *sim, double variation)
{
    double variance = log(1 + variation * variation);
    double normal = sqrt(-2 * log(draw(sim))) * cos(2 * M_PI * draw(sim));

    return exp(sqrt(variance) * normal - variance / 2);
}

/* Of the mean 1. */
static double draw_spread(struct simulation *sim)
{
    switch (sim->service->spread) {
    case UNIFORM:
        return 0.5 + draw(sim);
    case WIDE:
        return 0.25 + 1.5 * draw(sim);
    case EXPONENTIAL:
        return -log(draw(sim));
    case LOGNORMAL_1:
        return draw_lognormal(sim, 1);
    case LOGNORMAL_2:
        return draw_lognormal(sim, 2);
    case BIMODAL: /* one of twenty takes twenty times as long */
        return (draw(sim) < 0.05 ? 20 : 1) / 1.95;
    default:
        return 1;
    }
}

static double mean_work(const struct simulation *sim)
{
    const struct service *service = sim->service;
    bool slower = service->slower_from_s > 0 && sim->now_s >= service->slower_from_s;

    return slower ? service->work_s * service->slower : service->work_s;
}

static bool is_failing(const struct simulation *sim)
{
    return sim->service->failing_from_s > 0 && sim->now_s >= sim->service->failing_from_s;
}

static void push(struct simulation *sim, struct event event)
{
    unsigned at = sim->heap_count++;

    assert_true(sim->heap_count < EVENTS_MAX);
    for (; at > 0 && sim->heap[(at - 1) / 2].at_s > event.at_s; at = (at - 1) / 2)
        sim->heap[at] = sim->heap[(at - 1) / 2];
    sim->heap[at] = event;
}

static struct event pop(struct simulation *sim)
{
    struct event first = sim->heap[0], last = sim->heap[--sim->heap_count];
    unsigned at = 0;

    for (unsigned child = 1; child < sim->heap_count; child = 2 * at + 1) {
        if (child + 1 < sim->heap_count && sim->heap[child + 1].at_s < sim->heap[child].at_s)
            child++;
        if (sim->heap[child].at_s >= last.at_s)
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return first;
}

static void start_work(struct simulation *sim, struct event event)
{
    sim->busy++;
    event.at_s = sim->now_s + (is_failing(sim) ? FAILURE_S : mean_work(sim) * draw_spread(sim));
    event.kind = AT_SERVER;
    push(sim, event);
}

static void arrive(struct simulation *sim)
{
    const struct service *service = sim->service;
    double rate = service->servers * service->load / mean_work(sim);

    push(sim, (struct event){ .at_s = sim->now_s - log(draw(sim)) / rate, .kind = ARRIVAL });
}

/* As many as the limit allows, and of those as many as there are servers. */
static void admit(struct simulation *sim)
{
    while (sim->under_way < limit_now(sim) && (sim->service->load <= 0 || sim->waiting > 0)) {
        struct event event = { .begun_s = sim->now_s };

        sim->waiting -= sim->service->load > 0;
        sim->under_way++;
        if (sim->climb)
            event.leg = weir__climb_admit(sim->climb, sim->under_way, (int64_t)(sim->now_s * 1e9));
        sim->queue[sim->queue_tail++ % EVENTS_MAX] = event;
    }
    while (sim->busy < sim->service->servers && sim->queue_head != sim->queue_tail)
        start_work(sim, sim->queue[sim->queue_head++ % EVENTS_MAX]);
}

static void finish(struct simulation *sim, const struct event *event)
{
    double latency_s = sim->now_s - event->begun_s;
    struct second *second = &sim->seconds[(unsigned)sim->now_s];

    sim->under_way--;
    second->finished++;
    second->latency_s += latency_s;
    if (sim->climb)
        weir__climb_finish(sim->climb, event->leg, (int64_t)(event->begun_s * 1e9),
                           (int64_t)(sim->now_s * 1e9), !is_failing(sim));
}

static void happen(struct simulation *sim, struct event event)
{
    if (event.kind == ARRIVAL) {
        sim->seconds[(unsigned)sim->now_s].arrived++;
        sim->waiting += sim->waiting < LINE_MAX;
        arrive(sim);
        return;
    }
    sim->busy -= event.kind == AT_SERVER;
    if (event.kind == DELAYED || sim->service->delay_s <= 0) {
        finish(sim, &event);
        return;
    }
    event.kind = DELAYED;
    event.at_s = sim->now_s + sim->service->delay_s;
    push(sim, event);
}

static void simulate(const struct service *service, struct weir__climb *climb, unsigned fixed,
                     unsigned duration_s)
{
    struct simulation *sim = &simulation;

    memset(sim, 0, sizeof *sim);
    sim->service = service;
    sim->climb = climb;
    sim->fixed = fixed;
    sim->random = UINT64_C(88172645463325252) ^ service->seed * UINT64_C(0x9E3779B97F4A7C15);
    for (unsigned i = 0; i < 16; i++)
        draw(sim); /* neighbouring seeds begin alike */
    if (service->load > 0)
        arrive(sim);
    for (;;) {
        struct event event;
        unsigned second = (unsigned)sim->now_s;

        admit(sim);
        event = pop(sim);
        if (event.at_s >= duration_s)
            break;
        sim->seconds[second].limit += limit_now(sim) * (event.at_s - sim->now_s);
        sim->now_s = event.at_s;
        happen(sim, event);
    }
}

/* Throughput / latency of these seconds. */
static double power(unsigned first, unsigned count)
{
    double finished = 0, latency_s = 0;

    for (unsigned i = first; i < first + count; i++) {
        finished += simulation.seconds[i].finished;
        latency_s += simulation.seconds[i].latency_s;
    }
    return finished / count / (latency_s / finished);
}

/* The best of all fixed limits, at the speed of the beginning or that of the end. */
static double sweep(const struct service *service, bool slower)
{
    struct service steady = *service;
    double best = 0;

    steady.slower_from_s = 0;
    if (slower)
        steady.work_s *= service->slower;
    for (unsigned limit = 1; limit <= 3 * service->servers / 2 + 12; limit += 1 + limit / 20) {
        double reached;

        simulate(&steady, NULL, limit, 3);
        reached = power(1, 2);
        best = reached > best ? reached : best;
    }
    return best;
}

/* Finds the best limit, keeps it, and has it again five seconds after all became four times as
 * slow. */
static void follow(const struct service *service, unsigned start, double best, double best_slower)
{
    double found, found_slower;
    struct weir__climb climb;

    weir__climb_init(&climb, 1, 1024, start);
    simulate(service, &climb, 0, END);
    found = power(SLOWER_AT - MEASURED, MEASURED) / best;
    found_slower = power(SLOWER_AT + WITHIN, MEASURED) / best_slower;
    printf("    %3u servers, %.1f ms + %2.0f ms, spread %d, from %3u: %.2f, then %.2f\n",
           service->servers, service->work_s * 1e3, service->delay_s * 1e3, service->spread, start,
           found, found_slower);
    assert_true(found > 0.8);
    assert_true(found_slower > 0.8);
}

static void follow_from_anywhere(struct service service)
{
    static const unsigned starts[] = { 1, 16, 100 };
    double best, best_slower;

    service.slower_from_s = SLOWER_AT;
    service.slower = 4;
    best = sweep(&service, false);
    best_slower = sweep(&service, true);
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        follow(&service, starts[i], best, best_slower);
}

static void test_finds_and_follows(void **state)
{
    static const struct service services[] = {
        { .servers = 1, .work_s = 0.0002 },
        { .servers = 1, .work_s = 0.001 },
        { .servers = 1, .work_s = 0.001, .delay_s = 0.01 },
        { .servers = 4, .work_s = 0.001 },
        { .servers = 8, .work_s = 0.002 },
        { .servers = 64, .work_s = 0.004 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        for (enum spread spread = CONSTANT; spread <= UNIFORM; spread++) {
            struct service service = services[i];

            service.spread = spread;
            follow_from_anywhere(service);
        }
}

/* --- Latencies that vary --- */

/* How well runs did, as shares of the best. */
struct marks {
    double worst, sum;
    unsigned within; /* 20 % */
    unsigned count;
};

static void note_mark(struct marks *marks, double share)
{
    if (marks->count == 0 || share < marks->worst)
        marks->worst = share;
    marks->sum += share;
    marks->within += share > 0.8;
    marks->count++;
}

/* Without a delay the best limit is the number of servers, whatever the spread: none is idle, and
 * nobody waits. */
static double best_power(const struct service *service, double factor)
{
    double work_s = service->work_s * factor;

    return service->servers / work_s / work_s;
}

static void play(const struct service *service, unsigned start, struct marks *marks)
{
    struct weir__climb climb;

    weir__climb_init(&climb, 1, 1024, start);
    simulate(service, &climb, 0, END);
    note_mark(marks, power(SLOWER_AT - MEASURED, MEASURED) / best_power(service, 1));
    note_mark(marks, power(SLOWER_AT + WITHIN, MEASURED) / best_power(service, service->slower));
}

/* With a coefficient of variation up to 1 each run is within 20 % of the best; with 2, where one of
 * twenty requests may be half of the work, most are. */
static void test_latencies_that_vary(void **state)
{
    static const struct service services[] = {
        { .servers = 1, .work_s = 0.001 },
        { .servers = 4, .work_s = 0.001 },
        { .servers = 32, .work_s = 0.004 },
        { .servers = 200, .work_s = 0.01 },
    };
    static const unsigned starts[] = { 16, 100 };
    size_t service_count = TEST_SANITIZED ? 2 : 4;
    unsigned seeds = TEST_SANITIZED ? 1 : 2;

    (void)state;
    for (enum spread spread = CONSTANT; spread < SPREADS; spread++) {
        struct marks marks = { 0 };

        for (size_t i = 0; i < service_count * 2 * 2 * seeds; i++) {
            struct service service = services[i / seeds / 4];

            service.spread = spread;
            service.slower_from_s = SLOWER_AT;
            service.slower = i / seeds % 2 ? 4 : 0.25;
            service.seed = (unsigned)(i % seeds);
            play(&service, starts[i / seeds / 2 % 2], &marks);
        }
        printf("    %s: worst %.2f, mean %.2f, %u of %u within 20 %%\n", spread_names[spread],
               marks.worst, marks.sum / marks.count, marks.within, marks.count);
        if (spread < LOGNORMAL_2)
            assert_int_equal(marks.within, marks.count);
        else
            assert_true(marks.within > 0.85 * marks.count);
        assert_true(marks.sum / marks.count > 0.85);
    }
}

/* What is offered below the capacity is done; above it, the limit is within 20 % of the best. */
static void test_loads(void **state)
{
    static const double loads[] = { 0.5, 1, 2, 10 };

    (void)state;
    for (size_t i = 0; i < 4; i++)
        for (unsigned start = 1; start <= 64; start *= 8) {
            const struct service service = {
                .servers = 4, .work_s = 0.001, .spread = EXPONENTIAL, .load = loads[i]
            };
            double done = 0, arrived = 0, share;
            struct weir__climb climb;

            weir__climb_init(&climb, 1, 1024, start);
            simulate(&service, &climb, 0, SLOWER_AT);
            for (unsigned second = SLOWER_AT - MEASURED; second < SLOWER_AT; second++) {
                done += simulation.seconds[second].finished;
                arrived += simulation.seconds[second].arrived;
            }
            share = power(SLOWER_AT - MEASURED, MEASURED) / best_power(&service, 1);
            printf("    load %4.1f from %2u: %.3f of the offered done, power %.2f\n", loads[i],
                   start, done / arrived, share);
            if (loads[i] < 1)
                assert_true(done > 0.99 * arrived);
            else
                assert_true(done > 0.9 * MEASURED * service.servers / service.work_s);
            if (loads[i] > 1)
                assert_true(share > 0.8);
        }
}

/* --- What it does not do --- */

/* Nothing can be learned while the limit holds nobody back: it stays, however long. */
static void test_an_idle_limit_stays(void **state)
{
    struct weir__climb climb;

    (void)state;
    weir__climb_init(&climb, 1, 1024, 50);
    for (unsigned i = 0; i < 100000; i++) {
        uint32_t leg = weir__climb_admit(&climb, 1 + i % 20, i);

        weir__climb_finish(&climb, leg, i, i + i % 20 * 1000, true);
        assert_int_equal(climb.limit, 50);
    }
    assert_int_equal(climb.moves, 0);
}

static void test_a_fixed_limit_stays(void **state)
{
    const struct service service = { .servers = 4, .work_s = 0.001 };
    struct weir__climb climb;

    (void)state;
    weir__climb_init(&climb, 20, 20, 20);
    simulate(&service, &climb, 0, 10);
    for (unsigned i = 0; i < 10; i++)
        assert_true(simulation.seconds[i].limit > 19.5 && simulation.seconds[i].limit < 20.5);
    assert_int_equal(climb.moves, 0);
}

/* Failures that take long are no reason to let in more: the limit falls, to the least. */
static void test_falls_when_all_fail(void **state)
{
    const struct service service = { .servers = 64, .work_s = 0.001, .failing_from_s = 5 };
    struct weir__climb climb;

    (void)state;
    weir__climb_init(&climb, 2, 1024, 32);
    simulate(&service, &climb, 0, SECONDS_MAX);
    assert_true(simulation.seconds[4].limit > 40);
    assert_true(simulation.seconds[SECONDS_MAX - 2].limit < 20);
}

static void test_keeps_between_its_bounds(void **state)
{
    const struct service service = { .servers = 64, .work_s = 0.001 };
    const struct service narrow = { .servers = 1, .work_s = 0.001 };
    struct weir__climb climb;

    (void)state;
    weir__climb_init(&climb, 4, 24, 10);
    simulate(&service, &climb, 0, 5);
    assert_true(climb.knee > 23.5);
    assert_true(climb.limit <= 24);
    weir__climb_init(&climb, 4, 24, 10);
    simulate(&narrow, &climb, 0, 10);
    assert_true(climb.knee < 4.5);
    assert_true(climb.limit >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_and_follows),
        cmocka_unit_test(test_an_idle_limit_stays),
        cmocka_unit_test(test_a_fixed_limit_stays),
        cmocka_unit_test(test_falls_when_all_fail),
        cmocka_unit_test(test_keeps_between_its_bounds),
        cmocka_unit_test(test_latencies_that_vary),
        cmocka_unit_test(test_loads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
