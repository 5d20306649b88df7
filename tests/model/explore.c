/* SPDX-License-Identifier: MIT */
/* See explore.h. A depth-first search, on a stack of saved states. */
#include "model/explore.h"

#include "base/assert.h"
#include "model/machine.h"

#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_MAX = 128, PATH_MAX_MOVES = 512 };

/* A state in which there is more than one move. */
struct fork {
    struct move moves[MOVES_MAX];
    size_t count;
    size_t next;
    size_t path_length; /* up to here */
    _Alignas(16) unsigned char state[STATE_BYTES_MAX];
};

struct step {
    struct move move;
    unsigned char place; /* from which */
};

static struct fork forks[DEPTH_MAX];
static size_t depth;
static struct step path[PATH_MAX_MOVES];
static size_t path_length;
static struct set seen, outcomes;

/* --- Reports --- */

static void report(void)
{
    char text[TEXT_BYTES];

    program_describe(machine_program, text);
    fprintf(stderr, "model: %s\n", text);
    for (size_t i = 0; i < path_length; i++) {
        struct fiber fiber = { .place = path[i].place };
        size_t index = path[i].move.fiber;

        fprintf(stderr, "model:   %s %zu %s %u\n", index < TASKS_MAX ? "task" : "loop",
                index % TASKS_MAX, machine_place(&fiber), path[i].move.choice);
    }
    outcome_describe(machine_program, &machine.outcome, text);
    fprintf(stderr, "model: %s\n", text);
}

void machine_fail(const char *what)
{
    report();
    fprintf(stderr, "model: %s\n", what);
    abort();
}

/* Before an assertion of the real code stops the process. */
static const char *report_first(void)
{
    report();
    return "the model";
}

/* --- The search --- */

static void go(struct move move, struct tally *tally)
{
    if (path_length == PATH_MAX_MOVES)
        machine_fail("it takes too many moves");
    path[path_length++] = (struct step){ move, machine.fibers[move.fiber].place };
    tally->moves++;
    machine_go(move);
}

static void check_end(const struct set *allowed, struct tally *tally)
{
    struct fingerprint print;
    struct outcome outcome;

    machine_end(&outcome);
    print = fingerprint_of(&outcome, sizeof outcome);
    tally->ends++;
    set_add(&outcomes, print);
    if (!set_has(allowed, print)) {
        machine.outcome = outcome;
        machine_fail("the specification does not allow this outcome");
    }
}

/* Goes on as long as there is no choice. True at a fork that is new. */
static bool descend(const struct set *allowed, struct tally *tally)
{
    struct fork *fork = &forks[depth];
    size_t bytes;

    if (depth == DEPTH_MAX)
        machine_fail("it takes too many choices");
    while ((fork->count = machine_moves(fork->moves)) == 1)
        go(fork->moves[0], tally);
    if (fork->count == 0) {
        check_end(allowed, tally);
        return false;
    }
    bytes = machine_save(fork->state);
    fork->next = 0;
    fork->path_length = path_length;
    return set_add(&seen, fingerprint_of(fork->state, bytes));
}

/* The next move of the last fork that has one left; false when none has. */
static bool turn_back(struct tally *tally)
{
    struct fork *fork;

    while (depth > 0 && forks[depth - 1].next == forks[depth - 1].count)
        depth--;
    if (depth == 0)
        return false;
    fork = &forks[depth - 1];
    if (fork->next > 0) {
        machine_restore(fork->state);
        path_length = fork->path_length;
    }
    go(fork->moves[fork->next++], tally);
    return true;
}

void explore(const struct program *program, const struct set *allowed, struct tally *tally)
{
    weir__die_task_name = report_first;
    set_clear(&seen);
    set_clear(&outcomes);
    path_length = 0;
    machine_start(program);
    do {
        if (descend(allowed, tally))
            depth++;
    } while (turn_back(tally));
    tally->programs++;
    tally->states += seen.count;
    tally->outcomes += outcomes.count;
    tally->allowed += allowed->count;
}
