/* SPDX-License-Identifier: MIT */
/*
 * What a task does to the scope that owns it; the public verbs are in <weir/scope.h>.
 *
 * Locks are taken in this order: of a task (its scopes hang there), of an alarm, of a scope.
 */
#ifndef WEIR_CORE_SCOPE_H
#define WEIR_CORE_SCOPE_H

#include "base/gauge.h"
#include "base/list.h"
#include "base/lock.h"
#include "core/wait.h"

#include <weir/scope.h>

struct weir__alarm;
struct weir__patience;
struct weir_task;

/* What a newcomer must look at; none of them for most spawns. */
enum weir__scope_gates {
    WEIR__SCOPE_CANCELLED = 1 << 0,
    WEIR__SCOPE_JOINED = 1 << 1,  /* `joiner` is set */
    WEIR__SCOPE_LIMITED = 1 << 2, /* `limit` is set: children have taken a place before */
    WEIR__SCOPE_TIMED = 1 << 3,   /* `deadline_ns` is set */
    WEIR__SCOPE_RACED = 1 << 4,   /* of a kind in which an end may decide */
};

struct weir_scope {
    struct weir__lock lock;
    enum weir_scope_kind kind;
    /* Under the lock. */
    struct weir__list children; /* weir_task.sibling */
    size_t child_count;         /* and places that were taken for children to come */
    struct weir__list guests;   /* spawns that wait for a place: weir__waiter.link */
    size_t guest_count;         /* those, and the ones that were refused and are about to leave */
    unsigned gates;             /* enum weir__scope_gates */
    int reason;     /* why it was cancelled: -ETIME, -ECANCELED; 0: for a child, or as was asked */
    bool cut_short; /* children were cancelled, or refused because the scope is */
    struct weir__waiter *joiner; /* parked until no child and no guest is left */
    int64_t deadline_ns;
    struct weir__alarm *alarm;
    struct weir_scope_outcome outcome;
    struct weir_scope_stats stats; /* `children` and `waiting` aside */
    struct weir__gauge gauge;      /* of a scope with name and limit: shows `stats` */
    /* The task whose cancel reaches the scope. Written by that task only: at the creation, and at
     * its end, under both locks. Relaxed: it sees what it wrote itself, others take the lock. */
    struct weir_task *_Atomic owner;
    /* Without a runtime in no list; else in weir_task.scopes, under that task's lock, or in
     * weir__runtime.loose_scopes, under theirs. */
    struct weir__list owned;
    /* Constant. */
    struct weir__runtime *runtime; /* whose tasks it takes from plain threads; may be NULL */
    void (*on_failure)(void *context, const struct weir_failure *failure);
    void *context;
    size_t limit;           /* most children at once; 0: no limit of its own */
    bool named;             /* by its maker */
    const void *created_at; /* return address */
    char name[WEIR_NAME_BYTES];
};

/*
 * Before anything else is done for a spawn into a scope with a limit: takes a place, waiting in
 * order, if it may, as long as it may.
 * Errors: -EAGAIN, -ETIME no place; -ECANCELED the scope or the caller is cancelled; -EPIPE as
 * below.
 */
int weir__scope_take_place(struct weir_scope *scope, struct weir__patience *patience);

/* Why one waits for a scope's children; the object is the scope. */
extern const struct weir__reason weir__scope_awaits_children;

/* A new scope with name and limit is seen by who walks all queues, until its gauge is removed. */
void weir__scope_show_places(struct weir_scope *scope);

/* Under the lock: somebody leaves a place free. Returns whom to wake, or NULL. */
struct weir__wait *weir__scope_free_place(struct weir_scope *scope);

/* The place is not needed after all. */
void weir__scope_leave_place(struct weir_scope *scope);

/* Makes a new task the scope's child, in the place that was taken if the scope has a limit: 0;
 * -ECANCELED when the scope is cancelled; -EPIPE when it is being joined and the caller is not its
 * child. */
int weir__scope_add(struct weir_scope *scope, struct weir_task *task);

/* A child failed: notes it, and cancels the others if that is what it means. Returns whether the
 * scope keeps the error; otherwise somebody else must report it. */
bool weir__scope_note_failure(struct weir_scope *scope, const struct weir_task *task);

/* Children inherit the deadline, which the caller keeps by joining in time. */
void weir__scope_promise_deadline(struct weir_scope *scope, int64_t deadline_ns);

/* Whether the caller keeps the scope from ending: it is a child, or the report of one. */
bool weir__scope_is_inside(const struct weir_scope *scope);

/* As `describe` of a reason. */
void weir__scope_describe(const void *object, char *text, size_t bytes);

/* The child is no more, and decided a race maybe; after this the caller may not touch the scope. */
void weir__scope_remove(struct weir_scope *scope, struct weir_task *task);

/* Home loop, without a shield: the task is cancelled, and so are the scopes that belong to it. */
void weir__scope_cancel_owned(struct weir_task *task);

/* The task itself, at its end: its scopes belong to nobody any more. */
void weir__scope_orphan_owned(struct weir_task *task);

/* At the runtime's end, when tasks run nowhere any more: aborts if a scope was never joined. */
void weir__scope_check_joined(struct weir__loop *loop);

enum { WEIR__ERRANDS_MAX = 256 };

/* What is to be done once locks are released: loops to ring, and waits to wake. */
struct weir__errands {
    struct weir__loop *loops[WEIR__ERRANDS_MAX];
    unsigned loop_count;
    struct weir__wait *wakes;
};

static inline void weir__errands_init(struct weir__errands *errands)
{
    errands->loop_count = 0;
    errands->wakes = NULL;
}

/* Under the scope's lock: guests, all or only those from outside, will not get a place. */
void weir__scope_refuse_guests(struct weir_scope *scope, bool outsiders,
                               struct weir__errands *errands);

/* Under the scope's lock: posts a cancel to every child; false when it was done before. */
bool weir__scope_cancel_children(struct weir_scope *scope, int reason,
                                 struct weir__errands *errands);
void weir__errands_run(const struct weir__errands *errands);

#endif
