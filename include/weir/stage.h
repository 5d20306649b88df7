/* SPDX-License-Identifier: MIT */
/*
 * Stages: tasks of a scope that move elements from channel to channel. What core.async does with
 * transducers, pipe, merge, split and their kin.
 *
 * A stage takes one element at a time and holds no other: what it adds to the bounds of its
 * channels is one element per worker (a whole batch for partition, a row for zip).
 *
 * The end. When its input has ended, the stage closes its output, with the input's reason, after
 * its last element. When its output is closed, its function fails, or it is cancelled, it stops
 * early: the element in hand goes to the drop callback of the channel it came from (one that the
 * stage made: of the channel it was made for), the output is closed with the error, and the input
 * stays open for others, unless WEIR_STAGE_ABORT_INPUT says that its senders shall hear of it. A
 * stage ends with 0, or with its function's error, which its scope hears; a closed output is no
 * error, and neither is the input's reason.
 *
 * Channels are kept alive by the stage. A map or expand function that succeeds has taken *source
 * over, and hands over what it makes. One that fails has not: *source goes to on_error, and, when
 * there is none or it fails too, counts as in hand. A filter's element is never its function's.
 *
 * All workers of a stage live on the loop of the task that starts it.
 *
 * Example:
 *     error = weir_map(scope, requests, answers, answer, &table, NULL);
 */
#ifndef WEIR_STAGE_H
#define WEIR_STAGE_H

#include <weir/base.h>

struct weir_chan;
struct weir_emit;
struct weir_scope;
struct weir_stage;

/* Makes *target of *source. 0: send it on; WEIR_SKIP: nothing to send; negative: an error. */
typedef int weir_map_fn(const void *source, void *target, void *context);

/* 1: keep it, 0: let it go (to the source's drop callback), negative: an error. */
typedef int weir_filter_fn(const void *elem, void *context);

/* Makes any number of elements of *source, each given to weir_emit. At the end of the input it is
 * called once more with source NULL, to flush. 0; WEIR_STOP: the stage ends early; negative: an
 * error. */
typedef int weir_expand_fn(const void *source, struct weir_emit *emit, void *context);

/* Takes *elem into what `context` is. 0; WEIR_STOP: enough; negative: an error. */
typedef int weir_reduce_fn(const void *elem, void *context);

/* What to do about a function's `error` on *source. 0: *target is sent in its place, WEIR_SKIP:
 * nothing is, and *source was taken over in both; negative: the stage ends with this error. In the
 * stage's task, also where the function runs on the pool. */
typedef int weir_stage_error_fn(int error, const void *source, void *target, void *context);

enum weir_stage_result {
    WEIR_SKIP = 3,
    WEIR_STOP = 4,
};

#define WEIR_STAGE_PARALLELISM_MAX 65536

enum weir_stage_flag {
    WEIR_STAGE_KEEP_OPEN = 1 << 0,   /* the output is not closed at the end */
    WEIR_STAGE_ABORT_INPUT = 1 << 1, /* an end before the input's own aborts it, with the error */
};

/* What a stage does with its time, as it is declared to others. */
enum weir_stage_kind {
    WEIR_STAGE_PARKS,    /* moves elements; may wait for I/O (the default) */
    WEIR_STAGE_COMPUTES, /* its function holds the loop; others run between elements */
    WEIR_STAGE_BLOCKS,   /* its function runs on the pool */
};

/* Zeroed means default. */
struct weir_stage_options {
    size_t size;      /* sizeof(struct weir_stage_options); 0 means the first version's */
    const char *name; /* copied, under WEIR_NAME_BYTES; NULL: the kind of stage, such as "map" */
    unsigned flags;   /* enum weir_stage_flag */
    /* Workers, all from one input to one output, not in order; 0: 1, at most
     * WEIR_STAGE_PARALLELISM_MAX. Map, filter and expand only; an expand's flush is called once,
     * when all workers are done. When one fails, the others end after the element in hand. */
    unsigned parallelism;
    enum weir_stage_kind kind;
    weir_stage_error_fn *on_error; /* map, filter, expand; NULL: an error ends the stage */
    struct weir_stage **stage;     /* receives a handle, which weir_stage_release ends */
    uint64_t reserved[4];          /* must be zero */
};

/*
 * Times are those of elements picked in a fixed rhythm (the first 16, then one in 16), scaled up:
 * so that an element costs no reading of the clock.
 */
struct weir_stage_stats {
    const char *name; /* valid as long as the handle */
    enum weir_stage_kind kind;
    unsigned parallelism;
    bool ended;
    uint64_t received_total;
    uint64_t sent_total;
    uint64_t failed_total;   /* elements whose function failed */
    int64_t elapsed_ns;      /* since the first element */
    uint64_t input_ns;       /* all workers: waiting for the input */
    uint64_t work_ns;        /* in the function */
    uint64_t output_ns;      /* waiting for the output */
    double arrivals_per_s;   /* received */
    double service_ns;       /* work per element */
    double utilisation;      /* share of the workers' time spent working, 0 to 1 */
    unsigned workers_enough; /* that would keep up if no output held them: demand over capacity, by
                                how long the senders of its input were held up */
    uint64_t reserved[4];
};

/* Which stage of a line does what; indices into the array that was given, -1: none. */
struct weir_flow_report {
    int blocked;  /* most of its time waiting for its output */
    int busiest;  /* the highest utilisation: it computes */
    int pressure; /* where pressure appears first: the last stage whose work, not its output, holds
                       up those before it */
    unsigned workers_enough; /* for `pressure`: also by what the stages before could serve */
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * The stages. Each returns 0 once its task is spawned; errors, after which nothing has changed:
 * those of weir_spawn; -EINVAL a NULL, unknown flags, options that the kind of stage does not have,
 * or element sizes that do not fit; -E2BIG name too long; -ENXIO not in a task; -ENOMEM.
 */

/* Hands elements on. */
WEIR_API WEIR_MUST_CHECK int weir_pipe(struct weir_scope *scope, struct weir_chan *input,
                                       struct weir_chan *output,
                                       const struct weir_stage_options *options);

WEIR_API WEIR_MUST_CHECK int weir_map(struct weir_scope *scope, struct weir_chan *input,
                                      struct weir_chan *output, weir_map_fn *fn, void *context,
                                      const struct weir_stage_options *options);
WEIR_API WEIR_MUST_CHECK int weir_filter(struct weir_scope *scope, struct weir_chan *input,
                                         struct weir_chan *output, weir_filter_fn *fn,
                                         void *context, const struct weir_stage_options *options);
WEIR_API WEIR_MUST_CHECK int weir_expand(struct weir_scope *scope, struct weir_chan *input,
                                         struct weir_chan *output, weir_expand_fn *fn,
                                         void *context, const struct weir_stage_options *options);

/* From an expand function, also inside a pipeline: sends one element on. Returns 0; -EPIPE the
 * output is closed, or the stage stops; -ECANCELED. After these the element has gone to the drop
 * callback of the output; return them from the function. -EINVAL a NULL. */
WEIR_API WEIR_MUST_CHECK int weir_emit(struct weir_emit *emit,
                                       const void *elem) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* What partition sends: this, and right behind it `count` elements, one behind the other; the last
 * batch may be short. The elements begin at batch + 1. */
struct weir_batch {
    size_t count;
    size_t reserved;
};
#define WEIR_BATCH_BYTES(elem_size, count) (sizeof(struct weir_batch) + (elem_size) * (count))

/* Groups of `count` elements; output elements have WEIR_BATCH_BYTES. */
WEIR_API WEIR_MUST_CHECK int weir_partition(struct weir_scope *scope, struct weir_chan *input,
                                            struct weir_chan *output, size_t count,
                                            const struct weir_stage_options *options);

/* The first `count` elements and no more: the next one stays in the input. */
WEIR_API WEIR_MUST_CHECK int weir_take(struct weir_scope *scope, struct weir_chan *input,
                                       struct weir_chan *output, uint64_t count,
                                       const struct weir_stage_options *options);

/* From several inputs, fairly, until all have ended. At most WEIR_SELECT_MAX - 1 inputs. The
 * output's reason is the first that an input gave. */
WEIR_API WEIR_MUST_CHECK int weir_merge(struct weir_scope *scope, struct weir_chan *const *inputs,
                                        size_t count, struct weir_chan *output,
                                        const struct weir_stage_options *options);

/* To one output where fn says 1, to the other where it says 0. Ends when either is closed. */
WEIR_API WEIR_MUST_CHECK int weir_split(struct weir_scope *scope, struct weir_chan *input,
                                        struct weir_chan *accepted, struct weir_chan *refused,
                                        weir_filter_fn *fn, void *context,
                                        const struct weir_stage_options *options);

/* One element of each input, side by side, is one output element; ends with the first input that
 * does. What had been taken from the others then goes to their drop callbacks, and with
 * WEIR_STAGE_ABORT_INPUT they are aborted. At most WEIR_SELECT_MAX - 1 inputs; none: the output is
 * closed at once. */
WEIR_API WEIR_MUST_CHECK int weir_zip(struct weir_scope *scope, struct weir_chan *const *inputs,
                                      size_t count, struct weir_chan *output,
                                      const struct weir_stage_options *options);

/* Sends `count` elements of an array, which stays in use until the stage has ended. Those that were
 * not sent are still the caller's. */
WEIR_API WEIR_MUST_CHECK int weir_from_array(struct weir_scope *scope, const void *elems,
                                             size_t count, struct weir_chan *output,
                                             const struct weir_stage_options *options);

/*
 * In the calling task: takes all elements until the end of the input, and calls fn for each.
 * Returns 0 at the end, or after WEIR_STOP, when the input stays open (`flags` may hold
 * WEIR_STAGE_ABORT_INPUT). Errors: fn's; the reason the input was closed with; -ETIME; -ECANCELED.
 */
WEIR_API WEIR_MUST_CHECK int weir_reduce(struct weir_chan *input, weir_reduce_fn *fn, void *context,
                                         unsigned flags,
                                         int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* In the calling task: receives into an array until the end, or until it is full: then *count is
 * its capacity and the rest stays in the input. *count is right after an error too. */
WEIR_API WEIR_MUST_CHECK int weir_collect(struct weir_chan *input, void *elems, size_t capacity,
                                          size_t *count,
                                          int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Ends a handle; the stage goes on. NULL is fine. */
WEIR_API void weir_stage_release(struct weir_stage *stage) WEIR_ANY_THREAD;

/* One reading. Returns 0; -EINVAL. */
WEIR_API int weir_stage_read_stats(struct weir_stage *stage,
                                   struct weir_stage_stats *stats) WEIR_ANY_THREAD;

/* Compares the stages of a line, first to last. Returns 0; -EINVAL. */
WEIR_API int weir_flow_read_report(struct weir_stage *const *stages, size_t count,
                                   struct weir_flow_report *report) WEIR_ANY_THREAD;

WEIR_END

#endif
