/* SPDX-License-Identifier: MIT */
/*
 * Tables. A cell is: weir's value as a multiple of this contender's, then the contender's own
 * median and half its spread from the least to the most. A `!` marks where weir is worse by over
 * 3 %, except than the bare limits, which are to be approached and not beaten.
 */
#include "report.h"

#include <math.h>
#include <string.h>

#define WORSE 0.03

enum { CELL_COLUMNS = 21 };

static void format_value(char *text, size_t room, double value)
{
    if (value >= 1e6)
        snprintf(text, room, "%.2fM", value / 1e6);
    else if (value >= 1e4)
        snprintf(text, room, "%.1fk", value / 1e3);
    else if (value >= 100)
        snprintf(text, room, "%.0f", value);
    else
        snprintf(text, room, value >= 10 ? "%.1f" : "%.2f", value);
}

static bool metric_used(const struct results *results, enum metric metric)
{
    for (unsigned index = 0; index < results->entry_count; index++)
        if (entry_figure(&results->entries[index], metric).runs > 0)
            return true;
    return false;
}

/* The plain form of weir that is compared with this contender; NULL: none. */
static const struct entry *weir_for(const struct results *results, const struct entry *entry)
{
    for (unsigned index = 0; index < results->entry_count; index++)
        if (entries_compare(&results->entries[index], entry))
            return &results->entries[index];
    return NULL;
}

/* The bare limits are to be approached, not beaten. */
static bool is_limit(const struct entry *entry)
{
    return strncmp(entry->contender->name, "raw", 3) == 0;
}

static void print_cell(FILE *out, const struct results *results, const struct entry *entry,
                       enum metric metric)
{
    struct figure figure = entry_figure(entry, metric);
    const struct entry *weir = weir_for(results, entry);
    double ratio = weir != NULL ? entries_ratio(weir, entry, metric) : NAN;
    char value[16], times[16] = "", cell[64];
    double spread;

    if (figure.runs == 0) {
        fprintf(out, "%-*s", CELL_COLUMNS, "        -");
        return;
    }
    format_value(value, sizeof value, figure.median);
    if (!isnan(ratio))
        snprintf(times, sizeof times, ratio < 10 ? "%.2fx%s" : "%.0fx%s", ratio,
                 !is_limit(entry) && ratio_loss(ratio, metric) > WORSE ? "!" : "");
    spread = figure.median > 0 ? (figure.most - figure.least) / figure.median * 50 : 0;
    snprintf(cell, sizeof cell, "%-7s %s ±%.0f%%", times, value, spread);
    fprintf(out, "%-*s", CELL_COLUMNS + 1, cell); /* the sign is two bytes, one column */
}

static void print_row(FILE *out, const struct results *results, const struct entry *entry)
{
    if (!entry_ran(entry)) {
        fprintf(out, "  %-14s%s: %s\n", entry->contender->name,
                entry->skipped ? "skipped" : "FAILED", entry->reason);
        return;
    }
    fprintf(out, "  %-14s", entry->contender->name);
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        if (metric_used(results, metric))
            print_cell(out, results, entry, metric);
    if (entry->threads != 0)
        fprintf(out, "%u threads", entry->threads);
    fprintf(out, "%s\n", entry->note);
}

/* Weir's other forms against the bare limit: no row shows that. */
static void print_other_forms(FILE *out, const struct results *results)
{
    for (unsigned weir = 0; weir < results->entry_count; weir++) {
        const struct entry *form = &results->entries[weir];
        for (unsigned index = 0; index < results->entry_count; index++) {
            const struct entry *against = &results->entries[index];
            if (!entries_compare(form, against) || weir_for(results, against) == form)
                continue;
            fprintf(out, "  %s is", form->contender->name);
            for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
                if (!isnan(entries_ratio(form, against, metric)))
                    fprintf(out, " %.2fx in %s", entries_ratio(form, against, metric),
                            metric_facts[metric].head);
            fprintf(out, " of %s\n", against->contender->name);
        }
    }
}

void report_table(FILE *out, const struct results *results)
{
    const struct bench *bench = results->bench;

    fprintf(out, "\n%s: %s (%u runs each)\n", bench->name, bench->question, results->round_count);
    fprintf(out, "  %-14s", "");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        if (metric_used(results, metric))
            fprintf(out, "%s %-*s", "weir is", CELL_COLUMNS - 8, metric_facts[metric].head);
    fprintf(out, "\n");
    for (unsigned index = 0; index < results->entry_count; index++)
        print_row(out, results, &results->entries[index]);
    print_other_forms(out, results);
    fprintf(out, "  (%s)\n", bench->family->policy);
    fflush(out);
}

/* --- Summaries ------------------------------------------------------------------------------- */

static bool is_pool(const struct entry *entry)
{
    return strncmp(entry->contender->name, "threads", 7) == 0 ||
           strncmp(entry->contender->name, "libuv", 5) == 0;
}

/* The fastest of the thread pools; NULL: none ran. */
static const struct entry *best_pool(const struct results *results)
{
    const struct entry *best = NULL;

    for (unsigned index = 0; index < results->entry_count; index++) {
        const struct entry *entry = &results->entries[index];
        struct figure figure = entry_figure(entry, METRIC_OPS_PER_S);
        if (is_pool(entry) && figure.runs > 0 &&
            (best == NULL || figure.median > entry_figure(best, METRIC_OPS_PER_S).median))
            best = entry;
    }
    return best;
}

static void print_over_pool(FILE *out, const struct results *results)
{
    const struct entry *pool = best_pool(results);
    const struct entry *weir = pool != NULL ? weir_for(results, pool) : NULL;

    if (weir == NULL || isnan(entries_ratio(weir, pool, METRIC_CPU_NS_PER_OP)))
        return;
    fprintf(out, "  %-24s%6.2fx the operations/s at %5.2fx the CPU each of the fastest (%s",
            results->bench->name, entries_ratio(weir, pool, METRIC_OPS_PER_S),
            entries_ratio(weir, pool, METRIC_CPU_NS_PER_OP), pool->contender->name);
    if (pool->threads != 0)
        fprintf(out, ", %u threads", pool->threads);
    fprintf(out, ")\n");
}

/* One line per contender that weir is worse than in something. Returns whether there was a line. */
static bool print_loss(FILE *out, const struct results *results, const struct entry *against)
{
    const struct entry *weir = weir_for(results, against);
    bool any = false;

    if (weir == NULL || is_limit(against) || entry_is_weir(against))
        return false;
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
        double ratio = entries_ratio(weir, against, metric);
        if (isnan(ratio) || ratio_loss(ratio, metric) <= WORSE)
            continue;
        if (!any)
            fprintf(out, "  %-24s%s to %s:", results->bench->name, weir->contender->name,
                    against->contender->name);
        fprintf(out, "%s %.2fx in %s", any ? "," : "", ratio, metric_facts[metric].head);
        any = true;
    }
    if (any)
        fprintf(out, "\n");
    return any;
}

void report_summary(FILE *out, const struct results *results, unsigned count)
{
    bool any = false;

    fprintf(out, "\nover thread pools and libuv, weir gives here\n");
    for (unsigned index = 0; index < count; index++)
        print_over_pool(out, &results[index]);
    fprintf(out, "\nweir loses by more than %.0f %% (bare limits apart)\n", WORSE * 100);
    for (unsigned index = 0; index < count; index++)
        for (unsigned against = 0; against < results[index].entry_count; against++)
            any = print_loss(out, &results[index], &results[index].entries[against]) || any;
    if (!any)
        fprintf(out, "  nowhere in this run\n");
}
