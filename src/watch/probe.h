/* SPDX-License-Identifier: MIT */
/*
 * The probe: asks a thread that runs where it is. A real-time signal is sent to it; its handler
 * unwinds the interrupted code into memory of the probe, and answers. Nothing is allocated, no
 * lock is taken, no system call is made in the handler.
 *
 *      ask (watcher) ---signal---> handler, on the thread ---> answered
 *           |  it does not come: the thread runs in the kernel, or somebody else has the signal
 *           `-> given up; a late answer changes the probe until the next ask
 *
 * A signal would wake a sleep, a poll, a timed receive with EINTR: so only a thread that runs is
 * asked.
 *
 * Process-wide: one handler, put in front of the one that was there, which gets every signal that
 * is no probe. It is there while any runtime runs that watches.
 */
#ifndef WEIR_WATCH_PROBE_H
#define WEIR_WATCH_PROBE_H

#include "unwind/backtrace.h"

#include <weir/task.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

struct weir__probe {
    pid_t tid;
    struct weir__stack_bounds stack; /* the thread's own */
    sigset_t mask_before;

    atomic_uint asked;    /* by the watcher */
    atomic_uint answered; /* by the handler; release, after all below */
    void *frames[WEIR__BACKTRACE_MAX];
    size_t frame_count;
    char task_name[WEIR_NAME_BYTES]; /* "": no task */
};

/* The first of nested installs puts the handler; `number` 0 chooses the highest real-time signal
 * without one. The same for all. Returns the signal's number, or -errno. */
int weir__probe_install(unsigned number);
void weir__probe_uninstall(void);

/* On a loop's thread, with its loop running: it can be asked from here on. */
void weir__probe_enter(struct weir__probe *probe);

/* On the same thread, when nobody asks any more: waits for answers that are on their way. */
void weir__probe_leave(struct weir__probe *probe);

/* The watcher: whether the thread answered in time; then what the probe holds is its answer. */
bool weir__probe_ask(struct weir__probe *probe, int64_t patience_ns);

#endif
