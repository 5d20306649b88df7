/* SPDX-License-Identifier: MIT */
/*
 * Every order in which the tasks of one real loop can run. All that is open there is which ready
 * task comes next where one parks or yields, and which ready clause a select takes: these are the
 * choices (base/point.h; core/sched.c and sync/select.c are compiled for it). A play is run again
 * and again, each time with the choices before the last one that has an alternative left, and that
 * alternative: depth first, until none is left. Nothing is sampled; but the fast tier of sanitizer
 * builds, which has no time for all, stops at a bound, and says so.
 *
 * A call that succeeds at once lets others run when the loop's budget is spent, which may be at any
 * time: so each such call yields, and the caller may be the one that goes on. A patient play leaves
 * that out: its tasks change only where they park or yield by themselves.
 *
 * A select first tries one clause that it draws, and then those that are ready. If the one drawn is
 * not, it does not matter which it was: what follows is explored once.
 *
 * A play must be the same when its choices are: no clock, no addresses. At the first rule that does
 * not hold, the program ends and says which choices led there. For one file of a program.
 */
#ifndef WEIR_TESTS_MODEL_ORDERS_H
#define WEIR_TESTS_MODEL_ORDERS_H

#include "base/point.h"
#include "core/sched.h"
#include "support/support.h"

#include <weir.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* In one play; more means that it never ends. */
enum { STEPS_MAX = 2000, CHOICES_MAX = 2 * STEPS_MAX, SHORT_PLAYS = 2000 };

struct choice {
    uint32_t made;
    uint32_t bound;
    bool has_missed;
    uint32_t missed; /* the first clause drawn that was not ready */
};

static struct {
    bool under_way;
    bool patient;
    const char *name; /* of the play */
    size_t play_count;
    size_t count;   /* choices that are known */
    size_t place;   /* of them, made in this play */
    size_t steps;   /* in this play */
    int locked;     /* locks that the running select holds */
    bool drawn;     /* the last choice, by a select that has tried nothing else yet */
    bool redundant; /* all that follows in this play has been seen */
    struct choice choices[CHOICES_MAX];
} orders;

static inline void orders_check(bool holds, const char *text, const char *file, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: %s, order %zu: not so: %s\nchoices:", file, line, orders.name,
            orders.play_count, text);
    for (size_t i = 0; i < orders.place; i++)
        fprintf(stderr, " %u/%u", orders.choices[i].made, orders.choices[i].bound);
    fprintf(stderr, "\n");
    abort();
}

/* A rule of the play. */
#define RULE(condition) orders_check(condition, #condition, __FILE__, __LINE__)

static inline uint32_t orders_choose(uint32_t bound)
{
    struct choice *choice;

    if (bound == 1 || orders.redundant)
        return 0;
    RULE(orders.place < CHOICES_MAX);
    choice = &orders.choices[orders.place++];
    if (orders.place > orders.count) {
        *choice = (struct choice){ .bound = bound };
        orders.count++;
    }
    RULE(choice->bound == bound); /* else the play depends on something else */
    return choice->made;
}

uint32_t weir__point_pick(uint32_t count)
{
    if (!orders.under_way)
        return 0;
    RULE(++orders.steps < STEPS_MAX);
    weir__loop_current->budget = orders.patient ? WEIR__LOOP_BUDGET : 1;
    orders.drawn = false;
    return orders_choose(count);
}

uint32_t weir__point_choose(uint32_t bound, uint32_t drawn)
{
    if (!orders.under_way)
        return drawn;
    orders.drawn = orders.locked == 0 && bound > 1 && !orders.redundant;
    return orders_choose(bound);
}

/* A select goes on to all its clauses: the one that it had drawn was not ready. */
static inline void orders_miss(void)
{
    struct choice *choice = &orders.choices[orders.place - 1];

    orders.drawn = false;
    orders.redundant = choice->has_missed && choice->missed != choice->made;
    if (choice->has_missed)
        return;
    choice->has_missed = true;
    choice->missed = choice->made;
}

void weir__point_pass(enum weir__point point, const void *object)
{
    (void)object;
    orders.locked += (point == WEIR__POINT_LOCK) - (point == WEIR__POINT_UNLOCK);
    if (orders.drawn && orders.locked > 1)
        orders_miss();
}

/* Takes the next alternative; false when there is none. */
static inline bool orders_turn(void)
{
    RULE(orders.place == orders.count); /* else the play depends on something else */
    while (orders.count > 0) {
        struct choice *last = &orders.choices[orders.count - 1];

        if (++last->made < last->bound)
            return true;
        orders.count--;
    }
    return false;
}

/*
 * Lets the tasks run that were started, until all have ended or wait for each other. Those of the
 * scope must have ended, and so its join, the result of which is returned, may not wait.
 */
static inline int orders_run(struct weir_scope *scope)
{
    orders.under_way = true;
    weir__sched_settle();
    orders.under_way = false;
    RULE(weir_scope_count(scope) == 0);
    return weir_scope_join(scope, WEIR_FOREVER);
}

/* Runs the play in every order. In the root task. */
static inline void orders_explore(const char *name, bool patient, void (*play)(const void *setup),
                                  const void *setup)
{
    const bool is_short = TEST_SANITIZED && test_tier() == TEST_FAST;
    bool is_more;

    orders.patient = patient;
    orders.name = name;
    orders.play_count = 0;
    orders.count = 0;
    do {
        orders.play_count++;
        orders.place = 0;
        orders.steps = 0;
        orders.drawn = false;
        orders.redundant = false;
        weir__loop_current->budget = WEIR__LOOP_BUDGET;
        play(setup);
        is_more = orders_turn();
    } while (is_more && !(is_short && orders.play_count == SHORT_PLAYS));
    printf("%s: %zu orders%s\n", name, orders.play_count, is_more ? ", and there are more" : "");
    fflush(stdout);
}

#endif
