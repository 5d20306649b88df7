/* SPDX-License-Identifier: MIT */
/*
 * What the stages' meters say.
 *
 * Enough workers: n workers serve n / service elements a second. More come than are received while
 * the stage holds its senders up: they were parked for the share h of their time, and would
 * otherwise have brought
 *
 *     demand = received / elapsed / (1 - h),   so that   n = demand * service, rounded up.
 *
 * h is time parked over elapsed * senders. Nobody knows how many senders there are: as many as are
 * parked on average, and one more. In a line there is better: what stages before this one could
 * serve also bounds the demand, counted in elements of this stage: capacity * received here /
 * received there.
 */
#include "flow/stage.h"

#include <errno.h>
#include <limits.h>

#define NS_PER_S 1e9

static const double held_share_min = 0.1;    /* less is no pressure */
static const double blocked_share_min = 0.5; /* "most of its time" */

/* One reading of a stage, all of its workers. */
struct figures {
    double elapsed_ns;
    double held_share; /* h; of a stage without a single input: how long its own output held it */
    double lap_ns[WEIR__LAP_COUNT];
    uint64_t received_total;
    uint64_t sent_total;
    uint64_t failed_total;
    bool ended;
};

static void add_meter(struct figures *figures, const struct weir__meter *meter)
{
    uint64_t timed_total = weir__meter_get(&meter->timed_total);
    double scale = 0;

    if (timed_total)
        scale = (double)weir__meter_get(&meter->begun_total) / (double)timed_total;
    for (size_t i = 0; i < WEIR__LAP_COUNT; i++)
        figures->lap_ns[i] += scale * (double)weir__meter_get(&meter->lap_ns[i]);
    figures->received_total += weir__meter_get(&meter->received_total);
    figures->sent_total += weir__meter_get(&meter->sent_total);
    figures->failed_total += weir__meter_get(&meter->failed_total);
}

/* The share of their time that the input's senders were parked for. */
static double parked_share(const struct weir__stage_span *span)
{
    double parked = 0; /* senders, on average */

    if (span->elapsed_ns > 0)
        parked = (double)span->held_ns / (double)span->elapsed_ns;
    return parked / ((double)(uint64_t)parked + 1);
}

static double output_share(const struct figures *figures)
{
    double all_ns = 0;

    for (size_t i = 0; i < WEIR__LAP_COUNT; i++)
        all_ns += figures->lap_ns[i];
    return all_ns > 0 ? figures->lap_ns[WEIR__LAP_OUTPUT] / all_ns : 0;
}

static void read_figures(struct weir_stage *stage, struct figures *figures)
{
    struct weir__stage_span span;

    weir__stage_read_span(stage, &span);
    *figures = (struct figures){ .elapsed_ns = (double)span.elapsed_ns, .ended = span.ended };
    for (size_t i = 0; i < stage->meter_count; i++)
        add_meter(figures, &stage->meters[i]);
    figures->held_share = stage->has_input ? parked_share(&span) : output_share(figures);
}

static double service_ns(const struct figures *figures)
{
    if (!figures->received_total)
        return 0;
    return figures->lap_ns[WEIR__LAP_WORK] / (double)figures->received_total;
}

static double utilisation(const struct weir_stage *stage, const struct figures *figures)
{
    double all_ns = figures->elapsed_ns * stage->parallelism;
    double share = all_ns > 0 ? figures->lap_ns[WEIR__LAP_WORK] / all_ns : 0;

    return share < 1 ? share : 1;
}

/* Elements per ns. */
static double demand(const struct figures *figures)
{
    if (figures->elapsed_ns <= 0)
        return 0;
    return (double)figures->received_total / figures->elapsed_ns / (1 - figures->held_share);
}

/* The product rounded up, but for a hair's breadth above a whole number. */
static unsigned workers_enough(double demand_per_ns, double service)
{
    double workers = demand_per_ns * service - 1e-6;

    if (workers >= UINT_MAX)
        return UINT_MAX;
    return workers > 0 ? (unsigned)workers + 1 : 1;
}

int weir_stage_read_stats(struct weir_stage *stage, struct weir_stage_stats *stats)
{
    struct figures figures;

    if (!stage || !stats)
        return -EINVAL;
    read_figures(stage, &figures);
    *stats = (struct weir_stage_stats){
        .name = stage->name,
        .kind = stage->kind,
        .parallelism = stage->parallelism,
        .ended = figures.ended,
        .received_total = figures.received_total,
        .sent_total = figures.sent_total,
        .failed_total = figures.failed_total,
        .elapsed_ns = (int64_t)figures.elapsed_ns,
        .input_ns = (uint64_t)figures.lap_ns[WEIR__LAP_INPUT],
        .work_ns = (uint64_t)figures.lap_ns[WEIR__LAP_WORK],
        .output_ns = (uint64_t)figures.lap_ns[WEIR__LAP_OUTPUT],
        .service_ns = service_ns(&figures),
        .utilisation = utilisation(stage, &figures),
        .workers_enough = workers_enough(demand(&figures), service_ns(&figures)),
    };
    if (figures.elapsed_ns > 0)
        stats->arrivals_per_s = (double)figures.received_total * NS_PER_S / figures.elapsed_ns;
    return 0;
}

/* --- A line of stages --- */

/* The stage before, as the walk along the line goes. */
struct previous {
    double output_share; /* of its time it waited for its output */
    double bring_per_ns; /* what it could send on, in elements it received: demand or capacity */
    double received;
};

/* The records so far. */
struct best {
    double blocked_share;
    double utilisation;
};

/* What comes to a stage when it holds nothing up, in elements per ns. */
static double coming(const struct figures *figures, const struct previous *previous)
{
    if (!previous)
        return demand(figures);
    if (previous->received <= 0)
        return 0;
    return previous->bring_per_ns * (double)figures->received_total / previous->received;
}

static void judge(const struct weir_stage *stage, const struct figures *figures, int index,
                  struct previous *previous, struct best *best, struct weir_flow_report *report)
{
    double held = index ? previous->output_share : figures->held_share;
    double come = coming(figures, index ? previous : NULL);
    double service = service_ns(figures);
    double blocked_share = output_share(figures);
    double busy = utilisation(stage, figures);

    if (blocked_share > best->blocked_share) {
        best->blocked_share = blocked_share;
        report->blocked = index;
    }
    if (busy > best->utilisation) {
        best->utilisation = busy;
        report->busiest = index;
    }
    if (held >= held_share_min &&
        figures->lap_ns[WEIR__LAP_WORK] > figures->lap_ns[WEIR__LAP_OUTPUT]) {
        report->pressure = index;
        report->workers_enough = workers_enough(come, service);
    }
    previous->output_share = blocked_share;
    previous->bring_per_ns = come;
    if (service > 0 && stage->parallelism / service < come)
        previous->bring_per_ns = stage->parallelism / service;
    previous->received = (double)figures->received_total;
}

int weir_flow_read_report(struct weir_stage *const *stages, size_t count,
                          struct weir_flow_report *report)
{
    struct previous previous = { 0 };
    struct best best = { .blocked_share = blocked_share_min };

    if (!stages || !count || count > INT_MAX || !report)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (!stages[i])
            return -EINVAL;
    *report = (struct weir_flow_report){ .blocked = -1, .busiest = -1, .pressure = -1 };
    for (size_t i = 0; i < count; i++) {
        struct figures figures;

        read_figures(stages[i], &figures);
        judge(stages[i], &figures, (int)i, &previous, &best, report);
    }
    return 0;
}
