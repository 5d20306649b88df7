/* SPDX-License-Identifier: MIT */
/*
 * The limiter: one short lock, a line of those who wait, and climb.h, which says how many may be
 * under way. A fixed limit is one that cannot move.
 *
 *                  room                                     leave
 *   enter ------------------------------> under way ----------------------> hands its room to one
 *      |                                      ^                             of the line, if any
 *      | no room: a place in the line         |
 *      v                                      | by who leaves, or by a limit that rises
 *   waiting ----------------------------------'
 *      |
 *      `--> refused: by its own timer (its patience, or its deadline less what work takes at the
 *           least), by a cancel, by a close
 *
 * What holds: somebody waits only while as many are under way as the limit allows. So who finds
 * room finds no line; and who leaves lets in as many as there is room for: to let one in may end a
 * leg, and raise the limit.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/gauge.h"
#include "base/lock.h"
#include "base/memory.h"
#include "core/park.h"
#include "flow/climb.h"
#include "flow/options.h"
#include "flow/patience.h"

#include <weir/limiter.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    LIMIT = 16,
    LIMIT_MAX = 1024,
    LIMIT_CEILING = 1 << 20,
    WAITERS_MAX = 1024,
    MEAN_SHARE = 16, /* of a latency in the mean */
    LET_IN = 0,      /* codes of a wait */
    CLOSED = 1,
    FOR_ITS_PATIENCE = 1, /* how long a newcomer may wait */
    TO_ITS_DEADLINE = 2,
};

static const int64_t window_ns = 1000 * 1000 * 1000;

/* The least of this window and of the one before. */
struct least {
    int64_t begun_ns; /* this window; 0: never */
    int64_t now_ns;   /* latencies; INT64_MAX: none */
    int64_t before_ns;
};

struct weir_limiter {
    char name[WEIR_NAME_BYTES];
    bool refuse_at_once;
    size_t waiters_max;
    atomic_uint refs;
    struct weir__gauge gauge;

    struct weir__lock lock;
    /* Under the lock. */
    struct weir__climb climb;
    struct weir__patience patience;
    struct weir__list line; /* struct place.waiter.link, the oldest first */
    struct least least;
    int64_t mean_ns;
    unsigned in_flight;
    unsigned in_flight_max;
    size_t waiting;
    size_t waiting_max;
    bool closed;
    struct weir_limiter_stats counted; /* its totals */
};

/* In the line; in the frame of who waits. */
struct place {
    struct weir__waiter waiter;
    struct weir_limiter_pass *pass;
    int64_t since_ns;
};

static void describe(const void *object, char *text, size_t bytes)
{
    const struct weir_limiter *limiter = object;

    snprintf(text, bytes, "limiter \"%s\"", limiter->name);
}

static const struct weir__reason awaits_room = { "room in a limiter", WEIR_PHASE_TASK, describe };

/* --- What work takes, under the lock --- */

static void turn_window(struct least *least, int64_t time_ns)
{
    if (time_ns - least->begun_ns < window_ns)
        return;
    least->before_ns = time_ns - least->begun_ns < 2 * window_ns ? least->now_ns : INT64_MAX;
    least->now_ns = INT64_MAX;
    least->begun_ns = time_ns;
}

/* 0: nothing is known. */
static int64_t least_of(struct weir_limiter *limiter, int64_t time_ns)
{
    struct least *least = &limiter->least;
    int64_t latency_ns;

    turn_window(least, time_ns);
    latency_ns = least->now_ns < least->before_ns ? least->now_ns : least->before_ns;
    return latency_ns == INT64_MAX ? 0 : latency_ns;
}

static void note_latency(struct weir_limiter *limiter, int64_t latency_ns, int64_t time_ns)
{
    turn_window(&limiter->least, time_ns);
    if (latency_ns < limiter->least.now_ns)
        limiter->least.now_ns = latency_ns;
    if (limiter->counted.succeeded_total == 0)
        limiter->mean_ns = latency_ns;
    limiter->mean_ns += (latency_ns - limiter->mean_ns) / MEAN_SHARE;
}

/* --- Under way, and in the line; under the lock --- */

static void let_in(struct weir_limiter *limiter, struct weir_limiter_pass *pass, int64_t now_ns)
{
    if (++limiter->in_flight > limiter->in_flight_max)
        limiter->in_flight_max = limiter->in_flight;
    limiter->counted.passed_total++;
    pass->since_ns = now_ns;
    pass->leg = weir__climb_admit(&limiter->climb, limiter->in_flight, now_ns);
}

static bool has_room(const struct weir_limiter *limiter)
{
    return limiter->in_flight < limiter->climb.limit;
}

static bool stands(const struct weir_limiter *limiter, int64_t now_ns)
{
    return !weir__list_empty(&limiter->line) && weir__patience_is_short(&limiter->patience, now_ns);
}

/* Whoever is to go next, claimed; NULL when nobody waits any more. */
static struct place *take_next(struct weir_limiter *limiter, int64_t now_ns)
{
    bool newest = stands(limiter, now_ns);

    while (!weir__list_empty(&limiter->line)) {
        struct weir__list *link = newest ? limiter->line.prev : limiter->line.next;
        struct weir__waiter *waiter = WEIR_CONTAINER_OF(link, struct weir__waiter, link);

        if (weir__waiter_claim(waiter))
            return WEIR_CONTAINER_OF(waiter, struct place, waiter);
    }
    return NULL;
}

/* Lets in of the line as many as there is room for; returns the chain of waits to wake. */
static struct weir__wait *let_in_waiting(struct weir_limiter *limiter, int64_t now_ns)
{
    struct weir__wait *wake = NULL, **end = &wake;
    struct place *place;

    while (has_room(limiter) && (place = take_next(limiter, now_ns))) {
        let_in(limiter, place->pass, now_ns);
        limiter->counted.waited_total++;
        end = weir__wait_chain(end, place->waiter.wait);
    }
    return wake;
}

/* --- Entering --- */

/* How long a newcomer may wait, and until when; or why not. */
static int may_wait(struct weir_limiter *limiter, int64_t deadline_ns, int64_t now_ns,
                    int64_t *until_ns)
{
    int64_t least_ns = least_of(limiter, now_ns);

    if (deadline_ns == WEIR_NOW) {
        limiter->counted.refused_total++;
        return -EAGAIN;
    }
    if (deadline_ns != WEIR_FOREVER && deadline_ns - least_ns <= now_ns) {
        limiter->counted.expired_total++;
        return -ETIME;
    }
    if (limiter->refuse_at_once || limiter->waiting >= limiter->waiters_max) {
        limiter->counted.refused_total++;
        return -EBUSY;
    }
    if (weir__list_empty(&limiter->line))
        limiter->patience.empty_ns = now_ns;
    *until_ns = weir__clock_add(now_ns, weir__patience_now(&limiter->patience, now_ns));
    if (deadline_ns == WEIR_FOREVER || deadline_ns - least_ns > *until_ns)
        return FOR_ITS_PATIENCE;
    *until_ns = deadline_ns - least_ns;
    return TO_ITS_DEADLINE;
}

/* Counts how a wait ended; what that means for the caller. Under the lock. */
static int settle_wait(struct weir_limiter *limiter, const struct place *place, int code,
                       bool by_deadline)
{
    limiter->waiting--;
    limiter->counted.wait_ns_total += (uint64_t)(weir__clock_now() - place->since_ns);
    if (code == LET_IN)
        return 0;
    if (code == CLOSED)
        return -EPIPE;
    if (code == -ECANCELED) {
        limiter->counted.cancelled_total++;
        return -ECANCELED;
    }
    if (by_deadline) {
        limiter->counted.expired_total++;
        return -ETIME;
    }
    limiter->counted.late_total++;
    return -EBUSY;
}

/* Called under the lock, returns without it. */
static int wait_for_room(struct weir_limiter *limiter, struct place *place, int64_t until_ns,
                         bool by_deadline)
{
    int code;

    place->waiter = (struct weir__waiter){
        .wait = weir__wait_self(),
        .index = LET_IN,
        .alone = true,
    };
    weir__wait_begin(place->waiter.wait, &awaits_room, limiter);
    weir__list_append(&limiter->line, &place->waiter.link);
    if (++limiter->waiting > limiter->waiting_max)
        limiter->waiting_max = limiter->waiting;
    weir__lock_release(&limiter->lock);
    code = weir__wait_park(place->waiter.wait, until_ns, WEIR__PARK_CANCELLABLE);
    weir__lock_acquire(&limiter->lock);
    if (code < 0)
        weir__list_unlink(&place->waiter.link);
    code = settle_wait(limiter, place, code, by_deadline);
    weir__lock_release(&limiter->lock);
    return code;
}

/* Under the lock: 0 with a pass, or as may_wait. */
static int enter_or_refuse(struct weir_limiter *limiter, struct weir_limiter_pass *pass,
                           int64_t deadline_ns, int64_t now_ns, int64_t *until_ns)
{
    if (limiter->closed)
        return -EPIPE;
    if (!has_room(limiter))
        return may_wait(limiter, deadline_ns, now_ns, until_ns);
    if (deadline_ns != WEIR_NOW && deadline_ns != WEIR_FOREVER &&
        deadline_ns - least_of(limiter, now_ns) <= now_ns) {
        limiter->counted.expired_total++;
        return -ETIME;
    }
    let_in(limiter, pass, now_ns);
    return 0;
}

int weir_limiter_enter(struct weir_limiter *limiter, struct weir_limiter_pass *pass,
                       int64_t deadline_ns)
{
    struct place place = { .pass = pass };
    int64_t until_ns;
    int result;

    if (!limiter || !pass)
        return -EINVAL;
    result = weir__wait_check();
    if (result < 0)
        return result;
    deadline_ns = weir__wait_deadline(deadline_ns);
    weir__lock_acquire(&limiter->lock);
    place.since_ns = weir__clock_now();
    result = enter_or_refuse(limiter, pass, deadline_ns, place.since_ns, &until_ns);
    if (result > 0)
        return wait_for_room(limiter, &place, until_ns, result == TO_ITS_DEADLINE);
    weir__lock_release(&limiter->lock);
    weir__wait_settle(NULL);
    return result;
}

/* --- Leaving --- */

static void count_end(struct weir_limiter *limiter, const struct weir_limiter_pass *pass,
                      int result, int64_t now_ns)
{
    int64_t latency_ns = now_ns - pass->since_ns;

    if (result == -ECANCELED) {
        weir__climb_forget(&limiter->climb, pass->leg, pass->since_ns);
        return;
    }
    weir__climb_finish(&limiter->climb, pass->leg, pass->since_ns, now_ns, result >= 0);
    if (result < 0) {
        limiter->counted.failed_total++;
        return;
    }
    note_latency(limiter, latency_ns, now_ns);
    limiter->counted.succeeded_total++;
}

void weir_limiter_leave(struct weir_limiter *limiter, struct weir_limiter_pass *pass, int result)
{
    int64_t now_ns = weir__clock_now();
    struct weir__wait *wake;

    weir__lock_acquire(&limiter->lock);
    WEIR_ASSERT(limiter->in_flight > 0);
    limiter->in_flight--;
    count_end(limiter, pass, result, now_ns);
    wake = let_in_waiting(limiter, now_ns);
    weir__lock_release(&limiter->lock);
    weir__wait_wake_all(wake);
}

int weir_limiter_run(struct weir_limiter *limiter, weir_limiter_fn *fn, void *arg,
                     int64_t deadline_ns)
{
    struct weir_limiter_pass pass;
    int result = fn ? weir_limiter_enter(limiter, &pass, deadline_ns) : -EINVAL;

    if (result < 0)
        return result;
    result = fn(arg, deadline_ns);
    weir_limiter_leave(limiter, &pass, result);
    return result;
}

/* --- Lives --- */

static int check_options(const struct weir_limiter_options *options)
{
    int error =
        weir__options_check(options->size, sizeof *options, options->reserved, options->name);

    if (error < 0)
        return error;
    if (options->limit > LIMIT_CEILING || options->limit_max > LIMIT_CEILING)
        return -EINVAL;
    if (!options->adaptive && (options->limit_min || options->limit_max))
        return -EINVAL;
    if (options->target_ns < 0 || options->interval_ns < 0)
        return -EINVAL;
    return options->interval_ns && options->interval_ns < options->target_ns ? -EINVAL : 0;
}

/* Returns 0, or -EINVAL when the limits contradict each other. */
static int set_limits(struct weir__climb *climb, const struct weir_limiter_options *options)
{
    unsigned least = options->limit_min ? options->limit_min : 1;
    unsigned limit = options->limit ? options->limit : least > LIMIT ? least : LIMIT;
    unsigned most = options->limit_max ? options->limit_max : limit > LIMIT_MAX ? limit : LIMIT_MAX;

    if (!options->limit && limit > most)
        limit = most;
    if (!options->adaptive)
        least = most = limit;
    if (least > limit || limit > most)
        return -EINVAL;
    weir__climb_init(climb, least, most, limit);
    return 0;
}

static void read_gauge(struct weir__gauge *gauge, struct weir_queue_stats *stats)
{
    struct weir_limiter *limiter = WEIR_CONTAINER_OF(gauge, struct weir_limiter, gauge);

    weir__lock_acquire(&limiter->lock);
    stats->limit = limiter->climb.limit;
    stats->now = limiter->in_flight;
    stats->now_max = limiter->in_flight_max;
    stats->waiting = limiter->waiting;
    stats->waiting_max = limiter->waiting_max;
    stats->waited_count = limiter->counted.waited_total;
    stats->wait_ns = limiter->counted.wait_ns_total;
    stats->refused_count = limiter->counted.refused_total;
    stats->expired_count = limiter->counted.late_total + limiter->counted.expired_total;
    weir__lock_release(&limiter->lock);
    weir__gauge_name(stats, limiter->name, "limiter");
}

int weir_limiter_create(struct weir_limiter **limiter, const struct weir_limiter_options *options)
{
    static const struct weir_limiter_options defaults;
    struct weir__climb climb;
    struct weir_limiter *made;
    int error;

    options = options ? options : &defaults;
    error = limiter ? check_options(options) : -EINVAL;
    if (error >= 0)
        error = set_limits(&climb, options);
    if (error < 0)
        return error;
    made = weir__memory_zalloc(NULL, sizeof *made);
    if (!made)
        return -ENOMEM;
    strcpy(made->name, options->name ? options->name : "limiter");
    made->refuse_at_once = options->refuse_at_once;
    made->waiters_max = options->waiters_max ? options->waiters_max : WAITERS_MAX;
    made->climb = climb;
    made->patience = weir__patience_of(options->target_ns, options->interval_ns);
    made->least = (struct least){ .now_ns = INT64_MAX, .before_ns = INT64_MAX };
    weir__list_init(&made->line);
    atomic_init(&made->refs, 1);
    made->gauge.read = read_gauge;
    weir__gauge_add(&made->gauge);
    *limiter = made;
    return 0;
}

struct weir_limiter *weir_limiter_retain(struct weir_limiter *limiter)
{
    /* relaxed: the caller has a reference */
    unsigned before = atomic_fetch_add_explicit(&limiter->refs, 1, memory_order_relaxed);

    WEIR_ASSERT(before > 0);
    return limiter;
}

void weir_limiter_release(struct weir_limiter *limiter)
{
    /* acq_rel: the last one frees after whatever the others did */
    if (!limiter || atomic_fetch_sub_explicit(&limiter->refs, 1, memory_order_acq_rel) != 1)
        return;
    WEIR_ASSERT(limiter->in_flight == 0);
    WEIR_ASSERT(limiter->waiting == 0);
    weir__gauge_remove(&limiter->gauge);
    weir__memory_free(limiter);
}

int weir_limiter_close(struct weir_limiter *limiter)
{
    struct weir__wait *wake = NULL, **end = &wake;
    bool before;

    if (!limiter)
        return -EINVAL;
    weir__lock_acquire(&limiter->lock);
    before = limiter->closed;
    limiter->closed = true;
    while (!weir__list_empty(&limiter->line)) {
        struct weir__waiter *waiter =
            WEIR_CONTAINER_OF(limiter->line.next, struct weir__waiter, link);

        waiter->index = CLOSED;
        if (weir__waiter_claim(waiter))
            end = weir__wait_chain(end, waiter->wait);
    }
    weir__lock_release(&limiter->lock);
    weir__wait_wake_all(wake);
    return before ? WEIR_ALREADY : 0;
}

int weir_limiter_read_stats(struct weir_limiter *limiter, struct weir_limiter_stats *stats)
{
    int64_t now_ns;

    if (!limiter || !stats)
        return -EINVAL;
    weir__lock_acquire(&limiter->lock);
    now_ns = weir__clock_now();
    *stats = limiter->counted;
    stats->limit = limiter->climb.limit;
    stats->in_flight = limiter->in_flight;
    stats->in_flight_max = limiter->in_flight_max;
    stats->waiting = limiter->waiting;
    stats->waiting_max = limiter->waiting_max;
    stats->overloaded = stands(limiter, now_ns);
    stats->moves_total = limiter->climb.moves;
    stats->latency_min_ns = least_of(limiter, now_ns);
    stats->latency_mean_ns = limiter->mean_ns;
    weir__lock_release(&limiter->lock);
    return 0;
}
