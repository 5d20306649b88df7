/* SPDX-License-Identifier: MIT */
/* A runtime whose stalls are caught: what was reported, to wait for and to look at. */
#ifndef WEIR_TESTS_STALL_FIXTURE_H
#define WEIR_TESTS_STALL_FIXTURE_H

#include <weir.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/support.h"
#include "watch/sanitizer.h"

enum { CAUGHT_TEXT_BYTES = 8192 };

#define CAUGHT_LIMIT_NS INT64_C(40000000)

/* The latest report; the other fields are there when `count` says so. */
static struct caught {
    atomic_long count;
    atomic_long all_count;  /* of reports that all loops are held */
    int wanted;             /* kind; -1: any */
    bool needs_frames;      /* others are not caught: a thread without a CPU answers no probe */
    const char *needs_text; /* others are not caught; NULL: any */
    struct weir_stall stall;
    char task_name[64];
    char next_task_name[64];
    char text[CAUGHT_TEXT_BYTES];
    char all_text[CAUGHT_TEXT_BYTES];
} caught;

static void catch_stall(void *context, const struct weir_stall *stall)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* two runtimes have two watchers */

    (void)context;
    if ((caught.wanted >= 0 && (int)stall->kind != caught.wanted) ||
        (caught.needs_frames && stall->frame_count == 0) ||
        (caught.needs_text && !strstr(stall->text, caught.needs_text)))
        return;
    pthread_mutex_lock(&mutex);
    caught.stall = *stall;
    snprintf(caught.task_name, sizeof caught.task_name, "%s",
             stall->task_name ? stall->task_name : "");
    snprintf(caught.text, sizeof caught.text, "%s", stall->text);
    if (stall->all_loops) {
        snprintf(caught.next_task_name, sizeof caught.next_task_name, "%s",
                 stall->next && stall->next->task_name ? stall->next->task_name : "");
        snprintf(caught.all_text, sizeof caught.all_text, "%s", stall->text);
        atomic_fetch_add(&caught.all_count, 1);
    }
    atomic_fetch_add(&caught.count, 1);
    pthread_mutex_unlock(&mutex);
}

/* Resets what was caught; from now on only stalls of the kind are. On a busy machine some are of
 * another one at first: the loop's thread does not get a CPU. */
static struct weir_options catching_options(int wanted)
{
    memset(&caught, 0, sizeof caught);
    caught.wanted = wanted;
    return (struct weir_options){
        .loop_count = 1,
        .stall_limit_ns = CAUGHT_LIMIT_NS,
        .stall_interval_ns = 1000000,
        .on_stall = catch_stall,
    };
}

/* Spawns fn as a task with a name, and waits for its end; in the root task. */
static inline void run_named(const char *name, weir_task_fn *fn, void *arg)
{
    struct weir_scope *scope = NULL;
    struct weir_spawn_options options = { .name = name };

    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, fn, arg, &options), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
}

/* Whether the text has all of these, in this order. */
static bool has_in_order(const char *text, const char *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *found = strstr(text, parts[i]);

        if (!found) {
            fprintf(stderr, "missing: %s\nin: %s", parts[i], text);
            return false;
        }
        text = found + strlen(parts[i]);
    }
    return true;
}

#define CHECK_TEXT(text, ...)                                                                      \
    do {                                                                                           \
        static const char *const parts_[] = { __VA_ARGS__ };                                       \
        CHECK(has_in_order(text, parts_, sizeof parts_ / sizeof parts_[0]));                       \
    } while (0)

#endif
