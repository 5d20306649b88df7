/* SPDX-License-Identifier: MIT */
/*
 * One io_uring per loop: the only code that touches its two queues. Owned by the loop's thread;
 * only weir__ring_doorbell may be called from elsewhere.
 *
 * A submission's user_data is the address of a completion, whose memory must live until the kernel
 * has posted its last event: so it is unique while it matters, and nothing is looked up.
 *
 * The completion queue cannot overflow. It has at least four times the entries of the submission
 * queue, and 64. One enter adds at most the events of what it submits (one submission queue full)
 * and those of deferred work (twice 20 on DEFER_TASKRUN rings, from Linux 6.13 on), and the queue
 * is
 * reaped empty after every enter. Older kernels, and rings without DEFER_TASKRUN, bring all that is
 * done at once: then it may overflow, which is lossless (NODROP) and counted.
 */
#ifndef WEIR_RING_RING_H
#define WEIR_RING_RING_H

#include "base/counter.h"

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

/* Newer than the packaged liburing's header, used by rows: Linux 6.2. A zero-copy send's notice
 * then says whether the bytes were copied after all. */
enum { WEIR__SEND_ZC_REPORT_USAGE = 1 << 3 };
#define WEIR__NOTIF_USAGE_ZC_COPIED (1u << 31)

struct weir__completion {
    /* Runs on the ring's thread during a reap. May not park, and may not submit. */
    void (*complete)(struct weir__completion *completion, int result, uint32_t flags);
    const void *touched; /* what it is going to touch; fetched ahead. A hint, may be NULL */
};

struct weir__ring_options {
    unsigned entries;           /* a power of two */
    unsigned without_features;  /* enum weir_feature bits */
    unsigned napi_busy_poll_us; /* 0: not asked for */
    bool napi_prefer;
    struct weir__counters *counters;
};

struct weir__ring {
    struct io_uring uring;
    unsigned features;    /* enum weir_feature bits obtained */
    unsigned setup_flags; /* IORING_SETUP_* obtained */
    unsigned enter_flags; /* IORING_ENTER_REGISTERED_RING when the ring descriptor is registered */
    unsigned cq_entries;
    int doorbell_fd; /* eventfd; -1 when MSG_RING rings */
    uint64_t doorbell_value;
    struct weir__completion doorbell;
    bool doorbell_armed;
    unsigned stale_flags; /* IORING_SQ_TASKRUN while it is set without work behind it */
    uint8_t ops_supported[256 / 8];
    unsigned prepared_max, completed_max; /* as the counters, nearer */
    bool has_buffers;                     /* a table of registered ones was made; buffer.c */
    struct weir__counters *counters;
};

/*
 * Sets the ring up on the calling thread. On failure returns -errno, and `why` holds cause,
 * evidence and remedy in one sentence each.
 */
int weir__ring_init(struct weir__ring *ring, const struct weir__ring_options *options, char *why,
                    size_t why_bytes);

/* Nothing may be in flight any more, the doorbell aside. */
void weir__ring_term(struct weir__ring *ring);

/* Whether the kernel knows an IORING_OP_*. */
static inline bool weir__ring_supports(const struct weir__ring *ring, unsigned opcode)
{
    return ring->ops_supported[opcode / 8] >> (opcode % 8) & 1;
}

/*
 * A free submission entry, never NULL: a full queue is submitted (and what completed is reaped)
 * first. The caller prepares it with io_uring_prep_* and then sets its completion.
 */
struct io_uring_sqe *weir__ring_sqe(struct weir__ring *ring);

/* `completion` NULL: nobody listens to the result. */
static inline void weir__ring_complete_to(struct io_uring_sqe *sqe,
                                          struct weir__completion *completion)
{
    sqe->user_data = (uint64_t)(uintptr_t)completion;
}

/* Whether an enter would do anything: entries to submit, or work that waits in the kernel. */
static inline bool weir__ring_has_work(const struct weir__ring *ring)
{
    const struct io_uring *uring = &ring->uring;
    /* relaxed: the kernel sets the flag and does the work only in our own enter */
    unsigned kernel_flags = __atomic_load_n(uring->sq.kflags, __ATOMIC_RELAXED);

    return uring->sq.sqe_tail != *uring->sq.khead ||
           (kernel_flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW) & ~ring->stale_flags) ||
           io_uring_cq_ready(uring) > 0;
}

/* An entry that was given to the kernel, which has not taken it. */
struct weir__ring_pending {
    const struct weir__completion *completion; /* may be gone */
    unsigned opcode;                           /* IORING_OP_* */
    int fd;
};

/*
 * Any thread, while nothing moves in the ring: the entries that the enter which is under way has
 * been given and not taken, up to `max` of them; returns their number. The kernel takes them all
 * when the last of them has begun. What is read is a guess as soon as the ring moves.
 */
unsigned weir__ring_read_pending(const struct weir__ring *ring, struct weir__ring_pending *pending,
                                 unsigned max);

/* When it returns, the kernel has begun all that was prepared. */
void weir__ring_submit(struct weir__ring *ring);

/* Submits, runs the kernel's deferred work, reaps. Does not wait. */
void weir__ring_poll(struct weir__ring *ring);

/* As poll, but waits for an event, at most timeout_ns (INT64_MAX: without end). */
void weir__ring_wait(struct weir__ring *ring, int64_t timeout_ns);

/*
 * For a ring whose thread waits elsewhere: from now on what completes is also signalled to an
 * eventfd (-1: no more), as long as it is switched on. Returns 0 or -errno.
 */
int weir__ring_signal_to(struct weir__ring *ring, int event_fd);

/* What completes after this is signalled, or is not. What came before must be looked for. */
void weir__ring_signal(struct weir__ring *ring, bool on);

/* Makes the doorbell heard by a ring that is not about to wait; false: poll, and try again. */
bool weir__ring_arm_doorbell(struct weir__ring *ring);

/*
 * Wakes the thread that waits in `ring`, from any thread, also one without a ring. The event counts
 * as a completion; it carries nothing.
 */
void weir__ring_doorbell(struct weir__ring *ring);

#endif
