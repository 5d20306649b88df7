/* SPDX-License-Identifier: MIT */
/*
 * Select over streams: ready when a read would not wait. What is received ahead needs no poll: the
 * receive's own events fire the clause. A stream that receives plainly is polled as a descriptor.
 */
#include "core/clause.h"
#include "core/park.h"
#include "io/clause.h"
#include "io/receive.h"
#include "net/stream.h"

#include <errno.h>

/* Bytes, the end, an error, or a receive that has ended and must be looked at by a read. */
static bool has_news(const struct weir_stream *stream)
{
    return weir__stream_unread_bytes(stream) > 0 || stream->peer_ended || stream->read_error ||
           stream->receive == WEIR__RECEIVE_IDLE;
}

static int stream_prepare(struct weir_clause *clause)
{
    struct weir_stream *stream = clause->object;
    int error = weir__stream_enter(stream, &stream->reading);

    if (error < 0)
        return error;
    weir__stream_kick(stream);
    if (weir__stream_unread_bytes(stream) == 0 && !stream->peer_ended && !stream->read_error)
        error = weir__stream_arm(stream);
    if (error < 0)
        stream->reading = false;
    return error;
}

static void stream_look(struct weir_clause *clause)
{
    struct weir_stream *stream = clause->object;

    if (!has_news(stream))
        weir__ring_poll(&stream->loop->ring);
}

static bool stream_ready(const struct weir_clause *clause)
{
    return has_news(clause->object);
}

static bool stream_try(struct weir_clause *clause, struct weir__wait **wake)
{
    (void)wake;
    clause->result = 0;
    return has_news(clause->object);
}

/* The waiter hangs nowhere: the stream knows it. */
static void stream_arm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    (void)clause;
    (void)waiter;
}

static void stream_launch(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_stream *stream = clause->object;

    if (has_news(stream))
        weir__wait_fire(waiter->wait, waiter->index);
    else
        stream->watcher = waiter;
}

static void stream_disarm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_stream *stream = clause->object;

    (void)waiter;
    stream->watcher = NULL;
}

static void stream_fired(struct weir_clause *clause, struct weir__waiter *waiter)
{
    (void)waiter;
    clause->result = 0;
}

static void stream_finish(struct weir_clause *clause, bool won)
{
    struct weir_stream *stream = clause->object;

    (void)won;
    stream->watcher = NULL;
    stream->reading = false;
}

static const struct weir_clause_verbs stream_verbs = {
    .name = "stream",
    .is_careful = true,
    .prepare = stream_prepare,
    .look = stream_look,
    .ready = stream_ready,
    .try = stream_try,
    .arm = stream_arm,
    .launch = stream_launch,
    .disarm = stream_disarm,
    .fired = stream_fired,
    .finish = stream_finish,
};

/* What is not received ahead, or cannot be since no buffer is left. */
static bool is_polled(struct weir_stream *stream)
{
    if (!weir__stream_receives_ahead(stream))
        return true;
    return stream->loop && stream->loop == weir__loop_current &&
           stream->receive == WEIR__RECEIVE_IDLE && !weir__receive_pool_left(stream->buffers);
}

struct weir_clause weir_clause_stream(struct weir_stream *stream)
{
    struct weir_clause clause = { .object = stream };

    if (!stream)
        return clause;
    if (is_polled(stream) && weir__stream_unread_bytes(stream) == 0 && !stream->peer_ended &&
        !stream->read_error) {
        if (stream->loop && stream->loop == weir__loop_current)
            weir__stream_kick(stream);
        return weir_clause_readable(stream->fd);
    }
    clause.verbs = &stream_verbs;
    return clause;
}
