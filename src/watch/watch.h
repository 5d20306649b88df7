/* SPDX-License-Identifier: MIT */
/*
 * The watch room's part of a runtime, and the list of those that run: so that a plain thread can
 * look at them, too.
 *
 *   create ---> start: listed, may be used ---> stop: listed no more, waits for its users
 *          ---> destroy
 *
 * A user is a caller that found it in the list, or a survey whose mail is on its way to a loop: so
 * no loop ends before its mail has come.
 */
#ifndef WEIR_WATCH_WATCH_H
#define WEIR_WATCH_WATCH_H

#include "base/list.h"
#include "core/loop.h"

struct weir_mutex;
struct weir__wait;
struct weir__survey;
struct weir__watchdog;

struct weir__watch {
    struct weir__runtime *runtime;
    struct weir_mutex *turn; /* one survey at a time; see survey.h */
    struct weir__watchdog *dog;
    _Atomic(struct weir__survey *) spare; /* NULL: it is in use */
    /* Under the lock of the list of all. */
    struct weir__list listed;
    unsigned user_count;
    struct weir__wait *stopper; /* waits for the last user */
};

/* 0 or -ENOMEM. */
int weir__watch_create(struct weir__runtime *runtime);
void weir__watch_destroy(struct weir__runtime *runtime);

/* On loop 0's main task, while all loops run. */
void weir__watch_start(struct weir__runtime *runtime);
void weir__watch_stop(struct weir__runtime *runtime);

/* The index-th runtime that is listed, with one user more; NULL: there are fewer. Any thread. */
struct weir__watch *weir__watch_use(unsigned index);

/* One user more of a watch, unless it is not started yet, or stopped. */
bool weir__watch_try_join(struct weir__watch *watch);

/* One user more of a watch that has one already, or is used by a task of its runtime; and less. */
void weir__watch_join(struct weir__watch *watch);
void weir__watch_leave(struct weir__watch *watch);

#endif
