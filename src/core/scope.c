/* SPDX-License-Identifier: MIT */
/*
 * Scopes. A child is linked from spawn until it has ended and its failure, if it is to be reported,
 * has been: so join returns after the last report.
 *
 * The joiner frees the scope. A child's last touch of it is the release of the lock under which it
 * unlinked itself; the joiner takes that lock once more before it frees. So it is with a guest, a
 * spawn that waits for a place: it counts until it has left.
 *
 *   open ---> joined: newcomers from outside are refused ---> freed, when nobody is left
 *     |         ^
 *     `--> cancelled, once: by its verb, a child's end, the deadline, its owner, the joiner
 */
#include "core/scope.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "core/alarm.h"
#include "core/join.h"
#include "core/park.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PLACE_BYTES = 128 };

static int check_options(const struct weir_scope_options *options)
{
    if (options->size && options->size != sizeof *options)
        return -EINVAL;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return -EINVAL;
    if (options->duration_ns < 0)
        return -EINVAL;
    if (options->name && strlen(options->name) >= WEIR_NAME_BYTES)
        return -E2BIG;
    return 0;
}

/* It belongs to no task. Nobody's it may be, but not forgotten: it is still to be joined. */
static void set_loose(struct weir_scope *scope)
{
    weir__lock_acquire(&scope->runtime->loose_lock);
    weir__list_append(&scope->runtime->loose_scopes, &scope->owned);
    weir__lock_release(&scope->runtime->loose_lock);
}

/* The calling task's cancel will reach the scope. */
static void belong_to_caller(struct weir_scope *scope)
{
    struct weir_task *task = weir__loop_current->current;

    atomic_store_explicit(&scope->owner, task, memory_order_relaxed);
    weir__task_prepare_ends(task);
    weir__lock_acquire(&task->lock);
    weir__list_append(&task->scopes, &scope->owned);
    weir__lock_release(&task->lock);
}

int weir_scope_create(struct weir_scope **scope, enum weir_scope_kind kind,
                      const struct weir_scope_options *options)
{
    static const struct weir_scope_options defaults;
    struct weir_scope *made;
    int error;

    if (!scope || kind > WEIR_SCOPE_ANY)
        return -EINVAL;
    options = options ? options : &defaults;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    error = check_options(options);
    if (error < 0)
        return error;
    made = weir__memory_zalloc(weir__loop_current ? weir__loop_current->heap : NULL, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->runtime = weir__loop_current ? weir__loop_current->runtime : NULL;
    made->kind = kind;
    made->on_failure = options->on_failure;
    made->context = options->context;
    made->limit = options->limit;
    made->created_at = __builtin_return_address(0);
    made->gates = (options->limit ? WEIR__SCOPE_LIMITED : 0u) |
                  (kind >= WEIR_SCOPE_RACE ? WEIR__SCOPE_RACED : 0u);
    made->deadline_ns = WEIR_FOREVER;
    made->named = options->name != NULL;
    strcpy(made->name, options->name ? options->name : "scope");
    weir__list_init(&made->children);
    weir__list_init(&made->guests);
    if (options->duration_ns)
        error = weir_scope_set_deadline(made, weir_in_ns(options->duration_ns));
    if (error < 0) {
        weir__memory_free(made);
        return error;
    }
    if (made->runtime && options->cancel_at_join)
        set_loose(made);
    else if (made->runtime)
        belong_to_caller(made);
    weir__scope_show_places(made);
    *scope = made;
    return 0;
}

/* --- Cancelling. ------------------------------------------------------------------------------ */

void weir__errands_run(const struct weir__errands *errands)
{
    for (unsigned i = 0; i < errands->loop_count; i++)
        weir__loop_ring(errands->loops[i]);
    weir__wait_wake_all(errands->wakes);
}

static void note_ring(struct weir__errands *errands, struct weir__loop *loop)
{
    if (errands->loop_count < WEIR__ERRANDS_MAX)
        errands->loops[errands->loop_count++] = loop;
    else
        weir__loop_ring(loop); /* some loop keeps waking and falling asleep meanwhile */
}

bool weir__scope_cancel_children(struct weir_scope *scope, int reason,
                                 struct weir__errands *errands)
{
    struct weir__list *link;

    if (scope->gates & WEIR__SCOPE_CANCELLED)
        return false;
    scope->gates |= WEIR__SCOPE_CANCELLED;
    scope->reason = reason;
    for (link = scope->children.next; link != &scope->children; link = link->next) {
        bool already;
        struct weir__loop *loop =
            weir__task_post_cancel(WEIR_CONTAINER_OF(link, struct weir_task, sibling), &already);

        if (loop)
            note_ring(errands, loop);
    }
    scope->cut_short = scope->child_count > 0 || scope->guest_count > 0;
    weir__scope_refuse_guests(scope, false, errands);
    return true;
}

static bool cancel_scope(struct weir_scope *scope, int reason)
{
    struct weir__errands errands;
    bool done;

    weir__errands_init(&errands);
    weir__lock_acquire(&scope->lock);
    done = weir__scope_cancel_children(scope, reason, &errands);
    weir__lock_release(&scope->lock);
    weir__errands_run(&errands);
    return done;
}

void weir__scope_cancel_owned(struct weir_task *task)
{
    struct weir__errands errands;
    struct weir__list *link;

    weir__errands_init(&errands);
    weir__lock_acquire(&task->lock);
    for (link = task->scopes.next; link != &task->scopes; link = link->next) {
        struct weir_scope *scope = WEIR_CONTAINER_OF(link, struct weir_scope, owned);

        weir__lock_acquire(&scope->lock);
        weir__scope_cancel_children(scope, -ECANCELED, &errands);
        weir__lock_release(&scope->lock);
    }
    weir__lock_release(&task->lock);
    weir__errands_run(&errands);
}

void weir__scope_orphan_owned(struct weir_task *task)
{
    struct weir__list *link;

    weir__lock_acquire(&task->lock);
    while ((link = weir__list_pop(&task->scopes))) {
        struct weir_scope *scope = WEIR_CONTAINER_OF(link, struct weir_scope, owned);

        weir__lock_acquire(&scope->lock);
        atomic_store_explicit(&scope->owner, NULL, memory_order_relaxed);
        set_loose(scope);
        weir__lock_release(&scope->lock);
    }
    weir__lock_release(&task->lock);
}

/* Under its owner's lock, if it has one. */
static void leave_list(struct weir_scope *scope)
{
    if (atomic_load_explicit(&scope->owner, memory_order_relaxed)) {
        weir__list_unlink(&scope->owned);
    } else if (scope->runtime) {
        weir__lock_acquire(&scope->runtime->loose_lock);
        weir__list_unlink(&scope->owned);
        weir__lock_release(&scope->runtime->loose_lock);
    }
}

/*
 * The scope is about to go: takes it from its owner, who may be elsewhere, and about to end. Who
 * ends holds the scope's lock for a moment more, though it has nothing to do with it any more.
 */
static void disown(struct weir_scope *scope)
{
    struct weir_task *self = weir__loop_current ? weir__loop_current->current : NULL;
    struct weir_task *owner = atomic_load_explicit(&scope->owner, memory_order_relaxed);

    if (!self || owner != self) {
        weir__lock_acquire(&scope->lock);
        owner = atomic_load_explicit(&scope->owner, memory_order_relaxed);
        if (owner) /* relaxed: it has not ended, so it has a reference */
            atomic_fetch_add_explicit(&owner->refs, 1, memory_order_relaxed);
        weir__lock_release(&scope->lock);
    }
    if (!owner) {
        leave_list(scope);
        return;
    }
    weir__lock_acquire(&owner->lock);
    leave_list(scope); /* it may have ended by now */
    weir__lock_release(&owner->lock);
    if (owner != self)
        weir__task_unref(owner);
}

int weir_scope_cancel(struct weir_scope *scope)
{
    if (!scope)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    return cancel_scope(scope, 0) ? 0 : WEIR_ALREADY;
}

/* Under the lock: children inherit the deadline from now on. */
static void show_deadline(struct weir_scope *scope, int64_t deadline_ns)
{
    scope->deadline_ns = deadline_ns;
    scope->gates &= ~(unsigned)WEIR__SCOPE_TIMED;
    if (deadline_ns != WEIR_FOREVER)
        scope->gates |= WEIR__SCOPE_TIMED;
}

void weir__scope_promise_deadline(struct weir_scope *scope, int64_t deadline_ns)
{
    weir__lock_acquire(&scope->lock);
    show_deadline(scope, deadline_ns);
    weir__lock_release(&scope->lock);
}

int weir_scope_set_deadline(struct weir_scope *scope, int64_t deadline_ns)
{
    struct weir__alarm *alarm = NULL, *previous;

    if (!scope)
        return -EINVAL;
    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    if (deadline_ns != WEIR_FOREVER) {
        alarm = weir__alarm_create(scope, deadline_ns);
        if (!alarm)
            return -ENOMEM;
    }
    weir__lock_acquire(&scope->lock);
    previous = scope->alarm;
    scope->alarm = alarm;
    show_deadline(scope, deadline_ns);
    weir__lock_release(&scope->lock);
    if (previous)
        weir__alarm_end(previous);
    if (deadline_ns <= weir__clock_now())
        cancel_scope(scope, -ETIME); /* it has passed: nobody is to be admitted any more */
    return 0;
}

/* --- Children. -------------------------------------------------------------------------------- */

/* Under the lock. A timed scope's child inherits the deadline. */
static int pass_gates(struct weir_scope *scope, struct weir_task *task)
{
    if (scope->gates & WEIR__SCOPE_CANCELLED) {
        scope->cut_short = true;
        return -ECANCELED;
    }
    if (scope->joiner && !weir__scope_is_inside(scope))
        return -EPIPE;
    if (scope->deadline_ns < task->inherited.deadline_ns)
        task->inherited.deadline_ns = scope->deadline_ns;
    if (scope->gates & WEIR__SCOPE_LIMITED)
        scope->child_count--; /* the place becomes the child */
    return 0;
}

int weir__scope_add(struct weir_scope *scope, struct weir_task *task)
{
    int error = 0;

    weir__lock_acquire(&scope->lock);
    if (WEIR_UNLIKELY(scope->gates))
        error = pass_gates(scope, task);
    if (WEIR_LIKELY(error >= 0)) {
        task->scope = scope;
        weir__list_append(&scope->children, &task->sibling);
        scope->child_count++;
    }
    weir__lock_release(&scope->lock);
    return error;
}

/* --- Ends. ------------------------------------------------------------------------------------ */

static void remember(struct weir_scope_end *end, const struct weir_task *task)
{
    end->result = task->result;
    end->loop_index = task->loop_index;
    end->arg = task->arg;
    end->spawned_at = task->spawned_at;
    end->age_ns = weir__wait_now() - task->born_ns;
    strcpy(end->task_name, task->name);
}

/* Under the lock: an end that decides. After a cancel only a success does: an effect is not hidden,
 * but to fail then is to obey. */
static void decide(struct weir_scope *scope, const struct weir_task *task,
                   struct weir__errands *errands)
{
    bool may_fail = scope->kind == WEIR_SCOPE_RACE && !(scope->gates & WEIR__SCOPE_CANCELLED);

    if (scope->outcome.has_winner || (task->result < 0 && !may_fail))
        return;
    scope->outcome.has_winner = true;
    remember(&scope->outcome.winner, task);
    weir__scope_cancel_children(scope, 0, errands);
}

bool weir__scope_note_failure(struct weir_scope *scope, const struct weir_task *task)
{
    struct weir_scope_outcome *outcome = &scope->outcome;
    struct weir__errands errands;
    bool first, raced;

    weir__errands_init(&errands);
    weir__lock_acquire(&scope->lock);
    first = !outcome->has_failure;
    raced = scope->gates & WEIR__SCOPE_RACED;
    if (first) {
        outcome->has_failure = true;
        remember(&outcome->failure, task);
    }
    if (raced)
        decide(scope, task, &errands);
    else if (scope->kind == WEIR_SCOPE_FAIL_FAST)
        weir__scope_cancel_children(scope, 0, &errands);
    weir__lock_release(&scope->lock);
    weir__errands_run(&errands);
    return raced || (first && scope->kind != WEIR_SCOPE_SUPERVISE);
}

/* Under the lock, which it gives back: the scope cares who leaves it. */
static __attribute__((noinline)) void part(struct weir_scope *scope, const struct weir_task *task)
{
    struct weir__errands errands;
    struct weir__wait *wake;

    weir__errands_init(&errands);
    if ((scope->gates & WEIR__SCOPE_RACED) && task->result >= 0)
        decide(scope, task, &errands);
    wake = weir__scope_free_place(scope);
    weir__lock_release(&scope->lock);
    weir__errands_run(&errands);
    if (wake)
        weir__wait_wake(wake);
}

void weir__scope_remove(struct weir_scope *scope, struct weir_task *task)
{
    weir__lock_acquire(&scope->lock);
    weir__list_unlink(&task->sibling);
    if (WEIR_UNLIKELY(scope->gates)) {
        part(scope, task);
        return;
    }
    scope->child_count--;
    weir__lock_release(&scope->lock);
}

/* --- Joining. --------------------------------------------------------------------------------- */

void weir__scope_describe(const void *object, char *text, size_t bytes)
{
    const struct weir_scope *scope = object;

    snprintf(text, bytes, "scope \"%s\"", scope->name);
}

const struct weir__reason weir__scope_awaits_children = { "scope join", WEIR_PHASE_TASK,
                                                          weir__scope_describe };

/* Parks until nobody is left: 0, or why it was interrupted first. */
static int wait_for_children(struct weir_scope *scope, int64_t deadline_ns, unsigned flags)
{
    struct weir__wait *wait = weir__wait_self();
    struct weir__waiter waiter = { .wait = wait };
    struct weir__errands errands;
    int code;

    weir__lock_acquire(&scope->lock);
    if (scope->child_count == 0 && scope->guest_count == 0) {
        weir__lock_release(&scope->lock);
        return 0;
    }
    weir__wait_begin(wait, &weir__scope_awaits_children, scope);
    scope->joiner = &waiter;
    scope->gates |= WEIR__SCOPE_JOINED;
    weir__errands_init(&errands);
    weir__scope_refuse_guests(scope, true, &errands);
    weir__lock_release(&scope->lock);
    weir__wait_wake_all(errands.wakes);
    code = weir__wait_park(wait, deadline_ns, flags);
    weir__lock_acquire(&scope->lock);
    scope->joiner = NULL;
    weir__lock_release(&scope->lock);
    return code;
}

/* `reason` is why the join did not wait for all to end by themselves. */
static int result_of(const struct weir_scope *scope, int reason)
{
    const struct weir_scope_outcome *outcome = &scope->outcome;

    if (outcome->has_winner)
        return outcome->winner.result;
    if (reason >= 0 && scope->cut_short)
        reason = scope->reason;
    if (!(scope->gates & WEIR__SCOPE_RACED)) {
        if (outcome->has_failure && scope->kind != WEIR_SCOPE_SUPERVISE)
            return outcome->failure.result;
        return reason;
    }
    if (reason < 0)
        return reason;
    if (scope->cut_short)
        return -ECANCELED;
    return outcome->has_failure ? outcome->failure.result : -ENOENT;
}

int weir_scope_join_outcome(struct weir_scope *scope, struct weir_scope_outcome *outcome,
                            int64_t deadline_ns)
{
    int reason, result;

    if (!scope)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    if (weir__loop_current && weir__loop_current->current->scope == scope)
        return -EDEADLK;
    if (deadline_ns == WEIR_NOW)
        deadline_ns = 1; /* a deadline like any other that has passed */
    reason = wait_for_children(scope, deadline_ns, WEIR__PARK_CANCELLABLE);
    if (reason < 0) {
        cancel_scope(scope, reason);
        wait_for_children(scope, INT64_MAX, WEIR__PARK_RELEASE);
    }
    disown(scope);
    if (scope->gauge.read)
        weir__gauge_remove(&scope->gauge);
    if (scope->alarm)
        weir__alarm_end(scope->alarm);
    result = result_of(scope, reason);
    if (outcome)
        *outcome = scope->outcome;
    WEIR_ASSERT(weir__list_empty(&scope->children));
    weir__memory_free(scope);
    return result;
}

int weir_scope_join(struct weir_scope *scope, int64_t deadline_ns)
{
    return weir_scope_join_outcome(scope, NULL, deadline_ns);
}

static _Noreturn void die_of_unjoined(const struct weir_scope *scope)
{
    char place[PLACE_BYTES];

    weir__join_place(scope->created_at, place, sizeof place);
    WEIR_DIE("scope \"%s\", created at %s, was never joined (tasks in it: %zu): "
             "join it on every way out of what created it, before the root task returns",
             scope->name, place, scope->child_count);
}

void weir__scope_check_joined(struct weir__loop *loop)
{
    struct weir__runtime *runtime = loop->runtime;

    if (loop->main_task->has_ends)
        weir__scope_orphan_owned(loop->main_task);
    weir__lock_acquire(&runtime->loose_lock);
    if (!weir__list_empty(&runtime->loose_scopes))
        die_of_unjoined(WEIR_CONTAINER_OF(runtime->loose_scopes.next, struct weir_scope, owned));
    weir__lock_release(&runtime->loose_lock);
}

/* --- Looking. --------------------------------------------------------------------------------- */

int weir_scope_read(struct weir_scope *scope, struct weir_scope_outcome *outcome)
{
    if (!scope || !outcome)
        return -EINVAL;
    weir__lock_acquire(&scope->lock);
    *outcome = scope->outcome;
    weir__lock_release(&scope->lock);
    return 0;
}

size_t weir_scope_count(struct weir_scope *scope)
{
    size_t count;

    if (!scope)
        return 0;
    weir__lock_acquire(&scope->lock);
    count = scope->child_count;
    weir__lock_release(&scope->lock);
    return count;
}
