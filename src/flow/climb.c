/* SPDX-License-Identifier: MIT */
/* Finding the knee; see climb.h. The constants come from simulations over 1 to 200 servers, with
 * services of constant, uniform and exponential times; tests/flow/climb_test.c plays some. */
#include "flow/climb.h"

#include "base/assert.h"

#include <string.h>

enum {
    LEG_ADMISSIONS_MIN = 24,
    LEG_CROWDS = 2, /* a leg is so many times its limit: by Little's law, latencies */
    REST_LEGS = 12,
    TRY_LEGS_MAX = 24,
    LEAD = 4,       /* votes that move the base */
    AGAINST = -2,   /* votes that say that a side is not better */
    STEP_SHARE = 6, /* of the base, in a first move */
    WIDE_SHARE = 2, /* in the widest */
    HELD_SHARE = 2, /* of a leg's admissions, that must have reached the limit */
};

static unsigned clamp(const struct weir__climb *climb, int64_t limit)
{
    if (limit < climb->limit_min)
        return climb->limit_min;
    return limit > climb->limit_max ? climb->limit_max : (unsigned)limit;
}

static unsigned first_step(const struct weir__climb *climb)
{
    unsigned step = (climb->base + STEP_SHARE / 2) / STEP_SHARE;

    return step ? step : 1;
}

static unsigned beside(const struct weir__climb *climb, int direction)
{
    return clamp(climb, (int64_t)climb->base + direction * (int64_t)first_step(climb));
}

static struct weir__leg *leg_of(struct weir__climb *climb, uint32_t number)
{
    return &climb->ring[number % WEIR__CLIMB_LEGS];
}

static void begin_leg(struct weir__climb *climb, unsigned limit)
{
    climb->number++;
    climb->limit = limit;
    *leg_of(climb, climb->number) = (struct weir__leg){ .number = climb->number, .limit = limit };
}

static void begin_rest(struct weir__climb *climb, unsigned legs_done)
{
    climb->is_trying = false;
    climb->direction = 0;
    climb->legs = legs_done;
    begin_leg(climb, climb->base);
}

static void begin_try(struct weir__climb *climb)
{
    climb->is_trying = true;
    climb->legs = 0;
    climb->up = 0;
    climb->down = 0;
    memset(climb->tried, 0, sizeof climb->tried);
    begin_leg(climb, climb->base);
}

/* Moves the base, wider each time, and goes on; a move that would be undone ends the try. */
static void move(struct weir__climb *climb, int direction)
{
    unsigned before = climb->base, first = first_step(climb), widest = before / WIDE_SHARE;

    if (direction == -climb->direction) {
        begin_rest(climb, 0);
        return;
    }
    climb->step = climb->direction ? 2 * climb->step : first;
    if (climb->step > widest)
        climb->step = widest;
    if (climb->step < first)
        climb->step = first;
    climb->base = clamp(climb, (int64_t)before + direction * (int64_t)climb->step);
    if (climb->base == before) {
        begin_rest(climb, 0);
        return;
    }
    climb->moves++;
    climb->direction = direction;
    begin_try(climb);
}

static double power(const struct weir__leg *leg)
{
    double cost_ns;

    if (!leg->succeeded)
        return 0;
    cost_ns = leg->spent_ns / leg->succeeded;
    return (double)leg->crowd / leg->admitted / (cost_ns * cost_ns);
}

/* The vote of two neighbours, one of them at the base. False: nothing succeeds any more. */
static bool vote(struct weir__climb *climb, const struct weir__leg *left,
                 const struct weir__leg *right)
{
    const struct weir__leg *base = left->limit == climb->base ? left : right;
    const struct weir__leg *side = base == left ? right : left;
    int *votes = side->limit > base->limit ? &climb->up : &climb->down;

    if (side->limit == base->limit || !base->finished || !side->finished)
        return true;
    if (!base->succeeded && !side->succeeded)
        return false;
    *votes += power(side) > power(base) ? 1 : -1;
    return true;
}

/* Adds a complete leg of this try to those with the same limit. */
static void add_up(struct weir__climb *climb, const struct weir__leg *leg)
{
    struct weir__leg *sum =
        &climb->tried[1 + (leg->limit > climb->base) - (leg->limit < climb->base)];

    sum->admitted += leg->admitted;
    sum->crowd += leg->crowd;
    sum->succeeded += leg->succeeded;
    sum->spent_ns += leg->spent_ns;
}

/* Whether this side has won: by votes, and all its legs together are better than the base's. */
static bool has_won(const struct weir__climb *climb, int direction)
{
    int ahead = direction > 0 ? climb->up - climb->down : climb->down - climb->up;
    int votes = direction > 0 ? climb->up : climb->down;

    return ahead >= LEAD && votes > 0 &&
           power(&climb->tried[1 + direction]) > power(&climb->tried[1]);
}

/* Whether neither side is better than the base. */
static bool stays(const struct weir__climb *climb)
{
    bool no_up = climb->up <= AGAINST || beside(climb, 1) == climb->base;
    bool no_down = climb->down <= AGAINST || beside(climb, -1) == climb->base;

    return no_up && no_down;
}

static void go_on_trying(struct weir__climb *climb)
{
    static const int ways[] = { 0, 1, 0, -1 };
    int way = ways[climb->legs % 4];

    begin_leg(climb, beside(climb, climb->direction < 0 ? -way : way));
}

/* A leg of a try has ended. Those before it are complete by now: it took longer than they did. */
static void judge(struct weir__climb *climb)
{
    bool pair = climb->legs >= 3;

    if (climb->legs >= 2)
        add_up(climb, leg_of(climb, climb->number - 1));
    if (pair && !vote(climb, leg_of(climb, climb->number - 1), leg_of(climb, climb->number - 2))) {
        climb->base = clamp(climb, climb->base / 2);
        climb->moves++;
        begin_rest(climb, 0);
    } else if (has_won(climb, 1)) {
        move(climb, 1);
    } else if (has_won(climb, -1)) {
        move(climb, -1);
    } else if (climb->legs == TRY_LEGS_MAX || stays(climb)) {
        begin_rest(climb, 0);
    } else {
        go_on_trying(climb);
    }
}

static void end_leg(struct weir__climb *climb, const struct weir__leg *leg)
{
    climb->legs++;
    if (leg->held * HELD_SHARE < leg->admitted)
        begin_rest(climb, REST_LEGS - 1);
    else if (climb->is_trying)
        judge(climb);
    else if (climb->legs < REST_LEGS || climb->limit_min == climb->limit_max)
        begin_leg(climb, climb->base);
    else
        begin_try(climb);
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
        .base = start,
    };
    begin_rest(climb, REST_LEGS - 1);
}

uint32_t weir__climb_admit(struct weir__climb *climb, unsigned crowd)
{
    struct weir__leg *leg = leg_of(climb, climb->number);
    uint32_t number = leg->number;
    unsigned wanted = LEG_CROWDS * leg->limit;

    leg->admitted++;
    leg->crowd += crowd;
    leg->held += crowd >= leg->limit;
    if (leg->admitted >= LEG_ADMISSIONS_MIN && leg->admitted >= wanted)
        end_leg(climb, leg);
    return number;
}

void weir__climb_finish(struct weir__climb *climb, uint32_t number, int64_t latency_ns,
                        bool success)
{
    struct weir__leg *leg = leg_of(climb, number);

    if (leg->number != number)
        return; /* it took so long that its leg is forgotten */
    leg->finished++;
    leg->succeeded += success;
    leg->spent_ns += (double)latency_ns;
}
