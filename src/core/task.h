/* SPDX-License-Identifier: MIT */
/*
 * A task: a fiber, its wait, its place in a scope.
 *
 *   spawn --> ready --> running <--> parked        (only its home loop moves it)
 *                          |
 *                          v
 *                        ended: joiners woken, scope told, stack recycled by whoever runs next
 *
 * References keep the struct (not the stack): one while it runs or its failure waits to be
 * reported, one for the handle, one for a cancel on its way.
 */
#ifndef WEIR_CORE_TASK_H
#define WEIR_CORE_TASK_H

#include "base/lock.h"
#include "core/loop.h"
#include "core/trace.h"
#include "core/wait.h"
#include "fiber/fiber.h"

#include <weir/task.h>

struct weir_call;

/* Something to be done when a task's function has returned, and its frame is gone: before anybody
 * hears of the end. */
struct weir__task_end {
    struct weir__list link;
    void (*run)(struct weir__task_end *end); /* the task itself; may not suspend */
};

struct weir_task {
    struct weir__wait wait; /* first: a wait with a loop is a task's */
    struct weir__fiber fiber;
    struct weir__stack *stack;
    union {
        struct {
            weir_task_fn *fn;
            void *arg;
        };
        struct { /* once it has ended `unreported`, maybe for longer than its runtime */
            void (*on_failure)(void *context, const struct weir_failure *failure);
            void *context;
        };
    };

    /* Home loop only. */
    bool cancelled;      /* for good */
    bool has_handle;     /* was spawned with one */
    bool has_ends;       /* `ends`, `scopes`, `call`, or locals are in use: most tasks need none */
    unsigned park_flags; /* enum weir__park_flags, of the wait that is open */
    unsigned shield_depth;
    struct weir__inherited inherited;
    int64_t shielded_ns;           /* under a shield: inherited.deadline_ns, put aside */
    struct weir__list neighbours;  /* in weir__loop.tasks, while it has a stack */
    int64_t since_ns;              /* when it last parked, by the loop's reading of the clock */
    int64_t ready_ns;              /* when it was last made ready, likewise */
    int64_t deadline_ns;           /* of the call it is parked in; WEIR_FOREVER: none */
    enum weir_phase late_phase;    /* what it waited for when that passed, or first waited for */
    enum weir_phase expired_phase; /* what its last -ETIME was spent on */
    int64_t born_ns;               /* when it was spawned, by the spawner's reading of the clock */
    const void *spawned_at;        /* the return address of its spawn; NULL: the runtime's own */

    /* Under `lock`. */
    struct weir__lock lock;
    bool ended;
    bool released;   /* the handle is gone */
    bool unreported; /* failed, and only the handle's holder can still hear of it */
    int result;
    struct weir__list joiners; /* weir__waiter.link */
    struct weir__list ends;    /* weir__task_end.link */
    struct weir__list scopes;  /* weir_scope.owned: that it has created, and nobody joined yet */
    struct weir_call *call;    /* that it has adopted and not yet replied to; flow's */

    struct weir_scope *scope;
    struct weir__list sibling; /* under the scope's lock */

    atomic_uint refs;
    atomic_bool cancel_posted; /* a cancel is on its way or was delivered */
    struct weir__mail cancel_mail;
    unsigned loop_index;
    size_t stack_bytes;
    char name[WEIR_NAME_BYTES];
};

static inline struct weir_task *weir__task_of(struct weir__wait *wait)
{
    return WEIR_CONTAINER_OF(wait, struct weir_task, wait);
}

static inline struct weir_task *weir__task_of_mail(struct weir__mail *mail)
{
    return weir__task_of(WEIR_CONTAINER_OF(mail, struct weir__wait, mail));
}

/* Whether the running task may not begin anything that suspends. */
static inline bool weir__task_is_interrupted(const struct weir_task *task)
{
    return WEIR_UNLIKELY(task->cancelled) && task->shield_depth == 0;
}

/* What the calling task, or thread, hands on to those it starts. */
static inline struct weir__inherited *weir__inherited_self(void)
{
    struct weir__loop *loop = weir__loop_current;

    return WEIR_LIKELY(loop != NULL) ? &loop->current->inherited : &weir__inherited_of_thread;
}

/* The task itself: `ends`, `scopes` and `call` are empty, instead of not in use. */
void weir__task_prepare_ends(struct weir_task *task);

/* The task itself, under its lock: end->run(end) will run at its end, unless unlinked before. */
void weir__task_add_end(struct weir_task *task, struct weir__task_end *end);

/* Any thread: posts a cancel; returns the loop to ring, or NULL. For those who hold a lock. */
struct weir__loop *weir__task_post_cancel(struct weir_task *task, bool *already);

/* As weir_spawn, for a caller at `spawned_at`. */
int weir__task_spawn(struct weir_scope *scope, weir_task_fn *fn, void *arg,
                     const struct weir_spawn_options *options, const void *spawned_at);

/* Spawns a task that belongs to the runtime itself: no scope, no bound. NULL without memory. */
struct weir_task *weir__task_spawn_internal(struct weir__loop *loop, const char *name,
                                            weir_task_fn *fn, void *arg);

/* Home loop: a task has ended and, if need be, been reported; whoever waits longest gets its
 * room. */
void weir__task_leave_room(struct weir__loop *loop);

/* Makes a struct for a thread's own stack, so that the loop's thread can park too. */
struct weir_task *weir__task_create_main(struct weir__loop *loop, const char *name);

/* Gives a reference back; frees at the last. Any thread. */
void weir__task_unref(struct weir_task *task);

/* Frees the loop's cache of task structs. */
void weir__task_drop_cache(struct weir__loop *loop);

#endif
