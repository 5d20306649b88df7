/* SPDX-License-Identifier: MIT */
/*
 * The blocking-call check, for development: a task that makes a system call which could hold its
 * loop's thread is reported, once for each place, with the task, the call, the kind of descriptor,
 * and a backtrace, however deep in other people's libraries it happens, raw syscall(2) included.
 * What cannot wait (a non-blocking descriptor, a timeout of zero) is not reported, nor is what is
 * about memory (the lock of malloc(3) included), nor are weir's own calls. Page faults and long
 * computations make no system call: they are the business of the stall detector.
 *
 * Switched on by weir_options.blocking_check, or from outside by the environment, which prevails:
 *
 *     WEIR_BLOCKING_CHECK=off|warn|abort   warn: report, then make the call; abort: report, abort()
 *     WEIR_BLOCKING_ALLOW=NAME,...         as weir_options.blocking_allow
 *     WEIR_BLOCKING_CHECK_BY=interposer    by the interposer also where the kernel could do it
 *
 * `weir-check PROGRAM ARGUMENT...` (tools/) sets these, runs the program, and sums up.
 *
 * The kernel stops the calls (syscall user dispatch, Linux 5.11 on x86-64). Where it cannot, a
 * library loaded in front of the C library sees the calls of its functions, but no raw syscall(2);
 * weir-check loads it. Without either, weir_run refuses with -EOPNOTSUPP.
 *
 * Process-wide effects while a checked runtime runs: a SIGSYS handler, which passes on what is not
 * its own (seccomp's) to the one that was there, and which nobody may replace meanwhile, tasks
 * aside; SIGSYS is taken out of the masks of all signal handlers, and cannot be blocked on a loop's
 * thread; a thread named "weir-check"; an alternate signal stack on the loops' threads. A system
 * call of a task costs 3 us more, 5 where it is about a descriptor, one of weir's own 0.2 us.
 * Threads and processes that a task starts are not checked.
 *
 * Example:
 *     struct weir_options options = { .blocking_check = WEIR_BLOCKING_CHECK_WARN };
 *     return weir_run(serve, NULL, &options);
 */
#ifndef WEIR_BLOCKING_H
#define WEIR_BLOCKING_H

#include <weir/base.h>

enum weir_blocking_check {
    WEIR_BLOCKING_CHECK_OFF,
    WEIR_BLOCKING_CHECK_WARN,  /* report, go on */
    WEIR_BLOCKING_CHECK_ABORT, /* report, abort() */
};

/* A place where a task has made a call that could block. Valid during the callback. */
struct weir_blocking_call {
    const char *task_name;
    unsigned loop_index;
    const char *call;    /* such as "read" */
    const char *fd_kind; /* of its descriptor, such as "pipe"; NULL: it is about none */
    int fd;              /* -1: none */
    const char *cause;   /* what it may wait for */
    const char *remedy;  /* what to call instead */
    void *const *frames; /* the innermost first: addresses inside of the instructions */
    size_t frame_count;
    const char *text; /* all of this for people, several lines */
    uint64_t reserved[4];
};

#endif
