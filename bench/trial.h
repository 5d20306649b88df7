/* SPDX-License-Identifier: MIT */
/* Runs one trial in a process of its own, bounded in time, and brings its outcome back. */
#ifndef BENCH_TRIAL_H
#define BENCH_TRIAL_H

#include "bench.h"

#include <netinet/in.h>
#include <sys/types.h>

/* The memory through which outcomes come back; once, before the first trial. */
void trial_init(void);

void trial_run(const struct trial *trial, struct outcome *outcome);

/*
 * Forks. The child dies with its parent, and by itself after limit_s; errors of it are the trial's.
 * Returns 0 in the child, its pid in the parent, or -errno.
 */
pid_t trial_fork(unsigned limit_s);

/* A TCP listener on the loopback, at a port of the kernel's choice. Ends the trial on errors. */
int trial_listen(struct sockaddr_in *address, int backlog);

#endif
