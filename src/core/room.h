/* SPDX-License-Identifier: MIT */
/*
 * What a spawn may wait for, in this order and for one time in all: a place in its scope (place.c),
 * a place among the loop's tasks (task.c), memory.
 *
 * Waiting for memory: a task that found no room in the budget for a stack waits until bytes come
 * back, or until a task of its own loop ends, which leaves a stack that can be used again.
 */
#ifndef WEIR_CORE_ROOM_H
#define WEIR_CORE_ROOM_H

#include "base/budget.h"
#include "base/clock.h"
#include "core/task.h"

/* Of one spawn that waits if it must; NULL stands for one that does not. */
struct weir__patience {
    const struct weir_spawn_options *options;
    int64_t deadline_ns; /* 0: it has not waited yet */
    bool has_waited;     /* for the loop: for a place, or memory */
    uint64_t waited_ns;  /* and how long */
};

/* Until when a wait that begins now may last. */
static inline int64_t weir__patience_until(struct weir__patience *patience, int64_t now_ns)
{
    if (!patience->deadline_ns)
        patience->deadline_ns = weir__clock_add(now_ns, patience->options->wait_ns);
    return patience->deadline_ns;
}

/* The class of the task to be. */
static inline enum weir_priority weir__room_class(const struct weir_spawn_options *options)
{
    return options && options->sets_priority ? options->priority : weir__inherited_self()->priority;
}

/* Tells all who wait for bytes of the budget to try again; weir__budget.notify. */
void weir__room_notify(struct weir__budget *budget);

/* Home loop: the classes of which tasks wait to be let in, a bit each. */
unsigned weir__room_find_waiting(const struct weir__loop *loop);

/* Of one of these: whether one from elsewhere has waited longest, not one of the loop's own. */
bool weir__room_is_for_arrival(const struct weir__loop *loop, enum weir_priority class);

/* Home loop: a stack is free again. */
static inline void weir__room_came(struct weir__loop *loop)
{
    if (WEIR_UNLIKELY(loop->memory_waiting > 0))
        weir__room_notify(loop->runtime->memory);
}

/* The calling task's: a place among the tasks of its loop, of which there are as many as may be.
 * Waits in the order of arrival inside its class. Returns 0, -EAGAIN it does not wait, -ETIME,
 * -ECANCELED. */
int weir__room_wait_for_place(struct weir__loop *loop, struct weir__patience *patience);

/*
 * The calling task's: tries until it has what it wants, in the order of arrival as far as those who
 * came later do not find room by chance. `try` returns 0, or -EAGAIN for want of room. Returns what
 * it returned, or -ETIME, -ECANCELED.
 */
int weir__room_wait_for_memory(struct weir__loop *loop,
                               int (*try)(struct weir__loop *loop, void *context), void *context,
                               struct weir__patience *patience);

#endif
