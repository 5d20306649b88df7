/* SPDX-License-Identifier: MIT */
/* The calls on files; the chapter is <weir/file.h>, the rows' ways are in file_rows.c. */
#include <weir/file.h>

#include "io/op.h"

#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>

enum { CALL_BYTES_MAX = 0x7ffff000 }; /* what the kernel transfers in one call, at most */

static bool is_buffer(const void *buffer, size_t bytes, off_t offset)
{
    return (buffer || bytes == 0) && bytes <= SSIZE_MAX && offset >= 0;
}

static bool is_vector(const struct iovec *vectors, int count, off_t offset)
{
    return (vectors || count == 0) && count >= 0 && count <= IOV_MAX && offset >= 0;
}

int weir_openat(int dir_fd, const char *path, int flags, mode_t mode, int64_t deadline_ns)
{
    struct weir__op op = { .fd = dir_fd, .address = (void *)path, .flags = flags };

    if (!path)
        return -EINVAL;
    op.mode = (int)mode;
    return (int)weir__op_run(WEIR__OP_ID_OPENAT, &op, deadline_ns);
}

int weir_openat2(int dir_fd, const char *path, const struct open_how *how, int64_t deadline_ns)
{
    struct weir__op op = { .fd = dir_fd, .address = (void *)path, .other_address = (void *)how };

    if (!path || !how)
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_OPENAT2, &op, deadline_ns);
}

/* One op on one buffer. */
static ssize_t transfer(enum weir__op_id id, int fd, void *buffer, size_t bytes, off_t offset,
                        int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .address = buffer, .offset = offset };

    if (!is_buffer(buffer, bytes, offset))
        return -EINVAL;
    op.length = bytes < CALL_BYTES_MAX ? bytes : CALL_BYTES_MAX;
    return weir__op_run(id, &op, deadline_ns);
}

ssize_t weir_pread(int fd, void *buffer, size_t bytes, off_t offset, int64_t deadline_ns)
{
    return transfer(WEIR__OP_ID_PREAD, fd, buffer, bytes, offset, deadline_ns);
}

ssize_t weir_pwrite(int fd, const void *buffer, size_t bytes, off_t offset, int64_t deadline_ns)
{
    return transfer(WEIR__OP_ID_PWRITE, fd, (void *)buffer, bytes, offset, deadline_ns);
}

/* RWF_* as the row takes them; RWF_NOWAIT is another word for WEIR_NOW. */
static ssize_t transfer_vectors(enum weir__op_id id, int fd, const struct iovec *vectors, int count,
                                off_t offset, int flags, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .address = (void *)vectors, .offset = offset };

    if (!is_vector(vectors, count, offset) || (flags & RWF_HIPRI))
        return -EINVAL;
    op.length = (size_t)count;
    op.flags = flags & ~RWF_NOWAIT;
    return weir__op_run(id, &op, flags & RWF_NOWAIT ? WEIR_NOW : deadline_ns);
}

ssize_t weir_preadv(int fd, const struct iovec *vectors, int count, off_t offset,
                    int64_t deadline_ns)
{
    return transfer_vectors(WEIR__OP_ID_PREADV, fd, vectors, count, offset, 0, deadline_ns);
}

ssize_t weir_pwritev(int fd, const struct iovec *vectors, int count, off_t offset,
                     int64_t deadline_ns)
{
    return transfer_vectors(WEIR__OP_ID_PWRITEV, fd, vectors, count, offset, 0, deadline_ns);
}

ssize_t weir_preadv2(int fd, const struct iovec *vectors, int count, off_t offset, int flags,
                     int64_t deadline_ns)
{
    return transfer_vectors(WEIR__OP_ID_PREADV, fd, vectors, count, offset, flags, deadline_ns);
}

ssize_t weir_pwritev2(int fd, const struct iovec *vectors, int count, off_t offset, int flags,
                      int64_t deadline_ns)
{
    return transfer_vectors(WEIR__OP_ID_PWRITEV, fd, vectors, count, offset, flags, deadline_ns);
}

/* Until all is done, the file ends, or an error comes. */
static ssize_t transfer_all(enum weir__op_id id, int fd, void *buffer, size_t bytes, off_t offset,
                            size_t *done_bytes, int64_t deadline_ns)
{
    size_t sum_bytes = 0;
    ssize_t got;

    do {
        got = transfer(id, fd, (char *)buffer + sum_bytes, bytes - sum_bytes,
                       offset + (off_t)sum_bytes, deadline_ns);
        if (got > 0)
            sum_bytes += (size_t)got;
    } while (got > 0 && sum_bytes < bytes);
    if (done_bytes)
        *done_bytes = sum_bytes;
    return got < 0 ? got : (ssize_t)sum_bytes;
}

ssize_t weir_pread_all(int fd, void *buffer, size_t bytes, off_t offset, size_t *done_bytes,
                       int64_t deadline_ns)
{
    return transfer_all(WEIR__OP_ID_PREAD, fd, buffer, bytes, offset, done_bytes, deadline_ns);
}

ssize_t weir_pwrite_all(int fd, const void *buffer, size_t bytes, off_t offset, size_t *done_bytes,
                        int64_t deadline_ns)
{
    ssize_t put = transfer_all(WEIR__OP_ID_PWRITE, fd, (void *)buffer, bytes, offset, done_bytes,
                               deadline_ns);

    /* no progress, and no error that says why */
    return put >= 0 && (size_t)put < bytes ? -EIO : put;
}

int weir_fsync(int fd, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd };

    return (int)weir__op_run(WEIR__OP_ID_FSYNC, &op, deadline_ns);
}

int weir_fdatasync(int fd, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd };

    return (int)weir__op_run(WEIR__OP_ID_FDATASYNC, &op, deadline_ns);
}

int weir_fallocate(int fd, int mode, off_t offset, off_t bytes, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .mode = mode, .offset = offset, .length = (size_t)bytes };

    if (offset < 0 || bytes <= 0)
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_FALLOCATE, &op, deadline_ns);
}

int weir_ftruncate(int fd, off_t bytes, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .offset = bytes };

    if (bytes < 0)
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_FTRUNCATE, &op, deadline_ns);
}

int weir_sync_file_range(int fd, off_t offset, off_t bytes, unsigned flags, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .offset = offset, .length = (size_t)bytes };

    if (offset < 0 || bytes < 0)
        return -EINVAL;
    op.flags = (int)flags;
    return (int)weir__op_run(WEIR__OP_ID_SYNC_FILE_RANGE, &op, deadline_ns);
}

int weir_syncfs(int fd, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd };

    return (int)weir__op_run(WEIR__OP_ID_SYNCFS, &op, deadline_ns);
}

int weir_fadvise(int fd, off_t offset, off_t bytes, int advice, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .offset = offset, .length = (size_t)bytes, .mode = advice };

    if (offset < 0 || bytes < 0)
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_FADVISE, &op, deadline_ns);
}

off_t weir_lseek(int fd, off_t offset, int whence, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .offset = offset, .mode = whence };

    return weir__op_run(WEIR__OP_ID_LSEEK, &op, deadline_ns);
}
