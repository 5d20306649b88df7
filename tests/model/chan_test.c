/* SPDX-License-Identifier: MIT */
/*
 * Conformance case 273: channels, select, close, abort, deadlines and cancel, in every order of
 * steps, against their specification. Each test explores families of programs on every pair of the
 * channels that it names, and says how much that was.
 */
#include "model/family.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static const struct chan_setup setups[] = {
    { .capacity = 0 },
    { .capacity = 1 },
    { .capacity = 1, .buffered = 1 },
    { .capacity = 1, .buffered = 1, .policy = WEIR_CHAN_DROP_NEWEST },
    { .capacity = 1, .policy = WEIR_CHAN_DROP_OLDEST },
    { .capacity = 1, .buffered = 1, .policy = WEIR_CHAN_DROP_OLDEST },
    { .capacity = 1, .policy = WEIR_CHAN_PROMISE },
    { .capacity = 1, .policy = WEIR_CHAN_PROMISE, .counts_copies = true },
};

/* The first so many of them. */
enum { UNBUFFERED = 1, EMPTY = 2, PARKING = 3, NO_PROMISE = 6, EVERY_SETUP = COUNT_OF(setups) };

struct chapter {
    const char *name;
    struct family family;
    size_t setup_first; /* the family is explored on every two from this setup ... */
    size_t setup_end;   /* ... up to, without, this one */
    bool attains_all; /* whatever is allowed does happen, too; not so where the code is stricter */
    bool is_long;     /* not in the fast tier */
};

enum { MOST = SELECTS | ENDS | CANCELS };

static const struct chapter sequences[] = {
    {
        .name = "2 calls, 1 end or cancel; 2 loops",
        .family = { .task_count = 2,
                    .loops = { 0, 1 },
                    .call_counts = { 2, 1 },
                    .letters = { { SELECTS, PLAIN }, { ENDS | CANCELS } } },
        .setup_end = PARKING,
        .attains_all = true,
    },
    {
        .name = "2 + 2 calls; 2 loops",
        .family = { .task_count = 2,
                    .loops = { 0, 1 },
                    .call_counts = { 2, 2 },
                    .letters = { { PLAIN, PLAIN }, { PLAIN, PLAIN } } },
        .setup_end = NO_PROMISE,
        .attains_all = true,
    },
    {
        .name = "2 + 2 calls with select; 1 loop",
        .family = { .task_count = 2,
                    .call_counts = { 2, 2 },
                    .letters = { { SELECTS, SELECTS }, { SELECTS, SELECTS } } },
        .setup_end = UNBUFFERED,
    },
    {
        .name = "2 + 2 calls with select; 2 loops",
        .family = { .task_count = 2,
                    .loops = { 0, 1 },
                    .call_counts = { 2, 2 },
                    .letters = { { SELECTS, SELECTS }, { SELECTS, SELECTS } } },
        .setup_end = PARKING,
        .attains_all = true,
        .is_long = true,
    },
    {
        .name = "2 + 2 calls with deadlines; 2 loops",
        .family = { .task_count = 2,
                    .loops = { 0, 1 },
                    .call_counts = { 2, 2 },
                    .letters = { { PATIENCES, PATIENCES }, { PATIENCES, PATIENCES } } },
        .setup_end = EMPTY,
        .attains_all = true,
        .is_long = true,
    },
    {
        .name = "2 + 2 calls with ends and cancel; 2 loops",
        .family = { .task_count = 2,
                    .loops = { 0, 1 },
                    .call_counts = { 2, 2 },
                    .letters = { { ENDS | CANCELS, ENDS | CANCELS },
                                 { ENDS | CANCELS, ENDS | CANCELS } } },
        .setup_end = PARKING,
        .is_long = true,
    },
    {
        .name = "2 + 1 calls; 2 loops",
        .family = { .task_count = 2,
                    .loops = { 0, 1 },
                    .call_counts = { 2, 1 },
                    .letters = { { ALL & ~CANCELS, PLAIN }, { ALL } } },
        .setup_end = EMPTY,
        .attains_all = true,
        .is_long = true,
    },
};

static const struct chapter three_tasks[] = {
    {
        .name = "1 + 1 + 1 calls; 2 loops",
        .family = { .task_count = 3,
                    .loops = { 0, 0, 1 },
                    .call_counts = { 1, 1, 1 },
                    .letters = { { PLAIN }, { PLAIN }, { PLAIN } } },
        .setup_end = NO_PROMISE,
    },
    {
        .name = "1 + 1 calls on promises, 1 end or cancel; 2 loops",
        .family = { .task_count = 3,
                    .loops = { 0, 0, 1 },
                    .call_counts = { 1, 1, 1 },
                    .letters = { { PLAIN }, { PLAIN }, { ENDS | CANCELS } } },
        .setup_first = NO_PROMISE,
        .setup_end = EVERY_SETUP,
    },
    {
        .name = "1 + 1 + 1 calls; 1 loop",
        .family = { .task_count = 3,
                    .call_counts = { 1, 1, 1 },
                    .letters = { { MOST }, { MOST }, { MOST } } },
        .setup_end = UNBUFFERED,
    },
    {
        .name = "1 + 1 + 1 calls with select, ends and cancel; 2 loops",
        .family = { .task_count = 3,
                    .loops = { 0, 0, 1 },
                    .call_counts = { 1, 1, 1 },
                    .letters = { { MOST }, { MOST }, { MOST } } },
        .setup_end = PARKING,
        .is_long = true,
    },
    {
        .name = "1 + 1 calls with select, 1 end or cancel; 2 loops",
        .family = { .task_count = 3,
                    .loops = { 0, 0, 1 },
                    .call_counts = { 1, 1, 1 },
                    .letters = { { SELECTS }, { SELECTS }, { ENDS | CANCELS } } },
        .setup_end = EVERY_SETUP,
        .is_long = true,
    },
};

static const struct chapter every_two[] = {
    {
        .name = "1 + 1 calls; 1 loop",
        .family = { .task_count = 2, .call_counts = { 1, 1 }, .letters = { { ALL }, { ALL } } },
        .setup_end = PARKING,
    },
    {
        .name = "1 + 1 calls; 2 loops",
        .family = { .task_count = 2,
                    .loops = { 0, 1 },
                    .call_counts = { 1, 1 },
                    .letters = { { ALL }, { ALL } } },
        .setup_end = PARKING,
        .attains_all = true,
    },
    {
        .name = "1 + 1 calls; 2 loops, also channels that let go",
        .family = { .task_count = 2,
                    .loops = { 0, 1 },
                    .call_counts = { 1, 1 },
                    .letters = { { ALL }, { ALL } } },
        .setup_end = EVERY_SETUP,
        .attains_all = true,
        .is_long = true,
    },
};

static bool is_full(void)
{
    const char *tier = getenv("WEIR_TEST_TIER");

    return tier && strcmp(tier, "fast") != 0;
}

static void play(const struct chapter *chapter)
{
    struct tally tally = { 0 };

    for (size_t i = chapter->setup_first; i < chapter->setup_end; i++)
        for (size_t k = chapter->setup_first; k < chapter->setup_end; k++)
            family_explore(&chapter->family, (struct chan_setup[CHANS]){ setups[i], setups[k] },
                           &tally);
    printf("%s: %zu programs, %zu states, %zu moves, %zu ends; %zu of %zu outcomes\n",
           chapter->name, tally.programs, tally.states, tally.moves, tally.ends, tally.outcomes,
           tally.allowed);
    fflush(stdout);
    assert_true(tally.programs > 0);
    if (chapter->attains_all && tally.outcomes != tally.allowed) {
        fprintf(stderr, "model: something that may happen never does\n");
        abort(); /* as at any other finding */
    }
}

static void play_all(const struct chapter *chapters, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!chapters[i].is_long || is_full())
            play(&chapters[i]);
}

static void case_273_sequences_of_calls(void **state)
{
    (void)state;
    play_all(sequences, COUNT_OF(sequences));
}

static void case_273_three_tasks(void **state)
{
    (void)state;
    play_all(three_tasks, COUNT_OF(three_tasks));
}

static void case_273_every_two_calls(void **state)
{
    (void)state;
    play_all(every_two, COUNT_OF(every_two));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_273_sequences_of_calls),
        cmocka_unit_test(case_273_three_tasks),
        cmocka_unit_test(case_273_every_two_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
