/* SPDX-License-Identifier: MIT */
/* What the real code finds below it in the machine, instead of the loop, the wheel and the rest. */
#include "base/budget.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "core/callback.h"
#include "core/park.h"
#include "model/machine.h"

#include <stdlib.h>
#include <string.h>

__thread struct weir__loop *weir__loop_current;
__thread bool weir__loop_forked;
__thread struct weir__inherited weir__inherited_of_thread = { .deadline_ns = WEIR_FOREVER };
void (*weir__lock_release_hook)(void);

/* --- Decisions --- */

void weir__point_pass(enum weir__point point, const void *object)
{
    if (machine_is_shared())
        machine_stop((enum place)point, point == WEIR__POINT_LOCK ? object : NULL, 1);
}

uint32_t weir__point_choose(uint32_t bound, uint32_t drawn)
{
    (void)drawn;
    return machine_stop(AT_DRAW, NULL, bound);
}

/* Nobody comes here: a fiber goes on to take a lock only when it is free. */
void weir__lock_contend(struct weir__lock *lock)
{
    (void)lock;
    machine_fail("a lock is taken by its own thread again");
}

/* --- Loops --- */

void weir__sched_park(struct weir__loop *loop)
{
    (void)loop;
    machine_stop(AT_PARK, NULL, 0);
}

/* All of the machine's tasks are of normal priority. */
void weir__sched_ready_classed(struct weir__loop *loop, struct weir_task *task)
{
    (void)loop;
    (void)task;
    machine_fail("a task of another priority is ready");
}

/* After each call that did not park: the budget may be spent by then, or not. */
void weir__sched_yield(struct weir__loop *loop)
{
    weir__sched_ready(loop, loop->current);
    weir__sched_park(loop);
}

void weir__sched_pay_slowly(struct weir__loop *loop)
{
    weir__sched_yield(loop);
}

void weir__loop_post(struct weir__loop *loop, struct weir__mail *mail)
{
    struct loop_state *state = &machine.loops[loop - machine_loops];

    if (state->mail_count == MAIL_MAX)
        machine_fail("mail was posted twice");
    state->mail[state->mail_count++] = mail;
    if (machine_is_shared())
        machine_stop(AT_POST, NULL, 1);
}

/* Its fire is a move of the loop from now on, whatever the deadline. */
void weir__timer_arm(struct weir__wheel *wheel, struct weir__timer *timer, int64_t deadline_ns)
{
    struct weir__loop *loop = WEIR_CONTAINER_OF(wheel, struct weir__loop, wheel);

    timer->deadline_ns = deadline_ns;
    weir__list_append(&machine.loops[loop - machine_loops].timers, &timer->link);
}

void weir__timer_disarm(struct weir__wheel *wheel, struct weir__timer *timer)
{
    (void)wheel;
    weir__list_unlink(&timer->link);
}

int64_t weir__clock_now(void)
{
    return 1;
}

void weir__random_seed(struct weir__random *random)
{
    random->state = 1;
}

/* --- Memory and callbacks --- */

bool weir__budget_take(struct weir__budget *budget, size_t bytes)
{
    (void)budget;
    (void)bytes;
    return true;
}

void weir__budget_give(struct weir__budget *budget, size_t bytes)
{
    (void)budget;
    (void)bytes;
}

void weir__budget_hold(struct weir__budget *budget)
{
    (void)budget;
}

void weir__budget_leave(struct weir__budget *budget)
{
    (void)budget;
}

int weir__error_explain(int error, const char *format, ...)
{
    (void)format;
    return error;
}

void *weir__memory_alloc(struct weir__heap *heap, size_t bytes)
{
    void *block = machine.memory + machine.memory_used;

    (void)heap;
    bytes = (bytes + 15) / 16 * 16;
    if (bytes > MEMORY_BYTES - machine.memory_used)
        machine_fail("the machine has too little memory");
    machine.memory_used += bytes;
    machine.block_count++;
    return block;
}

void *weir__memory_zalloc(struct weir__heap *heap, size_t bytes)
{
    return memset(weir__memory_alloc(heap, bytes), 0, bytes);
}

void weir__memory_free(void *block)
{
    if (block)
        machine.block_count--;
}

/* The task parks until the loop's callback task has run it. */
void weir__callback_call(void (*fn)(void *arg), void *arg)
{
    struct weir__loop *loop = weir__loop_current;

    if (loop)
        weir__sched_yield(loop);
    fn(arg);
    if (loop)
        weir__sched_yield(loop);
}
