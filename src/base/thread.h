/* SPDX-License-Identifier: MIT */
/* What weir's threads, of loops and of the pool, have in common. */
#ifndef WEIR_BASE_THREAD_H
#define WEIR_BASE_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

/*
 * As pthread_create, for a thread that takes no signals but faults: handlers run on the program's
 * own threads. Returns 0, or -errno.
 */
int weir__thread_create(pthread_t *thread, void *(*run)(void *arg), void *arg);

/* How many of them live, in the whole process. */
unsigned weir__thread_count(void);

/* A thread of the caller's, while it is a loop: what it writes to a broken pipe must not end the
 * process. */
struct weir__pipe_shield {
    sigset_t saved;
    bool was_pending; /* a SIGPIPE of the caller's own, which waits for it */
};

void weir__thread_shield_pipe(struct weir__pipe_shield *shield);

/* As it was; a SIGPIPE that came in between is gone. */
void weir__thread_unshield_pipe(const struct weir__pipe_shield *shield);

#endif
