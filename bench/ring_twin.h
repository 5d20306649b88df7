/* SPDX-License-Identifier: MIT */
/*
 * The ring that every hand-written liburing contender and the load generator use: SINGLE_ISSUER,
 * DEFER_TASKRUN, SUBMIT_ALL, TASKRUN_FLAG, a roomy completion queue and a registered ring
 * descriptor, as weir's own.
 */
#ifndef BENCH_RING_TWIN_H
#define BENCH_RING_TWIN_H

#include <liburing.h>
#include <stdint.h>

/* Returns 0 or -errno. */
int ring_twin_open(struct io_uring *ring, unsigned entries);

/* A submission entry; flushes what is prepared when the queue is full. */
struct io_uring_sqe *ring_twin_sqe(struct io_uring *ring);

/*
 * Submits and waits for one completion: in one enter; before it sleeps, looks for completions until
 * spin_ns have passed (0: sleeps at once). Ends the trial on errors.
 */
void ring_twin_wait(struct io_uring *ring, uint64_t spin_ns);

#endif
