/* SPDX-License-Identifier: MIT */
/*
 * The rounds: each contender once a round, in turn, so that what the machine does slowly hits all
 * alike. A contender that fails is out, and the others go on.
 */
#include "harness.h"

#include "trial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const struct metric_facts metric_facts[METRIC_COUNT] = {
    [METRIC_OPS_PER_S] = { "ops_per_s", "ops/s", "1/s", true },
    [METRIC_CPU_NS_PER_OP] = { "cpu_ns_per_op", "CPU ns/op", "ns", false },
    [METRIC_P50_US] = { "p50_us", "p50 us", "us", false },
    [METRIC_P99_US] = { "p99_us", "p99 us", "us", false },
    [METRIC_P999_US] = { "p999_us", "p99.9 us", "us", false },
    [METRIC_NS_PER_OP] = { "ns_per_op", "ns/op", "ns", false },
    [METRIC_BYTES_PER_TASK] = { "bytes_per_task", "bytes/task", "bytes", false },
    [METRIC_BYTES_PER_CONNECTION] = { "bytes_per_connection", "bytes/conn", "bytes", false },
};

static const unsigned thread_counts[] = { 4, 8, 16, 32, 64 };

static bool outcome_is_good(const struct outcome *outcome, char reason[static 240])
{
    bool measured = false;

    snprintf(reason, 240, "%s", outcome->error);
    if (outcome->error[0] != '\0')
        return false;
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        measured = measured || !isnan(outcome->values[metric]);
    if (!measured)
        snprintf(reason, 240, "it measured nothing");
    return measured;
}

/* Finds the number of threads with the most operations per second. */
static void tune(const struct bench *bench, const struct settings *settings, struct entry *entry)
{
    struct trial trial = {
        .bench = bench,
        .contender = entry->contender,
        .settings = settings,
        .tuning = true,
    };
    double best = 0;

    fprintf(stderr, " (");
    for (unsigned index = 0; index < sizeof thread_counts / sizeof thread_counts[0]; index++) {
        struct outcome outcome;
        trial.threads = thread_counts[index];
        trial_run(&trial, &outcome);
        if (outcome_is_good(&outcome, entry->reason) && outcome.values[METRIC_OPS_PER_S] > best) {
            best = outcome.values[METRIC_OPS_PER_S];
            entry->threads = trial.threads;
        }
    }
    if (entry->threads != 0)
        entry->reason[0] = '\0';
    fprintf(stderr, "%s: %u threads)", entry->contender->name, entry->threads);
}

/* Fills in whether the contender can run, and with how many threads. */
static void admit(const struct bench *bench, const struct contender *contender,
                  const struct settings *settings, struct entry *entry)
{
    const char *reason = bench->family->why_not ? bench->family->why_not(bench) : NULL;

    memset(entry, 0, sizeof *entry);
    entry->contender = contender;
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        for (unsigned round = 0; round < ROUNDS_MAX; round++)
            entry->values[metric][round] = NAN;
    if (reason == NULL && contender->why_not != NULL)
        reason = contender->why_not(bench);
    if (reason != NULL) {
        snprintf(entry->reason, sizeof entry->reason, "%s", reason);
        entry->skipped = true;
    } else if (contender->threads == THREADS_BEST) {
        tune(bench, settings, entry);
    } else {
        entry->threads = (unsigned)contender->threads;
    }
}

static void run_once(const struct bench *bench, const struct settings *settings, unsigned round,
                     struct entry *entry)
{
    struct trial trial = { bench, entry->contender, settings, entry->threads, round, false };
    struct outcome outcome;

    fprintf(stderr, " %s", entry->contender->name);
    trial_run(&trial, &outcome);
    if (!outcome_is_good(&outcome, entry->reason)) {
        fprintf(stderr, " FAILED (%s)", entry->reason);
        return;
    }
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        entry->values[metric][round] = outcome.values[metric];
    snprintf(entry->note, sizeof entry->note, "%s", outcome.note);
}

void harness_run(const struct bench *bench, const struct settings *settings,
                 struct results *results)
{
    const struct family *family = bench->family;

    results->bench = bench;
    results->round_count = settings->quick ? family->rounds_quick : family->rounds;
    results->entry_count = 0;
    fprintf(stderr, "%-23s", bench->name);
    for (const struct contender *contender = bench->contenders; contender->name; contender++)
        admit(bench, contender, settings, &results->entries[results->entry_count++]);
    for (unsigned round = 0; round < results->round_count; round++) {
        fprintf(stderr, " %u/%u", round + 1, results->round_count);
        for (unsigned index = 0; index < results->entry_count; index++)
            if (entry_ran(&results->entries[index]))
                run_once(bench, settings, round, &results->entries[index]);
    }
    fprintf(stderr, "\n");
}

/* --- What came out --------------------------------------------------------------------------- */

bool entry_ran(const struct entry *entry)
{
    return entry->reason[0] == '\0';
}

bool entry_is_weir(const struct entry *entry)
{
    return strncmp(entry->contender->name, "weir", 4) == 0;
}

/* Its plain form, spinning or not. */
static bool is_plain_weir(const struct entry *entry)
{
    const char *name = entry->contender->name;

    return strcmp(name, "weir") == 0 || strcmp(name, "weir-spin") == 0;
}

struct figure entry_figure(const struct entry *entry, enum metric metric)
{
    struct figure figure = { .median = NAN, .least = NAN, .most = NAN };
    double values[ROUNDS_MAX];

    for (unsigned round = 0; entry_ran(entry) && round < ROUNDS_MAX; round++)
        if (!isnan(entry->values[metric][round]))
            values[figure.runs++] = entry->values[metric][round];
    if (figure.runs > 0) {
        figure.median = median(values, figure.runs); /* sorts them */
        figure.least = values[0];
        figure.most = values[figure.runs - 1];
    }
    return figure;
}

bool entries_compare(const struct entry *weir, const struct entry *against)
{
    if (!entry_is_weir(weir) || weir == against || !entry_ran(weir) || !entry_ran(against) ||
        weir->contender->spin != against->contender->spin)
        return false;
    return is_plain_weir(weir) || strcmp(against->contender->name, "raw") == 0;
}

double entries_ratio(const struct entry *weir, const struct entry *against, enum metric metric)
{
    double ratios[ROUNDS_MAX];
    unsigned count = 0;

    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        double ratio = weir->values[metric][round] / against->values[metric][round];
        if (isfinite(ratio))
            ratios[count++] = ratio;
    }
    return median(ratios, count);
}

double ratio_loss(double ratio, enum metric metric)
{
    return metric_facts[metric].higher_is_better ? 1 - ratio : ratio - 1;
}
