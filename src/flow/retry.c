/* SPDX-License-Identifier: MIT */
/*
 * Retries: exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", 2015),
 * bounded by a budget that is a token bucket in hundredths of a retry. All that is shared is
 * atomic, and counted by itself: nothing is ordered by it.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "core/park.h"
#include "flow/options.h"

#include <weir/retry.h>
#include <weir/task.h>

#include <errno.h>
#include <stdatomic.h>

enum {
    MS = 1000 * 1000,
    FIRST_NS = 10 * MS,
    MAX_NS = 1000 * MS,
    MULTIPLIER = 2,
    ATTEMPTS = 4,
    BUDGET_PERCENT = 10,
    BUDGET_PERCENT_MAX = 1000,
    BUDGET_BURST = 10,
    RETRY_COST = 100, /* tokens */
};

struct weir_retry {
    struct weir_retry_options options; /* with defaults filled in; constant */
    atomic_uint refs;
    _Atomic uint64_t tokens; /* hundredths of a retry that are saved */
    _Atomic uint64_t calls_total;
    _Atomic uint64_t attempts_total;
    _Atomic uint64_t retries_total;
    _Atomic uint64_t refused_total;
    _Atomic uint64_t gave_up_total;
};

bool weir_is_retryable(int64_t error)
{
    switch (error) {
    case -EAGAIN:
    case -EBUSY:
    case -ETIME:
    case -ETIMEDOUT:
    case -ENOBUFS:
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -ECONNABORTED:
    case -ENETDOWN:
    case -ENETUNREACH:
    case -EHOSTUNREACH:
        return true;
    default:
        return false;
    }
}

static bool default_is_retryable(int error, void *context)
{
    (void)context;
    return weir_is_retryable(error);
}

static void count_up(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* --- The budget --- */

static uint64_t tokens_max(const struct weir_retry *retry)
{
    return (uint64_t)retry->options.budget_burst * RETRY_COST;
}

/* A call earns its share of a retry, unless enough is saved. */
static void earn(struct weir_retry *retry)
{
    uint64_t most = tokens_max(retry);
    uint64_t saved = atomic_load_explicit(&retry->tokens, memory_order_relaxed);
    uint64_t more;

    do {
        if (saved == most)
            return;
        more = saved + retry->options.budget_percent;
        more = more < most ? more : most;
    } while (!atomic_compare_exchange_weak_explicit(&retry->tokens, &saved, more,
                                                    memory_order_relaxed, memory_order_relaxed));
}

static bool spend(struct weir_retry *retry)
{
    uint64_t saved = atomic_load_explicit(&retry->tokens, memory_order_relaxed);

    do {
        if (saved < RETRY_COST)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&retry->tokens, &saved, saved - RETRY_COST,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* --- A call --- */

static int64_t sooner(int64_t left_ns, int64_t right_ns)
{
    return left_ns < right_ns ? left_ns : right_ns;
}

static int attempt(struct weir_retry *retry, weir_retry_fn *fn, void *arg, int64_t deadline_ns)
{
    count_up(&retry->attempts_total);
    if (retry->options.attempt_ns)
        deadline_ns = sooner(deadline_ns, weir_in_ns(retry->options.attempt_ns));
    return fn(arg, deadline_ns);
}

static bool may_pass(const struct weir_retry *retry, int result)
{
    return result < 0 && result != -ECANCELED &&
           retry->options.is_retryable(result, retry->options.context);
}

/* Uniform in [0, backoff]; the bias is below backoff / 2^61. */
static int64_t draw_pause(int64_t backoff_ns)
{
    uint64_t random = weir__random_next(weir__wait_random()) >> 3;

    return (int64_t)(random % ((uint64_t)backoff_ns + 1));
}

static int64_t next_backoff(const struct weir_retry *retry, int64_t backoff_ns)
{
    int64_t next_ns;

    if (__builtin_mul_overflow(backoff_ns, (int64_t)retry->options.multiplier, &next_ns))
        return retry->options.max_ns;
    return sooner(next_ns, retry->options.max_ns);
}

/* Whether there will be another attempt, after the pause; else why not is counted. */
static bool pause_before_next(struct weir_retry *retry, unsigned attempts, int64_t backoff_ns,
                              int64_t deadline_ns)
{
    int64_t until_ns = weir_in_ns(draw_pause(backoff_ns));
    bool in_time = attempts < retry->options.attempts_max && until_ns < deadline_ns;

    if (in_time && !spend(retry)) {
        count_up(&retry->refused_total);
        return false;
    }
    if (in_time && weir_sleep(until_ns) >= 0) {
        count_up(&retry->retries_total);
        return true;
    }
    count_up(&retry->gave_up_total);
    return false;
}

int weir_retry_run(struct weir_retry *retry, weir_retry_fn *fn, void *arg, int64_t deadline_ns)
{
    int64_t backoff_ns;
    int result;

    if (!retry || !fn)
        return -EINVAL;
    count_up(&retry->calls_total);
    earn(retry);
    backoff_ns = retry->options.first_ns;
    result = attempt(retry, fn, arg, deadline_ns);
    for (unsigned attempts = 1; may_pass(retry, result); attempts++) {
        if (!pause_before_next(retry, attempts, backoff_ns, deadline_ns))
            break;
        result = attempt(retry, fn, arg, deadline_ns);
        backoff_ns = next_backoff(retry, backoff_ns);
    }
    return result;
}

/* --- Lives --- */

static int check_options(const struct weir_retry_options *options)
{
    if (options->first_ns < 0 || options->max_ns < 0 || options->attempt_ns < 0)
        return -EINVAL;
    if (options->max_ns && options->max_ns < options->first_ns)
        return -EINVAL;
    if (options->budget_percent > BUDGET_PERCENT_MAX)
        return -EINVAL;
    return weir__options_check(options->size, sizeof *options, options->reserved, NULL);
}

static void fill_in(struct weir_retry_options *options)
{
    if (!options->first_ns)
        options->first_ns = options->max_ns ? sooner(FIRST_NS, options->max_ns) : FIRST_NS;
    if (!options->max_ns)
        options->max_ns = options->first_ns > MAX_NS ? options->first_ns : MAX_NS;
    if (!options->multiplier)
        options->multiplier = MULTIPLIER;
    if (!options->attempts_max)
        options->attempts_max = ATTEMPTS;
    if (!options->budget_percent)
        options->budget_percent = BUDGET_PERCENT;
    if (!options->budget_burst)
        options->budget_burst = BUDGET_BURST;
    if (!options->is_retryable)
        options->is_retryable = default_is_retryable;
}

int weir_retry_create(struct weir_retry **retry, const struct weir_retry_options *options)
{
    static const struct weir_retry_options defaults;
    struct weir_retry *made;
    int error;

    options = options ? options : &defaults;
    error = retry ? check_options(options) : -EINVAL;
    if (error < 0)
        return error;
    made = weir__memory_zalloc(NULL, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->options = *options;
    fill_in(&made->options);
    atomic_init(&made->refs, 1);
    atomic_init(&made->tokens, tokens_max(made));
    *retry = made;
    return 0;
}

struct weir_retry *weir_retry_retain(struct weir_retry *retry)
{
    /* relaxed: the caller has a reference */
    unsigned before = atomic_fetch_add_explicit(&retry->refs, 1, memory_order_relaxed);

    WEIR_ASSERT(before > 0);
    return retry;
}

void weir_retry_release(struct weir_retry *retry)
{
    /* acq_rel: the last one frees after whatever the others did */
    if (retry && atomic_fetch_sub_explicit(&retry->refs, 1, memory_order_acq_rel) == 1)
        weir__memory_free(retry);
}

int weir_retry_read_stats(struct weir_retry *retry, struct weir_retry_stats *stats)
{
    if (!retry || !stats)
        return -EINVAL;
    *stats = (struct weir_retry_stats){
        .calls_total = atomic_load_explicit(&retry->calls_total, memory_order_relaxed),
        .attempts_total = atomic_load_explicit(&retry->attempts_total, memory_order_relaxed),
        .retries_total = atomic_load_explicit(&retry->retries_total, memory_order_relaxed),
        .refused_total = atomic_load_explicit(&retry->refused_total, memory_order_relaxed),
        .gave_up_total = atomic_load_explicit(&retry->gave_up_total, memory_order_relaxed),
        .budget = (double)atomic_load_explicit(&retry->tokens, memory_order_relaxed) / RETRY_COST,
    };
    return 0;
}
