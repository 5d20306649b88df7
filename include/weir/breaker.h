/* SPDX-License-Identifier: MIT */
/*
 * A breaker stops calls to what does not work, so that callers fail at once instead of waiting for
 * it, and it gets time to recover.
 *
 *   closed      calls pass, and are counted in a sliding window of time, or of calls
 *   open        too many of them failed: for open_ns every call fails at once, with -EHOSTDOWN
 *   half-open   after that a few calls pass as probes, the others fail: enough successes in a row
 *               close it, one failure opens it again
 *
 * One breaker is shared by all who call the same thing, on any loops. A call that was begun before
 * the last change of state counts for nothing.
 *
 * Example:
 *     struct weir_breaker *breaker;
 *     int error = weir_breaker_create(&breaker, NULL);
 *     ...
 *     error = weir_breaker_run(breaker, ask_backend, &question, weir_in_ms(50));
 */
#ifndef WEIR_BREAKER_H
#define WEIR_BREAKER_H

#include <weir/base.h>

struct weir_breaker;

/* The call, which should keep the deadline it is given: a probe that never returns is never
 * replaced. */
typedef int weir_breaker_fn(void *arg, int64_t deadline_ns);

/* Whether a result is a failure. Any task or thread; several at a time. */
typedef bool weir_breaker_failure_fn(int result, void *context);

enum weir_breaker_state {
    WEIR_BREAKER_CLOSED,
    WEIR_BREAKER_OPEN, /* until a call comes after open_ns */
    WEIR_BREAKER_HALF_OPEN,
};

struct weir_breaker_change {
    const char *name;
    enum weir_breaker_state source;
    enum weir_breaker_state target;
    uint64_t number; /* of the change, from 1; reports of different loops may overtake each other */
};

/* Hears of a change. Runs in the callback task of the loop of the task whose call made it, which
 * waits for it; on a plain thread, in that thread. Under no lock; it may not park for long. */
typedef void weir_breaker_change_fn(const struct weir_breaker_change *change, void *context);

/* Zeroed means default. */
struct weir_breaker_options {
    size_t size;              /* sizeof(struct weir_breaker_options); 0 means the first version's */
    const char *name;         /* copied, under WEIR_NAME_BYTES; NULL: "breaker" */
    unsigned failure_percent; /* of the window's calls, from which on it opens; 0: 50 */
    unsigned calls_min;       /* in the window, before it may open; 0: 20 */
    /* How far back the window goes; not both. It slides in tenths: what it holds is between nine
     * and ten tenths of this. Both 0: 10 s. */
    int64_t window_ns;
    uint64_t window_calls;               /* rounded up to a multiple of ten */
    int64_t open_ns;                     /* 0: 1 s */
    unsigned probes;                     /* at a time, those of earlier tries included; 0: 1 */
    unsigned successes;                  /* of probes, until it closes; 0: 1 */
    weir_breaker_failure_fn *is_failure; /* NULL: every negative result; see weir_breaker_run */
    weir_breaker_change_fn *on_change;
    void *context;        /* of the callbacks */
    uint64_t reserved[4]; /* must be zero */
};

struct weir_breaker_stats {
    enum weir_breaker_state state;
    uint64_t passed_total; /* calls that were made, probes included */
    uint64_t failed_total; /* those that failed */
    uint64_t refused_total;
    uint64_t changes_total;
    uint64_t window_calls; /* as they count now */
    uint64_t window_failures;
    unsigned probes; /* under way */
    uint64_t reserved[4];
};

WEIR_BEGIN

/* Creates a closed breaker, with one reference in *breaker. Returns 0. Errors: -EINVAL, also
 * calls_min beyond nine tenths of window_calls; -E2BIG; -ENOMEM. */
WEIR_API WEIR_MUST_CHECK int
weir_breaker_create(struct weir_breaker **breaker,
                    const struct weir_breaker_options *options) WEIR_ANY_THREAD;

/* One more reference; returns breaker. */
WEIR_API struct weir_breaker *weir_breaker_retain(struct weir_breaker *breaker) WEIR_ANY_THREAD;

/* Gives a reference back. NULL is fine. */
WEIR_API void weir_breaker_release(struct weir_breaker *breaker) WEIR_ANY_THREAD;

/*
 * Calls fn(arg, deadline_ns) in the calling task or thread, if the state lets it pass. -ECANCELED
 * counts neither as success nor as failure.
 * Returns what fn returned; -EHOSTDOWN without calling it; -EINVAL.
 */
WEIR_API WEIR_MUST_CHECK int weir_breaker_run(struct weir_breaker *breaker, weir_breaker_fn *fn,
                                              void *arg,
                                              int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* One consistent reading. Returns 0, or -EINVAL. */
WEIR_API int weir_breaker_read_stats(struct weir_breaker *breaker,
                                     struct weir_breaker_stats *stats) WEIR_ANY_THREAD;

WEIR_END

#endif
