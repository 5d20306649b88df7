/* SPDX-License-Identifier: MIT */
/* Finding the knee; see climb.h. The constants come from simulations over 1 to 200 servers, with
 * services of constant, uniform, exponential, lognormal and bimodal times; tests/flow/climb_test.c
 * plays some. */
#include "flow/climb.h"

#include "base/assert.h"

enum {
    LEG_ADMISSIONS_MIN = 24,
    LEG_CROWDS = 3, /* a leg is so many times its limit: by Little's law, latencies */
    REST_LEGS = 8,
    JUDGED_LEGS = 5, /* so long after it a pair is judged, complete or not */
    HELD_SHARE = 2,  /* of a leg's admissions, that must have reached the limit */
    UNUSUAL_LEGS = 3,
    USUAL_SHARE = 8, /* of a leg in what is usual */
};

static const double gain_min = 0.1;  /* the knee is the mean of about the last 20 pairs */
static const double gain_fast = 0.3; /* above it rests are short */
static const double gain_up = 1.3, gain_down = 0.5;
static const double narrow = 1.2,
                    wider = 0.8;   /* the higher limit: base * (narrow + gain * wider) */
static const double dead = 0.1;    /* a shift that is no reason for a larger gain */
static const double beyond = 0.75; /* of the shift between both limits: the largest that counts */
static const double unusual = 0.6, unusual_offs = 3; /* shifts that count as unusual */

_Static_assert(WEIR__CLIMB_LEGS >= JUDGED_LEGS + 2, "a pair is there until it is judged");

/* How far it is from one value to another, as a ratio; near its logarithm, and as symmetric. */
static double shift_between(double from, double to)
{
    return 2 * (to - from) / (to + from);
}

/* The other way round. */
static double shifted(double from, double shift)
{
    return from * (2 + shift) / (2 - shift);
}

static double clip(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

static double magnitude(double value)
{
    return value < 0 ? -value : value;
}

static unsigned base_of(const struct weir__climb *climb)
{
    return (unsigned)(climb->knee + 0.5);
}

static void place_knee(struct weir__climb *climb, double knee)
{
    unsigned before = base_of(climb);

    climb->knee = clip(knee, climb->limit_min, climb->limit_max);
    climb->moves += base_of(climb) != before;
}

static struct weir__leg *leg_of(struct weir__climb *climb, uint32_t number)
{
    return &climb->ring[number % WEIR__CLIMB_LEGS];
}

static bool was_held(const struct weir__leg *leg)
{
    return leg->held * HELD_SHARE >= leg->admitted;
}

static void begin_leg(struct weir__climb *climb, enum weir__climb_phase phase, unsigned limit)
{
    climb->phase = phase;
    climb->number++;
    climb->limit = limit;
    *leg_of(climb, climb->number) = (struct weir__leg){ .number = climb->number, .limit = limit };
}

static void rest(struct weir__climb *climb)
{
    begin_leg(climb, WEIR__CLIMB_RESTING, base_of(climb));
}

/* A leg of a pair: both limits equally far away, and at least by one. */
static void try(struct weir__climb *climb, enum weir__climb_phase phase, bool higher)
{
    double factor = narrow + climb->gain * wider, base = base_of(climb);
    double limit = higher ? climb->knee * factor : climb->knee / factor;

    limit = higher ? clip(limit, base + 1, climb->limit_max) : clip(limit, 0, base - 1);
    begin_leg(climb, phase, (unsigned)(clip(limit, climb->limit_min, climb->limit_max) + 0.5));
}

/* --- What was measured --- */

/* Of a success; 0: there was none. */
static double cost_ns(const struct weir__leg *leg, int64_t now_ns)
{
    double open_ns = leg->open * (double)(now_ns - leg->begun_ns) - leg->open_from_ns;

    return leg->succeeded ? (leg->spent_ns + open_ns) / leg->succeeded : 0;
}

/* How far the pair says that the knee is from where it is thought to be. */
static double measure(const struct weir__climb *climb, const struct weir__leg *lower,
                      const struct weir__leg *higher, int64_t now_ns)
{
    double most = beyond * shift_between(lower->limit, higher->limit);
    double lower_ns = cost_ns(lower, now_ns), higher_ns = cost_ns(higher, now_ns), knee;

    if (lower_ns <= 0)
        return most;
    if (higher_ns <= 0)
        return -most;
    knee = (double)higher->crowd / higher->admitted * lower_ns / higher_ns;
    return clip(shift_between(climb->knee, knee), -most, most);
}

static void judge(struct weir__climb *climb, int64_t now_ns)
{
    const struct weir__leg *first = leg_of(climb, climb->pair);
    const struct weir__leg *second = leg_of(climb, climb->pair + 1);
    const struct weir__leg *higher = first->limit > second->limit ? first : second;
    const struct weir__leg *lower = higher == first ? second : first;
    bool agrees;
    double shift;

    climb->pair = 0;
    if (!first->succeeded && !second->succeeded) {
        place_knee(climb, climb->knee / 2);
        return;
    }
    shift = measure(climb, lower, higher, now_ns);
    agrees = (shift > 0) == climb->was_up && magnitude(shift) > dead;
    climb->was_up = shift > 0;
    climb->gain = clip(climb->gain * (agrees ? gain_up : gain_down), gain_min, 1);
    place_knee(climb, shifted(climb->knee, climb->gain * shift));
}

/* Looks at the leg before this one, when both are of one rest: what it cost has hardly to do with
 * the pair, and nearly all of it has ended. */
static void watch_rest(struct weir__climb *climb, int64_t now_ns)
{
    const struct weir__leg *leg = leg_of(climb, climb->number - 1);
    double cost = cost_ns(leg, now_ns), shift;

    if (climb->rests < 2 || !was_held(leg) || cost <= 0)
        return;
    if (climb->usual_ns <= 0 || climb->gain > gain_fast) {
        climb->usual_ns = cost;
        climb->unusual = 0;
        return;
    }
    shift = shift_between(climb->usual_ns, cost);
    if (magnitude(shift) <= unusual || magnitude(shift) <= unusual_offs * climb->off) {
        climb->unusual = 0;
        climb->off += (magnitude(shift) - climb->off) / USUAL_SHARE;
        climb->usual_ns += (cost - climb->usual_ns) / USUAL_SHARE;
        return;
    }
    if (climb->unusual * shift < 0)
        climb->unusual = 0;
    climb->unusual += shift > 0 ? 1 : -1;
    if (climb->unusual == UNUSUAL_LEGS || climb->unusual == -UNUSUAL_LEGS) {
        climb->gain = 1;
        climb->usual_ns = 0;
    }
}

/* --- Legs --- */

static void end_rest_leg(struct weir__climb *climb, bool held, int64_t now_ns)
{
    unsigned wanted;

    climb->rests++;
    watch_rest(climb, now_ns);
    if (climb->pair && (climb->rests >= JUDGED_LEGS || (!leg_of(climb, climb->pair)->open &&
                                                        !leg_of(climb, climb->pair + 1)->open)))
        judge(climb, now_ns);
    wanted = climb->gain > gain_fast ? 1 : REST_LEGS;
    if (!held || climb->pair || climb->rests < wanted || climb->limit_min == climb->limit_max)
        rest(climb);
    else
        try(climb, WEIR__CLIMB_FIRST, climb->higher_first);
}

static void end_leg(struct weir__climb *climb, const struct weir__leg *leg, int64_t now_ns)
{
    bool held = was_held(leg);

    if (climb->phase == WEIR__CLIMB_RESTING) {
        end_rest_leg(climb, held, now_ns);
        return;
    }
    if (climb->phase == WEIR__CLIMB_FIRST && held) {
        try(climb, WEIR__CLIMB_SECOND, !climb->higher_first);
        return;
    }
    if (held) {
        climb->pair = climb->number - 1;
        climb->higher_first = !climb->higher_first;
    }
    climb->rests = 0;
    rest(climb);
}

void weir__climb_init(struct weir__climb *climb, unsigned limit_min, unsigned limit_max,
                      unsigned start)
{
    WEIR_ASSERT(limit_min >= 1);
    WEIR_ASSERT(limit_min <= start);
    WEIR_ASSERT(start <= limit_max);
    *climb = (struct weir__climb){
        .limit_min = limit_min,
        .limit_max = limit_max,
        .knee = start,
        .gain = 1,
    };
    rest(climb);
}

uint32_t weir__climb_admit(struct weir__climb *climb, unsigned crowd, int64_t now_ns)
{
    struct weir__leg *leg = leg_of(climb, climb->number);
    uint32_t number = leg->number;

    if (leg->admitted == 0)
        leg->begun_ns = now_ns;
    leg->admitted++;
    leg->crowd += crowd;
    leg->held += crowd >= leg->limit;
    leg->open++;
    leg->open_from_ns += (double)(now_ns - leg->begun_ns);
    if (leg->admitted >= LEG_ADMISSIONS_MIN && leg->admitted >= LEG_CROWDS * leg->limit)
        end_leg(climb, leg, now_ns);
    return number;
}

void weir__climb_forget(struct weir__climb *climb, uint32_t number, int64_t since_ns)
{
    struct weir__leg *leg = leg_of(climb, number);

    if (leg->number != number)
        return; /* it took so long that its leg is forgotten */
    leg->open--;
    leg->open_from_ns -= (double)(since_ns - leg->begun_ns);
}

void weir__climb_finish(struct weir__climb *climb, uint32_t number, int64_t since_ns,
                        int64_t now_ns, bool success)
{
    struct weir__leg *leg = leg_of(climb, number);

    if (leg->number != number)
        return;
    weir__climb_forget(climb, number, since_ns);
    leg->succeeded += success;
    leg->spent_ns += (double)(now_ns - since_ns);
}
