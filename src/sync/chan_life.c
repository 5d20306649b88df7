/* SPDX-License-Identifier: MIT */
/* How channels begin and end: create, references and counted handles, close, abort. */
#include "base/assert.h"
#include "base/budget.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/park.h"
#include "sync/chan_users.h"

#include <errno.h>
#include <string.h>

enum { ASYNC_LIMIT = 1024 }; /* weir_chan_options.async_limit */

static int check_options(const struct weir_chan_options *options, size_t capacity)
{
    if (options->size && options->size != sizeof *options)
        return -EINVAL;
    if (options->policy > WEIR_CHAN_PROMISE)
        return -EINVAL;
    if (options->policy != WEIR_CHAN_PARK && capacity == 0)
        return -EINVAL;
    if (options->policy == WEIR_CHAN_PROMISE && capacity != 1)
        return -EINVAL;
    if (!options->weigh != !options->weight_limit)
        return -EINVAL;
    if (options->weigh && (options->policy != WEIR_CHAN_PARK || capacity == 0))
        return -EINVAL;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return -EINVAL;
    if (options->name && strlen(options->name) >= WEIR__CHAN_NAME_BYTES)
        return -E2BIG;
    return 0;
}

/* The bytes of a channel: its struct, its elements, and their weights; 0 when that is too much. */
static size_t total_bytes(size_t elem_size, size_t capacity, bool is_weighed, size_t *weights_at)
{
    size_t align = _Alignof(size_t);
    size_t bytes, weight_bytes = 0;

    /* An element of size 0 still counts: the capacity alone must be sane, too. */
    if (__builtin_mul_overflow(elem_size ? elem_size : 1, capacity, &bytes) ||
        (is_weighed && __builtin_mul_overflow(sizeof(size_t), capacity, &weight_bytes)) ||
        bytes > SIZE_MAX / 4 || weight_bytes > SIZE_MAX / 4 || elem_size > SIZE_MAX / 4)
        return 0;
    *weights_at = (elem_size * capacity + align - 1) / align * align;
    return sizeof(struct weir_chan) + *weights_at + weight_bytes;
}

static void init_side(struct weir__chan_side *side)
{
    *side = (struct weir__chan_side){ .joined_total = 0 };
    weir__list_init(&side->waiters);
}

/* Channels may outlive their runtime, and so they hold the budget. */
static int charge(struct weir_chan *chan, struct weir__budget *budget)
{
    if (!weir__budget_take(budget, chan->bytes))
        return weir__error_explain(-ENOMEM,
                                   "a channel of %zu bytes: tasks and buffers may take %zu bytes "
                                   "(weir_options.memory_limit_bytes)",
                                   chan->bytes, budget->limit);
    weir__budget_hold(budget);
    chan->budget = budget;
    return 0;
}

static void give_back(struct weir__budget *budget, size_t bytes)
{
    if (!budget)
        return;
    weir__budget_give(budget, bytes);
    weir__budget_leave(budget);
}

/* The runtime of the loop that makes the channel keeps account of it: of its bytes, its users. */
static __attribute__((noinline)) int account_for(struct weir_chan *chan, struct weir__loop *loop)
{
    struct weir__budget *memory = loop->runtime->memory;
    size_t weights_at;
    int error = 0;

    chan->is_known = true;
    chan->bytes = total_bytes(chan->elem_size, chan->capacity, chan->weigh != NULL, &weights_at);
    if (weir__budget_is_bounded(memory))
        error = charge(chan, memory);
    if (error >= 0 && loop->runtime->options.channel_users) {
        error = weir__chan_users_create(chan, loop);
        if (error < 0)
            give_back(chan->budget, chan->bytes);
    }
    return error;
}

int weir_chan_create(struct weir_chan **chan, size_t elem_size, size_t capacity,
                     const struct weir_chan_options *options)
{
    static const struct weir_chan_options defaults;
    struct weir__loop *loop = weir__loop_current;
    struct weir_chan *made;
    size_t bytes, weights_at;
    int error;

    options = options ? options : &defaults;
    error = chan ? check_options(options, capacity) : -EINVAL;
    if (error < 0)
        return error;
    bytes = total_bytes(elem_size, capacity, options->weigh != NULL, &weights_at);
    if (bytes == 0)
        return -EOVERFLOW;
    made = weir__memory_alloc(loop ? loop->heap : NULL, bytes);
    if (!made)
        return -ENOMEM;
    *made = (struct weir_chan){
        .alive = WEIR__CHAN_ALIVE,
        .special = (options->weigh ? WEIR__CHAN_WEIGHED : 0U) |
                   (options->policy == WEIR_CHAN_PROMISE ? WEIR__CHAN_PROMISE : 0U),
        .is_plain = options->policy == WEIR_CHAN_PARK && !options->weigh &&
                    elem_size <= WEIR__CHAN_TOUCH_BYTES,
        .elem_size = elem_size,
        .capacity = capacity,
        .refs = 1,
        .policy = options->policy,
        .drop = options->drop,
        .retain = options->retain,
        .weigh = options->weigh,
        .context = options->context,
        .weight_limit = options->weight_limit,
        .async_limit = options->async_limit ? options->async_limit : ASYNC_LIMIT,
        .weights = (size_t *)(void *)(made->buffer + weights_at),
        .is_known = options->name != NULL,
        .is_listed = options->name != NULL,
        .name = "chan",
    };
    init_side(&made->senders);
    init_side(&made->receivers);
    init_side(&made->watchers);
    if (WEIR_UNLIKELY(loop && loop->runtime->accounts_for_channels)) {
        error = account_for(made, loop);
        if (error < 0) {
            weir__memory_free(made);
            return error;
        }
    }
    if (options->name) {
        strcpy(made->name, options->name);
        weir__chan_enlist(made);
    }
    *chan = made;
    return 0;
}

struct weir_chan *weir_chan_retain(struct weir_chan *chan)
{
    WEIR_ASSERT(weir__chan_is_alive(chan));
    weir__lock_acquire(&chan->lock);
    WEIR_ASSERT(chan->refs > 0);
    chan->refs++;
    weir__lock_release(&chan->lock);
    return chan;
}

bool weir__chan_try_retain(struct weir_chan *chan)
{
    bool alive;

    weir__lock_acquire(&chan->lock);
    alive = chan->refs > 0;
    chan->refs += alive;
    weir__lock_release(&chan->lock);
    return alive;
}

/* Under the lock: all that are parked on the channel. */
static size_t parked_count(const struct weir_chan *chan)
{
    return weir__chan_waiting(&chan->senders) + weir__chan_waiting(&chan->receivers) +
           weir__chan_waiting(&chan->watchers);
}

/* Under the lock: nobody can come back to it any more. */
static bool unreachable(const struct weir_chan *chan)
{
    return chan->refs == 0 && chan->pins == 0 && parked_count(chan) == 0;
}

static __attribute__((noinline)) void free_known(struct weir_chan *chan)
{
    struct weir__budget *budget = chan->budget;
    size_t bytes = chan->bytes;

    if (chan->is_listed)
        weir__chan_delist(chan);
    weir__chan_give_memory_slowly(chan);
    give_back(budget, bytes);
}

static void free_chan(struct weir_chan *chan)
{
    chan->is_plain = false;
    chan->alive = 0;
    if (WEIR_UNLIKELY(chan->is_known))
        free_known(chan);
    else
        weir__chan_give_memory(chan);
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
        free_chan(chan);
}

void weir__chan_take_back(struct weir_chan *chan, struct weir__chan_side *side,
                          struct weir__waiter *waiter)
{
    struct weir__wait *wake = NULL;
    bool last;

    weir__lock_acquire(&chan->lock);
    weir__list_unlink(&waiter->link);
    weir__chan_leave_side(side, waiter);
    chan->expired_total += waiter->result == -ETIME && side == &chan->senders;
    if (WEIR_UNLIKELY(chan->special & WEIR__CHAN_WEIGHED) && side == &chan->senders) {
        weir__chan_admit(chan, &wake); /* what was behind a heavy element may fit */
        if (chan->special & WEIR__CHAN_WATCHED)
            weir__chan_notice(chan, &wake);
    }
    last = unreachable(chan);
    weir__lock_release(&chan->lock);
    weir__wait_wake_all(wake);
    if (last)
        free_chan(chan);
}

static const char *waiter_name(const struct weir__waiter *waiter)
{
    if (waiter->is_async)
        return "an async operation";
    return waiter->wait->loop ? weir__task_of(waiter->wait)->name : "a plain thread";
}

/*
 * Wakes one parked waiter of `waiters`, a list of that side, with `result`; false when there is
 * none left. One at a time: wakes stay outside of the lock, which is never held for long. `told`
 * says what to report.
 */
static bool wake_one(struct weir_chan *chan, struct weir__list *waiters,
                     struct weir__chan_side *side, int result, const char *told)
{
    struct weir__waiter *waiter;
    char name[WEIR_NAME_BYTES] = "";

    weir__lock_acquire(&chan->lock);
    waiter = weir__waiter_claim_first(waiters);
    if (waiter) {
        waiter->result = result;
        weir__chan_leave_side(side, waiter);
        if (told)
            strcpy(name, waiter_name(waiter));
    }
    weir__lock_release(&chan->lock);
    if (!waiter)
        return false;
    if (told)
        weir__log_line("weir: channel \"%s\" was released for the last time while %s was parked "
                       "in %s; it was aborted, and the waiter gets -EPIPE",
                       chan->name, name, told);
    weir__wait_wake(waiter->wait);
    return true;
}

static int end_reason(int reason)
{
    return reason < 0 ? reason : -EPIPE;
}

/* Under the lock, while OPEN: from here on nothing is accepted, and nobody parks to receive. */
static void begin_close(struct weir_chan *chan, int reason, struct weir__wait **wake)
{
    chan->state = WEIR__CHAN_CLOSED;
    chan->special |= WEIR__CHAN_ENDED;
    chan->reason = end_reason(reason);
    if (chan->special & WEIR__CHAN_WATCHED)
        weir__chan_notice(chan, wake);
}

/* Receivers are parked only where nothing is buffered or being sent: it is their end. But a promise
 * may just have been kept, and not be handed out yet. */
static void end_close(struct weir_chan *chan, int reason, struct weir__wait *wake)
{
    weir__wait_wake_all(wake);
    if (chan->policy == WEIR_CHAN_PROMISE)
        weir__chan_hand_out(chan);
    while (wake_one(chan, &chan->receivers.waiters, &chan->receivers, end_reason(reason), NULL))
        ;
}

int weir_chan_close(struct weir_chan *chan, int reason)
{
    struct weir__wait *wake = NULL;
    bool already;

    if (!weir__chan_is_alive(chan) || reason > 0)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    weir__lock_acquire(&chan->lock);
    already = chan->state != WEIR__CHAN_OPEN;
    if (!already)
        begin_close(chan, reason, &wake);
    weir__lock_release(&chan->lock);
    if (already)
        return WEIR_ALREADY;
    end_close(chan, reason, wake);
    return 0;
}

/* An abort on its way, between the lock and what must be done outside of it. */
struct aborting {
    struct weir__list receivers, senders, watchers;
    enum weir_drop_reason why;
    size_t head, count; /* what to drop */
};

/* Under the lock, unless it is ABORTED already. */
static void begin_abort(struct weir_chan *chan, int reason, struct aborting *aborting)
{
    *aborting = (struct aborting){
        .why = chan->refs ? WEIR_DROP_ABORT : WEIR_DROP_DESTROY,
        .head = chan->head,
        .count = chan->count,
    };
    weir__list_init(&aborting->receivers);
    weir__list_init(&aborting->senders);
    weir__list_init(&aborting->watchers);
    chan->state = WEIR__CHAN_ABORTED;
    chan->special = (chan->special | WEIR__CHAN_ENDED) & ~(unsigned)WEIR__CHAN_WATCHED;
    chan->reason = end_reason(reason);
    chan->count = 0;
    chan->weight = 0;
    chan->dropped_total += aborting->count;
    if (chan->lent > 0) { /* a promise: the copies first, see weir__chan_accept */
        chan->owes_a_drop = aborting->count > 0;
        aborting->count = 0;
    }
    /* All at once: nobody may receive from a parked sender when older elements were dropped. */
    weir__list_splice(&aborting->receivers, &chan->receivers.waiters);
    weir__list_splice(&aborting->senders, &chan->senders.waiters);
    weir__list_splice(&aborting->watchers, &chan->watchers.waiters);
}

/* `told` as in wake_one. */
static void end_abort(struct weir_chan *chan, int reason, struct aborting *aborting, bool told)
{
    while (wake_one(chan, &aborting->receivers, &chan->receivers, end_reason(reason),
                    told ? "recv" : NULL))
        ;
    while (wake_one(chan, &aborting->senders, &chan->senders, -EPIPE, told ? "send" : NULL))
        ;
    while (wake_one(chan, &aborting->watchers, &chan->watchers, end_reason(reason),
                    told ? "a select" : NULL))
        ;
    /* Nothing is buffered after the abort, so the elements lie still where they are. */
    for (size_t i = 0; i < aborting->count && chan->drop; i++)
        weir__chan_drop(chan, weir__chan_slot(chan, (aborting->head + i) % chan->capacity),
                        aborting->why);
}

static bool abort_chan(struct weir_chan *chan, int reason, bool told)
{
    struct aborting aborting;
    bool already;

    weir__lock_acquire(&chan->lock);
    already = chan->state == WEIR__CHAN_ABORTED;
    if (!already)
        begin_abort(chan, reason, &aborting);
    weir__lock_release(&chan->lock);
    if (!already)
        end_abort(chan, reason, &aborting, told);
    return !already;
}

int weir_chan_abort(struct weir_chan *chan, int reason)
{
    if (!weir__chan_is_alive(chan) || reason > 0)
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
    WEIR_ASSERT(weir__chan_is_alive(chan));
    weir__lock_acquire(&chan->lock);
    WEIR_ASSERT(chan->refs > 0);
    if (chan->refs > 1) {
        chan->refs--;
        weir__lock_release(&chan->lock);
        return 0;
    }
    chan->refs = 0;
    chan->pins++; /* so that no waiter frees the channel under us */
    parked = parked_count(chan);
    weir__lock_release(&chan->lock);
    abort_chan(chan, 0, parked > 0);
    weir__chan_unpin(chan);
    return parked ? -EBUSY : 0;
}

/* What keeps a handle from being opened or closed. */
static int check_handle(const struct weir_chan *chan)
{
    if (!weir__chan_is_alive(chan))
        return -EINVAL;
    return weir__loop_forked ? -EOWNERDEAD : 0;
}

static int open_handle(struct weir_chan *chan, struct weir__chan_side *side)
{
    int result = -EPIPE;

    weir__lock_acquire(&chan->lock);
    if (chan->state == WEIR__CHAN_OPEN) {
        chan->refs++;
        side->handle_count++;
        result = 0;
    }
    weir__lock_release(&chan->lock);
    return result;
}

int weir_chan_open_sender(struct weir_chan *chan)
{
    int error = check_handle(chan);

    return error < 0 ? error : open_handle(chan, &chan->senders);
}

int weir_chan_open_receiver(struct weir_chan *chan)
{
    int error = check_handle(chan);

    return error < 0 ? error : open_handle(chan, &chan->receivers);
}

/* The count and what follows from it are one step: nobody can open a handle in between. */
int weir_chan_close_sender(struct weir_chan *chan)
{
    struct weir__wait *wake = NULL;
    int error = check_handle(chan);
    bool ends;

    if (error < 0)
        return error;
    weir__lock_acquire(&chan->lock);
    if (chan->senders.handle_count == 0) {
        weir__lock_release(&chan->lock);
        return -EINVAL;
    }
    ends = --chan->senders.handle_count == 0 && chan->state == WEIR__CHAN_OPEN;
    if (ends)
        begin_close(chan, 0, &wake);
    weir__lock_release(&chan->lock);
    if (ends)
        end_close(chan, 0, wake);
    weir_chan_release(chan);
    return 0;
}

int weir_chan_close_receiver(struct weir_chan *chan)
{
    struct aborting aborting;
    int error = check_handle(chan);
    bool ends;

    if (error < 0)
        return error;
    weir__lock_acquire(&chan->lock);
    if (chan->receivers.handle_count == 0) {
        weir__lock_release(&chan->lock);
        return -EINVAL;
    }
    ends = --chan->receivers.handle_count == 0 && chan->state != WEIR__CHAN_ABORTED;
    if (ends)
        begin_abort(chan, 0, &aborting);
    weir__lock_release(&chan->lock);
    if (ends)
        end_abort(chan, 0, &aborting, false);
    weir_chan_release(chan);
    return 0;
}
