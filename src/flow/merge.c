/* SPDX-License-Identifier: MIT */
/* Stages with several inputs: merge, zip. */
#include "flow/worker.h"

#include <errno.h>

static struct weir__plan plan_of(const struct weir__stage_verbs *verbs, struct weir_scope *scope,
                                 struct weir_chan *const *inputs, size_t count,
                                 struct weir_chan *output)
{
    return (struct weir__plan){
        .verbs = verbs,
        .scope = scope,
        .inputs = inputs,
        .input_count = count,
        .outputs = { output },
    };
}

static bool fits(struct weir_chan *const *inputs, size_t count)
{
    return count < WEIR_SELECT_MAX && (inputs || !count);
}

/* --- Merge --- */

/* An input has ended. The first reason that says more than "closed" is what the output gets. */
static void strike_off(struct weir__worker *worker)
{
    worker->inputs[worker->taken].verbs = NULL;
    worker->count++;
    if (!worker->result && worker->reason != -EPIPE)
        worker->result = worker->reason;
}

static int merge_step(struct weir__worker *worker)
{
    int code;

    if (worker->count == worker->crew->plan.input_count) {
        worker->reason = worker->result;
        return WEIR__STEP_ENDED;
    }
    code = weir__worker_take(worker);
    if (code == 0)
        return weir__worker_send_source(worker);
    if (code != WEIR__STEP_ENDED)
        return code;
    strike_off(worker);
    return 0;
}

static const struct weir__stage_verbs merge_verbs = {
    .name = "merge",
    .step = merge_step,
};

int weir_merge(struct weir_scope *scope, struct weir_chan *const *inputs, size_t count,
               struct weir_chan *output, const struct weir_stage_options *options)
{
    struct weir__plan plan = plan_of(&merge_verbs, scope, inputs, count, output);

    if (!fits(inputs, count))
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (!weir__same_size(inputs[i], output))
            return -EINVAL;
    return weir__crew_start(&plan, options);
}

/* --- Zip --- */

/* Elements are received where they belong in the row; an input that has given its own is not waited
 * for until the row is full. */
static void zip_begin(struct weir__worker *worker)
{
    const struct weir__crew *crew = worker->crew;
    unsigned char *place = worker->target;

    worker->count = 0;
    for (size_t i = 0; i < crew->plan.input_count; i++) {
        worker->inputs[i] = weir_clause_recv(crew->inputs[i], place);
        place += weir_chan_elem_size(crew->inputs[i]);
    }
}

static int zip_step(struct weir__worker *worker)
{
    size_t input_count = worker->crew->plan.input_count;
    int code = input_count ? weir__worker_take(worker) : WEIR__STEP_ENDED;

    if (code != 0)
        return code;
    worker->inputs[worker->taken].verbs = NULL;
    if (++worker->count < input_count)
        return 0;
    zip_begin(worker);
    return weir__worker_send_target(worker);
}

static void zip_let_go(struct weir__worker *worker)
{
    const struct weir__crew *crew = worker->crew;

    for (size_t i = 0; i < crew->plan.input_count; i++)
        if (!worker->inputs[i].verbs)
            weir__chan_discard(crew->inputs[i], worker->inputs[i].elem);
}

static int zip_flush(struct weir__worker *worker)
{
    zip_let_go(worker);
    return 0;
}

static const struct weir__stage_verbs zip_verbs = {
    .name = "zip",
    .begin = zip_begin,
    .step = zip_step,
    .flush = zip_flush,
    .let_go = zip_let_go,
};

int weir_zip(struct weir_scope *scope, struct weir_chan *const *inputs, size_t count,
             struct weir_chan *output, const struct weir_stage_options *options)
{
    struct weir__plan plan = plan_of(&zip_verbs, scope, inputs, count, output);
    size_t bytes = 0;

    if (!fits(inputs, count))
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(bytes, weir_chan_elem_size(inputs[i]), &bytes))
            return -EINVAL;
    if (count && bytes != weir_chan_elem_size(output))
        return -EINVAL;
    return weir__crew_start(&plan, options);
}
