/* SPDX-License-Identifier: MIT */
/* The io room's part in a loop: what is in flight, the submission queues, the figures. */
#ifndef WEIR_IO_IO_H
#define WEIR_IO_IO_H

#include "base/list.h"
#include "core/credit.h"
#include "io/op.h"
#include "io/receive.h"
#include "ring/buffer.h"

#include <stdatomic.h>

struct weir__loop;
struct weir__poll_record;

/* The figures of one row on one loop: one writer, relaxed, as base/counter.h. */
struct weir__row_stats {
    _Atomic uint64_t routed[WEIR__ROUTE_COUNT];
    _Atomic uint64_t failed;
    _Atomic uint64_t cancelled;
    _Atomic uint64_t expired;
    _Atomic uint64_t expired_queued; /* for a credit, or for the pool */
    _Atomic uint64_t expired_ready;  /* the loop was busy */
    _Atomic uint64_t missed;         /* tries of the page cache that found not all */
    _Atomic uint64_t refused;        /* by the ring, and done by the pool; direct.c */
    _Atomic uint64_t rerouted;       /* to the pool at once, for too many refusals */
};

/* The ops of a loop hang in lists by descriptor. Neighbours in one list would lie on the stacks of
 * many tasks, all of them cold; so most have none. */
enum { WEIR__IO_OP_LISTS = 1024 };

/* A registered buffer, as one loop has it. */
struct weir__region {
    char *base; /* NULL: the slot is free */
    size_t bytes;
    bool in_use;   /* the ring has it */
    bool settling; /* loop 0's only: it is being given to the loops, or taken from them */
};

struct weir__io {
    uint32_t home;             /* this loop in the descriptor table; unique in the process */
    struct weir__list closers; /* closes that wait for others' ops to end; close.c */
    /* weir__op.link: from enter to leave; the last list is of those that hold two. */
    struct weir__list ops[WEIR__IO_OP_LISTS + 1];
    struct weir__poll_record *free_polls; /* of select's clauses on I/O; clause.c */
    unsigned pooled_count;                /* ops on the pool, or on their way there */
    struct weir__credits credits[WEIR__CLASS_COUNT];
    struct weir__receive_pool buffers; /* for receives; made when first needed */
    struct weir__row_stats rows[WEIR__OP_ID_COUNT];
    struct weir__region regions[WEIR_BUFFERS_MAX]; /* buffer.c */
    unsigned region_count;                         /* slots ever used here: 0 costs nothing */
    struct weir__ring_holder holder;               /* loop 0's only: what all share */
};

/* Where the ops on a descriptor are found, but for those that hold two. */
static inline struct weir__list *weir__io_ops(struct weir__io *io, int fd)
{
    return &io->ops[(unsigned)fd % WEIR__IO_OP_LISTS];
}

/* Where those that hold two are found. */
static inline struct weir__list *weir__io_ops_of_two(struct weir__io *io)
{
    return &io->ops[WEIR__IO_OP_LISTS];
}

/* On the loop's own thread, after weir__loop_init. 0 or -ENOMEM. */
int weir__io_init(struct weir__loop *loop);

/* When no task is left: ends what handles have left standing. On the loop's main task. */
void weir__io_stop(struct weir__loop *loop);

/* Asserts that no operation is in flight. */
void weir__io_term(struct weir__loop *loop);

#endif
