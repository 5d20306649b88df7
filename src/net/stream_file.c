/* SPDX-License-Identifier: MIT */
/*
 * Files into a stream: read from the page cache, here and now where it has them, and sent. A miss
 * waits on the ring, a full socket in the send; no thread is held by a slow peer.
 *
 * Not sendfile(2): it blocks for the disk and for the peer alike, so each part would need a hop to
 * the pool and back, and a non-blocking socket.
 */
#include "net/stream.h"

#include <weir/file.h>

#include <errno.h>
#include <limits.h>

enum { PART_BYTES = 64 * 1024 }; /* one block of the cache, and one step of a read */

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

static int64_t send_file(struct weir_stream *stream, struct weir__stream_block *block, int file_fd,
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

ssize_t weir_stream_send_file(struct weir_stream *stream, int file_fd, off_t offset, size_t bytes,
                              int64_t deadline_ns)
{
    struct weir__stream_block *block;
    int64_t result;

    if (!stream || offset < 0 || bytes > SSIZE_MAX)
        return -EINVAL;
    result = weir__stream_enter(stream, &stream->writing);
    if (result < 0)
        return result;
    block = weir__stream_take_block(stream, PART_BYTES);
    if (stream->write_error)
        result = stream->write_error;
    else if (!block)
        result = -ENOMEM;
    else
        result = send_file(stream, block, file_fd, offset, bytes, deadline_ns);
    weir__stream_give_block(stream, block);
    stream->writing = false;
    return result;
}
