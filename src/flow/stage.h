/* SPDX-License-Identifier: MIT */
/*
 * What all stages share: the options, what is counted and timed, the handle. How a stage moves its
 * elements is in worker.h.
 *
 * A stage counts through meters, one for each of its tasks: a meter has one writer at a time, and
 * any number of readers. For each element its owner calls, in this order, what applies:
 *
 *     weir__meter_begin      picks the elements whose times are taken, and starts the clock
 *     weir__meter_received   the wait for the input is over, with an element
 *     weir__meter_worked     the function has returned
 *     weir__meter_sent       the wait for the output is over
 *
 * A task that does only a part calls begin and what is its part. A function that sends by itself
 * goes to and fro: weir__meter_lap(WEIR__LAP_WORK) ends a stretch of work before each send.
 */
#ifndef WEIR_FLOW_STAGE_H
#define WEIR_FLOW_STAGE_H

#include "base/assert.h"
#include "base/clock.h"
#include "base/lock.h"

#include <stdatomic.h>
#include <weir/stage.h>
#include <weir/task.h>

enum {
    WEIR__METER_TIMED_FIRST = 16, /* so many elements are timed, one by one; then ... */
    WEIR__METER_RHYTHM = 16,      /* ... the last of each so many */
};

enum weir__lap {
    WEIR__LAP_INPUT,
    WEIR__LAP_WORK,
    WEIR__LAP_OUTPUT,
    WEIR__LAP_COUNT,
};

struct weir__meter {
    /* The owner's. */
    struct weir_stage *stage;
    int64_t since_ns; /* when this lap began; 0: the element is not timed */
    /* Written by the owner alone, read by anybody. */
    _Atomic uint64_t begun_total;
    _Atomic uint64_t timed_total; /* elements that lap_ns stands for */
    _Atomic uint64_t lap_ns[WEIR__LAP_COUNT];
    _Atomic uint64_t received_total;
    _Atomic uint64_t sent_total;
    _Atomic uint64_t failed_total;
};

struct weir_stage {
    atomic_uint refs;
    /* Constant. */
    enum weir_stage_kind kind;
    unsigned flags;
    unsigned parallelism;
    weir_stage_error_fn *on_error;
    bool has_input; /* one, and its senders were watched */
    char name[WEIR_NAME_BYTES];
    /* Under the lock. */
    struct weir__lock lock;
    struct weir_chan *input;  /* the one whose senders a slow stage holds; NULL: none, or ended */
    uint64_t held_ns;         /* how long it held them; final once ended */
    uint64_t held_earlier_ns; /* before the first element */
    int64_t first_ns;         /* when the first element was received; 0: not yet */
    int64_t ended_ns;         /* 0: it runs */
    size_t meter_count;       /* constant */
    struct weir__meter meters[];
};

/*
 * Whether the options are in order: 0, -EINVAL, -E2BIG. `crowded`: the kind of stage can have
 * several workers, and an on_error.
 */
int weir__stage_check_options(const struct weir_stage_options *options, bool crowded);

/*
 * A stage with one reference, the maker's, and `meter_count` meters, from checked options (may be
 * NULL). `input` (may be NULL) must stay valid until weir__stage_end. Returns 0 or -ENOMEM.
 */
int weir__stage_create(struct weir_stage **stage, const char *kind_name,
                       const struct weir_stage_options *options, struct weir_chan *input,
                       size_t meter_count);

struct weir_stage *weir__stage_retain(struct weir_stage *stage);
void weir__stage_release(struct weir_stage *stage);

/* All its tasks have ended: the figures stand, and the input may go. */
void weir__stage_end(struct weir_stage *stage);

/* One reading: from the first element until now, or the end. */
struct weir__stage_span {
    int64_t elapsed_ns;
    uint64_t held_ns; /* senders of the input were parked for; sum over them */
    bool ended;
};

void weir__stage_read_span(struct weir_stage *stage, struct weir__stage_span *span);

/* A function failed on *source. What is to be done, by the options' on_error: 0 *target is sent,
 * WEIR_SKIP nothing is, negative: the error that ends the stage. */
static inline int weir__stage_handle_error(const struct weir_stage *stage, int error,
                                           const void *source, void *target, void *context)
{
    return stage->on_error ? stage->on_error(error, source, target, context) : error;
}

static inline uint64_t weir__meter_get(const _Atomic uint64_t *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}

static inline void weir__meter_add(_Atomic uint64_t *figure, uint64_t amount)
{
    /* relaxed, and no read-modify-write: one writer; readers want a recent figure */
    atomic_store_explicit(figure, weir__meter_get(figure) + amount, memory_order_relaxed);
}

/* The rare sides. */
void weir__meter_start_clock(struct weir__meter *meter, uint64_t index);
void weir__meter_take_lap(struct weir__meter *meter, enum weir__lap lap);

static inline void weir__meter_begin(struct weir__meter *meter)
{
    uint64_t index = weir__meter_get(&meter->begun_total);

    weir__meter_add(&meter->begun_total, 1);
    meter->since_ns = 0;
    if (index < WEIR__METER_TIMED_FIRST || index % WEIR__METER_RHYTHM == WEIR__METER_RHYTHM - 1)
        weir__meter_start_clock(meter, index);
}

/* What has passed since the last lap was `lap`. */
static inline void weir__meter_lap(struct weir__meter *meter, enum weir__lap lap)
{
    if (WEIR_UNLIKELY(meter->since_ns != 0))
        weir__meter_take_lap(meter, lap);
}

static inline void weir__meter_received(struct weir__meter *meter)
{
    weir__meter_add(&meter->received_total, 1);
    weir__meter_lap(meter, WEIR__LAP_INPUT);
}

static inline void weir__meter_worked(struct weir__meter *meter, bool failed)
{
    if (WEIR_UNLIKELY(failed))
        weir__meter_add(&meter->failed_total, 1);
    weir__meter_lap(meter, WEIR__LAP_WORK);
}

static inline void weir__meter_sent(struct weir__meter *meter)
{
    weir__meter_add(&meter->sent_total, 1);
    weir__meter_lap(meter, WEIR__LAP_OUTPUT);
}

/* What an expand function emits through: the one who runs it says what becomes of an element. */
struct weir_emit {
    int (*send)(struct weir_emit *emit, const void *elem);
};

#endif
