/* SPDX-License-Identifier: MIT */
/*
 * Every queue that there is, in one walk: how deep it is, how deep it ever was, how long things
 * waited, and what its bound turned away. When a server is overloaded, the first queue that is full
 * says where.
 *
 * A queue holds at most `limit` of something. Whoever finds it full waits, is refused, waits for a
 * while (expires), or has something dropped: as its options say.
 *
 *   of each loop     "disk reads", "disk writes", "zero-copy sends": operations in flight, and who
 *                    waits for the right to one more; "tasks"; "remote spawns" on their way in;
 *                    "receive buffers"; "submissions" prepared for the ring, and its
 *                    "completions"
 *   of the runtime   "memory" for tasks and buffers; "stacks"; "registered buffers"
 *   of pools         "jobs" queued; the owner is the pool's name; "answers" kept by the resolver
 *   of the process   channels that have a name; connections of listeners; handlers of ports; other
 *                    bounded helpers that have a name
 *
 * Example:
 *     static void show(const struct weir_queue_stats *queue, void *context)
 *     {
 *         if (queue->now >= queue->limit || queue->refused_count > 0)
 *             fprintf(context, "%s of %s: %llu of %llu\n", queue->name, queue->owner,
 *                     (unsigned long long)queue->now, (unsigned long long)queue->limit);
 *     }
 *     ...
 *     weir_queue_walk(show, stderr);
 */
#ifndef WEIR_QUEUE_H
#define WEIR_QUEUE_H

#include <weir/base.h>

#define WEIR_QUEUE_NAME_BYTES 32 /* a name with its final zero */

/* What does not apply to a kind of queue is 0. Figures of one queue belong together; those of two
 * may be a few events apart. */
struct weir_queue_stats {
    char name[WEIR_QUEUE_NAME_BYTES];
    char owner[WEIR_QUEUE_NAME_BYTES]; /* "loop", "runtime", a pool's name, "channel", ... */
    int loop_index;                    /* whose it is; -1: no loop's */
    bool in_bytes;                     /* limit, now and now_max are bytes; else things */
    uint64_t limit;
    uint64_t now;
    uint64_t now_max;      /* the most so far */
    uint64_t waiting;      /* for room, now */
    uint64_t waiting_max;  /* the most so far */
    uint64_t waited_count; /* that had to wait, waits that ended; of a pool: all jobs run */
    uint64_t wait_ns;      /* sum over those */
    uint64_t wait_max_ns;
    uint64_t refused_count; /* found it full, and did not wait */
    uint64_t expired_count; /* waited in vain: by their deadline, or the queue's own limit */
    uint64_t dropped_count; /* went in, and made another go, or went nowhere */
    uint64_t reserved[4];
};

/* Gets one queue's figures during weir_queue_walk, under no lock. */
typedef void weir_queue_visit_fn(const struct weir_queue_stats *queue, void *context);

WEIR_BEGIN

/*
 * Visits every queue of the calling task's runtime, and those of the process. A plain thread sees
 * the latter only. Returns how many. Errors: -EINVAL; -ENOMEM.
 */
WEIR_API int weir_queue_walk(weir_queue_visit_fn *visit,
                             void *context) WEIR_ANY_THREAD WEIR_SUSPENDS;

WEIR_END

#endif
