/* SPDX-License-Identifier: MIT */
/* A slow last consumer stalls the first producer, three hops away, within a number of elements, or
 * of bytes, that can be computed from the bounds of the channels and the workers of the stages. */
#include "flow/fixture.h"

enum { HOPS = 3, CHANS = HOPS + 1, MANY = 1000, ROUNDS = 20 };

static int map_same(const void *source, void *target, void *context)
{
    (void)context;
    memcpy(target, source, sizeof(uint64_t));
    return 0;
}

/* chans[0] --pipe--> chans[1] --map by `workers`--> chans[2] --pipe--> chans[3] */
static void lay(struct scene *scene, struct weir_chan *const *chans, unsigned workers)
{
    const struct weir_stage_options options = { .parallelism = workers };

    CHECK_SAME(weir_pipe(scene->scope, chans[0], chans[1], NULL), 0);
    CHECK_SAME(weir_map(scene->scope, chans[1], chans[2], map_same, NULL, &options), 0);
    CHECK_SAME(weir_pipe(scene->scope, chans[2], chans[3], NULL), 0);
}

/* The producer is parked, and the line at rest, with exactly so many elements accepted. */
static void await_stall(struct feeder *source, struct weir_chan *const *chans, unsigned workers,
                        uint64_t accepted)
{
    AWAIT(look(chans[0]).waiting_senders == 1 && look(chans[1]).waiting_senders == 1 &&
          look(chans[2]).waiting_senders == workers && look(chans[3]).waiting_senders == 1);
    AWAIT(atomic_load(&source->sent) >= accepted);
    CHECK_SAME(atomic_load(&source->sent), accepted);
}

static void stall_by_count(struct scene *scene, const size_t *capacities, unsigned workers)
{
    struct weir_chan *chans[CHANS];
    struct feeder source;
    uint64_t bound = HOPS - 1 + workers; /* one element a worker */
    uint64_t taken = 0;

    for (size_t i = 0; i < CHANS; i++) {
        chans[i] = make_chan(capacities[i], NULL);
        bound += capacities[i];
    }
    lay(scene, chans, workers);
    start_source(scene, &source, chans[0], 0, MANY);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        await_stall(&source, chans, workers, bound + taken);
        for (uint64_t i = 0; i <= round % 3; i++, taken++)
            await_value(chans[3]);
    }
    for (size_t i = 0; i < CHANS; i++)
        CHECK(look(chans[i]).count_max <= capacities[i]);
    while (taken < MANY) {
        await_value(chans[3]);
        taken++;
    }
    CHECK_SAME(await_end(chans[3]), -EPIPE);
    actor_join(&source.actor);
    release_all(chans, CHANS);
}

CASE(a_slow_consumer_stalls_the_first_producer, EVERYWHERE, ANY_CAPACITY)
{
    const size_t capacities[][CHANS] = {
        { scene->capacity, scene->capacity, scene->capacity, scene->capacity },
        { scene->capacity, 0, 5, 1 },
        { 3, scene->capacity, 0, scene->capacity },
    };

    for (size_t i = 0; i < 3; i++)
        for (unsigned workers = 1; workers <= 3; workers += 2)
            stall_by_count(scene, capacities[i], workers);
}

/* --- By weight: an element's value is its weight in bytes --- */

enum { WEIGHT_MAX = 40, WEIGHT_LIMIT = 100 };

static size_t weigh_value(const void *elem, void *context)
{
    (void)context;
    return *(const uint64_t *)elem;
}

/* Bytes in flight: sent by the producer, not yet received by the consumer. */
struct scale {
    struct actor actor;
    struct weir_chan *chan;
    atomic_long bytes;
    uint64_t random;
};

static int send_weights(void *arg)
{
    struct scale *scale = arg;

    for (size_t i = 0; i < MANY; i++) {
        uint64_t value = roll(&scale->random) % WEIGHT_MAX + 1;

        CHECK_SAME(weir_chan_send(scale->chan, &value, end_of_patience()), 0);
        atomic_fetch_add(&scale->bytes, (long)value); /* late: the sum errs by being smaller */
    }
    weir_chan_close(scale->chan, 0);
    return 0;
}

CASE(bytes_in_flight_are_bounded, EVERYWHERE, 64, MANY)
{
    const struct weir_chan_options options = {
        .weigh = weigh_value,
        .weight_limit = WEIGHT_LIMIT,
    };
    const long bound = CHANS * WEIGHT_LIMIT + HOPS * WEIGHT_MAX;
    struct weir_chan *chans[CHANS];
    struct scale scale = { .random = 7 };
    uint64_t value;

    for (size_t i = 0; i < CHANS; i++)
        chans[i] = make_chan(scene->capacity, &options);
    lay(scene, chans, 1);
    scale.chan = chans[0];
    actor_start(scene, &scale.actor, send_weights, &scale);
    for (size_t i = 0; i < MANY; i++) {
        if (i < ROUNDS) /* it stalls because the line is full, not before */
            AWAIT(look(chans[0]).waiting_senders == 1 &&
                  atomic_load(&scale.bytes) > CHANS * (WEIGHT_LIMIT - WEIGHT_MAX));
        CHECK(atomic_load(&scale.bytes) <= bound);
        CHECK_SAME(weir_chan_recv(chans[3], &value, end_of_patience()), 0);
        atomic_fetch_sub(&scale.bytes, (long)value);
        for (size_t k = 0; k < CHANS; k++)
            CHECK(look(chans[k]).weight <= WEIGHT_LIMIT);
    }
    CHECK_SAME(await_end(chans[3]), -EPIPE);
    actor_join(&scale.actor);
    CHECK_SAME(scale.bytes, 0);
    release_all(chans, CHANS);
}

/* --- The group --- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_consumer_stalls_the_first_producer),
        cmocka_unit_test(bytes_in_flight_are_bounded),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
