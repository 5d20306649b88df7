/* SPDX-License-Identifier: MIT */
/*
 * Chains of interceptors.
 *
 *   entering: a step at a time, `depth` counts those whose enter returned 0
 *      |  end of the steps, terminated, or an error
 *      v
 *   leaving: depth falls to 0; each step's leave, or, as long as there is an error, its error
 *      |
 *      v
 *   answered
 */
#include "core/park.h"
#include "core/task.h"

#include <weir/chain.h>
#include <weir/chan.h>

#include <errno.h>

struct weir_chain {
    const struct weir_step *steps;
    size_t count;
    size_t depth; /* steps that have been entered, and not yet left */
    void *context;
    int64_t deadline_ns;
    bool terminated;
    const char *failed_step;
};

/* A step's result counts as it is defined. */
static int judge(int result)
{
    return result > 0 ? -EPROTO : result;
}

static int note(struct weir_chain *chain, const struct weir_step *step, int error)
{
    if (error < 0)
        chain->failed_step = step->name;
    return error;
}

static int enter(struct weir_chain *chain, const struct weir_step *step)
{
    int error = weir__wait_check();

    if (error >= 0)
        error = weir__wait_refuse(chain->deadline_ns);
    if (error >= 0 && step->enter)
        error = judge(step->enter(chain, chain->context));
    return note(chain, step, error);
}

static int leave(struct weir_chain *chain, const struct weir_step *step, int error)
{
    int next = error;

    if (error >= 0)
        next = step->leave ? judge(step->leave(chain, chain->context)) : 0;
    else if (step->error)
        next = judge(step->error(chain, chain->context, error));
    return next == error ? error : note(chain, step, next);
}

static int run(struct weir_chain *chain)
{
    int error = chain->count && !chain->steps ? -EINVAL : 0;

    while (error >= 0 && chain->depth < chain->count && !chain->terminated) {
        error = enter(chain, &chain->steps[chain->depth]);
        if (error >= 0)
            chain->depth++;
    }
    while (chain->depth > 0) {
        chain->depth--;
        error = leave(chain, &chain->steps[chain->depth], error);
    }
    return error;
}

int weir_chain_run(const struct weir_step *steps, size_t count, void *context,
                   weir_chain_answer_fn *answer, int64_t deadline_ns)
{
    struct weir__inherited *own = weir__inherited_self();
    int64_t inherited_ns = own->deadline_ns;
    struct weir_chain chain = {
        .steps = steps,
        .count = count,
        .context = context,
        .deadline_ns = deadline_ns < inherited_ns ? deadline_ns : inherited_ns,
    };
    int result;

    own->deadline_ns = chain.deadline_ns;
    result = run(&chain);
    own->deadline_ns = inherited_ns;
    if (answer) {
        weir_shield_enter();
        answer(&chain, context, result);
        weir_shield_leave();
    }
    return result;
}

int weir_chain_await(struct weir_chain *chain, struct weir_chan *promise)
{
    int value, error;

    if (!chain || !promise || weir_chan_elem_size(promise) != sizeof value)
        error = -EINVAL;
    else
        error = weir_chan_recv(promise, &value, chain->deadline_ns);
    weir_chan_release(promise);
    if (error < 0)
        return error == -EPIPE ? -ENODATA : error;
    return judge(value);
}

void weir_chain_terminate(struct weir_chain *chain)
{
    chain->terminated = true;
}

int64_t weir_chain_deadline_ns(const struct weir_chain *chain)
{
    return chain->deadline_ns;
}

const char *weir_chain_failed_step(const struct weir_chain *chain)
{
    return chain->failed_step;
}
