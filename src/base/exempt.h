/* SPDX-License-Identifier: MIT */
/*
 * The gate of the blocking-call check (watch/check.h): one byte a thread. While it is shut, which
 * it is on a loop whose calls are checked, each system call is looked at; the runtime's own calls
 * that could wait, or are frequent, go through an open gate. Unchecked threads open and shut it
 * too: five instructions a call, and no branch.
 *
 * Nothing of the user's runs, and nobody parks, while it is open. It does not nest.
 */
#ifndef WEIR_BASE_EXEMPT_H
#define WEIR_BASE_EXEMPT_H

#include <pthread.h>
#include <stdint.h>

enum { WEIR__EXEMPT_OPEN = 0, WEIR__EXEMPT_SHUT = 1 }; /* as the kernel reads the selector */

struct weir__exempt {
    volatile uint8_t selector; /* the kernel reads it at each system call */
    volatile uint8_t rest;     /* what it is outside of the runtime's own calls */
};

extern __thread struct weir__exempt weir__exempt
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

static inline void weir__exempt_open(void)
{
    weir__exempt.selector = WEIR__EXEMPT_OPEN;
}

/* As it was; also when a checked call had to leave it open. */
static inline void weir__exempt_shut(void)
{
    weir__exempt.selector = weir__exempt.rest;
}

/* A mutex of the runtime's own: held for moments, never across a park. */
static inline void weir__exempt_lock(pthread_mutex_t *mutex)
{
    weir__exempt_open();
    pthread_mutex_lock(mutex);
    weir__exempt_shut();
}

#endif
