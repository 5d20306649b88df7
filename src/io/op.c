/* SPDX-License-Identifier: MIT */
/* The way of an operation through the runtime; see op.h for the picture. */
#include "io/op.h"

#include "core/expiry.h"
#include "core/park.h"
#include "io/close.h"
#include "io/descriptor.h"
#include "io/io.h"
#include "pool/pool.h"

#include <errno.h>
#include <stdio.h>

static void count(_Atomic uint64_t *figure)
{
    /* relaxed, and no read-modify-write: the loop is the only writer */
    atomic_store_explicit(figure, atomic_load_explicit(figure, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

static struct weir__row_stats *row_stats(struct weir__loop *loop, const struct weir__op *op)
{
    return &loop->io->rows[op->row - weir__op_rows];
}

static void count_route(struct weir__loop *loop, const struct weir__op *op, enum weir__route route)
{
    static const enum weir_counter totals[WEIR__ROUTE_COUNT] = {
        [WEIR__ROUTE_INLINE] = WEIR_OPS_INLINE,
        [WEIR__ROUTE_RING] = WEIR_OPS_RING,
        [WEIR__ROUTE_POOL] = WEIR_OPS_POOL,
    };

    count(&row_stats(loop, op)->routed[route]);
    weir__counter_add(&loop->counters, totals[route], 1);
}

static void count_phase(struct weir__row_stats *stats, enum weir_phase phase)
{
    if (phase == WEIR_PHASE_SUBMISSION_QUEUE || phase == WEIR_PHASE_POOL_QUEUE)
        count(&stats->expired_queued);
    else if (phase == WEIR_PHASE_READY_QUEUE)
        count(&stats->expired_ready);
}

static void count_failure(struct weir__loop *loop, const struct weir__op *op, int64_t result)
{
    struct weir__row_stats *stats = row_stats(loop, op);

    count(&stats->failed);
    if (result == -ECANCELED) {
        count(&stats->cancelled);
        weir__counter_add(&loop->counters, WEIR_OPS_CANCELLED, 1);
    } else if (result == -ETIME || result == -EAGAIN) {
        count(&stats->expired);
        if (result == -ETIME && op->wait)
            count_phase(stats, loop->current->expired_phase);
        weir__counter_add(&loop->counters, WEIR_OPS_EXPIRED, 1);
    }
}

/* Whether there is a descriptor to hold: a path may begin at none. */
static bool is_held(int fd, enum weir__op_holds holds)
{
    return holds != WEIR__HOLDS_NOTHING && (holds != WEIR__HOLDS_FOLDER || fd >= 0);
}

static void leave(struct weir__loop *loop, int fd, enum weir__op_holds holds)
{
    if (!is_held(fd, holds))
        return;
    weir__descriptor_leave(fd);
    if (WEIR_UNLIKELY(!weir__list_empty(&loop->io->closers)))
        weir__close_notify(loop->io, fd);
}

static void let_go(struct weir__loop *loop, struct weir__op *op)
{
    weir__list_unlink(&op->link);
    leave(loop, op->fd, op->row->holds);
    leave(loop, op->other_fd, op->row->holds_other);
}

/* The kernel's word on an op that was asked to end. */
static int64_t kernel_result(struct weir__op *op)
{
    bool refused = op->result == -EAGAIN && op->row->refused;
    bool ended_early = op->result == -ECANCELED || op->result == -EINTR || refused;

    if (!ended_early || !op->reason)
        return op->result;
    return op->row->settle ? op->row->settle(op) : op->reason;
}

static void standing_ended(struct weir__op *op)
{
    struct weir__loop *loop = weir__loop_current;

    op->result = kernel_result(op);
    if (op->result < 0 && (op->reason || !op->cancel_sent)) /* else its handle has stopped it */
        count_failure(loop, op, op->result);
    let_go(loop, op);
    op->ended(op);
}

/* The last of the op's completions, or the last but one, has come. */
static void completion_came(struct weir__op *op)
{
    WEIR_DEBUG_ASSERT(op->awaited > 0);
    if (--op->awaited > 0)
        return;
    if (op->wait)
        weir__wait_fire_here(op->wait, 0);
    else
        standing_ended(op);
}

/* A zero-copy send has two: its result, with more to come, and the notice that the buffer is free
 * again. */
static void op_completed(struct weir__completion *completion, int result, uint32_t flags)
{
    struct weir__op *op = WEIR_CONTAINER_OF(completion, struct weir__op, completion);

    if (WEIR_LIKELY(!(flags & IORING_CQE_F_NOTIF)))
        op->result = result;
    else
        op->notice = result;
    if (WEIR_LIKELY(!(flags & IORING_CQE_F_MORE)))
        completion_came(op);
}

/* What the cancel itself answers is advice: the op's own completion follows, or has come. */
static void cancel_completed(struct weir__completion *completion, int result, uint32_t flags)
{
    (void)result;
    (void)flags;
    completion_came(WEIR_CONTAINER_OF(completion, struct weir__op, cancel_completion));
}

static void event_came(struct weir__completion *completion, int result, uint32_t flags)
{
    struct weir__op *op = WEIR_CONTAINER_OF(completion, struct weir__op, completion);

    op->event(op, result, flags);
    if (flags & IORING_CQE_F_MORE)
        return;
    op->result = result;
    completion_came(op);
}

/* An op in the kernel cannot be left; it can only be asked to end. */
static void ask_kernel(struct weir__op *op, int reason)
{
    struct io_uring_sqe *sqe;

    if (!op->reason)
        op->reason = reason;
    if (op->cancel_sent || op->awaited == 0)
        return;
    op->cancel_sent = true;
    op->awaited++;
    sqe = weir__ring_sqe(&weir__loop_current->ring);
    io_uring_prep_cancel(sqe, &op->completion, 0);
    op->cancel_completion.complete = cancel_completed;
    weir__ring_complete_to(sqe, &op->cancel_completion);
}

static void interrupt_wait(struct weir__wait *wait, int reason)
{
    ask_kernel(wait->subject, reason);
}

void weir__op_interrupt(struct weir__op *op, int reason)
{
    if (!op->wait) {
        ask_kernel(op, reason);
        return;
    }
    if (!op->reason)
        op->reason = reason;
    if (weir__wait_is_open(op->wait)) /* else its task is ready to run, and will see the reason */
        weir__wait_interrupt(op->wait, reason);
}

static void describe_op(const void *object, char *text, size_t bytes)
{
    const struct weir__op *op = object;

    snprintf(text, bytes, "%s of descriptor %d", op->row->name, op->fd);
}

const struct weir__reason weir__op_awaits_device = { "file operation", WEIR_PHASE_DEVICE,
                                                     describe_op };
const struct weir__reason weir__op_awaits_peer = { "operation", WEIR_PHASE_PEER, describe_op };

/* What waits for a peer has a try, or a deadline that has passed, try all the same. */
static int refusal_of(struct weir__loop *loop, const struct weir__op *op)
{
    int refusal;

    if (op->row->holds == WEIR__HOLDS_FILE)
        return 0;
    refusal = weir__wait_refusal(op->deadline_ns);
    if (refusal == -ETIME)
        weir__expiry_came_before(loop->current, op->deadline_ns);
    return refusal;
}

/* The op was asked to end. */
static __attribute__((noinline)) int64_t interrupted_result(struct weir__loop *loop,
                                                            struct weir__op *op)
{
    int64_t result = kernel_result(op);

    if (result == -ETIME && op->reason == -ETIME)
        weir__expiry_note(loop, loop->current->late_phase);
    return result;
}

/* Begins the op, and its wait. */
static inline __attribute__((always_inline)) void begin(struct weir__loop *loop,
                                                        struct weir__op *op)
{
    struct weir__wait *wait = op->wait;
    struct io_uring_sqe *sqe = weir__ring_sqe(&loop->ring);

    op->row->prep(op, sqe);
    op->completion.complete = op_completed;
    op->completion.touched = wait;
    weir__ring_complete_to(sqe, &op->completion);
    op->awaited = 1;
    weir__wait_begin(wait, &weir__op_awaits_peer, op);
    if (WEIR_UNLIKELY(op->row->holds == WEIR__HOLDS_FILE))
        wait->reason = &weir__op_awaits_device;
    wait->interrupt = interrupt_wait;
    wait->subject = op;
}

static unsigned park_flags(const struct weir__op *op)
{
    return op->row->is_release ? WEIR__PARK_RELEASE : WEIR__PARK_CANCELLABLE;
}

/* With a deadline. */
static __attribute__((noinline)) void await_until(struct weir__loop *loop, struct weir__op *op)
{
    int64_t deadline_ns = op->deadline_ns;
    int refusal = refusal_of(loop, op);

    begin(loop, op);
    if (refusal < 0) { /* a try: the op and its cancel go to the kernel together, in this order */
        ask_kernel(op, refusal);
        deadline_ns = WEIR_FOREVER;
    }
    weir__wait_park(op->wait, deadline_ns, park_flags(op));
}

static int64_t submit(struct weir__loop *loop, struct weir__op *op)
{
    if (WEIR_LIKELY(op->deadline_ns == WEIR_FOREVER)) {
        begin(loop, op);
        weir__wait_park(op->wait, WEIR_FOREVER, park_flags(op));
    } else {
        await_until(loop, op);
    }
    return WEIR_LIKELY(!op->reason) ? op->result : interrupted_result(loop, op);
}

/* Of a class with a submission queue. */
static __attribute__((noinline)) int64_t run_bounded(struct weir__loop *loop, struct weir__op *op)
{
    struct weir__credits *credits = &loop->io->credits[op->row->class];
    enum weir_priority class = loop->current->inherited.priority;
    int64_t result;
    int error;

    error = weir__wait_refuse(op->deadline_ns);
    if (error >= 0)
        error = weir__credits_take_as(credits, class, op->deadline_ns);
    if (error < 0)
        return error;
    if (op->reason) { /* closed while it waited for its credit */
        result = op->reason;
    } else {
        count_route(loop, op, WEIR__ROUTE_RING);
        result = submit(loop, op);
    }
    weir__credits_give_as(credits, class);
    return result;
}

static int64_t run_on_ring(struct weir__loop *loop, struct weir__op *op)
{
    if (op->row->class != WEIR__CLASS_UNBOUNDED)
        return run_bounded(loop, op);
    count_route(loop, op, WEIR__ROUTE_RING);
    return submit(loop, op);
}

/* On a pool thread. */
static int call_op(void *arg)
{
    struct weir__op *op = arg;

    op->result = op->row->call(op);
    return 0;
}

static int64_t run_on_pool(struct weir__loop *loop, struct weir__op *op)
{
    struct weir_pool *pool = loop->runtime->pool;
    int error;

    loop->io->pooled_count++;
    if (op->row->is_release)
        error = weir__pool_call_release(pool, call_op, op);
    else
        error = weir__pool_call(pool, call_op, op, op->deadline_ns);
    loop->io->pooled_count--;
    if (error < 0)
        return error;
    count_route(loop, op, WEIR__ROUTE_POOL);
    return op->result;
}

static int64_t run_inline(struct weir__loop *loop, struct weir__op *op)
{
    int64_t result = op->row->call(op);

    count_route(loop, op, WEIR__ROUTE_INLINE);
    weir__sched_pay(loop);
    return result;
}

/* What the attempt has got counts, whatever becomes of the rest. */
static int64_t with_attempt(const struct weir__op *op, int64_t result)
{
    if (op->done_bytes == 0)
        return result;
    return (int64_t)op->done_bytes + (result > 0 ? result : 0);
}

/* A try that needs neither ring nor pool; -EAGAIN: go on. In place: a cached read is little more
 * than this. */
static inline __attribute__((always_inline)) int64_t
try_inline(struct weir__loop *loop, struct weir__op *op, int64_t (*try)(struct weir__op *op))
{
    int64_t result = try(op);

    if (result == -EAGAIN)
        return result;
    count_route(loop, op, WEIR__ROUTE_INLINE);
    weir__sched_pay(loop);
    return with_attempt(op, result);
}

static int64_t dispatch(struct weir__loop *loop, struct weir__op *op)
{
    const struct weir__op_row *row = op->row;
    int64_t result;

    if (row->attempt) {
        result = try_inline(loop, op, row->attempt);

        if (result != -EAGAIN)
            return result;
    }
    if (WEIR_UNLIKELY(op->reason)) /* closed between the steps of the attempt */
        return with_attempt(op, op->reason);
    switch (row->choose ? row->choose(op) : row->route) {
    case WEIR__ROUTE_INLINE:
        return with_attempt(op, run_inline(loop, op));
    case WEIR__ROUTE_RING:
        result = run_on_ring(loop, op);
        if (row->refused && row->refused(op))
            result = run_on_pool(loop, op);
        return with_attempt(op, result);
    default:
        return with_attempt(op, run_on_pool(loop, op));
    }
}

static int learn_kind(void *arg)
{
    struct weir__op *op = arg;

    return weir__descriptor_learn(op->fd, op->wait->loop->ring.features);
}

/* Takes part in a descriptor's life, or says why not. */
static int enter(struct weir__loop *loop, int fd, enum weir__op_holds holds)
{
    int pollable = holds == WEIR__HOLDS_POLLABLE;

    if (!is_held(fd, holds))
        return 0;
    if (holds == WEIR__HOLDS_EITHER)
        pollable = weir__descriptor_is_stream(fd);
    return pollable < 0 ? pollable : weir__descriptor_enter(fd, loop->io->home, pollable);
}

static int hold(struct weir__loop *loop, struct weir__op *op)
{
    const struct weir__op_row *row = op->row;
    int error = enter(loop, op->fd, row->holds);

    if (error < 0)
        return error;
    error = enter(loop, op->other_fd, row->holds_other);
    if (error < 0) {
        leave(loop, op->fd, row->holds);
        return error;
    }
    weir__list_append(row->holds_other ? weir__io_ops_of_two(loop->io)
                                       : weir__io_ops(loop->io, op->fd),
                      &op->link);
    if (row->holds == WEIR__HOLDS_FILE && !row->is_release &&
        WEIR_UNLIKELY(weir__descriptor_kind(op->fd) == WEIR__FD_UNKNOWN))
        error = weir__pool_call(loop->runtime->pool, learn_kind, op, op->deadline_ns);
    return error;
}

/* The op of a task on its loop, with its row's holds respected. */
static int64_t run(struct weir__loop *loop, struct weir__op *op)
{
    int64_t result;

    if (op->row->quick) {
        result = try_inline(loop, op, op->row->quick);
        if (result != -EAGAIN)
            return result;
    }
    weir__list_init(&op->link);
    if (op->row->holds == WEIR__HOLDS_NOTHING)
        return dispatch(loop, op);
    result = hold(loop, op);
    if (result >= 0)
        result = dispatch(loop, op);
    if (!weir__list_empty(&op->link))
        let_go(loop, op);
    return result;
}

int64_t weir__op_run(enum weir__op_id id, struct weir__op *op, int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;
    int64_t result;

    if (WEIR_UNLIKELY(!loop))
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    op->row = &weir__op_rows[id];
    op->deadline_ns = deadline_ns;
    op->wait = &loop->current->wait;
    if (WEIR_UNLIKELY(weir__task_is_interrupted(loop->current)) && !op->row->is_release)
        result = -ECANCELED;
    else
        result = run(loop, op);
    if (WEIR_UNLIKELY(result < 0))
        count_failure(loop, op, result);
    return result;
}

int weir__op_start(enum weir__op_id id, struct weir__op *op)
{
    struct weir__loop *loop = weir__loop_current;
    struct io_uring_sqe *sqe;
    int error;

    op->row = &weir__op_rows[id];
    op->wait = NULL;
    op->reason = 0;
    op->cancel_sent = false;
    WEIR_DEBUG_ASSERT(op->row->class == WEIR__CLASS_UNBOUNDED);
    WEIR_DEBUG_ASSERT(op->row->holds >= WEIR__HOLDS_POLLABLE);
    weir__list_init(&op->link);
    error = weir__task_is_interrupted(loop->current) ? -ECANCELED : hold(loop, op);
    if (WEIR_UNLIKELY(error < 0)) {
        count_failure(loop, op, error);
        return error;
    }
    count_route(loop, op, WEIR__ROUTE_RING);
    sqe = weir__ring_sqe(&loop->ring);
    op->row->prep(op, sqe);
    op->completion.complete = event_came;
    op->completion.touched = op->handle;
    weir__ring_complete_to(sqe, &op->completion);
    op->awaited = 1;
    return 0;
}
