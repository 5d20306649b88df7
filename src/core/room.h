/* SPDX-License-Identifier: MIT */
/*
 * Waiting for memory: a task that found no room in the budget for a stack waits until bytes come
 * back, or until a task of its own loop ends, which leaves a stack that can be used again.
 */
#ifndef WEIR_CORE_ROOM_H
#define WEIR_CORE_ROOM_H

#include "base/budget.h"
#include "core/loop.h"

/* Tells all who wait for bytes of the budget to try again; weir__budget.notify. */
void weir__room_notify(struct weir__budget *budget);

/* Home loop, when tasks wait to be let in: whether one from elsewhere has waited longest, not one
 * of the loop's own spawns. */
bool weir__room_is_for_arrival(const struct weir__loop *loop);

/* Home loop: a stack is free again. */
static inline void weir__room_came(struct weir__loop *loop)
{
    if (loop->memory_waiting > 0)
        weir__room_notify(loop->runtime->memory);
}

/*
 * The calling task's: tries until it has what it wants, in the order of arrival as far as those who
 * came later do not find room by chance. `try` returns 0, or -EAGAIN for want of room. Returns what
 * it returned, or -ETIME, -ECANCELED.
 */
int weir__room_wait(struct weir__loop *loop, int (*try)(struct weir__loop *loop, void *context),
                    void *context, int64_t deadline_ns);

#endif
