/* SPDX-License-Identifier: MIT */
/* Select for those inside the library who wait for more than a public call may. */
#ifndef WEIR_SYNC_SELECT_H
#define WEIR_SYNC_SELECT_H

#include "base/lock.h"
#include "core/wait.h"

#include <weir/select.h>

struct weir__selection {
    struct weir_clause *clauses;
    size_t count;
    unsigned flags;
    struct weir__lock **locks; /* the caller's room for `count` of them, or NULL */
};

/* Why one waits in a select; the object is the selection. */
extern const struct weir__reason weir__select_awaits;

/*
 * As weir_select, without its bound on clauses: the caller has one. `locks` is room for `count`
 * pointers, in use during the call, so that nothing is allocated however many there are; with NULL
 * the room is allocated beyond 64 clauses. Clauses whose locks lie in the order of their addresses
 * are sorted in one pass.
 */
int weir__select_with_room(struct weir_clause *clauses, size_t count, unsigned flags,
                           int64_t deadline_ns, struct weir__lock **locks);

#endif
