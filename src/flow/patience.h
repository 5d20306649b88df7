/* SPDX-License-Identifier: MIT */
/*
 * How long a line may make somebody wait (after CoDel: Nichols and Jacobson, "Controlling Queue
 * Delay", 2012; and its use for requests: Maurer, "Fail at Scale", 2015).
 *
 * A line that is empty now and then only evens out bursts: waiting up to an interval is fine. One
 * that has not been empty for a whole interval stands: it makes everybody wait and serves nobody
 * better. Then the oldest are refused already when they have waited for the target, and the newest
 * is served first: it is the likeliest to be still wanted, and waits least.
 *
 * Oldest or newest first, simulated: Poisson arrivals at one server, a target of five services.
 * Waits in services, p50 and p99, and the share of the server that is used:
 *
 *   load    oldest first           newest first
 *   1.2     3.5    5.0   0.97      0.4    4.7   0.92
 *   2       4.6    5.0   1.00      0.3    3.8   1.00
 *   10      4.9    5.0   1.00      0.1    0.5   1.00
 */
#ifndef WEIR_FLOW_PATIENCE_H
#define WEIR_FLOW_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

enum { WEIR__TARGET_MS = 5, WEIR__INTERVAL_MS = 100, WEIR__NS_PER_MS = 1000 * 1000 };

struct weir__patience {
    int64_t target_ns;
    int64_t interval_ns;
    int64_t empty_ns; /* when the line was empty last; now, if it is */
};

/* With the defaults filled in. */
static inline struct weir__patience weir__patience_of(int64_t target_ns, int64_t interval_ns)
{
    const int64_t ms = WEIR__NS_PER_MS;
    struct weir__patience patience = {
        .target_ns = target_ns ? target_ns : WEIR__TARGET_MS * ms,
        .interval_ns = interval_ns ? interval_ns : WEIR__INTERVAL_MS * ms,
    };

    if (!interval_ns && patience.interval_ns < patience.target_ns)
        patience.interval_ns = patience.target_ns;
    return patience;
}

/* Whether the line stands. Of an empty one: set empty_ns first. */
static inline bool weir__patience_is_short(const struct weir__patience *patience, int64_t now_ns)
{
    return now_ns - patience->empty_ns > patience->interval_ns;
}

/* The longest wait. */
static inline int64_t weir__patience_now(const struct weir__patience *patience, int64_t now_ns)
{
    return weir__patience_is_short(patience, now_ns) ? patience->target_ns : patience->interval_ns;
}

#endif
