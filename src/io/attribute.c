/* SPDX-License-Identifier: MIT */
/* The calls on what a file is, each beside what its row does on the pool; the chapter is
 * <weir/attribute.h>. */
#include "io/attribute.h"

#include "base/kernel.h"

#include <weir/attribute.h>

#include <errno.h>

int64_t weir__attribute_call_statx(struct weir__op *op)
{
    return weir__kernel_statx(op->fd, op->address, op->flags, (unsigned)op->mode,
                              op->other_address);
}

int weir_statx(int dir_fd, const char *path, int flags, unsigned mask, struct statx *result,
               int64_t deadline_ns)
{
    struct weir__op op = { .fd = dir_fd, .address = (void *)path, .other_address = result };

    if (!path || !result)
        return -EINVAL;
    op.flags = flags;
    op.mode = (int)mask;
    return (int)weir__op_run(WEIR__OP_ID_STATX, &op, deadline_ns);
}

int64_t weir__attribute_call_statfs(struct weir__op *op)
{
    return weir__kernel_statfs(op->address, op->other_address);
}

int weir_statfs(const char *path, struct statfs *result, int64_t deadline_ns)
{
    struct weir__op op = { .fd = -1, .address = (void *)path, .other_address = result };

    if (!path || !result)
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_STATFS, &op, deadline_ns);
}

int64_t weir__attribute_call_fstatfs(struct weir__op *op)
{
    return weir__kernel_fstatfs(op->fd, op->other_address);
}

int weir_fstatfs(int fd, struct statfs *result, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .other_address = result };

    if (!result)
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_FSTATFS, &op, deadline_ns);
}

int64_t weir__attribute_call_faccessat(struct weir__op *op)
{
    return weir__kernel_faccessat(op->fd, op->address, op->mode, op->flags);
}

int weir_faccessat(int dir_fd, const char *path, int mode, int flags, int64_t deadline_ns)
{
    struct weir__op op = { .fd = dir_fd, .address = (void *)path, .flags = flags, .mode = mode };

    if (!path)
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_FACCESSAT, &op, deadline_ns);
}

int64_t weir__attribute_call_fchmod(struct weir__op *op)
{
    return weir__kernel_fchmod(op->fd, (mode_t)op->mode);
}

int weir_fchmod(int fd, mode_t mode, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .mode = (int)mode };

    return (int)weir__op_run(WEIR__OP_ID_FCHMOD, &op, deadline_ns);
}

int64_t weir__attribute_call_fchmodat(struct weir__op *op)
{
    return weir__kernel_fchmodat(op->fd, op->address, (mode_t)op->mode, op->flags);
}

int weir_fchmodat(int dir_fd, const char *path, mode_t mode, int flags, int64_t deadline_ns)
{
    struct weir__op op = { .fd = dir_fd, .address = (void *)path, .flags = flags };

    if (!path)
        return -EINVAL;
    op.mode = (int)mode;
    return (int)weir__op_run(WEIR__OP_ID_FCHMODAT, &op, deadline_ns);
}

int64_t weir__attribute_call_fchown(struct weir__op *op)
{
    return weir__kernel_fchown(op->fd, (uid_t)op->mode, (gid_t)op->other_fd);
}

int weir_fchown(int fd, uid_t owner, gid_t group, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .mode = (int)owner, .other_fd = (int)group };

    return (int)weir__op_run(WEIR__OP_ID_FCHOWN, &op, deadline_ns);
}

int64_t weir__attribute_call_fchownat(struct weir__op *op)
{
    return weir__kernel_fchownat(op->fd, op->address, (uid_t)op->mode, (gid_t)op->other_fd,
                                 op->flags);
}

int weir_fchownat(int dir_fd, const char *path, uid_t owner, gid_t group, int flags,
                  int64_t deadline_ns)
{
    struct weir__op op = { .fd = dir_fd, .address = (void *)path, .flags = flags };

    if (!path)
        return -EINVAL;
    op.mode = (int)owner;
    op.other_fd = (int)group;
    return (int)weir__op_run(WEIR__OP_ID_FCHOWNAT, &op, deadline_ns);
}

int64_t weir__attribute_call_futimens(struct weir__op *op)
{
    return weir__kernel_futimens(op->fd, op->other_address);
}

int weir_futimens(int fd, const struct timespec times[2], int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .other_address = (void *)times };

    return (int)weir__op_run(WEIR__OP_ID_FUTIMENS, &op, deadline_ns);
}

int64_t weir__attribute_call_utimensat(struct weir__op *op)
{
    return weir__kernel_utimensat(op->fd, op->address, op->other_address, op->flags);
}

int weir_utimensat(int dir_fd, const char *path, const struct timespec times[2], int flags,
                   int64_t deadline_ns)
{
    struct weir__op op = { .fd = dir_fd, .address = (void *)path, .flags = flags };

    if (!path)
        return -EINVAL;
    op.other_address = (void *)times;
    return (int)weir__op_run(WEIR__OP_ID_UTIMENSAT, &op, deadline_ns);
}
