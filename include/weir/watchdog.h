/* SPDX-License-Identifier: MIT */
/*
 * Watchdogs: what a program does wrong while no thread is stuck and no CPU is busy. Every few
 * seconds a thread that is none of the loops' has each loop look at its own tasks, a few a turn;
 * while nothing happens, nobody is woken. Each has a limit in struct weir_options, a counter, and a
 * message that says what, who, since when, and what to do; a state is reported once.
 *
 * Deadlock. Tasks are parked on each other, and all that could wake one of them is among them. What
 * could wake a task is looked at as follows:
 *
 *   lock of a mutex       its owner; a plain thread may always move
 *   join                  the task
 *   join of a scope       any of its tasks
 *   reply of a call       the task that has adopted it
 *   send, receive         those who have used the other side, where that is noted
 *                         (weir_options.channel_users); else, and as long as nobody that lives has,
 *                         anybody; also where a plain thread has used it, or too many have
 *   semaphore             anybody
 *   a deadline, of the call or of a scope above that has yet to come, a timer, an operation, a
 *   pool, any other way to wait
 *                         it will move by itself
 *   select                whatever could wake one of its clauses
 *
 * "Anybody" is each task of the runtime, each plain thread that is not weir's, each runtime
 * besides, a foreign loop that drives this one, an async operation, and a pool at work. To close a
 * channel, to cancel a task, and to end a scope by an error count as help from outside. So a server
 * that waits for clients is no deadlock, and neither are tasks that wait for a thread of yours.
 *
 * It is certain when the tasks wait for each other's ends, locks and replies, or when all tasks of
 * the runtime wait, and there is nobody else. Else it rests on who has used the channels so far,
 * and is called probable: a task that was given one of them, and has not used it yet, could still
 * help.
 *
 * Mutex. A task that holds a mutex is parked for longer than mutex_limit_ns, in whatever it is.
 *
 * Drain. The oldest sender of a channel is parked for longer than drain_limit_ns: nothing has been
 * received since, for a receive would have let it in.
 *
 * Operation. An operation on a file takes longer than device_limit_ns. With peer_limit_ns also one
 * that waits for a peer without a deadline; not by default, since to wait for a peer is what
 * servers do.
 *
 * Growth. In five looks in a row, a fifth of growth_limit_ns apart, a loop had more tasks than in
 * the one before, of those that started in between at most a tenth ended, and in all there are
 * growth_tasks more.
 *
 * Drop. In five looks in a row, a fifth of drop_limit_ns apart, a named channel had dropped
 * something, and nine tenths of what was sent in between at least. Not by default, since a channel
 * that keeps only the newest does so by design.
 */
#ifndef WEIR_WATCHDOG_H
#define WEIR_WATCHDOG_H

#include <weir/base.h>

/* Tasks that are parked on each other; valid during the call. */
struct weir_deadlock {
    bool is_certain;
    size_t task_count; /* all of them */
    size_t line_count; /* those that are told of; a cycle first, in its order */
    const char *const *lines;
    const char *text; /* all of it, for people: several lines */
    uint64_t reserved[4];
};

enum weir_warning_kind {
    WEIR_WARNING_MUTEX,
    WEIR_WARNING_DRAIN,
    WEIR_WARNING_OPERATION,
    WEIR_WARNING_GROWTH,
    WEIR_WARNING_DROP,
    WEIR_WARNING_COUNT,
};

/* Valid during the call. */
struct weir_warning {
    enum weir_warning_kind kind;
    const char *text; /* what, who, since when, and what to do: one line */
    uint64_t reserved[4];
};

#endif
