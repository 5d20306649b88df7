/* SPDX-License-Identifier: MIT */
/*
 * The watchdogs of a runtime: when to look, what to make of it, what to tell. They run on a thread
 * that is none of the loops' and never wait there:
 *
 *             due, and something has happened since
 *   RESTING ----------------------------------------> LOOKING (mail is with the loops)
 *      ^                                                 |
 *      `---- all have answered: judged, told ------------|
 *      `---- not within a second: given up --------------'
 *
 * While nothing has run for longer than twice the longest limit, no loop is asked: what there was
 * to be found was found.
 */
#ifndef WEIR_WATCH_WATCHDOG_H
#define WEIR_WATCH_WATCHDOG_H

#include "watch/deadlock.h"
#include "watch/growth.h"

/* What was told of a task that is parked since then. */
struct weir__told {
    const struct weir_task *task;
    int64_t since_ns;
    unsigned found; /* WEIR__LOOK_*, one of them */
};

enum { WEIR__TOLD_MAX = 1024 };

struct weir__watchdog {
    struct weir__runtime *runtime;
    struct weir__survey *survey; /* LOOKING; else NULL */
    int64_t next_ns;             /* the next look */
    int64_t started_ns;          /* the look that is under way */
    int64_t period_ns;           /* between two looks */
    int64_t quiet_ns;            /* after so long without a switch there is nothing to be found */
    uint64_t switches;
    int64_t moved_ns; /* when a switch was last seen */
    struct weir__marks marks;
    struct weir__look look;
    struct weir__growth growth;
    /* The oldest are overwritten: then a state is told of twice. */
    struct weir__told told[WEIR__TOLD_MAX];
    size_t told_count;
    unsigned known_threads; /* of the program, that do not use channels: one, who called weir_run */
    struct weir__counters counters; /* written by the thread that ticks */
};

/* Whether the options switch all of them off. */
bool weir__watchdog_is_off(const struct weir__runtime *runtime);

/* 0, with the watchdog in runtime->watch, or -ENOMEM. */
int weir__watchdog_create(struct weir__runtime *runtime);
void weir__watchdog_destroy(struct weir__runtime *runtime);

/* Always on one thread, while the loops run; returns when to call again, INT64_MAX for never. */
int64_t weir__watchdog_tick(struct weir__runtime *runtime, int64_t now_ns);

/* On that thread: the last tick was the last. */
void weir__watchdog_leave(struct weir__runtime *runtime);

/* warn.c: tells, by the options' callback or on standard error, and counts. */
void weir__warn(struct weir__watchdog *dog, enum weir_warning_kind kind, const char *text);

/* warn.c: tells what a look found, deadlocks aside; whether the next one is to come soon. */
bool weir__warn_of(struct weir__watchdog *dog, const struct weir__survey *survey, int64_t now_ns);

#endif
