/* SPDX-License-Identifier: MIT */
/*
 * A task is a function with a stack of its own, pinned to a home loop. It parks where a thread
 * would block, so ten thousand of them wait in ten thousand calls on one thread. It must not hold
 * the thread: no blocking system call, no long computation without weir_yield; blocking work goes
 * to weir_pool_run.
 *
 * A task returns `>= 0` for success or a negative error; the scope it was spawned into hears of it.
 * The handle, if one was asked for, tells value, error and cancel apart. longjmp, pthread_exit and
 * C++ exceptions may not leave a task's function.
 *
 * Example:
 *     struct weir_task *task;
 *     struct weir_spawn_options options = { .name = "resolve", .task = &task };
 *     int result, error = weir_spawn(scope, resolve, &config, &options);
 *     if (error >= 0)
 *         error = weir_join(task, &result, weir_in_ms(500));
 */
#ifndef WEIR_TASK_H
#define WEIR_TASK_H

#include <weir/base.h>

struct weir_scope;
struct weir_task;

typedef int weir_task_fn(void *arg);

/* Where a task lives. */
enum weir_place {
    WEIR_PLACE_HERE,     /* the caller's loop; from a plain thread: anywhere */
    WEIR_PLACE_ANYWHERE, /* the loop with the fewest tasks */
    WEIR_PLACE_LOOP,     /* weir_spawn_options.loop_index */
};

#define WEIR_NAME_BYTES 32 /* a name with its final zero */

/* Zeroed means default. */
struct weir_spawn_options {
    size_t size;      /* sizeof(struct weir_spawn_options); 0 means the first version's */
    const char *name; /* copied, under WEIR_NAME_BYTES; NULL: "task" */
    size_t stack_bytes;
    enum weir_place place;
    unsigned loop_index;
    int64_t wait_ns; /* at a bound on tasks, the loop's, the scope's or that on memory: park so long
                        for room; 0: -EAGAIN at once */
    struct weir_task **task; /* receives a handle, which weir_join or weir_task_release ends */
    bool sets_priority;      /* `priority` is the task's; false: its spawner's */
    enum weir_priority priority;
    uint64_t reserved[3]; /* must be zero */
};

WEIR_BEGIN

/*
 * Starts fn(arg) as a task of `scope`, which will not end before it.
 * Returns 0.
 * Errors: -EINVAL no scope, no function, bad options; -E2BIG name too long; -EAGAIN the bound on
 * tasks, stacks, memory or remote spawns is reached (raise weir_options.tasks_per_loop,
 * stack_total_bytes or memory_limit_bytes, or set wait_ns), or
 * the scope's own limit;
 * -ETIME it stayed so for wait_ns; -ECANCELED the caller or the scope is cancelled; -EPIPE the
 * scope is being joined by a task outside of it; -ENXIO a plain thread gave a scope that no task
 * made; -ENOMEM.
 * A task for another loop that finds no stack there ends without having run, with -EAGAIN as its
 * result.
 * Owns: nothing of arg. Suspends: only with wait_ns.
 */
WEIR_API WEIR_MUST_CHECK int weir_spawn(struct weir_scope *scope, weir_task_fn *fn, void *arg,
                                        const struct weir_spawn_options *options) WEIR_ANY_THREAD;

/*
 * Waits until the task has ended, stores what it returned in *result (may be NULL), and ends the
 * handle. A cancelled task's result is whatever it returned, usually -ECANCELED.
 * Returns 0.
 * Errors, all of which leave the handle valid: -EINVAL no task; -EDEADLK a task joins itself;
 * -EAGAIN, -ETIME not yet ended; -ECANCELED the caller was cancelled.
 */
WEIR_API WEIR_MUST_CHECK int weir_join(struct weir_task *task, int *result,
                                       int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Ends a handle without waiting; the task goes on, and a failure of it is reported. NULL is
 * fine. */
WEIR_API void weir_task_release(struct weir_task *task) WEIR_ANY_THREAD;

/*
 * Asks the task to end: the call it is parked in, and every later one that could park, fails with
 * -ECANCELED, except release calls. The scopes that it has created are cancelled with it
 * (weir/scope.h). Returns 0, or WEIR_ALREADY.
 */
WEIR_API int weir_task_cancel(struct weir_task *task) WEIR_ANY_THREAD;

/* The calling task, borrowed; NULL on a plain thread. */
WEIR_API struct weir_task *weir_task_self(void) WEIR_ANY_THREAD;

/* The task's name; valid as long as the handle. NULL names the calling task. */
WEIR_API const char *weir_task_name(const struct weir_task *task) WEIR_ANY_THREAD;

/* The scope the calling task was spawned into, for siblings; NULL on a plain thread. */
WEIR_API struct weir_scope *weir_task_scope(void) WEIR_ANY_THREAD;

/* The index of the calling task's loop, or -ENXIO on a plain thread. */
WEIR_API int weir_loop_index(void) WEIR_ANY_THREAD;

/*
 * How urgent what the calling task (or thread) does from here on is: its place among the ready, its
 * disk operations, pool jobs, and the tasks it spawns. For a request, or for ever.
 * Returns 0. Errors: -EINVAL no such priority.
 */
WEIR_API int weir_set_priority(enum weir_priority priority) WEIR_ANY_THREAD;
WEIR_API enum weir_priority weir_priority(void) WEIR_ANY_THREAD;

/* Lets the other ready tasks of the loop run; those of other priorities by their shares. Returns 0,
 * or -ECANCELED. */
WEIR_API int weir_yield(void) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Parks until the deadline, never less. Returns 0; -ECANCELED; in a job -ETIME, when the deadline
 * above it (weir_deadline_ns) came first. */
WEIR_API int weir_sleep(int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Whether the calling task has been cancelled; true under a shield too. */
WEIR_API bool weir_cancelled(void) WEIR_ANY_THREAD;

/*
 * The earliest deadline above the calling task (or job): of its scope, of those around it, of the
 * call that it works for, if only as a child of the handler. WEIR_FOREVER: none, or a shield.
 * Scopes and calls keep it by themselves: it is for work that asks whether it pays to begin.
 */
WEIR_API int64_t weir_deadline_ns(void) WEIR_ANY_THREAD;

/*
 * Between enter and leave neither cancel nor deadline from above reaches the calling task, so that
 * clean-up can talk to channels and sockets, call, spawn and join. The deadlines of its own calls
 * hold as ever. Nests; what came meanwhile takes effect after the last leave, and reaches the
 * task's scopes then. A task may not end under its shield.
 */
WEIR_API void weir_shield_enter(void);
WEIR_API void weir_shield_leave(void);

WEIR_END

#endif
