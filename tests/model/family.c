/* SPDX-License-Identifier: MIT */
/* See family.h. */
#include "model/family.h"

#include "model/spec.h"

#include <stdlib.h>
#include <string.h>

enum { LETTERS_MAX = 128, PLACES_MAX = TASKS_MAX * CALLS_MAX };

/* The calls that a program may be made of. */
struct alphabet {
    struct call calls[LETTERS_MAX];
    size_t count;
};

static void add(struct alphabet *alphabet, struct call call)
{
    if (alphabet->count == LETTERS_MAX)
        abort();
    alphabet->calls[alphabet->count++] = call;
}

static struct clause clause_of(unsigned number)
{
    return (struct clause){ .sends = number % 2, .chan = (unsigned char)(number / 2) };
}

/* The clauses are the numbers 0 to 3. At random their order does not matter. */
static void add_selects(struct alphabet *alphabet, unsigned what, unsigned char patience)
{
    for (unsigned first = 0; first < 2 * CHANS; first++) {
        for (unsigned second = 0; second < 2 * CHANS; second++) {
            struct call call = { .verb = SELECT, .patience = patience, .clause_count = 2 };

            call.clauses[0] = clause_of(first);
            call.clauses[1] = clause_of(second);
            if (first < second || (first == second && what & MANY_SELECTS))
                add(alphabet, call);
            call.in_order = true;
            if (what & MANY_SELECTS)
                add(alphabet, call);
        }
    }
}

static struct alphabet make_alphabet(unsigned what)
{
    struct alphabet alphabet = { .count = 0 };

    for (unsigned char patience = FOREVER; patience <= SOON; patience++) {
        if (patience != FOREVER && !(what & PATIENCES))
            continue;
        for (unsigned i = 0; i < 2 * CHANS; i++) {
            struct clause clause = clause_of(i);

            add(&alphabet, (struct call){ .verb = clause.sends ? SEND : RECV,
                                          .patience = patience,
                                          .clause_count = 1,
                                          .clauses = { clause } });
        }
        if (what & SELECTS)
            add_selects(&alphabet, what, patience);
    }
    for (unsigned char chan = 0; chan < CHANS && what & ENDS; chan++) {
        add(&alphabet, (struct call){ .verb = CLOSE, .clauses = { { .chan = chan } } });
        add(&alphabet, (struct call){ .verb = ABORT, .clauses = { { .chan = chan } } });
    }
    if (what & CANCELS)
        add(&alphabet, (struct call){ .verb = CANCEL });
    return alphabet;
}

/* --- Programs that are the same but for names --- */

static void swap_tasks(struct program *program)
{
    struct call calls[CALLS_MAX];
    unsigned char count = program->call_counts[0];

    memcpy(calls, program->calls[0], sizeof calls);
    memcpy(program->calls[0], program->calls[1], sizeof calls);
    memcpy(program->calls[1], calls, sizeof calls);
    program->call_counts[0] = program->call_counts[1];
    program->call_counts[1] = count;
}

static void rename_clauses(struct call *call)
{
    struct clause *clauses = call->clauses;

    if (call->verb == CANCEL)
        return;
    clauses[0].chan = !clauses[0].chan;
    if (call->clause_count < 2)
        return;
    clauses[1].chan = !clauses[1].chan;
    if (!call->in_order &&
        clauses[0].sends + 2 * clauses[0].chan > clauses[1].sends + 2 * clauses[1].chan) {
        struct clause first = clauses[0];

        clauses[0] = clauses[1];
        clauses[1] = first;
    }
}

static void swap_chans(struct program *program)
{
    struct chan_setup first = program->chans[0];

    program->chans[0] = program->chans[1];
    program->chans[1] = first;
    for (size_t task = 0; task < program->task_count; task++)
        for (size_t i = 0; i < program->call_counts[task]; i++)
            rename_clauses(&program->calls[task][i]);
}

/* Whether exchanging the tasks of a program gives one of the same family. */
static bool family_is_even(const struct family *family)
{
    return family->task_count == 2 && family->call_counts[0] == family->call_counts[1] &&
           memcmp(family->letters[0], family->letters[1], sizeof family->letters[0]) == 0;
}

/* Whether it is the first of those programs that differ only in the names of channels and tasks. */
static bool stands_for_all(const struct family *family, const struct program *program)
{
    struct program other = *program;

    swap_chans(&other);
    if (memcmp(&other, program, sizeof other) < 0)
        return false;
    if (!family_is_even(family))
        return true;
    swap_tasks(&other);
    if (memcmp(&other, program, sizeof other) < 0)
        return false;
    swap_chans(&other);
    return memcmp(&other, program, sizeof other) >= 0;
}

/* --- One after the other --- */

/* A program is a number: of one digit per call, each with the base of its alphabet's size. */
struct place {
    struct call *call; /* in the program */
    struct alphabet alphabet;
    size_t digit;
};

static size_t lay_out(const struct family *family, struct program *program,
                      struct place places[PLACES_MAX])
{
    size_t count = 0;

    program->task_count = family->task_count;
    for (size_t task = 0; task < family->task_count; task++) {
        program->call_counts[task] = family->call_counts[task];
        program->loops[task] = family->loops[task];
        if (program->loop_count <= family->loops[task])
            program->loop_count = (unsigned char)(family->loops[task] + 1);
        for (size_t i = 0; i < family->call_counts[task]; i++)
            places[count++] = (struct place){
                .call = &program->calls[task][i],
                .alphabet = make_alphabet(family->letters[task][i]),
            };
    }
    return count;
}

/* False when all have been. */
static bool count_on(struct place places[PLACES_MAX], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (++places[i].digit < places[i].alphabet.count)
            return true;
        places[i].digit = 0;
    }
    return false;
}

void family_explore(const struct family *family, const struct chan_setup setups[CHANS],
                    struct tally *tally)
{
    static struct set allowed;
    static struct place places[PLACES_MAX]; /* large */
    struct program program = { 0 };
    size_t count = lay_out(family, &program, places);

    memcpy(program.chans, setups, sizeof program.chans);
    do {
        for (size_t i = 0; i < count; i++)
            *places[i].call = places[i].alphabet.calls[places[i].digit];
        if (!stands_for_all(family, &program))
            continue;
        spec_explore(&program, &allowed);
        explore(&program, &allowed, tally);
    } while (count_on(places, count));
}
