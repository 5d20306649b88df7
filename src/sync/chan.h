/* SPDX-License-Identifier: MIT */
/*
 * What a channel is made of. One short lock guards all of it; nothing parks, calls back, allocates
 * or enters the kernel under it.
 *
 * These hold whenever the lock is free:
 *   a receiver that can be claimed is parked  =>  the buffer is empty, and no sender is parked
 *                                                    but one of the same select
 *   a sender that can be claimed is parked    =>  the buffer is full (or has capacity 0)
 *   state is CLOSED or ABORTED                =>  no receiver is parked
 *   state is ABORTED                          =>  the buffer is empty, no sender is parked
 *
 *        close                abort
 *   OPEN ------> CLOSED ---------------> ABORTED
 *     `------------ abort -----------------^
 *
 * A parked waiter is unlinked by whoever claims it, and then does not touch the channel again: so
 * an aborter may free it. A waiter whose wait ended otherwise unlinks itself. `waiting_*` counts
 * those that may still come back to the lock, `pins` others that will; the memory stays so long.
 */
#ifndef WEIR_SYNC_CHAN_H
#define WEIR_SYNC_CHAN_H

#include "base/list.h"
#include "base/lock.h"
#include "core/wait.h"

#include <weir/chan.h>

enum { WEIR__CHAN_NAME_BYTES = 32 };

enum weir__chan_state {
    WEIR__CHAN_OPEN,
    WEIR__CHAN_CLOSED,
    WEIR__CHAN_ABORTED,
};

struct weir_chan {
    struct weir__lock lock;
    enum weir__chan_state state;
    int reason;       /* what receivers get in the end; negative once not OPEN */
    size_t elem_size; /* bytes; constant */
    size_t capacity;  /* elements; constant */
    size_t head;      /* index of the oldest element */
    size_t count;     /* elements buffered */
    struct weir__list senders;
    struct weir__list receivers;
    size_t waiting_senders;
    size_t waiting_receivers;
    uint64_t sent_total;
    uint64_t received_total;
    uint64_t dropped_total;
    size_t count_max;
    size_t refs; /* under the lock */
    size_t pins; /* calls that touch it after a wait or a callback; under the lock */
    /* Constant. */
    enum weir_chan_policy policy;
    weir_drop_fn *drop;
    weir_retain_fn *retain;
    void *context;
    char name[WEIR__CHAN_NAME_BYTES];
    _Alignas(16) unsigned char buffer[];
};

/*
 * Under the lock: the whole of a send that need not park. 0 or WEIR_DROPPED done, -EPIPE closed,
 * -EAGAIN it would have to park. What was dropped is copied to `dropped` (may be NULL when nobody
 * is told); a receiver to be woken after the lock goes to *wake.
 */
int weir__chan_offer(struct weir_chan *chan, const void *elem, void *dropped,
                     struct weir__wait **wake);

/* Under the lock: the whole of a receive that need not park. 0 done, -EAGAIN it would have to park,
 * the reason when closed and drained. */
int weir__chan_take(struct weir_chan *chan, void *elem, struct weir__wait **wake);

/* Whether an element that the channel lets go must be kept for the drop callback. */
static inline bool weir__chan_keeps_dropped(const struct weir_chan *chan)
{
    return chan->drop && chan->policy != WEIR_CHAN_PARK;
}

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

/* Why an element that a send let go went: by the channel's policy. */
enum weir_drop_reason weir__chan_drop_reason(const struct weir_chan *chan);

/* After a wait that ended otherwise: takes the waiter back. Gives the memory up if it was last. */
void weir__chan_take_back(struct weir_chan *chan, struct weir__waiter *waiter,
                          size_t *waiting_count);

/* Keeps the memory, beyond the last reference too, until unpinned. */
void weir__chan_pin(struct weir_chan *chan);
void weir__chan_unpin(struct weir_chan *chan);

/* For tests: asserts the invariants. */
void weir__chan_verify(struct weir_chan *chan);

#endif
