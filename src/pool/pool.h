/* SPDX-License-Identifier: MIT */
/* The pool of threads for what can only block; the public verbs are in <weir/pool.h>. */
#ifndef WEIR_POOL_POOL_H
#define WEIR_POOL_POOL_H

#include <weir/pool.h>
#include <weir/runtime.h>

struct weir__job;
struct weir__runtime;

/* Before the first pool of a runtime, and after the last. */
void weir__pools_init(struct weir__runtime *runtime);
void weir__pools_term(struct weir__runtime *runtime);

/* Makes the pool of a runtime, from filled-in options, with its first thread; more start as jobs
 * come. Returns 0, -ENOMEM, or -EAGAIN when no thread can be had. */
int weir__pool_create(struct weir__runtime *runtime);

/* The same for the pool of weir_cpu_run, whose first thread starts with the first call. */
int weir__pool_create_cpu(struct weir__runtime *runtime);

/* The same for the threads of weir_resolve. */
int weir__pool_create_resolver(struct weir_pool **pool, struct weir__runtime *runtime);

/* No task has a job in it any more. Joins every thread but those that run an abandoned job;
 * on_end(context), if not NULL, is called when no thread is left, perhaps much later, by the last
 * of them. */
void weir__pool_leave(struct weir_pool *pool, void (*on_end)(void *context), void *context);

/* The runtime ends: leaves the pools that users have not destroyed. */
void weir__pools_leave_owned(struct weir__runtime *runtime);

/* As weir_pool_run, on a given pool, from a task. */
int weir__pool_call(struct weir_pool *pool, weir_pool_fn *fn, void *arg, int64_t deadline_ns);

/*
 * The same for a release call, which must be done whatever happens: a cancel does not interrupt it,
 * a full queue does not refuse it, and it waits for its turn as long as it takes. Returns what fn
 * returned.
 */
int weir__pool_call_release(struct weir_pool *pool, weir_pool_fn *fn, void *arg);

/*
 * A job that nobody waits for, in three steps: a place in the queue (0, or as weir__pool_call),
 * which may be given up; the job, with fn, arg and done set, for which the place is used up; and,
 * if it is no longer wanted, taking it back, which fails (false) once a thread has it.
 */
int weir__pool_admit(struct weir_pool *pool, int64_t deadline_ns);
void weir__pool_give_up(struct weir_pool *pool);
void weir__pool_post(struct weir_pool *pool, struct weir__job *job);
bool weir__pool_withdraw(struct weir__job *job);

/* Any thread: whether jobs wait for which there can be no thread, by a look. */
bool weir__pool_is_crowded(const struct weir_pool *pool);

/* Why the caller, who is no task, has no pool. */
int weir__pool_missing(void);

void weir__pool_read_stats(struct weir_pool *pool, struct weir_pool_stats *stats);

#endif
