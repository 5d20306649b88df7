/* SPDX-License-Identifier: MIT */
/* Expand: a stage whose function sends by itself, any number of elements for each it gets. */
#include "flow/worker.h"

#include <errno.h>

/* On the pool the function parks a thread, which no cancel reaches: the guard's word counts. */
static int emit_elem(struct weir_emit *emit, const void *elem)
{
    struct weir__worker *worker = WEIR_CONTAINER_OF(emit, struct weir__worker, emit);
    const struct weir__crew *crew = worker->crew;
    bool on_pool = crew->stage->kind == WEIR_STAGE_BLOCKS;
    void *bytes = (void *)(uintptr_t)elem;

    if (!elem && weir_chan_elem_size(crew->plan.outputs[0]))
        return -EINVAL;
    weir__meter_lap(worker->meter, WEIR__LAP_WORK);
    if (worker->halted) /* the function did not listen */
        weir__chan_drop(crew->plan.outputs[0], bytes, WEIR_DROP_DISCARD);
    else
        worker->halted = weir__worker_send(worker, crew->plan.outputs[0], bytes, NULL,
                                           on_pool ? crew->stop : NULL);
    return worker->halted == WEIR__STEP_STOPPED ? -EPIPE : worker->halted;
}

int weir_emit(struct weir_emit *emit, const void *elem)
{
    return emit ? emit->send(emit, elem) : -EINVAL;
}

static void expand_begin(struct weir__worker *worker)
{
    worker->emit.send = emit_elem;
}

static int call_expand(void *arg)
{
    struct weir__worker *worker = arg;
    const struct weir__plan *plan = &worker->crew->plan;

    worker->result = plan->expand(worker->source, &worker->emit, plan->context);
    return 0;
}

static int call_flush(void *arg)
{
    struct weir__worker *worker = arg;
    const struct weir__plan *plan = &worker->crew->plan;

    worker->result = plan->expand(NULL, &worker->emit, plan->context);
    return 0;
}

static int expand_step(struct weir__worker *worker)
{
    int code = weir__worker_take(worker);

    if (code == 0)
        code = weir__worker_call(worker, call_expand);
    if (code != 0)
        return code;
    if (worker->halted && worker->result < 0)
        weir__worker_discard(worker);
    if (worker->halted)
        return worker->halted;
    if (worker->result < 0)
        return weir__worker_recover(worker);
    return worker->result == WEIR_STOP ? WEIR__STEP_STOPPED : 0;
}

static int expand_flush(struct weir__worker *worker)
{
    int code = weir__worker_run(worker, call_flush);

    if (code == 0)
        code = worker->halted;
    if (code == 0 && worker->result < 0)
        code = worker->result;
    return code;
}

static const struct weir__stage_verbs expand_verbs = {
    .name = "expand",
    .crowded = true,
    .emits = true,
    .begin = expand_begin,
    .step = expand_step,
    .flush = expand_flush,
};

int weir_expand(struct weir_scope *scope, struct weir_chan *input, struct weir_chan *output,
                weir_expand_fn *fn, void *context, const struct weir_stage_options *options)
{
    struct weir__plan plan = {
        .verbs = &expand_verbs,
        .scope = scope,
        .inputs = &input,
        .input_count = 1,
        .outputs = { output },
        .expand = fn,
        .context = context,
    };

    return fn ? weir__crew_start(&plan, options) : -EINVAL;
}
