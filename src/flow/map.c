/* SPDX-License-Identifier: MIT */
/*
 * Stages with a function for each element: map, filter, split. Who owns *source: a map function
 * that succeeded, or an on_error that did. Otherwise it is still in hand.
 */
#include "flow/worker.h"

#include <errno.h>

/* --- Map --- */

static int call_map(void *arg)
{
    struct weir__worker *worker = arg;
    const struct weir__plan *plan = &worker->crew->plan;

    worker->result = plan->map(worker->source, worker->target, plan->context);
    return 0;
}

static int map_step(struct weir__worker *worker)
{
    int code = weir__worker_take(worker);

    if (code == 0)
        code = weir__worker_call(worker, call_map);
    if (code != 0)
        return code;
    if (worker->result < 0)
        return weir__worker_recover(worker);
    return worker->result == WEIR_SKIP ? 0 : weir__worker_send_target(worker);
}

static const struct weir__stage_verbs map_verbs = {
    .name = "map",
    .crowded = true,
    .step = map_step,
};

int weir_map(struct weir_scope *scope, struct weir_chan *input, struct weir_chan *output,
             weir_map_fn *fn, void *context, const struct weir_stage_options *options)
{
    struct weir__plan plan = {
        .verbs = &map_verbs,
        .scope = scope,
        .inputs = &input,
        .input_count = 1,
        .outputs = { output },
        .map = fn,
        .context = context,
    };

    return fn ? weir__crew_start(&plan, options) : -EINVAL;
}

/* --- Filter --- */

static int call_filter(void *arg)
{
    struct weir__worker *worker = arg;
    const struct weir__plan *plan = &worker->crew->plan;

    worker->result = plan->filter(worker->source, plan->context);
    return 0;
}

static int filter_step(struct weir__worker *worker)
{
    int code = weir__worker_take(worker);

    if (code == 0)
        code = weir__worker_call(worker, call_filter);
    if (code != 0)
        return code;
    if (worker->result < 0)
        return weir__worker_recover(worker);
    if (worker->result > 0)
        return weir__worker_send_source(worker);
    weir__worker_discard(worker);
    return 0;
}

static const struct weir__stage_verbs filter_verbs = {
    .name = "filter",
    .crowded = true,
    .step = filter_step,
};

int weir_filter(struct weir_scope *scope, struct weir_chan *input, struct weir_chan *output,
                weir_filter_fn *fn, void *context, const struct weir_stage_options *options)
{
    struct weir__plan plan = {
        .verbs = &filter_verbs,
        .scope = scope,
        .inputs = &input,
        .input_count = 1,
        .outputs = { output },
        .filter = fn,
        .context = context,
    };

    return fn && weir__same_size(input, output) ? weir__crew_start(&plan, options) : -EINVAL;
}

/* --- Split --- */

static int split_step(struct weir__worker *worker)
{
    const struct weir__crew *crew = worker->crew;
    int code = weir__worker_take(worker);
    bool accepted;

    if (code == 0)
        code = weir__worker_call(worker, call_filter);
    if (code != 0)
        return code;
    if (worker->result < 0)
        return weir__worker_recover(worker);
    accepted = worker->result > 0;
    return weir__worker_send(worker, crew->plan.outputs[accepted ? 0 : 1], worker->source,
                             crew->inputs[0], crew->plan.outputs[accepted ? 1 : 0]);
}

static const struct weir__stage_verbs split_verbs = {
    .name = "split",
    .step = split_step,
};

int weir_split(struct weir_scope *scope, struct weir_chan *input, struct weir_chan *accepted,
               struct weir_chan *refused, weir_filter_fn *fn, void *context,
               const struct weir_stage_options *options)
{
    struct weir__plan plan = {
        .verbs = &split_verbs,
        .scope = scope,
        .inputs = &input,
        .input_count = 1,
        .outputs = { accepted, refused },
        .filter = fn,
        .context = context,
    };

    if (!fn || !refused || !weir__same_size(input, accepted) || !weir__same_size(input, refused))
        return -EINVAL;
    return weir__crew_start(&plan, options);
}
