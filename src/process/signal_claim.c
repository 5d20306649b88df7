/* SPDX-License-Identifier: MIT */
/* Claims on signals, and the proof that every thread blocks them; see signal.h. */
#include "base/clock.h"
#include "base/error.h"
#include "core/loop.h"
#include "pool/pool.h"
#include "process/signal.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREAD_NAME_BYTES = 32, LOOKS_MAX = 200, LOOK_PAUSE_NS = 1000000 };

static atomic_bool owned[WEIR__SIGNAL_MAX + 1];
static atomic_bool seen_blocked[WEIR__SIGNAL_MAX + 1]; /* by every thread, at one time at least */

/* --- The masks of all threads, as a job of the pool: procfs may block --- */

struct look {
    const sigset_t *signals;
    int signo; /* which is not blocked; 0: all are */
    char thread_id[THREAD_NAME_BYTES];
    char thread_name[THREAD_NAME_BYTES];
};

/* The first of the signals that a mask of /proc lacks; 0: none. */
static int find_unblocked(const sigset_t *signals, unsigned long long mask)
{
    for (int signo = 1; signo <= WEIR__SIGNAL_MAX; signo++)
        if (sigismember(signals, signo) == 1 && !(mask >> (signo - 1) & 1))
            return signo;
    return 0;
}

/* 0, or why it cannot be read. A thread that has ended meanwhile has no file any more, and takes
 * nothing. */
static int read_mask(struct look *look, const char *thread_id, unsigned long long *mask)
{
    char path[64], line[256];
    FILE *file;

    *mask = ~0ULL;
    snprintf(path, sizeof path, "/proc/self/task/%.16s/status", thread_id);
    file = fopen(path, "re");
    if (!file)
        return errno == ENOENT || errno == ESRCH ? 0 : -errno;
    while (fgets(line, sizeof line, file)) {
        sscanf(line, "Name: %31[^\n]", look->thread_name);
        if (sscanf(line, "SigBlk: %llx", mask) == 1)
            break;
    }
    fclose(file);
    snprintf(look->thread_id, sizeof look->thread_id, "%.16s", thread_id);
    return 0;
}

/*
 * The C library blocks all signals, its own too, while it starts a thread or a process: that mask
 * says nothing of the one that comes back. The kernel's workers for rings block all for ever.
 */
static bool is_momentary(const struct look *look, unsigned long long mask)
{
    const unsigned long long own = 3ULL << (32 - 1); /* SIGCANCEL, SIGSETXID */

    return mask != ~0ULL && (mask & own) == own && strncmp(look->thread_name, "iou-", 4) != 0;
}

static int look_at_thread(struct look *look, const char *thread_id)
{
    unsigned long long mask;
    int error = read_mask(look, thread_id, &mask);

    for (int looks = 1; error >= 0 && looks < LOOKS_MAX && is_momentary(look, mask); looks++) {
        weir__clock_sleep(LOOK_PAUSE_NS);
        error = read_mask(look, thread_id, &mask);
    }
    look->signo = find_unblocked(look->signals, mask);
    return error;
}

static int look_at_threads(void *arg)
{
    struct look *look = arg;
    DIR *threads = opendir("/proc/self/task");
    struct dirent *entry;
    int error = 0;

    if (!threads)
        return -errno;
    while (error >= 0 && !look->signo && (entry = readdir(threads)))
        if (entry->d_name[0] != '.')
            error = look_at_thread(look, entry->d_name);
    closedir(threads);
    return error;
}

static int check_threads(const sigset_t *signals)
{
    struct look look = { .signals = signals };
    int error =
        weir__pool_call(weir__loop_current->runtime->pool, look_at_threads, &look, WEIR_FOREVER);

    if (error < 0 || !look.signo)
        return error;
    return weir__error_explain(
        -EPERM,
        "SIG%s is not blocked in thread %s (\"%s\"), which would take it; block it there, or in "
        "main by weir_signals_block before threads are started",
        sigabbrev_np(look.signo) ? sigabbrev_np(look.signo) : "RT", look.thread_id,
        look.thread_name);
}

/* --- Claims --- */

static int check_signals(const sigset_t *signals)
{
    static const int refused[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                                   SIGILL,  SIGTRAP, SIGABRT, SIGSYS };

    if (!find_unblocked(signals, 0)) /* sigisemptyset of glibc 2.36 misses real-time ones */
        return weir__error_explain(-EINVAL, "no signal was given");
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (sigismember(signals, refused[i]) == 1)
            return weir__error_explain(-EINVAL,
                                       "SIG%s cannot be waited for: it is a fault, or the kernel "
                                       "does not let it be blocked",
                                       sigabbrev_np(refused[i]));
    return 0;
}

static bool all_seen_blocked(const sigset_t *signals)
{
    for (int signo = 1; signo <= WEIR__SIGNAL_MAX; signo++)
        /* relaxed: a fact about threads, not about memory */
        if (sigismember(signals, signo) == 1 &&
            !atomic_load_explicit(&seen_blocked[signo], memory_order_relaxed))
            return false;
    return true;
}

static void give_back_below(const sigset_t *signals, int end)
{
    for (int signo = 1; signo < end; signo++)
        if (sigismember(signals, signo) == 1)
            /* release; pairs with the acquire in claim_all: the next owner finds the signal */
            atomic_store_explicit(&owned[signo], false, memory_order_release);
}

static int claim_all(const sigset_t *signals)
{
    for (int signo = 1; signo <= WEIR__SIGNAL_MAX; signo++) {
        if (sigismember(signals, signo) != 1)
            continue;
        if (atomic_exchange_explicit(&owned[signo], true, memory_order_acquire)) {
            give_back_below(signals, signo);
            return weir__error_explain(-EBUSY,
                                       "signal %d is taken by another channel or select; share "
                                       "one channel by a mult",
                                       signo);
        }
        atomic_store_explicit(&seen_blocked[signo], true, memory_order_relaxed);
    }
    return 0;
}

int weir__signal_claim(const sigset_t *signals, bool trusting)
{
    int error = check_signals(signals);

    if (error >= 0 && !(trusting && all_seen_blocked(signals)))
        error = check_threads(signals);
    return error < 0 ? error : claim_all(signals);
}

void weir__signal_give_back(const sigset_t *signals)
{
    give_back_below(signals, WEIR__SIGNAL_MAX + 1);
}
