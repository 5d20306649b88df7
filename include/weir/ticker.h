/* SPDX-License-Identifier: MIT */
/*
 * A ticker says when it is time again, to one who asks when he has handled the last tick: so ticks
 * never pile up, and a slow handler makes them fewer, never faster.
 *
 *   delay   the period is counted from the end of the handling, which is the next call
 *   fixed   ticks lie on a fixed schedule, start + number * period; those that passed while the
 *           last one was handled are missed: they are counted, and never made up for
 *
 * A ticker is plain memory of its owner, one task or thread at a time; it has no task and needs no
 * end. Its own time is never too early.
 *
 * Example:
 *     struct weir_ticker ticker;
 *     struct weir_tick tick;
 *     int error = weir_ticker_init(&ticker, 20 * 1000 * 1000, WEIR_TICK_FIXED);
 *     while (error >= 0 && (error = weir_ticker_wait(&ticker, &tick, WEIR_FOREVER)) >= 0)
 *         sample(tick.number);
 */
#ifndef WEIR_TICKER_H
#define WEIR_TICKER_H

#include <weir/base.h>

struct weir_chan;
struct weir_scope;

enum weir_tick_mode {
    WEIR_TICK_DELAY,
    WEIR_TICK_FIXED,
};

struct weir_tick {
    uint64_t number;      /* the first is 1; missed ones are counted too */
    int64_t scheduled_ns; /* when it was due */
    uint64_t missed;      /* fixed: how many passed between the last one and this one */
};

struct weir_ticker {
    enum weir_tick_mode mode;
    int64_t period_ns;
    int64_t next_ns; /* when the next tick is due; 0: its period has not begun */
    uint64_t number; /* of the last tick */
    uint64_t reserved[2];
};

/* Zeroed means default. */
struct weir_ticker_options {
    size_t size;          /* sizeof(struct weir_ticker_options); 0 means the first version's */
    const char *name;     /* of the task; copied, under WEIR_NAME_BYTES; NULL: "ticker" */
    uint64_t reserved[4]; /* must be zero */
};

WEIR_BEGIN

/* The first tick is due one period from now. Returns 0; -EINVAL a period that is not positive, or
 * an unknown mode. */
WEIR_API WEIR_MUST_CHECK int weir_ticker_init(struct weir_ticker *ticker, int64_t period_ns,
                                              enum weir_tick_mode mode) WEIR_ANY_THREAD;

/*
 * Waits for the next tick, which goes to *tick (may be NULL).
 * Returns 0. Errors, after which the tick is still to come: -EAGAIN, -ETIME not due by then;
 * -ECANCELED; -EINVAL.
 */
WEIR_API WEIR_MUST_CHECK int weir_ticker_wait(struct weir_ticker *ticker, struct weir_tick *tick,
                                              int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* When the next tick is due: for a timer clause, that weir_ticker_take follows when it has won.
 * With delay, the first call after a tick begins the period. */
WEIR_API int64_t weir_ticker_next_ns(struct weir_ticker *ticker) WEIR_ANY_THREAD;

/* The tick that is due, in *tick (may be NULL). Returns 0; -EAGAIN none is; -EINVAL. */
WEIR_API WEIR_MUST_CHECK int weir_ticker_take(struct weir_ticker *ticker,
                                              struct weir_tick *tick) WEIR_ANY_THREAD;

/*
 * Ticks for others: a task of `scope` that sends each tick, a struct weir_tick, to an unbuffered
 * channel. Here a delay is counted from when the last tick was received. A fixed tick that nobody
 * has received when the next is due becomes that one, and counts as missed. The task ends with 0
 * when the output is closed; when it is cancelled, it closes the output with -ECANCELED.
 * Returns 0. Errors: -EINVAL also elements of another size, or a buffered channel; -E2BIG; -ENOMEM;
 * those of weir_spawn.
 */
WEIR_API WEIR_MUST_CHECK int
weir_ticker_run(struct weir_scope *scope, int64_t period_ns, enum weir_tick_mode mode,
                struct weir_chan *output,
                const struct weir_ticker_options *options) WEIR_ANY_THREAD;

WEIR_END

#endif
