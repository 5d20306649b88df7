/* SPDX-License-Identifier: MIT */
/*
 * Gauges: queues that come and go, in one list of the process, so that whoever looks at all queues
 * (watch/queue.c) finds those of rooms it need not know.
 */
#ifndef WEIR_BASE_GAUGE_H
#define WEIR_BASE_GAUGE_H

#include "base/list.h"

#include <weir/queue.h>

struct weir__gauge {
    struct weir__list link; /* under the list's lock */
    /* Any thread, under the list's lock, so until the gauge is removed: fills in the figures, which
     * are zero, and the loop -1. May take a lock; may not allocate, nor add or remove gauges. */
    void (*read)(struct weir__gauge *gauge, struct weir_queue_stats *stats);
};

void weir__gauge_add(struct weir__gauge *gauge);

/* When it returns nobody reads the gauge. One that was never added, but is zero, is fine. */
void weir__gauge_remove(struct weir__gauge *gauge);

/* Reads at most `capacity` gauges, in the order in which they were added; how many there are in
 * all. */
size_t weir__gauge_read_all(struct weir_queue_stats *stats, size_t capacity);

/* Sets name and owner, cut to what there is room for. */
void weir__gauge_name(struct weir_queue_stats *stats, const char *name, const char *owner);

#endif
