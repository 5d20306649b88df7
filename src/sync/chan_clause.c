/* SPDX-License-Identifier: MIT */
/* Channels as clauses of a select. */
#include "base/memory.h"
#include "core/clause.h"
#include "sync/chan.h"

#include <errno.h>

/*
 * Between the verbs, a send clause that may drop keeps room for the dropped element: in its scratch
 * words, or, for larger elements, in a block. It is always ready, so its select never parks. After
 * a park the channel may be gone: only clauses that may drop touch it in finish.
 */
static struct weir__clause_internal *internal(struct weir_clause *clause)
{
    return (struct weir__clause_internal *)clause->internal;
}

static bool fits_scratch(const struct weir_chan *chan)
{
    return chan->elem_size <= sizeof((struct weir__clause_internal *)0)->scratch;
}

static void *dropped_room(struct weir_clause *clause)
{
    return fits_scratch(clause->object) ? (void *)internal(clause)->scratch
                                        : internal(clause)->scratch[0];
}

static int send_prepare(struct weir_clause *clause)
{
    const struct weir_chan *chan = clause->object;

    if (fits_scratch(chan))
        return 0;
    internal(clause)->scratch[0] = weir__memory_alloc(NULL, chan->elem_size);
    return internal(clause)->scratch[0] ? 0 : -ENOBUFS;
}

static int refuse(struct weir_clause *clause)
{
    (void)clause;
    return -EINVAL;
}

static void send_finish(struct weir_clause *clause, bool won)
{
    struct weir_chan *chan = clause->object;

    if (won && clause->result == WEIR_DROPPED)
        weir__chan_drop(chan, dropped_room(clause), weir__chan_drop_reason(chan));
    if (!fits_scratch(chan))
        weir__memory_free(internal(clause)->scratch[0]);
}

static struct weir__lock *chan_lock(const struct weir_clause *clause)
{
    return &((struct weir_chan *)clause->object)->lock;
}

static bool send_try(struct weir_clause *clause, struct weir__wait **wake)
{
    clause->result = weir__chan_offer(clause->object, clause->elem, NULL, wake);
    return clause->result != -EAGAIN;
}

static bool send_dropping_try(struct weir_clause *clause, struct weir__wait **wake)
{
    clause->result = weir__chan_offer(clause->object, clause->elem, dropped_room(clause), wake);
    return true;
}

static bool recv_try(struct weir_clause *clause, struct weir__wait **wake)
{
    struct weir_chan *chan = clause->object;

    clause->result = weir__chan_take(chan, clause->elem, wake);
    return clause->result != -EAGAIN || chan->state != WEIR__CHAN_OPEN;
}

static void send_arm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_chan *chan = clause->object;

    waiter->elem = clause->elem;
    weir__list_append(&chan->senders, &waiter->link);
    chan->waiting_senders++;
}

static void recv_arm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_chan *chan = clause->object;

    waiter->elem = clause->elem;
    weir__list_append(&chan->receivers, &waiter->link);
    chan->waiting_receivers++;
}

static void send_disarm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_chan *chan = clause->object;

    weir__chan_take_back(chan, waiter, &chan->waiting_senders);
}

static void recv_disarm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_chan *chan = clause->object;

    weir__chan_take_back(chan, waiter, &chan->waiting_receivers);
}

/* Whoever fired has unlinked the waiter and counted it off: the channel is not touched again. */
static void chan_fired(struct weir_clause *clause, struct weir__waiter *waiter)
{
    clause->result = waiter->result;
}

static const struct weir_clause_verbs send_verbs = {
    .name = "send",
    .lock = chan_lock,
    .try = send_try,
    .arm = send_arm,
    .disarm = send_disarm,
    .fired = chan_fired,
};

static const struct weir_clause_verbs recv_verbs = {
    .name = "recv",
    .lock = chan_lock,
    .try = recv_try,
    .arm = recv_arm,
    .disarm = recv_disarm,
    .fired = chan_fired,
};

/* To a channel with a drop callback that may let an element go. */
static const struct weir_clause_verbs send_dropping_verbs = {
    .name = "send",
    .prepare = send_prepare,
    .lock = chan_lock,
    .try = send_dropping_try,
    .arm = send_arm,
    .disarm = send_disarm,
    .fired = chan_fired,
    .finish = send_finish,
};

/* Without an element, or room for one: the select is refused. */
static const struct weir_clause_verbs broken_verbs = {
    .name = "broken",
    .prepare = refuse,
};

static bool lacks_elem(const struct weir_chan *chan, const void *elem)
{
    return !elem && chan->elem_size;
}

struct weir_clause weir_clause_send(struct weir_chan *chan, const void *elem)
{
    struct weir_clause clause = { .object = chan, .elem = (void *)(uintptr_t)elem };

    if (!chan)
        return clause;
    clause.verbs = &send_verbs;
    if (weir__chan_keeps_dropped(chan))
        clause.verbs = &send_dropping_verbs;
    if (lacks_elem(chan, elem))
        clause.verbs = &broken_verbs;
    return clause;
}

struct weir_clause weir_clause_recv(struct weir_chan *chan, void *elem)
{
    struct weir_clause clause = { .object = chan, .elem = elem };

    if (chan)
        clause.verbs = lacks_elem(chan, elem) ? &broken_verbs : &recv_verbs;
    return clause;
}
