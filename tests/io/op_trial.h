/* SPDX-License-Identifier: MIT */
/* A trial: one row's call in a task of its own, so that it can be ended in every way. */
#ifndef WEIR_TESTS_IO_OP_TRIAL_H
#define WEIR_TESTS_IO_OP_TRIAL_H

#include "op_fixtures.h"

struct trial {
    struct world *world;
    enum weir__op_id id;
    enum how how;
    bool await_cancel; /* begins when its task has been cancelled */
    struct call call;
};

HELPER int64_t trial_run(void *arg, int64_t deadline_ns)
{
    struct trial *trial = arg;

    while (trial->await_cancel && weir_yield() == 0)
        ;
    return fixtures[trial->id].call(trial->world, trial->how, deadline_ns);
}

HELPER void trial_start(struct trial *trial, int64_t deadline_ns)
{
    trial->call = (struct call){ .run = trial_run, .arg = trial, .deadline_ns = deadline_ns };
    call_start(&trial->call);
}

HELPER int64_t trial_result(struct trial *trial, int64_t deadline_ns)
{
    trial_start(trial, deadline_ns);
    return call_finish(&trial->call);
}

/* Names the row when something about it did not hold. */
HELPER void expect(struct trial *trial, const char *what, int64_t result, int64_t wanted)
{
    if (!CHECK(result == wanted))
        print_error("%s, %s: %s, not %s\n", weir__op_rows[trial->id].name, what,
                    weir_error_name(result), weir_error_name(wanted));
}

HELPER bool left_out(const struct world *world, enum weir__op_id id)
{
    bool direct = weir__descriptor_kind(world->file_write) == WEIR__FD_DIRECT;
    unsigned missing = fixtures[id].features & ~weir__loop_current->ring.features;

    if (fixtures[id].on_disk && !direct)
        print_message("[  SKIPPED ] %s: no O_DIRECT in TMPDIR\n", weir__op_rows[id].name);
    if (missing)
        print_message("[  SKIPPED ] %s: without features %#x\n", weir__op_rows[id].name, missing);
    return missing || (fixtures[id].on_disk && !direct);
}

/* How the row is made to wait: for its peer, or for what the test holds. */
HELPER enum how how_it_waits(enum weir__op_id id)
{
    return weir__op_rows[id].holds >= WEIR__HOLDS_POLLABLE ? WAIT : SUCCEED;
}

/* An op of this loop that is under way; NULL: there is none. */
HELPER struct weir__op *any_op(void)
{
    struct weir__list *ops = weir__loop_current->io->ops;

    for (int list = 0; list <= WEIR__IO_OP_LISTS; list++)
        if (!weir__list_empty(&ops[list]))
            return WEIR_CONTAINER_OF(ops[list].next, struct weir__op, link);
    return NULL;
}

/* All credits, so that whoever needs one waits. */
HELPER void hold_credits(void)
{
    for (int class = WEIR__CLASS_UNBOUNDED + 1; class < WEIR__CLASS_COUNT; class ++)
        CHECK_EQUAL(weir__credits_take(&weir__loop_current->io->credits[class], WEIR_FOREVER), 0);
}

HELPER void give_credits(void)
{
    for (int class = WEIR__CLASS_UNBOUNDED + 1; class < WEIR__CLASS_COUNT; class ++)
        weir__credits_give(&weir__loop_current->io->credits[class]);
}

#endif
