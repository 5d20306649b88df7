/* SPDX-License-Identifier: MIT */
/*
 * Tickers. Pulled: a timer clause says when, take says which.
 *
 *               the first question                  due, taken
 *   HANDLING ------------------------> next_ns set -------------> HANDLING
 *   (next_ns 0)                             |  ^                  delay: next_ns 0
 *                                           `--'                  fixed: next_ns on the schedule
 *                                    a wait that failed
 */
#include "base/clock.h"
#include "base/memory.h"
#include "flow/options.h"

#include <weir/chan.h>
#include <weir/select.h>
#include <weir/ticker.h>

#include <errno.h>

/* --- Pulled --- */

int weir_ticker_init(struct weir_ticker *ticker, int64_t period_ns, enum weir_tick_mode mode)
{
    if (!ticker || period_ns <= 0 || mode > WEIR_TICK_FIXED)
        return -EINVAL;
    *ticker = (struct weir_ticker){
        .mode = mode,
        .period_ns = period_ns,
        .next_ns = weir__clock_add(weir__clock_now(), period_ns),
    };
    return 0;
}

int64_t weir_ticker_next_ns(struct weir_ticker *ticker)
{
    if (!ticker->next_ns)
        ticker->next_ns = weir__clock_add(weir__clock_now(), ticker->period_ns);
    return ticker->next_ns;
}

int weir_ticker_take(struct weir_ticker *ticker, struct weir_tick *tick)
{
    struct weir_tick due = { 0 };
    int64_t late_ns;

    if (!ticker)
        return -EINVAL;
    due.scheduled_ns = weir_ticker_next_ns(ticker);
    late_ns = weir__clock_now() - due.scheduled_ns;
    if (late_ns < 0)
        return -EAGAIN;
    ticker->next_ns = 0;
    if (ticker->mode == WEIR_TICK_FIXED) {
        due.missed = (uint64_t)(late_ns / ticker->period_ns);
        due.scheduled_ns += late_ns - late_ns % ticker->period_ns;
        ticker->next_ns = weir__clock_add(due.scheduled_ns, ticker->period_ns);
    }
    due.number = ticker->number += 1 + due.missed;
    if (tick)
        *tick = due;
    return 0;
}

int weir_ticker_wait(struct weir_ticker *ticker, struct weir_tick *tick, int64_t deadline_ns)
{
    struct weir_clause clause;
    int won;

    if (!ticker)
        return -EINVAL;
    clause = weir_clause_timer(weir_ticker_next_ns(ticker));
    won = weir_select(&clause, 1, 0, deadline_ns);
    return won < 0 ? won : weir_ticker_take(ticker, tick);
}

/* --- As a task --- */

struct sender {
    struct weir_ticker ticker;
    struct weir_chan *output; /* a reference */
};

enum { OUTPUT_END, TIMER, SEND, CLAUSE_COUNT };

/* Sends ticks until the output ends, or an error comes. Fixed ticks pass also while one is sent. */
static int send_ticks(struct sender *sender)
{
    struct weir_clause clauses[CLAUSE_COUNT] = { weir_clause_closed(sender->output) };
    struct weir_tick tick = { 0 };
    bool due = false;

    for (;;) {
        bool timed = !due || sender->ticker.mode == WEIR_TICK_FIXED;
        uint64_t missed = due ? tick.missed + 1 : 0;
        int won;

        clauses[TIMER] =
            weir_clause_timer(timed ? weir_ticker_next_ns(&sender->ticker) : WEIR_FOREVER);
        clauses[SEND] = weir_clause_send(due ? sender->output : NULL, &tick);
        won = weir_select(clauses, CLAUSE_COUNT, 0, WEIR_FOREVER);
        if (won < 0 || won == OUTPUT_END || clauses[won].result < 0)
            return won < 0 ? won : 0;
        due = won == TIMER;
        if (due && weir_ticker_take(&sender->ticker, &tick) >= 0)
            tick.missed += missed;
    }
}

static void free_sender(struct sender *sender)
{
    weir_chan_release(sender->output);
    weir__memory_free(sender);
}

static int run(void *arg)
{
    struct sender *sender = arg;
    int error = send_ticks(sender);

    weir_chan_close(sender->output, error);
    free_sender(sender);
    return error;
}

/* Whether the channel can carry ticks one by one. */
static bool carries_ticks(struct weir_chan *chan)
{
    struct weir_chan_stats stats;

    return weir_chan_read_stats(chan, &stats) >= 0 && stats.capacity == 0 &&
           weir_chan_elem_size(chan) == sizeof(struct weir_tick);
}

int weir_ticker_run(struct weir_scope *scope, int64_t period_ns, enum weir_tick_mode mode,
                    struct weir_chan *output, const struct weir_ticker_options *options)
{
    static const struct weir_ticker_options defaults;
    struct weir_spawn_options spawn = { .name = "ticker" };
    struct weir_ticker ticker;
    struct sender *sender;
    int error;

    options = options ? options : &defaults;
    error = weir__options_check(options->size, sizeof *options, options->reserved, options->name);
    if (error >= 0)
        error = weir_ticker_init(&ticker, period_ns, mode);
    if (error >= 0 && !carries_ticks(output))
        error = -EINVAL;
    if (error < 0)
        return error;
    if (options->name)
        spawn.name = options->name;
    sender = weir__memory_alloc(NULL, sizeof *sender);
    if (!sender)
        return -ENOMEM;
    *sender = (struct sender){ .ticker = ticker, .output = weir_chan_retain(output) };
    error = weir_spawn(scope, run, sender, &spawn);
    if (error < 0)
        free_sender(sender);
    return error;
}
