/* SPDX-License-Identifier: MIT */
/*
 * The inside of an ordered pipeline: slots, through which elements go in the order of their
 * tickets. The slot of an element is the remainder of its ticket.
 *
 *   free ----> taking ----> running ----> in turn ----> free
 *      ticket      element       result       next ticket's turn
 *
 * What holds:
 *  - There are as many tasks as slots, all on one loop; each has one ticket at a time, until it has
 *    passed the turn on. So tickets that are out fill less than one round, and no slot is used by
 *    two.
 *  - A task takes its ticket and begins to receive without a pause between. A channel serves its
 *    receivers in the order in which they came: so tickets are in the order of the elements.
 *  - The turn is a token in the channel `turn` of one slot. Only who holds it sends to the output;
 *    it is passed on also when there was nothing to send. Who stops early keeps it.
 *
 * One more task waits for what the others may not notice: that the output is closed, or a cancel.
 * `stop` is closed then, since threads of a pool that wait inside of weir_emit hear no cancel.
 */
#ifndef WEIR_FLOW_PIPELINE_H
#define WEIR_FLOW_PIPELINE_H

#include "flow/stage.h"
#include "sync/chan.h"

#include <weir/pipeline.h>

struct weir__pipeline;

/* Used by the task that has the ticket, and by the job or child that it waits for. */
struct weir__slot {
    struct weir__pipeline *pipeline; /* constant */
    struct weir__meter *meter;       /* constant */
    struct weir_chan *turn;          /* constant: no bytes, capacity 1 */
    struct weir_emit emit;           /* what the function gets */
    bool has_turn;
    bool holds;     /* an output waits in `held` for the turn */
    bool gone;      /* the source belongs to what was started, also if that fails */
    int halted;     /* why outputs can no longer be sent, -EPIPE or -ECANCELED; 0: they can */
    int result;     /* of the function, on a thread */
    int64_t due_ns; /* when the element must be done */
    unsigned char *source;
    unsigned char *held;
    unsigned char *made; /* an output on its way: by on_error, or received */
};

/* All on the home loop, or constant. */
struct weir__pipeline {
    struct weir_chan *input;
    struct weir_chan *output;
    /* Runs the function on the slot's source; what it returned, or why it did not run. */
    int (*run)(struct weir__slot *slot);
    union {
        weir_expand_fn *expand;
        weir_pipeline_async_fn *start;
    };
    void *context;
    int64_t item_ns; /* 0: no limit */
    struct weir_stage *stage;
    struct weir_chan *stop; /* closed when tasks shall end early, or all have ended */
    uint64_t ticket_next;
    size_t working; /* tasks that have not ended */
    bool early;     /* it ends before its input */
    int error;      /* why, 0: no error is to blame */
    int reason;     /* how the input has ended */
    size_t slot_count;
    struct weir__slot slots[];
};

/* How an element, or the wait for one, ends, beside 0 and errors. */
enum weir__slot_end {
    WEIR__SLOT_ENDED = 1, /* the input has */
    WEIR__SLOT_STOPPED,   /* the pipeline ends early, and no error is to blame */
};

/* One element from intake to the end of its turn; on the home loop. Its ticket was just taken. */
int weir__slot_serve(struct weir__slot *slot);

/*
 * Sends an output in its turn, or keeps it in hand until then: the first one. Any thread. What
 * cannot be sent goes to the output's drop callback. Returns 0 or slot->halted.
 */
int weir__slot_emit(struct weir__slot *slot, const void *elem);

/* The same as weir_emit calls it. */
int weir__slot_emit_from_fn(struct weir_emit *emit, const void *elem);

/* Ways to run a function; pipeline_run.c. */
int weir__slot_run_task(struct weir__slot *slot);
int weir__slot_run_timed_task(struct weir__slot *slot); /* with item_ns */
int weir__slot_run_pool(struct weir__slot *slot);
int weir__slot_run_cpu(struct weir__slot *slot);
int weir__slot_run_async(struct weir__slot *slot);

#endif
