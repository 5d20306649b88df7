/* SPDX-License-Identifier: MIT */
/*
 * The circuit breaker (Nygard, "Release It!", 2007).
 *
 *              the window has calls_min calls, and
 *              failure_percent of them failed
 *   CLOSED --------------------------------------> OPEN ----.
 *      ^                                            ^       |  a call comes
 *      |                              a probe failed|       |  after open_ns
 *      |                                            |       v
 *      `--------------------------------------- HALF-OPEN <-'
 *              `successes` probes have succeeded
 *
 * One short lock guards all of it. Each change begins a new term: the result of a call that was
 * let in during an earlier one is old news, and is only counted in the totals.
 *
 * The window is a ring of slices, each a tenth of it. A slice is named by its number since the
 * beginning; one whose name is too old is empty, and is taken over by the next that falls on its
 * place. Windows of time and of calls differ only in what the position is that they slide along.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/memory.h"
#include "core/callback.h"
#include "flow/options.h"

#include <weir/breaker.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

enum {
    FAILURE_PERCENT = 50,
    CALLS_MIN = 20,
    PROBES = 1,
    SUCCESSES = 1,
    SLICES = 10,
    PERCENT = 100,
};

static const int64_t default_window_ns = 10LL * 1000 * 1000 * 1000;
static const int64_t default_open_ns = 1LL * 1000 * 1000 * 1000;

struct slice {
    uint64_t number; /* position / slice length */
    uint64_t calls;
    uint64_t failures;
};

struct weir_breaker {
    struct weir_breaker_options options; /* with defaults filled in; constant, but for the name */
    char name[WEIR_NAME_BYTES];
    uint64_t slice_length; /* ns or calls; constant */
    atomic_uint refs;

    struct weir__lock lock;
    /* Under the lock. */
    enum weir_breaker_state state;
    uint64_t term;         /* changes so far */
    int64_t open_until_ns; /* while open */
    unsigned probes;       /* under way, those of earlier terms too */
    unsigned successes;    /* of probes */
    uint64_t recorded;     /* calls; the position of a window of calls */
    struct slice slices[SLICES];
    uint64_t passed_total;
    uint64_t failed_total;
    uint64_t refused_total;
};

/* A call that was let in. */
struct pass {
    uint64_t term;
    bool is_probe;
};

/* A change to be reported, once the lock is released. */
struct report {
    const struct weir_breaker *breaker; /* NULL: none */
    struct weir_breaker_change change;
};

/* --- The window, under the lock --- */

static uint64_t current_slice(const struct weir_breaker *breaker)
{
    uint64_t position =
        breaker->options.window_calls ? breaker->recorded : (uint64_t)weir__clock_now();

    return position / breaker->slice_length;
}

static void record(struct weir_breaker *breaker, bool failed)
{
    uint64_t number = current_slice(breaker);
    struct slice *slice = &breaker->slices[number % SLICES];

    if (slice->number != number)
        *slice = (struct slice){ .number = number };
    slice->calls++;
    slice->failures += failed;
    breaker->recorded++;
}

/* The slices that are not too old, added up. */
static struct slice sum(const struct weir_breaker *breaker)
{
    struct slice total = { .number = current_slice(breaker) };

    for (size_t i = 0; i < SLICES; i++) {
        const struct slice *slice = &breaker->slices[i];

        if (slice->number + SLICES <= total.number)
            continue;
        total.calls += slice->calls;
        total.failures += slice->failures;
    }
    return total;
}

/* --- The state, under the lock --- */

static void change_to(struct weir_breaker *breaker, enum weir_breaker_state state,
                      struct report *report)
{
    *report = (struct report){
        .breaker = breaker,
        .change = {
            .name = breaker->name,
            .source = breaker->state,
            .target = state,
            .number = ++breaker->term,
        },
    };
    breaker->state = state;
    breaker->successes = 0;
    if (state == WEIR_BREAKER_OPEN)
        breaker->open_until_ns = weir__clock_add(weir__clock_now(), breaker->options.open_ns);
    if (state == WEIR_BREAKER_CLOSED)
        memset(breaker->slices, 0, sizeof breaker->slices);
}

/* Whether a call may pass. */
static bool admit(struct weir_breaker *breaker, struct report *report)
{
    if (breaker->state == WEIR_BREAKER_CLOSED)
        return true;
    if (breaker->state == WEIR_BREAKER_OPEN) {
        if (weir__clock_now() < breaker->open_until_ns)
            return false;
        change_to(breaker, WEIR_BREAKER_HALF_OPEN, report);
    }
    if (breaker->probes == breaker->options.probes)
        return false;
    breaker->probes++;
    return true;
}

static void note_call(struct weir_breaker *breaker, bool failed, struct report *report)
{
    struct slice total;

    record(breaker, failed);
    if (!failed)
        return;
    total = sum(breaker);
    if (total.calls >= breaker->options.calls_min &&
        total.failures * PERCENT >= total.calls * breaker->options.failure_percent)
        change_to(breaker, WEIR_BREAKER_OPEN, report);
}

static void note_probe(struct weir_breaker *breaker, bool failed, struct report *report)
{
    if (failed)
        change_to(breaker, WEIR_BREAKER_OPEN, report);
    else if (++breaker->successes >= breaker->options.successes)
        change_to(breaker, WEIR_BREAKER_CLOSED, report);
}

/* --- A call --- */

static void run_report(void *arg)
{
    const struct report *report = arg;

    report->breaker->options.on_change(&report->change, report->breaker->options.context);
}

static void tell(struct report *report)
{
    if (report->breaker && report->breaker->options.on_change)
        weir__callback_call(run_report, report);
}

/* Whether a call may pass; then *pass is for leave. */
static bool enter(struct weir_breaker *breaker, struct pass *pass)
{
    struct report report = { 0 };
    bool passes;

    weir__lock_acquire(&breaker->lock);
    passes = admit(breaker, &report);
    *pass = (struct pass){ breaker->term, breaker->state == WEIR_BREAKER_HALF_OPEN };
    if (passes)
        breaker->passed_total++;
    else
        breaker->refused_total++;
    weir__lock_release(&breaker->lock);
    tell(&report);
    return passes;
}

static void leave(struct weir_breaker *breaker, struct pass pass, int result)
{
    bool counts = result != -ECANCELED;
    bool failed = counts && breaker->options.is_failure(result, breaker->options.context);
    struct report report = { 0 };

    weir__lock_acquire(&breaker->lock);
    breaker->failed_total += failed;
    breaker->probes -= pass.is_probe;
    counts = counts && breaker->term == pass.term;
    if (counts && pass.is_probe)
        note_probe(breaker, failed, &report);
    else if (counts)
        note_call(breaker, failed, &report);
    weir__lock_release(&breaker->lock);
    tell(&report);
}

int weir_breaker_run(struct weir_breaker *breaker, weir_breaker_fn *fn, void *arg,
                     int64_t deadline_ns)
{
    struct pass pass;
    int result;

    if (!breaker || !fn)
        return -EINVAL;
    if (!enter(breaker, &pass))
        return -EHOSTDOWN;
    result = fn(arg, deadline_ns);
    leave(breaker, pass, result);
    return result;
}

/* --- Lives --- */

static bool is_negative(int result, void *context)
{
    (void)context;
    return result < 0;
}

static int check_options(const struct weir_breaker_options *options)
{
    if (options->failure_percent > PERCENT || options->window_ns < 0 || options->open_ns < 0)
        return -EINVAL;
    if (options->window_ns && options->window_calls)
        return -EINVAL;
    return weir__options_check(options->size, sizeof *options, options->reserved, options->name);
}

static void fill_in(struct weir_breaker_options *options)
{
    if (!options->failure_percent)
        options->failure_percent = FAILURE_PERCENT;
    if (!options->calls_min)
        options->calls_min = CALLS_MIN;
    if (!options->window_ns)
        options->window_ns = default_window_ns;
    if (!options->open_ns)
        options->open_ns = default_open_ns;
    if (!options->probes)
        options->probes = PROBES;
    if (!options->successes)
        options->successes = SUCCESSES;
    if (!options->is_failure)
        options->is_failure = is_negative;
}

int weir_breaker_create(struct weir_breaker **breaker, const struct weir_breaker_options *options)
{
    struct weir_breaker_options filled = { 0 };
    struct weir_breaker *made;
    uint64_t window, slice_length;
    int error;

    if (options)
        filled = *options;
    error = breaker ? check_options(&filled) : -EINVAL;
    if (error < 0)
        return error;
    fill_in(&filled);
    window = filled.window_calls ? filled.window_calls : (uint64_t)filled.window_ns;
    slice_length = window / SLICES + (window % SLICES > 0);
    if (filled.window_calls && filled.calls_min > slice_length * (SLICES - 1))
        return -EINVAL; /* it could never open */
    made = weir__memory_zalloc(NULL, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->options = filled;
    strcpy(made->name, filled.name ? filled.name : "breaker");
    made->slice_length = slice_length;
    atomic_init(&made->refs, 1);
    *breaker = made;
    return 0;
}

struct weir_breaker *weir_breaker_retain(struct weir_breaker *breaker)
{
    /* relaxed: the caller has a reference */
    unsigned before = atomic_fetch_add_explicit(&breaker->refs, 1, memory_order_relaxed);

    WEIR_ASSERT(before > 0);
    return breaker;
}

void weir_breaker_release(struct weir_breaker *breaker)
{
    /* acq_rel: the last one frees after whatever the others did */
    if (breaker && atomic_fetch_sub_explicit(&breaker->refs, 1, memory_order_acq_rel) == 1)
        weir__memory_free(breaker);
}

int weir_breaker_read_stats(struct weir_breaker *breaker, struct weir_breaker_stats *stats)
{
    struct slice total;

    if (!breaker || !stats)
        return -EINVAL;
    weir__lock_acquire(&breaker->lock);
    total = sum(breaker);
    *stats = (struct weir_breaker_stats){
        .state = breaker->state,
        .passed_total = breaker->passed_total,
        .failed_total = breaker->failed_total,
        .refused_total = breaker->refused_total,
        .changes_total = breaker->term,
        .window_calls = total.calls,
        .window_failures = total.failures,
        .probes = breaker->probes,
    };
    weir__lock_release(&breaker->lock);
    return 0;
}
