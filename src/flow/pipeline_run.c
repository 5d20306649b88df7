/* SPDX-License-Identifier: MIT */
/*
 * How a pipeline runs its function on one element: here, on threads, or by starting something. A
 * function in a task that may take only so long is something started, too: in a task of its own,
 * which can be cancelled.
 */
#include "flow/pipeline.h"

#include <errno.h>
#include <weir/pool.h>
#include <weir/scope.h>

/* --- Here, and on threads --- */

int weir__slot_run_task(struct weir__slot *slot)
{
    const struct weir__pipeline *pipeline = slot->pipeline;

    return pipeline->expand(slot->source, &slot->emit, pipeline->context);
}

static int run_job(void *arg)
{
    struct weir__slot *slot = arg;

    slot->result = weir__slot_run_task(slot);
    return 0;
}

int weir__slot_run_pool(struct weir__slot *slot)
{
    int error = weir_pool_run(run_job, slot, slot->due_ns);

    return error < 0 ? error : slot->result;
}

int weir__slot_run_cpu(struct weir__slot *slot)
{
    int error = weir_cpu_run(run_job, slot, slot->due_ns);

    return error < 0 ? error : slot->result;
}

/* --- By what was started --- */

/* What is left in it when the element is given up is dropped as an output. */
static int create_results(const struct weir__slot *slot, struct weir_chan **results)
{
    const struct weir_chan *output = slot->pipeline->output;
    const struct weir_chan_options options = {
        .drop = output->drop,
        .retain = output->retain,
        .context = output->context,
    };

    return weir_chan_create(results, output->elem_size, 1, &options);
}

/* Hands one output on; the time that takes is not the element's. */
static int pass_result(struct weir__slot *slot)
{
    int64_t since_ns = slot->due_ns == WEIR_FOREVER ? 0 : weir__clock_now();
    int code = weir__slot_emit(slot, slot->made);

    if (slot->due_ns != WEIR_FOREVER)
        slot->due_ns = weir__clock_add(slot->due_ns, weir__clock_now() - since_ns);
    return code;
}

/* All outputs, until the channel is closed: 0, or why the element has failed. */
static int collect(struct weir__slot *slot, struct weir_chan *results)
{
    int code;

    do {
        code = weir_chan_recv(results, slot->made, slot->due_ns);
        if (code == -EPIPE)
            return 0;
        if (code == 0)
            code = pass_result(slot);
    } while (code == 0);
    return code;
}

/* Nobody waits for more. */
static void give_up(struct weir_chan *results)
{
    weir_chan_abort(results, 0);
    weir_chan_release(results);
}

int weir__slot_run_async(struct weir__slot *slot)
{
    const struct weir__pipeline *pipeline = slot->pipeline;
    struct weir_chan *results;
    int error = create_results(slot, &results);

    if (error < 0)
        return error;
    error = pipeline->start(slot->source, weir_chan_retain(results), pipeline->context);
    slot->gone = error >= 0;
    if (slot->gone)
        error = collect(slot, results);
    else
        weir_chan_release(results);
    give_up(results);
    return error;
}

/* A task for one element. */
struct child {
    struct weir__slot *slot;
    struct weir_chan *results;
    struct weir_emit emit;
    int result;
};

static int emit_result(struct weir_emit *emit, const void *elem)
{
    struct child *child = WEIR_CONTAINER_OF(emit, struct child, emit);
    int code = weir_chan_send(child->results, elem, WEIR_FOREVER);

    if (code < 0 && code != -EINVAL)
        weir__chan_drop(child->slot->pipeline->output, (void *)(uintptr_t)elem, WEIR_DROP_DISCARD);
    return code;
}

static int run_child(void *arg)
{
    struct child *child = arg;
    struct weir__slot *slot = child->slot;

    child->result = slot->pipeline->expand(slot->source, &child->emit, slot->pipeline->context);
    weir_chan_close(child->results, 0);
    return 0;
}

/* A child that is late is cancelled, and waited for; if it succeeds all the same, that counts. */
static int run_in_scope(struct child *child, struct weir_scope *scope)
{
    struct weir__slot *slot = child->slot;
    struct weir_spawn_options options = { .name = slot->pipeline->stage->name };
    bool late = false;
    int error;

    child->result = weir_spawn(scope, run_child, child, &options);
    error = child->result < 0 ? 0 : collect(slot, child->results);
    if (error < 0)
        weir_scope_cancel(scope);
    if (error == -ETIME) {
        late = true;
        slot->due_ns = WEIR_FOREVER;
        error = collect(slot, child->results);
    }
    if (error < 0)
        weir_chan_abort(child->results, 0); /* nobody waits for more */
    weir_scope_join(scope, WEIR_FOREVER);
    return late && child->result < 0 ? -ETIME : child->result;
}

int weir__slot_run_timed_task(struct weir__slot *slot)
{
    struct child child = { .slot = slot, .emit = { emit_result } };
    struct weir_scope *scope;
    int error = create_results(slot, &child.results);

    if (error < 0)
        return error;
    error = weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE, NULL);
    if (error >= 0)
        error = run_in_scope(&child, scope);
    give_up(child.results);
    return error;
}
