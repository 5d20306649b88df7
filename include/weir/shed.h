/* SPDX-License-Identifier: MIT */
/*
 * A shed is a queue of work that would rather refuse than serve too late. Work is put in with its
 * deadline, workers take it out, and what has waited too long, or could not be done in time any
 * more, goes to the refuse callback instead: so each work that was accepted is either taken, or
 * refused with a reason, once, and whoever asked for it can be told.
 *
 * The queue is first come, first served, while it only evens out bursts. When it has not been empty
 * for an interval it is overloaded: then what has waited for the target is refused, and the newest
 * is taken first, which is the likeliest to be still wanted.
 *
 * Work is looked through when some is put in or taken. Putting never waits: whoever does is a
 * reader of sockets, or a callback, and has better things to do.
 *
 * Example, a server whose readers put requests in and whose workers answer them:
 *     static void refuse(void *elem, void *context, enum weir_shed_reason reason)
 *     {
 *         struct request *request = *(struct request **)elem;
 *
 *         reply_busy(request, reason);
 *     }
 *
 *     static int serve_requests(void *arg)
 *     {
 *         struct weir_shed *shed = arg;
 *         struct request *request;
 *         int error;
 *
 *         while ((error = weir_shed_take(shed, &request, NULL, WEIR_FOREVER)) >= 0)
 *             reply(request, weir_limiter_run(limiter, handle, request, request->deadline_ns));
 *         return error == -EPIPE ? 0 : error;
 *     }
 *
 *     struct weir_shed_options options = { .refuse = refuse };
 *     int error = weir_shed_create(&shed, sizeof(struct request *), &options);
 *     ...
 *     if (weir_shed_put(shed, &request, request->deadline_ns) < 0)
 *         reply_busy(request, WEIR_SHED_FULL);
 */
#ifndef WEIR_SHED_H
#define WEIR_SHED_H

#include <weir/base.h>

struct weir_shed;

enum weir_shed_reason {
    WEIR_SHED_FULL,    /* pushed out by a newer one, of a full and overloaded queue */
    WEIR_SHED_LATE,    /* it has waited too long */
    WEIR_SHED_EXPIRED, /* it could not be done by its deadline any more */
    WEIR_SHED_CLOSED,  /* the shed was aborted, or given up with work in it */
    WEIR_SHED_REASONS,
};

/*
 * Hears of refused work. Runs in the callback task of the loop of whoever put or took meanwhile,
 * who waits for it; on a plain thread, in that thread. Under no lock; it may not park for long.
 * `elem` is a copy, valid during the call.
 */
typedef void weir_shed_refuse_fn(void *elem, void *context, enum weir_shed_reason reason);

/* Zeroed means default, but for the callback. */
struct weir_shed_options {
    size_t size;                 /* sizeof(struct weir_shed_options); 0: the first version's */
    const char *name;            /* copied, under WEIR_NAME_BYTES; NULL: "shed" */
    weir_shed_refuse_fn *refuse; /* must be there */
    void *context;
    size_t capacity;      /* work in the queue; 0: 1024 */
    int64_t target_ns;    /* the longest wait under overload; 0: 5 ms */
    int64_t interval_ns;  /* the longest otherwise, and how long the queue may go without being
                           * empty; 0: 100 ms, or target_ns when that is longer */
    int64_t work_ns;      /* what work takes at the least: none is begun later than this before its
                           * deadline; 0: 0 */
    uint64_t reserved[4]; /* must be zero */
};

/* How an element fared. */
struct weir_shed_wait {
    int64_t since_ns;    /* when it was put in */
    int64_t deadline_ns; /* as it was put in with */
};

struct weir_shed_stats {
    size_t count; /* in the queue now */
    size_t count_max;
    size_t capacity;
    size_t waiting_takers;
    bool overloaded;
    uint64_t accepted_total; /* put in: each of them is in the queue, taken or refused */
    uint64_t taken_total;
    uint64_t wait_ns_total; /* in the queue, of those that were taken */
    uint64_t wait_ns_max;
    uint64_t refused_total[WEIR_SHED_REASONS]; /* accepted, and refused later */
    uint64_t turned_away_total;                /* not accepted: full, too late or closed */
    uint64_t reserved[4];
};

WEIR_BEGIN

/* Creates a shed, with one reference, for elements of this size. Returns 0. Errors: -EINVAL, also
 * no callback; -E2BIG name too long; -EOVERFLOW; -ENOMEM. */
WEIR_API WEIR_MUST_CHECK int
weir_shed_create(struct weir_shed **shed, size_t elem_bytes,
                 const struct weir_shed_options *options) WEIR_ANY_THREAD;

/* One more reference; returns shed. */
WEIR_API struct weir_shed *weir_shed_retain(struct weir_shed *shed) WEIR_ANY_THREAD;

/* Gives a reference back; whoever is in a call needs one. The last refuses what is left. NULL is
 * fine. */
WEIR_API void weir_shed_release(struct weir_shed *shed) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * Puts work in, with the time by which it must be done (WEIR_FOREVER: whenever). Never waits for
 * room. When it is full and overloaded, the oldest is refused for it.
 * Returns 0: it is accepted.
 * Errors, after which nothing has happened, and the work is the caller's: -EBUSY full; -ETIME it
 * could not be done by then; -EPIPE closed; -ECANCELED; -EINVAL.
 */
WEIR_API WEIR_MUST_CHECK int weir_shed_put(struct weir_shed *shed, const void *elem,
                                           int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * Takes work that can still be done, and waits for some until the deadline, in the order of the
 * calls. `wait` (may be NULL) says how it fared.
 * Returns 0.
 * Errors: -EAGAIN, -ETIME none by then; -EPIPE closed, and none is left; -ECANCELED; -EINVAL.
 */
WEIR_API WEIR_MUST_CHECK int weir_shed_take(struct weir_shed *shed, void *elem,
                                            struct weir_shed_wait *wait,
                                            int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Accepts nothing any more; what is in the queue is still taken, and then takers get -EPIPE.
 * Returns 0, or WEIR_ALREADY. */
WEIR_API int weir_shed_close(struct weir_shed *shed) WEIR_ANY_THREAD;

/* Closes, and refuses what is in the queue. Returns 0, or WEIR_ALREADY it was closed before. */
WEIR_API int weir_shed_abort(struct weir_shed *shed) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* One consistent reading. Returns 0, or -EINVAL. */
WEIR_API int weir_shed_read_stats(struct weir_shed *shed,
                                  struct weir_shed_stats *stats) WEIR_ANY_THREAD;

WEIR_END

#endif
