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
 * Due: while tasks run, a while after the last look. When none has run since, all that changes is
 * how long they are parked: then as soon as that passes a limit, and after the longest one never,
 * until a loop wakes up.
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

enum { WEIR__TOLD_MAX = 1024, WEIR__WATCHDOG_LIMITS = 5 };

struct weir__watchdog {
    struct weir__runtime *runtime;
    struct weir__survey *survey;              /* LOOKING; else NULL */
    int64_t next_ns;                          /* the next look */
    int64_t started_ns;                       /* the last look */
    int64_t asked_ns;                         /* the survey, a look or a sample */
    int64_t period_ns;                        /* between two looks */
    int64_t limits_ns[WEIR__WATCHDOG_LIMITS]; /* those that looks are for */
    size_t limit_count;
    uint64_t switches;       /* of all loops */
    int64_t moved_ns;        /* when they were last seen to have changed */
    uint64_t look_switches;  /* as they were when the last look began */
    bool is_suspicious;      /* one look more, whatever happens */
    atomic_bool is_restless; /* for tests: looks although nothing has happened */
    struct weir__marks marks;
    struct weir__look look;
    struct weir__growth growth;
    /* The oldest are overwritten: then a state is told of twice. */
    struct weir__told told[WEIR__TOLD_MAX];
    size_t told_count;
    /* Threads of the program that do not use channels: one, who called weir_run. */
    atomic_uint known_threads;
    struct weir__counters counters; /* written by the thread that ticks */
};

/* Whether the options switch all of them off. */
bool weir__watchdog_is_off(const struct weir__runtime *runtime);

/* 0, with the watchdog in runtime->watch, or -ENOMEM. */
int weir__watchdog_create(struct weir__runtime *runtime);
void weir__watchdog_destroy(struct weir__runtime *runtime);

/* Always on one thread. Returns when to call again at the latest; INT64_MAX: when a loop has woken
 * up. Never waits; nothing is done before the watch is started and after it is stopped. */
int64_t weir__watchdog_tick(struct weir__runtime *runtime, int64_t now_ns);

/* On that thread: the last tick was the last. */
void weir__watchdog_leave(struct weir__runtime *runtime);

/* warn.c: tells, by the options' callback or on standard error, and counts. */
void weir__warn(struct weir__watchdog *dog, enum weir_warning_kind kind, const char *text);

/* warn.c: tells what a look found, deadlocks aside; whether the next one is to come soon. */
bool weir__warn_of(struct weir__watchdog *dog, const struct weir__survey *survey);

#endif
