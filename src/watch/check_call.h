/* SPDX-License-Identifier: MIT */
/*
 * The table of system calls: which can hold the thread that makes them, when, and what to call
 * instead. Calls that are not in it return at once, or are about memory, which is not looked at.
 */
#ifndef WEIR_WATCH_CHECK_CALL_H
#define WEIR_WATCH_CHECK_CALL_H

#include <stdbool.h>
#include <stddef.h>

enum { WEIR__CHECK_CALLS_MAX = 512 }; /* system calls are numbered below this */

struct weir__check_call {
    long number;
    long args[6];
};

struct weir__check_verdict {
    const char *name;
    const char *cause;
    const char *remedy;
    const char *kind; /* of fd; NULL: the call is about none */
    int fd;           /* -1: none */
};

/* What a call is, whether or not it could block. */
struct weir__check_description {
    const char *name;
    const char *remedy; /* what to call instead */
    bool has_fd;        /* its first argument is a descriptor */
};

/* False: the call is not in the table. */
bool weir__check_describe(long number, struct weir__check_description *description);

/* Whether the call could block; then the verdict says why. Async-signal-safe; makes system calls
 * about its descriptor, and changes errno. */
bool weir__check_judge(const struct weir__check_call *call, struct weir__check_verdict *verdict);

/* What to call instead of a function of the C library that makes such calls; NULL: not known. */
const char *weir__check_remedy_of(const char *function);

#endif
