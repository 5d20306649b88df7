/* SPDX-License-Identifier: MIT */
/*
 * All programs of one shape, over an alphabet of calls. Of those that differ only in the names of
 * channels and tasks, one stands for all.
 */
#ifndef WEIR_TESTS_MODEL_FAMILY_H
#define WEIR_TESTS_MODEL_FAMILY_H

#include "model/explore.h"

/* Which calls: send and receive without a deadline, and */
enum letters {
    PLAIN = 0,
    PATIENCES = 1 << 0,    /* all of them WEIR_NOW and with a deadline, too */
    SELECTS = 1 << 1,      /* at random, of any two different clauses */
    MANY_SELECTS = 1 << 2, /* in order, and of a clause twice, too */
    ENDS = 1 << 3,         /* close, abort */
    CANCELS = 1 << 4,
    ALL = (1 << 5) - 1,
};

struct family {
    unsigned char task_count;
    unsigned char loops[TASKS_MAX];
    unsigned char call_counts[TASKS_MAX];
    unsigned char letters[TASKS_MAX][CALLS_MAX];
};

/* Explores every program of the family on such channels. */
void family_explore(const struct family *family, const struct chan_setup setups[CHANS],
                    struct tally *tally);

#endif
