/* SPDX-License-Identifier: MIT */
/*
 * How long a ready task waits for its turn. Not of each: every few turns the one at the end of the
 * ready queue is marked, with a reading of the clock, and read again when it is popped. So it costs
 * a compare a switch, and two readings of the clock every few turns.
 *
 * The loop's thread marks and notes; anybody reads the counts, and since when the mark waits.
 */
#ifndef WEIR_CORE_DELAY_H
#define WEIR_CORE_DELAY_H

#include "base/assert.h"

#include <weir/stall.h>

#include <stdatomic.h>
#include <stdint.h>

enum { WEIR__DELAY_TURNS = 16 }; /* from one mark to the next, at least */

struct weir__mail;

struct weir__delay {
    bool on;                         /* constant while the loop runs */
    const struct weir__mail *marked; /* home loop only; NULL: nobody is */
    _Atomic int64_t since_ns;        /* 0: nobody is marked */
    _Atomic uint64_t counts[WEIR_DELAY_BUCKETS];
};

/* `last`: the last of the ready queue. */
void weir__delay_mark(struct weir__delay *delay, const struct weir__mail *last);

/* The marked one was popped. */
void weir__delay_note(struct weir__delay *delay);

static inline void weir__delay_popped(struct weir__delay *delay, const struct weir__mail *mail)
{
    if (WEIR_UNLIKELY(mail == delay->marked))
        weir__delay_note(delay);
}

#endif
