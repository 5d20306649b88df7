/* SPDX-License-Identifier: MIT */
/*
 * Races that can be played again: a side of a race is a task that works until it is cancelled at
 * random, by a task of its own or of another loop, alone or with its scope, and is then begun anew
 * where it stopped. All choices come from one seed, printed, taken from WEIR_TEST_SEED if that is
 * set; the machine's own timing is what it is.
 */
#ifndef WEIR_TESTS_IO_RACE_H
#define WEIR_TESTS_IO_RACE_H

#include "fixture.h"

#include "base/random.h"

enum { NS_PER_US = 1000, PAUSE_US = 300, LATE_US = 60 };

HELPER uint64_t race_seed(void)
{
    static uint64_t seed;
    const char *text = getenv("WEIR_TEST_SEED");

    if (!seed) {
        seed = text ? strtoull(text, NULL, 0) : (uint64_t)weir_now_ns();
        print_message("WEIR_TEST_SEED=%llu\n", (unsigned long long)seed);
    }
    return seed;
}

/* Numbers of one's own: the nth of those who ask. */
HELPER struct weir__random race_random(unsigned nth)
{
    struct weir__random random = { race_seed() + nth * 0x9e3779b97f4a7c15u };

    weir__random_next(&random);
    return random;
}

HELPER bool one_in(struct weir__random *random, uint32_t count)
{
    return weir__random_below(random, count) == 0;
}

/* None, one that has passed, one that passes about now, or no end. */
HELPER int64_t race_deadline(struct weir__random *random)
{
    switch (weir__random_below(random, 8)) {
    case 0:
        return WEIR_NOW;
    case 1:
        return weir_now_ns() - 1;
    case 2:
        return 1;
    case 3:
    case 4:
        return weir_in_us(weir__random_below(random, LATE_US));
    case 5:
        return weir_in_us(weir__random_below(random, 4));
    default:
        return WEIR_FOREVER;
    }
}

/* One side: `body` works on `arg` until it is cancelled (and returns 0) or `*finished`. */
struct race_side {
    int (*body)(void *arg);
    void *arg;
    bool *finished;
    unsigned loop_index;
    struct weir__random random; /* of whoever cancels */
    long cancelled_count;
};

static void race_session(struct race_side *side)
{
    struct weir_scope *scope;
    struct weir_task *task;
    struct weir_spawn_options options = {
        .name = "side",
        .place = WEIR_PLACE_LOOP,
        .loop_index = side->loop_index,
        .task = &task,
    };
    uint32_t dice = weir__random_below(&side->random, 6);

    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, side->body, side->arg, &options), 0);
    if (dice < 2)
        for (uint32_t yields = weir__random_below(&side->random, 8); yields; yields--)
            CHECK_EQUAL(weir_yield(), 0);
    else if (dice < 5)
        CHECK_EQUAL(weir_sleep(weir_in_us(weir__random_below(&side->random, PAUSE_US))), 0);
    else /* with luck it ends by itself */
        CHECK_EQUAL(weir_sleep(weir_in_ms(2)), 0);
    side->cancelled_count++;
    if (one_in(&side->random, 2)) {
        CHECK(weir_scope_cancel(scope) >= 0);
    } else {
        CHECK(weir_task_cancel(task) >= 0);
        if (one_in(&side->random, 4))
            CHECK(weir_task_cancel(task) >= 0); /* once is enough, twice no harm */
    }
    CHECK_EQUAL(weir_join(task, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
}

/* A task: drives a side to its end. */
HELPER int race_drive(void *arg)
{
    struct race_side *side = arg;

    while (!*side->finished)
        race_session(side);
    return 0;
}

/* Drives each side from a loop of its own choice, and waits for all. */
HELPER void race_all(struct race_side *sides, size_t count, unsigned loop_count)
{
    struct weir_scope *scope;

    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        struct weir_spawn_options options = {
            .name = "driver",
            .place = WEIR_PLACE_LOOP,
            .loop_index = weir__random_below(&sides[i].random, loop_count),
        };

        CHECK_EQUAL(weir_spawn(scope, race_drive, &sides[i], &options), 0);
    }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
}

/* Two TCP sockets that talk to each other, by plain calls. */
HELPER void make_connection(int ends[2])
{
    struct sockaddr_in address;
    int listener = loopback_socket(1, &address);

    ends[0] = plain_connect(&address);
    ends[1] = known(accept(listener, NULL, NULL));
    plain_close(listener);
}

#endif
