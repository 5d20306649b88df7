/* SPDX-License-Identifier: MIT */
/*
 * A token bucket lets through so many per second, and a burst on top after a quiet time. It fills
 * at `rate` tokens a period, up to `burst`; who wants to do something takes what it costs, and
 * waits exactly as long as that takes to come in.
 *
 * Those who wait are served in the order of their calls: each has its tokens reserved, so a small
 * one never overtakes a large one. A deadline that the tokens cannot meet is told at once, not when
 * it has passed. The arithmetic is exact: whatever the rate, nothing is rounded away, and over any
 * time t at most burst + rate * t tokens are given out, and just that many when there is demand.
 *
 * One bucket is shared by all who draw on the same thing, on any loops. It costs no timer: only
 * those who wait have one, their own.
 *
 * Example:
 *     struct weir_bucket *bucket;
 *     struct weir_bucket_options options = { .rate = 1000, .burst = 50 };
 *     int error = weir_bucket_create(&bucket, &options);
 *     ...
 *     error = weir_bucket_take(bucket, 1, weir_in_ms(20));
 */
#ifndef WEIR_BUCKET_H
#define WEIR_BUCKET_H

#include <weir/base.h>

struct weir_bucket;

/* Zeroed means default, but for the rate. */
struct weir_bucket_options {
    size_t size;          /* sizeof(struct weir_bucket_options); 0 means the first version's */
    const char *name;     /* copied, under WEIR_NAME_BYTES; NULL: "bucket" */
    uint64_t rate;        /* tokens a period; at least 1 */
    int64_t period_ns;    /* 0: 1 s */
    uint64_t burst;       /* the most that are saved, and that one call may take; 0: `rate` */
    bool starts_empty;    /* else it is full at first */
    unsigned waiters_max; /* 0: 1024 */
    uint64_t reserved[4]; /* must be zero */
};

struct weir_bucket_stats {
    uint64_t tokens;        /* that could be taken now */
    uint64_t taken_total;   /* tokens */
    uint64_t passed_total;  /* calls that got theirs */
    uint64_t waited_total;  /* those of them that had to wait */
    uint64_t wait_ns_total; /* how long */
    uint64_t refused_total; /* WEIR_NOW without tokens, or waiters_max reached */
    uint64_t expired_total; /* the tokens would have come after the deadline */
    uint64_t cancelled_total;
    size_t waiting; /* calls now */
    size_t waiting_max;
    uint64_t reserved[4];
};

WEIR_BEGIN

/* Creates a bucket, with one reference in *bucket. Returns 0. Errors: -EINVAL, also no rate, or one
 * above INT64_MAX; -EOVERFLOW burst * period_ns is beyond 2^61 (about 2.3e9 tokens, for periods of
 * a second); -E2BIG name too long; -ENOMEM. */
WEIR_API WEIR_MUST_CHECK int
weir_bucket_create(struct weir_bucket **bucket,
                   const struct weir_bucket_options *options) WEIR_ANY_THREAD;

/* One more reference; returns bucket. */
WEIR_API struct weir_bucket *weir_bucket_retain(struct weir_bucket *bucket) WEIR_ANY_THREAD;

/* Gives a reference back; whoever is in weir_bucket_take needs one. NULL is fine. */
WEIR_API void weir_bucket_release(struct weir_bucket *bucket) WEIR_ANY_THREAD;

/*
 * Takes `count` tokens, and parks until they have come in; behind those who came before.
 * Returns 0.
 * Errors, after which none was taken: -EAGAIN not now (WEIR_NOW); -ETIME not by the deadline, known
 * and told at once; -EBUSY waiters_max calls wait; -ECANCELED; -EINVAL more than `burst`.
 */
WEIR_API WEIR_MUST_CHECK int weir_bucket_take(struct weir_bucket *bucket, uint64_t count,
                                              int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* One consistent reading. Returns 0, or -EINVAL. */
WEIR_API int weir_bucket_read_stats(struct weir_bucket *bucket,
                                    struct weir_bucket_stats *stats) WEIR_ANY_THREAD;

WEIR_END

#endif
