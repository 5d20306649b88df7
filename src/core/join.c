/* SPDX-License-Identifier: MIT */
/*
 * The end of a task, seen from outside. A failure is heard exactly once: by the joiner of the
 * handle, else by the join of the scope that keeps it, else by the report. Being cancelled is not a
 * failure.
 */
#include "core/join.h"

#include "base/log.h"
#include "core/callback.h"
#include "core/clause.h"
#include "core/park.h"
#include "core/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { PLACE_BYTES = 128, NS_PER_MS = 1000000 };

static void format_address(const void *return_address, char *text, size_t bytes)
{
    snprintf(text, bytes, "%p", return_address);
}

weir__place_format_fn *_Atomic weir__join_format_place = format_address;

void weir__join_place(const void *return_address, char *text, size_t bytes)
{
    /* relaxed: code is constant */
    atomic_load_explicit(&weir__join_format_place, memory_order_relaxed)(return_address, text,
                                                                         bytes);
}

static void print_failure(const struct weir_failure *failure)
{
    char place[PLACE_BYTES] = "the runtime";

    if (failure->spawned_at)
        weir__join_place(failure->spawned_at, place, sizeof place);
    weir__log_line("weir: task \"%s\" of scope \"%s\" on loop %u, spawned by %s %" PRId64
                   " ms ago, failed with %s (%d) and nobody joined it; join it, or set on_failure",
                   failure->task_name, failure->scope_name, failure->loop_index, place,
                   failure->age_ns / NS_PER_MS, weir_error_name(failure->error), failure->error);
}

static void tell(const struct weir_failure *failure,
                 void (*on_failure)(void *context, const struct weir_failure *failure),
                 void *context)
{
    if (on_failure)
        on_failure(context, failure);
    else
        print_failure(failure);
}

static void report(const struct weir_task *task, const char *scope_name,
                   void (*on_failure)(void *context, const struct weir_failure *failure),
                   void *context)
{
    const struct weir_failure failure = {
        .task_name = task->name,
        .scope_name = scope_name,
        .error = task->result,
        .loop_index = task->loop_index,
        .spawned_at = task->spawned_at,
        .age_ns = weir__wait_now() - task->born_ns,
    };

    tell(&failure, on_failure, context);
}

void weir__join_callback_failed(struct weir__loop *loop, const char *name, int error)
{
    const struct weir_options *options = &loop->runtime->options;
    const struct weir_failure failure = {
        .task_name = name,
        .scope_name = "callbacks",
        .error = error,
        .loop_index = loop->index,
    };

    tell(&failure, options->on_failure, options->context);
    weir__counter_add(&loop->counters, WEIR_FAILURES_REPORTED, 1);
}

/* Until here the task has held its room: so a storm of failures is bounded as tasks are. */
static void deliver_report(struct weir__loop *loop, struct weir__mail *mail)
{
    struct weir_task *task = weir__task_of_mail(mail);
    const struct weir_options *options = &loop->runtime->options;
    const struct weir_scope *scope = task->scope;

    weir__task_leave_room(loop); /* before the report, which may want to spawn another */
    if (scope->on_failure)
        report(task, scope->name, scope->on_failure, scope->context);
    else
        report(task, scope->name, options->on_failure, options->context);
    weir__counter_add(&loop->counters, WEIR_FAILURES_REPORTED, 1);
    weir__scope_remove(task->scope, task);
    weir__task_unref(task);
}

/* A failure whose handle was given up without a join, after the end; scope and runtime may be
 * gone. */
static void report_late(void *arg)
{
    const struct weir_task *task = arg;

    report(task, "ended", task->on_failure, task->context);
    if (weir__loop_current)
        weir__counter_add(&weir__loop_current->counters, WEIR_FAILURES_REPORTED, 1);
}

/* The other joiners, when there are several: claimed under the lock, woken after it. */
static __attribute__((noinline)) void claim_more(struct weir_task *task, struct weir__list *woken)
{
    struct weir__waiter *waiter;

    while ((waiter = weir__waiter_claim_first(&task->joiners)))
        weir__list_append(woken, &waiter->link);
}

/* Marks the end and wakes the joiners; returns whether a handle can still hear the result. */
static bool publish_end(struct weir_task *task, bool failed)
{
    struct weir__waiter *first;
    struct weir__list woken;
    struct weir__list *link;
    bool heard;

    weir__list_init(&woken);
    weir__lock_acquire(&task->lock);
    task->ended = true;
    heard = !task->released;
    task->unreported = failed && heard;
    if (WEIR_UNLIKELY(task->unreported)) {
        task->on_failure = task->wait.loop->runtime->options.on_failure;
        task->context = task->wait.loop->runtime->options.context;
    }
    first = weir__waiter_claim_first(&task->joiners);
    if (WEIR_UNLIKELY(!weir__list_empty(&task->joiners)))
        claim_more(task, &woken);
    weir__lock_release(&task->lock);
    if (first)
        weir__wait_wake(first->wait);
    while (WEIR_UNLIKELY((link = weir__list_pop(&woken)) != NULL))
        weir__wait_wake(WEIR_CONTAINER_OF(link, struct weir__waiter, link)->wait);
    return heard;
}

bool weir__join_task_ended(struct weir__loop *loop, struct weir_task *task)
{
    bool failed = task->result < 0 && !(task->cancelled && task->result == -ECANCELED);
    bool kept = false;
    bool heard;

    if (WEIR_UNLIKELY(failed)) {
        weir__counter_add(&loop->counters, WEIR_TASKS_FAILED, 1);
        kept = task->scope && weir__scope_note_failure(task->scope, task);
    }
    heard = task->has_handle && publish_end(task, failed && !kept);
    if (WEIR_UNLIKELY(failed && !kept && !heard && task->scope)) {
        task->wait.mail.deliver = deliver_report;
        weir__callback_post(loop, &task->wait.mail);
        return true;
    }
    if (task->scope)
        weir__scope_remove(task->scope, task);
    return false;
}

void weir_task_release(struct weir_task *task)
{
    bool unreported;

    if (!task)
        return;
    weir__lock_acquire(&task->lock);
    WEIR_ASSERT(!task->released);
    task->released = true;
    unreported = task->unreported;
    weir__lock_release(&task->lock);
    if (unreported)
        weir__callback_call(report_late, task);
    weir__task_unref(task);
}

static void describe_task(const void *object, char *text, size_t bytes)
{
    const struct weir_task *task = object;

    snprintf(text, bytes, "task \"%s\"", task->name);
}

const struct weir__reason weir__join_awaits_task = { "join", WEIR_PHASE_TASK, describe_task };

/*
 * Parks until the task has ended; 0 or why not. Called under the task's lock, returns without it.
 * Whoever ended the task unlinked the waiter, and touches the task's result no more.
 */
static int wait_for_end(struct weir_task *task, int64_t deadline_ns)
{
    struct weir__waiter waiter = { .wait = weir__wait_self(), .alone = true };
    int error;

    weir__wait_begin(waiter.wait, &weir__join_awaits_task, task);
    weir__list_append(&task->joiners, &waiter.link);
    weir__lock_release(&task->lock);
    error = weir__wait_park(waiter.wait, deadline_ns, WEIR__PARK_CANCELLABLE);
    if (WEIR_LIKELY(error >= 0))
        return 0;
    weir__lock_acquire(&task->lock);
    weir__list_unlink(&waiter.link);
    weir__lock_release(&task->lock);
    return error;
}

int weir_join(struct weir_task *task, int *result, int64_t deadline_ns)
{
    int error = weir__wait_check();

    if (WEIR_UNLIKELY(!task))
        return -EINVAL;
    if (WEIR_UNLIKELY(error < 0))
        return error;
    if (WEIR_UNLIKELY(weir_task_self() == task))
        return -EDEADLK;
    weir__lock_acquire(&task->lock);
    WEIR_ASSERT(!task->released);
    if (!task->ended)
        error = weir__wait_refuse(deadline_ns);
    if (task->ended || error < 0)
        weir__lock_release(&task->lock);
    else
        error = wait_for_end(task, deadline_ns);
    if (WEIR_UNLIKELY(error < 0))
        return error;
    /* It has ended, and the handle is the caller's alone: no lock is needed any more. */
    if (result)
        *result = task->result;
    weir__task_unref(task);
    return 0;
}

/* A task cannot wait for its own end. */
static int join_prepare(struct weir_clause *clause)
{
    return weir_task_self() == clause->object ? -EINVAL : 0;
}

static void join_take(struct weir_clause *clause)
{
    struct weir_task *task = clause->object;

    task->unreported = false; /* somebody has heard it */
    clause->result = 0;
    if (clause->elem)
        *(int *)clause->elem = task->result;
}

static bool join_ready(const struct weir_clause *clause)
{
    return ((const struct weir_task *)clause->object)->ended;
}

static bool join_try(struct weir_clause *clause, struct weir__wait **wake)
{
    struct weir_task *task = clause->object;

    (void)wake;
    if (task->ended)
        join_take(clause);
    return task->ended;
}

static void join_arm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    weir__list_append(&((struct weir_task *)clause->object)->joiners, &waiter->link);
}

static void join_disarm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_task *task = clause->object;

    weir__lock_acquire(&task->lock);
    weir__list_unlink(&waiter->link);
    weir__lock_release(&task->lock);
}

static void join_fired(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir_task *task = clause->object;

    (void)waiter;
    weir__lock_acquire(&task->lock);
    join_take(clause);
    weir__lock_release(&task->lock);
}

static const struct weir_clause_verbs join_verbs = {
    .name = "join",
    .reason = &weir__join_awaits_task,
    .is_careful = true,
    .prepare = join_prepare,
    .ready = join_ready,
    .try = join_try,
    .arm = join_arm,
    .disarm = join_disarm,
    .fired = join_fired,
};

struct weir_clause weir_clause_join(struct weir_task *task, int *result)
{
    struct weir_clause clause = { .object = task, .elem = result };

    if (!task)
        return clause;
    clause.verbs = &join_verbs;
    weir__clause_internal(&clause)->lock = &task->lock;
    return clause;
}
