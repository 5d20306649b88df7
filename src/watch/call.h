/* SPDX-License-Identifier: MIT */
/* System calls that a thread may be found asleep in: their names, and what a task calls instead. */
#ifndef WEIR_WATCH_CALL_H
#define WEIR_WATCH_CALL_H

#include <stddef.h>

struct weir__call {
    const char *name;
    int fd_argument;    /* which argument is a descriptor; -1: none */
    const char *remedy; /* what to call instead; NULL: nothing but the pool */
};

/* NULL: not in the table. */
const struct weir__call *weir__call_find(long number);

#endif
