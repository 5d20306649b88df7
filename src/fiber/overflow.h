/* SPDX-License-Identifier: MIT */
/*
 * Stack overflow, said plainly. A task that runs into the guard below its stack gets SIGSEGV; the
 * handler, on an alternate stack, names the task, the size of its stack and the remedy, and aborts.
 *
 * Process-wide effects, all optional since nothing happens before install: handlers of SIGSEGV and
 * SIGBUS, put in front of those that were there, which still get every other fault; an alternate
 * signal stack on each thread that enters and has none.
 */
#ifndef WEIR_FIBER_OVERFLOW_H
#define WEIR_FIBER_OVERFLOW_H

#include <stdbool.h>
#include <stddef.h>

/* The stack that the calling thread runs on, if it is a task's. */
struct weir__overflow_report {
    const char *task_name; /* NULL: it has none */
    const void *base;      /* lowest usable address */
    size_t bytes;          /* usable, upwards from base */
    size_t guard_bytes;    /* unusable, downwards from base */
};

/* False when no task runs. Called by the handler: async-signal-safe, and no use of the stack. */
typedef bool weir__overflow_current(struct weir__overflow_report *out);

/* Per thread; owned by the thread, zero before enter. */
struct weir__overflow_thread {
    void *mapping; /* NULL: the thread had an alternate stack of its own */
    size_t mapped_bytes;
};

/*
 * Installs the handlers; the first of nested installs does the work. `current` is the same for all.
 * Returns 0, or -errno of sigaction(2), and then nothing is installed. Any thread.
 */
int weir__overflow_install(weir__overflow_current *current);

/*
 * The last uninstall restores what was there, unless somebody has put handlers in front since: then
 * ours stay, and only pass on. Any thread.
 */
void weir__overflow_uninstall(void);

/* Gives the calling thread an alternate signal stack unless it has one. Returns 0 or -errno. */
int weir__overflow_thread_enter(struct weir__overflow_thread *thread);

/* On the thread that entered, and on its own stack. */
void weir__overflow_thread_leave(struct weir__overflow_thread *thread);

#endif
