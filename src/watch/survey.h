/* SPDX-License-Identifier: MIT */
/*
 * A survey looks at every task of a runtime, each on its home loop, and never stops the world: mail
 * goes to all loops, each looks at a few tasks a turn and notes what it sees in a pile of its own;
 * whoever asked parks until all have answered, or for so long as it will.
 *
 *   run ---> mail to each loop ---> begin, task, task, ... a cursor lies in the loop's list of
 *                                   tasks between two turns ---> answered
 *
 * One survey at a time: the next begins when the one before was answered or given up, and one that
 * was given up loses its cursor when the next one's mail comes. So who looks at the tasks never
 * meets a cursor.
 *
 * A survey of the newest tasks is over in one turn of each loop, however many there are.
 *
 * A survey that was given up stays until the last loop has had its mail.
 */
#ifndef WEIR_WATCH_SURVEY_H
#define WEIR_WATCH_SURVEY_H

#include "core/task.h"
#include "watch/watch.h"

/* Records of one size, one behind the other. */
struct weir__pile {
    char *bytes; /* NULL: none yet */
    size_t record_bytes;
    size_t count;
    size_t capacity; /* records */
};

enum weir__survey_piles {
    WEIR__SURVEY_SIGHTINGS,
    WEIR__SURVEY_WAYS,
    WEIR__SURVEY_LIVING,
    WEIR__SURVEY_PILES,
};

enum { WEIR__SURVEY_CONTEXT_BYTES = 256 };

struct weir__survey;

/* One loop's part. Its own thread's, until it has answered. */
struct weir__survey_part {
    struct weir__mail mail;
    struct weir__survey *survey;
    struct weir__loop *loop;
    struct weir__list cursor;
    struct weir__pile piles[WEIR__SURVEY_PILES];
    unsigned task_count;   /* that it came by */
    unsigned living_count; /* of the view: those that count as living */
    bool has_begun;
    bool lacks_memory; /* something was not noted */
    bool is_busy;      /* async operations are under way there */
    bool answered;     /* under the survey's lock */
    bool is_good;      /* the asker's: it has answered in time */
};

/* What is looked for. */
struct weir__survey_view {
    size_t record_bytes[WEIR__SURVEY_PILES];
    /* On the task's home loop; may not park. */
    void (*task)(struct weir__survey_part *part, struct weir_task *task);
    const void *context; /* copied, `context_bytes` of it, at most WEIR__SURVEY_CONTEXT_BYTES */
    size_t context_bytes;
    bool newest_only; /* a turn's worth of each loop's tasks, the newest first */
};

struct weir__survey {
    struct weir__watch *watch;
    struct weir__survey_view view;
    struct weir__lock lock;
    /* Under the lock. */
    struct weir__wait *asker; /* while it waits */
    unsigned pending_count;   /* parts without an answer */
    bool given_up;
    unsigned holders; /* the asker, and one for all parts */
    /* Constant. */
    _Alignas(16) char context[WEIR__SURVEY_CONTEXT_BYTES];
    unsigned part_count;
    struct weir__survey_part parts[];
};

/*
 * Asks all loops and waits until they have answered: 0. -ETIME not all did by the deadline: the
 * others' parts are good. -ECANCELED, -ENOMEM, and -ETIME when another survey took as long: there
 * is none, and *survey is NULL. Any task or thread, with a user of the watch. The caller gives
 * *survey back.
 */
int weir__survey_run(struct weir__watch *watch, const struct weir__survey_view *view,
                     int64_t deadline_ns, struct weir__survey **survey);
void weir__survey_release(struct weir__survey *survey);

/*
 * The same for a thread that does not wait: -EAGAIN when another survey is under way. Then it asks
 * now and then whether all have answered, and stops, on the same thread: from there on the parts
 * that are good can be read.
 */
int weir__survey_start(struct weir__watch *watch, const struct weir__survey_view *view,
                       struct weir__survey **survey);
bool weir__survey_is_answered(struct weir__survey *survey);
void weir__survey_stop(struct weir__survey *survey);

/* The survey that a watch keeps ready. 0 or -ENOMEM. */
int weir__survey_create_spare(struct weir__watch *watch);
void weir__survey_destroy_spare(struct weir__watch *watch);

/* One more record, zeroed; NULL without memory. On the part's loop. */
void *weir__survey_note(struct weir__survey_part *part, enum weir__survey_piles pile);

/* The index-th record. */
static inline void *weir__pile_at(const struct weir__pile *pile, size_t index)
{
    return pile->bytes + index * pile->record_bytes;
}

#endif
