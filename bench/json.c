/* SPDX-License-Identifier: MIT */
/* JSON lines. Every name in them is one of ours, so nothing needs escaping. */
#include "json.h"

#include <math.h>

static void write_figure(FILE *out, const struct bench *bench, const struct entry *entry,
                         enum metric metric)
{
    const struct metric_facts *facts = &metric_facts[metric];
    struct figure figure = entry_figure(entry, metric);

    if (figure.runs == 0)
        return;
    fprintf(out,
            "{\"bench\":\"%s\",\"contender\":\"%s\",\"metric\":\"%s\",\"unit\":\"%s\","
            "\"better\":\"%s\",\"median\":%.6g,\"min\":%.6g,\"max\":%.6g,\"runs\":%u}\n",
            bench->name, entry->contender->name, facts->name, facts->unit,
            facts->higher_is_better ? "higher" : "lower", figure.median, figure.least, figure.most,
            figure.runs);
}

static void write_comparison(FILE *out, const struct bench *bench, const struct entry *weir,
                             const struct entry *against, enum metric metric)
{
    double ratio = entries_ratio(weir, against, metric);

    if (isnan(ratio))
        return;
    fprintf(out,
            "{\"bench\":\"%s\",\"contender\":\"%s\",\"against\":\"%s\",\"metric\":\"%s\","
            "\"ratio\":%.6g}\n",
            bench->name, weir->contender->name, against->contender->name, metric_facts[metric].name,
            ratio);
}

void json_write(FILE *out, const struct results *results)
{
    const struct entry *entries = results->entries;
    unsigned count = results->entry_count;

    for (unsigned index = 0; index < count; index++)
        for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
            write_figure(out, results->bench, &entries[index], metric);
    for (unsigned weir = 0; weir < count; weir++)
        for (unsigned against = 0; against < count; against++)
            for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
                if (entries_compare(&entries[weir], &entries[against]))
                    write_comparison(out, results->bench, &entries[weir], &entries[against],
                                     metric);
    fflush(out);
}
