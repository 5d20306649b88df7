/* SPDX-License-Identifier: MIT */
/* Starting threads; see thread.h. */
#include "base/thread.h"

#include <signal.h>
#include <stddef.h>

int weir__thread_create(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
    sigset_t blocked, saved;
    int error;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &saved);
    error = -pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return error;
}
