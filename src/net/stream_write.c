/* SPDX-License-Identifier: MIT */
/* The verbs that write; the chapter is <weir/stream.h>, the picture in stream.h. */
#include "core/expiry.h"
#include "core/park.h"
#include "io/io.h"
#include "net/stream.h"

#include <weir/socket.h>
#include <weir/task.h>

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

enum { WINDOW_VECTORS = 64 }; /* of a caller's vectors, sent in one call */

/* --- The send behind -------------------------------------------------------------------------- */

static void send_event(struct weir__op *op, int result, uint32_t flags)
{
    struct weir_stream *stream = WEIR_CONTAINER_OF(op, struct weir_stream, send_op);

    (void)flags;
    if (result < 0) {
        if (result != -ECANCELED)
            stream->write_error = result;
        return;
    }
    stream->out_begin += (size_t)result;
    stream->sent_bytes += (uint64_t)result;
}

/* A stream that has nothing to send has no buffer either. */
static void drop_buffer(struct weir_stream *stream)
{
    weir__stream_give_block(stream, stream->out);
    stream->out = NULL;
    stream->out_begin = stream->out_end = 0;
    stream->send_wanted = false;
}

static void want_rest(struct weir_stream *stream)
{
    stream->send_wanted = true;
    weir__stream_post_chore(stream);
}

/* What a pipe did not take at once follows; and what was written in the meantime, if a read waits:
 * whoever wrote it may not come back soon. */
static void send_ended(struct weir__op *op)
{
    struct weir_stream *stream = WEIR_CONTAINER_OF(op, struct weir_stream, send_op);
    struct weir__wait *writer = stream->writer;

    stream->sending = false;
    if (WEIR_LIKELY(stream->out_begin == stream->out_end))
        drop_buffer(stream);
    else if (op->reason) /* the stream is being closed, or the loop ends */
        stream->send_wanted = false;
    else if (stream->send_wanted || stream->out_begin < stream->out_kicked)
        want_rest(stream);
    if (writer) {
        stream->writer = NULL;
        weir__wait_fire_here(writer, 0);
    }
}

void weir__stream_kick(struct weir_stream *stream)
{
    struct weir__op *op = &stream->send_op;
    int error;

    if (stream->out_begin == stream->out_end || stream->write_error)
        return;
    stream->send_wanted = stream->sending || stream->sending_from;
    if (stream->send_wanted)
        return;
    op->fd = stream->fd;
    op->address = stream->out->bytes + stream->out_begin;
    op->length = stream->out_end - stream->out_begin;
    stream->out_kicked = stream->out_end;
    op->flags = MSG_WAITALL;
    op->handle = stream;
    op->event = send_event;
    op->ended = send_ended;
    weir_shield_enter(); /* it is the stream's, whoever is here by chance */
    error = weir__op_start(stream->is_socket ? WEIR__OP_ID_SEND : WEIR__OP_ID_WRITE, op);
    weir_shield_leave();
    if (error < 0)
        stream->write_error = error;
    else
        stream->sending = true;
}

static const struct weir__reason awaits_send = { "stream write", WEIR_PHASE_PEER, NULL };

int weir__stream_await_send(struct weir_stream *stream, int64_t deadline_ns)
{
    struct weir__wait *wait = weir__wait_self();
    int code;

    while (stream->sending) {
        if (stream->closing && stream->writing)
            return -EBADF;
        code = weir__wait_refusal(deadline_ns);
        if (code < 0) {
            weir__ring_poll(&stream->loop->ring); /* a try: what can be sent at once has been */
            if (!stream->sending)
                return 0;
            if (code == -ETIME)
                weir__expiry_note_refused(deadline_ns);
            return code;
        }
        weir__wait_begin(wait, &awaits_send, stream);
        stream->writer = wait;
        code = weir__wait_park(wait, deadline_ns, WEIR__PARK_CANCELLABLE);
        if (code < 0) {
            stream->writer = NULL;
            return code;
        }
    }
    return 0;
}

int weir__stream_flush(struct weir_stream *stream, int64_t deadline_ns)
{
    int code = 0;

    while (stream->out_begin < stream->out_end && stream->write_error >= 0 && code >= 0) {
        weir__stream_kick(stream);
        code = weir__stream_await_send(stream, deadline_ns);
    }
    return stream->write_error < 0 ? stream->write_error : code;
}

/* --- Into the buffer -------------------------------------------------------------------------- */

/* Room in the buffer, which is taken when it is first needed; a send in flight pins what it has. */
static size_t room_of(struct weir_stream *stream)
{
    if (!stream->out) {
        stream->out = weir__stream_take_block(stream, stream->write_buffer_bytes);
        if (!stream->out)
            return 0;
    }
    return stream->write_buffer_bytes - stream->out_end;
}

static void append(struct weir_stream *stream, const char *bytes, size_t count)
{
    memcpy(stream->out->bytes + stream->out_end, bytes, count);
    stream->out_end += count;
}

/* --- From the caller's memory ----------------------------------------------------------------- */

/* How many of the bytes that went out were the buffer's. */
static size_t settle_sent(struct weir_stream *stream, size_t bytes)
{
    size_t buffered = stream->out_end - stream->out_begin;
    size_t count = bytes < buffered ? bytes : buffered;

    stream->out_begin += count;
    if (stream->out_begin == stream->out_end)
        drop_buffer(stream);
    stream->sent_bytes += bytes;
    return count;
}

/* One call that sends the buffer and the caller's vectors, but for their first bytes. Returns how
 * many of the caller's went out, or -errno; 0: only some of the buffer's. */
static int64_t send_vectors(struct weir_stream *stream, const struct iovec *vectors, int count,
                            size_t skip_bytes, int64_t deadline_ns)
{
    struct iovec window[1 + WINDOW_VECTORS];
    struct msghdr message = { .msg_iov = window };
    struct weir__op op = { .fd = stream->fd, .address = &message, .flags = MSG_WAITALL };
    int64_t result;

    if (stream->out_begin < stream->out_end)
        window[message.msg_iovlen++] = (struct iovec){
            .iov_base = stream->out->bytes + stream->out_begin,
            .iov_len = stream->out_end - stream->out_begin,
        };
    for (int i = 0; i < count && i < WINDOW_VECTORS; i++, skip_bytes = 0)
        window[message.msg_iovlen++] = (struct iovec){
            .iov_base = (char *)vectors[i].iov_base + skip_bytes,
            .iov_len = vectors[i].iov_len - skip_bytes,
        };
    if (!stream->is_socket) {
        op.address = window;
        op.length = message.msg_iovlen;
    }
    stream->sending_from = true;
    result = weir__op_run(stream->is_socket ? WEIR__OP_ID_SENDMSG : WEIR__OP_ID_WRITEV, &op,
                          deadline_ns);
    stream->sending_from = false;
    return result < 0 ? result : result - (int64_t)settle_sent(stream, (size_t)result);
}

/* The buffer is empty. -EOPNOTSUPP: not this way. */
static int64_t send_without_copy(struct weir_stream *stream, const void *data, size_t bytes,
                                 int64_t deadline_ns)
{
    struct weir__op op = { .fd = stream->fd, .address = (void *)data, .length = bytes };
    int64_t result;

    op.flags = MSG_WAITALL;
    stream->sending_from = true;
    result = weir__op_run(WEIR__OP_ID_SEND_ZC, &op, deadline_ns);
    stream->sending_from = false;
    if (result == -EINVAL || result == -EOPNOTSUPP) { /* before Linux 6.2, or this protocol */
        stream->zero_copy = false;
        return -EOPNOTSUPP;
    }
    if (result == -ENOMEM || result == -ENOBUFS) /* not so much may be pinned now */
        return -EOPNOTSUPP;
    if ((uint32_t)op.notice & WEIR__NOTIF_USAGE_ZC_COPIED)
        stream->zero_copy = false; /* it costs more than a plain send, and gives nothing */
    else if (result > 0)
        stream->stats.zero_copy_count++;
    if (result > 0)
        stream->sent_bytes += (uint64_t)result;
    return result;
}

/* Where a send from the caller's memory may begin: behind the send behind. A close asks only once:
 * none begins after that. */
static int await_turn(struct weir_stream *stream, int64_t deadline_ns)
{
    int code = weir__stream_await_send(stream, deadline_ns);

    if (stream->closing && stream->writing)
        return -EBADF;
    return stream->write_error < 0 ? stream->write_error : code;
}

int64_t weir__stream_send(struct weir_stream *stream, const struct iovec *vectors, int count,
                          size_t skip_bytes, int64_t deadline_ns)
{
    size_t bytes = vectors->iov_len - skip_bytes;
    int64_t result = await_turn(stream, deadline_ns);

    if (result < 0)
        return result;
    if (count == 1 && stream->zero_copy && bytes >= stream->zero_copy_bytes) {
        result = weir__stream_flush(stream, deadline_ns);
        if (result >= 0)
            result = await_turn(stream, deadline_ns);
        if (result >= 0)
            result = send_without_copy(stream, (char *)vectors->iov_base + skip_bytes, bytes,
                                       deadline_ns);
    } else {
        result = -EOPNOTSUPP;
    }
    if (result == -EOPNOTSUPP)
        result = send_vectors(stream, vectors, count, skip_bytes, deadline_ns);
    if (weir__stream_error_stays(stream, result))
        stream->write_error = (int)result;
    if (result < 0 && stream->send_wanted) /* by a read that met this send */
        weir__stream_kick(stream);
    return result;
}

/* --- The verbs -------------------------------------------------------------------------------- */

/* What a call returns that has had some effect before it was stopped. */
static int64_t outcome(size_t done_bytes, int64_t error)
{
    return done_bytes > 0 ? (int64_t)done_bytes : error;
}

/* Too much for the room there is. As long as less is left than a buffer holds, it goes through
 * the buffer. */
static int64_t write_much(struct weir_stream *stream, const char *data, size_t bytes,
                          int64_t deadline_ns)
{
    size_t done_bytes = 0;

    while (done_bytes < bytes) {
        struct iovec rest = { (void *)(data + done_bytes), bytes - done_bytes };
        int64_t sent;

        if (rest.iov_len <= room_of(stream)) {
            append(stream, rest.iov_base, rest.iov_len);
            return (int64_t)bytes;
        }
        if (rest.iov_len < stream->write_buffer_bytes && stream->sending)
            sent = await_turn(stream, deadline_ns); /* then there is room, or it all goes */
        else
            sent = weir__stream_send(stream, &rest, 1, 0, deadline_ns);
        if (sent < 0)
            return outcome(done_bytes, sent);
        done_bytes += (size_t)sent;
    }
    return (int64_t)done_bytes;
}

ssize_t weir_stream_write(struct weir_stream *stream, const void *data, size_t bytes,
                          int64_t deadline_ns)
{
    int64_t result;

    if (!stream || (!data && bytes > 0) || bytes > SSIZE_MAX)
        return -EINVAL;
    result = weir__stream_enter(stream, &stream->writing);
    if (result < 0)
        return result;
    if (WEIR_UNLIKELY(stream->write_error)) {
        result = stream->write_error;
    } else if (WEIR_LIKELY(bytes <= room_of(stream))) {
        append(stream, data, bytes);
        result = (int64_t)bytes;
    } else {
        result = write_much(stream, data, bytes, deadline_ns);
    }
    stream->writing = false;
    return result;
}

static int64_t sum_of(const struct iovec *vectors, int count)
{
    size_t sum = 0;

    for (int i = 0; i < count; i++) {
        if (vectors[i].iov_len > SSIZE_MAX - sum || (!vectors[i].iov_base && vectors[i].iov_len))
            return -EINVAL;
        sum += vectors[i].iov_len;
    }
    return (int64_t)sum;
}

/* A send may end short: of a pipe, or before an error, which the next try meets. */
static int64_t writev_much(struct weir_stream *stream, const struct iovec *vectors, int count,
                           size_t bytes, int64_t deadline_ns)
{
    size_t done_bytes = 0, skip_bytes = 0;

    while (done_bytes < bytes) {
        int64_t sent = weir__stream_send(stream, vectors, count, skip_bytes, deadline_ns);

        if (sent < 0)
            return outcome(done_bytes, sent);
        done_bytes += (size_t)sent;
        skip_bytes += (size_t)sent;
        for (; count > 0 && skip_bytes >= vectors->iov_len; vectors++, count--)
            skip_bytes -= vectors->iov_len;
    }
    return (int64_t)done_bytes;
}

static int64_t write_vectors(struct weir_stream *stream, const struct iovec *vectors, int count,
                             size_t bytes, int64_t deadline_ns)
{
    if (stream->write_error)
        return stream->write_error;
    if (bytes > room_of(stream))
        return writev_much(stream, vectors, count, bytes, deadline_ns);
    for (int i = 0; i < count; i++)
        append(stream, vectors[i].iov_base, vectors[i].iov_len);
    return (int64_t)bytes;
}

ssize_t weir_stream_writev(struct weir_stream *stream, const struct iovec *vectors, int count,
                           int64_t deadline_ns)
{
    int64_t result, bytes;

    if (!stream || count < 0 || count > IOV_MAX || (!vectors && count > 0))
        return -EINVAL;
    bytes = sum_of(vectors, count);
    if (bytes < 0)
        return bytes;
    result = weir__stream_enter(stream, &stream->writing);
    if (result < 0)
        return result;
    result = write_vectors(stream, vectors, count, (size_t)bytes, deadline_ns);
    stream->writing = false;
    return result;
}

int weir_stream_flush(struct weir_stream *stream, int64_t deadline_ns)
{
    int error;

    if (!stream)
        return -EINVAL;
    error = weir__stream_enter(stream, &stream->writing);
    if (error < 0)
        return error;
    error = weir__stream_flush(stream, deadline_ns);
    stream->writing = false;
    return error;
}

int weir_stream_end(struct weir_stream *stream, int64_t deadline_ns)
{
    int error;

    if (!stream)
        return -EINVAL;
    error = weir__stream_enter(stream, &stream->writing);
    if (error < 0)
        return error;
    error = stream->is_socket ? weir__stream_flush(stream, deadline_ns) : -ENOTSOCK;
    if (error >= 0)
        error = weir_shutdown(stream->fd, SHUT_WR);
    stream->has_ended |= error >= 0;
    stream->writing = false;
    return error;
}
