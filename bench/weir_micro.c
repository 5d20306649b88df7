/* SPDX-License-Identifier: MIT */
/*
 * What the core's operations cost, through the public calls: yield, spawn and join, messages,
 * select. Everything runs on one loop. Messages are those of the chan-* benches.
 */
#include "chan.h"
#include "weir_peer.h"

#include <weir/chan.h>
#include <weir/scope.h>
#include <weir/select.h>
#include <weir/task.h>

enum { CHANS = 2 };

struct micro {
    uint64_t op_count;
    uint64_t elapsed_ns;
    struct weir_chan *chans[CHANS];
    weir_task_fn *tasks[3]; /* run side by side; NULL ends */
};

/* --- Tasks ----------------------------------------------------------------------------------- */

/* Both yielders together make op_count yields. */
static int yielder(void *arg)
{
    struct micro *micro = arg;

    for (uint64_t turn = 0; turn < micro->op_count / 2; turn++)
        trial_check(weir_yield(), "weir_yield");
    return 0;
}

static int short_task(void *arg)
{
    (void)arg;
    return 0;
}

static int spawner(void *arg)
{
    struct micro *micro = arg;
    struct weir_task *task;
    struct weir_spawn_options options = { .size = sizeof options, .task = &task };

    for (uint64_t turn = 0; turn < micro->op_count; turn++) {
        trial_check(weir_spawn(weir_task_scope(), short_task, NULL, &options), "weir_spawn");
        trial_check(weir_join(task, NULL, WEIR_FOREVER), "weir_join");
    }
    return 0;
}

/* Half of the messages on each channel. */
static int producer_of_two(void *arg)
{
    struct micro *micro = arg;

    for (uint64_t turn = 0; turn < micro->op_count; turn++)
        trial_check(weir_chan_send(micro->chans[turn % CHANS], &turn, WEIR_FOREVER),
                    "weir_chan_send");
    return 0;
}

static int selector(void *arg)
{
    struct micro *micro = arg;
    uint64_t values[CHANS], sum = 0;
    struct weir_clause clauses[CHANS] = {
        weir_clause_recv(micro->chans[0], &values[0]),
        weir_clause_recv(micro->chans[1], &values[1]),
    };

    for (uint64_t turn = 0; turn < micro->op_count; turn++) {
        int won = trial_check(weir_select(clauses, CHANS, 0, WEIR_FOREVER), "weir_select");
        trial_check(clauses[won].result, "a select's clause");
        sum += values[won];
    }
    if (sum != micro->op_count * (micro->op_count - 1) / 2)
        trial_fail("select lost a message or brought one twice");
    return 0;
}

/* --- Running them ---------------------------------------------------------------------------- */

static int measure(void *arg)
{
    struct micro *micro = arg;
    struct weir_scope *scope;
    uint64_t start_ns;

    trial_check(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), "weir_scope_create");
    start_ns = now_ns();
    for (weir_task_fn **task = micro->tasks; *task != NULL; task++)
        trial_check(weir_spawn(scope, *task, micro, NULL), "weir_spawn");
    trial_check(weir_scope_join(scope, WEIR_FOREVER), "weir_scope_join");
    micro->elapsed_ns = now_ns() - start_ns;
    return 0;
}

static uint64_t run(struct micro *micro, size_t capacity)
{
    struct weir_options options = weir_peer_options();

    for (unsigned index = 0; index < CHANS; index++)
        trial_check(weir_chan_create(&micro->chans[index], sizeof(uint64_t), capacity, NULL),
                    "weir_chan_create");
    weir_peer_run(measure, micro, &options);
    for (unsigned index = 0; index < CHANS; index++)
        trial_check(weir_chan_release(micro->chans[index]), "weir_chan_release");
    return micro->elapsed_ns;
}

uint64_t weir_yields(uint64_t op_count)
{
    struct micro micro = { .op_count = op_count, .tasks = { yielder, yielder } };

    return run(&micro, 0);
}

uint64_t weir_spawns(uint64_t op_count)
{
    struct micro micro = { .op_count = op_count, .tasks = { spawner } };

    return run(&micro, 0);
}

uint64_t weir_rendezvous(uint64_t op_count)
{
    return weir_chan(&(struct chan_job){ CHAN_RENDEZVOUS, 0, 1, op_count });
}

uint64_t weir_buffered(uint64_t op_count)
{
    return weir_chan(&(struct chan_job){ CHAN_STREAM, CHAN_CAPACITY, 1, op_count });
}

uint64_t weir_select2(uint64_t op_count)
{
    struct micro micro = { .op_count = op_count, .tasks = { producer_of_two, selector } };

    return run(&micro, CHAN_CAPACITY);
}
