/* SPDX-License-Identifier: MIT */
/* Locks on files: tries on the pool with pauses between them; the chapter is <weir/file_lock.h>. */
#include "io/file_lock.h"

#include "base/clock.h"
#include "base/kernel.h"
#include "core/expiry.h"
#include "core/loop.h"
#include "io/descriptor.h"

#include <weir/file_lock.h>
#include <weir/task.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

/* Pauses between tries. */
static const int64_t pause_min_ns = 1000000;
static const int64_t pause_max_ns = 64000000;

int64_t weir__file_lock_call(struct weir__op *op)
{
    return op->address ? weir__kernel_fcntl_lock(op->fd, op->mode, op->address)
                       : weir__kernel_flock(op->fd, op->mode);
}

/* A local file system looks into its list of locks, and answers. */
enum weir__route weir__file_lock_choose(const struct weir__op *op)
{
    enum weir__fd_kind kind = weir__descriptor_kind(op->fd);
    bool local = kind == WEIR__FD_DISK || kind == WEIR__FD_DIRECT || kind == WEIR__FD_MEMORY;

    return local ? WEIR__ROUTE_INLINE : WEIR__ROUTE_POOL;
}

static int try_lock(enum weir__op_id id, int fd, int mode, struct flock *lock, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .mode = mode, .address = lock };

    return (int)weir__op_run(id, &op, deadline_ns);
}

/* Tries until it is had, or not to be had by then. */
static int wait_lock(enum weir__op_id id, int fd, int mode, struct flock *lock, int64_t deadline_ns)
{
    int64_t pause_ns = pause_min_ns;

    for (;;) {
        int result = try_lock(id, fd, mode, lock, deadline_ns);
        int64_t now_ns, next_ns;

        if (result != -EAGAIN || deadline_ns == WEIR_NOW)
            return result;
        now_ns = weir__clock_now();
        if (now_ns >= deadline_ns) {
            weir__expiry_note(weir__loop_current, WEIR_PHASE_PEER);
            return -ETIME;
        }
        next_ns = weir__clock_add(now_ns, pause_ns);
        result = weir_sleep(next_ns < deadline_ns ? next_ns : deadline_ns);
        if (result < 0)
            return result;
        pause_ns = pause_ns < pause_max_ns ? pause_ns * 2 : pause_max_ns;
    }
}

int weir_flock(int fd, int operation, int64_t deadline_ns)
{
    int kind = operation & ~LOCK_NB;

    if (kind == LOCK_UN)
        return try_lock(WEIR__OP_ID_UNLOCK, fd, LOCK_UN, NULL, WEIR_FOREVER);
    if (kind != LOCK_SH && kind != LOCK_EX)
        return -EINVAL;
    if (operation & LOCK_NB)
        return try_lock(WEIR__OP_ID_FLOCK, fd, operation, NULL, deadline_ns);
    return wait_lock(WEIR__OP_ID_FLOCK, fd, kind | LOCK_NB, NULL, deadline_ns);
}

int weir_ofd_lock(int fd, struct flock *lock, int64_t deadline_ns)
{
    if (!lock)
        return -EINVAL;
    lock->l_pid = 0;
    if (lock->l_type == F_UNLCK)
        return try_lock(WEIR__OP_ID_UNLOCK, fd, F_OFD_SETLK, lock, WEIR_FOREVER);
    return wait_lock(WEIR__OP_ID_OFD_LOCK, fd, F_OFD_SETLK, lock, deadline_ns);
}

int weir_ofd_query(int fd, struct flock *lock, int64_t deadline_ns)
{
    if (!lock)
        return -EINVAL;
    lock->l_pid = 0;
    return try_lock(WEIR__OP_ID_OFD_QUERY, fd, F_OFD_GETLK, lock, deadline_ns);
}
