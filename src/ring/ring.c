/* SPDX-License-Identifier: MIT */
/*
 * Submitting, waiting, reaping.
 *
 * liburing prepares entries, sets the ring up and probes it. The enter itself is our own call of
 * io_uring_enter2: one function serves poll and wait, and only so can a wait ask for NO_IOWAIT,
 * without which an idle ring shows as 100 % iowait to monitoring (Linux 6.1.39 to 6.14).
 */
#include "ring/ring.h"

#include "base/assert.h"
#include "base/exempt.h"
#include "ring/probe.h"

#include <weir/runtime.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    NS_PER_SECOND = 1000000000,
    FETCH_COUNT = 16, /* completions whose memory is fetched at once */
};

static void doorbell_rung(struct weir__completion *completion, int result, uint32_t flags)
{
    struct weir__ring *ring =
        (struct weir__ring *)((char *)completion - offsetof(struct weir__ring, doorbell));

    (void)result;
    (void)flags;
    ring->doorbell_armed = false;
}

/*
 * Keeps one read on the eventfd in flight, before each wait. Nothing to do with MSG_RING. False
 * when
 * no entry is free for it: then there must be no wait, since the doorbell would not be heard, and
 * what is reaped while room is made may be all that the caller waits for.
 */
bool weir__ring_arm_doorbell(struct weir__ring *ring)
{
    struct io_uring_sqe *sqe;

    if (ring->doorbell_fd < 0 || ring->doorbell_armed)
        return true;
    sqe = io_uring_get_sqe(&ring->uring);
    if (!sqe)
        return false;
    io_uring_prep_read(sqe, ring->doorbell_fd, &ring->doorbell_value, sizeof ring->doorbell_value,
                       0);
    weir__ring_complete_to(sqe, &ring->doorbell);
    ring->doorbell_armed = true;
    return true;
}

/* The queues must not be reachable from a forked child: its writes would move our tail. */
static void keep_from_children(struct weir__ring *ring)
{
    struct io_uring *uring = &ring->uring;

    madvise(uring->sq.ring_ptr, uring->sq.ring_sz, MADV_DONTFORK);
    if (uring->cq.ring_ptr != uring->sq.ring_ptr)
        madvise(uring->cq.ring_ptr, uring->cq.ring_sz, MADV_DONTFORK);
    madvise(uring->sq.sqes, uring->sq.ring_entries * sizeof(struct io_uring_sqe), MADV_DONTFORK);
}

int weir__ring_init(struct weir__ring *ring, const struct weir__ring_options *options, char *why,
                    size_t why_bytes)
{
    int error;

    memset(ring, 0, sizeof *ring);
    ring->counters = options->counters;
    ring->doorbell_fd = -1;
    ring->doorbell.complete = doorbell_rung;
    error = weir__probe_setup(ring, options, why, why_bytes);
    if (error < 0)
        return error;
    keep_from_children(ring);
    weir__probe_features(ring, options);
    if (ring->features & WEIR_FEATURE_SYNC_MSG_RING)
        return 0;
    ring->doorbell_fd = eventfd(0, EFD_CLOEXEC);
    if (ring->doorbell_fd < 0) {
        error = -errno;
        snprintf(why, why_bytes,
                 "eventfd: %s: no descriptor is free for a doorbell; raise ulimit -n",
                 strerror(-error));
        io_uring_queue_exit(&ring->uring);
        return error;
    }
    return 0;
}

void weir__ring_term(struct weir__ring *ring)
{
    if (ring->doorbell_armed) {
        eventfd_write(ring->doorbell_fd, 1);
        while (ring->doorbell_armed)
            weir__ring_wait(ring, INT64_MAX);
    }
    if (ring->doorbell_fd >= 0)
        close(ring->doorbell_fd);
    io_uring_queue_exit(&ring->uring);
}

static inline struct weir__completion *completion_at(const struct io_uring *uring, unsigned index)
{
    const struct io_uring_cqe *cqe = &uring->cq.cqes[index & *uring->cq.kring_mask];

    return (struct weir__completion *)(uintptr_t)cqe->user_data;
}

/* What completions touch lay still for as long as the peers took, and has left the cache: it is
 * fetched for all of them at once, first they themselves, then what they point to. */
static void fetch(const struct io_uring *uring, unsigned head, unsigned end)
{
    if (end - head < 2)
        return;
    for (unsigned at = head; at != end; at++) {
        __builtin_prefetch(completion_at(uring, at));
        __builtin_prefetch((char *)completion_at(uring, at) + 63);
    }
    for (unsigned at = head; at != end; at++) {
        const struct weir__completion *completion = completion_at(uring, at);

        if (!completion)
            continue;
        __builtin_prefetch(completion->touched);
        __builtin_prefetch((const char *)completion->touched + 64);
    }
}

static void deliver(const struct io_uring *uring, unsigned head, unsigned end)
{
    for (; head != end; head++) {
        const struct io_uring_cqe *cqe = &uring->cq.cqes[head & *uring->cq.kring_mask];
        struct weir__completion *completion = completion_at(uring, head);

        if (completion)
            completion->complete(completion, cqe->res, cqe->flags);
    }
}

/* Delivers every event that is there. Returns how many. */
static unsigned reap(struct weir__ring *ring)
{
    struct io_uring *uring = &ring->uring;
    unsigned head = *uring->cq.khead, total = 0, count;

    /* acquire; pairs with the kernel's release after it has written the entries */
    while ((count = io_uring_smp_load_acquire(uring->cq.ktail) - head) > 0) {
        if (WEIR_UNLIKELY(count > ring->completed_max)) {
            ring->completed_max = count;
            weir__counter_set(ring->counters, WEIR_RING_COMPLETED_MAX, count);
        }
        if (count > FETCH_COUNT)
            count = FETCH_COUNT;
        fetch(uring, head, head + count);
        deliver(uring, head, head + count);
        head += count;
        total += count;
        /* release; the kernel may reuse the entries from here on */
        io_uring_smp_store_release(uring->cq.khead, head);
    }
    weir__counter_add(ring->counters, WEIR_RING_COMPLETED, total);
    return total;
}

/* Entries the kernel has not taken yet. */
static unsigned unsubmitted(const struct io_uring *uring)
{
    return uring->sq.sqe_tail - *uring->sq.khead;
}

/* Makes prepared entries visible to the kernel; returns how many it has not taken yet. */
static unsigned flush(struct io_uring *uring)
{
    struct io_uring_sq *sq = &uring->sq;

    if (sq->sqe_head != sq->sqe_tail) {
        sq->sqe_head = sq->sqe_tail;
        /* release; the kernel, in our own enter, acquires the tail before it reads entries */
        io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    }
    return unsubmitted(uring);
}

/*
 * TASKRUN can stay set when its work is done: whoever queues work (another ring's MSG_RING, an
 * interrupt) sets the flag after the work is in the list, and our enter may have run it in between.
 * The kernel clears the flag only when it next runs work. So an enter that brought nothing and
 * leaves it set makes it meaningless until an enter brings something.
 */
static void judge_flags(struct weir__ring *ring, bool progress)
{
    unsigned flags = __atomic_load_n(ring->uring.sq.kflags, __ATOMIC_RELAXED);

    ring->stale_flags = progress ? 0 : flags & IORING_SQ_TASKRUN;
    if (WEIR_UNLIKELY(flags & IORING_SQ_CQ_OVERFLOW))
        weir__counter_add(ring->counters, WEIR_RING_OVERFLOWS, 1);
}

/* What an enter may answer besides a count, and must be lived with:
 * EINTR a signal; ETIME the timeout; EAGAIN, EBUSY memory or an overflow: reap, then try again. */
static void check_enter(int result)
{
    if (result < 0 && result != -EINTR && result != -ETIME && result != -EAGAIN && result != -EBUSY)
        WEIR_DIE("io_uring_enter failed: %s; a ring may be entered by its own thread only, and "
                 "never in a forked child",
                 strerror(-result));
}

static void enter(struct weir__ring *ring, unsigned wait_count, int64_t timeout_ns)
{
    struct io_uring *uring = &ring->uring;
    unsigned flags = IORING_ENTER_GETEVENTS | ring->enter_flags;
    unsigned pending = flush(uring);
    struct __kernel_timespec timeout;
    struct io_uring_getevents_arg arg = { .sigmask_sz = _NSIG / 8 };
    unsigned taken;
    int result;

    if (wait_count && (ring->features & WEIR_FEATURE_NO_IOWAIT))
        flags |= WEIR__ENTER_NO_IOWAIT;
    weir__exempt_open();
    if (wait_count && timeout_ns != INT64_MAX) {
        timeout.tv_sec = timeout_ns / NS_PER_SECOND;
        timeout.tv_nsec = timeout_ns % NS_PER_SECOND;
        arg.ts = (uint64_t)(uintptr_t)&timeout;
        result = io_uring_enter2((unsigned)uring->enter_ring_fd, pending, wait_count,
                                 flags | IORING_ENTER_EXT_ARG, (sigset_t *)&arg, sizeof arg);
    } else {
        result = io_uring_enter2((unsigned)uring->enter_ring_fd, pending, wait_count, flags, NULL,
                                 _NSIG / 8);
    }
    weir__exempt_shut();
    check_enter(result);
    if (WEIR_UNLIKELY(pending > ring->prepared_max)) {
        ring->prepared_max = pending;
        weir__counter_set(ring->counters, WEIR_RING_PREPARED_MAX, pending);
    }
    weir__counter_add(ring->counters, WEIR_RING_ENTERS, 1);
    taken = pending - unsubmitted(uring);
    weir__counter_add(ring->counters, WEIR_RING_SUBMITTED, taken);
    judge_flags(ring, reap(ring) + taken > 0);
}

__attribute__((no_sanitize("thread"))) unsigned
weir__ring_read_pending(const struct weir__ring *ring, struct weir__ring_pending *pending,
                        unsigned max)
{
    const struct io_uring_sq *sq = &ring->uring.sq;
    unsigned head = __atomic_load_n(sq->khead, __ATOMIC_RELAXED);
    unsigned count = __atomic_load_n(sq->ktail, __ATOMIC_RELAXED) - head;

    if (count > sq->ring_entries)
        return 0;
    for (unsigned i = 0; i < count && i < max; i++) {
        const volatile struct io_uring_sqe *sqe = &sq->sqes[(head + i) & *sq->kring_mask];

        pending[i].completion = (const struct weir__completion *)(uintptr_t)sqe->user_data;
        pending[i].opcode = sqe->opcode;
        pending[i].fd = sqe->fd;
    }
    return count;
}

struct io_uring_sqe *weir__ring_sqe(struct weir__ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

    while (WEIR_UNLIKELY(!sqe)) {
        weir__counter_add(ring->counters, WEIR_RING_FLUSHES, 1);
        enter(ring, 0, 0);
        sqe = io_uring_get_sqe(&ring->uring);
    }
    return sqe;
}

void weir__ring_submit(struct weir__ring *ring)
{
    while (unsubmitted(&ring->uring) > 0)
        enter(ring, 0, 0);
}

void weir__ring_poll(struct weir__ring *ring)
{
    enter(ring, 0, 0);
}

void weir__ring_wait(struct weir__ring *ring, int64_t timeout_ns)
{
    enter(ring, weir__ring_arm_doorbell(ring) ? 1 : 0, timeout_ns);
}

int weir__ring_signal_to(struct weir__ring *ring, int event_fd)
{
    if (event_fd < 0)
        return io_uring_unregister_eventfd(&ring->uring);
    weir__ring_signal(ring, false);
    return io_uring_register_eventfd(&ring->uring, event_fd);
}

void weir__ring_signal(struct weir__ring *ring, bool on)
{
    io_uring_cq_eventfd_toggle(&ring->uring, on);
    /* The kernel marks its work, then looks at the switch; here it is the other way round. */
    atomic_thread_fence(memory_order_seq_cst);
}

void weir__ring_doorbell(struct weir__ring *ring)
{
    struct io_uring_sqe sqe = {
        .opcode = IORING_OP_MSG_RING,
        .fd = ring->uring.ring_fd,
    };
    int error = 0;

    weir__exempt_open();
    if (ring->doorbell_fd >= 0) {
        eventfd_write(ring->doorbell_fd, 1);
    } else {
        do {
            error = io_uring_register((unsigned)-1, WEIR__REGISTER_SEND_MSG_RING, &sqe, 1);
        } while (error == -EAGAIN || error == -ENOMEM);
    }
    weir__exempt_shut();
    WEIR_ASSERT(error >= 0); /* or a wake would be lost */
}
