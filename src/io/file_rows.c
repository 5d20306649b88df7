/* SPDX-License-Identifier: MIT */
/* How the rows on files run; see file.h. */
#include "base/kernel.h"
#include "io/buffer.h"
#include "io/descriptor.h"
#include "io/direct.h"
#include "io/file.h"
#include "io/step.h"

#include <errno.h>
#include <fcntl.h>

/* Flags for a step of reading that cannot wait; -1: there is none for this kind of file. */
static int step_flags(enum weir__fd_kind kind)
{
    switch (kind) {
    case WEIR__FD_DISK:
        return RWF_NOWAIT;
    case WEIR__FD_MEMORY:
        return 0;
    default:
        return -1;
    }
}

/* The page cache was tried, and did not hold all of it. */
static void count_miss(const struct weir__op *op)
{
    _Atomic uint64_t *missed = &op->wait->loop->io->rows[op->row - weir__op_rows].missed;

    /* relaxed, and no read-modify-write: the loop is the only writer */
    atomic_store_explicit(missed, atomic_load_explicit(missed, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* What is not aligned never gets to the kernel. */
static int64_t check_direct(const char *misfit)
{
    return misfit ? -EINVAL : -EAGAIN;
}

/* The rest of a read after its first bytes. */
static void advance(struct weir__op *op, int64_t got)
{
    op->address = (char *)op->address + got;
    op->length -= (size_t)got;
    op->offset += got;
    op->done_bytes += (size_t)got;
}

/* One step is the whole of a small read from the page cache. */
int64_t weir__file_quick_pread(struct weir__op *op)
{
    struct iovec vector = { op->address, op->length };
    int flags = step_flags(weir__descriptor_kind(op->fd));
    int64_t got;

    if (flags < 0 || op->length > WEIR__STEP_BYTES)
        return -EAGAIN;
    got = weir__kernel_preadv2(op->fd, &vector, 1, op->offset, flags);
    if (got == -EOPNOTSUPP || got == -EAGAIN) {
        count_miss(op);
        return -EAGAIN;
    }
    if (got <= 0 || (size_t)got == op->length)
        return got;
    advance(op, got); /* the end of the file, or a page that is missing: the next read tells */
    return -EAGAIN;
}

/* A larger read in steps; a smaller one has been tried. */
int64_t weir__file_attempt_pread(struct weir__op *op)
{
    struct iovec vector = { op->address, op->length };
    int flags = step_flags(weir__descriptor_kind(op->fd));
    bool blocked;
    int64_t got;

    if (weir__descriptor_kind(op->fd) == WEIR__FD_DIRECT)
        return check_direct(weir__direct_misfit(op));
    if (flags < 0 || (op->length <= WEIR__STEP_BYTES && flags && !op->done_bytes))
        return -EAGAIN;
    got = weir__step_run(op, &vector, 1, weir__kernel_preadv2, flags, &blocked);
    if (!blocked)
        return got;
    count_miss(op);
    advance(op, got);
    return -EAGAIN;
}

/* When a part is not at hand the whole is read again: the iovecs are the caller's to change. */
int64_t weir__file_attempt_preadv(struct weir__op *op)
{
    int flags = step_flags(weir__descriptor_kind(op->fd));
    bool blocked;
    int64_t got;

    if (weir__descriptor_kind(op->fd) == WEIR__FD_DIRECT)
        return check_direct(weir__direct_misfit_vectors(op));
    if (flags < 0)
        return -EAGAIN;
    got = weir__step_run(op, op->address, op->length, weir__kernel_preadv2, flags | op->flags,
                         &blocked);
    if (blocked)
        count_miss(op);
    return blocked ? -EAGAIN : got;
}

int64_t weir__file_attempt_pwrite(struct weir__op *op)
{
    struct iovec vector = { op->address, op->length };
    bool blocked;

    if (weir__descriptor_kind(op->fd) == WEIR__FD_DIRECT)
        return check_direct(weir__direct_misfit(op));
    if (weir__descriptor_kind(op->fd) != WEIR__FD_MEMORY)
        return -EAGAIN;
    return weir__step_run(op, &vector, 1, weir__kernel_pwritev2, 0, &blocked);
}

/* With flags, an append among them, it is one call, and not one of steps. */
int64_t weir__file_attempt_pwritev(struct weir__op *op)
{
    bool blocked;

    if (weir__descriptor_kind(op->fd) == WEIR__FD_DIRECT)
        return check_direct(weir__direct_misfit_vectors(op));
    if (weir__descriptor_kind(op->fd) != WEIR__FD_MEMORY || op->flags)
        return -EAGAIN;
    return weir__step_run(op, op->address, op->length, weir__kernel_pwritev2, 0, &blocked);
}

enum weir__route weir__file_choose_read(const struct weir__op *op)
{
    enum weir__fd_kind kind = weir__descriptor_kind(op->fd);

    if (kind == WEIR__FD_DIRECT)
        return weir__direct_choose(op, false);
    return kind == WEIR__FD_DISK ? WEIR__ROUTE_RING : WEIR__ROUTE_POOL;
}

enum weir__route weir__file_choose_write(const struct weir__op *op)
{
    bool direct = weir__descriptor_kind(op->fd) == WEIR__FD_DIRECT;

    return direct ? weir__direct_choose(op, true) : WEIR__ROUTE_POOL;
}

/* Direct I/O shall be refused rather than given to a hidden thread; a buffered read on a known disk
 * waits without one. */
static int ring_flags(const struct weir__op *op)
{
    bool direct = weir__descriptor_kind(op->fd) == WEIR__FD_DIRECT;

    return op->flags | (direct ? RWF_NOWAIT : 0);
}

/* Which registered buffer the op's lies in; -1: none. */
static int registered_slot(const struct weir__op *op)
{
    struct weir__loop *loop = op->wait->loop;
    int slot = weir__buffer_slot(loop->io, op->address, op->length);

    if (slot >= 0)
        weir__counter_add(&loop->counters, WEIR_OPS_REGISTERED, 1);
    return slot;
}

void weir__file_prep_pread(struct weir__op *op, struct io_uring_sqe *sqe)
{
    int slot = registered_slot(op);

    io_uring_prep_read(sqe, op->fd, op->address, (unsigned)op->length, (uint64_t)op->offset);
    sqe->rw_flags = ring_flags(op);
    if (slot < 0)
        return;
    sqe->opcode = IORING_OP_READ_FIXED;
    sqe->buf_index = (uint16_t)slot;
}

void weir__file_prep_pwrite(struct weir__op *op, struct io_uring_sqe *sqe)
{
    int slot = registered_slot(op);

    io_uring_prep_write(sqe, op->fd, op->address, (unsigned)op->length, (uint64_t)op->offset);
    sqe->rw_flags = ring_flags(op);
    if (slot < 0)
        return;
    sqe->opcode = IORING_OP_WRITE_FIXED;
    sqe->buf_index = (uint16_t)slot;
}

void weir__file_prep_preadv(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_readv2(sqe, op->fd, op->address, (unsigned)op->length, (uint64_t)op->offset,
                         ring_flags(op));
}

void weir__file_prep_pwritev(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_writev2(sqe, op->fd, op->address, (unsigned)op->length, (uint64_t)op->offset,
                          ring_flags(op));
}

int64_t weir__file_call_pread(struct weir__op *op)
{
    return weir__kernel_pread(op->fd, op->address, op->length, op->offset);
}

int64_t weir__file_call_pwrite(struct weir__op *op)
{
    return weir__kernel_pwrite(op->fd, op->address, op->length, op->offset);
}

int64_t weir__file_call_preadv(struct weir__op *op)
{
    return weir__kernel_preadv2(op->fd, op->address, (int)op->length, op->offset, op->flags);
}

int64_t weir__file_call_pwritev(struct weir__op *op)
{
    return weir__kernel_pwritev2(op->fd, op->address, (int)op->length, op->offset, op->flags);
}

int64_t weir__file_call_fsync(struct weir__op *op)
{
    return weir__kernel_fsync(op->fd);
}

int64_t weir__file_call_fdatasync(struct weir__op *op)
{
    return weir__kernel_fdatasync(op->fd);
}

int64_t weir__file_call_fallocate(struct weir__op *op)
{
    return weir__kernel_fallocate(op->fd, op->mode, op->offset, (off_t)op->length);
}

int64_t weir__file_call_ftruncate(struct weir__op *op)
{
    return weir__kernel_ftruncate(op->fd, op->offset);
}

int64_t weir__file_call_sync_file_range(struct weir__op *op)
{
    return weir__kernel_sync_file_range(op->fd, op->offset, (off_t)op->length, (unsigned)op->flags);
}

int64_t weir__file_call_syncfs(struct weir__op *op)
{
    return weir__kernel_syncfs(op->fd);
}

/* Reading ahead and dropping pages take their time; the other advices are a note in the kernel. */
enum weir__route weir__file_choose_fadvise(const struct weir__op *op)
{
    bool works = op->mode == POSIX_FADV_WILLNEED || op->mode == POSIX_FADV_DONTNEED;

    return works || weir__descriptor_kind(op->fd) == WEIR__FD_OTHER ? WEIR__ROUTE_POOL
                                                                    : WEIR__ROUTE_INLINE;
}

int64_t weir__file_call_fadvise(struct weir__op *op)
{
    return weir__kernel_fadvise(op->fd, op->offset, (off_t)op->length, op->mode);
}

int64_t weir__file_call_lseek(struct weir__op *op)
{
    return weir__kernel_lseek(op->fd, op->offset, op->mode);
}
