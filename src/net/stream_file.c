/* SPDX-License-Identifier: MIT */
/*
 * Files into a stream. Large ones by sendfile(2) on the pool, in parts, each when the socket has
 * room: the call may wait for the disk, and never for the peer, so no thread is held by a slow one
 * (five times the bytes per CPU second of reads and sends).
 *
 * The rest is read from the page cache, here and now where it has it, and sent: for few bytes a hop
 * to the pool would cost more than their copy.
 */
#include "net/stream.h"

#include "base/kernel.h"
#include "core/park.h"

#include <weir/attribute.h>
#include <weir/descriptor.h>
#include <weir/file.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>

enum {
    PART_BYTES = 64 * 1024,       /* one block of the cache, and one step of a read */
    SMALL_BYTES = 128 * 1024,     /* up to here it is read and sent */
    SENDFILE_BYTES = 1024 * 1024, /* of one job of the pool */
};

/* --- Read and sent ---------------------------------------------------------------------------- */

/* Sends a whole part. Returns how much of it went out before an error, which comes again. */
static int64_t send_part(struct weir_stream *stream, const char *bytes, size_t count,
                         int64_t deadline_ns)
{
    struct iovec part = { (void *)bytes, count };
    size_t done_bytes = 0;

    while (done_bytes < count) {
        int64_t sent = weir__stream_send(stream, &part, 1, done_bytes, deadline_ns);

        if (sent < 0)
            return done_bytes > 0 ? (int64_t)done_bytes : sent;
        done_bytes += (size_t)sent;
    }
    return (int64_t)done_bytes;
}

static int64_t send_parts(struct weir_stream *stream, struct weir__stream_block *block, int file_fd,
                          off_t offset, size_t bytes, int64_t deadline_ns)
{
    size_t done_bytes = 0;

    while (done_bytes < bytes) {
        size_t left_bytes = bytes - done_bytes;
        int64_t count, sent;

        count = weir_pread(file_fd, block->bytes, left_bytes < PART_BYTES ? left_bytes : PART_BYTES,
                           offset + (off_t)done_bytes, deadline_ns);
        if (count == 0)
            break;
        sent = count < 0 ? count : send_part(stream, block->bytes, (size_t)count, deadline_ns);
        if (sent < 0)
            return done_bytes > 0 ? (int64_t)done_bytes : sent;
        done_bytes += (size_t)sent;
        if (sent < count)
            break;
    }
    return (int64_t)done_bytes;
}

static int64_t send_plainly(struct weir_stream *stream, int file_fd, off_t offset, size_t bytes,
                            int64_t deadline_ns)
{
    struct weir__stream_block *block = weir__stream_take_block(stream, PART_BYTES);
    int64_t result =
        block ? send_parts(stream, block, file_fd, offset, bytes, deadline_ns) : -ENOMEM;

    weir__stream_give_block(stream, block);
    return result;
}

/* --- By sendfile ------------------------------------------------------------------------------ */

/* How much of a large file there is to send by sendfile; 0: it is to be read and sent. */
static size_t large_part(struct weir_stream *stream, int file_fd, off_t offset, size_t bytes,
                         int64_t deadline_ns)
{
    struct statx file;
    size_t left_bytes;

    if (!stream->is_socket || bytes <= SMALL_BYTES || weir__wait_refusal(deadline_ns) < 0)
        return 0;
    if (weir_statx(file_fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &file, deadline_ns) < 0 ||
        !S_ISREG(file.stx_mode) || file.stx_size <= (uint64_t)offset)
        return 0;
    /* Not beyond its end: kernels before 6.5 would hold the last bytes back, for more to come. */
    left_bytes = (size_t)(file.stx_size - (uint64_t)offset);
    bytes = bytes < left_bytes ? bytes : left_bytes;
    return bytes > SMALL_BYTES ? bytes : 0;
}

static int stop_blocking(struct weir_stream *stream)
{
    int flags;

    if (stream->never_blocks)
        return 0;
    flags = weir__kernel_get_flags(stream->fd);
    if (flags >= 0)
        flags = weir__kernel_set_flags(stream->fd, flags | O_NONBLOCK);
    stream->never_blocks = flags >= 0;
    return flags;
}

/* One job of the pool, as soon as there is room for its bytes. 0: the file has ended. */
static int64_t send_by_pool(struct weir_stream *stream, int file_fd, off_t offset, size_t bytes,
                            int64_t deadline_ns)
{
    struct weir__op op = { .fd = stream->fd, .other_fd = file_fd, .offset = offset };
    int64_t result = stream->closing ? -EBADF : 0;

    op.length = bytes < SENDFILE_BYTES ? bytes : SENDFILE_BYTES;
    stream->sending_from = true;
    if (result >= 0)
        result = weir_poll(stream->fd, POLLOUT, deadline_ns);
    if (result >= 0)
        result = weir__op_run(WEIR__OP_ID_SENDFILE, &op, deadline_ns);
    stream->sending_from = false;
    if (result > 0)
        stream->sent_bytes += (uint64_t)result;
    return result;
}

/* Whether what has failed is the connection: each later call says so again. */
static bool is_lost(int64_t error)
{
    return error == -EPIPE || error == -ECONNRESET || error == -ECONNABORTED ||
           error == -ETIMEDOUT || error == -EHOSTUNREACH || error == -ENETUNREACH ||
           error == -ENETDOWN;
}

/* Whether reading and sending may do what sendfile did not: it does not know the file or the
 * socket, has no memory for the socket's queue, or the pool takes no more jobs. */
static bool is_refused(int64_t error)
{
    return error == -EINVAL || error == -EOPNOTSUPP || error == -ENOSYS || error == -EAGAIN ||
           error == -EBUSY;
}

/* Returns 0 when all went out, or all that there still was; else what stopped it. */
static int64_t send_large(struct weir_stream *stream, int file_fd, off_t offset, size_t bytes,
                          size_t *done_bytes, int64_t deadline_ns)
{
    int64_t result = weir__stream_flush(stream, deadline_ns);

    if (result >= 0)
        result = stop_blocking(stream);
    while (result >= 0 && *done_bytes < bytes) {
        result = send_by_pool(stream, file_fd, offset + (off_t)*done_bytes, bytes - *done_bytes,
                              deadline_ns);
        if (result == 0)
            break;
        if (result > 0)
            *done_bytes += (size_t)result;
    }
    if (is_lost(result))
        stream->write_error = (int)result;
    return result < 0 ? result : 0;
}

static int64_t send_file(struct weir_stream *stream, int file_fd, off_t offset, size_t bytes,
                         int64_t deadline_ns)
{
    size_t large_bytes = large_part(stream, file_fd, offset, bytes, deadline_ns);
    size_t done_bytes = 0;
    int64_t result = 0;

    if (large_bytes > 0)
        result = send_large(stream, file_fd, offset, large_bytes, &done_bytes, deadline_ns);
    if (large_bytes == 0 || is_refused(result)) {
        result = send_plainly(stream, file_fd, offset + (off_t)done_bytes, bytes - done_bytes,
                              deadline_ns);
        if (result > 0)
            done_bytes += (size_t)result;
    }
    return done_bytes > 0 ? (int64_t)done_bytes : result;
}

ssize_t weir_stream_send_file(struct weir_stream *stream, int file_fd, off_t offset, size_t bytes,
                              int64_t deadline_ns)
{
    int64_t result;

    if (!stream || offset < 0 || bytes > SSIZE_MAX)
        return -EINVAL;
    result = weir__stream_enter(stream, &stream->writing);
    if (result < 0)
        return result;
    if (stream->write_error)
        result = stream->write_error;
    else
        result = send_file(stream, file_fd, offset, bytes, deadline_ns);
    stream->writing = false;
    return result;
}
