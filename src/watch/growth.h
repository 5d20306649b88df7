/* SPDX-License-Identifier: MIT */
/*
 * Producers without a bound: loops whose tasks only become more, and named channels that drop most
 * of what is sent; see weir/watchdog.h for the rules. They are told by counters that are there
 * anyway, five looks in a row; no loop is asked, but for a sample of its tasks once one is found.
 */
#ifndef WEIR_WATCH_GROWTH_H
#define WEIR_WATCH_GROWTH_H

#include <weir/runtime.h>

struct weir__watchdog;
struct weir__pile;
struct weir_chan;

enum {
    WEIR__GROWTH_LOOKS = 5,
    WEIR__GROWTH_CHANS = 64, /* that drop at the same time */
};

/* A loop, or a channel, as it was at the last look, and when its row of looks began. */
struct weir__streak {
    uint64_t in, out; /* tasks started and ended; elements sent and dropped */
    uint64_t first_in, first_out;
    int64_t first_ns;
    unsigned looks; /* in a row */
    bool is_told;
};

struct weir__dropping {
    const struct weir_chan *chan; /* for comparing only; NULL: unused */
    bool is_seen;                 /* in this look */
    struct weir__streak streak;
};

struct weir__growth {
    int64_t next_tasks_ns, next_drops_ns;
    struct weir__streak *loops;
    struct weir__dropping chans[WEIR__GROWTH_CHANS];
    int growing_index; /* of the loop of which a sample is to be taken; -1: none */
};

/* Whether the options switch both off. */
bool weir__growth_is_off(const struct weir_options *options);

/* 0 or -ENOMEM. */
int weir__growth_init(struct weir__growth *growth, unsigned loop_count);
void weir__growth_term(struct weir__growth *growth);

/* Looks, if it is time; returns when it is next. */
int64_t weir__growth_tick(struct weir__watchdog *dog, int64_t now_ns);

/* With the newest tasks of growing_index, struct weir__looked: tells of them. */
void weir__growth_tell(struct weir__watchdog *dog, const struct weir__pile *samples,
                       int64_t now_ns);

#endif
