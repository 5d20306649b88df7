/* SPDX-License-Identifier: MIT */
/* In which ways a parked task could be woken, by why it is parked; see weir/watchdog.h for the
 * rules, and look.h. */
#include "core/clause.h"
#include "core/join.h"
#include "core/scope.h"
#include "flow/call.h"
#include "sync/mutex.h"
#include "sync/select.h"
#include "sync/semaphore.h"
#include "watch/look.h"

static struct weir__way *add(struct weir__survey_part *part, enum weir__way_kind kind,
                             const void *object)
{
    struct weir__way *way = weir__survey_note(part, WEIR__SURVEY_WAYS);

    if (!way)
        return NULL;
    way->kind = kind;
    way->object = object;
    return way;
}

static bool note_join(struct weir__survey_part *part, const void *object)
{
    return add(part, WEIR__WAY_TASK, object) != NULL;
}

/* A scope goes only with its joiner. */
static bool note_scope(struct weir__survey_part *part, const void *object)
{
    struct weir_scope *scope = (struct weir_scope *)(uintptr_t)object;
    struct weir__way *way = add(part, WEIR__WAY_SCOPE, scope);

    if (!way)
        return false;
    weir__lock_acquire(&scope->lock);
    way->count = scope->child_count;
    weir__lock_release(&scope->lock);
    return true;
}

/* Nobody destroys a mutex that is waited for. */
static bool note_mutex(struct weir__survey_part *part, const void *object)
{
    struct weir_mutex *mutex = (struct weir_mutex *)(uintptr_t)object;
    const struct weir_task *owner;

    weir__lock_acquire(&mutex->line.lock);
    owner = mutex->owner_task;
    weir__lock_release(&mutex->line.lock);
    return owner && add(part, WEIR__WAY_TASK, owner);
}

static bool note_anybody(struct weir__survey_part *part, const void *object)
{
    (void)object;
    return add(part, WEIR__WAY_ANYBODY, NULL) != NULL;
}

/* The users of the side that must act. */
static bool note_users(struct weir__survey_part *part, struct weir_chan *chan, bool of_senders)
{
    struct weir__way *way = add(part, WEIR__WAY_ANYBODY, NULL);

    if (!way)
        return false;
    weir__lock_acquire(&chan->lock);
    if (chan->users) {
        const struct weir__chan_user_set *set =
            of_senders ? &chan->users->senders : &chan->users->receivers;

        way->count = set->count;
        way->kind = set->is_open || set->count == 0 ? WEIR__WAY_ANYBODY : WEIR__WAY_USERS;
        memcpy(way->users, set->list, sizeof way->users);
    }
    weir__lock_release(&chan->lock);
    return true;
}

static bool note_send(struct weir__survey_part *part, const void *object)
{
    return note_users(part, (struct weir_chan *)(uintptr_t)object, false);
}

static bool note_receive(struct weir__survey_part *part, const void *object)
{
    return note_users(part, (struct weir_chan *)(uintptr_t)object, true);
}

/* The call lies in the frame of the task that waits. */
static bool note_call(struct weir__survey_part *part, const void *object)
{
    struct weir_call *call = (struct weir_call *)(uintptr_t)object;
    const struct weir_task *handler;

    weir__lock_acquire(&call->lock);
    handler = call->handler;
    weir__lock_release(&call->lock);
    return add(part, handler ? WEIR__WAY_TASK : WEIR__WAY_ANYBODY, handler) != NULL;
}

typedef bool note_fn(struct weir__survey_part *part, const void *object);

/* What is up to tasks; any other reason is not. */
static const struct {
    const struct weir__reason *reason;
    note_fn *note;
} rows[] = {
    { &weir__join_awaits_task, note_join },  { &weir__scope_awaits_children, note_scope },
    { &weir__mutex_awaits, note_mutex },     { &weir__semaphore_awaits, note_anybody },
    { &weir__chan_sends, note_send },        { &weir__chan_receives, note_receive },
    { &weir__call_awaits_reply, note_call },
};

static note_fn *find(const struct weir__reason *reason)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].reason == reason)
            return rows[i].note;
    return NULL;
}

/* Every clause of it, unless one is not up to tasks. */
static bool note_selection(struct weir__survey_part *part, const struct weir__selection *selection)
{
    for (size_t i = 0; i < selection->count; i++) {
        const struct weir_clause *clause = &selection->clauses[i];
        note_fn *note = clause->verbs ? find(clause->verbs->reason) : NULL;

        if (clause->verbs && (!note || !note(part, clause->object)))
            return false;
    }
    return true;
}

/* Whether its scope, or one above, or a call, is over at a time that has yet to come. */
static bool is_over_in_time(const struct weir_task *task, int64_t now_ns)
{
    int64_t deadline_ns = task->inherited.deadline_ns;

    if (task->scope) { /* whose deadline may be younger than the task */
        weir__lock_acquire(&task->scope->lock);
        if (task->scope->deadline_ns < deadline_ns)
            deadline_ns = task->scope->deadline_ns;
        weir__lock_release(&task->scope->lock);
    }
    return deadline_ns != WEIR_FOREVER && deadline_ns > now_ns;
}

bool weir__ways_is_locked(const struct weir_task *task, const struct weir__reason *reason,
                          int64_t now_ns)
{
    return reason->phase == WEIR_PHASE_TASK && task->deadline_ns == WEIR_FOREVER &&
           (reason == &weir__select_awaits || find(reason)) && !is_over_in_time(task, now_ns);
}

bool weir__ways_note(struct weir__survey_part *part, const struct weir_task *task,
                     struct weir__sighting *sighting)
{
    struct weir__pile *pile = &part->piles[WEIR__SURVEY_WAYS];
    const struct weir__reason *reason = task->wait.reason;
    bool is_locked;

    sighting->first_way = pile->count;
    is_locked = reason == &weir__select_awaits ? note_selection(part, task->wait.object)
                                               : find(reason)(part, task->wait.object);
    if (!is_locked)
        pile->count = sighting->first_way;
    sighting->way_count = pile->count - sighting->first_way;
    return is_locked;
}
