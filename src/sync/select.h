/* SPDX-License-Identifier: MIT */
/* Select for those inside the library who wait for more than a public call may. */
#ifndef WEIR_SYNC_SELECT_H
#define WEIR_SYNC_SELECT_H

#include "base/lock.h"

#include <weir/select.h>

/*
 * As weir_select, without its bound on clauses: the caller has one. `locks` is room for `count`
 * pointers, in use during the call, so that nothing is allocated however many there are; with NULL
 * the room is allocated beyond 64 clauses. Clauses whose locks lie in the order of their addresses
 * are sorted in one pass.
 */
int weir__select_with_room(struct weir_clause *clauses, size_t count, unsigned flags,
                           int64_t deadline_ns, struct weir__lock **locks);

#endif
