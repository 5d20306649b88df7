/* SPDX-License-Identifier: MIT */
/*
 * Async sends and receives: a waiter on a wait of its own, which no task owns.
 *
 *                 no room              claimed (peer, close, deadline, cancel)
 *   start ----------------> waiting ------------------------------> decided
 *     |                                                                |
 *     `-- done at once ------------------------------------------------+--> home loop
 *                                                                            --> callback
 *
 * The home loop's thread starts it, holds it in its list, and completes it; whoever claims the wait
 * sends it there. Nobody touches it after its callback was called.
 */
#include "sync/async.h"

#include "base/assert.h"
#include "core/callback.h"
#include "core/join.h"
#include "sync/chan.h"

#include <weir/async.h>

#include <errno.h>

/* How the library uses weir_async.internal. */
struct operation {
    struct weir__wait wait;
    struct weir__waiter waiter;
    struct weir__timer timer;
    struct weir__list link; /* in its home's asyncs */
    struct weir__loop *home;
    struct weir_chan *chan;
    struct weir__chan_side *side;
};

_Static_assert(sizeof(struct operation) <= sizeof((struct weir_async *)0)->internal,
               "weir_async.internal must hold an operation");

static struct operation *operation_of(struct weir_async *async)
{
    return (struct operation *)async->internal;
}

static struct operation *operation_of_mail(struct weir__mail *mail)
{
    return WEIR_CONTAINER_OF(WEIR_CONTAINER_OF(mail, struct weir__wait, mail), struct operation,
                             wait);
}

/* In the callback task. */
static void run_callback(struct weir__loop *loop, struct weir__mail *mail)
{
    struct operation *operation = operation_of_mail(mail);
    struct weir_async *async = WEIR_CONTAINER_OF((void **)operation, struct weir_async, internal);
    int result = async->done(async, operation->waiter.result);

    if (result < 0)
        weir__join_callback_failed(loop, "async", result);
}

/* Home loop: the result stands. */
static void complete(struct operation *operation)
{
    struct weir__loop *loop = operation->home;

    weir__timer_disarm(&loop->wheel, &operation->timer);
    weir__list_unlink(&operation->link);
    operation->wait.mail.deliver = run_callback;
    weir__callback_post(loop, &operation->wait.mail);
    if (WEIR_UNLIKELY(loop->asyncs_done != NULL) && weir__list_empty(&loop->asyncs))
        weir__wait_fire(loop->asyncs_done->wait, 0);
}

static void deliver_completion(struct weir__loop *loop, struct weir__mail *mail)
{
    (void)loop;
    complete(operation_of_mail(mail));
}

/* By whoever claimed the wait, outside of any lock. */
static void wake(struct weir__wait *wait)
{
    struct operation *operation = WEIR_CONTAINER_OF(wait, struct operation, wait);

    if (operation->home == weir__loop_current) {
        complete(operation);
        return;
    }
    wait->mail.deliver = deliver_completion;
    weir__loop_post(operation->home, &wait->mail);
}

/* Claims it for an early end; false when it was decided before. */
static bool interrupt(struct operation *operation, int reason)
{
    if (!weir__wait_claim(&operation->wait, reason))
        return false;
    operation->waiter.result = reason;
    weir__chan_take_back(operation->chan, operation->side, &operation->waiter);
    wake(&operation->wait);
    return true;
}

static void deadline_passed(struct weir__timer *timer)
{
    interrupt(WEIR_CONTAINER_OF(timer, struct operation, timer), -ETIME);
}

static const struct weir__reason async_waits = { "async operation", WEIR_PHASE_TASK, NULL };

/* Under the lock. */
static void begin_waiting(struct operation *operation, void *elem, size_t weight)
{
    operation->waiter = (struct weir__waiter){
        .wait = &operation->wait,
        .elem = elem,
        .is_async = true,
        .weight = weight,
    };
    weir__wait_begin(&operation->wait, &async_waits, operation->side);
    weir__chan_join_side(operation->side, &operation->waiter);
    operation->side->async_count++;
}

/* What every start checks, before anything has changed. */
static int check(const struct weir_chan *chan, const void *elem, const struct weir_async *async)
{
    int error;

    if (!weir__chan_is_alive(chan) || !async || !async->done || (!elem && chan->elem_size))
        return -EINVAL;
    error = weir__wait_check();
    if (error < 0)
        return error;
    if (!weir__loop_current)
        return -ENXIO;
    return weir__loop_current->asyncs_refused ? -ECANCELED : 0;
}

static struct operation *prepare(struct weir_async *async, struct weir_chan *chan,
                                 struct weir__chan_side *side)
{
    struct operation *operation = operation_of(async);

    *operation = (struct operation){
        .wait.wake = wake,
        .home = weir__loop_current,
        .chan = chan,
        .side = side,
    };
    weir__list_init(&operation->link);
    weir__timer_init(&operation->timer, deadline_passed);
    return operation;
}

static void finish_now(struct operation *operation, int result)
{
    operation->waiter.result = result;
    complete(operation);
}

/* Under the lock, returns without it: leaves the operation with its channel. */
static int leave(struct operation *operation, void *elem, size_t weight, int64_t deadline_ns)
{
    struct weir_chan *chan = operation->chan;
    int refusal = weir__wait_refuse(deadline_ns);
    bool full = operation->side->async_count >= chan->async_limit;

    if (refusal >= 0 && !full)
        begin_waiting(operation, elem, weight);
    else if (refusal >= 0)
        chan->refused_total++;
    weir__lock_release(&chan->lock);
    if (refusal < 0) {
        finish_now(operation, refusal);
        return 0;
    }
    if (full)
        return -ENOBUFS;
    /* Whoever has claimed it meanwhile sends it here, where it arrives later. */
    weir__list_append(&operation->home->asyncs, &operation->link);
    if (deadline_ns != WEIR_FOREVER)
        weir__timer_arm(&operation->home->wheel, &operation->timer, deadline_ns);
    return 0;
}

int weir_chan_send_async(struct weir_chan *chan, const void *elem, struct weir_async *async,
                         int64_t deadline_ns)
{
    struct weir__wait *woken = NULL;
    struct operation *operation;
    size_t weight;
    int result = check(chan, elem, async);

    if (result < 0)
        return result;
    operation = prepare(async, chan, &chan->senders);
    if (weir__chan_never_parks(chan)) {
        finish_now(operation, weir_chan_send(chan, elem, WEIR_NOW));
        return 0;
    }
    weight = weir__chan_weigh(chan, elem);
    weir__lock_acquire(&chan->lock);
    result = weir__chan_offer(chan, elem, weight, NULL, &woken);
    if (result == -EAGAIN)
        return leave(operation, (void *)(uintptr_t)elem, weight, deadline_ns);
    weir__lock_release(&chan->lock);
    weir__wait_wake_all(woken);
    finish_now(operation, result);
    return 0;
}

int weir_chan_recv_async(struct weir_chan *chan, void *elem, struct weir_async *async,
                         int64_t deadline_ns)
{
    struct weir__wait *woken = NULL;
    struct operation *operation;
    bool is_lent;
    int result = check(chan, elem, async);

    if (result < 0)
        return result;
    operation = prepare(async, chan, &chan->receivers);
    weir__lock_acquire(&chan->lock);
    result = weir__chan_take(chan, elem, &woken);
    is_lent = result == 0 && chan->policy == WEIR_CHAN_PROMISE;
    if (result == -EAGAIN && chan->state == WEIR__CHAN_OPEN)
        return leave(operation, elem, 0, deadline_ns);
    weir__lock_release(&chan->lock);
    if (is_lent)
        weir__chan_accept(chan, elem);
    weir__wait_wake_all(woken);
    finish_now(operation, result);
    return 0;
}

int weir_async_cancel(struct weir_async *async)
{
    if (!async)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    return interrupt(operation_of(async), -ECANCELED) ? 0 : WEIR_ALREADY;
}

/* Ends each once. One that ends may make room for others, which complete and are unlinked too. */
static void cancel_all(struct weir__loop *loop)
{
    struct weir__list waiting, *link;

    weir__list_init(&waiting);
    weir__list_splice(&waiting, &loop->asyncs);
    while ((link = weir__list_pop(&waiting))) {
        weir__list_append(&loop->asyncs, link);
        interrupt(WEIR_CONTAINER_OF(link, struct operation, link), -ECANCELED);
    }
}

static const struct weir__reason awaits_asyncs = { "async operations that end", WEIR_PHASE_TASK,
                                                   NULL };

static void await_all(struct weir__loop *loop)
{
    struct weir__waiter waiter = { .wait = weir__wait_self() };

    weir__wait_begin(waiter.wait, &awaits_asyncs, loop);
    loop->asyncs_done = &waiter;
    weir__wait_park(waiter.wait, INT64_MAX, WEIR__PARK_RELEASE);
    loop->asyncs_done = NULL;
}

static void do_nothing(void *arg)
{
    (void)arg;
}

void weir__async_stop(struct weir__loop *loop)
{
    loop->asyncs_refused = true;
    cancel_all(loop);
    if (!weir__list_empty(&loop->asyncs))
        await_all(loop);                   /* they were claimed elsewhere, and are on their way */
    weir__callback_call(do_nothing, NULL); /* comes after all of their callbacks */
}
