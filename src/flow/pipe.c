/* SPDX-License-Identifier: MIT */
/* Stages that hand on what they get, with no function: pipe, take, partition. */
#include "flow/worker.h"

#include <errno.h>

/* --- Pipe --- */

static int pipe_step(struct weir__worker *worker)
{
    int code = weir__worker_take(worker);

    return code == 0 ? weir__worker_send_source(worker) : code;
}

static const struct weir__stage_verbs pipe_verbs = {
    .name = "pipe",
    .step = pipe_step,
};

int weir_pipe(struct weir_scope *scope, struct weir_chan *input, struct weir_chan *output,
              const struct weir_stage_options *options)
{
    struct weir__plan plan = {
        .verbs = &pipe_verbs,
        .scope = scope,
        .inputs = &input,
        .input_count = 1,
        .outputs = { output },
    };

    return weir__same_size(input, output) ? weir__crew_start(&plan, options) : -EINVAL;
}

/* --- Take --- */

static int take_step(struct weir__worker *worker)
{
    if (worker->count == worker->crew->plan.count)
        return WEIR__STEP_STOPPED;
    worker->count++;
    return pipe_step(worker);
}

static const struct weir__stage_verbs take_verbs = {
    .name = "take",
    .step = take_step,
};

int weir_take(struct weir_scope *scope, struct weir_chan *input, struct weir_chan *output,
              uint64_t count, const struct weir_stage_options *options)
{
    struct weir__plan plan = {
        .verbs = &take_verbs,
        .scope = scope,
        .inputs = &input,
        .input_count = 1,
        .outputs = { output },
        .count = count,
    };

    return weir__same_size(input, output) ? weir__crew_start(&plan, options) : -EINVAL;
}

/* --- Partition --- */

static struct weir_batch *batch_of(struct weir__worker *worker)
{
    return (struct weir_batch *)worker->target;
}

static unsigned char *batch_elem(struct weir__worker *worker, size_t index)
{
    size_t elem_size = weir_chan_elem_size(worker->crew->inputs[0]);

    return (unsigned char *)(batch_of(worker) + 1) + index * elem_size;
}

static int send_batch(struct weir__worker *worker)
{
    batch_of(worker)->count = worker->count;
    worker->count = 0;
    return weir__worker_send_target(worker);
}

/* Elements are received where they belong in the batch. */
static int partition_step(struct weir__worker *worker)
{
    int code;

    worker->inputs[0].elem = batch_elem(worker, worker->count);
    code = weir__worker_take(worker);
    if (code != 0)
        return code;
    worker->count++;
    return worker->count == worker->crew->plan.count ? send_batch(worker) : 0;
}

static int partition_flush(struct weir__worker *worker)
{
    return worker->count ? send_batch(worker) : 0;
}

static void partition_let_go(struct weir__worker *worker)
{
    for (size_t i = 0; i < worker->count; i++)
        weir__chan_discard(worker->crew->inputs[0], batch_elem(worker, i));
}

static const struct weir__stage_verbs partition_verbs = {
    .name = "partition",
    .step = partition_step,
    .flush = partition_flush,
    .let_go = partition_let_go,
};

int weir_partition(struct weir_scope *scope, struct weir_chan *input, struct weir_chan *output,
                   size_t count, const struct weir_stage_options *options)
{
    struct weir__plan plan = {
        .verbs = &partition_verbs,
        .scope = scope,
        .inputs = &input,
        .input_count = 1,
        .outputs = { output },
        .count = count,
    };
    size_t bytes;

    if (count == 0 || __builtin_mul_overflow(weir_chan_elem_size(input), count, &bytes) ||
        __builtin_add_overflow(bytes, sizeof(struct weir_batch), &bytes) ||
        weir_chan_elem_size(output) != bytes)
        return -EINVAL;
    return weir__crew_start(&plan, options);
}
