/* SPDX-License-Identifier: MIT */
/* The io room's part in a loop: what is in flight, the submission queues, the figures. */
#ifndef WEIR_IO_IO_H
#define WEIR_IO_IO_H

#include "base/list.h"
#include "core/credit.h"
#include "io/op.h"
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
};

/* A registered buffer, as one loop has it. */
struct weir__region {
    char *base; /* NULL: the slot is free */
    size_t bytes;
    bool in_use;   /* the ring has it */
    bool settling; /* loop 0's only: it is being given to the loops, or taken from them */
};

struct weir__io {
    uint32_t home;             /* this loop in the descriptor table; unique in the process */
    struct weir__list ops;     /* weir__op.link: from enter to leave */
    struct weir__list closers; /* closes that wait for others' ops to end; close.c */
    struct weir__poll_record *free_polls; /* of select's clauses on I/O; clause.c */
    struct weir__credits credits[WEIR__CLASS_COUNT];
    struct weir__row_stats rows[WEIR__OP_ID_COUNT];
    struct weir__region regions[WEIR_BUFFERS_MAX]; /* buffer.c */
    unsigned region_count;                         /* slots ever used here: 0 costs nothing */
    struct weir__ring_holder holder;               /* loop 0's only: what all share */
};

/* On the loop's own thread, after weir__loop_init. 0 or -ENOMEM. */
int weir__io_init(struct weir__loop *loop);

/* Asserts that no operation is in flight. */
void weir__io_term(struct weir__loop *loop);

#endif
