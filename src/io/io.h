/* SPDX-License-Identifier: MIT */
/* The io room's part in a loop: what is in flight, the submission queues, the figures. */
#ifndef WEIR_IO_IO_H
#define WEIR_IO_IO_H

#include "base/list.h"
#include "core/credit.h"
#include "io/buffer.h"
#include "io/op.h"

#include <stdatomic.h>

struct weir__loop;

/* The figures of one row on one loop: one writer, relaxed, as base/counter.h. */
struct weir__row_stats {
    _Atomic uint64_t routed[WEIR__ROUTE_COUNT];
    _Atomic uint64_t failed;
    _Atomic uint64_t cancelled;
    _Atomic uint64_t expired;
};

/* The ops of a loop hang in lists by descriptor. Neighbours in one list would lie on the stacks of
 * many tasks, all of them cold; so most have none. */
enum { WEIR__IO_OP_LISTS = 1024 };

struct weir__io {
    uint32_t home;             /* this loop in the descriptor table; unique in the process */
    struct weir__list closers; /* closes that wait for others' ops to end; close.c */
    struct weir__list ops[WEIR__IO_OP_LISTS]; /* weir__op.link: from enter to leave */
    struct weir__credits credits[WEIR__CLASS_COUNT];
    struct weir__buffers buffers; /* for receives; made when first needed */
    struct weir__row_stats rows[WEIR__OP_ID_COUNT];
};

/* Where the ops on a descriptor are found. */
static inline struct weir__list *weir__io_ops(struct weir__io *io, int fd)
{
    return &io->ops[(unsigned)fd % WEIR__IO_OP_LISTS];
}

/* On the loop's own thread, after weir__loop_init. 0 or -ENOMEM. */
int weir__io_init(struct weir__loop *loop);

/* When no task is left: ends what handles have left standing. On the loop's main task. */
void weir__io_stop(struct weir__loop *loop);

/* Asserts that no operation is in flight. */
void weir__io_term(struct weir__loop *loop);

#endif
