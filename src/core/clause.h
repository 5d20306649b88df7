/* SPDX-License-Identifier: MIT */
/*
 * What a kind of select clause can do: the verbs that channels, timers, joins (and in time ops,
 * signals, queues) each fill in, so that select knows none of them.
 *
 * select runs them in this order, and nothing else in between:
 *
 *   prepare  refuses a broken clause before anything has changed; gets memory for what must happen
 *            under the locks (optional)
 *   ready    could a try succeed now? Changes nothing. Under the locks of all clauses
 *   try      is it ready? Then commit it and set its result. Under the locks of all clauses
 *   arm      leave the waiter to be found. Under the locks of all clauses
 *            ... all locks released, parked, woken ...
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
    bool is_careful; /* has prepare or finish */
    /* 0, -EINVAL or -ENOBUFS; optional. */
    int (*prepare)(struct weir_clause *clause);
    bool (*ready)(const struct weir_clause *clause);
    /* A peer to be woken after the locks goes to *wake. */
    bool (*try)(struct weir_clause *clause, struct weir__wait **wake);
    bool (*try_alone)(struct weir_clause *clause); /* optional; not for a careful kind */
    void (*arm)(struct weir_clause *clause, struct weir__waiter *waiter);
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
