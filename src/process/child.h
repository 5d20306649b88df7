/* SPDX-License-Identifier: MIT */
/*
 * A child process, and the task that keeps it.
 *
 *   weir_child_spawn:  keeper spawned (bounds and scope are asked first) --> program started, on
 *                      the pool --> keeper told
 *   keeper:            told --> waits for the pidfd, then for the run's streams --> reaps --> ends
 *                                  |  cancelled: stop signal, grace, SIGKILL -----^
 *
 * The keeper is the only one that reaps, so the process number stands for this child until
 * `reaped` is set; whoever signals by number holds the lock and looks first. Its result is the exit
 * status: so waiting for the child, and its clause, are the keeper's join.
 */
#ifndef WEIR_PROCESS_CHILD_H
#define WEIR_PROCESS_CHILD_H

#include "base/lock.h"
#include "core/wait.h"

#include <weir/child.h>
#include <weir/task.h>

#include <sys/types.h>

enum { WEIR__CHILD_STANDARD_FDS = 3 };

struct weir_child {
    atomic_int refs; /* the handle's, the keeper's */
    struct weir_task *keeper;

    /* Written by the start, constant then. */
    pid_t pid;
    int pid_fd;
    bool has_group;
    int stop_signal;
    int64_t grace_ns;

    /* The keeper's loop only. */
    bool told;
    int start_error;
    struct weir__wait *keeper_wait;                      /* parked until it is told */
    struct weir_task *streams[WEIR__CHILD_STANDARD_FDS]; /* of a run: its tasks, or NULL */

    struct weir__lock lock;
    /* Under the lock. */
    bool reaped;
    int ends[WEIR__CHILD_STANDARD_FDS]; /* our ends of its pipes; -1: none, or taken */
};

/* A start, as a job of the pool. */
struct weir__child_start {
    const struct weir_child_options *options;
    struct weir_child *child;
};

/* On a pool thread: starts the program; 0 or -errno, and then nothing is left. */
int weir__child_start(void *start);

#endif
