/* SPDX-License-Identifier: MIT */
/*
 * What was seen of one task, on its home loop: enough to tell of it later, on any thread, when the
 * task may be gone. Pointers to tasks, scopes and channels are for comparing only.
 */
#ifndef WEIR_WATCH_SIGHTING_H
#define WEIR_WATCH_SIGHTING_H

#include "core/task.h"

#include <stdio.h>

enum {
    WEIR__SIGHTING_TEXT_BYTES = 192,
    WEIR__SIGHTING_FRAMES = 16,
    WEIR__SIGHTING_LINE_BYTES = 1024,
};

struct weir__sighting {
    const struct weir_task *task;
    const struct weir_scope *scope;
    const struct weir__reason *reason; /* NULL: it is not parked */
    const void *object;
    unsigned loop_index;
    bool is_current; /* runs, or turns the loop on its stack */
    void *spawned_at;
    int64_t seen_ns;
    int64_t since_ns;
    int64_t deadline_ns;
    char name[WEIR_NAME_BYTES];
    char scope_name[WEIR_NAME_BYTES];
    char what[WEIR__SIGHTING_TEXT_BYTES]; /* the object of its wait, in words; "" unknown */
    /* By who fills them. */
    size_t first_way, way_count; /* deadlock.c */
    size_t frame_count;
    void *frames[WEIR__SIGHTING_FRAMES];
};

/* On the task's home loop, between look_begin and look_end. */
void weir__sighting_take(struct weir__sighting *sighting, struct weir__loop *loop,
                         struct weir_task *task);
void weir__sighting_take_frames(struct weir__sighting *sighting, const struct weir_task *task);

/* Whether it is parked, and why: one load; on its home loop. */
static inline const struct weir__reason *weir__sighting_reason(const struct weir_task *task)
{
    return weir__wait_is_open(&task->wait) ? task->wait.reason : NULL;
}

/* How long it had been parked when it was seen. */
static inline int64_t weir__sighting_age_ns(const struct weir__sighting *sighting)
{
    return sighting->seen_ns - sighting->since_ns;
}

/* In words, on any thread but not in a signal handler: who it is; and what it is parked in. */
void weir__sighting_name(const struct weir__sighting *sighting, char *text, size_t bytes);
void weir__sighting_tell(const struct weir__sighting *sighting, char *text, size_t bytes);

#endif
