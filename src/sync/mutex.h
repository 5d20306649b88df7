/* SPDX-License-Identifier: MIT */
/*
 * What a mutex is made of, for those who look at it.
 *
 *            lock                      unlock, somebody waits: handed over
 *   FREE -----------> HELD by a wait -------------------------------------> HELD by the next
 *     ^                |   |
 *     `-- unlock ------'   `-- its task ends ---> ABANDONED, for good
 *
 * The owner is known by its wait, which is a task's or a thread's. A task's mutexes hang in its
 * list of ends: so its end finds those it still holds, and whoever looks at the task does too.
 * Between a hand-over and the moment its new owner runs, the mutex hangs in nobody's list.
 */
#ifndef WEIR_SYNC_MUTEX_H
#define WEIR_SYNC_MUTEX_H

#include "sync/line.h"

#include <weir/mutex.h>

struct weir_mutex {
    struct weir__line line;
    /* Under its lock. */
    const struct weir__wait *owner; /* NULL: free */
    struct weir_task *owner_task;   /* NULL: free, or a plain thread's */
    int owner_thread;               /* of a plain thread: its number in the kernel */
    bool abandoned;
    int64_t since_ns; /* when the owner got it */
    uint64_t locked_total;
    struct weir__task_end end; /* in its task's list of ends */
};

/* Why one waits for a mutex; the object is the mutex. */
extern const struct weir__reason weir__mutex_awaits;

/* One of those in a task's list of ends: the mutex, or NULL when it is something else. */
struct weir_mutex *weir__mutex_of_end(struct weir__task_end *end);

#endif
