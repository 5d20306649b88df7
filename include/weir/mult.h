/* SPDX-License-Identifier: MIT */
/*
 * A mult hands each element of one channel, the source, to many: its taps. Taps come and go while
 * it runs. It is an ordinary task of a scope; the handle only gives it orders.
 *
 * The mult takes the next element when every tap has had this one: accepted it, or lost it by its
 * policy. So a slow tap that parks holds the others at most one element ahead of it, and the stats
 * say which one it is. Without taps elements are taken all the same, and dropped.
 *
 * Copies. Each tap gets one: the source's retain hook is called once for each copy beyond the
 * first, before any is handed out, and a copy that is not delivered goes to the source's drop
 * callback; it is released once, whatever becomes of it. What a tap's channel accepted is that
 * channel's: it wants the same hooks as the source.
 *
 * The end. When the source has ended, every tap is closed with the source's reason; when the mult
 * is cancelled, with -ECANCELED. A channel that is tapped after that is closed at once. A tap whose
 * channel was closed or aborted, by whomever, is taken away with the next element, or at once when
 * a delivery is parked on it.
 *
 * Verbs are carried out by the mult's task, one after the other. The deadline is for the task to
 * take the order, which it does at once, also while deliveries are parked; then the verb is done,
 * cancelled or not. From a callback of the source, which the mult waits for, verbs wait in vain. A
 * task that is cancelled leaves by closing its channel, or under a shield.
 *
 * Example:
 *     struct weir_mult *prices;
 *     int error = weir_mult_create(scope, source, NULL, &prices);
 *     ...
 *     struct weir_tap_options options = { .policy = WEIR_TAP_DROP_OLDEST };
 *     error = weir_mult_tap(prices, screen, &options, WEIR_FOREVER);
 */
#ifndef WEIR_MULT_H
#define WEIR_MULT_H

#include <weir/base.h>

struct weir_chan;
struct weir_mult;
struct weir_scope;

#define WEIR_MULT_TAPS_MAX 1023

/* What happens when a tap's channel has no room. */
enum weir_tap_policy {
    WEIR_TAP_PARK,        /* the delivery waits, and so does the mult */
    WEIR_TAP_DROP_NEWEST, /* this copy is dropped */
    /* The oldest element in the channel goes to the channel's own drop callback. If there is still
     * no room then (a rendezvous, or others who send to it), this copy is dropped. */
    WEIR_TAP_DROP_OLDEST,
    WEIR_TAP_DISCONNECT, /* this copy is dropped, and the tap closed with -ENOBUFS */
};

enum weir_tap_flag {
    WEIR_TAP_KEEP_OPEN = 1 << 0, /* the end of the mult does not close the channel */
};

/* Zeroed means default. */
struct weir_tap_options {
    size_t size; /* sizeof(struct weir_tap_options); 0 means the first version's */
    enum weir_tap_policy policy;
    unsigned flags;       /* enum weir_tap_flag */
    uint64_t reserved[4]; /* must be zero */
};

/* Zeroed means default. */
struct weir_mult_options {
    size_t size;          /* sizeof(struct weir_mult_options); 0 means the first version's */
    const char *name;     /* of the task; copied, under WEIR_NAME_BYTES; NULL: "mult" */
    uint64_t reserved[4]; /* must be zero */
};

/* Who blocks: the taps with a parked_since_ns now, those with the most parked_ns altogether. */
struct weir_tap_stats {
    const struct weir_chan *chan; /* to know it by; not a reference */
    uint64_t delivered_total;
    uint64_t dropped_total;  /* elements it lost by its policy */
    uint64_t parked_total;   /* deliveries that had to wait, the current one included */
    uint64_t parked_ns;      /* how long they have held the mult, the current one included */
    int64_t parked_since_ns; /* since when a delivery waits now; 0: none does */
    uint64_t reserved[4];
};

struct weir_mult_stats {
    uint64_t received_total;
    uint64_t unheard_total; /* elements that came while there was no tap */
    uint64_t dropped_total; /* copies for taps that went to the source's drop callback */
    size_t tap_count;
    bool ended;
    size_t tap_count_max;   /* the most so far */
    uint64_t refused_total; /* taps beyond WEIR_MULT_TAPS_MAX */
    uint64_t reserved[2];
};

WEIR_BEGIN

/*
 * Starts a mult as a task of `scope`; *mult gets a handle with one reference. The source is kept
 * alive by the mult, which should be its only receiver.
 * Returns 0. Errors: those of weir_spawn; -EINVAL a NULL or bad options; -ENOMEM.
 */
WEIR_API WEIR_MUST_CHECK int weir_mult_create(struct weir_scope *scope, struct weir_chan *source,
                                              const struct weir_mult_options *options,
                                              struct weir_mult **mult) WEIR_ANY_THREAD;

/* One more reference; returns mult. */
WEIR_API struct weir_mult *weir_mult_retain(struct weir_mult *mult) WEIR_ANY_THREAD;

/* Gives a reference back; the mult goes on. NULL is fine. */
WEIR_API void weir_mult_release(struct weir_mult *mult) WEIR_ANY_THREAD;

/*
 * Adds a tap: `chan` gets every later element, from the next one on, and is kept alive by the mult.
 * After the mult's end it is closed at once instead, unless it is to be kept open.
 * Returns 0; WEIR_ALREADY it was a tap before; it has these options now.
 * Errors, after which nothing has changed: -EINVAL a NULL, bad options, the source itself, or
 * another size of elements; -ENOBUFS WEIR_MULT_TAPS_MAX taps, or no memory; -EAGAIN, -ETIME;
 * -ECANCELED.
 */
WEIR_API WEIR_MUST_CHECK int weir_mult_tap(struct weir_mult *mult, struct weir_chan *chan,
                                           const struct weir_tap_options *options,
                                           int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * Takes a tap away; its channel stays open. Nothing is delivered to it after the return; a delivery
 * that was parked on it has been cancelled, and its copy dropped.
 * Returns 0; WEIR_ALREADY it was no tap. Errors: -EINVAL; -EAGAIN, -ETIME; -ECANCELED.
 */
WEIR_API int weir_mult_untap(struct weir_mult *mult, struct weir_chan *chan,
                             int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Takes all taps away at one instant. Returns 0; WEIR_ALREADY there was none. Errors as untap. */
WEIR_API int weir_mult_untap_all(struct weir_mult *mult,
                                 int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * One reading, of one instant. `taps` (may be NULL when `capacity` is 0) gets up to `capacity`
 * entries; stats->tap_count says how many there are.
 * Returns 0. Errors: -EINVAL; -EAGAIN, -ETIME; -ECANCELED.
 */
WEIR_API WEIR_MUST_CHECK int
weir_mult_read_stats(struct weir_mult *mult, struct weir_mult_stats *stats,
                     struct weir_tap_stats *taps, size_t capacity,
                     int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

WEIR_END

#endif
