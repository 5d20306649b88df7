/* SPDX-License-Identifier: MIT */
/*
 * How many may be under way at once: found by trying. No clock, no lock, no task in here: the
 * limiter says what was admitted and what it took, and asks for the limit.
 *
 * What is looked for is the knee: below it more at once means more done, above it only longer
 * waits. There the power, throughput / latency (Giessler 1978, Kleinrock 1979), is highest.
 *
 * Time is cut into legs of some admissions. Most rest at the limit that is thought best. Now and
 * then come two beside it, a pair: one with a lower limit, one with a higher. If the lower one is
 * below the knee and the higher one above, the knee is the throughput of the higher times the
 * latency of the lower (as BBR finds a path's: Cardwell et al., 2016), and by Little's law
 *
 *     knee = crowd of the higher * latency of the lower / latency of the higher.
 *
 * With both below the knee this gives the higher crowd, with both above the lower one, and where
 * there is no sharp knee it rests where the power is highest, as the two limits are equally far
 * away. So each pair measures where the knee is, not only on which side, and errors do not add up.
 * The two are neighbours in time, so what the service does on its own (slower, faster) hits both
 * alike, and no latency is remembered as normal.
 *
 *   RESTING --------------------> FIRST ----> SECOND -----.
 *      ^      REST_LEGS, or one      |           |        |
 *      |      while it moves fast    | the limit was not  | both have ended, or a few legs
 *      |                             v what held it back  v later: the pair is judged
 *      `-------------------------------------------------'
 *
 * A pair is a noisy measurement, and the knee goes only a share of the way to it, the gain. It
 * grows while pairs agree about the direction, and shrinks when they do not (after Kesten,
 * "Accelerated Stochastic Approximation", 1958); the larger it is, the farther apart are the two
 * limits and the shorter the rests. When latencies at rest become others for good, the knee may be
 * anywhere, and the gain begins anew.
 *
 * Work is judged by what it cost: the time of failures is paid by the successes, so that work which
 * is slow and then fails does not look like work that is fast; and what has not ended when a leg is
 * judged counts with the time that it took so far. When nothing succeeds in a pair, the limit is
 * halved.
 */
#ifndef WEIR_FLOW_CLIMB_H
#define WEIR_FLOW_CLIMB_H

#include <stdbool.h>
#include <stdint.h>

enum { WEIR__CLIMB_LEGS = 8 }; /* a pair, and the legs until it is judged */

enum weir__climb_phase { WEIR__CLIMB_RESTING, WEIR__CLIMB_FIRST, WEIR__CLIMB_SECOND };

struct weir__leg {
    uint32_t number; /* from 1 */
    unsigned limit;
    unsigned admitted;
    unsigned held;    /* admissions that reached the limit */
    uint64_t crowd;   /* under way at each admission, added up */
    int64_t begun_ns; /* at its first admission */
    /* Of those that were admitted in it. */
    unsigned succeeded;
    unsigned open;       /* not ended yet */
    double open_from_ns; /* when those were admitted, from begun_ns, added up */
    double spent_ns;     /* by those that ended */
};

struct weir__climb {
    unsigned limit_min;
    unsigned limit_max;
    unsigned limit; /* of the leg that is under way */
    double knee;    /* where it is thought to be */
    double gain;
    bool was_up; /* what the last pair said */
    enum weir__climb_phase phase;
    bool higher_first; /* of the next pair, or of this one */
    unsigned rests;    /* legs of this rest, so far */
    uint32_t number;   /* of the leg that is under way */
    uint32_t pair;     /* number of the first leg of a pair to be judged; 0: none */
    double usual_ns;   /* what a success costs at rest; 0: not known */
    double off;        /* how far a leg is from it on average, as a shift */
    int unusual;       /* legs in a row that were longer; negative: shorter */
    uint64_t moves;    /* of the limit at rest */
    struct weir__leg ring[WEIR__CLIMB_LEGS]; /* by number */
};

/* 1 <= limit_min <= start <= limit_max. */
void weir__climb_init(struct weir__climb *climb, unsigned limit_min, unsigned limit_max,
                      unsigned start);

/* One more is under way, which makes `crowd` of them. Returns its leg. The limit may have
 * changed. */
uint32_t weir__climb_admit(struct weir__climb *climb, unsigned crowd, int64_t now_ns);

/* One of them, admitted at `since_ns`, has ended. */
void weir__climb_finish(struct weir__climb *climb, uint32_t leg, int64_t since_ns, int64_t now_ns,
                        bool success);

/* One of them has ended in a way that says nothing about the service. */
void weir__climb_forget(struct weir__climb *climb, uint32_t leg, int64_t since_ns);

#endif
