/* SPDX-License-Identifier: MIT */
/* Who runs next; see loop.h for the idea. */
#include "base/point.h"
#include "core/park.h"

#ifdef WEIR_MODEL

/* Any of those that are ready: the model check makes each the next one. */
static struct weir__mail *pop_ready(struct weir__loop *loop)
{
    struct weir__mail **place = &loop->ready.head;
    struct weir__mail *mail;
    uint32_t count = 0;

    for (mail = *place; mail; mail = mail->next)
        count++;
    if (count == 0)
        return NULL;
    for (uint32_t rank = weir__point_pick(count); rank > 0; rank--)
        place = &(*place)->next;
    mail = *place;
    *place = mail->next;
    if (!*place)
        loop->ready.tail = place;
    return mail;
}

#else

/* The one that has waited longest. */
static inline struct weir__mail *pop_ready(struct weir__loop *loop)
{
    return weir__queue_pop(&loop->ready);
}

#endif

void weir__sched_ready_classed(struct weir__loop *loop, struct weir_task *task)
{
    if (loop->classed_count++ == 0) {
        loop->classed_budget = loop->budget > 0 ? loop->budget : 0;
        loop->budget = 0;
    }
    weir__queue_push(&loop->classed[task->inherited.priority], &task->wait.mail);
}

/* The turn ends soon, so that the loop looks whether anybody else has come. */
static void cut_turn(struct weir__loop *loop)
{
    if (loop->classed_budget <= WEIR__LOOP_BACKGROUND_BUDGET)
        return;
    loop->budget_cut += loop->classed_budget - WEIR__LOOP_BACKGROUND_BUDGET;
    loop->classed_budget = WEIR__LOOP_BACKGROUND_BUDGET;
}

/* While tasks of several classes are ready: of the class whose turn it is; NULL: the budget is
 * spent. */
static __attribute__((noinline)) struct weir__mail *pop_classed(struct weir__loop *loop)
{
    unsigned waiting = loop->ready.head ? 1U << WEIR_PRIORITY_NORMAL : 0;
    struct weir__mail *mail;
    enum weir_priority class;

    if (loop->classed_budget <= 0)
        return NULL;
    for (unsigned i = 0; i < WEIR_PRIORITY_COUNT; i++)
        waiting |= loop->classed[i].head ? 1U << i : 0;
    class = weir__shares_take(&loop->shares, waiting);
    if (class == WEIR_PRIORITY_BACKGROUND)
        cut_turn(loop);
    loop->classed_budget--;
    if (class == WEIR_PRIORITY_NORMAL)
        return pop_ready(loop);
    mail = weir__queue_pop(&loop->classed[class]);
    if (--loop->classed_count == 0)
        loop->budget = loop->classed_budget;
    return mail;
}

/* Who runs after the next one may have been parked for long: its stack is fetched meanwhile (a ring
 * of 128 tasks takes 28 ns a hop instead of 30, waking 200 000 of them 590 each instead of 720). */
static inline void prefetch_next(const struct weir__loop *loop)
{
    if (loop->ready.head)
        __builtin_prefetch(weir__task_of_mail(loop->ready.head)->fiber.sp);
}

/* What pick does once a task is found. */
static inline struct weir_task *found(struct weir__loop *loop, struct weir__mail *mail)
{
    weir__delay_popped(&loop->delay, mail);
    prefetch_next(loop);
    return weir__task_of_mail(mail);
}

/* The next ready task, turning the loop as often as it takes. In place at both of its callers: as a
 * call it is 18 instructions of a task's end. */
static inline __attribute__((always_inline)) struct weir_task *pick(struct weir__loop *loop)
{
    struct weir__mail *mail;

    for (;;) {
        if (WEIR_LIKELY(loop->budget > 0)) {
            mail = pop_ready(loop);
            if (mail) {
                loop->budget--;
                return found(loop, mail);
            }
        } else if (loop->classed_count) {
            mail = pop_classed(loop);
            if (mail)
                return found(loop, mail);
        }
        weir__loop_turn(loop);
    }
}

static inline void switch_to(struct weir__loop *loop, struct weir_task *from, struct weir_task *to)
{
    loop->current = to;
    weir__fiber_switch(&from->fiber, &to->fiber);
}

void weir__sched_park(struct weir__loop *loop)
{
    struct weir_task *self = loop->current;
    struct weir_task *next;

    self->since_ns = loop->now_ns;
    next = pick(loop);
    if (next != self)
        switch_to(loop, self, next);
}

void weir__sched_yield(struct weir__loop *loop)
{
    /* An open wait's wake would need the node that goes to the ready queue here. */
    WEIR_DEBUG_ASSERT(!weir__wait_is_open(&loop->current->wait));
    weir__sched_ready(loop, loop->current);
    weir__sched_park(loop);
}

void weir__sched_pay_slowly(struct weir__loop *loop)
{
    if (loop->classed_count) {
        loop->budget = 0;
        if (--loop->classed_budget > 0)
            return;
    }
    weir__sched_yield(loop);
}

void weir__sched_exit(struct weir__loop *loop, bool keep_reference)
{
    struct weir_task *self = loop->current;
    struct weir__fiber fiber;
    struct weir_task *next;

    weir__list_remove(&self->neighbours); /* its scope may be gone: nobody is to look at it */
    next = pick(loop);
    fiber = self->fiber;
    /* From here to the switch nothing else runs on this loop, so nobody takes the stack yet. */
    weir__stack_release(&loop->stacks, self->stack);
    self->stack = NULL;
    if (!keep_reference)
        weir__task_unref(self);
    loop->current = next;
    weir__fiber_exit(&fiber, &next->fiber);
    WEIR_DIE("a task ran on after its end");
}

static const struct weir__reason awaits_rest = { "loop at rest", WEIR_PHASE_TASK, NULL };

void weir__sched_settle(void)
{
    struct weir__loop *loop = weir__loop_current;
    struct weir__wait *wait = weir__wait_self();
    struct weir__waiter waiter = { .wait = wait };

    weir__wait_begin(wait, &awaits_rest, NULL);
    weir__list_append(&loop->settling, &waiter.link);
    weir__wait_park(wait, INT64_MAX, WEIR__PARK_RELEASE);
}
