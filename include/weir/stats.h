/* SPDX-License-Identifier: MIT */
/*
 * Counters. Each loop writes its own; a snapshot adds them up without stopping anybody, so figures
 * of one snapshot may be a few events apart. Counters only grow, except those named *_NOW, which
 * are levels.
 *
 * Example:
 *     uint64_t counters[WEIR_COUNTER_COUNT];
 *     if (weir_stats_read(counters, WEIR_COUNTER_COUNT) >= 0)
 *         for (int i = 0; i < WEIR_COUNTER_COUNT; i++)
 *             printf("%s %llu\n", weir_counter_name(i), (unsigned long long)counters[i]);
 */
#ifndef WEIR_STATS_H
#define WEIR_STATS_H

#include <weir/base.h>

enum weir_counter {
    WEIR_TASKS_NOW,
    WEIR_TASKS_STARTED,
    WEIR_TASKS_FAILED,
    WEIR_FAILURES_REPORTED,
    WEIR_SPAWNS_WAITED,  /* parked at the bound on tasks */
    WEIR_SPAWN_WAIT_NS,  /* and how long in all */
    WEIR_SPAWNS_REFUSED, /* -EAGAIN at the bound */
    WEIR_SPAWNS_EXPIRED,
    WEIR_STACKS_NOW, /* in use */
    WEIR_STACKS_KEPT_NOW,
    WEIR_STACK_BYTES_NOW, /* address space mapped */
    WEIR_SWITCHES,
    WEIR_TURNS,
    WEIR_SLEEPS, /* entered the kernel to wait */
    WEIR_SPINS,
    WEIR_SPINS_WON, /* an event came while spinning */
    WEIR_MAIL_RECEIVED,
    WEIR_DOORBELLS_RUNG, /* to other loops that slept */
    WEIR_TIMERS_NOW,
    WEIR_CANCELS_RECEIVED,
    WEIR_CALLBACKS_RUN,
    WEIR_OPS_INLINE,
    WEIR_OPS_RING,
    WEIR_OPS_POOL,
    WEIR_OPS_CANCELLED,      /* ended by a cancel */
    WEIR_OPS_EXPIRED,        /* ended by their deadline */
    WEIR_SUBMISSIONS_NOW,    /* credits of the submission queues in use */
    WEIR_SUBMISSIONS_WAITED, /* parked for a credit */
    WEIR_SUBMISSION_WAIT_NS,
    WEIR_SUBMISSIONS_REFUSED,
    WEIR_SUBMISSIONS_EXPIRED,
    WEIR_RING_ENTERS,
    WEIR_RING_SUBMITTED,
    WEIR_RING_COMPLETED,
    WEIR_RING_OVERFLOWS, /* zero, or the completion queue was too small */
    WEIR_OPS_REGISTERED, /* on the ring, with a registered buffer */
    WEIR_BUFFERS_NOW,    /* registered regions, and how much they pin */
    WEIR_BUFFER_BYTES_NOW,
    WEIR_OPS_REFUSED,  /* direct I/O: by the ring, then done by the pool */
    WEIR_OPS_REROUTED, /* direct I/O: to the pool at once */

    WEIR_RECEIVE_BUFFERS_NOW,     /* hold bytes that no stream's reader has taken */
    WEIR_RECEIVE_BUFFERS_MAX,     /* the most of each loop so far, added up */
    WEIR_RECEIVE_BUFFERS_MISSING, /* -ENOBUFS: bytes came, and no buffer was left */
    WEIR_STREAMS_STARVED,         /* reads that found none, and used memory of their own */

    /* Deadlines that passed, by what they were spent on; see weir_expired_phase. Waits of the
     * runtime's own within a call (between two tries, say) count too. */
    WEIR_EXPIRED_BEFORE, /* had passed before the caller last parked */
    WEIR_EXPIRED_TASK,
    WEIR_EXPIRED_TIMER, /* the caller had slept too long before */
    WEIR_EXPIRED_READY_QUEUE,
    WEIR_EXPIRED_SPAWN_QUEUE,
    WEIR_EXPIRED_SUBMISSION_QUEUE,
    WEIR_EXPIRED_POOL_QUEUE,
    WEIR_EXPIRED_POOL,
    WEIR_EXPIRED_DEVICE,
    WEIR_EXPIRED_PEER,

    /* Stalls, see weir/stall.h. */
    WEIR_STALLS,            /* found */
    WEIR_STALL_NS,          /* how long they lasted, added as each ends */
    WEIR_STALLS_UNREPORTED, /* within an interval of a report */

    /* What the queues of weir_queue_walk need beside the above. */
    WEIR_TASKS_MAX,         /* the most of each loop so far, added up */
    WEIR_SPAWN_WAIT_MAX_NS, /* the longest wait for room of all loops */
    WEIR_SPAWNS_WAITING_NOW,

    WEIR_BLOCKING_CALLS,   /* of tasks, that could have blocked; see weir/blocking.h */
    WEIR_BLOCKING_SITES,   /* places of such calls, found first on this loop */
    WEIR_BLOCKING_UNNAMED, /* such calls at places for which the table had no room */

    /* Watchdogs, see weir/watchdog.h. */
    WEIR_WATCHDOG_LOOKS,    /* at all tasks */
    WEIR_DEADLOCKS,         /* told of */
    WEIR_MUTEXES_HELD_LONG, /* and these */
    WEIR_DRAINS_STOPPED,
    WEIR_OPS_OVERDUE,
    WEIR_TASKS_GROWING, /* loops whose tasks only became more */
    WEIR_CHANS_DROPPING,

    /* The most of each loop so far, added up. */
    WEIR_SPAWNS_WAITING_MAX,
    WEIR_RING_PREPARED_MAX,  /* entries that waited to be submitted */
    WEIR_RING_COMPLETED_MAX, /* completions that waited to be reaped */

    WEIR_BUFFERS_NOW_MAX, /* registered regions: the most so far */
    WEIR_BUFFERS_REFUSED, /* one more than there may be */

    WEIR_RING_FLUSHES, /* one more entry was wanted than there are: the others were submitted */

    WEIR_REPORT_LINES_DROPPED, /* of all reports of the process: standard error was full */

    WEIR_COUNTER_COUNT,
};

/* Where one kind of operation ran; see weir_stats_read_op. */
struct weir_op_stats {
    const char *name; /* such as "pread" */
    uint64_t inline_count;
    uint64_t ring_count;
    uint64_t pool_count;
    uint64_t failed_count;         /* ended with an error, cancel and deadline included */
    uint64_t cancelled_count;      /* ended by a cancel */
    uint64_t expired_count;        /* ended by their deadline */
    uint64_t missed_count;         /* tries of the page cache that found not all; hits are inline */
    uint64_t refused_count;        /* direct I/O that the ring refused, and the pool did */
    uint64_t rerouted_count;       /* direct I/O that the pool got at once: too many were refused */
    uint64_t expired_queued_count; /* of those expired: waiting for a credit, or for the pool */
    uint64_t expired_ready_count;  /* of those expired: their loop was busy */
    uint64_t reserved[2];
};

WEIR_BEGIN

/*
 * What the deadline of the calling task's last call that returned -ETIME was spent on.
 *
 * Parked when it passed: on what the call waited for then. But if the loop was busy for the larger
 * part of the time between park and deadline (it had last looked at its timers before the middle of
 * it, and did not sleep since), WEIR_PHASE_READY_QUEUE: the loop came too late to everything.
 *
 * Passed already when the call began: WEIR_PHASE_READY_QUEUE if the task was ready by then and had
 * not got its turn; else what its wait before this call was for; WEIR_PHASE_NONE if the deadline
 * had passed before that wait, too.
 *
 * Times are those of the loop's reading of the clock, once a turn. WEIR_PHASE_NONE without such a
 * call, and on a plain thread.
 */
WEIR_API enum weir_phase weir_expired_phase(void) WEIR_ANY_THREAD;

/* "device" and so on; NULL when there is no such phase. */
WEIR_API const char *weir_phase_name(enum weir_phase phase) WEIR_ANY_THREAD;

/*
 * Adds up the counters of all loops of the calling task's runtime; `count` says how many entries
 * `counters` has. Returns the number written. Errors: -EINVAL; -ENXIO not in a task.
 */
WEIR_API int weir_stats_read(uint64_t *counters, size_t count);

/* "tasks_now" and so on; NULL when there is no such counter. */
WEIR_API const char *weir_counter_name(int counter) WEIR_ANY_THREAD;

/*
 * The figures of the index-th kind of operation, over all loops of the calling task's runtime.
 * Returns 0. Errors: -ENOENT no such index; -EINVAL; -ENXIO not in a task.
 */
WEIR_API int weir_stats_read_op(unsigned index, struct weir_op_stats *stats);

WEIR_END

#endif
