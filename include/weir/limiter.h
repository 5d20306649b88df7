/* SPDX-License-Identifier: MIT */
/*
 * A limiter bounds how much is under way at once, of anything: requests being handled, calls of one
 * backend. What comes on top waits in a bounded line, for a bounded time, or is refused. So work
 * that was let in is done about as fast as when there is little to do, however much is offered, and
 * whoever is refused hears it early enough to do something else.
 *
 * The limit is fixed, or found and followed while it runs: up to it more at once gets more done,
 * beyond it everybody only waits for everybody. While the limit holds somebody back, the limiter
 * tries a lower and a higher one now and then, and takes from throughput and latency at both where
 * throughput / latency is highest. It remembers no latency as normal, so a service that becomes
 * four times as slow is no reason for a wrong limit. It needs results: a failure (a negative one)
 * costs time and brings nothing.
 *
 * What it is good for: work of which some hundred a second end, and whose time does not vary by
 * more than its mean (a coefficient of variation up to 1: exponential, most lognormal ones). Then
 * it is within 20 % of the best. What varies twice as much (one of twenty requests takes twenty
 * times as long) is averaged over some 5,000 requests, and now and then is farther off. A try costs
 * at least 48 requests, one of ten legs each; from afar it takes about ten. Where the limit holds
 * nobody back, it stays: the first overload begins at `limit`, so set that when you can guess it.
 *
 * The line is first come, first served, while it only evens out bursts. When it has not been empty
 * for an interval, what has waited for the target is refused, and the newest goes first. The
 * deadline of a call is that of the work: what could not be done by then, as it takes these days
 * at the least, is not let in.
 *
 * One limiter is shared by all who use the same thing, on any loops.
 *
 * Example, a server that answers every request: with its reply, or at once with a refusal.
 *     static int serve_client(int fd, void *context)
 *     {
 *         struct weir_limiter *limiter = context;
 *         struct request request = { .fd = fd };
 *         int error;
 *
 *         while (read_request(&request) > 0) {
 *             error = weir_limiter_run(limiter, handle, &request, weir_in_ms(50));
 *             if (error < 0 && refuse(&request, error) < 0)
 *                 break;
 *         }
 *         return weir_close(fd);
 *     }
 *
 *     struct weir_limiter_options options = { .adaptive = true };
 *     int error = weir_limiter_create(&limiter, &options);
 *     ...
 *     error = weir_listener_serve(listener, serve_client, limiter);
 */
#ifndef WEIR_LIMITER_H
#define WEIR_LIMITER_H

#include <weir/base.h>

struct weir_limiter;

/* The work, which should keep the deadline it is given. */
typedef int weir_limiter_fn(void *arg, int64_t deadline_ns);

/* The right to be under way, from enter to leave. The caller's memory; what is in it is the
 * limiter's. */
struct weir_limiter_pass {
    int64_t since_ns;
    uint32_t leg;
    uint32_t reserved;
};

/* Zeroed means default. */
struct weir_limiter_options {
    size_t size;          /* sizeof(struct weir_limiter_options); 0 means the first version's */
    const char *name;     /* copied, under WEIR_NAME_BYTES; NULL: "limiter" */
    bool adaptive;        /* else the limit is fixed */
    bool refuse_at_once;  /* at the limit: there is no line */
    unsigned limit;       /* under way at once; adaptive: to begin with; 0: 16 */
    unsigned limit_min;   /* adaptive; 0: 1 */
    unsigned limit_max;   /* adaptive; 0: 1024, or `limit` when that is more */
    unsigned waiters_max; /* in the line; 0: 1024 */
    int64_t target_ns;    /* the longest wait in a line that stands; 0: 5 ms */
    int64_t interval_ns;  /* in one that is empty now and then, and how long that may last; 0: 100
                           * ms, or target_ns when that is longer */
    uint64_t reserved[4]; /* must be zero */
};

struct weir_limiter_stats {
    unsigned limit;         /* now */
    unsigned in_flight;     /* under way now: more than the limit for a while, after it fell */
    unsigned in_flight_max; /* so far */
    size_t waiting;
    size_t waiting_max;
    bool overloaded;          /* the line stands */
    uint64_t passed_total;    /* let in */
    uint64_t waited_total;    /* those of them that had to wait */
    uint64_t wait_ns_total;   /* how long, and those that were not let in */
    uint64_t refused_total;   /* at once: the line full, no line, or WEIR_NOW */
    uint64_t late_total;      /* refused after they had waited too long */
    uint64_t expired_total;   /* their deadline was too near, or came too near in the line */
    uint64_t cancelled_total; /* in the line */
    uint64_t succeeded_total; /* left, with a result >= 0 */
    uint64_t failed_total;    /* left, with another but -ECANCELED */
    uint64_t moves_total;     /* of the limit, beside its trying */
    int64_t latency_min_ns;   /* of one to two seconds; 0: there was none */
    int64_t latency_mean_ns;  /* of late: of about the last 16 */
    uint64_t reserved[4];
};

WEIR_BEGIN

/* Creates a limiter, with one reference in *limiter. Returns 0. Errors: -EINVAL, also limits that
 * contradict each other; -E2BIG name too long; -ENOMEM. */
WEIR_API WEIR_MUST_CHECK int
weir_limiter_create(struct weir_limiter **limiter,
                    const struct weir_limiter_options *options) WEIR_ANY_THREAD;

/* One more reference; returns limiter. */
WEIR_API struct weir_limiter *weir_limiter_retain(struct weir_limiter *limiter) WEIR_ANY_THREAD;

/* Gives a reference back; whoever waits or holds a pass needs one. NULL is fine. */
WEIR_API void weir_limiter_release(struct weir_limiter *limiter) WEIR_ANY_THREAD;

/*
 * Lets nobody in any more: who waits gets -EPIPE, and so do later calls. What is under way goes on,
 * and leaves. Returns 0, or WEIR_ALREADY.
 */
WEIR_API int weir_limiter_close(struct weir_limiter *limiter) WEIR_ANY_THREAD;

/*
 * Calls fn(arg, deadline_ns) in the calling task or thread, when there is room for it.
 * Returns what fn returned.
 * Errors, without calling it: those of weir_limiter_enter.
 */
WEIR_API WEIR_MUST_CHECK int weir_limiter_run(struct weir_limiter *limiter, weir_limiter_fn *fn,
                                              void *arg,
                                              int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * The same by hand: waits for room. `deadline_ns` is when the work must be done. Each pass must be
 * given back by weir_limiter_leave; one that is not counts as under way for ever.
 * Returns 0, with a pass.
 * Errors: -EBUSY no room and no line, the line is full, or it took too long; -ETIME it cannot be
 * done by the deadline; -EAGAIN no room now (WEIR_NOW); -EPIPE closed; -ECANCELED; -EINVAL.
 */
WEIR_API WEIR_MUST_CHECK int weir_limiter_enter(struct weir_limiter *limiter,
                                                struct weir_limiter_pass *pass,
                                                int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Gives a pass back: a release call. `result` is the work's: negative is a failure, -ECANCELED
 * counts as neither. From any task or thread. Never waits. */
WEIR_API void weir_limiter_leave(struct weir_limiter *limiter, struct weir_limiter_pass *pass,
                                 int result) WEIR_ANY_THREAD;

/* One consistent reading. Returns 0, or -EINVAL. */
WEIR_API int weir_limiter_read_stats(struct weir_limiter *limiter,
                                     struct weir_limiter_stats *stats) WEIR_ANY_THREAD;

WEIR_END

#endif
