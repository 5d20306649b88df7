/* SPDX-License-Identifier: MIT */
/*
 * See spec.h. A state is what has come of the program so far, what is in the channels and who waits
 * for them, and how far each task is:
 *
 *            call            act                     leave
 *   OUTSIDE ------> INSIDE ---------> RESOLVED ------------------> OUTSIDE, next call
 *                         \              ^
 *                          `-> PARKED ---'  by a peer that sends, receives, closes or aborts, by
 *                                           its deadline, by a cancel that arrives
 */
#include "model/spec.h"

#include <stdlib.h>
#include <string.h>

enum phase { OUTSIDE, INSIDE, PARKED, RESOLVED };

/* Who waits to send, or to receive: clauses, the oldest first. */
struct side {
    uint8_t count;
    uint8_t waiters[WAITERS_MAX]; /* each task * CLAUSES_MAX + clause */
};

struct channel {
    bool aborted;
    struct side senders, receivers;
    uint8_t padding;
};

struct task {
    uint8_t phase;
    uint8_t next; /* call */
    bool cancelled;
    bool cancel_coming;
};

struct state {
    struct outcome outcome; /* its endings are the channels as they are now */
    struct channel channels[CHANS];
    struct task tasks[TASKS_MAX];
    uint8_t padding[8 - (CHANS * sizeof(struct channel) + TASKS_MAX * sizeof(struct task)) % 8];
};

_Static_assert(sizeof(struct state) % 8 == 0, "a state must have no hidden padding");

enum { AGENDA_MAX = 4096 };

/* What is still to be looked at. */
struct search {
    const struct program *program;
    struct set seen;
    struct set *allowed;
    struct state agenda[AGENDA_MAX];
    size_t count;
};

static const struct call *call_of(const struct search *search, const struct state *state,
                                  size_t task)
{
    return &search->program->calls[task][state->tasks[task].next];
}

static struct answer *answer_of(struct state *state, size_t task)
{
    return &state->outcome.answers[task][state->tasks[task].next];
}

static void agree(struct search *search, const struct state *state)
{
    if (!set_add(&search->seen, fingerprint_of(state, sizeof *state)))
        return;
    if (search->count == AGENDA_MAX)
        abort();
    search->agenda[search->count++] = *state;
}

/* --- Who waits --- */

static void forget_waiters(struct side *side, size_t task)
{
    uint8_t kept = 0;

    for (size_t i = 0; i < side->count; i++)
        if (side->waiters[i] / CLAUSES_MAX != task)
            side->waiters[kept++] = side->waiters[i];
    memset(side->waiters + kept, 0, side->count - kept);
    side->count = kept;
}

/* A parked call has its result, and waits nowhere any more. */
static void resolve(struct state *state, size_t task, size_t clause, int code)
{
    struct answer *answer = answer_of(state, task);

    answer->code = (int16_t)code;
    answer->won = (uint8_t)clause;
    state->tasks[task].phase = RESOLVED;
    for (size_t i = 0; i < CHANS; i++) {
        forget_waiters(&state->channels[i].senders, task);
        forget_waiters(&state->channels[i].receivers, task);
    }
}

static void park(struct state *state, const struct call *call, size_t task)
{
    state->tasks[task].phase = PARKED;
    for (size_t i = 0; i < call->clause_count; i++) {
        struct channel *channel = &state->channels[call->clauses[i].chan];
        struct side *side = call->clauses[i].sends ? &channel->senders : &channel->receivers;

        side->waiters[side->count++] = (uint8_t)(task * CLAUSES_MAX + i);
    }
}

static void resolve_side(struct state *state, const struct side *side, int code)
{
    while (side->count)
        resolve(state, side->waiters[0] / CLAUSES_MAX, side->waiters[0] % CLAUSES_MAX, code);
}

/* --- The effects: true when the call was ready; then *code is its result --- */

static void push(struct ending *chan, uint8_t value)
{
    chan->values[chan->count++] = value;
}

static uint8_t pop(struct ending *chan)
{
    uint8_t value = chan->values[0];

    chan->count--;
    memmove(chan->values, chan->values + 1, chan->count);
    chan->values[chan->count] = 0;
    return value;
}

static void drop(struct state *state, struct ending *chan, uint8_t value,
                 enum weir_drop_reason reason)
{
    state->outcome.drops[value] = (uint8_t)(1 + reason);
    chan->dropped++;
}

/* The oldest parked receiver gets the value. */
static void hand_over(struct state *state, size_t index, uint8_t value)
{
    const struct side *receivers = &state->channels[index].receivers;
    size_t task = receivers->waiters[0] / CLAUSES_MAX;
    size_t clause = receivers->waiters[0] % CLAUSES_MAX;

    answer_of(state, task)->values[clause] = value;
    resolve(state, task, clause, 0);
    state->outcome.endings[index].received++;
}

/* The first value stays, and is everybody's. */
static int send_promise(struct state *state, size_t index, uint8_t value)
{
    struct ending *chan = &state->outcome.endings[index];

    chan->sent++;
    if (chan->count) {
        drop(state, chan, value, WEIR_DROP_NEWEST);
        return WEIR_DROPPED;
    }
    push(chan, value);
    while (state->channels[index].receivers.count)
        hand_over(state, index, value);
    return 0;
}

static bool send(struct state *state, const struct chan_setup *setup, size_t index, uint8_t value,
                 int *code)
{
    struct ending *chan = &state->outcome.endings[index];

    *code = 0;
    if (chan->reason) {
        *code = -EPIPE;
        return true;
    }
    if (setup->policy == WEIR_CHAN_PROMISE) {
        *code = send_promise(state, index, value);
        return true;
    }
    if (state->channels[index].receivers.count) {
        hand_over(state, index, value);
    } else if (chan->count < setup->capacity) {
        push(chan, value);
    } else if (setup->policy == WEIR_CHAN_PARK) {
        return false;
    } else {
        *code = WEIR_DROPPED;
        if (setup->policy == WEIR_CHAN_DROP_OLDEST) {
            drop(state, chan, pop(chan), WEIR_DROP_OLDEST);
            push(chan, value);
        } else {
            drop(state, chan, value, WEIR_DROP_NEWEST);
        }
    }
    chan->sent++;
    return true;
}

static bool receive(struct state *state, const struct chan_setup *setup, size_t index,
                    uint8_t *value, int *code)
{
    struct ending *chan = &state->outcome.endings[index];
    const struct side *senders = &state->channels[index].senders;

    *code = 0;
    if (senders->count) {
        size_t task = senders->waiters[0] / CLAUSES_MAX;
        size_t clause = senders->waiters[0] % CLAUSES_MAX;
        uint8_t sent = value_of(task, state->tasks[task].next, clause);

        *value = sent;
        if (chan->count) {
            *value = pop(chan);
            push(chan, sent);
        }
        resolve(state, task, clause, 0);
        chan->sent++;
    } else if (chan->count) {
        *value = setup->policy == WEIR_CHAN_PROMISE ? chan->values[0] : pop(chan);
    } else {
        *code = chan->reason;
        return chan->reason != 0;
    }
    chan->received++;
    return true;
}

static int close_channel(struct state *state, size_t index)
{
    struct ending *chan = &state->outcome.endings[index];

    if (chan->reason)
        return WEIR_ALREADY;
    chan->reason = CLOSE_REASON;
    resolve_side(state, &state->channels[index].receivers, CLOSE_REASON);
    return 0;
}

static int abort_channel(struct state *state, size_t index)
{
    struct ending *chan = &state->outcome.endings[index];

    if (state->channels[index].aborted)
        return WEIR_ALREADY;
    state->channels[index].aborted = true;
    chan->reason = ABORT_REASON;
    while (chan->count)
        drop(state, chan, pop(chan), WEIR_DROP_ABORT);
    resolve_side(state, &state->channels[index].receivers, ABORT_REASON);
    resolve_side(state, &state->channels[index].senders, -EPIPE);
    return 0;
}

/* --- The steps --- */

static bool try_clause(const struct search *search, struct state *state, size_t task, size_t clause)
{
    const struct clause *tried = &call_of(search, state, task)->clauses[clause];
    uint8_t *room = &answer_of(state, task)->values[clause];
    uint8_t value = value_of(task, state->tasks[task].next, clause);
    const struct chan_setup *setup = &search->program->chans[tried->chan];
    bool ready;
    int code;

    if (tried->sends)
        ready = send(state, setup, tried->chan, value, &code);
    else
        ready = receive(state, setup, tried->chan, room, &code);
    if (ready)
        resolve(state, task, clause, code);
    return ready;
}

/* Any ready clause may win; in order, the first. When none is, the call is refused, or parks. */
static void act_on_clauses(struct search *search, const struct state *state, size_t task)
{
    const struct call *call = call_of(search, state, task);
    bool any = false;
    struct state next;

    for (size_t i = 0; i < call->clause_count && !(any && call->in_order); i++) {
        next = *state;
        if (!try_clause(search, &next, task, i))
            continue;
        any = true;
        agree(search, &next);
    }
    if (any)
        return;
    next = *state;
    if (call->patience == NOW)
        resolve(&next, task, NO_CLAUSE, -EAGAIN);
    else
        park(&next, call, task);
    agree(search, &next);
}

static void act(struct search *search, const struct state *state, size_t task)
{
    const struct call *call = call_of(search, state, task);
    struct state next = *state;
    size_t target = (task + 1) % search->program->task_count;

    switch (call->verb) {
    case CLOSE:
        resolve(&next, task, NO_CLAUSE, close_channel(&next, call->clauses[0].chan));
        break;
    case ABORT:
        resolve(&next, task, NO_CLAUSE, abort_channel(&next, call->clauses[0].chan));
        break;
    case CANCEL:
        resolve(&next, task, NO_CLAUSE, 0);
        next.tasks[target].cancel_coming = !next.tasks[target].cancelled;
        break;
    default:
        if (!state->tasks[task].cancelled) {
            act_on_clauses(search, state, task);
            return;
        }
        resolve(&next, task, NO_CLAUSE, -ECANCELED);
    }
    agree(search, &next);
}

static void call(struct search *search, struct state next, size_t task)
{
    struct answer *answer = answer_of(&next, task);

    answer->stage = CALLED;
    for (size_t i = 0; i < TASKS_MAX; i++)
        answer->returned[i] = next.tasks[i].next;
    next.tasks[task].phase = INSIDE;
    agree(search, &next);
}

static void leave(struct search *search, struct state next, size_t task)
{
    answer_of(&next, task)->stage = ANSWERED;
    next.tasks[task].phase = OUTSIDE;
    next.tasks[task].next++;
    agree(search, &next);
}

static void expire(struct search *search, struct state next, size_t task)
{
    resolve(&next, task, NO_CLAUSE, -ETIME);
    agree(search, &next);
}

static void be_cancelled(struct search *search, struct state next, size_t task)
{
    next.tasks[task].cancel_coming = false;
    next.tasks[task].cancelled = true;
    if (next.tasks[task].phase == PARKED)
        resolve(&next, task, NO_CLAUSE, -ECANCELED);
    agree(search, &next);
}

/* All steps of one task; false when it has none. */
static bool go_on(struct search *search, const struct state *state, size_t index)
{
    const struct task *task = &state->tasks[index];
    bool any = true;

    if (task->phase == OUTSIDE && task->next < search->program->call_counts[index])
        call(search, *state, index);
    else if (task->phase == INSIDE)
        act(search, state, index);
    else if (task->phase == RESOLVED)
        leave(search, *state, index);
    else if (task->phase == PARKED && call_of(search, state, index)->patience == SOON)
        expire(search, *state, index);
    else
        any = false;
    if (task->cancel_coming)
        be_cancelled(search, *state, index);
    return any || task->cancel_coming;
}

static void end(struct search *search, struct state *state)
{
    for (size_t i = 0; i < CHANS; i++) {
        state->outcome.endings[i].waiting_senders = state->channels[i].senders.count;
        state->outcome.endings[i].waiting_receivers = state->channels[i].receivers.count;
    }
    set_add(search->allowed, fingerprint_of(&state->outcome, sizeof state->outcome));
}

size_t spec_explore(const struct program *program, struct set *allowed)
{
    static struct search search; /* large */
    struct state state = { 0 };

    search.program = program;
    search.allowed = allowed;
    set_clear(allowed);
    set_clear(&search.seen);
    for (size_t i = 0; i < CHANS; i++)
        if (program->chans[i].buffered)
            push(&state.outcome.endings[i], value_buffered(i));
    agree(&search, &state);
    while (search.count) {
        bool any = false;

        state = search.agenda[--search.count];
        for (size_t i = 0; i < program->task_count; i++)
            any |= go_on(&search, &state, i);
        if (!any)
            end(&search, &state);
    }
    return search.seen.count;
}
