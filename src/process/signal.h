/* SPDX-License-Identifier: MIT */
/*
 * Who takes which signal. One table of the process: each signal has one owner at a time, a
 * channel's task or a parked select, since what one reads from the kernel no other gets.
 */
#ifndef WEIR_PROCESS_SIGNAL_H
#define WEIR_PROCESS_SIGNAL_H

#include <weir/signal.h>

#include <stdbool.h>

/* The largest signal number, SIGRTMAX. */
enum { WEIR__SIGNAL_MAX = 64 };

/*
 * Takes all signals of the set, or none; looks at every thread's mask first, unless `trusting` and
 * each of them was looked at before. In a task. 0, or the error, explained.
 */
int weir__signal_claim(const sigset_t *signals, bool trusting);
void weir__signal_give_back(const sigset_t *signals);

/* The next signal from a signalfd, without waiting: 0, or -errno. */
int weir__signal_take(int fd, struct weir_signal *signal);

#endif
