/* SPDX-License-Identifier: MIT */
/*
 * Scopes. A child is linked from spawn until it has ended and its failure, if it is to be reported,
 * has been: so join returns after the last report.
 *
 * The joiner frees the scope. A child's last touch of it is the release of the lock under which it
 * unlinked itself; the joiner takes that lock once more before it frees.
 */
#include "core/scope.h"

#include "base/assert.h"
#include "base/memory.h"
#include "core/park.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LOOP_MAX = 256 };

/* Loops that must be rung once a lock is released. */
struct ring_list {
    struct weir__loop *loops[LOOP_MAX];
    unsigned count;
};

int weir_scope_create(struct weir_scope **scope, enum weir_scope_kind kind,
                      const struct weir_scope_options *options)
{
    static const struct weir_scope_options defaults;
    struct weir_scope *made;

    if (!scope || kind > WEIR_SCOPE_SUPERVISE)
        return -EINVAL;
    options = options ? options : &defaults;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    if (options->size && options->size != sizeof *options)
        return -EINVAL;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return -EINVAL;
    if (options->name && strlen(options->name) >= WEIR_NAME_BYTES)
        return -E2BIG;
    made = weir__memory_zalloc(weir__loop_current ? weir__loop_current->heap : NULL, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->runtime = weir__loop_current ? weir__loop_current->runtime : NULL;
    made->kind = kind;
    made->on_failure = options->on_failure;
    made->context = options->context;
    made->limit = options->limit;
    made->named = options->name != NULL;
    strcpy(made->name, options->name ? options->name : "scope");
    weir__list_init(&made->children);
    *scope = made;
    return 0;
}

/* Whether the caller keeps the scope from ending: it is a child, or the report of one. */
static bool is_inside(const struct weir_scope *scope)
{
    const struct weir__loop *loop = weir__loop_current;

    return loop && (loop->current->scope == scope || loop->current == loop->callback_task);
}

int weir__scope_add(struct weir_scope *scope, struct weir_task *task)
{
    int error = 0;

    weir__lock_acquire(&scope->lock);
    if (scope->cancelled) {
        error = -ECANCELED;
    } else if (scope->joiner && !is_inside(scope)) {
        error = -EPIPE;
    } else if (WEIR_UNLIKELY(scope->limit && scope->child_count >= scope->limit)) {
        error = -EAGAIN;
    } else {
        task->scope = scope;
        weir__list_append(&scope->children, &task->sibling);
        scope->child_count++;
    }
    weir__lock_release(&scope->lock);
    return error;
}

/* Under the lock: posts a cancel to every child, and notes whom to ring afterwards. */
static bool cancel_children(struct weir_scope *scope, struct ring_list *rings)
{
    struct weir__list *link;

    if (scope->cancelled)
        return false;
    scope->cancelled = true;
    for (link = scope->children.next; link != &scope->children; link = link->next) {
        bool already;
        struct weir__loop *loop =
            weir__task_post_cancel(WEIR_CONTAINER_OF(link, struct weir_task, sibling), &already);

        if (loop && rings->count < LOOP_MAX)
            rings->loops[rings->count++] = loop;
        else if (loop)
            weir__loop_ring(loop); /* some loop keeps waking and falling asleep meanwhile */
    }
    return true;
}

static void ring_all(const struct ring_list *rings)
{
    for (unsigned i = 0; i < rings->count; i++)
        weir__loop_ring(rings->loops[i]);
}

static bool cancel_scope(struct weir_scope *scope)
{
    struct ring_list rings;
    bool done;

    rings.count = 0;
    weir__lock_acquire(&scope->lock);
    done = cancel_children(scope, &rings);
    weir__lock_release(&scope->lock);
    ring_all(&rings);
    return done;
}

bool weir__scope_note(struct weir_scope *scope, int error)
{
    bool kept;

    if (scope->kind == WEIR_SCOPE_SUPERVISE)
        return false;
    weir__lock_acquire(&scope->lock);
    kept = scope->first_error == 0;
    if (kept)
        scope->first_error = error;
    weir__lock_release(&scope->lock);
    if (scope->kind == WEIR_SCOPE_FAIL_FAST)
        cancel_scope(scope);
    return kept;
}

void weir__scope_remove(struct weir_scope *scope, struct weir_task *task)
{
    struct weir__wait *wake = NULL;

    weir__lock_acquire(&scope->lock);
    weir__list_unlink(&task->sibling);
    if (--scope->child_count == 0 && scope->joiner) {
        if (weir__wait_claim(scope->joiner->wait, scope->joiner->index))
            wake = scope->joiner->wait;
        scope->joiner = NULL;
    }
    weir__lock_release(&scope->lock);
    if (wake)
        weir__wait_wake(wake);
}

static void describe_scope(const void *object, char *text, size_t bytes)
{
    const struct weir_scope *scope = object;

    snprintf(text, bytes, "scope \"%s\"", scope->name);
}

const struct weir__reason weir__scope_awaits_children = { "scope join", WEIR_PHASE_TASK,
                                                          describe_scope };

/* Parks until no child is left: 0, or why it was interrupted first. */
static int wait_for_children(struct weir_scope *scope, int64_t deadline_ns, unsigned flags)
{
    struct weir__wait *wait = weir__wait_self();
    struct weir__waiter waiter = { .wait = wait };
    int code;

    weir__lock_acquire(&scope->lock);
    if (scope->child_count == 0) {
        weir__lock_release(&scope->lock);
        return 0;
    }
    weir__wait_begin(wait, &weir__scope_awaits_children, scope);
    scope->joiner = &waiter;
    weir__lock_release(&scope->lock);
    code = weir__wait_park(wait, deadline_ns, flags);
    weir__lock_acquire(&scope->lock);
    scope->joiner = NULL;
    weir__lock_release(&scope->lock);
    return code;
}

int weir_scope_join(struct weir_scope *scope, int64_t deadline_ns)
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
        cancel_scope(scope);
        wait_for_children(scope, INT64_MAX, WEIR__PARK_RELEASE);
    }
    result = scope->first_error ? scope->first_error : reason;
    WEIR_ASSERT(weir__list_empty(&scope->children));
    weir__memory_free(scope);
    return result;
}

int weir_scope_cancel(struct weir_scope *scope)
{
    if (!scope)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    return cancel_scope(scope) ? 0 : WEIR_ALREADY;
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
