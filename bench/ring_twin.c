/* SPDX-License-Identifier: MIT */
/* The hand-written contenders' ring. */
#include "ring_twin.h"

#include "bench.h"

#include <errno.h>

int ring_twin_open(struct io_uring *ring, unsigned entries)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE,
        .cq_entries = entries * 16,
    };
    int error = io_uring_queue_init_params(entries, ring, &params);

    if (error >= 0)
        io_uring_register_ring_fd(ring);
    return error;
}

struct io_uring_sqe *ring_twin_sqe(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

    if (sqe != NULL)
        return sqe;
    trial_check(io_uring_submit(ring), "io_uring_submit");
    return io_uring_get_sqe(ring);
}

/* Whether the kernel has completions that wait for us to enter it. */
static bool ring_has_work(const struct io_uring *ring)
{
    unsigned flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);

    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static int wait_spinning(struct io_uring *ring, uint64_t spin_ns)
{
    uint64_t until_ns;
    int result = io_uring_submit_and_get_events(ring);

    if (result < 0 || io_uring_cq_ready(ring) > 0)
        return result;
    until_ns = now_ns() + spin_ns;
    do {
        if (ring_has_work(ring))
            return io_uring_get_events(ring);
        CPU_RELAX();
    } while (now_ns() < until_ns);
    return io_uring_submit_and_wait(ring, 1);
}

void ring_twin_wait(struct io_uring *ring, uint64_t spin_ns)
{
    int result = spin_ns > 0 ? wait_spinning(ring, spin_ns) : io_uring_submit_and_wait(ring, 1);

    if (result < 0 && result != -EINTR && result != -EBUSY && result != -EAGAIN)
        trial_check(result, "io_uring_enter");
}
