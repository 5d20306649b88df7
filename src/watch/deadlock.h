/* SPDX-License-Identifier: MIT */
/*
 * Who waits for whom, of the tasks that one look found locked; see weir/watchdog.h for the rules.
 *
 * Take away every task that may still move: one of its ways leads to a task that is not locked, or
 * may move itself, or to anybody while there is anybody. Repeat until nothing is taken away. Those
 * that remain are deadlocked; what connects them makes groups, each with a report of its own.
 *
 * Loops look at different times. A task that is in two looks, parked since the same moment, was
 * parked all the time between: so a group is believed when all of it was found before, too. A group
 * is told of once: not again while one of those that were told of is in it, whoever joins them.
 */
#ifndef WEIR_WATCH_DEADLOCK_H
#define WEIR_WATCH_DEADLOCK_H

#include "watch/look.h"

#include <weir/watchdog.h>

/* A task that was locked. */
struct weir__mark {
    const struct weir_task *task;
    int64_t since_ns;
    bool is_told;
};

/* Of the last look, by their tasks' addresses. */
struct weir__marks {
    struct weir__mark *list;
    size_t count;
};

/* What a look found. */
struct weir__deadlock_look {
    const struct weir__survey *survey; /* all of it is good */
    bool has_outsiders;                /* somebody who is no task may act on channels */
    void (*report)(void *context, const struct weir_deadlock *deadlock);
    void *context;
};

/* How many tasks of the look are locked, before anything is taken away. */
size_t weir__deadlock_count_locked(const struct weir__survey *survey);

/* Reports what is believed, and replaces the marks. Returns the number of reports; *is_suspicious:
 * something is to be looked at once more, soon. */
unsigned weir__deadlock_judge(const struct weir__deadlock_look *look, struct weir__marks *marks,
                              bool *is_suspicious);

/* The text and lines of one group; deadlock_tell.c. `members` are in the order to be told in, the
 * first `cycle_count` of them a cycle. `waits_for[i]`: whom the i-th waits for, NULL if unknown. */
void weir__deadlock_tell(const struct weir__deadlock_look *look,
                         const struct weir__sighting *const *members,
                         const struct weir__sighting *const *waits_for, size_t count,
                         size_t cycle_count, bool is_certain);

#endif
