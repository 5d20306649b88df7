/* SPDX-License-Identifier: MIT */
/*
 * How many may be under way at once: found by trying. No clock, no lock, no task in here: the
 * limiter says what was admitted and what it took, and asks for the limit.
 *
 * What is looked for is the knee: below it more at once means more done, above it only longer
 * waits. There the power, throughput / latency (Giessler 1978, Kleinrock 1979), is highest. By
 * Little's law throughput is crowd / latency, so the power of a time in which `crowd` were under
 * way and each success cost `latency` is crowd / latency^2.
 *
 * Time is cut into legs of some admissions. The limit goes up or down for a leg, the next leg goes
 * back to the base, and the two are compared with each other: neighbours in time, so what the
 * service does on its own (slower, faster, ten times as long) hits both alike and no latency is
 * remembered as normal. Each pair is one vote, and enough of them move the base:
 *
 *             12 legs                    base, up, base, down, base, ...
 *   RESTING ----------> TRYING: --------------------------------------.
 *      ^  ^                |  |  neither side is better, or nothing is |  one side is ahead by
 *      |  |                |  |  shown after 24 legs, or the last move |  4 votes: the base moves
 *      |  `----------------'  |  would be undone                       |  there, and the next move
 *      `----------------------'                                        |  that way is twice as wide
 *                             ^----------------------------------------'
 *
 * A leg counts only if the limit was what held the crowd back in most of its admissions; else
 * nothing can be learned, and the base stays.
 *
 * Work is judged by what it cost: the time of failures is paid by the successes, so that work which
 * is slow and then fails does not look like work that is fast. When nothing succeeds on either
 * side, the base is halved.
 */
#ifndef WEIR_FLOW_CLIMB_H
#define WEIR_FLOW_CLIMB_H

#include <stdbool.h>
#include <stdint.h>

enum { WEIR__CLIMB_LEGS = 4 }; /* the one under way, two that are judged, one that is reused */

struct weir__leg {
    uint32_t number; /* from 1 */
    unsigned limit;
    unsigned admitted;
    unsigned held;  /* admissions that reached the limit */
    uint64_t crowd; /* under way at each admission, added up */
    /* Of those that were admitted in it. */
    unsigned succeeded;
    unsigned finished;
    double spent_ns; /* by all that finished */
};

struct weir__climb {
    unsigned limit_min;
    unsigned limit_max;
    unsigned base;
    unsigned limit; /* of the leg that is under way */
    bool is_trying;
    unsigned legs;             /* of this rest or try, so far */
    int up;                    /* votes for more less those against it */
    int down;                  /* votes for less */
    int direction;             /* of the last move, in this try: 1, -1, 0 none */
    unsigned step;             /* of the last move */
    uint32_t number;           /* of the leg that is under way */
    uint64_t moves;            /* of the base */
    struct weir__leg tried[3]; /* in this try: the legs below the base, at it, above it, added up */
    struct weir__leg ring[WEIR__CLIMB_LEGS]; /* by number */
};

/* 1 <= limit_min <= start <= limit_max. */
void weir__climb_init(struct weir__climb *climb, unsigned limit_min, unsigned limit_max,
                      unsigned start);

/* One more is under way, which makes `crowd` of them. Returns its leg, for finish. The limit may
 * have changed. */
uint32_t weir__climb_admit(struct weir__climb *climb, unsigned crowd);

/* One of them has ended. */
void weir__climb_finish(struct weir__climb *climb, uint32_t leg, int64_t latency_ns, bool success);

#endif
