/* SPDX-License-Identifier: MIT */
/* Channels: send, receive, and what both share; see chan.h for what holds. Lives and ends are in
 * chan_life.c, select clauses in chan_clause.c. */
#include "sync/chan.h"

#include "base/assert.h"
#include "base/memory.h"
#include "core/callback.h"
#include "core/park.h"

#include <errno.h>
#include <string.h>

enum {
    DROP_STACK_BYTES = 256, /* a dropped element up to this size waits on the stack */
    TOUCH_BYTES = 256,      /* larger elements are touched before the lock is taken */
    PAGE_BYTES = 4096,
};

static inline void copy_elem(void *target, const void *source, size_t bytes)
{
    if (bytes == sizeof(uint64_t))
        memcpy(target, source, sizeof(uint64_t));
    else if (bytes)
        memcpy(target, source, bytes);
}

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

static inline void *slot(struct weir_chan *chan, size_t index)
{
    return chan->buffer + index * chan->elem_size;
}

static inline void buffer_push(struct weir_chan *chan, const void *elem)
{
    size_t index = chan->head + chan->count;

    if (index >= chan->capacity)
        index -= chan->capacity;
    copy_elem(slot(chan, index), elem, chan->elem_size);
    if (++chan->count > chan->count_max)
        chan->count_max = chan->count;
}

/* `elem` NULL: the oldest element is let go. */
static inline void buffer_pop(struct weir_chan *chan, void *elem)
{
    if (elem)
        copy_elem(elem, slot(chan, chan->head), chan->elem_size);
    chan->head = chan->head + 1 == chan->capacity ? 0 : chan->head + 1;
    chan->count--;
}

static int offer_to_full(struct weir_chan *chan, const void *elem, void *dropped)
{
    if (chan->policy == WEIR_CHAN_PARK)
        return -EAGAIN;
    if (chan->policy == WEIR_CHAN_DROP_OLDEST) {
        buffer_pop(chan, dropped);
        buffer_push(chan, elem);
    } else if (dropped) {
        copy_elem(dropped, elem, chan->elem_size);
    }
    chan->sent_total++;
    chan->dropped_total++;
    return WEIR_DROPPED;
}

static inline int offer(struct weir_chan *chan, const void *elem, void *dropped,
                        struct weir__wait **wake)
{
    struct weir__waiter *receiver;

    if (WEIR_UNLIKELY(chan->state != WEIR__CHAN_OPEN))
        return -EPIPE;
    receiver = weir__waiter_claim_first(&chan->receivers);
    if (receiver) {
        copy_elem(receiver->elem, elem, chan->elem_size);
        receiver->result = 0;
        chan->waiting_receivers--;
        chan->received_total++;
        *wake = receiver->wait;
    } else if (chan->count < chan->capacity) {
        buffer_push(chan, elem);
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

    if (buffered)
        buffer_pop(chan, elem);
    sender = weir__waiter_claim_first(&chan->senders);
    if (sender) {
        if (buffered)
            buffer_push(chan, sender->elem);
        else
            copy_elem(elem, sender->elem, chan->elem_size);
        sender->result = 0;
        chan->waiting_senders--;
        chan->sent_total++;
        *wake = sender->wait;
    } else if (!buffered) {
        return chan->state == WEIR__CHAN_OPEN ? -EAGAIN : chan->reason;
    }
    chan->received_total++;
    return 0;
}

int weir__chan_offer(struct weir_chan *chan, const void *elem, void *dropped,
                     struct weir__wait **wake)
{
    return offer(chan, elem, dropped, wake);
}

int weir__chan_take(struct weir_chan *chan, void *elem, struct weir__wait **wake)
{
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

enum weir_drop_reason weir__chan_drop_reason(const struct weir_chan *chan)
{
    return chan->policy == WEIR_CHAN_DROP_OLDEST ? WEIR_DROP_OLDEST : WEIR_DROP_NEWEST;
}

/* Parks on one side of the channel; called under the lock, returns without it. */
static inline int park(struct weir_chan *chan, struct weir__list *side, size_t *waiting_count,
                       void *elem, int64_t deadline_ns)
{
    struct weir__waiter waiter;
    int code;

    waiter.wait = weir__wait_self();
    waiter.elem = elem;
    waiter.index = 0;
    waiter.alone = true;
    weir__wait_begin(waiter.wait);
    weir__list_append(side, &waiter.link);
    ++*waiting_count;
    weir__lock_release(&chan->lock);
    code = weir__wait_park(waiter.wait, deadline_ns, WEIR__PARK_CANCELLABLE);
    if (WEIR_LIKELY(code == 0))
        return waiter.result;
    weir__chan_take_back(chan, &waiter, waiting_count);
    return code;
}

static int send_parking(struct weir_chan *chan, const void *elem, void *dropped,
                        int64_t deadline_ns)
{
    struct weir__wait *wake = NULL;
    int result;

    if (WEIR_UNLIKELY(chan->elem_size > TOUCH_BYTES))
        touch_source(elem, chan->elem_size);
    weir__lock_acquire(&chan->lock);
    result = offer(chan, elem, dropped, &wake);
    if (result == -EAGAIN) {
        int refusal = weir__wait_refuse(deadline_ns);

        if (refusal >= 0)
            return park(chan, &chan->senders, &chan->waiting_senders, (void *)(uintptr_t)elem,
                        deadline_ns);
        result = refusal;
    }
    weir__lock_release(&chan->lock);
    weir__wait_settle(wake);
    return result;
}

/* A send that may hand an element to the drop callback: apart, for its room on the stack. */
static __attribute__((noinline)) int send_dropping(struct weir_chan *chan, const void *elem,
                                                   int64_t deadline_ns)
{
    _Alignas(16) unsigned char room[DROP_STACK_BYTES];
    void *dropped = room;
    int result;

    if (chan->elem_size > sizeof room) {
        dropped = weir__memory_alloc(NULL, chan->elem_size);
        if (!dropped)
            return -ENOBUFS;
    }
    result = send_parking(chan, elem, dropped, deadline_ns);
    if (result == WEIR_DROPPED)
        weir__chan_drop(chan, dropped, weir__chan_drop_reason(chan));
    if (dropped != room)
        weir__memory_free(dropped);
    return result;
}

int weir_chan_send(struct weir_chan *chan, const void *elem, int64_t deadline_ns)
{
    int error;

    if (WEIR_UNLIKELY(!chan || (!elem && chan->elem_size)))
        return -EINVAL;
    error = weir__wait_check();
    if (WEIR_UNLIKELY(error < 0))
        return error;
    if (WEIR_UNLIKELY(weir__chan_keeps_dropped(chan)))
        return send_dropping(chan, elem, deadline_ns);
    return send_parking(chan, elem, NULL, deadline_ns);
}

static int recv_parking(struct weir_chan *chan, void *elem, int64_t deadline_ns)
{
    struct weir__wait *wake = NULL;
    int result;

    if (WEIR_UNLIKELY(chan->elem_size > TOUCH_BYTES))
        touch_target(elem, chan->elem_size);
    weir__lock_acquire(&chan->lock);
    result = take(chan, elem, &wake);
    if (result == -EAGAIN && chan->state == WEIR__CHAN_OPEN) {
        int refusal = weir__wait_refuse(deadline_ns);

        if (refusal >= 0)
            return park(chan, &chan->receivers, &chan->waiting_receivers, elem, deadline_ns);
        result = refusal;
    }
    weir__lock_release(&chan->lock);
    weir__wait_settle(wake);
    return result;
}

/* Receives into nothing: the element goes to the drop callback. */
static __attribute__((noinline)) int recv_discarding(struct weir_chan *chan, int64_t deadline_ns)
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
    result = recv_parking(chan, elem, deadline_ns);
    if (result == 0)
        weir__chan_discard(chan, elem);
    weir__chan_unpin(chan);
    if (elem != room)
        weir__memory_free(elem);
    return result;
}

int weir_chan_recv(struct weir_chan *chan, void *elem, int64_t deadline_ns)
{
    int error;

    if (WEIR_UNLIKELY(!chan))
        return -EINVAL;
    error = weir__wait_check();
    if (WEIR_UNLIKELY(error < 0))
        return error;
    if (WEIR_UNLIKELY(!elem && chan->elem_size))
        return recv_discarding(chan, deadline_ns);
    return recv_parking(chan, elem, deadline_ns);
}
