/* SPDX-License-Identifier: MIT */
/*
 * The watchdogs' survey: which tasks each loop notes, and what of them. A parked task is noted if
 * it is one of these, long enough; the others are only counted:
 *
 *   LOCKED    parked until another task acts: with all the ways in which it could be woken
 *   OWNER     holds a mutex
 *   SENDER    the oldest sender of a channel
 *   OPERATION in an operation
 *   WANTED    asked for by name of its struct
 *
 * A sample is the newest tasks of a loop whose tasks only become more. It is a survey of its own:
 * of so many tasks, and so busy a loop, a look at all may be given up each time.
 */
#ifndef WEIR_WATCH_LOOK_H
#define WEIR_WATCH_LOOK_H

#include "sync/chan_users.h"
#include "watch/sighting.h"
#include "watch/survey.h"

enum {
    WEIR__LOOK_LOCKED = 1 << 0,
    WEIR__LOOK_OWNER = 1 << 1,
    WEIR__LOOK_SENDER = 1 << 2,
    WEIR__LOOK_OPERATION = 1 << 3,
    WEIR__LOOK_WANTED = 1 << 4,

    WEIR__LOOK_WANTED_MAX = 16,
};

/* What is looked for; the view's context. Limits below 0: not looked for. */
struct weir__look {
    int64_t deadlock_limit_ns;
    int64_t mutex_limit_ns;
    int64_t drain_limit_ns;
    int64_t device_limit_ns;
    int64_t peer_limit_ns;
    bool has_users; /* channels may have their users noted: so all tasks are */
    unsigned wanted_count;
    const struct weir_task *wanted[WEIR__LOOK_WANTED_MAX];
};

/* WEIR__SURVEY_SIGHTINGS. */
struct weir__looked {
    struct weir__sighting sighting;  /* first */
    unsigned found;                  /* WEIR__LOOK_* */
    bool is_unlimited;               /* OPERATION: it has no deadline, and waits for a peer */
    char subject[WEIR_NAME_BYTES];   /* OWNER: the mutex */
    size_t waiting;                  /* OWNER: for it */
    bool has_users;                  /* SENDER: the channel's are noted */
    const struct weir_task *partner; /* SENDER: who received last; NULL: nobody */
    char partner_name[WEIR_NAME_BYTES];
};

/* WEIR__SURVEY_WAYS: one way in which a LOCKED task could be woken. */
struct weir__way {
    enum weir__way_kind {
        WEIR__WAY_TASK,    /* by `object`, a task */
        WEIR__WAY_SCOPE,   /* by the tasks of `object`, a scope, of which there are `count` */
        WEIR__WAY_USERS,   /* by one of those */
        WEIR__WAY_ANYBODY, /* by whoever moves */
    } kind;
    const void *object;
    size_t count;
    struct weir__chan_user users[WEIR__CHAN_USERS_MAX];
};

/* WEIR__SURVEY_LIVING: every task but idle callback tasks, when users are noted. */
struct weir__living {
    const struct weir_task *task;
    const struct weir_scope *scope;
};

/* Of WEIR__SURVEY_*. */
extern const struct weir__survey_view weir__look_view;

/* The index of the loop is the context, an int. */
extern const struct weir__survey_view weir__sample_view;

/* ways.c: notes all ways in which the parked task could be woken; false when it will be, by itself
 * or from outside (then nothing of it is noted). On its home loop, while it is looked at. */
bool weir__ways_note(struct weir__survey_part *part, const struct weir_task *task,
                     struct weir__sighting *sighting);

/* Whether that may be worth the trouble: quick. */
bool weir__ways_is_locked(const struct weir_task *task, const struct weir__reason *reason,
                          int64_t now_ns);

#endif
