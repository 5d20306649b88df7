/* SPDX-License-Identifier: MIT */
/*
 * What of the cancel and the deadline above it reaches the calling task. Under a shield neither
 * does: the deadline is put aside, and with it that of whatever is spawned and called meanwhile.
 */
#include "base/assert.h"
#include "core/scope.h"
#include "core/task.h"

bool weir_cancelled(void)
{
    return weir__loop_current && weir__loop_current->current->cancelled;
}

int64_t weir_deadline_ns(void)
{
    return weir__inherited_self()->deadline_ns;
}

void weir_shield_enter(void)
{
    struct weir_task *task = weir__loop_current ? weir__loop_current->current : NULL;

    if (!task || task->shield_depth++ > 0)
        return;
    task->shielded_ns = task->inherited.deadline_ns;
    task->inherited.deadline_ns = WEIR_FOREVER;
}

void weir_shield_leave(void)
{
    struct weir_task *task = weir__loop_current ? weir__loop_current->current : NULL;

    if (!task)
        return;
    WEIR_ASSERT(task->shield_depth > 0);
    if (--task->shield_depth > 0)
        return;
    task->inherited.deadline_ns = task->shielded_ns;
    if (task->cancelled && task->has_ends)
        weir__scope_cancel_owned(task);
}
