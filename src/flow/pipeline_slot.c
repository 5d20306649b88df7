/* SPDX-License-Identifier: MIT */
/* A slot of an ordered pipeline: its turn, its outputs, one element through it; see pipeline.h. */
#include "flow/pipeline.h"

#include <errno.h>
#include <weir/select.h>

/* --- Turns and outputs: any thread --- */

/* One thing, unless the pipeline stops first. That is a task's cancel, and `stop` for a thread. */
static int wait_for(const struct weir__pipeline *pipeline, struct weir_clause clause)
{
    struct weir_clause clauses[] = { weir_clause_recv(pipeline->stop, NULL), clause };
    size_t first = weir_task_self() ? 1 : 0;
    int won = weir_select(clauses + first, 2 - first, WEIR_SELECT_PRIORITY, WEIR_FOREVER);

    if (won < 0)
        return won;
    return first + (size_t)won == 1 ? clauses[1].result : -ECANCELED;
}

/* The slot has the turn, or is halted. */
static void send_output(struct weir__slot *slot, const void *elem)
{
    struct weir_chan *output = slot->pipeline->output;
    int code = slot->halted;

    if (!code)
        code = wait_for(slot->pipeline, weir_clause_send(output, elem));
    if (code >= 0) {
        weir__meter_sent(slot->meter);
        return;
    }
    weir__chan_drop(output, (void *)(uintptr_t)elem, WEIR_DROP_DISCARD);
    slot->halted = code;
}

/* Waits for the turn, if need be; then what waited for it is sent. */
static void take_turn(struct weir__slot *slot)
{
    if (!slot->has_turn && !slot->halted) {
        slot->halted = wait_for(slot->pipeline, weir_clause_recv(slot->turn, NULL));
        slot->has_turn = !slot->halted;
    }
    if (slot->holds) {
        slot->holds = false;
        send_output(slot, slot->held);
    }
}

/* So a job with one output does not hold its thread until it is its turn. */
static bool can_hold(struct weir__slot *slot)
{
    int code;

    if (slot->has_turn || slot->holds || slot->halted)
        return false;
    code = weir_chan_recv(slot->turn, NULL, WEIR_NOW);
    slot->has_turn = code == 0;
    return code == -EAGAIN;
}

int weir__slot_emit(struct weir__slot *slot, const void *elem)
{
    weir__meter_lap(slot->meter, WEIR__LAP_WORK);
    if (can_hold(slot)) {
        weir__chan_copy(slot->pipeline->output, slot->held, elem);
        slot->holds = true;
        return 0;
    }
    take_turn(slot);
    send_output(slot, elem);
    return slot->halted;
}

int weir__slot_emit_from_fn(struct weir_emit *emit, const void *elem)
{
    struct weir__slot *slot = WEIR_CONTAINER_OF(emit, struct weir__slot, emit);

    if (!elem && slot->pipeline->output->elem_size)
        return -EINVAL;
    return weir__slot_emit(slot, elem);
}

/* --- One element --- */

/* Waits for the element of the ticket; nothing may suspend before. */
static int take(struct weir__slot *slot)
{
    struct weir__pipeline *pipeline = slot->pipeline;
    int code;

    weir__meter_begin(slot->meter);
    code = weir_chan_recv(pipeline->input, slot->source, WEIR_FOREVER);
    if (code == 0 && !pipeline->early) {
        weir__meter_received(slot->meter);
        return 0;
    }
    if (code == 0)
        weir__chan_discard(pipeline->input, slot->source);
    else
        pipeline->reason = code;
    return pipeline->early ? WEIR__SLOT_STOPPED : WEIR__SLOT_ENDED;
}

/* The function failed. 0, or the error that ends the pipeline. */
static int recover(struct weir__slot *slot, int error)
{
    const struct weir__pipeline *pipeline = slot->pipeline;
    int code = weir__stage_handle_error(pipeline->stage, error, slot->source, slot->made,
                                        pipeline->context);

    if (code == 0)
        (void)weir__slot_emit(slot, slot->made);
    return code < 0 ? code : 0;
}

/* From the source to a result: 0, WEIR_STOP, or an error; outputs are sent or in hand. */
static int run(struct weir__slot *slot)
{
    const struct weir__pipeline *pipeline = slot->pipeline;
    int result;

    slot->has_turn = false;
    slot->gone = false;
    slot->halted = 0;
    slot->due_ns = pipeline->item_ns ? weir_in_ns(pipeline->item_ns) : WEIR_FOREVER;
    result = pipeline->run(slot);
    if (slot->halted || pipeline->early) {
        weir__meter_lap(slot->meter, WEIR__LAP_WORK);
    } else {
        weir__meter_worked(slot->meter, result < 0);
        if (result < 0)
            result = recover(slot, result);
    }
    if (result < 0 && !slot->gone)
        weir__chan_discard(pipeline->input, slot->source);
    return result;
}

static int pass_turn(const struct weir__slot *slot)
{
    struct weir__pipeline *pipeline = slot->pipeline;
    bool last = slot + 1 == pipeline->slots + pipeline->slot_count;

    return weir_chan_send(last ? pipeline->slots[0].turn : slot[1].turn, NULL, WEIR_NOW);
}

int weir__slot_serve(struct weir__slot *slot)
{
    int code = take(slot);

    if (code != 0)
        return code;
    code = run(slot);
    take_turn(slot);
    weir__meter_lap(slot->meter, WEIR__LAP_OUTPUT);
    if (slot->halted)
        return slot->halted == -EPIPE ? WEIR__SLOT_STOPPED : slot->halted;
    if (code == WEIR_STOP)
        return WEIR__SLOT_STOPPED;
    return code < 0 ? code : pass_turn(slot);
}
