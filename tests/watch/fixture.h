/* SPDX-License-Identifier: MIT */
/* What the tests of watchdogs share: lines that were told, and tasks that stand where they do. */
#ifndef WEIR_TESTS_WATCH_FIXTURE_H
#define WEIR_TESTS_WATCH_FIXTURE_H

#include "base/lock.h"
#include "support/support.h"
#include "sync/fixture.h"

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

/* Not inline: its name is where all of them were spawned. */
static __attribute__((noinline, unused)) struct weir_task *
spawn_at(struct weir_scope *scope, unsigned loop, const char *name, weir_task_fn *fn, void *arg)
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
