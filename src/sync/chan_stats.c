/* SPDX-License-Identifier: MIT */
/* What can be read of channels: one, or all that have a name. Named channels are in one list of the
 * process, in the order of their creation; its lock comes before a channel's. */
#include "base/assert.h"
#include "base/memory.h"
#include "sync/chan.h"

#include <errno.h>
#include <limits.h>

static struct weir__lock list_lock;
static struct weir__list named = { &named, &named };
static size_t named_count;

void weir__chan_enlist(struct weir_chan *chan)
{
    weir__lock_acquire(&list_lock);
    weir__list_append(&named, &chan->listed);
    named_count++;
    weir__lock_release(&list_lock);
}

void weir__chan_delist(struct weir_chan *chan)
{
    weir__lock_acquire(&list_lock);
    weir__list_unlink(&chan->listed);
    named_count--;
    weir__lock_release(&list_lock);
}

/* References to the named channels that live, at most `capacity`; *count says how many there are in
 * all. */
static size_t retain_named(struct weir_chan **chans, size_t capacity, size_t *count)
{
    size_t taken = 0;

    weir__lock_acquire(&list_lock);
    *count = named_count;
    for (struct weir__list *link = named.next; link != &named && taken < capacity;
         link = link->next) {
        struct weir_chan *chan = WEIR_CONTAINER_OF(link, struct weir_chan, listed);

        if (*count <= capacity && weir__chan_try_retain(chan))
            chans[taken++] = chan;
    }
    weir__lock_release(&list_lock);
    return taken;
}

int weir_chan_walk(weir_chan_visit_fn *visit, void *context)
{
    struct weir_chan **chans = NULL;
    size_t capacity = 0, count, taken;

    if (!visit)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD; /* the list may be locked for ever */
    for (;;) {
        taken = retain_named(chans, capacity, &count);
        if (count <= capacity)
            break;
        weir__memory_free(chans);
        capacity = count;
        chans = weir__memory_alloc(NULL, capacity * sizeof(struct weir_chan *));
        if (!chans)
            return -ENOMEM;
    }
    for (size_t i = 0; i < taken; i++) {
        struct weir_chan_stats stats;

        weir_chan_read_stats(chans[i], &stats);
        visit(chans[i], &stats, context);
        weir_chan_release(chans[i]);
    }
    weir__memory_free(chans);
    return taken > INT_MAX ? INT_MAX : (int)taken;
}

int weir_chan_read_stats(struct weir_chan *chan, struct weir_chan_stats *stats)
{
    if (!weir__chan_is_alive(chan) || !stats)
        return -EINVAL;
    weir__lock_acquire(&chan->lock);
    *stats = (struct weir_chan_stats){
        .count = chan->count,
        .capacity = chan->capacity,
        .waiting_senders = weir__chan_waiting(&chan->senders),
        .waiting_receivers = weir__chan_waiting(&chan->receivers),
        .sent_total = chan->sent_total,
        .received_total = chan->received_total,
        .dropped_total = chan->dropped_total,
        .count_max = chan->count_max,
        .weight = chan->weight,
        .weight_limit = chan->weight_limit,
        .parked_senders_total = chan->senders.left_total,
        .parked_receivers_total = chan->receivers.left_total,
        .parked_senders_ns = chan->senders.parked_ns,
        .parked_senders_max_ns = chan->senders.parked_max_ns,
        .parked_receivers_ns = chan->receivers.parked_ns,
        .senders = chan->senders.handle_count,
        .receivers = chan->receivers.handle_count,
        .refused_total = chan->refused_total,
        .expired_total = chan->expired_total,
        .closed = chan->state != WEIR__CHAN_OPEN,
    };
    weir__lock_release(&chan->lock);
    return 0;
}

size_t weir_chan_elem_size(const struct weir_chan *chan)
{
    return weir__chan_is_alive(chan) ? chan->elem_size : 0;
}

const char *weir_chan_name(const struct weir_chan *chan)
{
    return weir__chan_is_alive(chan) ? chan->name : "no channel";
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

/* Under the lock: as for others, with what is said of weight in chan.h. */
static void verify_weighed(const struct weir_chan *chan)
{
    const struct weir__list *first = chan->senders.waiters.next;
    size_t weight = 0;

    for (size_t i = 0; i < chan->count; i++)
        weight += chan->weights[(chan->head + i) % chan->capacity];
    WEIR_ASSERT(weight == chan->weight);
    WEIR_ASSERT(weight <= chan->weight_limit || chan->count == 1);
    if (first != &chan->senders.waiters)
        WEIR_ASSERT(!weir__chan_has_room(
            chan, WEIR_CONTAINER_OF(first, struct weir__waiter, link)->weight));
}

void weir__chan_verify(struct weir_chan *chan)
{
    const struct weir__wait *receiver, *sender;

    weir__lock_acquire(&chan->lock);
    receiver = first_open(&chan->receivers.waiters);
    sender = first_open(&chan->senders.waiters);
    WEIR_ASSERT(chan->count <= chan->capacity);
    if (receiver && chan->policy != WEIR_CHAN_PROMISE)
        WEIR_ASSERT(chan->count == 0);
    if (chan->weigh)
        verify_weighed(chan);
    else if (sender)
        WEIR_ASSERT(chan->count == chan->capacity);
    if (receiver && sender)
        WEIR_ASSERT(receiver == sender);
    if (chan->state == WEIR__CHAN_ABORTED) {
        WEIR_ASSERT(chan->count == 0);
        WEIR_ASSERT(weir__list_empty(&chan->senders.waiters));
        WEIR_ASSERT(weir__list_empty(&chan->receivers.waiters));
        WEIR_ASSERT(weir__list_empty(&chan->watchers.waiters));
    }
    weir__lock_release(&chan->lock);
}
