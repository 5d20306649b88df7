/* SPDX-License-Identifier: MIT */
/* The calls on what a file is, each beside what its row does on the pool; the chapter is
 * <weir/attribute.h>. */
#include "io/attribute.h"

#include "base/kernel.h"
#include "io/descriptor.h"
#include "io/file.h"

#include <weir/attribute.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Of an open file on a local disk, or in memory. */
static int64_t attempt_open_file(struct weir__op *op)
{
    enum weir__fd_kind kind = weir__descriptor_kind(op->fd);

    if (kind != WEIR__FD_DISK && kind != WEIR__FD_DIRECT && kind != WEIR__FD_MEMORY)
        return -EAGAIN;
    return weir__kernel_statx(op->fd, op->address, op->flags, (unsigned)op->mode,
                              op->other_address);
}

/* Of what the dentry cache knows, on a local disk: as open.c, for the same reasons. */
int64_t weir__attribute_attempt_statx(struct weir__op *op)
{
    const int known_flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
    int look = O_PATH | O_CLOEXEC | (op->flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0);
    struct statx *result = op->other_address;
    const char *path = op->address;
    int fd, error;

    if (!*path)
        return op->flags & AT_EMPTY_PATH ? attempt_open_file(op) : -EAGAIN;
    if ((op->flags & ~known_flags) || !weir__file_is_alone(op))
        return -EAGAIN;
    fd = weir__kernel_open_cached(op->fd, path, look);
    if (fd < 0)
        return -EAGAIN; /* whatever it is, the pool's try decides */
    error =
        weir__kernel_statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, (unsigned)op->mode, result);
    weir__kernel_close(fd);
    if (error < 0 || !weir__descriptor_is_local(result->stx_dev_major, result->stx_dev_minor))
        return -EAGAIN;
    return 0;
}

/* The next look at this device may be inline. */
static void learn_device(const struct weir__op *op)
{
    const struct statx *result = op->other_address;
    int fd;

    if (!result->stx_dev_major ||
        weir__descriptor_is_local(result->stx_dev_major, result->stx_dev_minor))
        return;
    fd = weir__kernel_openat(op->fd, op->address, O_PATH | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    weir__descriptor_learn_device(fd);
    weir__kernel_close(fd);
}

int64_t weir__attribute_call_statx(struct weir__op *op)
{
    int result =
        weir__kernel_statx(op->fd, op->address, op->flags, (unsigned)op->mode, op->other_address);

    if (result >= 0)
        learn_device(op);
    return result;
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
