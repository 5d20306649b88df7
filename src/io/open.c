/* SPDX-License-Identifier: MIT */
/*
 * Opening. A path may lead to a cold disk, a dead server or a FIFO, so it is the pool's business;
 * except for what is proven to be at hand: a path that the dentry cache resolves (openat2 with
 * RESOLVE_CACHED) to a file or directory on a local disk. That is looked at through O_PATH first,
 * since to open a FIFO or a device is an effect already: a writer who waits for a reader would see
 * one come and go.
 */
#include "base/kernel.h"
#include "core/loop.h"
#include "io/descriptor.h"
#include "io/file.h"
#include "io/io.h"
#include "pool/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

/* What makes or empties files goes to the disk; with O_PATH nothing is opened at all. */
enum { POOL_FLAGS = O_CREAT | O_TRUNC | O_PATH | (O_TMPFILE & ~O_DIRECTORY) };

/* The few system calls of a look at a cached path cost a third of the CPU of a lone trip to the
 * pool, and half of its time. But while others wait for the loop, or the pool works for it anyway,
 * the pool's threads get more done beside it (open, read and close, 64 in flight on two CPUs: 140
 * k/s against 64, at 12.5 us of CPU against 20.5). Not when it has more jobs than threads: what is
 * cached must not wait for what is stuck. */
bool weir__file_is_alone(const struct weir__op *op)
{
    const struct weir__loop *loop = op->wait->loop;

    if (op->deadline_ns == WEIR_NOW || weir__pool_is_crowded(loop->runtime->pool))
        return true;
    return !weir__loop_has_ready(loop) && loop->io->pooled_count == 0;
}

/* Whether a path is at hand and leads to what opens at once: on a local disk, and not remote,
 * stacked or in user space, where anybody may be asked. */
static bool at_hand(const struct weir__op *op)
{
    int look = O_PATH | O_CLOEXEC | (op->flags & (O_NOFOLLOW | O_DIRECTORY));
    int fd = weir__kernel_open_cached(op->fd, op->address, look);
    struct statx file;
    int error;

    if (fd < 0)
        return false;
    error = weir__kernel_statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &file);
    weir__kernel_close(fd);
    return error >= 0 && (S_ISREG(file.stx_mode) || S_ISDIR(file.stx_mode)) &&
           weir__descriptor_is_local(file.stx_dev_major, file.stx_dev_minor);
}

int64_t weir__file_attempt_openat(struct weir__op *op)
{
    int fd;

    if ((op->flags & POOL_FLAGS) || !weir__file_is_alone(op) || !at_hand(op))
        return -EAGAIN;
    /* O_NONBLOCK, so that a lease is not waited for, nor a FIFO that has taken the name since. */
    fd = weir__kernel_open_cached(op->fd, op->address, op->flags | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -EAGAIN; /* whatever it is, the pool's try decides */
    weir__descriptor_forget(fd);
    if (weir__descriptor_learn(fd, op->wait->loop->ring.features) < 0 ||
        weir__descriptor_kind(fd) == WEIR__FD_PIPE) {
        weir__kernel_close(fd);
        return -EAGAIN;
    }
    if (!(op->flags & O_NONBLOCK))
        weir__kernel_set_flags(fd, op->flags);
    return fd;
}

/* What was opened is looked at here, where it may block; failing, it is tried again. */
static int64_t learned(const struct weir__op *op, int fd)
{
    if (fd >= 0) {
        weir__descriptor_forget(fd);
        weir__descriptor_learn(fd, op->wait->loop->ring.features);
    }
    return fd;
}

int64_t weir__file_call_openat(struct weir__op *op)
{
    return learned(
        op, weir__kernel_openat(op->fd, op->address, op->flags | O_CLOEXEC, (mode_t)op->mode));
}

int64_t weir__file_call_openat2(struct weir__op *op)
{
    struct open_how how = *(const struct open_how *)op->other_address;

    how.flags |= O_CLOEXEC;
    return learned(op, weir__kernel_openat2(op->fd, op->address, &how));
}
