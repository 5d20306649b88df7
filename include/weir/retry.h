/* SPDX-License-Identifier: MIT */
/*
 * A retry calls a function that may fail for a while, until it succeeds, fails for good, or it is
 * too late. Pauses between attempts grow, and each is drawn at random between nothing and the
 * backoff, so that callers who failed together do not come back together.
 *
 * Its budget bounds what retries add when everything fails: each call earns budget_percent of a
 * retry, each retry costs one, and at most budget_burst are saved (as many are there at the start).
 * So in any number of calls the retries are at most budget_burst + calls * budget_percent / 100.
 *
 * One retry is shared by all who call the same thing, on any loops. Only what may be done twice
 * should be retried.
 *
 * Example:
 *     struct weir_retry *retry;
 *     struct weir_retry_options options = { .attempt_ns = 50 * 1000 * 1000 };
 *     int error = weir_retry_create(&retry, &options);
 *     ...
 *     error = weir_retry_run(retry, ask_backend, &question, weir_in_ms(200));
 */
#ifndef WEIR_RETRY_H
#define WEIR_RETRY_H

#include <weir/base.h>

struct weir_retry;

/* One attempt, which should keep the deadline it is given. */
typedef int weir_retry_fn(void *arg, int64_t deadline_ns);

/* Whether a negative result may pass. Any task or thread; several at a time. */
typedef bool weir_retry_able_fn(int error, void *context);

/* Zeroed means default. */
struct weir_retry_options {
    size_t size;             /* sizeof(struct weir_retry_options); 0 means the first version's */
    int64_t first_ns;        /* the first backoff; 0: 10 ms */
    int64_t max_ns;          /* the longest; 0: 1 s, or first_ns when that is longer */
    unsigned multiplier;     /* from one backoff to the next; 0: 2 */
    unsigned attempts_max;   /* of one call, the first included; 0: 4 */
    unsigned budget_percent; /* 1 to 1000; 0: 10 */
    unsigned budget_burst;   /* retries; 0: 10 */
    int64_t attempt_ns;      /* the longest that one attempt may take; 0: the call's deadline */
    weir_retry_able_fn *is_retryable; /* NULL: weir_is_retryable. Never asked about -ECANCELED */
    void *context;
    uint64_t reserved[4]; /* must be zero */
};

struct weir_retry_stats {
    uint64_t calls_total;
    uint64_t attempts_total;
    uint64_t retries_total;
    uint64_t refused_total; /* calls that ended because the budget was spent */
    uint64_t gave_up_total; /* by attempts_max, deadline or cancel, with a retryable error */
    double budget;          /* retries that are saved now */
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * The default: whether the cause may be gone soon, and nothing was agreed on. -EAGAIN, -EBUSY,
 * -ETIME, -ETIMEDOUT, -ENOBUFS, -ECONNREFUSED, -ECONNRESET, -ECONNABORTED, -ENETDOWN,
 * -ENETUNREACH, -EHOSTUNREACH. Not -EPIPE, which says of a channel that it is closed for good, and
 * not -EHOSTDOWN, by which a breaker says that it is better not to call.
 */
WEIR_API bool weir_is_retryable(int64_t error) WEIR_ANY_THREAD;

/* Creates a retry, with one reference in *retry. Returns 0. Errors: -EINVAL; -ENOMEM. */
WEIR_API WEIR_MUST_CHECK int
weir_retry_create(struct weir_retry **retry,
                  const struct weir_retry_options *options) WEIR_ANY_THREAD;

/* One more reference; returns retry. */
WEIR_API struct weir_retry *weir_retry_retain(struct weir_retry *retry) WEIR_ANY_THREAD;

/* Gives a reference back. NULL is fine. */
WEIR_API void weir_retry_release(struct weir_retry *retry) WEIR_ANY_THREAD;

/*
 * Calls fn(arg, deadline of the attempt) in the calling task or thread, and again after a pause as
 * long as it fails with what is retryable; never sleeps past the deadline, nor when cancelled.
 * Returns what fn returned last; -EINVAL.
 */
WEIR_API WEIR_MUST_CHECK int weir_retry_run(struct weir_retry *retry, weir_retry_fn *fn, void *arg,
                                            int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* One reading, each figure by itself. Returns 0, or -EINVAL. */
WEIR_API int weir_retry_read_stats(struct weir_retry *retry,
                                   struct weir_retry_stats *stats) WEIR_ANY_THREAD;

WEIR_END

#endif
