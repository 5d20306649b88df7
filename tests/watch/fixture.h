/* SPDX-License-Identifier: MIT */
/* What the tests of watchdogs share: lines that were told, and tasks that stand where they do. */
#ifndef WEIR_TESTS_WATCH_FIXTURE_H
#define WEIR_TESTS_WATCH_FIXTURE_H

#include "base/lock.h"
#include "base/thread.h"
#include "support/support.h"
#include "sync/fixture.h"
#include "watch/watchdog.h"

enum { TOLD_BYTES = 1 << 16 };

/* Everything that was told, line by line. */
struct told {
    struct weir__lock lock;
    char text[TOLD_BYTES];
    size_t used;
    int lines;
};

static inline void tell(void *context, const char *line)
{
    struct told *told = context;
    size_t length = strlen(line);

    weir__lock_acquire(&told->lock);
    if (told->used + length + 2 < sizeof told->text) {
        memcpy(told->text + told->used, line, length);
        told->used += length;
        told->text[told->used++] = '\n';
        told->text[told->used] = 0;
    }
    told->lines++;
    weir__lock_release(&told->lock);
}

/* The line that has all of these words, NULL-terminated; NULL: there is none. */
static inline const char *find_line(const struct told *told, const char *const *words)
{
    static __thread char found[4096];
    const char *line = told->text;

    while (*line) {
        size_t length = strcspn(line, "\n");
        bool has_all = true;

        snprintf(found, sizeof found, "%.*s", (int)length, line);
        for (const char *const *word = words; *word; word++)
            has_all = has_all && strstr(found, *word);
        if (has_all)
            return found;
        line += length + (line[length] == '\n');
    }
    return NULL;
}

/* Checks that some line has all of these words, and prints everything otherwise. */
#define CHECK_TOLD(told, ...)                                                                      \
    do {                                                                                           \
        const char *const words[] = { __VA_ARGS__, NULL };                                         \
        if (!CHECK(find_line((told), words) != NULL))                                              \
            fprintf(stderr, "among:\n%s", (told)->text);                                           \
    } while (0)

#define CHECK_NOT_TOLD(told, ...)                                                                  \
    do {                                                                                           \
        const char *const words[] = { __VA_ARGS__, NULL };                                         \
        if (!CHECK(find_line((told), words) == NULL))                                              \
            fprintf(stderr, "among:\n%s", (told)->text);                                           \
    } while (0)

/* --- A runtime whose watchdogs look often, and tell it here ----------------------------------- */

enum { MS = 1000000 };

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

    tell(&watched->told, deadlock->text);
    watched->last = *deadlock;
    for (size_t i = 0; i < deadlock->line_count; i++)
        CHECK(strstr(deadlock->text, deadlock->lines[i]) != NULL);
    if (watched->rescue)
        weir_scope_cancel(watched->rescue);
    if (watched->rescued)
        weir_chan_close(watched->rescued, 0);
    atomic_fetch_add(&watched->deadlock_count, 1);
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

/* TICKER begin */
struct ticker {
    pthread_t thread;
    struct weir__runtime *runtime;
    atomic_bool over;
    weir_task_fn *body;
};

static inline void *tick_on(void *arg)
{
    struct ticker *ticker = arg;

    while (!atomic_load(&ticker->over)) {
        int64_t next_ns = weir__watchdog_tick(ticker->runtime, weir_now_ns());
        int64_t wait_ns = next_ns - weir_now_ns();

        if (wait_ns > 0)
            usleep(wait_ns > 1000000 ? 1000 : (unsigned)(wait_ns / 1000));
    }
    weir__watchdog_leave(ticker->runtime);
    return NULL;
}

static inline int ticked_root(void *arg)
{
    struct ticker *ticker = arg;
    int result;

    ticker->runtime = weir__loop_current->runtime;
    CHECK_SAME(weir__thread_create(&ticker->thread, tick_on, ticker), 0);
    result = ticker->body(NULL);
    atomic_store(&ticker->over, true);
    pthread_join(ticker->thread, NULL);
    return result;
}
/* TICKER end */

/* Waits until so many looks more have been taken. */
static inline void await_looks(unsigned count)
{
    uint64_t before = read_counter(WEIR_WATCHDOG_LOOKS);

    AWAIT(read_counter(WEIR_WATCHDOG_LOOKS) >= before + count);
}

static inline struct weir_task *spawn_at(struct weir_scope *scope, unsigned loop, const char *name,
                                         weir_task_fn *fn, void *arg)
{
    struct weir_task *task = NULL;
    struct weir_spawn_options options = {
        .name = name,
        .task = &task,
        .place = WEIR_PLACE_LOOP,
        .loop_index = loop,
        .wait_ns = INT64_MAX,
    };

    CHECK_SAME(weir_spawn(scope, fn, arg, &options), 0);
    return task;
}

#endif
