/* SPDX-License-Identifier: MIT */
/* The calls on names, each beside what its row does on the pool; the chapter is <weir/path.h>. */
#include "io/path.h"

#include "base/kernel.h"
#include "core/loop.h"
#include "io/descriptor.h"

#include <weir/path.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

int64_t weir__path_call_unlinkat(struct weir__op *op)
{
    return weir__kernel_unlinkat(op->fd, op->address, op->flags);
}

int weir_unlinkat(int dir_fd, const char *path, int flags, int64_t deadline_ns)
{
    struct weir__op op = { .fd = dir_fd, .address = (void *)path, .flags = flags };

    if (!path)
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_UNLINKAT, &op, deadline_ns);
}

int64_t weir__path_call_renameat(struct weir__op *op)
{
    return weir__kernel_renameat2(op->fd, op->address, op->other_fd, op->other_address,
                                  (unsigned)op->flags);
}

/* One op on two names. */
static int run_on_two(enum weir__op_id id, int source_dir_fd, const char *source, int target_dir_fd,
                      const char *target, int flags, int64_t deadline_ns)
{
    struct weir__op op = { .fd = source_dir_fd, .address = (void *)source, .flags = flags };

    if (!source || !target)
        return -EINVAL;
    op.other_fd = target_dir_fd;
    op.other_address = (void *)target;
    return (int)weir__op_run(id, &op, deadline_ns);
}

int weir_renameat(int source_dir_fd, const char *source, int target_dir_fd, const char *target,
                  unsigned flags, int64_t deadline_ns)
{
    return run_on_two(WEIR__OP_ID_RENAMEAT, source_dir_fd, source, target_dir_fd, target,
                      (int)flags, deadline_ns);
}

int64_t weir__path_call_linkat(struct weir__op *op)
{
    return weir__kernel_linkat(op->fd, op->address, op->other_fd, op->other_address, op->flags);
}

int weir_linkat(int source_dir_fd, const char *source, int target_dir_fd, const char *target,
                int flags, int64_t deadline_ns)
{
    return run_on_two(WEIR__OP_ID_LINKAT, source_dir_fd, source, target_dir_fd, target, flags,
                      deadline_ns);
}

int64_t weir__path_call_mkdirat(struct weir__op *op)
{
    return weir__kernel_mkdirat(op->fd, op->address, (mode_t)op->mode);
}

int weir_mkdirat(int dir_fd, const char *path, mode_t mode, int64_t deadline_ns)
{
    struct weir__op op = { .fd = dir_fd, .address = (void *)path, .mode = (int)mode };

    if (!path)
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_MKDIRAT, &op, deadline_ns);
}

int64_t weir__path_call_symlinkat(struct weir__op *op)
{
    return weir__kernel_symlinkat(op->other_address, op->fd, op->address);
}

int weir_symlinkat(const char *target, int dir_fd, const char *path, int64_t deadline_ns)
{
    struct weir__op op = { .fd = dir_fd, .address = (void *)path, .other_address = (void *)target };

    if (!target || !path)
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_SYMLINKAT, &op, deadline_ns);
}

int64_t weir__path_call_readlinkat(struct weir__op *op)
{
    return weir__kernel_readlinkat(op->fd, op->address, op->other_address, op->length);
}

ssize_t weir_readlinkat(int dir_fd, const char *path, char *buffer, size_t bytes,
                        int64_t deadline_ns)
{
    struct weir__op op = { .fd = dir_fd, .address = (void *)path, .other_address = buffer };

    if (!path || !buffer)
        return -EINVAL;
    op.length = bytes;
    return weir__op_run(WEIR__OP_ID_READLINKAT, &op, deadline_ns);
}

int64_t weir__path_call_mknodat(struct weir__op *op)
{
    return weir__kernel_mknodat(op->fd, op->address, (mode_t)op->mode, (dev_t)op->offset);
}

int weir_mknodat(int dir_fd, const char *path, mode_t mode, dev_t device, int64_t deadline_ns)
{
    struct weir__op op = { .fd = dir_fd, .address = (void *)path, .mode = (int)mode };

    if (!path)
        return -EINVAL;
    op.offset = (int64_t)device;
    return (int)weir__op_run(WEIR__OP_ID_MKNODAT, &op, deadline_ns);
}

int64_t weir__path_call_realpath(struct weir__op *op)
{
    return weir__kernel_realpath(op->address, op->other_address);
}

ssize_t weir_realpath(const char *path, char *resolved, size_t bytes, int64_t deadline_ns)
{
    struct weir__op op = { .fd = -1, .address = (void *)path, .other_address = resolved };

    if (!path || !resolved || bytes < PATH_MAX)
        return -EINVAL;
    return weir__op_run(WEIR__OP_ID_REALPATH, &op, deadline_ns);
}

int64_t weir__path_call_mkostemp(struct weir__op *op)
{
    int fd = weir__kernel_mkostemp(op->address, op->flags | O_CLOEXEC);

    if (fd >= 0) {
        weir__descriptor_forget(fd);
        weir__descriptor_learn(fd, op->wait->loop->ring.features);
    }
    return fd;
}

int weir_mkostemp(char *template_path, int flags, int64_t deadline_ns)
{
    struct weir__op op = { .fd = -1, .address = template_path, .flags = flags };

    if (!template_path)
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_MKOSTEMP, &op, deadline_ns);
}

int64_t weir__path_call_mkdtemp(struct weir__op *op)
{
    return weir__kernel_mkdtemp(op->address);
}

int weir_mkdtemp(char *template_path, int64_t deadline_ns)
{
    struct weir__op op = { .fd = -1, .address = template_path };

    if (!template_path)
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_MKDTEMP, &op, deadline_ns);
}
