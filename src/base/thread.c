/* SPDX-License-Identifier: MIT */
/* Starting threads; see thread.h. */
#include "base/thread.h"

#include "base/memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

static atomic_uint living_count;

unsigned weir__thread_count(void)
{
    /* relaxed: a figure */
    return atomic_load_explicit(&living_count, memory_order_relaxed);
}

struct start {
    void *(*run)(void *arg);
    void *arg;
};

static void *run_counted(void *arg)
{
    struct start start = *(struct start *)arg;
    void *result;

    weir__memory_free(arg);
    result = start.run(start.arg);
    atomic_fetch_sub_explicit(&living_count, 1, memory_order_relaxed);
    return result;
}

/* Counted from before it lives until it has nothing to do any more. */
static int create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *arg),
                  void *arg)
{
    struct start *start = weir__memory_alloc(NULL, sizeof *start);
    int error;

    if (!start)
        return -ENOMEM;
    *start = (struct start){ .run = run, .arg = arg };
    atomic_fetch_add_explicit(&living_count, 1, memory_order_relaxed);
    error = -pthread_create(thread, attributes, run_counted, start);
    if (error >= 0)
        return 0;
    atomic_fetch_sub_explicit(&living_count, 1, memory_order_relaxed);
    weir__memory_free(start);
    return error;
}

int weir__thread_create(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
    pthread_attr_t attributes;
    sigset_t blocked;
    int error;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&blocked, faults[i]);
    error = -pthread_attr_init(&attributes);
    if (error < 0)
        return error;
    /* Not by our own mask for a moment: the caller's thread is to look as it is; see signal.h. */
    error = -pthread_attr_setsigmask_np(&attributes, &blocked);
    if (error >= 0)
        error = create(thread, &attributes, run, arg);
    pthread_attr_destroy(&attributes);
    return error;
}

static bool pipe_is_pending(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE);
}

static void make_pipe_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGPIPE);
}

void weir__thread_shield_pipe(struct weir__pipe_shield *shield)
{
    sigset_t set;

    shield->was_pending = pipe_is_pending();
    make_pipe_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, &shield->saved);
}

void weir__thread_unshield_pipe(const struct weir__pipe_shield *shield)
{
    static const struct timespec at_once;
    sigset_t set;

    make_pipe_set(&set);
    if (!shield->was_pending && pipe_is_pending())
        sigtimedwait(&set, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &shield->saved, NULL);
}
