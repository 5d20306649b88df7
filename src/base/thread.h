/* SPDX-License-Identifier: MIT */
/* What weir's threads, of loops and of the pool, have in common. */
#ifndef WEIR_BASE_THREAD_H
#define WEIR_BASE_THREAD_H

#include <pthread.h>

/*
 * As pthread_create, for a thread that takes no signals but faults: handlers run on the program's
 * own threads. Returns 0, or -errno.
 */
int weir__thread_create(pthread_t *thread, void *(*run)(void *arg), void *arg);

#endif
