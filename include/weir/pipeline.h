/* SPDX-License-Identifier: MIT */
/*
 * An ordered pipeline: a stage that works on up to `parallelism` elements at once, and sends what
 * becomes of them in the order of the input.
 *
 * An element is inside from its intake until its last output was sent: never more than
 * `parallelism` are, and so as many functions at most run at once. Whose turn has not come waits,
 * with its first output in hand. Where the function runs is the mode; in the async modes of others
 * it only starts something, which ends wherever it likes: weir_pipeline_async.
 *
 * A function that fails resolves its element's slot: on_error says what is sent in its place. Else
 * its error ends the pipeline, after all that came before it was sent.
 *
 * The end is that of all stages (weir/stage.h): with the input, after the last element inside; or
 * early, when the output is closed, an error is not handled, by WEIR_STOP, or by a cancel. Then
 * intake stops, and functions that still run are cancelled and waited for. No cancel reaches a job:
 * its weir_emit fails, but else it runs to its end.
 *
 * Elements: *source is the function's when it succeeds, on_error's when that does, else it goes to
 * the input's drop callback. What weir_emit got, and nobody receives, to the output's.
 *
 * Example:
 *     struct weir_pipeline_options options = { .parallelism = 8 };
 *     error = weir_pipeline(scope, names, addresses, WEIR_PIPELINE_POOL, resolve, NULL, &options);
 */
#ifndef WEIR_PIPELINE_H
#define WEIR_PIPELINE_H

#include <weir/base.h>
#include <weir/stage.h>

struct weir_chan;
struct weir_scope;

#define WEIR_PIPELINE_MAX 65536 /* parallelism */

/* Where the function runs. */
enum weir_pipeline_mode {
    WEIR_PIPELINE_TASK, /* in tasks of the pipeline's loop: it parks */
    WEIR_PIPELINE_POOL, /* on weir_pool_run's threads: it blocks */
    WEIR_PIPELINE_CPU,  /* on weir_cpu_run's threads: it computes */
};

/*
 * Starts what makes any number of outputs of *source, which is valid during the call. Returns 0,
 * and `results` is then a reference of whoever finishes: from any task or thread, also before this
 * returned, it sends the outputs, closes the channel (a reason other than -EPIPE: the element has
 * failed) and releases it. Or returns an error: the element has failed, and `results` is untouched.
 *
 * It has room for one output beside the one that waits for its turn: a further send parks until the
 * turn. After the element was given up, sends fail with -EPIPE, and change nothing.
 */
typedef int weir_pipeline_async_fn(const void *source, struct weir_chan *results, void *context);

/* Zeroed means default. */
struct weir_pipeline_options {
    size_t size;          /* sizeof(struct weir_pipeline_options); 0 means the first version's */
    const char *name;     /* copied, under WEIR_NAME_BYTES; NULL: "pipeline" */
    unsigned flags;       /* enum weir_stage_flag */
    unsigned parallelism; /* elements inside; at most WEIR_PIPELINE_MAX; 0: 1 */
    /* An element that is not done so long after its intake fails with -ETIME. Waiting for its turn
     * and for room in the output does not count. In a task the function is cancelled, and waited
     * for; one on a thread may no longer start, but is waited for, and counts, once it has; what an
     * async function started is left to itself. 0: none. */
    int64_t item_ns;
    weir_stage_error_fn
        *on_error;             /* in the pipeline's tasks, in no order; NULL: an error ends it */
    struct weir_stage **stage; /* receives a handle, which weir_stage_release ends */
    uint64_t reserved[4];      /* must be zero */
};

WEIR_BEGIN

/*
 * Starts a pipeline as a task of `scope`, on the caller's loop. fn is called for each element, and
 * not, as in weir_expand, once more with NULL. A second output before its turn parks the task, or
 * blocks the thread, until the turn.
 * Returns 0. Errors, after which nothing has changed: those of weir_spawn; -EINVAL a NULL, an
 * unknown mode or flag; -ENOMEM.
 */
WEIR_API WEIR_MUST_CHECK int weir_pipeline(struct weir_scope *scope, struct weir_chan *input,
                                           struct weir_chan *output, enum weir_pipeline_mode mode,
                                           weir_expand_fn *fn, void *context,
                                           const struct weir_pipeline_options *options);

/* The same with a function that starts something. What it starts is the function's, and *source is
 * too once it returned 0, whatever becomes of the element. */
WEIR_API WEIR_MUST_CHECK int weir_pipeline_async(struct weir_scope *scope, struct weir_chan *input,
                                                 struct weir_chan *output,
                                                 weir_pipeline_async_fn *fn, void *context,
                                                 const struct weir_pipeline_options *options);

WEIR_END

#endif
