/* SPDX-License-Identifier: MIT */
/*
 * Stall detection: a thread beside the loops, see <weir/stall.h>. It looks at each loop every
 * quarter of the limit, by relaxed reads of what the loop writes anyway, and costs it nothing:
 *
 *   idle      its mailbox says SLEEPING and its ring has nothing to submit, or its thread is its
 *             foreign loop's
 *   moving    turns, budget, running task or clock reading have changed since the last look
 *   still     none of it: after the limit it is examined (stall_look.c), and reported
 *             (stall_report.c)
 *
 *        look: changed, or idle             look: still for limit, 10 x limit, ...
 *      .----------------.        .------------------------------------.
 *      v                |        |                                    v
 *    moving/idle --> still (suspect at half the limit) -------> stalled: examined, reported
 *      ^                                                             |
 *      `------------- its end: counted with its whole time ----------'
 *
 * When all loops have been idle for the limit it sleeps until one of them wakes up
 * (weir__loop_woke), or the watchdogs want to look, which do so on the same thread (watchdog.h).
 *
 * What it reads of a held loop (the running task, its stack, the ring's entries) stays as it is as
 * long as the loop is held; that it was is checked afterwards, by the times that the loop's thread
 * had a CPU. What may be gone is copied by the kernel (weir__sleeper_copy), so that it can fail.
 */
#ifndef WEIR_WATCH_STALL_H
#define WEIR_WATCH_STALL_H

#include "core/loop.h"
#include "watch/probe.h"
#include "watch/sleeper.h"

#include <weir/stall.h>

#include <pthread.h>

enum {
    WEIR__STALL_TEXT_BYTES = 4096, /* a pipe takes so much at once, or says that it is full */
    WEIR__STALL_NAME_BYTES = 192,
};

/* What of a loop changes as it gets on. */
struct weir__stall_sign {
    uint64_t turns;
    const void *current;
    int64_t now_ns;
    int budget;
};

/* One loop, as the watcher sees it. */
struct weir__held {
    struct weir__loop *loop; /* under the stall's mutex; NULL: it does not run */
    struct weir__probe probe;
    /* The watcher's own. */
    struct weir__stall_sign sign;
    int64_t still_since_ns;
    int64_t before_gap_ns;   /* of this stall: a gap began its time anew */
    int64_t moving_since_ns; /* it has neither been still nor idle for long since */
    int64_t turn_since_ns;   /* the turn goes on since then, at least; or the last stall ended */
    bool idle;
    int64_t suspected_ns;        /* 0: not yet */
    struct weir__sleeper before; /* how its thread was then */
    bool stalled;                /* counted */
    unsigned reports;
    int64_t queue_since_ns;  /* the mark, or the turn, whose wait is a stall; 0: none */
    int64_t queue_seen_ns;   /* the one that was last seen waiting */
    uint64_t queue_switches; /* when it was first seen */
    unsigned queue_reports;
};

/* A stall that was examined: the report, and what its pointers lead to. */
struct weir__finding {
    struct weir_stall stall;
    void *frames[WEIR__BACKTRACE_MAX];
    char task_name[WEIR_NAME_BYTES];
    char fd_name[WEIR__STALL_NAME_BYTES];
    char op[WEIR__STALL_NAME_BYTES];
    int64_t watched_ns;  /* STARVED, BLOCKED now and then: so long its thread's time was watched */
    int64_t run_ns;      /* STARVED: and so much of it it had a CPU */
    int64_t slept_ns;    /* BLOCKED now and then: and so much of it it slept; 0: it sleeps now */
    bool is_turn;        /* QUEUE: who waits is not in the ready queue yet, as the turn goes on */
    uint64_t switches;   /* QUEUE: how many ran meanwhile */
    unsigned task_count; /* QUEUE: that the loop has */
    long number;         /* of the system call; -1: none */
    int error;           /* why not more is known; 0: all is */
};

struct weir__stall {
    struct weir__runtime *runtime;
    pthread_t thread;
    pthread_mutex_t mutex; /* the loops; held while any of them is looked at */
    int64_t limit_ns;
    int64_t period_ns;
    int64_t looked_ns;
    int64_t reported_ns;
    unsigned idle_looks;
    uint64_t unreported; /* since the last report */
    bool all_reported;
    char text[WEIR__STALL_TEXT_BYTES];
    struct weir__finding *findings; /* one a loop */
    struct weir__held helds[];
};

/* Starts the thread, with no loop to watch, unless options say that there is none to be: then
 * runtime->stall is NULL. Returns 0, or -errno with the reason in `why`. */
int weir__stall_start(struct weir__runtime *runtime, char *why, size_t why_bytes);

/* All loops have left. */
void weir__stall_stop(struct weir__runtime *runtime);

/* On the loop's thread: it is watched from here on, until it leaves. */
void weir__stall_enter(struct weir__loop *loop);
void weir__stall_leave(struct weir__loop *loop);

/* Any thread: what a loop that does not answer is doing, such as "asleep in read"; false when that
 * cannot be said. */
bool weir__stall_describe(struct weir__loop *loop, char *text, size_t bytes);

/*
 * stall_track.c, under the mutex: the state above. Looks at one loop; whether a report about it, or
 * about its ready queue, is due; a finding about the queue, which needs no examination.
 */
void weir__stall_begin(struct weir__held *held, struct weir__loop *loop);
void weir__stall_end(struct weir__stall *stall, struct weir__held *held);
void weir__stall_look_at(struct weir__stall *stall, struct weir__held *held, int64_t now_ns);
bool weir__stall_is_idle(struct weir__loop *loop);
bool weir__stall_is_due(const struct weir__stall *stall, const struct weir__held *held,
                        int64_t now_ns);
bool weir__stall_is_queue_due(const struct weir__stall *stall, const struct weir__held *held,
                              int64_t now_ns);
void weir__stall_find_queue(struct weir__held *held, int64_t now_ns, struct weir__finding *finding);
void weir__stall_forgive(struct weir__stall *stall, int64_t now_ns);

/* stall_look.c, under the mutex: examines a loop that is still. False: it has got on meanwhile. */
bool weir__stall_examine(struct weir__held *held, struct weir__finding *finding);

/* stall_report.c: the text about findings: one, or one for each of all loops. */
void weir__stall_write(const struct weir__finding *findings, unsigned count, char *text,
                       size_t bytes);

#endif
