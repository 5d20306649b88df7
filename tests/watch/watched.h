/* SPDX-License-Identifier: MIT */
/* A runtime whose watchdogs look often, and tell their tests what they find. */
#ifndef WEIR_TESTS_WATCH_WATCHED_H
#define WEIR_TESTS_WATCH_WATCHED_H

#include "base/thread.h"
#include "watch/fixture.h"
#include "watch/watchdog.h"

enum { LOOKS = 12, MS = 1000000 };

struct watched {
    struct told told;
    atomic_long deadlock_count, warning_count;
    struct weir_deadlock last;
    struct weir_scope *rescue; /* cancelled at a deadlock; NULL: none */
    struct weir_chan *rescued; /* closed then; NULL: none */
};

static inline void hear_deadlock(void *context, const struct weir_deadlock *deadlock)
{
    struct watched *watched = context;
    struct weir_chan *rescued = watched->rescued; /* those who wake up may release theirs */

    if (rescued)
        weir_chan_retain(rescued);
    tell(&watched->told, deadlock->text);
    watched->last = *deadlock;
    for (size_t i = 0; i < deadlock->line_count; i++)
        CHECK(strstr(deadlock->text, deadlock->lines[i]) != NULL);
    atomic_fetch_add(&watched->deadlock_count, 1);
    if (watched->rescue)
        weir_scope_cancel(watched->rescue);
    if (rescued) {
        weir_chan_close(rescued, 0);
        weir_chan_release(rescued);
    }
}

static inline void hear_warning(void *context, const struct weir_warning *warning)
{
    struct watched *watched = context;

    CHECK(strchr(warning->text, '\n') == NULL);
    tell(&watched->told, warning->text);
    atomic_fetch_add(&watched->warning_count, 1);
}

/* All watchdogs off but deadlocks, which are reported after two milliseconds. */
static inline struct weir_options watch_options(struct watched *watched)
{
    return (struct weir_options){
        .loop_count = 2,
        .stall_limit_ns = -1,
        .deadlock_limit_ns = 2 * MS,
        .mutex_limit_ns = -1,
        .drain_limit_ns = -1,
        .device_limit_ns = -1,
        .growth_limit_ns = -1,
        .on_deadlock = hear_deadlock,
        .on_warning = hear_warning,
        .context = watched,
    };
}

static inline uint64_t read_counter(enum weir_counter counter)
{
    uint64_t counters[WEIR_COUNTER_COUNT] = { 0 };

    CHECK(weir_stats_read(counters, WEIR_COUNTER_COUNT) > 0);
    return counters[counter];
}

/* Waits until so many looks more have been taken. */
static inline void await_looks(unsigned count)
{
    uint64_t before = read_counter(WEIR_WATCHDOG_LOOKS);

    AWAIT(read_counter(WEIR_WATCHDOG_LOOKS) >= before + count);
}

static struct watched watched;

/* Sanitizers have threads, too: those that are there now use no channels. */
static inline int watched_root(void *arg)
{
    unsigned known_threads = (unsigned)count_threads() - weir__thread_count();
    weir_task_fn *const *body = arg;

    atomic_store(&weir__loop_current->runtime->watch->dog->known_threads, known_threads);
    return (*body)(NULL);
}

/* Runs body as the root task; the options may be changed before. */
static inline void play(weir_task_fn *body, void (*change)(struct weir_options *options))
{
    struct weir_options options;

    memset(&watched, 0, sizeof watched);
    options = watch_options(&watched);
    if (change)
        change(&options);
    assert_int_equal(test_run(watched_root, &body, &options), 0);
}

static inline void note_users(struct weir_options *options)
{
    options->channel_users = true;
}

static inline struct weir_scope *make_scope(const char *name)
{
    struct weir_scope *scope = NULL;

    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE,
                                 &(struct weir_scope_options){ .name = name }),
               0);
    return scope;
}

#endif
