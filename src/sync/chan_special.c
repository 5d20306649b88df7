/* SPDX-License-Identifier: MIT */
/* The long way through send and recv: channels bounded by weight, promises, and those that somebody
 * watches; see chan.h. Everything here but hand_out and accept runs under the channel's lock. */
#include "sync/chan_users.h"

#include <errno.h>

/* --- Weight ---------------------------------------------------------------------------------- */

bool weir__chan_has_room(const struct weir_chan *chan, size_t weight)
{
    if (chan->count == 0)
        return true;
    return chan->count < chan->capacity && chan->weight <= chan->weight_limit &&
           weight <= chan->weight_limit - chan->weight;
}

static void push_weighed(struct weir_chan *chan, const void *elem, size_t weight)
{
    chan->weights[(chan->head + chan->count) % chan->capacity] = weight;
    chan->weight += weight;
    weir__chan_push(chan, elem);
}

void weir__chan_admit(struct weir_chan *chan, struct weir__wait **wake)
{
    while (!weir__list_empty(&chan->senders.waiters)) {
        struct weir__waiter *sender =
            WEIR_CONTAINER_OF(chan->senders.waiters.next, struct weir__waiter, link);

        if (!weir__chan_has_room(chan, sender->weight))
            return;
        if (!weir__waiter_claim(sender))
            continue;
        push_weighed(chan, sender->elem, sender->weight);
        weir__event_note(chan, WEIR_EVENT_SENT, sender->wait, NULL);
        sender->result = 0;
        weir__chan_leave_side(&chan->senders, sender);
        chan->sent_total++;
        wake = weir__wait_chain(wake, sender->wait);
    }
}

static int offer_weighed(struct weir_chan *chan, const void *elem, size_t weight,
                         struct weir__wait **wake)
{
    /* A receiver waits only where nothing is buffered: then the weight does not matter. */
    if (!weir__list_empty(&chan->receivers.waiters)) {
        int result = weir__chan_offer_plain(chan, elem, NULL, wake);

        if (result == 0 && chan->count > 0) { /* it had left: the element is in the buffer */
            chan->weights[chan->head] = weight;
            chan->weight = weight;
        }
        return result;
    }
    if (!weir__list_empty(&chan->senders.waiters) || !weir__chan_has_room(chan, weight))
        return -EAGAIN;
    push_weighed(chan, elem, weight);
    weir__event_note(chan, WEIR_EVENT_SENT, NULL, NULL);
    chan->sent_total++;
    return 0;
}

static int take_weighed(struct weir_chan *chan, void *elem, struct weir__wait **wake)
{
    if (chan->count == 0)
        return chan->state == WEIR__CHAN_OPEN ? -EAGAIN : chan->reason;
    chan->weight -= chan->weights[chan->head];
    weir__chan_pop(chan, elem);
    weir__event_note(chan, WEIR_EVENT_RECEIVED, NULL, NULL);
    chan->received_total++;
    weir__chan_admit(chan, wake);
    return 0;
}

/* --- Promises -------------------------------------------------------------------------------- */

static int offer_promise(struct weir_chan *chan, const void *elem, void *dropped)
{
    chan->sent_total++;
    if (chan->count == 0) {
        weir__chan_push(chan, elem);
        weir__event_note(chan, WEIR_EVENT_SENT, NULL, NULL);
        chan->pins++; /* see weir__chan_fulfil */
        return 0;
    }
    chan->dropped_total++;
    if (dropped)
        weir__chan_copy(chan, dropped, elem);
    return WEIR_DROPPED;
}

static int take_promise(struct weir_chan *chan, void *elem)
{
    if (chan->count == 0)
        return chan->state == WEIR__CHAN_OPEN ? -EAGAIN : chan->reason;
    weir__chan_copy(chan, elem, chan->buffer);
    weir__event_note(chan, WEIR_EVENT_RECEIVED, NULL, NULL);
    chan->received_total++;
    chan->lent += chan->retain != NULL;
    return 0;
}

void weir__chan_accept(struct weir_chan *chan, void *elem)
{
    bool drop;

    if (!chan->retain)
        return;
    chan->retain(elem, chan->context);
    weir__lock_acquire(&chan->lock);
    drop = --chan->lent == 0 && chan->owes_a_drop;
    if (drop)
        chan->owes_a_drop = false;
    weir__lock_release(&chan->lock);
    if (drop)
        weir__chan_drop(chan, chan->buffer, WEIR_DROP_ABORT);
}

void weir__chan_hand_out(struct weir_chan *chan)
{
    struct weir__waiter *receiver;

    do {
        weir__lock_acquire(&chan->lock);
        receiver = chan->count ? weir__waiter_claim_first(&chan->receivers.waiters) : NULL;
        if (receiver) {
            receiver->result = take_promise(chan, receiver->elem);
            weir__chan_leave_side(&chan->receivers, receiver);
        }
        weir__lock_release(&chan->lock);
        if (receiver) {
            weir__chan_accept(chan, receiver->elem);
            weir__wait_wake(receiver->wait);
        }
    } while (receiver);
}

/* --- Watchers -------------------------------------------------------------------------------- */

static bool is_reached(const struct weir_chan *chan, enum weir__chan_watch watch, size_t level)
{
    size_t reached = chan->weigh ? chan->weight : chan->count;

    if (chan->state == WEIR__CHAN_ABORTED || watch == WEIR__CHAN_ENDS)
        return false;
    return watch == WEIR__CHAN_BELOW ? reached <= level : reached >= level;
}

bool weir__chan_watch_is_due(const struct weir_chan *chan, enum weir__chan_watch watch,
                             size_t level)
{
    if (chan->state == WEIR__CHAN_ABORTED || is_reached(chan, watch, level))
        return true;
    /* Nothing is accepted any more: what is not reached will not be. */
    return chan->state == WEIR__CHAN_CLOSED && watch != WEIR__CHAN_BELOW;
}

int weir__chan_watch_result(const struct weir_chan *chan, enum weir__chan_watch watch, size_t level)
{
    return is_reached(chan, watch, level) ? 0 : chan->reason;
}

void weir__chan_notice(struct weir_chan *chan, struct weir__wait **wake)
{
    struct weir__list *head = &chan->watchers.waiters;
    struct weir__list *link = head->next;

    while (link != head) {
        struct weir__waiter *waiter = WEIR_CONTAINER_OF(link, struct weir__waiter, link);

        link = link->next;
        if (!weir__chan_watch_is_due(chan, waiter->watch, waiter->weight) ||
            !weir__waiter_claim(waiter))
            continue;
        waiter->result = weir__chan_watch_result(chan, waiter->watch, waiter->weight);
        weir__chan_leave_side(&chan->watchers, waiter);
        wake = weir__wait_chain(wake, waiter->wait);
    }
    if (weir__list_empty(head))
        chan->special &= ~(unsigned)WEIR__CHAN_WATCHED;
}

/* --- The long way ---------------------------------------------------------------------------- */

int weir__chan_offer_special(struct weir_chan *chan, const void *elem, size_t weight, void *dropped,
                             struct weir__wait **wake)
{
    int result;

    if (chan->special & WEIR__CHAN_NOTED)
        weir__chan_users_note(&chan->users->senders);
    if (chan->state != WEIR__CHAN_OPEN)
        return -EPIPE;
    if (chan->special & WEIR__CHAN_PROMISE)
        result = offer_promise(chan, elem, dropped);
    else if (chan->special & WEIR__CHAN_WEIGHED)
        result = offer_weighed(chan, elem, weight, wake);
    else
        result = weir__chan_offer_plain(chan, elem, dropped, wake);
    if (chan->special & WEIR__CHAN_WATCHED)
        weir__chan_notice(chan, wake);
    return result;
}

int weir__chan_take_special(struct weir_chan *chan, void *elem, struct weir__wait **wake)
{
    int result;

    if (chan->special & WEIR__CHAN_NOTED)
        weir__chan_users_note(&chan->users->receivers);
    if (chan->special & WEIR__CHAN_PROMISE)
        result = take_promise(chan, elem);
    else if (chan->special & WEIR__CHAN_WEIGHED)
        result = take_weighed(chan, elem, wake);
    else
        result = weir__chan_take_plain(chan, elem, wake);
    if (chan->special & WEIR__CHAN_WATCHED)
        weir__chan_notice(chan, wake);
    return result;
}
