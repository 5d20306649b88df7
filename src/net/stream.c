/* SPDX-License-Identifier: MIT */
/* The life of a stream: opened, at home on a loop, handed over, closed; see stream.h. */
#include "net/stream.h"

#include "base/kernel.h"
#include "core/callback.h"
#include "core/park.h"
#include "io/close.h"
#include "io/io.h"
#include "io/receive.h"
#include "net/net.h"

#include <weir/descriptor.h>
#include <weir/task.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>

enum {
    RECEIVE_LIMIT_BYTES = 64 * 1024,
    WRITE_BUFFER_BYTES = 16 * 1024,
    ZERO_COPY_BYTES = 32 * 1024,
    LIMIT_MAX_BYTES = 1 << 30,
    HELD_LEAST = 2,
    BLOCKS_KEPT = 64, /* per loop */
    FLAGS_ALL = WEIR_STREAM_PLAIN_RECEIVE | WEIR_STREAM_NO_ZERO_COPY,
};

/* --- Blocks ----------------------------------------------------------------------------------- */

/* The sizes that are kept: the buffers of writers, and of readers. */
static const size_t kept_bytes[WEIR__NET_CACHES] = { WRITE_BUFFER_BYTES, RECEIVE_LIMIT_BYTES };

static void free_block(struct weir__budget *memory, struct weir__stream_block *block)
{
    size_t bytes = sizeof *block + block->capacity;

    weir__memory_free(block);
    weir__budget_give(memory, bytes);
}

struct weir__stream_block *weir__stream_take_block(struct weir_stream *stream, size_t bytes)
{
    struct weir__stream_cache *cache = stream->loop->net->caches;
    struct weir__budget *memory = stream->loop->runtime->memory;
    struct weir__stream_block *block;
    int size = 0;

    while (size < WEIR__NET_CACHES && kept_bytes[size] < bytes)
        size++;
    if (size < WEIR__NET_CACHES) {
        bytes = kept_bytes[size];
        block = cache[size].first;
        if (block) {
            cache[size].first = block->next;
            cache[size].count--;
            return block;
        }
    }
    if (!weir__budget_take(memory, sizeof *block + bytes))
        return NULL;
    block = weir__memory_alloc(stream->loop->heap, sizeof *block + bytes);
    if (block)
        block->capacity = bytes;
    else
        weir__budget_give(memory, sizeof *block + bytes);
    return block;
}

void weir__stream_give_block(struct weir_stream *stream, struct weir__stream_block *block)
{
    struct weir__stream_cache *cache = stream->loop->net->caches;

    if (!block)
        return;
    for (int size = 0; size < WEIR__NET_CACHES; size++)
        if (block->capacity == kept_bytes[size] && cache[size].count < BLOCKS_KEPT) {
            block->next = cache[size].first;
            cache[size].first = block;
            cache[size].count++;
            return;
        }
    free_block(stream->loop->runtime->memory, block);
}

void weir__stream_drop_blocks(struct weir__net *net)
{
    for (int size = 0; size < WEIR__NET_CACHES; size++)
        while (net->caches[size].first) {
            struct weir__stream_block *block = net->caches[size].first;

            net->caches[size].first = block->next;
            free_block(net->loop->runtime->memory, block);
        }
}

/* --- Opening ---------------------------------------------------------------------------------- */

static int check_options(const struct weir_stream_options *options)
{
    if (options->size && options->size != sizeof *options)
        return -EINVAL;
    if (options->flags & ~(unsigned)FLAGS_ALL)
        return -EINVAL;
    if (options->receive_limit_bytes > LIMIT_MAX_BYTES ||
        options->write_buffer_bytes > LIMIT_MAX_BYTES)
        return -EINVAL;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return -EINVAL;
    return 0;
}

static int option_of(int fd, int name, int *value)
{
    socklen_t bytes = sizeof *value;

    return weir__kernel_getsockopt(fd, SOL_SOCKET, name, value, &bytes);
}

/* Loopback copies in any case. */
static bool is_loopback(int fd)
{
    struct sockaddr_storage storage;
    socklen_t bytes = sizeof storage;
    const struct sockaddr_in *v4 = (const void *)&storage;
    const struct sockaddr_in6 *v6 = (const void *)&storage;

    if (weir__kernel_getpeername(fd, (struct sockaddr *)&storage, &bytes) < 0)
        return true;
    if (storage.ss_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    if (storage.ss_family != AF_INET6)
        return true;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET);
}

/* What the descriptor is, and so what can be done with it. */
static int inspect(struct weir_stream *stream, unsigned flags)
{
    int type, listens = 0, protocol = 0;
    struct stat file;
    int error = option_of(stream->fd, SO_TYPE, &type);

    if (error == -ENOTSOCK) {
        error = weir__kernel_fstat(stream->fd, &file);
        if (error < 0)
            return error;
        return S_ISFIFO(file.st_mode) || S_ISCHR(file.st_mode) ? 0 : -EINVAL;
    }
    if (error < 0)
        return error;
    option_of(stream->fd, SO_ACCEPTCONN, &listens);
    if (type != SOCK_STREAM || listens)
        return -EINVAL;
    option_of(stream->fd, SO_PROTOCOL, &protocol);
    stream->is_socket = true;
    /* Only TCP says with its last bytes that the end follows; see stream_doubt.c. */
    stream->reads_ahead = protocol == IPPROTO_TCP && !(flags & WEIR_STREAM_PLAIN_RECEIVE);
    stream->zero_copy = protocol == IPPROTO_TCP && !(flags & WEIR_STREAM_NO_ZERO_COPY);
    if (stream->zero_copy)
        stream->zero_copy = !is_loopback(stream->fd);
    return 0;
}

static size_t or_else(size_t given, size_t standard)
{
    return given ? given : standard;
}

static void run_chore(struct weir__loop *loop, struct weir__mail *mail);

int weir_stream_open(struct weir_stream **stream, int fd, const struct weir_stream_options *options)
{
    static const struct weir_stream_options standard;
    struct weir__loop *loop = weir__loop_current;
    struct weir_stream *made;
    int error;

    if (!stream || fd < 0)
        return stream ? -EBADF : -EINVAL;
    if (!loop)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    options = options ? options : &standard;
    error = check_options(options);
    if (error < 0)
        return error;
    made = weir__memory_zalloc(loop->heap, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->fd = fd;
    made->first = made->last = WEIR__RECEIVE_NONE;
    made->receive_limit_bytes = or_else(options->receive_limit_bytes, RECEIVE_LIMIT_BYTES);
    made->write_buffer_bytes = or_else(options->write_buffer_bytes, WRITE_BUFFER_BYTES);
    made->zero_copy_bytes = or_else(options->zero_copy_bytes, ZERO_COPY_BYTES);
    made->chore.deliver = run_chore;
    weir__list_init(&made->doubt);
    error = inspect(made, options->flags);
    if (error < 0) {
        weir__memory_free(made);
        return error;
    }
    *stream = made;
    return 0;
}

int weir_stream_fd(const struct weir_stream *stream)
{
    return stream ? stream->fd : -EINVAL;
}

/* --- Home ------------------------------------------------------------------------------------- */

static int settle_here(struct weir_stream *stream, struct weir__loop *loop)
{
    struct weir__receive_pool *buffers = &loop->io->buffers;
    size_t held_max;
    int error = 0;

    if (stream->loop)
        return -EBUSY;
    if (stream->reads_ahead)
        error = weir__receive_pool_open(buffers, &loop->ring, &loop->runtime->options,
                                        loop->runtime->memory);
    if (error == -EOPNOTSUPP)
        stream->reads_ahead = false; /* the kernel has none, or it was masked: as the report says */
    else if (error < 0)
        return error;
    if (!(loop->ring.features & WEIR_FEATURE_SEND_ZC))
        stream->zero_copy = false;
    if (stream->reads_ahead) {
        held_max = stream->receive_limit_bytes / buffers->buffer_bytes;
        stream->held_max = held_max > HELD_LEAST ? (uint32_t)held_max : HELD_LEAST;
    } else {
        stream->held_max = UINT32_MAX;
    }
    stream->buffers = buffers;
    stream->loop = loop;
    return 0;
}

bool weir__stream_receives_ahead(struct weir_stream *stream)
{
    struct weir__loop *loop = weir__loop_current;

    if (loop && !stream->loop)
        settle_here(stream, loop); /* what it refuses, the select's verbs meet again */
    return stream->reads_ahead;
}

int weir__stream_enter_even_cancelled(struct weir_stream *stream, bool *busy)
{
    struct weir__loop *loop = weir__loop_current;

    if (WEIR_UNLIKELY(!loop))
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    if (WEIR_UNLIKELY(stream->loop != loop)) {
        int error = settle_here(stream, loop);

        if (error < 0)
            return error;
    }
    if (WEIR_UNLIKELY(stream->closing))
        return -EBADF;
    if (WEIR_UNLIKELY(*busy))
        return -EBUSY;
    *busy = true;
    return 0;
}

int weir__stream_enter(struct weir_stream *stream, bool *busy)
{
    int error = weir__stream_enter_even_cancelled(stream, busy);

    if (WEIR_LIKELY(error >= 0) && WEIR_UNLIKELY(weir__wait_check() < 0)) {
        *busy = false;
        error = -ECANCELED;
    }
    return error;
}

bool weir__stream_error_stays(const struct weir_stream *stream, int64_t error)
{
    switch (error) {
    case -EAGAIN:
    case -ETIME:
    case -ECANCELED:
    case -EBUSY:
    case -ENOMEM:
        return false;
    case -EBADF:
        return !stream->closing; /* else it is the close that has ended the call */
    default:
        return error < 0;
    }
}

/* --- Chores ----------------------------------------------------------------------------------- */

static void run_chore(struct weir__loop *loop, struct weir__mail *mail)
{
    struct weir_stream *stream = WEIR_CONTAINER_OF(mail, struct weir_stream, chore);

    (void)loop;
    stream->chore_posted = false;
    if (stream->is_gone) {
        weir__memory_free(stream);
        return;
    }
    if (stream->held >= stream->held_max && stream->receive == WEIR__RECEIVE_ARMED) {
        stream->stats.stop_count++;
        weir__stream_ask_stop(stream);
    }
    if (stream->send_wanted)
        weir__stream_kick(stream);
}

void weir__stream_post_chore(struct weir_stream *stream)
{
    if (stream->chore_posted)
        return;
    stream->chore_posted = true;
    weir__callback_post(stream->loop, &stream->chore);
}

/* --- Leaving ---------------------------------------------------------------------------------- */

/* Without a chore on its way, which refers to the stream. */
static void await_chore(struct weir_stream *stream)
{
    while (stream->chore_posted)
        weir__sched_yield(stream->loop);
}

static int leave_home(struct weir_stream *stream, int64_t deadline_ns)
{
    int error;

    do {
        error = weir__stream_await_send(stream, deadline_ns);
        if (error >= 0)
            error = weir__stream_stop(stream, deadline_ns);
        if (error < 0)
            return error;
        await_chore(stream);
    } while (stream->sending); /* a chore may have begun another send */
    if (stream->closing)
        return -EBADF;
    if (stream->held > 0 && !weir__stream_gather(stream))
        return -ENOMEM;
    weir__stream_trust(stream);
    stream->loop = NULL;
    return 0;
}

int weir_stream_hand_over(struct weir_stream *stream, int64_t deadline_ns)
{
    int error;

    if (!stream)
        return -EINVAL;
    error = weir__stream_enter(stream, &stream->reading);
    if (error < 0)
        return error;
    error = weir__stream_enter(stream, &stream->writing);
    if (error >= 0) {
        error = leave_home(stream, deadline_ns);
        stream->writing = false;
    }
    stream->reading = false;
    return error;
}

int weir_stream_read_stats(const struct weir_stream *stream, struct weir_stream_stats *stats)
{
    if (!stream || !stats)
        return -EINVAL;
    *stats = stream->stats;
    stats->received_bytes = stream->received_bytes;
    stats->sent_bytes = stream->sent_bytes;
    stats->unread_bytes = weir__stream_unread_bytes(stream);
    stats->unsent_bytes = stream->out_end - stream->out_begin;
    stats->receive_buffers = stream->held;
    return 0;
}

/* --- Closing ---------------------------------------------------------------------------------- */

static void wake_writer(struct weir_stream *stream)
{
    struct weir__wait *writer = stream->writer;

    stream->writer = NULL;
    if (writer)
        weir__wait_fire(writer, 0);
}

/* Nobody enters any more; those inside leave with -EBADF. */
static void end_callers(struct weir_stream *stream)
{
    stream->closing = true;
    weir__stream_wake_reader(stream);
    wake_writer(stream);
    weir__close_end_calls(stream->loop->io, stream->fd);
    while (stream->reading || stream->writing)
        weir__sched_yield(stream->loop);
}

/* Drops what comes until the peer has ended. */
static int await_peer_end(struct weir_stream *stream, int64_t deadline_ns)
{
    char dropped[1024];
    int64_t count = 1;

    weir__stream_take(stream, NULL, SIZE_MAX);
    while (count > 0)
        count = weir__stream_receive(stream, dropped, sizeof dropped, deadline_ns);
    return (int)count;
}

/* Sends the rest, tells the end, waits for the peer's. */
static int part_gracefully(struct weir_stream *stream, int64_t deadline_ns)
{
    int error = stream->write_error;

    if (error >= 0)
        error = weir__stream_flush(stream, deadline_ns);
    if (error < 0 || !stream->is_socket)
        return error;
    if (!stream->has_ended)
        weir__kernel_shutdown(stream->fd, SHUT_WR); /* what it refuses, the receive meets too */
    return await_peer_end(stream, deadline_ns);
}

static void free_stream(struct weir_stream *stream)
{
    weir__stream_take(stream, NULL, SIZE_MAX);
    weir__stream_trust(stream);
    weir__stream_give_block(stream, stream->out);
    stream->is_gone = true;
    if (!stream->chore_posted) /* else the chore frees it: whoever closes may be in its way */
        weir__memory_free(stream);
}

static int close_stream(struct weir_stream *stream, int64_t deadline_ns, bool graceful)
{
    struct linger linger = { .l_onoff = 1 };
    int error = 0, close_error;

    end_callers(stream);
    if (graceful) {
        weir_shield_enter();
        error = part_gracefully(stream, deadline_ns);
        weir_shield_leave();
    } else if (stream->is_socket) {
        weir__kernel_setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    stream->write_error =
        stream->write_error < 0 ? stream->write_error : -EBADF; /* no more kicks */
    close_error = weir_close(stream->fd);
    if (close_error == -EBUSY) { /* somebody uses the bare descriptor on another loop */
        stream->closing = false;
        return close_error;
    }
    free_stream(stream);
    return error < 0 ? error : close_error;
}

/* A stream without a home is closed where it is closed. */
static int enter_to_close(struct weir_stream *stream)
{
    struct weir__loop *loop = weir__loop_current;

    if (!stream)
        return -EINVAL;
    if (!loop)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    if (stream->loop == loop)
        return stream->closing ? -EBADF : 0;
    if (!stream->loop)
        stream->reads_ahead = false; /* it needs no memory to end */
    return settle_here(stream, loop);
}

int weir_stream_close(struct weir_stream *stream, int64_t deadline_ns)
{
    int error = enter_to_close(stream);

    return error < 0 ? error : close_stream(stream, deadline_ns, true);
}

int weir_stream_abort(struct weir_stream *stream)
{
    int error = enter_to_close(stream);

    return error < 0 ? error : close_stream(stream, WEIR_NOW, false);
}
