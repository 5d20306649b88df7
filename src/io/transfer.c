/* SPDX-License-Identifier: MIT */
/*
 * read, write, readv, writev; the chapter is <weir/descriptor.h>, the rows' ways are in transfer.h.
 *
 * No SIGPIPE: the kernel sends it to the thread that submitted the write, and loops block it (on a
 * thread of the caller's while it is a loop, see runtime.c). A socket is written by send, which can
 * be told.
 */
#include "io/transfer.h"

#include "base/kernel.h"
#include "io/descriptor.h"

#include <weir/descriptor.h>

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

enum { CALL_BYTES_MAX = 0x7ffff000 }; /* what the kernel transfers in one call, at most */

/* To the ring: from where the descriptor stands, if it stands anywhere. */
#define NO_OFFSET ((uint64_t)-1)

enum weir__route weir__transfer_choose(const struct weir__op *op)
{
    return weir__descriptor_is_stream(op->fd) > 0 ? WEIR__ROUTE_RING : WEIR__ROUTE_POOL;
}

void weir__transfer_prep_read(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_read(sqe, op->fd, op->address, (unsigned)op->length, NO_OFFSET);
}

void weir__transfer_prep_write(struct weir__op *op, struct io_uring_sqe *sqe)
{
    if (weir__descriptor_kind(op->fd) == WEIR__FD_SOCKET)
        io_uring_prep_send(sqe, op->fd, op->address, op->length, MSG_NOSIGNAL);
    else
        io_uring_prep_write(sqe, op->fd, op->address, (unsigned)op->length, NO_OFFSET);
}

void weir__transfer_prep_readv(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_readv(sqe, op->fd, op->address, (unsigned)op->length, NO_OFFSET);
}

void weir__transfer_prep_writev(struct weir__op *op, struct io_uring_sqe *sqe)
{
    if (weir__descriptor_kind(op->fd) == WEIR__FD_SOCKET)
        io_uring_prep_sendmsg(sqe, op->fd, op->other_address, MSG_NOSIGNAL);
    else
        io_uring_prep_writev(sqe, op->fd, op->address, (unsigned)op->length, NO_OFFSET);
}

int64_t weir__transfer_call_read(struct weir__op *op)
{
    return weir__kernel_read(op->fd, op->address, op->length);
}

int64_t weir__transfer_call_write(struct weir__op *op)
{
    return weir__kernel_write(op->fd, op->address, op->length);
}

int64_t weir__transfer_call_readv(struct weir__op *op)
{
    return weir__kernel_readv(op->fd, op->address, (int)op->length);
}

int64_t weir__transfer_call_writev(struct weir__op *op)
{
    return weir__kernel_writev(op->fd, op->address, (int)op->length);
}

int64_t weir__transfer_call_pipe2(struct weir__op *op)
{
    int *pair = op->address;
    int error = weir__kernel_pipe(pair, op->flags);

    if (error < 0)
        return error;
    weir__descriptor_forget(pair[0]);
    weir__descriptor_forget(pair[1]);
    return 0;
}

int weir_pipe2(int pair[2], int flags)
{
    struct weir__op op = { .fd = -1, .address = pair, .flags = flags };

    return pair ? (int)weir__op_run(WEIR__OP_ID_PIPE2, &op, WEIR_FOREVER) : -EINVAL;
}

static ssize_t transfer(enum weir__op_id id, int fd, void *buffer, size_t bytes,
                        int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .address = buffer };

    if ((!buffer && bytes) || bytes > SSIZE_MAX)
        return -EINVAL;
    op.length = bytes < CALL_BYTES_MAX ? bytes : CALL_BYTES_MAX;
    return weir__op_run(id, &op, deadline_ns);
}

static ssize_t transfer_vectors(enum weir__op_id id, int fd, const struct iovec *vectors, int count,
                                int64_t deadline_ns)
{
    struct msghdr message = { .msg_iov = (struct iovec *)vectors, .msg_iovlen = (size_t)count };
    struct weir__op op = { .fd = fd, .address = (void *)vectors, .length = (size_t)count };

    if ((!vectors && count) || count < 0 || count > IOV_MAX)
        return -EINVAL;
    op.other_address = &message;
    return weir__op_run(id, &op, deadline_ns);
}

ssize_t weir_read(int fd, void *buffer, size_t bytes, int64_t deadline_ns)
{
    return transfer(WEIR__OP_ID_READ, fd, buffer, bytes, deadline_ns);
}

ssize_t weir_write(int fd, const void *buffer, size_t bytes, int64_t deadline_ns)
{
    return transfer(WEIR__OP_ID_WRITE, fd, (void *)buffer, bytes, deadline_ns);
}

ssize_t weir_readv(int fd, const struct iovec *vectors, int count, int64_t deadline_ns)
{
    return transfer_vectors(WEIR__OP_ID_READV, fd, vectors, count, deadline_ns);
}

ssize_t weir_writev(int fd, const struct iovec *vectors, int count, int64_t deadline_ns)
{
    return transfer_vectors(WEIR__OP_ID_WRITEV, fd, vectors, count, deadline_ns);
}

ssize_t weir_write_all(int fd, const void *buffer, size_t bytes, size_t *done_bytes,
                       int64_t deadline_ns)
{
    size_t sum_bytes = 0;
    ssize_t put;

    do {
        put = transfer(WEIR__OP_ID_WRITE, fd, (char *)buffer + sum_bytes, bytes - sum_bytes,
                       deadline_ns);
        if (put > 0)
            sum_bytes += (size_t)put;
    } while (put > 0 && sum_bytes < bytes);
    if (done_bytes)
        *done_bytes = sum_bytes;
    if (put < 0)
        return put;
    return sum_bytes < bytes ? -EIO : (ssize_t)sum_bytes; /* no progress, and no error says why */
}
