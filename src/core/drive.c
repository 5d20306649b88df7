/* SPDX-License-Identifier: MIT */
/* Rounds of a loop that is driven from outside; see drive.h. */
#include "core/drive.h"

#include "base/clock.h"
#include "core/sched.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { NS_PER_SECOND = 1000000000 };

static void timer_ended(struct weir__completion *completion, int result, uint32_t flags)
{
    struct weir__drive *drive = WEIR_CONTAINER_OF(completion, struct weir__drive, timer);

    (void)result;
    (void)flags;
    drive->timer_ns = INT64_MAX;
}

int weir__drive_init(struct weir__drive *drive, struct weir__loop *loop)
{
    int error;

    *drive = (struct weir__drive){
        .loop = loop,
        .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .timer.complete = timer_ended,
        .timer_ns = INT64_MAX,
    };
    if (drive->event_fd < 0)
        return -errno;
    error = weir__ring_signal_to(&loop->ring, drive->event_fd);
    if (error < 0)
        close(drive->event_fd);
    return error;
}

void weir__drive_term(struct weir__drive *drive)
{
    struct weir__ring *ring = &drive->loop->ring;
    struct io_uring_sqe *sqe;

    if (drive->timer_ns != INT64_MAX) {
        sqe = weir__ring_sqe(ring);
        io_uring_prep_timeout_remove(sqe, (uint64_t)(uintptr_t)&drive->timer, 0);
        weir__ring_complete_to(sqe, NULL);
    }
    while (drive->timer_ns != INT64_MAX)
        weir__ring_wait(ring, INT64_MAX);
    weir__ring_signal_to(ring, -1);
    close(drive->event_fd);
}

void weir__drive_wake(struct weir__drive *drive)
{
    eventfd_t count;

    weir__ring_signal(&drive->loop->ring, false);
    weir__loop_woke(drive->loop);
    eventfd_read(drive->event_fd, &count); /* also when nobody has written: it does not wait */
    drive->loop->now_ns = weir__clock_now();
    drive->loop->looked_ns = drive->loop->now_ns;
    drive->asleep = false;
}

/* The kernel will end a timeout not later than `until_ns`. */
static void arm_timer(struct weir__drive *drive, int64_t until_ns)
{
    bool in_kernel = drive->timer_ns != INT64_MAX;
    struct io_uring_sqe *sqe;

    if (until_ns >= drive->timer_ns)
        return;
    drive->timer_at.tv_sec = until_ns / NS_PER_SECOND;
    drive->timer_at.tv_nsec = until_ns % NS_PER_SECOND;
    sqe = weir__ring_sqe(&drive->loop->ring);
    if (in_kernel) {
        io_uring_prep_timeout_update(sqe, &drive->timer_at, (uint64_t)(uintptr_t)&drive->timer,
                                     IORING_TIMEOUT_ABS);
        weir__ring_complete_to(sqe, NULL);
    } else {
        io_uring_prep_timeout(sqe, &drive->timer_at, 0, IORING_TIMEOUT_ABS);
        weir__ring_complete_to(sqe, &drive->timer);
    }
    drive->timer_ns = until_ns;
}

/* Nobody is ready. False: somebody is again, or something is to be looked at. */
static bool fall_asleep(struct weir__drive *drive)
{
    struct weir__loop *loop = drive->loop;
    struct weir__ring *ring = &loop->ring;
    int64_t until_ns = weir__loop_rest(loop);

    arm_timer(drive, until_ns);
    if (!weir__ring_arm_doorbell(ring))
        return false;
    if (weir__ring_has_work(ring))
        weir__ring_poll(ring);
    /* What was reaped may have made somebody ready, or ended the timer just as it was armed. */
    if (weir__loop_has_ready(loop) || drive->timer_ns > until_ns ||
        !weir__mailbox_sleep(&loop->mailbox))
        return false;
    weir__ring_signal(ring, true);
    if (weir__ring_has_work(ring) || ring->stale_flags)
        weir__ring_poll(ring);
    drive->asleep = !weir__loop_has_ready(loop) && drive->timer_ns <= until_ns &&
                    !weir__mailbox_has_mail(&loop->mailbox);
    if (drive->asleep)
        weir__counter_add(&loop->counters, WEIR_SLEEPS, 1);
    else
        weir__drive_wake(drive);
    return drive->asleep;
}

bool weir__drive_run(struct weir__drive *drive, unsigned round_count)
{
    for (unsigned round = 0; round < round_count; round++) {
        weir__loop_look(drive->loop);
        if (weir__loop_has_ready(drive->loop))
            weir__sched_yield(drive->loop);
        else if (fall_asleep(drive))
            return true;
    }
    eventfd_write(drive->event_fd, 1);
    return false;
}
