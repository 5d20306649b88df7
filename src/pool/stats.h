/* SPDX-License-Identifier: MIT */
/* The figures of a pool: what is counted where. */
#ifndef WEIR_POOL_STATS_H
#define WEIR_POOL_STATS_H

#include "pool/thread.h"

/* Under the mutex: a thread is through with a job. */
void weir__pool_count_run(struct weir_pool *pool, const struct weir__job *job, int64_t now_ns);

/* Under the mutex: a job of this priority was not run, and this is why. */
void weir__pool_count_refused(struct weir_pool *pool, enum weir_priority priority);
void weir__pool_count_expired(struct weir_pool *pool, enum weir_priority priority);
void weir__pool_count_cancelled(struct weir_pool *pool, enum weir_priority priority);

#endif
