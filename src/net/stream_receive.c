/* SPDX-License-Identifier: MIT */
/* How bytes come into a stream; stream.h has the picture. */
#include "core/expiry.h"
#include "core/park.h"
#include "io/io.h"
#include "io/receive.h"
#include "net/stream.h"

#include <errno.h>
#include <string.h>

enum {
    PLAIN_BYTES = 16 * 1024, /* reads of so many are cheaper without receiving ahead (IO.md) */
    BIG_READS = 4,           /* one after the other, until receiving ahead is given up */
};

/* Whoever waits for the receive: a reader of this loop, or a select, which others may fire too. */
void weir__stream_wake_reader(struct weir_stream *stream)
{
    struct weir__wait *reader = stream->reader;
    struct weir__waiter *watcher = stream->watcher;

    if (reader) {
        stream->reader = NULL;
        weir__wait_fire_here(reader, 0);
    } else if (watcher) {
        stream->watcher = NULL;
        weir__wait_fire(watcher->wait, watcher->index);
    }
}

/* --- Events of the receive, in the reap ------------------------------------------------------- */

static void enqueue(struct weir_stream *stream, unsigned id, uint32_t bytes)
{
    weir__receive_pool_take(stream->buffers, id, bytes);
    if (stream->first == WEIR__RECEIVE_NONE)
        stream->first = (uint16_t)id;
    else
        stream->buffers->buffers[stream->last].next = (uint16_t)id;
    stream->last = (uint16_t)id;
    stream->queued_bytes += bytes;
    stream->received_bytes += bytes;
    stream->arrivals++;
    if (++stream->held >= stream->held_max && stream->receive == WEIR__RECEIVE_ARMED)
        weir__stream_post_chore(stream);
}

static void note_end(struct weir_stream *stream, int result)
{
    struct weir__counters *counters = &stream->loop->counters;

    if (result == 0)
        stream->peer_ended = true;
    else if (result == -ENOBUFS)
        weir__counter_add(counters, WEIR_RECEIVE_BUFFERS_MISSING, 1);
    else if (result != -ECANCELED)
        stream->read_error = result;
}

static void receive_event(struct weir__op *op, int result, uint32_t flags)
{
    struct weir_stream *stream = WEIR_CONTAINER_OF(op, struct weir_stream, receive_op);
    unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;

    if (WEIR_LIKELY(result > 0)) {
        enqueue(stream, id, (uint32_t)result);
        if (!(flags & IORING_CQE_F_SOCK_NONEMPTY) && !stream->is_doubtful)
            weir__stream_doubt(stream);
    } else {
        if (flags & IORING_CQE_F_BUFFER) {
            weir__receive_pool_take(stream->buffers, id, 0);
            weir__receive_pool_release(stream->buffers, id);
        }
        note_end(stream, result);
    }
    weir__stream_wake_reader(stream);
}

static void receive_ended(struct weir__op *op)
{
    struct weir_stream *stream = WEIR_CONTAINER_OF(op, struct weir_stream, receive_op);

    stream->receive = WEIR__RECEIVE_IDLE;
    weir__stream_wake_reader(stream);
}

/* --- Starting and stopping it ----------------------------------------------------------------- */

int weir__stream_arm(struct weir_stream *stream)
{
    struct weir__op *op = &stream->receive_op;
    int error;

    if (stream->receive != WEIR__RECEIVE_IDLE)
        return 0;
    op->fd = stream->fd;
    op->handle = stream;
    op->event = receive_event;
    op->ended = receive_ended;
    error = weir__op_start(WEIR__OP_ID_RECV_MULTISHOT, op);
    if (error < 0)
        return error;
    stream->receive = WEIR__RECEIVE_ARMED;
    stream->stats.arm_count++;
    return 0;
}

void weir__stream_ask_stop(struct weir_stream *stream)
{
    if (stream->receive != WEIR__RECEIVE_ARMED)
        return;
    stream->receive = WEIR__RECEIVE_STOPPING;
    weir__op_interrupt(&stream->receive_op, 0);
}

static const struct weir__reason awaits_bytes = { "stream read", WEIR_PHASE_PEER, NULL };

/* Parks the reader until the next event of the receive. */
static int await_event(struct weir_stream *stream, int64_t deadline_ns)
{
    struct weir__wait *wait = weir__wait_self();
    int code;

    weir__wait_begin(wait, &awaits_bytes, stream);
    stream->reader = wait;
    code = weir__wait_park(wait, deadline_ns, WEIR__PARK_CANCELLABLE);
    if (code < 0)
        stream->reader = NULL;
    return code;
}

int weir__stream_stop(struct weir_stream *stream, int64_t deadline_ns)
{
    int code = 0;

    weir__stream_ask_stop(stream);
    while (stream->receive != WEIR__RECEIVE_IDLE && code >= 0) {
        code = weir__wait_refuse(deadline_ns);
        if (code >= 0)
            code = await_event(stream, deadline_ns);
    }
    return stream->receive == WEIR__RECEIVE_IDLE ? 0 : code;
}

/* --- What is there ---------------------------------------------------------------------------- */

static void drop_first(struct weir_stream *stream)
{
    unsigned id = stream->first;

    stream->first = stream->buffers->buffers[id].next;
    stream->first_used = 0;
    stream->held--;
    weir__receive_pool_release(stream->buffers, id);
}

static void drop_kept_if_empty(struct weir_stream *stream)
{
    if (!stream->kept || stream->kept_begin < stream->kept_end)
        return;
    weir__stream_give_block(stream, stream->kept);
    stream->kept = NULL;
    stream->kept_begin = stream->kept_end = 0;
}

static size_t take_kept(struct weir_stream *stream, char *target, size_t bytes)
{
    size_t count = weir__stream_kept_bytes(stream);

    if (count > bytes)
        count = bytes;
    if (target)
        memcpy(target, stream->kept->bytes + stream->kept_begin, count);
    stream->kept_begin += count;
    drop_kept_if_empty(stream);
    return count;
}

static size_t take_first(struct weir_stream *stream, char *target, size_t bytes)
{
    unsigned id = stream->first;
    size_t left_bytes = stream->buffers->buffers[id].bytes - stream->first_used;
    size_t count = bytes < left_bytes ? bytes : left_bytes;

    if (target)
        memcpy(target, weir__receive_pool_at(stream->buffers, id) + stream->first_used, count);
    stream->queued_bytes -= count;
    stream->first_used += (uint32_t)count;
    if (count == left_bytes)
        drop_first(stream);
    return count;
}

size_t weir__stream_take(struct weir_stream *stream, char *target, size_t bytes)
{
    size_t done_bytes = 0;

    if (stream->kept)
        done_bytes = take_kept(stream, target, bytes);
    while (done_bytes < bytes && stream->queued_bytes > 0)
        done_bytes += take_first(stream, target ? target + done_bytes : NULL, bytes - done_bytes);
    return done_bytes;
}

/* A kept block with at least so much capacity, its bytes at its beginning. */
static bool make_room(struct weir_stream *stream, size_t bytes)
{
    size_t count = weir__stream_kept_bytes(stream);
    struct weir__stream_block *old = stream->kept, *block = old;

    if (!old || old->capacity < bytes) {
        block = weir__stream_take_block(stream, bytes);
        if (!block)
            return false;
    }
    if (old)
        memmove(block->bytes, old->bytes + stream->kept_begin, count);
    if (old && old != block)
        weir__stream_give_block(stream, old);
    stream->kept = block;
    stream->kept_begin = 0;
    stream->kept_end = count;
    return true;
}

bool weir__stream_put_back(struct weir_stream *stream, const char *bytes, size_t count)
{
    size_t kept_bytes = weir__stream_kept_bytes(stream);

    if (!make_room(stream, kept_bytes + count))
        return false;
    memmove(stream->kept->bytes + count, stream->kept->bytes, kept_bytes);
    memcpy(stream->kept->bytes, bytes, count);
    stream->kept_end += count;
    return true;
}

bool weir__stream_gather(struct weir_stream *stream)
{
    size_t bytes = weir__stream_unread_bytes(stream);

    if (!make_room(stream,
                   bytes > stream->receive_limit_bytes ? bytes : stream->receive_limit_bytes))
        return false;
    while (stream->queued_bytes > 0)
        stream->kept_end += take_first(stream, stream->kept->bytes + stream->kept_end,
                                       stream->kept->capacity - stream->kept_end);
    return true;
}

/* --- Receiving -------------------------------------------------------------------------------- */

/* Whether a read of so many bytes takes what is received ahead. */
static bool wants_ahead(struct weir_stream *stream, size_t bytes)
{
    if (!stream->reads_ahead)
        return false;
    if (WEIR_LIKELY(bytes < PLAIN_BYTES)) {
        stream->big_reads = 0;
        return true;
    }
    if (stream->big_reads < BIG_READS)
        stream->big_reads++;
    return stream->receive == WEIR__RECEIVE_ARMED && stream->big_reads < BIG_READS;
}

/* 0: an event will come, of this receive or the end of the last one; -ENOBUFS: better without. */
static int ensure_armed(struct weir_stream *stream)
{
    if (stream->receive != WEIR__RECEIVE_IDLE)
        return 0;
    if (!weir__receive_pool_left(stream->buffers)) {
        weir__counter_add(&stream->loop->counters, WEIR_STREAMS_STARVED, 1);
        return -ENOBUFS;
    }
    return weir__stream_arm(stream);
}

/* One try: what has come in the meantime is reaped. 0: something has, look again. */
static int try_once(struct weir_stream *stream, int refusal)
{
    uint32_t arrivals = stream->arrivals;

    weir__ring_poll(&stream->loop->ring);
    return stream->arrivals != arrivals || stream->receive == WEIR__RECEIVE_IDLE ? 0 : refusal;
}

static int await_ahead(struct weir_stream *stream, int64_t deadline_ns)
{
    int refusal = weir__wait_refusal(deadline_ns);

    if (refusal >= 0)
        return await_event(stream, deadline_ns);
    refusal = try_once(stream, refusal);
    if (refusal == -ETIME)
        weir__expiry_note_refused(deadline_ns);
    return refusal;
}

static int64_t receive_plainly(struct weir_stream *stream, char *room, size_t bytes,
                               int64_t deadline_ns)
{
    struct weir__op op = { .fd = stream->fd, .address = room, .length = bytes };
    int64_t result =
        weir__op_run(stream->is_socket ? WEIR__OP_ID_RECV : WEIR__OP_ID_READ, &op, deadline_ns);

    stream->stats.plain_count++;
    if (result == 0)
        stream->peer_ended = true;
    else if (weir__stream_error_stays(stream, result))
        stream->read_error = (int)result;
    if (result > 0)
        stream->received_bytes += (uint64_t)result;
    return result;
}

/* What stands in the way of receiving more: 1 nothing; 0 the peer has ended; -errno. */
static int refuse(const struct weir_stream *stream)
{
    if (WEIR_UNLIKELY(stream->closing && stream->reading)) /* and not the one who closes */
        return -EBADF;
    if (WEIR_UNLIKELY(stream->read_error))
        return stream->read_error;
    return !stream->peer_ended;
}

int64_t weir__stream_receive(struct weir_stream *stream, char *room, size_t bytes,
                             int64_t deadline_ns)
{
    int code;

    while (stream->queued_bytes == 0) {
        code = refuse(stream);
        if (code <= 0)
            return code;
        weir__stream_kick(stream);
        if (stream->queued_bytes > 0) /* it had to make room, and reaped */
            continue;
        code = wants_ahead(stream, bytes) ? ensure_armed(stream) : -ENOBUFS;
        if (code >= 0)
            code = await_ahead(stream, deadline_ns);
        else if (code == -ENOBUFS && stream->receive == WEIR__RECEIVE_IDLE)
            return receive_plainly(stream, room, bytes, deadline_ns);
        else if (code == -ENOBUFS)
            code = weir__stream_stop(stream, deadline_ns);
        if (code < 0 && stream->queued_bytes == 0)
            return code;
    }
    return (int64_t)weir__stream_take(stream, room, bytes);
}

/* Into the kept block. */
static int keep_plainly(struct weir_stream *stream, int64_t deadline_ns)
{
    int64_t result;

    if (!make_room(stream, stream->receive_limit_bytes))
        return -ENOMEM;
    result = receive_plainly(stream, stream->kept->bytes + stream->kept_end,
                             stream->kept->capacity - stream->kept_end, deadline_ns);
    if (result > 0)
        stream->kept_end += (size_t)result;
    drop_kept_if_empty(stream);
    return result > 0 ? 1 : (int)result;
}

int weir__stream_receive_more(struct weir_stream *stream, int64_t deadline_ns)
{
    uint32_t arrivals = stream->arrivals;
    int code;

    if (stream->held >= stream->held_max && !weir__stream_gather(stream))
        return -ENOMEM;
    while (stream->arrivals == arrivals) {
        code = refuse(stream);
        if (code <= 0)
            return code;
        weir__stream_kick(stream);
        if (stream->arrivals != arrivals)
            continue;
        code = wants_ahead(stream, 1) ? ensure_armed(stream) : -ENOBUFS;
        if (code >= 0)
            code = await_ahead(stream, deadline_ns);
        else if (code == -ENOBUFS && stream->receive != WEIR__RECEIVE_IDLE)
            code = weir__stream_stop(stream, deadline_ns);
        else if (code == -ENOBUFS && stream->queued_bytes > 0)
            code = weir__stream_gather(stream) ? 0 : -ENOMEM; /* kept bytes are older */
        else if (code == -ENOBUFS)
            return keep_plainly(stream, deadline_ns);
        if (code < 0 && stream->arrivals == arrivals)
            return code;
    }
    return 1;
}
