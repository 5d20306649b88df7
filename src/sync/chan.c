/* SPDX-License-Identifier: MIT */
/* Channels: send, receive, and what both share; see chan.h for what holds. Lives and ends are in
 * chan_life.c, select clauses in chan_clause.c. */
#include "sync/chan.h"

#include "base/assert.h"
#include "base/memory.h"
#include "core/callback.h"
#include "core/park.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    DROP_STACK_BYTES = 256, /* a dropped element up to this size waits on the stack */
    PAGE_BYTES = 4096,
};

/* A fault under the lock would make everybody wait for the page. */
static void touch_source(const void *elem, size_t bytes)
{
    const volatile unsigned char *byte = elem;

    for (size_t offset = 0; offset < bytes; offset += PAGE_BYTES)
        (void)byte[offset];
}

static void touch_target(void *elem, size_t bytes)
{
    volatile unsigned char *byte = elem;

    /* Unchanged: a receive that fails has no effect. */
    for (size_t offset = 0; offset < bytes; offset += PAGE_BYTES)
        byte[offset] = byte[offset];
}

static int offer_to_full(struct weir_chan *chan, const void *elem, void *dropped)
{
    if (chan->policy == WEIR_CHAN_PARK)
        return -EAGAIN;
    if (chan->policy == WEIR_CHAN_DROP_OLDEST) {
        weir__chan_pop(chan, dropped);
        weir__chan_push(chan, elem);
        weir__event_note(chan, WEIR_EVENT_SENT, NULL, NULL);
    } else if (dropped) {
        weir__chan_copy(chan, dropped, elem);
    }
    chan->sent_total++;
    chan->dropped_total++;
    return WEIR_DROPPED;
}

/* To the oldest receiver, if one can be claimed: the wait to be woken after the lock, or NULL. */
static inline struct weir__wait *hand_over(struct weir_chan *chan, const void *elem)
{
    struct weir__waiter *receiver = weir__waiter_claim_first(&chan->receivers.waiters);

    if (WEIR_UNLIKELY(!receiver))
        return NULL;
    weir__chan_copy(chan, receiver->elem, elem);
    receiver->result = 0;
    weir__chan_leave_side(&chan->receivers, receiver);
    chan->sent_total++;
    chan->received_total++;
    weir__event_note(chan, WEIR_EVENT_HANDED, NULL, receiver->wait);
    return receiver->wait;
}

static inline int offer(struct weir_chan *chan, const void *elem, void *dropped,
                        struct weir__wait **wake)
{
    *wake = hand_over(chan, elem);
    if (*wake)
        return 0;
    if (chan->count < chan->capacity) {
        weir__chan_push(chan, elem);
        weir__event_note(chan, WEIR_EVENT_SENT, NULL, NULL);
    } else {
        return offer_to_full(chan, elem, dropped);
    }
    chan->sent_total++;
    return 0;
}

static inline int take(struct weir_chan *chan, void *elem, struct weir__wait **wake)
{
    bool buffered = chan->count > 0;
    struct weir__waiter *sender;

    if (buffered) {
        weir__chan_pop(chan, elem);
        weir__event_note(chan, WEIR_EVENT_RECEIVED, NULL, NULL);
    }
    sender = weir__waiter_claim_first(&chan->senders.waiters);
    if (sender) {
        if (buffered)
            weir__chan_push(chan, sender->elem);
        else
            weir__chan_copy(chan, elem, sender->elem);
        weir__event_note(chan, buffered ? WEIR_EVENT_SENT : WEIR_EVENT_HANDED, sender->wait, NULL);
        sender->result = 0;
        weir__chan_leave_side(&chan->senders, sender);
        chan->sent_total++;
        *wake = sender->wait;
    } else if (!buffered) {
        return chan->state == WEIR__CHAN_OPEN ? -EAGAIN : chan->reason;
    }
    chan->received_total++;
    return 0;
}

int weir__chan_offer_plain(struct weir_chan *chan, const void *elem, void *dropped,
                           struct weir__wait **wake)
{
    return offer(chan, elem, dropped, wake);
}

int weir__chan_take_plain(struct weir_chan *chan, void *elem, struct weir__wait **wake)
{
    return take(chan, elem, wake);
}

int weir__chan_offer(struct weir_chan *chan, const void *elem, size_t weight, void *dropped,
                     struct weir__wait **wake)
{
    if (WEIR_UNLIKELY(chan->special))
        return weir__chan_offer_special(chan, elem, weight, dropped, wake);
    return offer(chan, elem, dropped, wake);
}

int weir__chan_take(struct weir_chan *chan, void *elem, struct weir__wait **wake)
{
    if (WEIR_UNLIKELY(chan->special))
        return weir__chan_take_special(chan, elem, wake);
    return take(chan, elem, wake);
}

struct drop {
    struct weir_chan *chan;
    void *elem;
    enum weir_drop_reason reason;
};

static void run_drop(void *arg)
{
    struct drop *drop = arg;

    drop->chan->drop(drop->elem, drop->chan->context, drop->reason);
}

void weir__chan_drop(struct weir_chan *chan, void *elem, enum weir_drop_reason reason)
{
    struct drop drop = { .chan = chan, .elem = elem, .reason = reason };

    if (chan->drop)
        weir__callback_call(run_drop, &drop);
}

void weir__chan_discard(struct weir_chan *chan, void *elem)
{
    weir__lock_acquire(&chan->lock);
    chan->received_total--; /* nobody got it */
    chan->dropped_total++;
    weir__lock_release(&chan->lock);
    weir__chan_drop(chan, elem, WEIR_DROP_DISCARD);
}

void weir__chan_drop_sent(struct weir_chan *chan, void *dropped)
{
    weir__chan_drop(chan, dropped,
                    chan->policy == WEIR_CHAN_DROP_OLDEST ? WEIR_DROP_OLDEST : WEIR_DROP_NEWEST);
}

void weir__chan_fulfil(struct weir_chan *chan)
{
    weir__chan_hand_out(chan);
    weir__chan_unpin(chan);
}

/* Called under the lock, returns without it: the call is over. */
static inline int settle(struct weir_chan *chan, int result, struct weir__wait *wake)
{
    weir__lock_release(&chan->lock);
    weir__wait_settle(wake);
    return result;
}

static void describe_chan(const void *object, char *text, size_t bytes)
{
    struct weir_chan *chan = (struct weir_chan *)(uintptr_t)object;
    size_t count, senders, receivers;

    weir__lock_acquire(&chan->lock);
    count = chan->count;
    senders = weir__chan_waiting(&chan->senders);
    receivers = weir__chan_waiting(&chan->receivers);
    weir__lock_release(&chan->lock);
    snprintf(text, bytes, "channel \"%s\" (%zu of %zu buffered, %zu %s)", chan->name, count,
             chan->capacity, senders ? senders : receivers,
             senders ? "waiting to send" : "waiting to receive");
}

const struct weir__reason weir__chan_sends = { "send", WEIR_PHASE_TASK, describe_chan };
const struct weir__reason weir__chan_receives = { "recv", WEIR_PHASE_TASK, describe_chan };

/* Parks on one side of the channel; called under the lock, returns without it. */
static inline int park(struct weir_chan *chan, struct weir__chan_side *side, void *elem,
                       size_t weight, int64_t deadline_ns)
{
    struct weir__waiter waiter;
    int code;

    waiter.wait = weir__wait_self();
    waiter.elem = elem;
    waiter.index = 0;
    waiter.alone = true;
    waiter.is_async = false;
    waiter.weight = weight;
    weir__wait_begin(waiter.wait, side == &chan->senders ? &weir__chan_sends : &weir__chan_receives,
                     chan);
    weir__chan_join_side(side, &waiter);
    weir__lock_release(&chan->lock);
    code = weir__wait_park(waiter.wait, deadline_ns, WEIR__PARK_CANCELLABLE);
    if (WEIR_LIKELY(code == 0))
        return waiter.result;
    waiter.result = code;
    weir__chan_take_back(chan, side, &waiter);
    return code;
}

/* The ways of a call that could not be done at once: called under the lock, return without it. */

static __attribute__((noinline)) int park_sender(struct weir_chan *chan, const void *elem,
                                                 size_t weight, int64_t deadline_ns)
{
    int refusal = weir__wait_refuse(deadline_ns);

    if (WEIR_UNLIKELY(refusal < 0)) {
        chan->refused_total += refusal == -EAGAIN;
        chan->expired_total += refusal == -ETIME;
        return settle(chan, refusal, NULL);
    }
    return park(chan, &chan->senders, (void *)(uintptr_t)elem, weight, deadline_ns);
}

static __attribute__((noinline)) int send_locked(struct weir_chan *chan, const void *elem,
                                                 size_t weight, void *dropped, int64_t deadline_ns)
{
    struct weir__wait *wake = NULL;
    int result = weir__chan_offer(chan, elem, weight, dropped, &wake);

    if (result == -EAGAIN)
        return park_sender(chan, elem, weight, deadline_ns);
    return settle(chan, result, wake);
}

/* On a plain channel, where a receiver is parked. */
static __attribute__((noinline)) int send_over(struct weir_chan *chan, const void *elem,
                                               int64_t deadline_ns)
{
    struct weir__wait *wake = hand_over(chan, elem);

    if (WEIR_UNLIKELY(!wake)) /* it has just left */
        return send_locked(chan, elem, 0, NULL, deadline_ns);
    return settle(chan, 0, wake);
}

static int send_prepared(struct weir_chan *chan, const void *elem, void *dropped,
                         int64_t deadline_ns)
{
    size_t weight = weir__chan_weigh(chan, elem);

    if (chan->elem_size > WEIR__CHAN_TOUCH_BYTES)
        touch_source(elem, chan->elem_size);
    weir__lock_acquire(&chan->lock);
    return send_locked(chan, elem, weight, dropped, deadline_ns);
}

/* A send that never parks, but may let an element go: with room for it. */
static int send_unparking(struct weir_chan *chan, const void *elem, int64_t deadline_ns)
{
    _Alignas(16) unsigned char room[DROP_STACK_BYTES];
    void *dropped = chan->drop ? room : NULL;
    bool is_promise = chan->policy == WEIR_CHAN_PROMISE;
    int result;

    if (dropped && chan->elem_size > sizeof room) {
        dropped = weir__memory_alloc(NULL, chan->elem_size);
        if (!dropped)
            return -ENOBUFS;
    }
    result = send_prepared(chan, elem, dropped, deadline_ns);
    if (result == WEIR_DROPPED)
        weir__chan_drop_sent(chan, dropped);
    else if (result == 0 && is_promise)
        weir__chan_fulfil(chan);
    if (dropped != room)
        weir__memory_free(dropped);
    return result;
}

/* Whatever is not plain, or not right. */
static __attribute__((noinline)) int send_carefully(struct weir_chan *chan, const void *elem,
                                                    int64_t deadline_ns)
{
    int error;

    if (!weir__chan_is_alive(chan) || (!elem && chan->elem_size))
        return -EINVAL;
    error = weir__wait_check();
    if (error < 0)
        return error;
    if (weir__chan_never_parks(chan))
        return send_unparking(chan, elem, deadline_ns);
    return send_prepared(chan, elem, NULL, deadline_ns);
}

int weir_chan_send(struct weir_chan *chan, const void *elem, int64_t deadline_ns)
{
    if (WEIR_UNLIKELY(!chan || !elem || !chan->is_plain || weir__wait_check() < 0))
        return send_carefully(chan, elem, deadline_ns);
    weir__lock_acquire(&chan->lock);
    if (WEIR_UNLIKELY(chan->special))
        return send_locked(chan, elem, 0, NULL, deadline_ns);
    if (WEIR_UNLIKELY(!weir__list_empty(&chan->receivers.waiters)))
        return send_over(chan, elem, deadline_ns);
    if (WEIR_UNLIKELY(chan->count == chan->capacity))
        return park_sender(chan, elem, 0, deadline_ns);
    weir__chan_offer_buffered(chan, elem);
    return settle(chan, 0, NULL);
}

static __attribute__((noinline)) int park_receiver(struct weir_chan *chan, void *elem,
                                                   int64_t deadline_ns)
{
    int refusal = weir__wait_refuse(deadline_ns);

    if (WEIR_UNLIKELY(refusal < 0))
        return settle(chan, refusal, NULL);
    return park(chan, &chan->receivers, elem, 0, deadline_ns);
}

/* Called under the lock, returns without it. */
static __attribute__((noinline)) int recv_locked(struct weir_chan *chan, void *elem,
                                                 int64_t deadline_ns)
{
    struct weir__wait *wake = NULL;
    int result = weir__chan_take(chan, elem, &wake);
    bool is_lent = result == 0 && chan->policy == WEIR_CHAN_PROMISE;

    if (result == -EAGAIN && chan->state == WEIR__CHAN_OPEN)
        return park_receiver(chan, elem, deadline_ns);
    weir__lock_release(&chan->lock);
    if (WEIR_UNLIKELY(is_lent)) /* any other may be gone by now */
        weir__chan_accept(chan, elem);
    weir__wait_settle(wake);
    return result;
}

/* On a plain channel, where a sender is parked. */
static __attribute__((noinline)) int recv_over(struct weir_chan *chan, void *elem,
                                               int64_t deadline_ns)
{
    struct weir__wait *wake = NULL;

    if (WEIR_UNLIKELY(take(chan, elem, &wake) < 0)) /* it has just left */
        return park_receiver(chan, elem, deadline_ns);
    return settle(chan, 0, wake);
}

static int recv_prepared(struct weir_chan *chan, void *elem, int64_t deadline_ns)
{
    if (chan->elem_size > WEIR__CHAN_TOUCH_BYTES)
        touch_target(elem, chan->elem_size);
    weir__lock_acquire(&chan->lock);
    return recv_locked(chan, elem, deadline_ns);
}

/* Receives into nothing: the element goes to the drop callback. */
static int recv_discarding(struct weir_chan *chan, int64_t deadline_ns)
{
    _Alignas(16) unsigned char room[DROP_STACK_BYTES];
    void *elem = room;
    int result;

    if (chan->elem_size > sizeof room) {
        elem = weir__memory_alloc(NULL, chan->elem_size);
        if (!elem)
            return -ENOBUFS;
    }
    weir__chan_pin(chan); /* no reference: the release of the last one must still wake us */
    result = recv_prepared(chan, elem, deadline_ns);
    /* A promise that does not count its copies still has the only one. */
    if (result == 0 && (chan->policy != WEIR_CHAN_PROMISE || chan->retain))
        weir__chan_discard(chan, elem);
    weir__chan_unpin(chan);
    if (elem != room)
        weir__memory_free(elem);
    return result;
}

/* Whatever is not plain, or not right. */
static __attribute__((noinline)) int recv_carefully(struct weir_chan *chan, void *elem,
                                                    int64_t deadline_ns)
{
    int error;

    if (!weir__chan_is_alive(chan))
        return -EINVAL;
    error = weir__wait_check();
    if (error < 0)
        return error;
    if (!elem && chan->elem_size)
        return recv_discarding(chan, deadline_ns);
    return recv_prepared(chan, elem, deadline_ns);
}

int weir_chan_recv(struct weir_chan *chan, void *elem, int64_t deadline_ns)
{
    if (WEIR_UNLIKELY(!chan || !elem || !chan->is_plain || weir__wait_check() < 0))
        return recv_carefully(chan, elem, deadline_ns);
    weir__lock_acquire(&chan->lock);
    if (WEIR_UNLIKELY(chan->special))
        return recv_locked(chan, elem, deadline_ns);
    if (WEIR_UNLIKELY(!weir__list_empty(&chan->senders.waiters)))
        return recv_over(chan, elem, deadline_ns);
    if (WEIR_UNLIKELY(chan->count == 0))
        return park_receiver(chan, elem, deadline_ns);
    weir__chan_take_buffered(chan, elem);
    return settle(chan, 0, NULL);
}
