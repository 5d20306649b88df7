/* SPDX-License-Identifier: MIT */
/*
 * What a kind of select clause can do: the verbs that channels, timers, joins and I/O each fill
 * in, so that select knows none of them.
 *
 * select runs them in this order, and nothing else in between:
 *
 *   prepare  refuses a broken clause before anything has changed; gets memory for what must happen
 *            under the locks (optional)
 *   look     asks the kernel whether it is ready, for `ready` to know: outside of locks, now and
 *            then (optional; see below)
 *   ready    could a try succeed now? Changes nothing. Under the locks of all clauses
 *   try      is it ready? Then commit it and set its result. Under the locks of all clauses
 *   arm      leave the waiter to be found. Under the locks of all clauses
 *            ... all locks released ...
 *   launch   what cannot be armed under locks, unless another clause has won by now (optional)
 *            ... parked, woken ...
 *   fired    the winner only: the outcome moves from its waiter to its result
 *   disarm   every other armed clause: take the waiter back
 *   finish   every clause, outside of any lock: what may not run under one; undoes prepare
 *
 * Where every clause has it, one alone is tried first, by try_alone, which takes its lock, wakes
 * whom it met and pays for the turn by itself: if it is ready, that is the select.
 *
 * The lock that must be held during ready, try and arm is in weir__clause_internal, set by who
 * makes the clause; a kind that is only ever touched by its own loop has none.
 *
 * A look costs a system call. So a kind that has it is looked at only when it must be: where the
 * select will not wait, where the order of the clauses decides, and once in every sixteen selects
 * of the loop, so that ready channels cannot keep it from its chance for ever. Else it is armed
 * unseen, and wins at once if it is ready.
 *
 * A clause that lost is untouched: it carried no byte and leaves no trace.
 */
#ifndef WEIR_CORE_CLAUSE_H
#define WEIR_CORE_CLAUSE_H

#include "base/lock.h"
#include "core/timer.h"
#include "core/wait.h"

#include <weir/select.h>

/* How the library uses weir_clause.internal. */
struct weir__clause_internal {
    struct weir__lock *lock; /* constant; may be NULL */
    struct weir__waiter waiter;
    union {
        struct weir__timer timer; /* timer clauses */
        void *scratch[5];         /* what else a kind needs between its verbs */
    };
};

struct weir_clause_verbs {
    const char *name;
    bool is_careful; /* has prepare, look, launch or finish */
    /* Why one waits in such a clause, on its object, if that is up to a task; optional. */
    const struct weir__reason *reason;
    /* 0, -EINVAL, -ENOBUFS or -ENXIO; optional. */
    int (*prepare)(struct weir_clause *clause);
    void (*look)(struct weir_clause *clause); /* optional */
    bool (*ready)(const struct weir_clause *clause);
    /* A peer to be woken after the locks goes to *wake. */
    bool (*try)(struct weir_clause *clause, struct weir__wait **wake);
    bool (*try_alone)(struct weir_clause *clause); /* optional; not for a careful kind */
    void (*arm)(struct weir_clause *clause, struct weir__waiter *waiter);
    void (*launch)(struct weir_clause *clause, struct weir__waiter *waiter); /* optional */
    void (*disarm)(struct weir_clause *clause, struct weir__waiter *waiter);
    void (*fired)(struct weir_clause *clause, struct weir__waiter *waiter);
    /* Optional. */
    void (*finish)(struct weir_clause *clause, bool won);
};

static inline struct weir__clause_internal *weir__clause_internal(struct weir_clause *clause)
{
    return (struct weir__clause_internal *)clause->internal;
}

#endif
