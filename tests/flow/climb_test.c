/* SPDX-License-Identifier: MIT */
/*
 * The limit that is found against the best fixed one, in a simulated service that always has more
 * to do: some servers, each work takes a time at one of them, and a delay that many may share (a
 * network). No clock, no thread: the figures are the same on every machine.
 *
 * What counts is throughput / latency, as a share of the best that any fixed limit reaches.
 */
#include "flow/climb.h"
#include "support/support.h"

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
};

#define FAILURE_S 0.05 /* after so long a failing work fails */

/* How much the time of a work varies. */
enum spread { CONSTANT, UNIFORM };

struct service {
    unsigned servers;
    double work_s;  /* at a server */
    double delay_s; /* on top, for any number at once */
    enum spread spread;
    double slower_from_s; /* from then on work takes so many times as long */
    double slower;
    double failing_from_s; /* from then on all fail, and slowly; 0: never */
};

/* One work: at a server, or in the delay. */
struct event {
    double at_s;
    double begun_s;
    uint32_t leg;
    bool delayed;
};

struct second {
    double finished;
    double latency_s; /* added up */
    double limit;     /* on average */
};

struct simulation {
    const struct service *service;
    struct weir__climb *climb; /* NULL: the limit is fixed */
    unsigned fixed;
    double now_s;
    unsigned under_way;
    unsigned busy;
    uint64_t random;
    struct event at_work[EVENTS_MAX]; /* in no order */
    unsigned at_work_count;
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

static double draw_work(struct simulation *sim)
{
    const struct service *service = sim->service;
    double work_s = service->work_s;

    if (service->slower_from_s > 0 && sim->now_s >= service->slower_from_s)
        work_s *= service->slower;
    if (service->spread == UNIFORM)
        return work_s * (0.5 + draw(sim));
    return work_s;
}

static bool is_failing(const struct simulation *sim)
{
    return sim->service->failing_from_s > 0 && sim->now_s >= sim->service->failing_from_s;
}

static void start_work(struct simulation *sim, struct event event)
{
    sim->busy++;
    event.at_s = sim->now_s + (is_failing(sim) ? FAILURE_S : draw_work(sim));
    sim->at_work[sim->at_work_count++] = event;
}

/* As many as the limit allows, and of those as many as there are servers. */
static void admit(struct simulation *sim)
{
    while (sim->under_way < limit_now(sim)) {
        struct event event = { .begun_s = sim->now_s };

        sim->under_way++;
        if (sim->climb)
            event.leg = weir__climb_admit(sim->climb, sim->under_way);
        sim->queue[sim->queue_tail++ % EVENTS_MAX] = event;
    }
    while (sim->busy < sim->service->servers && sim->queue_head != sim->queue_tail)
        start_work(sim, sim->queue[sim->queue_head++ % EVENTS_MAX]);
}

static struct event take_next(struct simulation *sim)
{
    unsigned next = 0;
    struct event event;

    for (unsigned i = 1; i < sim->at_work_count; i++)
        if (sim->at_work[i].at_s < sim->at_work[next].at_s)
            next = i;
    event = sim->at_work[next];
    sim->at_work[next] = sim->at_work[--sim->at_work_count];
    return event;
}

static void finish(struct simulation *sim, const struct event *event)
{
    double latency_s = sim->now_s - event->begun_s;
    struct second *second = &sim->seconds[(unsigned)sim->now_s];

    sim->under_way--;
    second->finished++;
    second->latency_s += latency_s;
    if (sim->climb)
        weir__climb_finish(sim->climb, event->leg, (int64_t)(latency_s * 1e9), !is_failing(sim));
}

static void simulate(const struct service *service, struct weir__climb *climb, unsigned fixed,
                     unsigned duration_s)
{
    struct simulation *sim = &simulation;

    memset(sim, 0, sizeof *sim);
    sim->service = service;
    sim->climb = climb;
    sim->fixed = fixed;
    sim->random = 88172645463325252;
    for (;;) {
        struct event event;
        unsigned second = (unsigned)sim->now_s;

        admit(sim);
        event = take_next(sim);
        if (event.at_s >= duration_s)
            break;
        sim->seconds[second].limit += limit_now(sim) * (event.at_s - sim->now_s);
        sim->now_s = event.at_s;
        if (event.delayed || service->delay_s <= 0) {
            sim->busy -= !event.delayed;
            finish(sim, &event);
            continue;
        }
        sim->busy--;
        event.delayed = true;
        event.at_s = sim->now_s + service->delay_s;
        sim->at_work[sim->at_work_count++] = event;
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

/* Nothing can be learned while the limit holds nobody back: it stays, however long. */
static void test_an_idle_limit_stays(void **state)
{
    struct weir__climb climb;

    (void)state;
    weir__climb_init(&climb, 1, 1024, 50);
    for (unsigned i = 0; i < 100000; i++) {
        uint32_t leg = weir__climb_admit(&climb, 1 + i % 20);

        weir__climb_finish(&climb, leg, i % 20 * 1000, true);
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
    assert_int_equal(climb.base, 24);
    assert_true(climb.limit <= 24);
    weir__climb_init(&climb, 4, 24, 10);
    simulate(&narrow, &climb, 0, 10);
    assert_int_equal(climb.base, 4);
    assert_true(climb.limit >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_and_follows),        cmocka_unit_test(test_an_idle_limit_stays),
        cmocka_unit_test(test_a_fixed_limit_stays),      cmocka_unit_test(test_falls_when_all_fail),
        cmocka_unit_test(test_keeps_between_its_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
