/* SPDX-License-Identifier: MIT */
/*
 * What is checked: a program is a few tasks, each with a few calls, on two channels. What came of a
 * run is its outcome. The specification (spec.h) says which outcomes a program may have, the
 * machine (machine.h) runs the real code, and explore.h holds one against the other.
 */
#ifndef WEIR_TESTS_MODEL_PROGRAM_H
#define WEIR_TESTS_MODEL_PROGRAM_H

#include <weir/chan.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TASKS_MAX = 3,
    CALLS_MAX = 2, /* per task */
    CHANS = 2,
    CLAUSES_MAX = 2,
    CAPACITY_MAX = 1,
    WAITERS_MAX = TASKS_MAX * CLAUSES_MAX, /* of one side of a channel */
    VALUES_MAX = TASKS_MAX * CALLS_MAX * CLAUSES_MAX + CHANS + 1,
};

/* What receivers get in the end. */
enum { CLOSE_REASON = -ENODATA, ABORT_REASON = -EIO };

enum verb { SEND, RECV, SELECT, CLOSE, ABORT, CANCEL };

enum patience {
    FOREVER,
    NOW,
    SOON, /* a deadline that may pass at any time from when the call has parked */
};

struct clause {
    bool sends;
    unsigned char chan;
};

struct call {
    unsigned char verb; /* enum verb */
    unsigned char patience;
    bool in_order; /* select: WEIR_SELECT_PRIORITY */
    unsigned char clause_count;
    /* Of a select; the first one alone: what send and receive do, the channel of close and abort.
     * Cancel is of the next task. */
    struct clause clauses[CLAUSES_MAX];
};

struct chan_setup {
    unsigned char capacity;
    unsigned char policy;   /* enum weir_chan_policy */
    unsigned char buffered; /* at the start */
    bool counts_copies;     /* has a retain callback */
};

struct program {
    struct chan_setup chans[CHANS];
    unsigned char task_count;
    unsigned char call_counts[TASKS_MAX];
    struct call calls[TASKS_MAX][CALLS_MAX];
    unsigned char loop_count;
    unsigned char loops[TASKS_MAX]; /* where each task lives; of no concern to the specification */
};

/* Every element that a program may send is a number of its own, so that each can be followed. */
static inline uint8_t value_of(size_t task, size_t call, size_t clause)
{
    return (uint8_t)(1 + (task * CALLS_MAX + call) * CLAUSES_MAX + clause);
}

static inline uint8_t value_buffered(size_t chan)
{
    return (uint8_t)(1 + TASKS_MAX * CALLS_MAX * CLAUSES_MAX + chan);
}

enum { NOT_CALLED, CALLED, ANSWERED }; /* answer.stage */
enum { NO_CLAUSE = CLAUSES_MAX };      /* answer.won, when none did */

struct answer {
    int16_t code; /* of the call; of its clause that won */
    uint8_t stage;
    uint8_t won;
    uint8_t values[CLAUSES_MAX]; /* what receive clauses have in their room; 0: nothing came */
    /* How many calls of each task had returned when this one was made: an order by real time, which
     * an outcome must respect. */
    uint8_t returned[TASKS_MAX];
    uint8_t padding[3];
};

struct ending {
    int16_t reason; /* 0: open */
    uint8_t sent, received, dropped;
    uint8_t count;
    uint8_t values[CAPACITY_MAX];
    uint8_t waiting_senders, waiting_receivers;
    uint8_t padding[7 - CAPACITY_MAX];
};

/* All of it zero at first, and compared by its bytes. */
struct outcome {
    struct answer answers[TASKS_MAX][CALLS_MAX];
    struct ending endings[CHANS];
    uint8_t drops[VALUES_MAX]; /* for each value: 1 + why it was dropped, or 0 */
    uint8_t padding[7 - (VALUES_MAX - 1) % 8];
};

_Static_assert(sizeof(struct answer) % 4 == 0 && sizeof(struct ending) == 16 &&
                   sizeof(struct outcome) % 8 == 0,
               "an outcome must have no hidden padding");

/* Both as one line of text. */
enum { TEXT_BYTES = 1024 };
void program_describe(const struct program *program, char text[TEXT_BYTES]);
void outcome_describe(const struct program *program, const struct outcome *outcome,
                      char text[TEXT_BYTES]);

#endif
