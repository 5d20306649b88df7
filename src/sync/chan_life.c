/* SPDX-License-Identifier: MIT */
/* How channels begin and end: create, references, close, abort; and what can be read of them. */
#include "base/assert.h"
#include "base/memory.h"
#include "core/park.h"
#include "sync/chan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int check_options(const struct weir_chan_options *options, size_t capacity)
{
    if (options->size && options->size != sizeof *options)
        return -EINVAL;
    if (options->policy > WEIR_CHAN_DROP_OLDEST)
        return -EINVAL;
    if (options->policy != WEIR_CHAN_PARK && capacity == 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return -EINVAL;
    if (options->name && strlen(options->name) >= WEIR__CHAN_NAME_BYTES)
        return -E2BIG;
    return 0;
}

int weir_chan_create(struct weir_chan **chan, size_t elem_size, size_t capacity,
                     const struct weir_chan_options *options)
{
    static const struct weir_chan_options defaults;
    struct weir_chan *made;
    size_t buffer_bytes;
    int error;

    options = options ? options : &defaults;
    error = chan ? check_options(options, capacity) : -EINVAL;
    if (error < 0)
        return error;
    /* An element of size 0 still counts: the capacity alone must be sane, too. */
    if (__builtin_mul_overflow(elem_size ? elem_size : 1, capacity, &buffer_bytes) ||
        buffer_bytes > SIZE_MAX / 2 - sizeof *made || elem_size > SIZE_MAX / 2)
        return -EOVERFLOW;
    made = weir__memory_alloc(weir__loop_current ? weir__loop_current->heap : NULL,
                              sizeof *made + elem_size * capacity);
    if (!made)
        return -ENOMEM;
    *made = (struct weir_chan){
        .elem_size = elem_size,
        .capacity = capacity,
        .refs = 1,
        .policy = options->policy,
        .drop = options->drop,
        .retain = options->retain,
        .context = options->context,
    };
    strcpy(made->name, options->name ? options->name : "chan");
    weir__list_init(&made->senders);
    weir__list_init(&made->receivers);
    *chan = made;
    return 0;
}

struct weir_chan *weir_chan_retain(struct weir_chan *chan)
{
    weir__lock_acquire(&chan->lock);
    WEIR_ASSERT(chan->refs > 0);
    chan->refs++;
    weir__lock_release(&chan->lock);
    return chan;
}

/* Under the lock: nobody can come back to it any more. */
static bool unreachable(const struct weir_chan *chan)
{
    return chan->refs == 0 && chan->pins == 0 && chan->waiting_senders == 0 &&
           chan->waiting_receivers == 0;
}

void weir__chan_pin(struct weir_chan *chan)
{
    weir__lock_acquire(&chan->lock);
    chan->pins++;
    weir__lock_release(&chan->lock);
}

void weir__chan_unpin(struct weir_chan *chan)
{
    bool last;

    weir__lock_acquire(&chan->lock);
    chan->pins--;
    last = unreachable(chan);
    weir__lock_release(&chan->lock);
    if (last)
        weir__memory_free(chan);
}

void weir__chan_take_back(struct weir_chan *chan, struct weir__waiter *waiter,
                          size_t *waiting_count)
{
    bool last;

    weir__lock_acquire(&chan->lock);
    weir__list_unlink(&waiter->link);
    --*waiting_count;
    last = unreachable(chan);
    weir__lock_release(&chan->lock);
    if (last)
        weir__memory_free(chan);
}

static const char *waiter_name(const struct weir__waiter *waiter)
{
    return waiter->wait->loop ? weir__task_of(waiter->wait)->name : "a plain thread";
}

/*
 * Wakes one parked waiter of a side with `result`; false when there is none left. One at a time:
 * wakes stay outside of the lock, and no list of them is needed. `told` says what to report.
 */
static bool wake_one(struct weir_chan *chan, struct weir__list *side, size_t *waiting_count,
                     int result, const char *told)
{
    struct weir__waiter *waiter;
    char name[WEIR_NAME_BYTES] = "";

    weir__lock_acquire(&chan->lock);
    waiter = weir__waiter_claim_first(side);
    if (waiter) {
        waiter->result = result;
        --*waiting_count;
        if (told)
            strcpy(name, waiter_name(waiter));
    }
    weir__lock_release(&chan->lock);
    if (!waiter)
        return false;
    if (told)
        fprintf(stderr,
                "weir: channel \"%s\" was released for the last time while %s was parked "
                "in %s; it was aborted, and the waiter gets -EPIPE\n",
                chan->name, name, told);
    weir__wait_wake(waiter->wait);
    return true;
}

static int end_reason(int reason)
{
    return reason < 0 ? reason : -EPIPE;
}

int weir_chan_close(struct weir_chan *chan, int reason)
{
    bool already;
    int code;

    if (!chan || reason > 0)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    weir__lock_acquire(&chan->lock);
    already = chan->state != WEIR__CHAN_OPEN;
    if (!already) {
        chan->state = WEIR__CHAN_CLOSED;
        chan->reason = end_reason(reason);
    }
    code = chan->reason;
    weir__lock_release(&chan->lock);
    if (already)
        return WEIR_ALREADY;
    /* Receivers are parked only where nothing is buffered or being sent: it is their end. */
    while (wake_one(chan, &chan->receivers, &chan->waiting_receivers, code, NULL))
        ;
    return 0;
}

/* The abort proper; `told` as in wake_one. */
static bool abort_chan(struct weir_chan *chan, int reason, bool told)
{
    struct weir__list receivers, senders;
    enum weir_drop_reason why;
    size_t head, count;

    reason = end_reason(reason);
    weir__list_init(&receivers);
    weir__list_init(&senders);
    weir__lock_acquire(&chan->lock);
    if (chan->state == WEIR__CHAN_ABORTED) {
        weir__lock_release(&chan->lock);
        return false;
    }
    chan->state = WEIR__CHAN_ABORTED;
    chan->reason = reason;
    why = chan->refs ? WEIR_DROP_ABORT : WEIR_DROP_DESTROY;
    head = chan->head;
    count = chan->count;
    chan->count = 0;
    chan->dropped_total += count;
    /* All at once: nobody may receive from a parked sender when older elements were dropped. */
    weir__list_splice(&receivers, &chan->receivers);
    weir__list_splice(&senders, &chan->senders);
    weir__lock_release(&chan->lock);
    while (wake_one(chan, &receivers, &chan->waiting_receivers, reason, told ? "recv" : NULL))
        ;
    while (wake_one(chan, &senders, &chan->waiting_senders, -EPIPE, told ? "send" : NULL))
        ;
    /* Nothing is buffered after the abort, so the elements lie still where they are. */
    for (size_t i = 0; i < count && chan->drop; i++)
        weir__chan_drop(chan, chan->buffer + (head + i) % chan->capacity * chan->elem_size, why);
    return true;
}

int weir_chan_abort(struct weir_chan *chan, int reason)
{
    if (!chan || reason > 0)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    return abort_chan(chan, reason, false) ? 0 : WEIR_ALREADY;
}

int weir_chan_release(struct weir_chan *chan)
{
    size_t parked;

    if (!chan)
        return 0;
    weir__lock_acquire(&chan->lock);
    WEIR_ASSERT(chan->refs > 0);
    if (chan->refs > 1) {
        chan->refs--;
        weir__lock_release(&chan->lock);
        return 0;
    }
    chan->refs = 0;
    chan->pins++; /* so that no waiter frees the channel under us */
    parked = chan->waiting_senders + chan->waiting_receivers;
    weir__lock_release(&chan->lock);
    abort_chan(chan, 0, parked > 0);
    weir__chan_unpin(chan);
    return parked ? -EBUSY : 0;
}

int weir_chan_read_stats(struct weir_chan *chan, struct weir_chan_stats *stats)
{
    if (!chan || !stats)
        return -EINVAL;
    weir__lock_acquire(&chan->lock);
    *stats = (struct weir_chan_stats){
        .count = chan->count,
        .capacity = chan->capacity,
        .waiting_senders = chan->waiting_senders,
        .waiting_receivers = chan->waiting_receivers,
        .sent_total = chan->sent_total,
        .received_total = chan->received_total,
        .dropped_total = chan->dropped_total,
        .count_max = chan->count_max,
        .closed = chan->state != WEIR__CHAN_OPEN,
    };
    weir__lock_release(&chan->lock);
    return 0;
}

size_t weir_chan_elem_size(const struct weir_chan *chan)
{
    return chan ? chan->elem_size : 0;
}

const char *weir_chan_name(const struct weir_chan *chan)
{
    return chan ? chan->name : "no channel";
}

/* The wait of the first waiter of the side that could still be claimed; NULL: there is none. */
static const struct weir__wait *first_open(const struct weir__list *side)
{
    for (const struct weir__list *link = side->next; link != side; link = link->next) {
        const struct weir__wait *wait = WEIR_CONTAINER_OF(link, struct weir__waiter, link)->wait;

        if (weir__wait_is_open(wait))
            return wait;
    }
    return NULL;
}

void weir__chan_verify(struct weir_chan *chan)
{
    const struct weir__wait *receiver, *sender;

    weir__lock_acquire(&chan->lock);
    receiver = first_open(&chan->receivers);
    sender = first_open(&chan->senders);
    WEIR_ASSERT(chan->count <= chan->capacity);
    if (receiver)
        WEIR_ASSERT(chan->count == 0);
    if (sender)
        WEIR_ASSERT(chan->count == chan->capacity);
    if (receiver && sender)
        WEIR_ASSERT(receiver == sender);
    if (chan->state == WEIR__CHAN_ABORTED) {
        WEIR_ASSERT(chan->count == 0);
        WEIR_ASSERT(weir__list_empty(&chan->senders));
        WEIR_ASSERT(weir__list_empty(&chan->receivers));
    }
    weir__lock_release(&chan->lock);
}
