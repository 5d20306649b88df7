/* SPDX-License-Identifier: MIT */
/*
 * A stream from inside. What came and was not read, oldest first:
 *
 *     kept block (bytes of its own)  ->  queue of the loop's receive buffers  ->  the kernel
 *
 * The receive:
 *
 *              a read would wait: arm                     a completion, nobody waits for more
 *     IDLE -----------------------------> ARMED ----------------------------------------> ARMED
 *      ^  ^                                 |  the limit is reached, big reads, a close: stop
 *      |  `--- ended by itself: end, error, |
 *      |       no buffer                    v
 *      `--------------- ended ---------- STOPPING      (bytes may still come, and are queued)
 *
 * A read that finds no buffer, or does not want one, receives into its caller's memory while the
 * receive is IDLE: so bytes never come by two ways at once, and keep their order.
 *
 * What was written and not sent lies in one block:
 *
 *     0 ... out_begin: sent | out_begin ... out_end: to be sent; the send in flight has the first
 *                                             part of it | ... out.capacity: room
 *
 * All of it belongs to the home loop.
 */
#ifndef WEIR_NET_STREAM_H
#define WEIR_NET_STREAM_H

#include "base/list.h"
#include "core/mailbox.h"
#include "core/wait.h"
#include "io/op.h"

#include <weir/stream.h>

struct weir__receive_pool;
struct weir__net;
struct weir__timer;

struct weir__stream_block {
    struct weir__stream_block *next; /* in the cache */
    size_t capacity;                 /* bytes */
    char bytes[];
};

enum weir__stream_receive {
    WEIR__RECEIVE_IDLE,
    WEIR__RECEIVE_ARMED,
    WEIR__RECEIVE_STOPPING,
};

struct weir_stream {
    /* What each request touches. */
    struct weir__loop *loop; /* home; NULL: none yet, or handed over */
    struct weir__receive_pool *buffers;
    struct weir__wait *reader;    /* parked until something comes, or the receive has ended */
    struct weir__waiter *watcher; /* of a select that waits for it; NULL: none */
    struct weir__wait *writer;    /* parked until the send behind has ended */
    int fd;
    uint8_t receive;   /* enum weir__stream_receive */
    bool reads_ahead;  /* may be received ahead at all */
    bool reading;      /* a task is in a verb that reads */
    bool writing;      /* a task is in a verb that writes */
    bool peer_ended;   /* after what is queued comes the end */
    bool sending;      /* the send behind is in flight */
    bool sending_from; /* a writer sends from its own memory: nobody else may send */
    bool has_ended;    /* the peer has been told the end */
    bool closing;
    bool is_doubtful; /* in weir__net.doubtful */
    bool is_socket;
    bool zero_copy;    /* worth trying */
    bool never_blocks; /* has O_NONBLOCK, which it gets with its first file */
    uint8_t big_reads;
    uint16_t first, last; /* of the queue of buffers; WEIR__RECEIVE_NONE */
    uint32_t first_used;  /* bytes read of the first */
    uint32_t held;        /* buffers in the queue */
    uint32_t held_max;
    size_t queued_bytes; /* in the queue */
    int read_error;
    int write_error;
    uint64_t received_bytes;
    uint64_t sent_bytes;

    /* Bytes of its own; NULL mostly. They come before the queue. */
    struct weir__stream_block *kept;
    size_t kept_begin, kept_end;
    size_t receive_limit_bytes;

    /* To be sent. */
    struct weir__stream_block *out;
    size_t out_begin, out_end;
    size_t out_kicked; /* where the send behind, the last one, was to end */
    size_t write_buffer_bytes;
    size_t zero_copy_bytes;

    struct weir__op receive_op;
    struct weir__op send_op;

    /* Runs in the callback task what may not run where it was found to be due. */
    struct weir__mail chore;
    bool chore_posted;
    bool is_gone;     /* closed: the chore frees it */
    bool send_wanted; /* what was written while a send was in flight shall go, too */

    struct weir__list doubt; /* in weir__net.doubtful */
    uint32_t arrivals;       /* completions with bytes */
    uint32_t arrivals_swept; /* as the last sweep saw it */

    struct weir_stream_stats stats; /* what is counted seldom */
};

/* --- stream.c --------------------------------------------------------------------------------- */

/* Enters a verb of one side; `busy` is stream->reading or writing. 0 or why not. */
int weir__stream_enter(struct weir_stream *stream, bool *busy);
int weir__stream_enter_even_cancelled(struct weir_stream *stream, bool *busy);

/* Whether it may receive ahead here; it settles on the calling loop if it has no home. */
bool weir__stream_receives_ahead(struct weir_stream *stream);

/* Whether it is the connection's error, which each later call returns, and not one call's. */
bool weir__stream_error_stays(const struct weir_stream *stream, int64_t error);

/* A block from the loop's cache; NULL without memory. */
struct weir__stream_block *weir__stream_take_block(struct weir_stream *stream, size_t bytes);
void weir__stream_give_block(struct weir_stream *stream, struct weir__stream_block *block);
void weir__stream_drop_blocks(struct weir__net *net);

/* --- stream_receive.c ------------------------------------------------------------------------- */

static inline size_t weir__stream_kept_bytes(const struct weir_stream *stream)
{
    return stream->kept_end - stream->kept_begin;
}

static inline size_t weir__stream_unread_bytes(const struct weir_stream *stream)
{
    return weir__stream_kept_bytes(stream) + stream->queued_bytes;
}

/* Moves up to `bytes` of what is there to `target` (NULL: drops them); returns how many. */
size_t weir__stream_take(struct weir_stream *stream, char *target, size_t bytes);

/* Puts bytes back before all others; false without memory, and nothing happened. */
bool weir__stream_put_back(struct weir_stream *stream, const char *bytes, size_t count);

/* Makes all that is there one piece, in the kept block; false without memory. */
bool weir__stream_gather(struct weir_stream *stream);

/*
 * Receives when nothing is there: up to `bytes` into `room`. Returns their number; 0: the peer has
 * ended; -errno.
 */
int64_t weir__stream_receive(struct weir_stream *stream, char *room, size_t bytes,
                             int64_t deadline_ns);

/* Receives more than is there, and keeps it. 1: more is there; 0: the peer has ended; -errno. */
int weir__stream_receive_more(struct weir_stream *stream, int64_t deadline_ns);

/* Ends the receive, and waits for it; on 0 it is idle. */
int weir__stream_stop(struct weir_stream *stream, int64_t deadline_ns);

/* Starts receiving ahead, if it is not under way, whether there are buffers or not. */
int weir__stream_arm(struct weir_stream *stream);

/* Whoever waits for something to come looks again. */
void weir__stream_wake_reader(struct weir_stream *stream);

/* Asks the receive to end. */
void weir__stream_ask_stop(struct weir_stream *stream);

/* --- stream_write.c --------------------------------------------------------------------------- */

/* Sends what was written, behind everybody's back, unless that is under way. */
void weir__stream_kick(struct weir_stream *stream);

/* Waits until no send behind is in flight. 0, or why not. */
int weir__stream_await_send(struct weir_stream *stream, int64_t deadline_ns);

/*
 * Sends from the caller's memory, behind what was written: `count` vectors, at least one, but for
 * their first bytes. Returns how many bytes of them went out, maybe not all and maybe none, or
 * -errno.
 */
int64_t weir__stream_send(struct weir_stream *stream, const struct iovec *vectors, int count,
                          size_t skip_bytes, int64_t deadline_ns);

/* As weir_stream_flush, by who has entered. */
int weir__stream_flush(struct weir_stream *stream, int64_t deadline_ns);

/* --- stream_doubt.c --------------------------------------------------------------------------- */

/* Bytes came, and the kernel does not say that more follow. */
void weir__stream_doubt(struct weir_stream *stream);
void weir__stream_trust(struct weir_stream *stream);
void weir__stream_sweep(struct weir__timer *timer);

/* --- for the rest ----------------------------------------------------------------------------- */

/* Posts the chore: stops a receive beyond its limit, sends what is wanted. May run in the reap. */
void weir__stream_post_chore(struct weir_stream *stream);

#endif
