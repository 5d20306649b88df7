/* SPDX-License-Identifier: MIT */
/*
 * A loop whose thread belongs to somebody else's loop. It sleeps without a thread that sleeps in
 * it: the foreign loop does, and an eventfd of the ring wakes it.
 *
 *             somebody is ready: a round
 *             .------.
 *             v      |   nobody is: timer and doorbell armed, mailbox SLEEPING, events on
 *   AWAKE ------> look ------------------------------------------------------------> ASLEEP
 *     ^                                                                                |
 *     `------------------------- turn: events off, mailbox awake ----------------------'
 *
 * No wake is lost. Mail finds SLEEPING and rings the ring. What the ring completes (the doorbell,
 * an operation, the timer) signals the eventfd, since events are on; what came before they were on
 * is seen by the look at the ring after that.
 *
 * The ring does without DEFER_TASKRUN, since nobody enters it while the foreign loop sleeps: there
 * an event that comes from another eventfd's write is signalled 12 to 18 ms late, and only once per
 * registration (6.18). Without it the kernel interrupts the thread to complete operations, so the
 * foreign wait returns EINTR now and then.
 */
#ifndef WEIR_CORE_DRIVE_H
#define WEIR_CORE_DRIVE_H

#include "core/loop.h"

struct weir__drive {
    struct weir__loop *loop;
    int event_fd;
    bool asleep;
    /* The ring's own timeout, for the wheel's next timer. One that has become too early stays: it
     * costs one turn in vain at most. */
    struct weir__completion timer;
    struct __kernel_timespec timer_at;
    int64_t timer_ns; /* when it will end; INT64_MAX: it is not in the kernel */
};

/* On the loop's thread, with the loop running: 0 or -errno. */
int weir__drive_init(struct weir__drive *drive, struct weir__loop *loop);

/* The loop runs, and nothing of the drive is in the kernel any more. */
void weir__drive_term(struct weir__drive *drive);

/* Awake: no event is signalled, and nobody rings. */
void weir__drive_wake(struct weir__drive *drive);

/* On the loop's main task, awake: at most so many rounds. Returns whether it is asleep; if not, the
 * eventfd is readable. */
bool weir__drive_run(struct weir__drive *drive, unsigned round_count);

#endif
