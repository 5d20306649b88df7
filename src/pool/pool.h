/* SPDX-License-Identifier: MIT */
/* The pool of threads for what can only block; the public verbs are in <weir/pool.h>. */
#ifndef WEIR_POOL_POOL_H
#define WEIR_POOL_POOL_H

#include <weir/pool.h>
#include <weir/runtime.h>

struct weir__job;
struct weir_pool;

/* Makes the pool of a runtime, from filled-in options, with its first thread; more start as jobs
 * come. Returns 0, -ENOMEM, or -EAGAIN when no thread can be had. */
int weir__pool_create(struct weir_pool **pool, const struct weir_options *options);

/* The same for the pool of weir_cpu_run, whose first thread starts with the first call. */
int weir__pool_create_cpu(struct weir_pool **pool, const struct weir_options *options);

/* The same for the threads of weir_resolve. */
int weir__pool_create_resolver(struct weir_pool **pool, const struct weir_options *options);

/* No job is queued or running any more. Joins every thread. */
void weir__pool_destroy(struct weir_pool *pool);

/* No job is queued any more. Joins every thread that runs none; on_end(context) is called when no
 * thread is left, perhaps much later, by the last of them. */
void weir__pool_leave(struct weir_pool *pool, void (*on_end)(void *context), void *context);

/* As weir_pool_run, on a given pool, from a task. */
int weir__pool_call(struct weir_pool *pool, weir_pool_fn *fn, void *arg, int64_t deadline_ns);

/*
 * The same for a release call, which must be done whatever happens: a cancel does not interrupt it,
 * a full queue does not refuse it, and it waits for its turn as long as it takes. Returns what fn
 * returned.
 */
int weir__pool_call_release(struct weir_pool *pool, weir_pool_fn *fn, void *arg);

/*
 * A job that nobody waits for, in three steps: a place in the queue (0, or as weir__pool_call); the
 * job, with fn, arg and done set, for which the place is used up; and, if it is no longer wanted,
 * taking it back, which fails (false) once a thread has it.
 */
int weir__pool_admit(struct weir_pool *pool, int64_t deadline_ns);
void weir__pool_post(struct weir_pool *pool, struct weir__job *job);
bool weir__pool_withdraw(struct weir__job *job);

/* Any thread: whether jobs wait for which there can be no thread, by a look. */
bool weir__pool_is_crowded(const struct weir_pool *pool);

void weir__pool_read_stats(struct weir_pool *pool, struct weir_pool_stats *stats);

#endif
