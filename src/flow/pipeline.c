/* SPDX-License-Identifier: MIT */
/* Ordered pipelines: their tasks, their end, how they are made; see pipeline.h for what holds. */
#include "flow/pipeline.h"

#include "base/memory.h"

#include <errno.h>
#include <string.h>
#include <weir/scope.h>
#include <weir/select.h>

/* --- The tasks --- */

/* The first one to call it says why. */
static void stop_early(struct weir__pipeline *pipeline, int error)
{
    if (!pipeline->early)
        pipeline->error = error;
    pipeline->early = true;
    weir_chan_close(pipeline->stop, 0);
}

/* Takes a ticket; nothing may suspend before the element is waited for. */
static struct weir__slot *next_slot(struct weir__pipeline *pipeline)
{
    return &pipeline->slots[pipeline->ticket_next++ % pipeline->slot_count];
}

static int work(void *arg)
{
    struct weir__pipeline *pipeline = arg;
    int code;

    do
        code = weir__slot_serve(next_slot(pipeline));
    while (code == 0);
    if (code != WEIR__SLOT_ENDED)
        stop_early(pipeline, code < 0 ? code : 0);
    if (--pipeline->working == 0)
        weir_chan_close(pipeline->stop, 0);
    return 0;
}

/* Until all tasks have ended, or shall. */
static void watch(struct weir__pipeline *pipeline)
{
    struct weir_clause ends[] = {
        weir_clause_recv(pipeline->stop, NULL),
        weir_clause_closed(pipeline->output),
    };
    int won = weir_select(ends, 2, WEIR_SELECT_PRIORITY, WEIR_FOREVER);

    if (won != 0)
        stop_early(pipeline, won < 0 ? won : 0);
}

static int run_tasks(struct weir__pipeline *pipeline)
{
    const struct weir_spawn_options options = { .name = pipeline->stage->name };
    struct weir_scope *scope;
    int error = weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE, NULL);

    if (error < 0)
        return error;
    while (pipeline->working < pipeline->slot_count && error >= 0) {
        error = weir_spawn(scope, work, pipeline, &options);
        pipeline->working += error >= 0;
    }
    if (error < 0)
        stop_early(pipeline, error);
    watch(pipeline);
    if (pipeline->early)
        weir_scope_cancel(scope);
    weir_scope_join(scope, WEIR_FOREVER);
    return 0;
}

static void destroy(struct weir__pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->slot_count; i++) {
        weir_chan_release(pipeline->slots[i].turn);
        weir__memory_free(pipeline->slots[i].source);
    }
    weir_chan_release(pipeline->stop);
    if (pipeline->stage)
        weir__stage_release(pipeline->stage);
    weir_chan_release(pipeline->input);
    weir_chan_release(pipeline->output);
    weir__memory_free(pipeline);
}

/* The task in the user's scope: tells the neighbours of the end. */
static int coordinate(void *arg)
{
    struct weir__pipeline *pipeline = arg;
    unsigned flags = pipeline->stage->flags;
    int error = run_tasks(pipeline);

    if (error < 0)
        stop_early(pipeline, error);
    error = pipeline->error;
    weir__stage_end(pipeline->stage);
    if (!(flags & WEIR_STAGE_KEEP_OPEN))
        weir_chan_close(pipeline->output, pipeline->early ? error : pipeline->reason);
    if (pipeline->early && (flags & WEIR_STAGE_ABORT_INPUT))
        weir_chan_abort(pipeline->input, error);
    destroy(pipeline);
    return error;
}

/* --- Made --- */

static size_t round_up(size_t bytes)
{
    return (bytes + 15) / 16 * 16;
}

/* The slot's elements lie in one block, `source` first. */
static int init_slot(struct weir__pipeline *pipeline, size_t index)
{
    struct weir__slot *slot = &pipeline->slots[index];
    size_t source_bytes = round_up(pipeline->input->elem_size);
    size_t output_bytes = round_up(pipeline->output->elem_size);

    slot->pipeline = pipeline;
    slot->meter = &pipeline->stage->meters[index];
    slot->emit.send = weir__slot_emit_from_fn;
    slot->source = weir__memory_alloc(NULL, source_bytes + 2 * output_bytes + 1);
    if (!slot->source)
        return -ENOMEM;
    slot->held = slot->source + source_bytes;
    slot->made = slot->held + output_bytes;
    return weir_chan_create(&slot->turn, 0, 1, NULL);
}

/* What the tasks share, beside the options. Undone by destroy. */
static int equip(struct weir__pipeline *pipeline, const struct weir_stage_options *options)
{
    int error = weir__stage_create(&pipeline->stage, "pipeline", options, pipeline->input,
                                   pipeline->slot_count);

    if (error >= 0)
        error = weir_chan_create(&pipeline->stop, 0, 0, NULL);
    for (size_t i = 0; i < pipeline->slot_count && error >= 0; i++)
        error = init_slot(pipeline, i);
    if (error >= 0)
        error = weir_chan_send(pipeline->slots[0].turn, NULL, WEIR_NOW);
    return error;
}

static int start(struct weir_scope *scope, const struct weir__pipeline *plan,
                 const struct weir_stage_options *options)
{
    const struct weir_spawn_options spawn = { .name = options->name ? options->name : "pipeline" };
    size_t slots_bytes = plan->slot_count * sizeof plan->slots[0];
    struct weir__pipeline *pipeline = weir__memory_zalloc(NULL, sizeof *pipeline + slots_bytes);
    struct weir_stage *stage;
    int error;

    if (!pipeline)
        return -ENOMEM;
    memcpy(pipeline, plan, sizeof *plan);
    weir_chan_retain(pipeline->input);
    weir_chan_retain(pipeline->output);
    error = equip(pipeline, options);
    if (error < 0)
        goto destroy;
    stage = weir__stage_retain(pipeline->stage); /* the pipeline may end before spawn returns */
    error = weir_spawn(scope, coordinate, pipeline, &spawn);
    if (error >= 0 && options->stage)
        *options->stage = stage;
    else
        weir__stage_release(stage);
    if (error >= 0)
        return 0;

destroy:
    destroy(pipeline);
    return error;
}

/* Checks what all modes share. */
static int make(struct weir_scope *scope, struct weir__pipeline *plan, enum weir_stage_kind kind,
                const struct weir_pipeline_options *given)
{
    static const struct weir_pipeline_options defaults;
    const struct weir_pipeline_options *options = given ? given : &defaults;
    struct weir_stage_options stage = {
        .name = options->name,
        .flags = options->flags,
        .parallelism = options->parallelism,
        .kind = kind,
        .on_error = options->on_error,
        .stage = options->stage,
    };
    int error;

    _Static_assert(sizeof stage.reserved == sizeof options->reserved, "copied below");
    memcpy(stage.reserved, options->reserved, sizeof stage.reserved);
    if (!scope || !plan->input || !plan->output || options->item_ns < 0 ||
        options->parallelism > WEIR_PIPELINE_MAX ||
        (options->size && options->size != sizeof *options))
        return -EINVAL;
    error = weir__stage_check_options(&stage, true);
    if (error < 0)
        return error;
    plan->item_ns = options->item_ns;
    plan->slot_count = options->parallelism ? options->parallelism : 1;
    return start(scope, plan, &stage);
}

int weir_pipeline(struct weir_scope *scope, struct weir_chan *input, struct weir_chan *output,
                  enum weir_pipeline_mode mode, weir_expand_fn *fn, void *context,
                  const struct weir_pipeline_options *options)
{
    static const struct {
        enum weir_stage_kind kind;
        int (*run)(struct weir__slot *slot);
        int (*run_timed)(struct weir__slot *slot);
    } modes[] = {
        [WEIR_PIPELINE_TASK] = { WEIR_STAGE_PARKS, weir__slot_run_task, weir__slot_run_timed_task },
        [WEIR_PIPELINE_POOL] = { WEIR_STAGE_BLOCKS, weir__slot_run_pool, weir__slot_run_pool },
        [WEIR_PIPELINE_CPU] = { WEIR_STAGE_COMPUTES, weir__slot_run_cpu, weir__slot_run_cpu },
    };
    struct weir__pipeline plan = {
        .input = input,
        .output = output,
        .expand = fn,
        .context = context,
    };

    if (!fn || mode > WEIR_PIPELINE_CPU)
        return -EINVAL;
    plan.run = options && options->item_ns ? modes[mode].run_timed : modes[mode].run;
    return make(scope, &plan, modes[mode].kind, options);
}

int weir_pipeline_async(struct weir_scope *scope, struct weir_chan *input, struct weir_chan *output,
                        weir_pipeline_async_fn *fn, void *context,
                        const struct weir_pipeline_options *options)
{
    struct weir__pipeline plan = {
        .input = input,
        .output = output,
        .run = weir__slot_run_async,
        .start = fn,
        .context = context,
    };

    return fn ? make(scope, &plan, WEIR_STAGE_PARKS, options) : -EINVAL;
}
