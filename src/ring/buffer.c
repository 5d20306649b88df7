/* SPDX-License-Identifier: MIT */
/* Registered buffers; see buffer.h. */
#include "ring/buffer.h"

#include "base/assert.h"
#include "base/exempt.h"
#include "ring/probe.h"

#include <weir/runtime.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { HOLDER_ENTRIES = 1 };

/* The kernel answers how many slots it has changed. */
static int update(struct io_uring *uring, unsigned slot, void *base, size_t bytes)
{
    struct iovec region = { base, bytes };
    int changed = io_uring_register_buffers_update_tag(uring, slot, &region, NULL, 1);

    return changed < 0 ? changed : 0;
}

void weir__ring_holder_init(struct weir__ring_holder *holder)
{
    *holder = (struct weir__ring_holder){ .is_open = false };
    pthread_mutex_init(&holder->mutex, NULL);
}

void weir__ring_holder_term(struct weir__ring_holder *holder)
{
    if (holder->is_open)
        io_uring_queue_exit(&holder->uring);
}

static int open_holder(struct weir__ring_holder *holder)
{
    int error = io_uring_queue_init(HOLDER_ENTRIES, &holder->uring, 0);

    if (error < 0)
        return error;
    error = io_uring_register_buffers_sparse(&holder->uring, WEIR_BUFFERS_MAX);
    if (error < 0)
        io_uring_queue_exit(&holder->uring);
    holder->is_open = error >= 0;
    return error;
}

int weir__ring_holder_pin(struct weir__ring_holder *holder, unsigned slot, void *base, size_t bytes)
{
    int error = 0;

    weir__exempt_lock(&holder->mutex);
    if (!holder->is_open)
        error = open_holder(holder);
    if (error >= 0)
        error = update(&holder->uring, slot, base, bytes);
    pthread_mutex_unlock(&holder->mutex);
    return error;
}

void weir__ring_holder_drop(struct weir__ring_holder *holder, unsigned slot)
{
    weir__exempt_lock(&holder->mutex);
    WEIR_ASSERT(update(&holder->uring, slot, NULL, 0) == 0);
    pthread_mutex_unlock(&holder->mutex);
}

/* A ring's table is made empty, with all its slots, when the first region comes. */
static int make_table(struct weir__ring *ring)
{
    int error = 0;

    if (!ring->has_buffers)
        error = io_uring_register_buffers_sparse(&ring->uring, WEIR_BUFFERS_MAX);
    ring->has_buffers = error >= 0;
    return error;
}

int weir__ring_buffer_share(struct weir__ring *ring, unsigned slot,
                            const struct weir__ring_holder *holder)
{
    struct weir__clone_buffers clone = {
        .source_fd = (uint32_t)holder->uring.ring_fd,
        .flags = WEIR__CLONE_BUFFERS_REPLACE,
        .source_slot = slot,
        .target_slot = slot,
        .count = 1,
    };
    int error = make_table(ring);

    if (error < 0)
        return error;
    return io_uring_register((unsigned)ring->uring.ring_fd, WEIR__REGISTER_CLONE_BUFFERS, &clone,
                             1);
}

int weir__ring_buffer_pin(struct weir__ring *ring, unsigned slot, void *base, size_t bytes)
{
    int error = make_table(ring);

    return error < 0 ? error : update(&ring->uring, slot, base, bytes);
}

void weir__ring_buffer_drop(struct weir__ring *ring, unsigned slot)
{
    weir__ring_submit(ring); /* what is prepared with the slot finds it when it begins */
    WEIR_ASSERT(update(&ring->uring, slot, NULL, 0) == 0);
}

void weir__ring_buffer_explain(int error, size_t bytes, bool sharing, char *why, size_t why_bytes)
{
    struct rlimit limit = { 0 };

    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (error == -ENOMEM)
        snprintf(why, why_bytes,
                 "weir_buffer_register: ENOMEM: %zu KiB are to be pinned%s, the process has pinned "
                 "%ld KiB, and the memlock limit of its user is %lu KiB; raise it with ulimit -l "
                 "or LimitMEMLOCK=, give CAP_IPC_LOCK, or register less",
                 bytes / 1024, sharing ? "" : " for each loop (shared from Linux 6.13 on)",
                 weir__probe_proc_number("/proc/self/status", "VmPin:", 0),
                 (unsigned long)(limit.rlim_cur / 1024));
    else if (error == -EFAULT)
        snprintf(why, why_bytes,
                 "weir_buffer_register: EFAULT: of the %zu KiB some are not mapped, or cannot be "
                 "written",
                 bytes / 1024);
    else if (error == -EOPNOTSUPP)
        snprintf(why, why_bytes,
                 "weir_buffer_register: EOPNOTSUPP: the kernel pins no memory that maps a file, "
                 "tmpfs and huge pages aside");
    else
        snprintf(why, why_bytes, "weir_buffer_register: %s", strerror(-error));
}
