/* SPDX-License-Identifier: MIT */
/* Who runs next. All of it on the home loop. */
#ifndef WEIR_CORE_SCHED_H
#define WEIR_CORE_SCHED_H

#include "core/loop.h"
#include "core/task.h"

/* The rare side of the verb below. */
void weir__sched_ready_classed(struct weir__loop *loop, struct weir_task *task);

/* Puts a task, whose wait has been claimed, behind the other ready ones of its priority. */
static inline void weir__sched_ready(struct weir__loop *loop, struct weir_task *task)
{
    task->ready_ns = loop->now_ns;
    if (WEIR_UNLIKELY(task->inherited.priority != WEIR_PRIORITY_NORMAL))
        weir__sched_ready_classed(loop, task);
    else
        weir__queue_push(&loop->ready, &task->wait.mail);
}

/* Runs others until somebody makes the caller ready. */
void weir__sched_park(struct weir__loop *loop);

/* Lets every task that is ready now run first. */
void weir__sched_yield(struct weir__loop *loop);

/* Switches away for good: the stack and the caller's reference are given back on the way. */
_Noreturn void weir__sched_exit(struct weir__loop *loop, bool keep_reference);

/* The rare side of the verb below. */
void weir__sched_pay_slowly(struct weir__loop *loop);

/* Each call that succeeded without parking pays here; when the budget is spent, others run. So a
 * task whose calls are always ready starves nobody. */
static inline void weir__sched_pay(struct weir__loop *loop)
{
    if (WEIR_UNLIKELY(--loop->budget <= 0))
        weir__sched_pay_slowly(loop);
}

/* For tests: parks until the loop has nothing else to do but wait for the outside. */
void weir__sched_settle(void);

#endif
