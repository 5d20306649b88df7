/* SPDX-License-Identifier: MIT */
/* What a task does to the scope that owns it; the public verbs are in <weir/scope.h>. */
#ifndef WEIR_CORE_SCOPE_H
#define WEIR_CORE_SCOPE_H

#include "base/list.h"
#include "base/lock.h"
#include "core/wait.h"

#include <weir/scope.h>

struct weir_scope {
    struct weir__lock lock;
    enum weir_scope_kind kind;
    /* Under the lock. */
    struct weir__list children; /* weir_task.sibling */
    size_t child_count;
    int first_error; /* what join returns (fail-fast, collect) */
    bool cancelled;
    struct weir__waiter *joiner; /* parked until child_count is 0 */
    /* Constant. */
    struct weir__runtime *runtime; /* whose tasks it takes from plain threads; may be NULL */
    void (*on_failure)(void *context, const struct weir_failure *failure);
    void *context;
    size_t limit; /* most children at once; 0: no limit of its own */
    bool named;   /* by its maker */
    char name[WEIR_NAME_BYTES];
};

struct weir_task;

/* Why one waits for a scope's children; the object is the scope. */
extern const struct weir__reason weir__scope_awaits_children;

/* Makes a new task the scope's child: 0; -ECANCELED when the scope is cancelled; -EPIPE when it is
 * being joined and the caller is not its child; -EAGAIN when it has as many as it may. */
int weir__scope_add(struct weir_scope *scope, struct weir_task *task);

/*
 * A child failed: fail-fast cancels the others. Returns whether the scope keeps the error as what
 * its join returns; otherwise somebody else must report it.
 */
bool weir__scope_note(struct weir_scope *scope, int error);

/* The child is no more; after this the caller may not touch the scope. */
void weir__scope_remove(struct weir_scope *scope, struct weir_task *task);

#endif
