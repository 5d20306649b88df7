/* SPDX-License-Identifier: MIT */
/*
 * The token bucket, by reservation: a call takes its tokens at once, if need be out of the future,
 * and then sleeps until the bucket's level is what it would have needed. So order, and the moment
 * at which each is served, are settled when it comes, and nobody has to hand anything on.
 *
 * A level is counted in parts of a token, period_ns of them to each: in dt ns exactly rate * dt
 * parts come in, an integer.
 *
 *          level
 *   full  -----------------.        .---   at most; what comes in beyond is spilled
 *                           \      /
 *   0     -------------------\----/-----
 *                             \  /         below 0 lies what is reserved and has not come in yet:
 *   debt                       `'          it is somebody's who waits
 *
 * A waiter that is cancelled gives its reservation back, and those behind it could go earlier than
 * they meant to. Only the first of them needs to know at any time: whoever makes another waiter the
 * first looks whether it would sleep too long, and then wakes it to look again. So without cancels
 * nobody is woken but by its own timer, and a cancel costs one look.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/gauge.h"
#include "base/lock.h"
#include "base/memory.h"
#include "core/park.h"
#include "flow/options.h"

#include <weir/bucket.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { WAITERS_MAX = 1024, LOOK_AGAIN = 0 /* code of a wait */ };

static const int64_t default_period_ns = 1000 * 1000 * 1000;
static const int64_t parts_max = INT64_C(1) << 61; /* of a level, and of a debt */

struct weir_bucket {
    char name[WEIR_NAME_BYTES];
    int64_t rate;      /* parts a ns; constant, like all up to the lock */
    int64_t period_ns; /* parts of a token */
    int64_t full;      /* parts */
    size_t waiters_max;
    atomic_uint refs;
    struct weir__gauge gauge; /* of those who wait */

    struct weir__lock lock;
    /* Under the lock. */
    int64_t level;             /* parts, as of then; negative: a debt */
    int64_t then_ns;           /* never goes back */
    int64_t reserved;          /* parts of all who wait */
    struct weir__list waiters; /* struct waiter.link, in the order of their calls */
    size_t waiting;
    size_t waiting_max;
    uint64_t taken_total;
    uint64_t passed_total;
    uint64_t waited_total;
    uint64_t wait_ns_total;
    uint64_t refused_total;
    uint64_t expired_total;
    uint64_t cancelled_total;
};

/* In the frame of who waits. */
struct waiter {
    struct weir__list link;
    struct weir__wait *wait;
    int64_t parts;
    int64_t until_ns; /* when its timer wakes it: never too early */
};

static void describe(const void *object, char *text, size_t bytes)
{
    const struct weir_bucket *bucket = object;

    snprintf(text, bytes, "bucket \"%s\"", bucket->name);
}

static const struct weir__reason awaits_tokens = { "tokens of a bucket", WEIR_PHASE_TASK,
                                                   describe };

/* --- The level, under the lock --- */

static void fill(struct weir_bucket *bucket, int64_t now_ns)
{
    int64_t gain;

    if (now_ns <= bucket->then_ns)
        return;
    if (__builtin_mul_overflow(now_ns - bucket->then_ns, bucket->rate, &gain) ||
        gain > bucket->full - bucket->level)
        bucket->level = bucket->full;
    else
        bucket->level += gain;
    bucket->then_ns = now_ns;
}

/* When so many more parts will have come in. */
static int64_t time_of(const struct weir_bucket *bucket, int64_t missing)
{
    if (missing <= 0)
        return bucket->then_ns;
    return weir__clock_add(bucket->then_ns, missing / bucket->rate + (missing % bucket->rate > 0));
}

/* When the first waiter may go: nothing is reserved ahead of it. */
static int64_t time_of_first(const struct weir_bucket *bucket, const struct waiter *first)
{
    return time_of(bucket, first->parts - (bucket->level + bucket->reserved));
}

/* After a waiter has left: the wait of the first one when it must look again, claimed; or NULL. */
static struct weir__wait *look_at_first(struct weir_bucket *bucket)
{
    struct waiter *first = WEIR_CONTAINER_OF(bucket->waiters.next, struct waiter, link);

    if (weir__list_empty(&bucket->waiters) || time_of_first(bucket, first) >= first->until_ns)
        return NULL;
    return weir__wait_claim(first->wait, LOOK_AGAIN) ? first->wait : NULL;
}

/* --- A call --- */

/* Reserves; returns 0 when the tokens are there, 1 with *until_ns when they are coming. */
static int reserve(struct weir_bucket *bucket, int64_t parts, int64_t deadline_ns,
                   int64_t *until_ns)
{
    if (bucket->level >= parts) {
        bucket->level -= parts;
        return 0;
    }
    *until_ns = time_of(bucket, parts - bucket->level);
    if (deadline_ns == WEIR_NOW) {
        bucket->refused_total++;
        return -EAGAIN;
    }
    if (*until_ns > deadline_ns) {
        bucket->expired_total++;
        return -ETIME;
    }
    if (bucket->waiting == bucket->waiters_max || bucket->level - parts < -parts_max) {
        bucket->refused_total++;
        return -EBUSY;
    }
    bucket->level -= parts;
    return 1;
}

static void count_passed(struct weir_bucket *bucket, int64_t parts)
{
    bucket->taken_total += (uint64_t)(parts / bucket->period_ns);
    bucket->passed_total++;
}

static void enter_line(struct weir_bucket *bucket, struct waiter *waiter)
{
    weir__list_append(&bucket->waiters, &waiter->link);
    bucket->reserved += waiter->parts;
    if (++bucket->waiting > bucket->waiting_max)
        bucket->waiting_max = bucket->waiting;
}

/* With its tokens, or giving them back. */
static void leave_line(struct weir_bucket *bucket, struct waiter *waiter, bool passes)
{
    weir__list_unlink(&waiter->link);
    bucket->reserved -= waiter->parts;
    bucket->waiting--;
    if (passes) {
        bucket->waited_total++;
        count_passed(bucket, waiter->parts);
        return;
    }
    bucket->cancelled_total++;
    bucket->level += waiter->parts;
    if (bucket->level > bucket->full)
        bucket->level = bucket->full;
}

/* Parks until the reserved tokens have come in. Called under the lock, returns without it. */
static int await_tokens(struct weir_bucket *bucket, struct waiter *waiter)
{
    int64_t start_ns = bucket->then_ns;
    struct weir__wait *wake;
    int code;

    enter_line(bucket, waiter);
    do {
        weir__wait_begin(waiter->wait, &awaits_tokens, bucket);
        weir__lock_release(&bucket->lock);
        code = weir__wait_park(waiter->wait, waiter->until_ns, WEIR__PARK_CANCELLABLE);
        weir__lock_acquire(&bucket->lock);
        fill(bucket, weir__clock_now());
        if (code == LOOK_AGAIN)
            waiter->until_ns = time_of_first(bucket, waiter);
    } while (code == LOOK_AGAIN && waiter->until_ns > bucket->then_ns);
    leave_line(bucket, waiter, code != -ECANCELED);
    bucket->wait_ns_total += (uint64_t)(bucket->then_ns - start_ns);
    wake = look_at_first(bucket);
    weir__lock_release(&bucket->lock);
    if (wake)
        weir__wait_wake(wake);
    return code == -ECANCELED ? code : 0;
}

int weir_bucket_take(struct weir_bucket *bucket, uint64_t count, int64_t deadline_ns)
{
    struct waiter waiter;
    int64_t parts;
    int result;

    if (!bucket || count > (uint64_t)(bucket->full / bucket->period_ns))
        return -EINVAL;
    result = weir__wait_check();
    if (result < 0)
        return result;
    parts = (int64_t)count * bucket->period_ns;
    deadline_ns = weir__wait_deadline(deadline_ns);
    weir__lock_acquire(&bucket->lock);
    fill(bucket, weir__wait_now());
    if (bucket->level < parts) /* the loop's reading is a little old */
        fill(bucket, weir__clock_now());
    waiter = (struct waiter){ .parts = parts };
    result = reserve(bucket, parts, deadline_ns, &waiter.until_ns);
    if (result > 0) {
        waiter.wait = weir__wait_self();
        return await_tokens(bucket, &waiter);
    }
    if (result == 0)
        count_passed(bucket, parts);
    weir__lock_release(&bucket->lock);
    if (result == 0)
        weir__wait_settle(NULL);
    return result;
}

/* --- Lives --- */

static int check_options(const struct weir_bucket_options *options)
{
    int error =
        weir__options_check(options->size, sizeof *options, options->reserved, options->name);

    if (error < 0)
        return error;
    if (options->rate == 0 || options->rate > INT64_MAX || options->period_ns < 0)
        return -EINVAL;
    return 0;
}

static void read_gauge(struct weir__gauge *gauge, struct weir_queue_stats *stats)
{
    struct weir_bucket *bucket = WEIR_CONTAINER_OF(gauge, struct weir_bucket, gauge);

    weir__lock_acquire(&bucket->lock);
    stats->limit = bucket->waiters_max;
    stats->now = bucket->waiting;
    stats->now_max = bucket->waiting_max;
    stats->waited_count = bucket->waited_total;
    stats->wait_ns = bucket->wait_ns_total;
    stats->refused_count = bucket->refused_total;
    stats->expired_count = bucket->expired_total;
    weir__lock_release(&bucket->lock);
    weir__gauge_name(stats, bucket->name, "bucket");
}

int weir_bucket_create(struct weir_bucket **bucket, const struct weir_bucket_options *options)
{
    int64_t period_ns, full;
    struct weir_bucket *made;
    uint64_t burst;
    int error;

    error = bucket && options ? check_options(options) : -EINVAL;
    if (error < 0)
        return error;
    period_ns = options->period_ns ? options->period_ns : default_period_ns;
    burst = options->burst ? options->burst : options->rate;
    if (__builtin_mul_overflow(burst, period_ns, &full) || full > parts_max)
        return -EOVERFLOW;
    made = weir__memory_zalloc(NULL, sizeof *made);
    if (!made)
        return -ENOMEM;
    strcpy(made->name, options->name ? options->name : "bucket");
    made->rate = (int64_t)options->rate;
    made->period_ns = period_ns;
    made->full = full;
    made->waiters_max = options->waiters_max ? options->waiters_max : WAITERS_MAX;
    made->level = options->starts_empty ? 0 : full;
    made->then_ns = weir__clock_now();
    weir__list_init(&made->waiters);
    atomic_init(&made->refs, 1);
    made->gauge.read = read_gauge;
    weir__gauge_add(&made->gauge);
    *bucket = made;
    return 0;
}

struct weir_bucket *weir_bucket_retain(struct weir_bucket *bucket)
{
    /* relaxed: the caller has a reference */
    unsigned before = atomic_fetch_add_explicit(&bucket->refs, 1, memory_order_relaxed);

    WEIR_ASSERT(before > 0);
    return bucket;
}

void weir_bucket_release(struct weir_bucket *bucket)
{
    /* acq_rel: the last one frees after whatever the others did */
    if (!bucket || atomic_fetch_sub_explicit(&bucket->refs, 1, memory_order_acq_rel) != 1)
        return;
    WEIR_ASSERT(bucket->waiting == 0);
    weir__gauge_remove(&bucket->gauge);
    weir__memory_free(bucket);
}

int weir_bucket_read_stats(struct weir_bucket *bucket, struct weir_bucket_stats *stats)
{
    if (!bucket || !stats)
        return -EINVAL;
    weir__lock_acquire(&bucket->lock);
    fill(bucket, weir__clock_now());
    *stats = (struct weir_bucket_stats){
        .tokens = bucket->level > 0 ? (uint64_t)(bucket->level / bucket->period_ns) : 0,
        .taken_total = bucket->taken_total,
        .passed_total = bucket->passed_total,
        .waited_total = bucket->waited_total,
        .wait_ns_total = bucket->wait_ns_total,
        .refused_total = bucket->refused_total,
        .expired_total = bucket->expired_total,
        .cancelled_total = bucket->cancelled_total,
        .waiting = bucket->waiting,
        .waiting_max = bucket->waiting_max,
    };
    weir__lock_release(&bucket->lock);
    return 0;
}
