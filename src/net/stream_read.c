/* SPDX-License-Identifier: MIT */
/* The verbs that read; the chapter is <weir/stream.h>. */
#include "io/receive.h"
#include "net/stream.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static bool is_buffer(const void *buffer, size_t bytes)
{
    return (buffer || bytes == 0) && bytes <= SSIZE_MAX;
}

ssize_t weir_stream_read(struct weir_stream *stream, void *buffer, size_t bytes,
                         int64_t deadline_ns)
{
    int64_t result;

    if (!stream || !is_buffer(buffer, bytes))
        return -EINVAL;
    result = weir__stream_enter(stream, &stream->reading);
    if (result < 0)
        return result;
    result = (int64_t)weir__stream_take(stream, buffer, bytes);
    if (result == 0 && bytes > 0)
        result = weir__stream_receive(stream, buffer, bytes, deadline_ns);
    stream->reading = false;
    return result;
}

/* Takes what is there, then receives the rest in place: what came before an error is put back. */
static int64_t read_exactly(struct weir_stream *stream, char *buffer, size_t bytes,
                            int64_t deadline_ns)
{
    size_t done_bytes = weir__stream_take(stream, buffer, bytes);

    while (done_bytes < bytes) {
        int64_t got =
            weir__stream_receive(stream, buffer + done_bytes, bytes - done_bytes, deadline_ns);

        if (got == 0)
            break;
        if (got < 0)
            return done_bytes > 0 && !weir__stream_put_back(stream, buffer, done_bytes)
                       ? (int64_t)done_bytes
                       : got;
        done_bytes += (size_t)got;
    }
    return (int64_t)done_bytes;
}

ssize_t weir_stream_read_exactly(struct weir_stream *stream, void *buffer, size_t bytes,
                                 int64_t deadline_ns)
{
    int64_t result;

    if (!stream || !is_buffer(buffer, bytes))
        return -EINVAL;
    result = weir__stream_enter(stream, &stream->reading);
    if (result < 0)
        return result;
    result = read_exactly(stream, buffer, bytes, deadline_ns);
    stream->reading = false;
    return result;
}

/* The length up to and including the delimiter, or 0. */
static size_t find_in(const char *bytes, size_t count, char delimiter)
{
    const char *found = count ? memchr(bytes, delimiter, count) : NULL;

    return found ? (size_t)(found - bytes) + 1 : 0;
}

/* Looks at all that is there anew each time: it is no more than the receive limit. */
static size_t find(const struct weir_stream *stream, char delimiter)
{
    size_t before_bytes = weir__stream_kept_bytes(stream), used = stream->first_used, found;

    if (before_bytes > 0) {
        found = find_in(stream->kept->bytes + stream->kept_begin, before_bytes, delimiter);
        if (found)
            return found;
    }
    for (unsigned id = stream->first; id != WEIR__RECEIVE_NONE && stream->queued_bytes > 0;
         id = stream->buffers->buffers[id].next) {
        size_t count = stream->buffers->buffers[id].bytes - used;

        found = find_in(weir__receive_pool_at(stream->buffers, id) + used, count, delimiter);
        if (found)
            return before_bytes + found;
        before_bytes += count;
        used = 0;
    }
    return 0;
}

static int64_t read_until(struct weir_stream *stream, char delimiter, char *buffer, size_t bytes,
                          int64_t deadline_ns)
{
    size_t limit_bytes = bytes < stream->receive_limit_bytes ? bytes : stream->receive_limit_bytes;
    size_t found;
    int code = 1;

    for (;;) {
        found = find(stream, delimiter);
        if (found > bytes || (!found && weir__stream_unread_bytes(stream) >= limit_bytes))
            return -EMSGSIZE;
        if (found || code == 0)
            return (int64_t)weir__stream_take(stream, buffer, found ? found : bytes);
        code = weir__stream_receive_more(stream, deadline_ns);
        if (code < 0)
            return code;
    }
}

ssize_t weir_stream_read_until(struct weir_stream *stream, char delimiter, void *buffer,
                               size_t bytes, int64_t deadline_ns)
{
    int64_t result;

    if (!stream || !is_buffer(buffer, bytes) || bytes == 0)
        return -EINVAL;
    result = weir__stream_enter(stream, &stream->reading);
    if (result < 0)
        return result;
    result = read_until(stream, delimiter, buffer, bytes, deadline_ns);
    stream->reading = false;
    return result;
}

/* The first piece, and its length. */
static size_t show(const struct weir_stream *stream, const void **bytes)
{
    *bytes = NULL;
    if (weir__stream_kept_bytes(stream) > 0) {
        *bytes = stream->kept->bytes + stream->kept_begin;
        return weir__stream_kept_bytes(stream);
    }
    if (stream->queued_bytes == 0)
        return 0;
    *bytes = weir__receive_pool_at(stream->buffers, stream->first) + stream->first_used;
    return stream->buffers->buffers[stream->first].bytes - stream->first_used;
}

static int64_t peek(struct weir_stream *stream, const void **bytes, size_t least,
                    int64_t deadline_ns)
{
    int code = 1;

    if (least > stream->receive_limit_bytes)
        return -EMSGSIZE;
    while (weir__stream_unread_bytes(stream) < least && code > 0)
        code = weir__stream_receive_more(stream, deadline_ns);
    if (code < 0)
        return code;
    if (show(stream, bytes) < least && weir__stream_unread_bytes(stream) > 0 &&
        !weir__stream_gather(stream))
        return -ENOMEM;
    return (int64_t)show(stream, bytes);
}

ssize_t weir_stream_peek(struct weir_stream *stream, const void **bytes, size_t least,
                         int64_t deadline_ns)
{
    int64_t result;

    if (!stream || !bytes)
        return -EINVAL;
    result = weir__stream_enter(stream, &stream->reading);
    if (result < 0)
        return result;
    result = peek(stream, bytes, least ? least : 1, deadline_ns);
    stream->reading = false;
    return result;
}

int weir_stream_consume(struct weir_stream *stream, size_t bytes)
{
    int error;

    if (!stream)
        return -EINVAL;
    error = weir__stream_enter_even_cancelled(stream, &stream->reading);
    if (error < 0)
        return error;
    if (bytes > weir__stream_unread_bytes(stream))
        error = -EINVAL;
    else
        weir__stream_take(stream, NULL, bytes);
    stream->reading = false;
    return error;
}
