/* SPDX-License-Identifier: MIT */
/*
 * What a channel is made of. One short lock guards all of it; nothing parks, calls back, allocates
 * or enters the kernel under it.
 *
 * These hold whenever the lock is free:
 *   a receiver that can be claimed is parked  =>  the buffer is empty, and no sender is parked
 *                                                    but one of the same select; or it is a promise
 *                                                    just kept, still to be handed out
 *   a sender that can be claimed is parked    =>  the buffer is full (or has capacity 0); where
 *                                                    weight counts, the first of them has no room
 *   state is CLOSED or ABORTED                =>  no receiver is parked
 *   state is ABORTED                          =>  the buffer is empty, no sender is parked
 *
 *        close                abort
 *   OPEN ------> CLOSED ---------------> ABORTED
 *     `------------ abort -----------------^
 *
 * A parked waiter is unlinked by whoever claims it, and then does not touch the channel again: so
 * an aborter may free it. A waiter whose wait ended otherwise unlinks itself. The sides count
 * those that may still come back to the lock, `pins` others that will; the memory stays so long.
 *
 * Send and recv go one short way while `special` is 0. Weighed channels, promises, and those with
 * watchers or past their end take the long one, in chan_special.c.
 *
 * A weighed channel has room when its buffer is empty, or count and weight are within bounds; its
 * parked senders come first, also when a later, lighter element would fit.
 *
 * A promise holds its element for good, and lends copies. Where copies must be retained, the
 * element is dropped only when no copy is `lent`: received, but its retain not called yet.
 */
#ifndef WEIR_SYNC_CHAN_H
#define WEIR_SYNC_CHAN_H

#include "base/list.h"
#include "base/lock.h"
#include "core/park.h"
#include "sync/events.h"

#include <weir/chan.h>

#include <string.h>

enum {
    WEIR__CHAN_NAME_BYTES = 32,
    WEIR__CHAN_TOUCH_BYTES = 256, /* larger elements are touched before the lock is taken */
    WEIR__CHAN_ALIVE = 0x77656972,
};

enum weir__chan_state {
    WEIR__CHAN_OPEN,
    WEIR__CHAN_CLOSED,
    WEIR__CHAN_ABORTED,
};

/* What keeps a channel off the short way through send and recv; bits. */
enum weir__chan_special {
    WEIR__CHAN_ENDED = 1 << 0,   /* not OPEN */
    WEIR__CHAN_WATCHED = 1 << 1, /* somebody waits for a watermark or the end */
    WEIR__CHAN_WEIGHED = 1 << 2, /* constant */
    WEIR__CHAN_PROMISE = 1 << 3, /* constant */
    WEIR__CHAN_NOTED = 1 << 4,   /* constant: who uses it is noted; chan_users.h */
};

enum weir__chan_watch {
    WEIR__CHAN_BELOW,
    WEIR__CHAN_ABOVE,
    WEIR__CHAN_ENDS,
    WEIR__CHAN_WATCHES,
};

/* Senders, receivers or watchers: those that are parked, and what became of those before. */
struct weir__chan_side {
    struct weir__list waiters; /* weir__waiter.link, oldest first */
    uint64_t joined_total;
    uint64_t left_total;
    size_t async_count;  /* of those who wait */
    size_t handle_count; /* counted handles */
    uint64_t parked_ns;  /* of those who left */
    uint64_t parked_max_ns;
};

struct weir__chan_users;

struct weir_chan {
    /* Constant, and looked at before the lock. The first words are what an allocator writes over in
     * freed memory. */
    weir_drop_fn *drop;
    weir_retain_fn *retain;
    bool is_plain;  /* parks, unweighed, small elements: nothing to do before the lock */
    unsigned alive; /* WEIR__CHAN_ALIVE, until it is freed; then is_plain is false, too */
    enum weir_chan_policy policy;
    size_t elem_size; /* bytes */
    size_t capacity;  /* elements */
    weir_weigh_fn *weigh;
    void *context;
    size_t *weights; /* of the buffered elements, by their place; behind the buffer */

    /* What every call changes: one cache line, when the allocator is kind. */
    struct weir__lock lock;
    unsigned special; /* enum weir__chan_special */
    size_t head;      /* index of the oldest element */
    size_t count;     /* elements buffered */
    size_t count_max;
    uint64_t sent_total;
    uint64_t received_total;

    struct weir__chan_side senders;
    struct weir__chan_side receivers;
    struct weir__chan_side watchers; /* of watermarks and of the end */
    enum weir__chan_state state;
    int reason; /* what receivers get in the end; negative once not OPEN */
    uint64_t dropped_total;
    uint64_t refused_total; /* sends, see weir_chan_stats */
    uint64_t expired_total;
    size_t weight; /* of the buffered elements */
    size_t refs;
    size_t pins;                  /* calls that touch it after a wait or a callback */
    size_t lent;                  /* copies of a promise's element, not retained yet */
    bool owes_a_drop;             /* of a promise's element, once none is lent */
    uint64_t noted_in, noted_out; /* elements, where events are noted */
    size_t weight_limit;          /* constant, as all that follows */
    size_t async_limit;
    struct weir__chan_users *users; /* NULL: not noted */
    struct weir__budget *budget;    /* what its bytes count against; NULL: nothing */
    size_t bytes;
    bool is_listed;
    struct weir__list listed; /* under the registry's lock; then chan_users.c's */
    char name[WEIR__CHAN_NAME_BYTES];
    _Alignas(16) unsigned char buffer[];
};

/*
 * Under the lock: the whole of a send that need not park. 0 or WEIR_DROPPED done, -EPIPE closed,
 * -EAGAIN it would have to park. What was dropped is copied to `dropped` (may be NULL when nobody
 * is told); those to be woken after the lock go to the chain *wake. `weight` counts on weighed
 * channels only. After a promise was kept, which pins it, the caller calls weir__chan_fulfil.
 */
int weir__chan_offer(struct weir_chan *chan, const void *elem, size_t weight, void *dropped,
                     struct weir__wait **wake);

/* Under the lock: the whole of a receive that need not park. 0 done, -EAGAIN it would have to park,
 * the reason when closed and drained. An element that was lent is for weir__chan_accept. */
int weir__chan_take(struct weir_chan *chan, void *elem, struct weir__wait **wake);

/* The short way, for those that are not special in any way but their end. */
int weir__chan_offer_plain(struct weir_chan *chan, const void *elem, void *dropped,
                           struct weir__wait **wake);
int weir__chan_take_plain(struct weir_chan *chan, void *elem, struct weir__wait **wake);

/* The long way; chan_special.c. */
int weir__chan_offer_special(struct weir_chan *chan, const void *elem, size_t weight, void *dropped,
                             struct weir__wait **wake);
int weir__chan_take_special(struct weir_chan *chan, void *elem, struct weir__wait **wake);

/* Under the lock, on a weighed channel: whether an element of this weight could be buffered now. */
bool weir__chan_has_room(const struct weir_chan *chan, size_t weight);

/* Under the lock, after elements or weight have gone: parked senders that fit now move in. */
void weir__chan_admit(struct weir_chan *chan, struct weir__wait **wake);

/* Under the lock: whether what a watcher waits for is true, and what it then gets. */
bool weir__chan_watch_is_due(const struct weir_chan *chan, enum weir__chan_watch watch,
                             size_t level);
int weir__chan_watch_result(const struct weir_chan *chan, enum weir__chan_watch watch,
                            size_t level);

/* Under the lock, after any change: claims the watchers whose time has come. */
void weir__chan_notice(struct weir_chan *chan, struct weir__wait **wake);

/* Outside of the lock: every parked receiver of a promise gets its element, if it has one. */
void weir__chan_hand_out(struct weir_chan *chan);

/* Outside of the lock: a copy of a promise's element was received: retains it. */
void weir__chan_accept(struct weir_chan *chan, void *elem);

/* Whether a send never parks, and may have something to do outside of the lock afterwards. */
static inline bool weir__chan_never_parks(const struct weir_chan *chan)
{
    return chan->policy != WEIR_CHAN_PARK;
}

/*
 * Outside of the lock, after a send that never parks: it let an element go, or it kept a promise,
 * which is pinned until then. After any other the sender does not touch the channel again: a
 * receiver may have the element by now, and have released the channel.
 */
void weir__chan_drop_sent(struct weir_chan *chan, void *dropped);
void weir__chan_fulfil(struct weir_chan *chan);

/* Outside of the lock: hands one element to the drop callback and waits for it. */
void weir__chan_drop(struct weir_chan *chan, void *elem, enum weir_drop_reason reason);

/* Outside of the lock: what a receiver took, and nobody will use, goes to the drop callback, and
 * counts as dropped instead of received. */
void weir__chan_discard(struct weir_chan *chan, void *elem);

/* Outside of the lock: one more copy of the element is handed out. */
static inline void weir__chan_retain_elem(const struct weir_chan *chan, void *elem)
{
    if (chan->retain)
        chan->retain(elem, chan->context);
}

/* Whether this is a channel. A pointer to one that was freed is mostly found out, as long as its
 * memory was not used for something else. */
static inline bool weir__chan_is_alive(const struct weir_chan *chan)
{
    return chan && chan->alive == WEIR__CHAN_ALIVE;
}

/* Under the lock: a waiter is left on one side. */
static inline void weir__chan_join_side(struct weir__chan_side *side, struct weir__waiter *waiter)
{
    waiter->since_ns = weir__wait_now();
    weir__list_append(&side->waiters, &waiter->link);
    side->joined_total++;
}

/* Under the lock: how many wait, or may still come back to the lock. */
static inline size_t weir__chan_waiting(const struct weir__chan_side *side)
{
    return (size_t)(side->joined_total - side->left_total);
}

/* Under the lock: a waiter was taken off the side's list. */
static inline void weir__chan_leave_side(struct weir__chan_side *side,
                                         const struct weir__waiter *waiter)
{
    int64_t parked_ns = weir__wait_now() - waiter->since_ns;

    side->left_total++;
    if (parked_ns > 0) { /* in another turn; and two loops have two readings */
        side->parked_ns += (uint64_t)parked_ns;
        if (side->parked_max_ns < (uint64_t)parked_ns)
            side->parked_max_ns = (uint64_t)parked_ns;
    }
    if (WEIR_UNLIKELY(waiter->is_async))
        side->async_count--;
}

/* After a wait that ended otherwise: takes the waiter back. Gives the memory up if it was last. */
void weir__chan_take_back(struct weir_chan *chan, struct weir__chan_side *side,
                          struct weir__waiter *waiter);

/* What an element weighs; outside of the lock. 0 when the channel does not ask. */
static inline size_t weir__chan_weigh(const struct weir_chan *chan, const void *elem)
{
    return WEIR_UNLIKELY(chan->weigh != NULL) ? chan->weigh(elem, chan->context) : 0;
}

/* Copies an element; one word is the common case. */
static inline void weir__chan_copy(const struct weir_chan *chan, void *target, const void *source)
{
    if (chan->elem_size == sizeof(uint64_t))
        memcpy(target, source, sizeof(uint64_t));
    else if (chan->elem_size)
        memcpy(target, source, chan->elem_size);
}

static inline void *weir__chan_slot(struct weir_chan *chan, size_t index)
{
    return chan->buffer + index * chan->elem_size;
}

static inline void weir__chan_push(struct weir_chan *chan, const void *elem)
{
    size_t index = chan->head + chan->count;

    if (index >= chan->capacity)
        index -= chan->capacity;
    weir__chan_copy(chan, weir__chan_slot(chan, index), elem);
    if (++chan->count > chan->count_max)
        chan->count_max = chan->count;
}

/* `elem` NULL: the oldest element is let go. */
static inline void weir__chan_pop(struct weir_chan *chan, void *elem)
{
    if (elem)
        weir__chan_copy(chan, elem, weir__chan_slot(chan, chan->head));
    chan->head = chan->head + 1 == chan->capacity ? 0 : chan->head + 1;
    chan->count--;
}

/* Under the lock, by far the most calls: an element goes into, or comes out of the buffer of a
 * channel that is not special, and nobody waits who would have to be served. */
static inline void weir__chan_offer_buffered(struct weir_chan *chan, const void *elem)
{
    weir__chan_push(chan, elem);
    weir__event_note(chan, WEIR_EVENT_SENT, NULL, NULL);
    chan->sent_total++;
}

static inline void weir__chan_take_buffered(struct weir_chan *chan, void *elem)
{
    weir__chan_pop(chan, elem);
    weir__event_note(chan, WEIR_EVENT_RECEIVED, NULL, NULL);
    chan->received_total++;
}

/* Why one waits to send, or to receive; the object is the channel. */
extern const struct weir__reason weir__chan_sends, weir__chan_receives;

/* Lists a named channel, and takes it off again before it is freed; chan_stats.c. */
void weir__chan_enlist(struct weir_chan *chan);
void weir__chan_delist(struct weir_chan *chan);

/* Under the registry's lock: one more reference, unless the last one is gone. */
bool weir__chan_try_retain(struct weir_chan *chan);

/* Keeps the memory, beyond the last reference too, until unpinned. */
void weir__chan_pin(struct weir_chan *chan);
void weir__chan_unpin(struct weir_chan *chan);

/* For tests: asserts the invariants. */
void weir__chan_verify(struct weir_chan *chan);

#endif
