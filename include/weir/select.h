/* SPDX-License-Identifier: MIT */
/*
 * Select waits for several things and lets exactly one of them happen: sends, receives, timers,
 * joins, I/O. The others leave no trace: an element not sent is still the caller's, none is taken
 * from a channel that lost.
 *
 * Ready clauses are chosen from at random, or in order with WEIR_SELECT_PRIORITY. A clause whose
 * object is NULL is disabled. A channel may appear more than once; a select never meets itself.
 * Clauses are plain memory of the caller: built once, they may be used in many selects, one at a
 * time. Nothing is allocated.
 *
 * Example:
 *     struct weir_clause wait_for[] = {
 *         weir_clause_recv(orders, &order),
 *         weir_clause_timer(weir_in_ms(200)),
 *     };
 *     int won = weir_select(wait_for, 2, 0, WEIR_FOREVER);
 *     if (won == 0 && wait_for[0].result == 0)
 *         handle(&order);
 */
#ifndef WEIR_SELECT_H
#define WEIR_SELECT_H

#include <weir/base.h>

struct weir_chan;
struct weir_task;

/* What a kind of clause can do; defined inside the library. */
struct weir_clause_verbs;

struct weir_clause {
    const struct weir_clause_verbs *verbs; /* NULL: disabled */
    void *object;                          /* the channel or task */
    void *elem;                            /* bytes to send, or room for what is received */
    int64_t deadline_ns;                   /* timer clauses */
    int result;                            /* out, for the winner: what the single call returns */
    uint32_t order;                        /* the library's while select runs */
    void *internal[14];                    /* the library's while select runs */
};

enum weir_select_flag {
    WEIR_SELECT_PRIORITY = 1 << 0, /* the first ready clause in order wins */
};

#define WEIR_SELECT_MAX 1024

WEIR_BEGIN

/* The clauses of a channel; a recv clause needs room for its element. */
WEIR_API struct weir_clause weir_clause_send(struct weir_chan *chan,
                                             const void *elem) WEIR_ANY_THREAD;
WEIR_API struct weir_clause weir_clause_recv(struct weir_chan *chan, void *elem) WEIR_ANY_THREAD;

/* Ready from the deadline on; a ready timer takes its chance among other ready clauses. */
WEIR_API struct weir_clause weir_clause_timer(int64_t deadline_ns) WEIR_ANY_THREAD;

/*
 * Watermarks, for those who can adapt: ready while at most, or at least, `level` elements are
 * buffered (units of weight, when the channel is bounded by weight). They take nothing.
 * What can no longer come wins too, at the channel's end, with what receivers then get as its
 * result: `above` when the channel is closed short of the level, both when it is aborted.
 */
WEIR_API struct weir_clause weir_clause_below(struct weir_chan *chan, size_t level) WEIR_ANY_THREAD;
WEIR_API struct weir_clause weir_clause_above(struct weir_chan *chan, size_t level) WEIR_ANY_THREAD;

/* Ready once the channel is closed or aborted; its result is what receivers get in the end. */
WEIR_API struct weir_clause weir_clause_closed(struct weir_chan *chan) WEIR_ANY_THREAD;

/* Ready when the task has ended; *result (may be NULL) gets what it returned. Winning does not end
 * the handle: weir_join or weir_task_release does. */
WEIR_API struct weir_clause weir_clause_join(struct weir_task *task, int *result) WEIR_ANY_THREAD;

/*
 * Ready when one of `events` (POLLIN, POLLOUT, ... of poll(2)) is true of the descriptor; the
 * result is the events that are, as weir_poll returns them, or -EBADF (also when weir_close ended
 * it), -EBUSY in use on another loop, -ENOBUFS no memory. No byte has moved: who wins reads or
 * writes without waiting (WEIR_NOW), and selects again after -EAGAIN, since another may have been
 * faster, or the kernel's word late: it may come when the very task has read what it is about. A
 * negative descriptor disables the clause. In tasks only: elsewhere select returns -ENXIO.
 *
 * While channels are ready all the time, one in every sixteen selects of a loop looks at its
 * clauses on I/O; with WEIR_SELECT_PRIORITY each one does, at the price of a system call a clause.
 */
WEIR_API struct weir_clause weir_clause_poll(int fd, short events) WEIR_ANY_THREAD;
WEIR_API struct weir_clause weir_clause_readable(int fd) WEIR_ANY_THREAD; /* POLLIN */
WEIR_API struct weir_clause weir_clause_writable(int fd) WEIR_ANY_THREAD; /* POLLOUT */

/*
 * Waits until one clause wins, and returns its index; its outcome is in its `result` (0,
 * WEIR_DROPPED, or -EPIPE of a closed channel). The deadline argument loses to a ready clause.
 * Errors: -EINVAL more than WEIR_SELECT_MAX clauses, unknown flags, a clause that no function of
 * this chapter made, or nothing that could ever win; -EAGAIN, -ETIME none by then; -ECANCELED;
 * -ENXIO a clause on I/O outside of a task.
 * After an error nothing has happened.
 */
WEIR_API WEIR_MUST_CHECK int weir_select(struct weir_clause *clauses, size_t count, unsigned flags,
                                         int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

WEIR_END

#endif
