/* SPDX-License-Identifier: MIT */
/*
 * Task-local values: a table of counted values, itself counted. Whoever inherits refers to the same
 * table; whoever sets changes it in place if nobody else refers to it, and makes a copy otherwise.
 */
#ifndef WEIR_CORE_LOCAL_H
#define WEIR_CORE_LOCAL_H

#include "base/assert.h"
#include "core/trace.h"

#include <weir/local.h>

#include <stdatomic.h>

struct weir__local;

struct weir__locals {
    atomic_uint refs;
    struct weir__local *values[WEIR_LOCALS_MAX]; /* NULL: none */
};

/* Gives a reference back. */
void weir__locals_release(struct weir__locals *locals);

static inline void weir__locals_retain(struct weir__locals *locals)
{
    /* relaxed: the caller has a reference, or keeps away whoever has */
    atomic_fetch_add_explicit(&locals->refs, 1, memory_order_relaxed);
}

/* Whoever owns `own` goes on with what `source` says; `source` may be gone afterwards. */
void weir__inherited_replace(struct weir__inherited *own, const struct weir__inherited *source);

#endif
