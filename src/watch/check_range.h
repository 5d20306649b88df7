/* SPDX-License-Identifier: MIT */
/* Whose code an address is in, by the library it lies in, as far as that says it. */
#ifndef WEIR_WATCH_CHECK_RANGE_H
#define WEIR_WATCH_CHECK_RANGE_H

#include <stddef.h>
#include <stdint.h>

enum { WEIR__CHECK_RANGES_MAX = 16 };

enum weir__check_owner {
    WEIR__CHECK_USER,    /* the program, and its libraries; also weir itself, linked statically */
    WEIR__CHECK_LIBC,    /* it calls on behalf of others */
    WEIR__CHECK_RUNTIME, /* libweir, liburing, mimalloc */
};

struct weir__check_range {
    uintptr_t low, high;
    enum weir__check_owner owner;
};

struct weir__check_ranges {
    struct weir__check_range ranges[WEIR__CHECK_RANGES_MAX];
    size_t count;
};

/* As of now. Not in a signal handler. */
void weir__check_ranges_find(struct weir__check_ranges *ranges);

/* Async-signal-safe. */
enum weir__check_owner weir__check_owner_of(const struct weir__check_ranges *ranges,
                                            const void *address);

#endif
