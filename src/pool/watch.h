/* SPDX-License-Identifier: MIT */
/*
 * A loop that has tasks in pools looks after their jobs: one that is queued behind threads that
 * are all stuck would wait for them, since whether to call another is asked only when something
 * happens in its pool.
 *
 * One timer a loop, armed while one of its jobs is in a queue with nobody coming for it. While a
 * thread is on its way it is the thread that, once there, asks a loop to look at what it leaves: so
 * a loop that hands over short jobs and sleeps until they are done does not set the kernel's timer
 * each time, which costs more than the jobs. All on the loop, but for that.
 */
#ifndef WEIR_POOL_WATCH_H
#define WEIR_POOL_WATCH_H

#include <stdint.h>

struct weir_pool;
struct weir__loop;

/* A task of the loop is about to wait for a job. */
void weir__pool_watch_enter(struct weir__loop *loop);

/* Its job, or one before it, is left in the queue: the loop will look at this time. */
void weir__pool_watch_at(struct weir__loop *loop, int64_t look_ns);

/* It has waited. */
void weir__pool_watch_leave(struct weir__loop *loop);

/* A thread of the pool, under its mutex: the loop of a job that waits is to look now. Returns it if
 * it must be rung, outside of the mutex; else NULL. */
struct weir__loop *weir__pool_watch_ask(struct weir_pool *pool);

#endif
