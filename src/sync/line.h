/* SPDX-License-Identifier: MIT */
/* A line: what is named, locked, waited for in order of arrival, and counted. A mutex begins with
 * one, and so does a semaphore. */
#ifndef WEIR_SYNC_LINE_H
#define WEIR_SYNC_LINE_H

#include "core/task.h"

struct weir__line {
    struct weir__lock lock; /* also of what the line is for */
    /* Under the lock. */
    struct weir__list waiters; /* weir__waiter.link */
    size_t waiting;            /* those who may still come back to the lock */
    size_t waiting_max;
    uint64_t waited_total;
    uint64_t wait_ns; /* sum over those */
    uint64_t wait_max_ns;
    uint64_t refused_total;
    uint64_t expired_total;
    char name[WEIR_NAME_BYTES]; /* constant */
};

/* Makes `bytes` of zeroes that begin with a line in *made. `nameless` is the name for a NULL one.
 * Returns 0. Errors: -E2BIG name too long; -ENOMEM; -EOWNERDEAD. */
int weir__line_create(void **made, size_t bytes, const char *name, const char *nameless);

/*
 * Called under the lock, returns without it: waits as the last one. Returns what whoever claimed
 * the waiter has set as its result; else -EAGAIN, -ETIME, -ECANCELED.
 */
int weir__line_wait(struct weir__line *line, const struct weir__reason *reason, const void *object,
                    int64_t deadline_ns);

#endif
