/* SPDX-License-Identifier: MIT */
/* Stages as their users see them: options, the handle, what was counted; see stage.h. */
#include "flow/stage.h"

#include "base/memory.h"
#include "flow/options.h"

#include <errno.h>
#include <string.h>
#include <weir/chan.h>

enum { FLAGS = WEIR_STAGE_KEEP_OPEN | WEIR_STAGE_ABORT_INPUT };

int weir__stage_check_options(const struct weir_stage_options *options, bool crowded)
{
    if (!options)
        return 0;
    if ((options->flags & ~(unsigned)FLAGS) || options->kind > WEIR_STAGE_BLOCKS)
        return -EINVAL;
    if (!crowded && (options->parallelism > 1 || options->on_error))
        return -EINVAL;
    if (options->parallelism > WEIR_STAGE_PARALLELISM_MAX)
        return -EINVAL;
    return weir__options_check(options->size, sizeof *options, options->reserved, options->name);
}

int weir__stage_create(struct weir_stage **stage, const char *kind_name,
                       const struct weir_stage_options *options, struct weir_chan *input,
                       size_t meter_count)
{
    static const struct weir_stage_options defaults;
    struct weir_stage *made;
    size_t bytes;

    options = options ? options : &defaults;
    if (__builtin_mul_overflow(meter_count, sizeof made->meters[0], &bytes) ||
        __builtin_add_overflow(bytes, sizeof *made, &bytes))
        return -ENOMEM;
    made = weir__memory_zalloc(NULL, bytes);
    if (!made)
        return -ENOMEM;
    atomic_init(&made->refs, 1);
    made->kind = options->kind;
    made->flags = options->flags;
    made->parallelism = options->parallelism ? options->parallelism : 1;
    made->on_error = options->on_error;
    strcpy(made->name, options->name ? options->name : kind_name);
    made->input = input;
    made->has_input = input != NULL;
    made->meter_count = meter_count;
    for (size_t i = 0; i < meter_count; i++)
        made->meters[i].stage = made;
    *stage = made;
    return 0;
}

struct weir_stage *weir__stage_retain(struct weir_stage *stage)
{
    /* relaxed: whoever retains holds a reference */
    atomic_fetch_add_explicit(&stage->refs, 1, memory_order_relaxed);
    return stage;
}

void weir__stage_release(struct weir_stage *stage)
{
    /* acq_rel: the last one sees what the others did before they let go */
    if (atomic_fetch_sub_explicit(&stage->refs, 1, memory_order_acq_rel) == 1)
        weir__memory_free(stage);
}

void weir_stage_release(struct weir_stage *stage)
{
    if (stage)
        weir__stage_release(stage);
}

/* Under the lock: how long senders of the input have been parked so far. */
static uint64_t read_held(struct weir_stage *stage)
{
    struct weir_chan_stats stats;

    if (stage->input && weir_chan_read_stats(stage->input, &stats) == 0)
        stage->held_ns = stats.parked_senders_ns;
    return stage->held_ns;
}

void weir__stage_end(struct weir_stage *stage)
{
    weir__lock_acquire(&stage->lock);
    read_held(stage);
    stage->input = NULL;
    stage->ended_ns = weir__clock_now();
    weir__lock_release(&stage->lock);
}

void weir__stage_read_span(struct weir_stage *stage, struct weir__stage_span *span)
{
    weir__lock_acquire(&stage->lock);
    *span = (struct weir__stage_span){ .ended = stage->ended_ns != 0 };
    if (stage->first_ns) {
        int64_t until_ns = stage->ended_ns ? stage->ended_ns : weir__clock_now();

        span->elapsed_ns = until_ns - stage->first_ns;
        span->held_ns = read_held(stage) - stage->held_earlier_ns;
    }
    weir__lock_release(&stage->lock);
}

/* Later elements stand for a whole rhythm of them. */
static uint64_t weight(uint64_t index)
{
    return index < WEIR__METER_TIMED_FIRST ? 1 : WEIR__METER_RHYTHM;
}

void weir__meter_start_clock(struct weir__meter *meter, uint64_t index)
{
    meter->since_ns = weir__clock_now();
    weir__meter_add(&meter->timed_total, weight(index));
}

static void note_first(struct weir_stage *stage, int64_t now_ns)
{
    weir__lock_acquire(&stage->lock);
    if (!stage->first_ns) {
        stage->first_ns = now_ns;
        stage->held_earlier_ns = read_held(stage);
    }
    weir__lock_release(&stage->lock);
}

void weir__meter_take_lap(struct weir__meter *meter, enum weir__lap lap)
{
    uint64_t index = weir__meter_get(&meter->begun_total) - 1;
    int64_t now_ns = weir__clock_now();
    uint64_t lap_ns = (uint64_t)(now_ns - meter->since_ns);

    meter->since_ns = now_ns;
    if (lap == WEIR__LAP_INPUT && index == 0)
        note_first(meter->stage, now_ns); /* time is counted from the first element on */
    else
        weir__meter_add(&meter->lap_ns[lap], lap_ns * weight(index));
}
