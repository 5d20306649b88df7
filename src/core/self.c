/* SPDX-License-Identifier: MIT */
/* What a task asks of itself: who and where it is, a turn for the others, a sleep. */
#include "core/park.h"
#include "core/task.h"

#include <errno.h>

struct weir_task *weir_task_self(void)
{
    return weir__loop_current ? weir__loop_current->current : NULL;
}

const char *weir_task_name(const struct weir_task *task)
{
    task = task ? task : weir_task_self();
    return task ? task->name : "no task";
}

struct weir_scope *weir_task_scope(void)
{
    return weir__loop_current ? weir__loop_current->current->scope : NULL;
}

int weir_loop_index(void)
{
    return weir__loop_current ? (int)weir__loop_current->index : -ENXIO;
}

int weir_yield(void)
{
    int error = weir__wait_check();

    if (error >= 0 && weir__loop_current)
        weir__sched_yield(weir__loop_current);
    return error;
}

static const struct weir__reason sleeps = { "sleep", WEIR_PHASE_TIMER, NULL };

int weir_sleep(int64_t deadline_ns)
{
    struct weir__wait *wait = weir__wait_self();
    int error = weir__wait_check();

    if (error < 0)
        return error;
    if (deadline_ns != WEIR_FOREVER && weir__wait_refusal(deadline_ns) < 0) {
        if (wait->loop)
            weir__sched_pay(wait->loop);
        return 0;
    }
    weir__wait_begin(wait, &sleeps, NULL);
    error = weir__wait_park(wait, deadline_ns, WEIR__PARK_CANCELLABLE);
    /* A thread that had to stop before says so. */
    return error == -ETIME && weir__wait_deadline(deadline_ns) == deadline_ns ? 0 : error;
}
