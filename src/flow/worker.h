/* SPDX-License-Identifier: MIT */
/*
 * The tasks of a stage. A worker repeats one step until its input ends or the stage does:
 *
 *     take an element, work on it, send what comes of it
 *
 * What the step is, is the business of a kind of stage: a row of verbs. All workers of a stage live
 * on one loop, so what they share needs no lock.
 *
 *            ENDED from all                      flush, once
 *   working ---------------------------------------------------> finished: outputs closed
 *      `---- STOPPED or an error from one ---> others stop ------------^
 *                                              after the element in hand
 *
 * A worker that waits for an element also watches its outputs, and looks at them before it takes
 * one: nothing is taken for an output that was closed before.
 */
#ifndef WEIR_FLOW_WORKER_H
#define WEIR_FLOW_WORKER_H

#include "flow/stage.h"
#include "sync/chan.h"

#include <errno.h>
#include <weir/pool.h>
#include <weir/select.h>

enum { WEIR__OUTPUT_MAX = 2 };

/* How a step ends, beside 0, the next one, and errors. */
enum weir__step {
    WEIR__STEP_ENDED = 1, /* the input has; worker->reason says how */
    WEIR__STEP_STOPPED,   /* the stage ends early, and no error is to blame */
};

struct weir__worker;

struct weir__stage_verbs {
    const char *name;
    bool crowded; /* may have several workers, and an on_error */
    bool emits;   /* its function sends by itself */
    int (*step)(struct weir__worker *worker);
    /* The rest are optional. */
    void (*begin)(struct weir__worker *worker);
    int (*flush)(struct weir__worker *worker);   /* the input has ended: by the last worker */
    void (*let_go)(struct weir__worker *worker); /* what it holds between steps goes to drop */
};

/* What a stage is to do. */
struct weir__plan {
    const struct weir__stage_verbs *verbs;
    struct weir_scope *scope;
    struct weir_chan *const *inputs;
    size_t input_count;
    struct weir_chan *outputs[WEIR__OUTPUT_MAX]; /* the second may be NULL */
    union {
        weir_map_fn *map;
        weir_filter_fn *filter;
        weir_expand_fn *expand;
        const unsigned char *elems;
    };
    void *context;
    uint64_t count; /* elements: of what, the kind knows */
};

struct weir__crew {
    struct weir__plan plan;
    struct weir_stage *stage;
    struct weir_chan *stop; /* closed when the others shall stop; NULL: there are no others */
    size_t refs;            /* tasks that have not ended */
    size_t working;         /* workers that have not */
    bool called_off;        /* a task could not be spawned: the others do nothing */
    bool early;             /* some worker has stopped before the end */
    int error;              /* why, the first one's */
    int reason;             /* how the input has ended */
    struct weir__worker *workers;
    struct weir_chan *inputs[];
};

struct weir__worker {
    struct weir__crew *crew;
    struct weir__worker *next;
    struct weir__meter *meter;
    struct weir_emit emit;
    int halted;            /* how a send by its function ended the step; 0: none did */
    int reason;            /* how its input ended */
    int result;            /* of its function, on the pool */
    size_t taken;          /* index of the input that the last element came from */
    uint64_t count;        /* the kind's */
    unsigned char *source; /* room for an element of the first input, where takes go by default */
    unsigned char *target; /* room for an element of the first output */
    struct weir_clause *inputs; /* one clause for each; one without verbs is not waited for */
    size_t watch_count;         /* clauses before them */
    _Alignas(16) struct weir_clause clauses[];
};

/* Checks all but the element sizes, and spawns. Returns what the public functions do. */
int weir__crew_start(const struct weir__plan *plan, const struct weir_stage_options *options);

/* Waits for an element of any input. 0; ENDED: worker->taken has ended; STOPPED; an error. */
int weir__worker_take(struct weir__worker *worker);

/*
 * Sends. What cannot be sent goes to a drop callback: that of `origin`, where it was received, or,
 * when NULL, of the output that it was made for. `unless`, if not NULL, is a channel whose close
 * ends the wait. 0, STOPPED, or an error.
 */
int weir__worker_send(struct weir__worker *worker, struct weir_chan *output, void *elem,
                      struct weir_chan *origin, struct weir_chan *unless);

/* What a send that failed with `error` means for the step. */
static inline int weir__step_of(int error)
{
    return error == -EPIPE ? WEIR__STEP_STOPPED : error;
}

/* Runs call(worker), which calls the function, sets worker->result and returns 0, where the stage's
 * kind says. Returns 0, or an error of the pool when it did not run. */
int weir__worker_run(struct weir__worker *worker, weir_pool_fn *call);

/* The same, for the element in hand: counted, and gone if the pool refused. */
int weir__worker_call(struct weir__worker *worker, weir_pool_fn *call);

/* The function failed: what on_error makes of it is sent. As a step. */
int weir__worker_recover(struct weir__worker *worker);

/* What is in hand goes to the drop callback of the only input. */
static inline void weir__worker_discard(struct weir__worker *worker)
{
    weir__chan_discard(worker->crew->inputs[0], worker->source);
}

static inline int weir__worker_send_source(struct weir__worker *worker)
{
    const struct weir__crew *crew = worker->crew;

    return weir__worker_send(worker, crew->plan.outputs[0], worker->source,
                             crew->inputs[worker->taken], NULL);
}

static inline int weir__worker_send_target(struct weir__worker *worker)
{
    return weir__worker_send(worker, worker->crew->plan.outputs[0], worker->target, NULL, NULL);
}

static inline bool weir__same_size(const struct weir_chan *input, const struct weir_chan *output)
{
    return weir_chan_elem_size(input) == weir_chan_elem_size(output);
}

#endif
