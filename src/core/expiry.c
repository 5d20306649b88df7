/* SPDX-License-Identifier: MIT */
/* Deadlines that passed, attributed and counted; see expiry.h. */
#include "core/expiry.h"

#include "core/loop.h"
#include "core/task.h"

void weir__expiry_note(struct weir__loop *loop, enum weir_phase phase)
{
    static const enum weir_counter counters[WEIR_PHASE_COUNT] = {
        [WEIR_PHASE_NONE] = WEIR_EXPIRED_BEFORE,
        [WEIR_PHASE_TASK] = WEIR_EXPIRED_TASK,
        [WEIR_PHASE_TIMER] = WEIR_EXPIRED_TIMER,
        [WEIR_PHASE_READY_QUEUE] = WEIR_EXPIRED_READY_QUEUE,
        [WEIR_PHASE_SPAWN_QUEUE] = WEIR_EXPIRED_SPAWN_QUEUE,
        [WEIR_PHASE_SUBMISSION_QUEUE] = WEIR_EXPIRED_SUBMISSION_QUEUE,
        [WEIR_PHASE_POOL_QUEUE] = WEIR_EXPIRED_POOL_QUEUE,
        [WEIR_PHASE_POOL] = WEIR_EXPIRED_POOL,
        [WEIR_PHASE_DEVICE] = WEIR_EXPIRED_DEVICE,
        [WEIR_PHASE_PEER] = WEIR_EXPIRED_PEER,
    };

    loop->current->expired_phase = phase;
    weir__counter_add(&loop->counters, counters[phase], 1);
}

void weir__expiry_came_before(struct weir_task *task, int64_t deadline_ns)
{
    if (deadline_ns >= task->ready_ns)
        task->late_phase = WEIR_PHASE_READY_QUEUE;
    else if (deadline_ns >= task->since_ns)
        task->late_phase = task->wait.reason->phase;
    else
        task->late_phase = WEIR_PHASE_NONE;
}

void weir__expiry_note_refused(int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;

    if (!loop)
        return;
    weir__expiry_came_before(loop->current, deadline_ns);
    weir__expiry_note(loop, loop->current->late_phase);
}

void weir__expiry_came(struct weir_task *task, int64_t deadline_ns)
{
    int64_t looked_ns = task->wait.loop->looked_ns;
    int64_t wait_ns = deadline_ns - task->since_ns;
    int64_t busy_ns = looked_ns < deadline_ns ? deadline_ns - looked_ns : 0;

    task->late_phase = busy_ns > wait_ns / 2 ? WEIR_PHASE_READY_QUEUE : task->wait.reason->phase;
}

enum weir_phase weir_expired_phase(void)
{
    return weir__loop_current ? weir__loop_current->current->expired_phase : WEIR_PHASE_NONE;
}

const char *weir_phase_name(enum weir_phase phase)
{
    static const char *const names[WEIR_PHASE_COUNT] = {
        [WEIR_PHASE_NONE] = "none",
        [WEIR_PHASE_TASK] = "task",
        [WEIR_PHASE_TIMER] = "timer",
        [WEIR_PHASE_READY_QUEUE] = "ready queue",
        [WEIR_PHASE_SPAWN_QUEUE] = "spawn queue",
        [WEIR_PHASE_SUBMISSION_QUEUE] = "submission queue",
        [WEIR_PHASE_POOL_QUEUE] = "pool queue",
        [WEIR_PHASE_POOL] = "pool",
        [WEIR_PHASE_DEVICE] = "device",
        [WEIR_PHASE_PEER] = "peer",
    };

    return phase < WEIR_PHASE_COUNT ? names[phase] : NULL;
}
