/* SPDX-License-Identifier: MIT */
/* The thread that watches, and what it remembers of each loop; see stall.h. */
#include "watch/stall.h"

#include "base/clock.h"
#include "base/exempt.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "unwind/object.h"
#include "unwind/symbol.h"
#include "watch/check_call.h"
#include "watch/watchdog.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    NS_PER_SECOND = 1000000000,
    LOOKS_PER_LIMIT = 4,
    PERIOD_MAX_NS = 250000000,
    IDLE_LOOKS = 4,  /* all loops idle so often: nobody looks; so at most one wake a limit */
    GAP_PERIODS = 8, /* so late a look says nothing about loops: all stood still */
};

/* runtime->watcher_sleeps */
enum { NAPS = 0, SLEEPS = 1, STOPS = 2 };

/* Looks at all loops. True: all of them, more than one, are stalled. */
static bool look_at_all(struct weir__stall *stall, int64_t now_ns)
{
    unsigned stalled_count = 0, idle_count = 0;

    for (unsigned i = 0; i < stall->runtime->loop_count; i++) {
        struct weir__held *held = &stall->helds[i];

        if (held->loop)
            weir__stall_look_at(stall, held, now_ns);
        stalled_count += held->loop && held->stalled;
        idle_count += !held->loop || held->idle;
    }
    stall->idle_looks = idle_count == stall->runtime->loop_count ? stall->idle_looks + 1 : 0;
    return stalled_count == stall->runtime->loop_count && stalled_count > 1;
}

/* Examines what is to be reported, under the mutex: one finding each, in stall->findings. */
static unsigned examine(struct weir__stall *stall, bool all, int64_t now_ns)
{
    unsigned finding_count = 0;

    for (unsigned i = 0; i < stall->runtime->loop_count; i++) {
        struct weir__held *held = &stall->helds[i];
        struct weir__finding *finding = &stall->findings[finding_count];

        if (!held->loop || (!all && finding_count > 0))
            continue;
        if (!all && !weir__stall_is_due(stall, held, now_ns)) {
            if (weir__stall_is_queue_due(stall, held, now_ns)) {
                weir__stall_find_queue(held, now_ns, finding);
                finding_count++;
            }
            continue;
        }
        if (!weir__stall_examine(held, finding))
            continue;
        finding->stall.report = ++held->reports;
        finding_count++;
    }
    return finding_count;
}

static bool is_any_due(const struct weir__stall *stall, int64_t now_ns)
{
    for (unsigned i = 0; i < stall->runtime->loop_count; i++)
        if (stall->helds[i].loop && (weir__stall_is_due(stall, &stall->helds[i], now_ns) ||
                                     weir__stall_is_queue_due(stall, &stall->helds[i], now_ns)))
            return true;
    return false;
}

/* One look. Returns how many findings there are to report; all that is known of them is copied. */
static unsigned look(struct weir__stall *stall)
{
    int64_t now_ns = weir__clock_now();
    unsigned finding_count = 0;
    bool all;

    pthread_mutex_lock(&stall->mutex);
    if (stall->looked_ns && now_ns - stall->looked_ns > GAP_PERIODS * stall->period_ns)
        weir__stall_forgive(stall, now_ns);
    stall->looked_ns = now_ns;
    all = look_at_all(stall, now_ns);
    if (!all)
        stall->all_reported = false;
    /* That all loops are held is said at once; anything else once an interval. */
    if ((all && !stall->all_reported) ||
        (is_any_due(stall, now_ns) &&
         now_ns - stall->reported_ns >= stall->runtime->options.stall_interval_ns)) {
        weir__object_refresh();
        finding_count = examine(stall, all, now_ns);
        stall->all_reported = all;
    }
    pthread_mutex_unlock(&stall->mutex);
    return finding_count;
}

/* One report: of one loop, or of all. */
static void report(struct weir__stall *stall, unsigned finding_count)
{
    const struct weir_options *options = &stall->runtime->options;
    struct weir__finding *findings = stall->findings;

    for (unsigned i = 0; i < finding_count; i++) {
        findings[i].stall.all_loops = finding_count > 1;
        findings[i].stall.unreported = stall->unreported;
        findings[i].stall.next = i + 1 < finding_count ? &findings[i + 1].stall : NULL;
    }
    weir__stall_write(findings, finding_count, stall->text, sizeof stall->text);
    findings[0].stall.text = stall->text;
    stall->unreported = 0;
    if (options->on_stall)
        options->on_stall(options->stall_context, &findings[0].stall);
    else if (!weir__log_text(stall->text))
        stall->unreported = findings[0].stall.unreported + 1;
    stall->reported_ns = weir__clock_now();
}

/* Until `until_ns`, or somebody changes the word from `state`. */
static void wait_in(struct weir__stall *stall, unsigned state, int64_t until_ns)
{
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / NS_PER_SECOND),
        .tv_nsec = (long)(until_ns % NS_PER_SECOND),
    };

    syscall(SYS_futex, &stall->runtime->watcher_sleeps, FUTEX_WAIT_BITSET_PRIVATE, state,
            until_ns == INT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
}

/* Sleeps while all loops sleep: whoever wakes up after we have said so rouses us, and who woke up
 * before is seen by the second look. Or until the watchdogs want to look. */
static void sleep_with_loops(struct weir__stall *stall, int64_t until_ns)
{
    atomic_uint *word = &stall->runtime->watcher_sleeps;
    unsigned naps = NAPS;
    bool all_idle = true;

    if (!atomic_compare_exchange_strong(word, &naps, SLEEPS))
        return;
    pthread_mutex_lock(&stall->mutex);
    for (unsigned i = 0; i < stall->runtime->loop_count; i++)
        if (stall->helds[i].loop && !weir__stall_is_idle(stall->helds[i].loop))
            all_idle = false;
    pthread_mutex_unlock(&stall->mutex);
    while (all_idle && atomic_load(word) == SLEEPS && weir__clock_now() < until_ns)
        wait_in(stall, SLEEPS, until_ns);
    naps = SLEEPS;
    if (!atomic_compare_exchange_strong(word, &naps, NAPS) || !all_idle)
        stall->idle_looks = 0; /* a loop has woken up */
    stall->looked_ns = 0;
}

static int64_t earlier(int64_t left_ns, int64_t right_ns)
{
    return left_ns < right_ns ? left_ns : right_ns;
}

static void *watch(void *arg)
{
    struct weir__stall *stall = arg;
    struct weir__runtime *runtime = stall->runtime;

    pthread_setname_np(pthread_self(), "weir-watch");
    while (atomic_load(&runtime->watcher_sleeps) != STOPS) {
        unsigned finding_count = look(stall);
        int64_t next_ns = weir__watchdog_tick(runtime, weir__clock_now());

        if (finding_count > 0)
            report(stall, finding_count);
        if (stall->idle_looks >= IDLE_LOOKS)
            sleep_with_loops(stall, next_ns);
        else
            wait_in(stall, NAPS,
                    earlier(weir__clock_add(weir__clock_now(), stall->period_ns), next_ns));
    }
    weir__watchdog_leave(runtime);
    return NULL;
}

/* Whether it watches for stalls, or only lets the watchdogs look. */
static bool detects(const struct weir__stall *stall)
{
    return stall->limit_ns >= 0;
}

int weir__stall_start(struct weir__runtime *runtime, char *why, size_t why_bytes)
{
    unsigned loop_count = runtime->loop_count;
    struct weir__stall *stall;
    int error;

    runtime->stall = NULL;
    if (runtime->options.stall_limit_ns < 0 && weir__watchdog_is_off(runtime))
        return 0;
    snprintf(why, why_bytes, "out of memory for stall detection");
    stall = weir__memory_zalloc(NULL, sizeof *stall + loop_count * sizeof stall->helds[0]);
    if (!stall)
        return -ENOMEM;
    error = -ENOMEM;
    stall->findings = weir__memory_zalloc(NULL, loop_count * sizeof stall->findings[0]);
    if (!stall->findings)
        goto free_stall;
    stall->runtime = runtime;
    stall->limit_ns = runtime->options.stall_limit_ns;
    stall->period_ns = stall->limit_ns / LOOKS_PER_LIMIT;
    if (stall->period_ns > PERIOD_MAX_NS || !detects(stall))
        stall->period_ns = PERIOD_MAX_NS;
    stall->reported_ns = INT64_MIN / 2;
    pthread_mutex_init(&stall->mutex, NULL);
    weir__object_refresh();
    error = detects(stall) ? weir__probe_install(runtime->options.stall_signal) : 0;
    if (error < 0) {
        snprintf(why, why_bytes,
                 "no signal for stall detection: weir_options.stall_signal is no "
                 "real-time signal, or all of these have handlers; name one, or "
                 "set stall_limit_ns to -1");
        goto free_findings;
    }
    error = weir__thread_create(&stall->thread, watch, stall);
    if (error < 0) {
        snprintf(why, why_bytes, "pthread_create: no thread for stall detection; raise ulimit -u");
        goto uninstall;
    }
    runtime->stall = stall;
    return 0;

uninstall:
    if (detects(stall))
        weir__probe_uninstall();
free_findings:
    weir__memory_free(stall->findings);
free_stall:
    weir__memory_free(stall);
    return error;
}

void weir__stall_stop(struct weir__runtime *runtime)
{
    struct weir__stall *stall = runtime->stall;

    if (!stall)
        return;
    atomic_store(&runtime->watcher_sleeps, STOPS);
    syscall(SYS_futex, &runtime->watcher_sleeps, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    pthread_join(stall->thread, NULL);
    if (detects(stall))
        weir__probe_uninstall();
    weir__symbol_forget();
    weir__memory_free(stall->findings);
    weir__memory_free(stall);
    runtime->stall = NULL;
}

void weir__stall_enter(struct weir__loop *loop)
{
    struct weir__stall *stall = loop->runtime->stall;
    struct weir__held *held;

    if (!stall || !detects(stall))
        return;
    held = &stall->helds[loop->index];
    weir__exempt_open();
    weir__probe_enter(&held->probe);
    pthread_mutex_lock(&stall->mutex);
    weir__stall_begin(held, loop);
    pthread_mutex_unlock(&stall->mutex);
    weir__loop_rouse_watcher(loop->runtime);
    weir__exempt_shut();
}

void weir__stall_leave(struct weir__loop *loop)
{
    struct weir__stall *stall = loop->runtime->stall;
    struct weir__held *held;

    if (!stall || !detects(stall))
        return;
    held = &stall->helds[loop->index];
    weir__exempt_open();
    pthread_mutex_lock(&stall->mutex);
    weir__stall_end(stall, held);
    pthread_mutex_unlock(&stall->mutex);
    weir__probe_leave(&held->probe);
    weir__exempt_shut();
}

bool weir__stall_describe(struct weir__loop *loop, char *text, size_t bytes)
{
    struct weir__stall *stall = loop->runtime->stall;
    struct weir__check_description call;
    struct weir__sleeper sleeper;
    pid_t tid = 0;

    if (!stall || !detects(stall))
        return false;
    pthread_mutex_lock(&stall->mutex);
    if (stall->helds[loop->index].loop)
        tid = stall->helds[loop->index].probe.tid;
    pthread_mutex_unlock(&stall->mutex);
    if (!tid)
        return false;
    weir__sleeper_look_closely(tid, &sleeper);
    if (sleeper.state == 'R')
        snprintf(text, bytes, "running");
    else if (sleeper.in_fault)
        snprintf(text, bytes, "asleep in a page fault");
    else if (sleeper.in_call && weir__check_describe(sleeper.number, &call))
        snprintf(text, bytes, "asleep in %s", call.name);
    else if (sleeper.in_call)
        snprintf(text, bytes, "asleep in system call %ld", sleeper.number);
    else
        return false;
    return true;
}
