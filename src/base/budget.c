/* SPDX-License-Identifier: MIT */
/* A bound on bytes; see budget.h. */
#include "base/budget.h"

#include "base/assert.h"
#include "base/memory.h"

struct weir__budget *weir__budget_create(size_t limit, void (*notify)(struct weir__budget *budget))
{
    struct weir__budget *budget = weir__memory_zalloc(NULL, sizeof *budget);

    if (!budget)
        return NULL;
    budget->limit = limit ? limit : SIZE_MAX;
    budget->notify = notify;
    atomic_init(&budget->holders, 1);
    weir__list_init(&budget->waiters);
    return budget;
}

void weir__budget_hold(struct weir__budget *budget)
{
    /* relaxed: the caller is a holder, or in a runtime that is one */
    atomic_fetch_add_explicit(&budget->holders, 1, memory_order_relaxed);
}

void weir__budget_leave(struct weir__budget *budget)
{
    /* acq_rel: whoever frees has seen what the others did */
    if (atomic_fetch_sub_explicit(&budget->holders, 1, memory_order_acq_rel) != 1)
        return;
    WEIR_ASSERT(atomic_load_explicit(&budget->used, memory_order_relaxed) == 0);
    weir__memory_free(budget);
}

static void note_most(struct weir__budget *budget, size_t used)
{
    size_t most = atomic_load_explicit(&budget->used_max, memory_order_relaxed);

    /* relaxed: a figure */
    while (most < used &&
           !atomic_compare_exchange_weak_explicit(&budget->used_max, &most, used,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

bool weir__budget_take(struct weir__budget *budget, size_t bytes)
{
    size_t used = atomic_load_explicit(&budget->used, memory_order_seq_cst);

    do {
        if (bytes > budget->limit - used) {
            atomic_fetch_add_explicit(&budget->refused_count, 1, memory_order_relaxed);
            return false;
        }
        /* seq_cst; pairs with the one in weir__budget_give */
    } while (!atomic_compare_exchange_weak_explicit(&budget->used, &used, used + bytes,
                                                    memory_order_seq_cst, memory_order_seq_cst));
    note_most(budget, used + bytes);
    return true;
}

void weir__budget_give(struct weir__budget *budget, size_t bytes)
{
    /* seq_cst, both; pair with the ones of a waiter that says it waits, then tries once more */
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_seq_cst);
    if (atomic_load_explicit(&budget->waiting_count, memory_order_seq_cst))
        budget->notify(budget);
}
