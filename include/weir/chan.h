/* SPDX-License-Identifier: MIT */
/*
 * A channel is a bounded queue of values of one size, between tasks on any loops and plain threads.
 *
 * Capacity 0 is a rendezvous: send returns when a receiver has the value. A buffered channel parks
 * its senders when full, or drops: the newest (the one being sent) or the oldest.
 *
 * The element belongs to the channel if and only if send returned >= 0. An element the channel
 * owned that no receiver got goes to the drop callback, exactly once.
 *
 * close ends it gently: new sends are refused, what is buffered or parked is still delivered, then
 * receivers get -EPIPE. abort ends it hard: the buffer is dropped, senders keep their elements.
 *
 * A channel is used as long as the caller has a reference, or somebody else is known to. Calls on
 * one that was freed are mostly found out, as long as its memory was not used for something else:
 * they return -EINVAL, and a release too many ends the program.
 *
 * Order: FIFO per sender, FIFO among waiters of one side, no overtaking of a parked one. A send
 * happens before its recv; the recv of element k happens before send k + capacity returns.
 *
 * Example:
 *     struct weir_chan *orders;
 *     int error = weir_chan_create(&orders, sizeof(struct order), 64, NULL);
 *     ...
 *     error = weir_chan_send(orders, &order, weir_in_ms(5));
 */
#ifndef WEIR_CHAN_H
#define WEIR_CHAN_H

#include <weir/base.h>

struct weir_chan;

/* What a full buffer does with one more element. */
enum weir_chan_policy {
    WEIR_CHAN_PARK,
    WEIR_CHAN_DROP_NEWEST, /* core.async's dropping buffer */
    WEIR_CHAN_DROP_OLDEST, /* core.async's sliding buffer */
    /* A promise, of capacity 1: the first element stays, and every receiver gets a copy of it, for
     * ever, also after close. Later ones go to drop as the newest. */
    WEIR_CHAN_PROMISE,
};

/* Why an element went to the drop callback. */
enum weir_drop_reason {
    WEIR_DROP_NEWEST,
    WEIR_DROP_OLDEST,
    WEIR_DROP_ABORT,
    WEIR_DROP_DESTROY,
    WEIR_DROP_DISCARD, /* received into NULL */
};

/* Gets the element's bytes during the call. Runs in the callback task of the loop of the task whose
 * call caused the drop, which waits for it; on a plain thread, in that thread. It may use channels,
 * this one too, but may not park for long: the loop's other callbacks wait. */
typedef void weir_drop_fn(void *elem, void *context, enum weir_drop_reason reason);

/* Called once for each copy of an element that is handed out beyond the first, by promises, mult
 * and pub: so that counted pointers can travel through them. In the task or thread that makes the
 * copy, under no lock; it may not suspend. */
typedef void weir_retain_fn(void *elem, void *context);

/* What an element weighs, in the unit of weight_limit. In the sender's task or thread, under no
 * lock; it may not suspend, and must say the same of the same element. */
typedef size_t weir_weigh_fn(const void *elem, void *context);

/* Zeroed means default. */
struct weir_chan_options {
    size_t size;      /* sizeof(struct weir_chan_options); 0 means the first version's */
    const char *name; /* copied, under 32 bytes with its final zero; NULL: "chan", and not listed
                         by weir_chan_walk */
    enum weir_chan_policy policy;
    weir_drop_fn *drop;
    void *context;          /* of the callbacks */
    weir_retain_fn *retain; /* NULL: copies need nothing */
    /* Bounds the buffer by weight as well as by count; both or neither. Only with WEIR_CHAN_PARK
     * and a capacity. One element heavier than the limit is accepted alone. */
    weir_weigh_fn *weigh;
    size_t weight_limit;
    size_t async_limit;   /* async operations waiting on each side; 0: 1024 */
    uint64_t reserved[4]; /* must be zero */
};

struct weir_chan_stats {
    size_t count;    /* elements buffered now */
    size_t capacity; /* elements */
    size_t waiting_senders;
    size_t waiting_receivers;
    uint64_t sent_total; /* accepted, dropped ones included */
    uint64_t received_total;
    uint64_t dropped_total;
    size_t count_max; /* most elements ever buffered */
    size_t weight;    /* of the buffered elements; 0 without a weight_limit */
    size_t weight_limit;
    /* Sends and receives that had to wait, ended ones, and how long, in all: by the clock that a
     * loop reads once a turn. */
    uint64_t parked_senders_total;
    uint64_t parked_receivers_total;
    uint64_t parked_senders_ns;
    uint64_t parked_receivers_ns;
    size_t senders; /* counted handles open now */
    size_t receivers;
    bool closed; /* closed or aborted */
    /* Sends that found no room, selects aside: with WEIR_NOW (and async operations beyond
     * async_limit), and by their deadline. */
    uint64_t refused_total;
    uint64_t expired_total;
    uint64_t parked_senders_max_ns; /* the longest of those waits */
    uint64_t reserved[1];
};

/* Gets a channel during weir_chan_walk. */
typedef void weir_chan_visit_fn(struct weir_chan *chan, const struct weir_chan_stats *stats,
                                void *context);

WEIR_BEGIN

/*
 * Creates a channel with one reference in *chan. elem_size 0 is a pure signal.
 * Returns 0. Errors: -EINVAL bad options, capacity 0 with a dropping policy, a promise's capacity
 * not 1, a weight without a limit or the other way round; -E2BIG name too long; -EOVERFLOW the
 * elements, or their weights, take more than SIZE_MAX / 4 bytes; -ENOMEM, also beyond
 * weir_options.memory_limit_bytes (see weir_last_error).
 */
WEIR_API WEIR_MUST_CHECK int
weir_chan_create(struct weir_chan **chan, size_t elem_size, size_t capacity,
                 const struct weir_chan_options *options) WEIR_ANY_THREAD;

/* One more reference; returns chan. */
WEIR_API struct weir_chan *weir_chan_retain(struct weir_chan *chan) WEIR_ANY_THREAD;

/*
 * Gives a reference back: a release call. The last one drops what is buffered and frees the
 * channel. If waiters are parked then, it aborts the channel, names each on standard error and
 * returns -EBUSY; the memory goes when the last of them has returned. Else 0. NULL is fine.
 */
WEIR_API int weir_chan_release(struct weir_chan *chan) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * Sends a copy of *elem (ignored, and may be NULL, when elem_size is 0).
 * Returns 0; WEIR_DROPPED when a dropping channel let an element go.
 * Errors, after each of which the element is still the caller's: -EPIPE closed; -EAGAIN, -ETIME
 * no room by then; -ECANCELED; -EINVAL.
 */
WEIR_API WEIR_MUST_CHECK int weir_chan_send(struct weir_chan *chan, const void *elem,
                                            int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * Receives into *elem; with elem NULL the element goes to the drop callback instead.
 * Returns 0.
 * Errors: -EPIPE, or the reason it was closed with, when closed and drained; -EAGAIN, -ETIME
 * nothing came by then; -ECANCELED; -EINVAL.
 */
WEIR_API WEIR_MUST_CHECK int weir_chan_recv(struct weir_chan *chan, void *elem,
                                            int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * Closes gently. `reason` is what receivers get after draining: 0 for -EPIPE, or any negative code.
 * Returns 0, or WEIR_ALREADY (nothing changed). -EINVAL for a positive reason.
 */
WEIR_API int weir_chan_close(struct weir_chan *chan, int reason) WEIR_ANY_THREAD;

/* Closes hard, also after a gentle close. Returns 0, or WEIR_ALREADY after an earlier abort. */
WEIR_API int weir_chan_abort(struct weir_chan *chan, int reason) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* One consistent reading. Returns 0, or -EINVAL. */
WEIR_API int weir_chan_read_stats(struct weir_chan *chan,
                                  struct weir_chan_stats *stats) WEIR_ANY_THREAD;

/*
 * Counted handles, for those who ask: opening one takes a reference, closing it gives it back. When
 * the last sender closes, the channel is closed; when the last receiver does, it is aborted.
 * Open: 0; -EPIPE when the channel is closed already; -EINVAL. Close is a release call: 0, or
 * -EINVAL when no such handle is open.
 */
WEIR_API WEIR_MUST_CHECK int weir_chan_open_sender(struct weir_chan *chan) WEIR_ANY_THREAD;
WEIR_API WEIR_MUST_CHECK int weir_chan_open_receiver(struct weir_chan *chan) WEIR_ANY_THREAD;
WEIR_API int weir_chan_close_sender(struct weir_chan *chan) WEIR_ANY_THREAD;
WEIR_API int weir_chan_close_receiver(struct weir_chan *chan) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * Visits every channel that was given a name, in the order of creation, each kept alive during its
 * visit: whoever releases it meanwhile leaves the last reference, and what it does, to the walk.
 * Returns how many. Errors: -EINVAL; -ENOMEM.
 */
WEIR_API int weir_chan_walk(weir_chan_visit_fn *visit, void *context) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* The size of its elements in bytes. */
WEIR_API size_t weir_chan_elem_size(const struct weir_chan *chan) WEIR_ANY_THREAD;

/* The name given at creation; valid as long as the reference. */
WEIR_API const char *weir_chan_name(const struct weir_chan *chan) WEIR_ANY_THREAD;

WEIR_END

#endif
