/* SPDX-License-Identifier: MIT */
/*
 * A runtime from its options to its end, in the steps that its two users share: weir_run, which
 * gives loop 0 a root task, and the embed, whose loop 0 is driven from outside.
 *
 *   create -> start_threads -> enter (each thread; here, or on one of its own) -> meet
 *          -> ... -> stop_loops -> leave (each thread) -> meet -> destroy
 */
#ifndef WEIR_RUNTIME_RUN_H
#define WEIR_RUNTIME_RUN_H

#include "base/thread.h"
#include "core/loop.h"
#include "fiber/overflow.h"
#include "runtime/options.h"

#include <weir/runtime.h>

#include <pthread.h>
#include <sched.h>

enum { WEIR__WHY_BYTES = 512 };

/* Where all loops wait for each other; whoever could not start is excused. */
struct weir__meeting {
    pthread_mutex_t mutex;
    pthread_cond_t complete;
    unsigned expected;
    unsigned arrived;
    unsigned round;
};

struct weir__run {
    struct weir__runtime runtime;
    struct weir__stack_limits limits;
    struct weir__loop *loops[WEIR__LOOPS_MAX];
    pthread_t threads[WEIR__LOOPS_MAX];
    unsigned thread_first; /* the first loop with a thread of its own: 0 or 1 */
    unsigned thread_end;   /* one past the last that was started */
    struct weir__meeting meeting;
    struct weir__machine machine;
    struct weir__check *check; /* of blocking calls; NULL: none */
    weir_task_fn *fn;          /* the root task's; NULL: none */
    void *arg;
    int result;       /* the root task's, or why there is none; written by loop 0 */
    atomic_int error; /* the first loop that could not start */
    pthread_mutex_t why_mutex;
    char why[WEIR__WHY_BYTES];
};

/* What loop 0 changes of a thread that is not weir's, and gives back. */
struct weir__run_guest {
    struct weir__pipe_shield shield;
    struct weir__overflow_thread overflow;
    cpu_set_t cpus;
    bool bound;
};

/* Everything but the loops. Returns 0 with the run in *run, or the error, explained. */
int weir__run_create(struct weir__run **run, const struct weir_options *options, bool own_thread);

/* All loops have left. Returns the error of the start, explained, if there was one; else what the
 * root task returned. */
int weir__run_destroy(struct weir__run *run);

/* The loops with threads of their own. A failure is noted in the run: then no loop starts. */
void weir__run_start_threads(struct weir__run *run);
void weir__run_join_threads(struct weir__run *run);

/* On loop `index`'s thread: the loop runs, and so do all others; or -errno, and there is none. */
int weir__run_enter(struct weir__run *run, unsigned index, struct weir__overflow_thread *overflow);

/* The loop's tasks have ended. Waits for all other loops to come so far. */
void weir__run_leave(struct weir__run *run, unsigned index, struct weir__overflow_thread *overflow);

/* The same on a thread that is not weir's, for loop 0. */
int weir__run_enter_guest(struct weir__run *run, struct weir__run_guest *guest);
void weir__run_leave_guest(struct weir__run *run, struct weir__run_guest *guest);

/* On loop 0: the others leave. */
void weir__run_stop_loops(struct weir__run *run);

/* Prints and keeps the sentence; returns `error`. */
int weir__run_explain(int error, const char *why);

#endif
