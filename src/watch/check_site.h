/* SPDX-License-Identifier: MIT */
/*
 * The places where calls could block: a bounded table, in the order in which they were found. A
 * place is a system call and the address that made it, outside of the C library.
 *
 *   0 -> FILED (by whoever has put the key there) -> REPORTED or ALLOWED (by the reporter)
 */
#ifndef WEIR_WATCH_CHECK_SITE_H
#define WEIR_WATCH_CHECK_SITE_H

#include "unwind/backtrace.h"
#include "watch/check_call.h"

#include <weir/task.h>

#include <stdatomic.h>
#include <stdint.h>

enum { WEIR__CHECK_SITES_MAX = 1024 };

enum weir__check_state {
    WEIR__CHECK_NONE,
    WEIR__CHECK_FILED,
    WEIR__CHECK_REPORTED,
    WEIR__CHECK_ALLOWED,
};

struct weir__check_site {
    /* release by who writes it; pairs with the acquire of the reporter, and of who waits for it */
    atomic_uint state;
    struct weir__check_verdict verdict;
    char task_name[WEIR_NAME_BYTES];
    unsigned loop_index;
    size_t frame_count;
    void *frames[WEIR__BACKTRACE_MAX];
};

struct weir__check_sites {
    _Atomic uint64_t keys[WEIR__CHECK_SITES_MAX]; /* 0: free, and so are all behind it */
    struct weir__check_site sites[WEIR__CHECK_SITES_MAX];
};

/* User addresses have 47 bits, or 56 where somebody asked for them: those may share a key. */
static inline uint64_t weir__check_key(long number, const void *address)
{
    return (uint64_t)(uintptr_t)address ^ ((uint64_t)number + 1) << 48;
}

/* The site of a key; *is_new: it is the caller's to fill and file. NULL: the table is full. Any
 * thread, async-signal-safe. */
static inline struct weir__check_site *weir__check_site_find(struct weir__check_sites *sites,
                                                             uint64_t key, bool *is_new)
{
    *is_new = false;
    for (size_t i = 0; i < WEIR__CHECK_SITES_MAX; i++) {
        uint64_t found = 0;

        /* relaxed: the site's state orders the rest */
        *is_new = atomic_compare_exchange_strong_explicit(
            &sites->keys[i], &found, key, memory_order_relaxed, memory_order_relaxed);
        if (*is_new || found == key)
            return &sites->sites[i];
    }
    return NULL;
}

#endif
