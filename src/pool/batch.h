/* SPDX-License-Identifier: MIT */
/*
 * What tasks of a loop hand to pools in one turn goes there together, as what they submit to the
 * ring does: one lock and one question about threads for sixteen, instead of one each.
 *
 *   gathered (the loop's own list) ----> QUEUED (job.h)     with the sixteenth, at the end of the
 *       |                                                   turn, or at once when nobody is at work
 *       `--> taken back: its pool never sees it             in the pool: then a thread has to come
 *
 * All on the loop, but for what the pool's mutex guards.
 */
#ifndef WEIR_POOL_BATCH_H
#define WEIR_POOL_BATCH_H

struct weir__job;
struct weir__loop;

/* An admitted job, with its pool, is put to the others. */
void weir__pool_batch_add(struct weir__loop *loop, struct weir__job *job);

/* Takes a job back that is gathered still. */
void weir__pool_batch_remove(struct weir__loop *loop, struct weir__job *job);

/* All go into their pools' queues now. */
void weir__pool_batch_send(struct weir__loop *loop);

#endif
