/* SPDX-License-Identifier: MIT */
/* Channels as clauses of a select. */
#include "base/memory.h"
#include "core/clause.h"
#include "sync/chan.h"

#include <errno.h>

/*
 * Between the verbs, a send clause that may drop keeps room for the dropped element: in its scratch
 * words, or, for larger elements, in a block; its waiter, which is never armed, has the place. It
 * is always ready, so its select never parks; so is a receive that lends a promise's element. After
 * a park, and after a send that was received, the channel may be gone: no other clause touches it
 * in finish.
 */
static int send_unparking_prepare(struct weir_clause *clause)
{
    struct weir__clause_internal *internal = weir__clause_internal(clause);
    const struct weir_chan *chan = clause->object;

    internal->waiter.elem = internal->scratch;
    if (chan->elem_size > sizeof internal->scratch)
        internal->waiter.elem = weir__memory_alloc(NULL, chan->elem_size);
    return internal->waiter.elem ? 0 : -ENOBUFS;
}

static int refuse(struct weir_clause *clause)
{
    (void)clause;
    return -EINVAL;
}

static void send_unparking_finish(struct weir_clause *clause, bool won)
{
    struct weir__clause_internal *internal = weir__clause_internal(clause);

    if (won && clause->result == WEIR_DROPPED)
        weir__chan_drop_sent(clause->object, internal->waiter.elem);
    if (internal->waiter.elem != internal->scratch)
        weir__memory_free(internal->waiter.elem);
}

static void send_promise_finish(struct weir_clause *clause, bool won)
{
    if (won && clause->result == 0)
        weir__chan_fulfil(clause->object);
    send_unparking_finish(clause, won);
}

/* A weighed element is weighed before the locks; its weight waits where the waiter has it. */
static int send_weighed_prepare(struct weir_clause *clause)
{
    weir__clause_internal(clause)->waiter.weight = weir__chan_weigh(clause->object, clause->elem);
    return 0;
}

/* --- Ready, try, try alone -------------------------------------------------------------------- */

static bool send_ready(const struct weir_clause *clause)
{
    const struct weir_chan *chan = clause->object;

    return chan->count < chan->capacity || !weir__list_empty(&chan->receivers.waiters) ||
           chan->special || weir__chan_never_parks(chan);
}

static bool recv_ready(const struct weir_clause *clause)
{
    const struct weir_chan *chan = clause->object;

    return chan->count > 0 || !weir__list_empty(&chan->senders.waiters) || chan->special;
}

static bool send_try(struct weir_clause *clause, struct weir__wait **wake)
{
    clause->result = weir__chan_offer(clause->object, clause->elem, 0, NULL, wake);
    return clause->result != -EAGAIN;
}

/* Called under the lock, returns without it. */
static __attribute__((noinline)) bool try_locked(struct weir_clause *clause)
{
    struct weir_chan *chan = clause->object;
    struct weir__wait *wake = NULL;
    bool ready = clause->verbs->ready(clause) && clause->verbs->try(clause, &wake);

    weir__lock_release(&chan->lock);
    if (ready)
        weir__wait_settle(wake);
    return ready;
}

static bool send_try_alone(struct weir_clause *clause)
{
    struct weir_chan *chan = clause->object;

    weir__lock_acquire(&chan->lock);
    if (WEIR_UNLIKELY(chan->special || chan->count >= chan->capacity ||
                      !weir__list_empty(&chan->receivers.waiters)))
        return try_locked(clause);
    weir__chan_offer_buffered(chan, clause->elem);
    weir__lock_release(&chan->lock);
    clause->result = 0;
    weir__wait_settle(NULL);
    return true;
}

static bool send_weighed_try(struct weir_clause *clause, struct weir__wait **wake)
{
    clause->result = weir__chan_offer(clause->object, clause->elem,
                                      weir__clause_internal(clause)->waiter.weight, NULL, wake);
    return clause->result != -EAGAIN;
}

static bool send_unparking_try(struct weir_clause *clause, struct weir__wait **wake)
{
    clause->result = weir__chan_offer(clause->object, clause->elem, 0,
                                      weir__clause_internal(clause)->waiter.elem, wake);
    return true;
}

static bool recv_try(struct weir_clause *clause, struct weir__wait **wake)
{
    struct weir_chan *chan = clause->object;

    clause->result = weir__chan_take(chan, clause->elem, wake);
    return clause->result != -EAGAIN || chan->state != WEIR__CHAN_OPEN;
}

static bool recv_try_alone(struct weir_clause *clause)
{
    struct weir_chan *chan = clause->object;

    weir__lock_acquire(&chan->lock);
    if (WEIR_UNLIKELY(chan->special || chan->count == 0 ||
                      !weir__list_empty(&chan->senders.waiters)))
        return try_locked(clause);
    weir__chan_take_buffered(chan, clause->elem);
    weir__lock_release(&chan->lock);
    clause->result = 0;
    weir__wait_settle(NULL);
    return true;
}

/* Under the lock: what was lent here is accepted in finish; a waiter gets it from who fulfils. */
static bool recv_promised_try(struct weir_clause *clause, struct weir__wait **wake)
{
    bool ready = recv_try(clause, wake);

    weir__clause_internal(clause)->scratch[0] =
        ready && clause->result == 0 ? clause->object : NULL;
    return ready;
}

static int recv_promised_prepare(struct weir_clause *clause)
{
    weir__clause_internal(clause)->scratch[0] = NULL;
    return 0;
}

static void recv_promised_finish(struct weir_clause *clause, bool won)
{
    struct weir_chan *lender = weir__clause_internal(clause)->scratch[0];

    if (won && lender)
        weir__chan_accept(lender, clause->elem);
}

static void send_arm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_chan *chan = clause->object;

    waiter->elem = clause->elem;
    weir__chan_join_side(&chan->senders, waiter);
}

static void recv_arm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_chan *chan = clause->object;

    waiter->elem = clause->elem;
    weir__chan_join_side(&chan->receivers, waiter);
}

static void send_disarm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_chan *chan = clause->object;

    weir__chan_take_back(chan, &chan->senders, waiter);
}

static void recv_disarm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_chan *chan = clause->object;

    weir__chan_take_back(chan, &chan->receivers, waiter);
}

static enum weir__chan_watch watch_of(const struct weir_clause *clause);

/* The level of a watermark travels in the pointer to an element that it does not need. */
static size_t level_of(const struct weir_clause *clause)
{
    return (size_t)(uintptr_t)clause->elem;
}

static bool watch_ready(const struct weir_clause *clause)
{
    return weir__chan_watch_is_due(clause->object, watch_of(clause), level_of(clause));
}

static bool watch_try(struct weir_clause *clause, struct weir__wait **wake)
{
    const struct weir_chan *chan = clause->object;

    (void)wake;
    clause->result = weir__chan_watch_result(chan, watch_of(clause), level_of(clause));
    return watch_ready(clause);
}

static bool watch_try_alone(struct weir_clause *clause)
{
    weir__lock_acquire(weir__clause_internal(clause)->lock);
    return try_locked(clause);
}

static void watch_arm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_chan *chan = clause->object;

    waiter->watch = (uint8_t)watch_of(clause);
    waiter->weight = level_of(clause);
    weir__chan_join_side(&chan->watchers, waiter);
    chan->special |= WEIR__CHAN_WATCHED;
}

/* The flag is left to the next change, which finds nobody. */
static void watch_disarm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_chan *chan = clause->object;

    weir__chan_take_back(chan, &chan->watchers, waiter);
}

/* Whoever fired has unlinked the waiter and counted it off: the channel is not touched again. */
static void chan_fired(struct weir_clause *clause, struct weir__waiter *waiter)
{
    clause->result = waiter->result;
}

static const struct weir_clause_verbs send_verbs = {
    .name = "send",
    .reason = &weir__chan_sends,
    .ready = send_ready,
    .try = send_try,
    .try_alone = send_try_alone,
    .arm = send_arm,
    .disarm = send_disarm,
    .fired = chan_fired,
};

static const struct weir_clause_verbs recv_verbs = {
    .name = "recv",
    .reason = &weir__chan_receives,
    .ready = recv_ready,
    .try = recv_try,
    .try_alone = recv_try_alone,
    .arm = recv_arm,
    .disarm = recv_disarm,
    .fired = chan_fired,
};

static const struct weir_clause_verbs send_weighed_verbs = {
    .name = "send",
    .reason = &weir__chan_sends,
    .is_careful = true,
    .prepare = send_weighed_prepare,
    .ready = send_ready,
    .try = send_weighed_try,
    .arm = send_arm,
    .disarm = send_disarm,
    .fired = chan_fired,
};

/* To a channel that drops, or to a promise. */
#define UNPARKING_VERBS(finisher)                                                                  \
    {                                                                                              \
        .name = "send", .reason = &weir__chan_sends, .is_careful = true,                           \
        .prepare = send_unparking_prepare, .ready = send_ready, .try = send_unparking_try,         \
        .arm = send_arm, .disarm = send_disarm, .fired = chan_fired, .finish = (finisher),         \
    }

static const struct weir_clause_verbs send_unparking_verbs = UNPARKING_VERBS(send_unparking_finish);
static const struct weir_clause_verbs send_promise_verbs = UNPARKING_VERBS(send_promise_finish);

/* From a promise that counts its copies. */
static const struct weir_clause_verbs recv_promised_verbs = {
    .name = "recv",
    .reason = &weir__chan_receives,
    .is_careful = true,
    .prepare = recv_promised_prepare,
    .ready = recv_ready,
    .try = recv_promised_try,
    .arm = recv_arm,
    .disarm = recv_disarm,
    .fired = chan_fired,
    .finish = recv_promised_finish,
};

#define WATCH_VERBS(label)                                                                         \
    {                                                                                              \
        .name = (label), .ready = watch_ready, .try = watch_try, .try_alone = watch_try_alone,     \
        .arm = watch_arm, .disarm = watch_disarm, .fired = chan_fired,                             \
    }

static const struct weir_clause_verbs watch_verbs[WEIR__CHAN_WATCHES] = {
    [WEIR__CHAN_BELOW] = WATCH_VERBS("below"),
    [WEIR__CHAN_ABOVE] = WATCH_VERBS("above"),
    [WEIR__CHAN_ENDS] = WATCH_VERBS("closed"),
};

static enum weir__chan_watch watch_of(const struct weir_clause *clause)
{
    return (enum weir__chan_watch)(clause->verbs - watch_verbs);
}

/* Without an element, or room for one: the select is refused. */
static const struct weir_clause_verbs broken_verbs = {
    .name = "broken",
    .is_careful = true,
    .prepare = refuse,
};

static bool lacks_elem(const struct weir_chan *chan, const void *elem)
{
    return !elem && chan->elem_size;
}

/* A clause of the channel; of none, a disabled one. */
static struct weir_clause make(struct weir_chan *chan, const struct weir_clause_verbs *verbs,
                               const void *elem)
{
    struct weir_clause clause = { .object = chan, .elem = (void *)(uintptr_t)elem };

    if (!chan)
        return clause;
    clause.verbs = weir__chan_is_alive(chan) ? verbs : &broken_verbs;
    weir__clause_internal(&clause)->lock = &chan->lock;
    return clause;
}

struct weir_clause weir_clause_send(struct weir_chan *chan, const void *elem)
{
    const struct weir_clause_verbs *verbs = &send_verbs;

    if (chan && chan->weigh)
        verbs = &send_weighed_verbs;
    if (chan && weir__chan_never_parks(chan))
        verbs = chan->policy == WEIR_CHAN_PROMISE ? &send_promise_verbs : &send_unparking_verbs;
    if (chan && lacks_elem(chan, elem))
        verbs = &broken_verbs;
    return make(chan, verbs, elem);
}

struct weir_clause weir_clause_recv(struct weir_chan *chan, void *elem)
{
    const struct weir_clause_verbs *verbs = &recv_verbs;

    if (chan && chan->policy == WEIR_CHAN_PROMISE && chan->retain)
        verbs = &recv_promised_verbs;
    if (chan && lacks_elem(chan, elem))
        verbs = &broken_verbs;
    return make(chan, verbs, elem);
}

static struct weir_clause watch(struct weir_chan *chan, enum weir__chan_watch kind, size_t level)
{
    return make(chan, &watch_verbs[kind], (void *)(uintptr_t)level);
}

struct weir_clause weir_clause_below(struct weir_chan *chan, size_t level)
{
    return watch(chan, WEIR__CHAN_BELOW, level);
}

struct weir_clause weir_clause_above(struct weir_chan *chan, size_t level)
{
    return watch(chan, WEIR__CHAN_ABOVE, level);
}

struct weir_clause weir_clause_closed(struct weir_chan *chan)
{
    return watch(chan, WEIR__CHAN_ENDS, 0);
}
