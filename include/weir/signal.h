/* SPDX-License-Identifier: MIT */
/*
 * Signals that a program waits for instead of being interrupted by: as records in a channel, or as
 * a clause of a select. They are taken from the kernel's queue, where they stay until somebody
 * wants them; no handler is set, and nothing of the process is changed.
 *
 * So every thread must block them, from its start: weir_signals_block in main, before other threads
 * start and before weir_run. weir's own threads do. A signal that some thread does not block is
 * refused with -EPERM, and weir_last_error names that thread. The threads are looked at when a
 * channel is opened, and at the first use of a clause; who unblocks a signal later loses it to its
 * disposition.
 *
 * One user at a time: a signal that somebody has is refused with -EBUSY. For several, put a mult
 * (weir/mult.h) behind the channel. Faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS,
 * SIGABRT), SIGKILL, SIGSTOP and those of the C library are refused with -EINVAL. A signal sent to
 * one thread (pthread_kill) is that thread's own, and not seen.
 *
 * Example:
 *     sigset_t ends;
 *     sigemptyset(&ends);
 *     sigaddset(&ends, SIGTERM);
 *     weir_signals_block(&ends);
 *     ...
 *     struct weir_clause wait_for[] = { weir_clause_recv(orders, &order),
 *                                       weir_clause_signal(SIGTERM) };
 *     int won = weir_select(wait_for, 2, 0, WEIR_FOREVER);
 */
#ifndef WEIR_SIGNAL_H
#define WEIR_SIGNAL_H

#include <signal.h>
#include <weir/base.h>
#include <weir/select.h>

struct weir_chan;
struct weir_scope;

/* As siginfo_t, of sigaction(2). */
struct weir_signal {
    int signo;
    int code; /* SI_USER, SI_QUEUE, CLD_EXITED, ... */
    int pid;  /* the sender's, or the child's */
    unsigned uid;
    int status;       /* SIGCHLD: exit status or signal */
    int number;       /* sigqueue(3): the value as a number */
    uint64_t pointer; /* the same as a pointer */
    uint64_t reserved[2];
};

WEIR_BEGIN

/* Blocks the signals in the calling thread and those it starts from now on. Returns 0; -EINVAL. */
WEIR_API int weir_signals_block(const sigset_t *signals) WEIR_ANY_THREAD;

/*
 * Sends a struct weir_signal to `output` for each of the signals that comes: a task of `scope`. A
 * full channel does as its policy says. Where it parks, signals stay with the kernel, which keeps
 * one of each (and real-time ones up to RLIMIT_SIGPENDING); what others drop is counted by the
 * channel. The task ends with 0 when the output is closed; when it is cancelled, it closes the
 * output with -ECANCELED, and a signal it had in hand is lost.
 * Returns 0: from now on none is missed. Errors: -EINVAL also an empty set, or elements of another
 * size; -EPERM, -EBUSY see above; -EMFILE; -ENOMEM; -ECANCELED; -ENXIO not in a task; those of
 * weir_spawn.
 */
WEIR_API WEIR_MUST_CHECK int weir_signals_to(struct weir_chan *output, struct weir_scope *scope,
                                             const sigset_t *signals) WEIR_SUSPENDS;

/*
 * Wins when the signal has come, and takes it; its result is 0. One that comes while nobody selects
 * stays with the kernel. Needs a task. The select returns -EINVAL, -EPERM, -EBUSY, -EMFILE for a
 * signal that cannot be had.
 */
WEIR_API struct weir_clause weir_clause_signal(int signo) WEIR_ANY_THREAD;

WEIR_END

#endif
