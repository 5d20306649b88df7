/* SPDX-License-Identifier: MIT */
/* Channels: what is buffered, and what is dropped. Section B of the conformance cases. */
#include "sync/fixture.h"

/* --- B. Buffers --- */

CASE(case_023_fixed_buffer_counts, ALONE, 2)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    CHECK_SAME(try_send(chan, 1), 0);
    CHECK_SAME(try_send(chan, 2), 0);
    CHECK_SAME(look(chan).count, 2);
    CHECK_SAME(try_send(chan, 3), -EAGAIN);
    take_value(chan, 1);
    CHECK_SAME(look(chan).count, 1);
    take_value(chan, 2);
    CHECK_SAME(look(chan).count, 0);
    CHECK_SAME(look(chan).count_max, 2);
    weir_chan_release(chan);
}

CASE(case_025_sliding_keeps_the_newest, ALONE, 2)
{
    struct weir_chan *chan = make_policy_chan(scene->capacity, WEIR_CHAN_DROP_OLDEST);

    CHECK_SAME(try_send(chan, 1), 0);
    CHECK_SAME(try_send(chan, 2), 0);
    CHECK_SAME(try_send(chan, 3), WEIR_DROPPED);
    CHECK_SAME(look(chan).count, 2);
    take_value(chan, 2);
    take_value(chan, 3);
    CHECK_SAME(look(chan).dropped_total, 1);
    weir_chan_release(chan);
}

CASE(case_026_dropping_and_sliding_never_park, ALONE, 1, 64)
{
    uint64_t rounds = (uint64_t)test_rounds(1000000, 1000000, 1000000);

    for (int policy = WEIR_CHAN_DROP_NEWEST; policy <= WEIR_CHAN_DROP_OLDEST; policy++) {
        struct weir_chan *chan = make_policy_chan(scene->capacity, (enum weir_chan_policy)policy);
        uint64_t dropped = 0;

        for (uint64_t value = 0; value < rounds; value++)
            dropped += weir_chan_send(chan, &value, WEIR_FOREVER) == WEIR_DROPPED;
        CHECK_SAME(dropped, rounds - scene->capacity);
        weir_chan_release(chan);
    }
}

/* What a drop callback saw. */
struct drops {
    uint64_t values[256];
    size_t count;
    enum weir_drop_reason reason;
};

static void note_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    struct drops *drops = context;

    CHECK_SAME(reason, drops->reason);
    if (CHECK(drops->count < 256))
        memcpy(&drops->values[drops->count++], elem, sizeof(uint64_t));
}

/* Sends 1 .. sent to a channel of this policy; the drops must be first, first + 1, ... */
static void check_drops(size_t capacity, enum weir_chan_policy policy, enum weir_drop_reason reason,
                        uint64_t sent, uint64_t first)
{
    struct drops drops = { .reason = reason };
    struct weir_chan_options options = {
        .policy = policy,
        .drop = note_drop,
        .context = &drops,
    };
    struct weir_chan *chan = make_chan(capacity, &options);
    uint64_t expected = sent > capacity ? sent - capacity : 0;

    for (uint64_t value = 1; value <= sent; value++)
        CHECK_SAME(try_send(chan, value), value > capacity ? WEIR_DROPPED : 0);
    CHECK_SAME(drops.count, expected);
    CHECK_SAME(look(chan).dropped_total, expected);
    CHECK_SAME(look(chan).sent_total, sent);
    for (size_t i = 0; i < drops.count; i++)
        CHECK_SAME(drops.values[i], first + i);
    drops.reason = WEIR_DROP_DESTROY; /* what is left */
    CHECK_SAME(weir_chan_release(chan), 0);
    CHECK_SAME(drops.count, sent);
}

CASE(case_027_dropping_drops_the_newest, ALONE, 1, 2, 7, 64)
{
    for (uint64_t sent = 0; sent <= 3 * scene->capacity; sent += scene->capacity / 2 + 1)
        check_drops(scene->capacity, WEIR_CHAN_DROP_NEWEST, WEIR_DROP_NEWEST, sent,
                    scene->capacity + 1);
}

CASE(case_028_sliding_drops_the_oldest, ALONE, 1, 2, 7, 64)
{
    for (uint64_t sent = 0; sent <= 3 * scene->capacity; sent += scene->capacity / 2 + 1)
        check_drops(scene->capacity, WEIR_CHAN_DROP_OLDEST, WEIR_DROP_OLDEST, sent, 1);
}

struct race {
    struct weir_chan *chan;
    uint64_t taken;
    atomic_ulong dropped; /* by the callback */
};

static void count_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    struct race *race = context;

    (void)elem;
    (void)reason;
    atomic_fetch_add(&race->dropped, 1);
}

static int take_increasing(void *arg)
{
    struct race *race = arg;
    uint64_t last = 0, value;

    while (weir_chan_recv(race->chan, &value, WEIR_FOREVER) == 0) {
        CHECK(value > last);
        last = value;
        race->taken++;
    }
    return 0;
}

static void race_with_taker(struct scene *scene, enum weir_chan_policy policy)
{
    uint64_t rounds = (uint64_t)test_rounds(50000, 1000000, 1000000);
    struct race race = { 0 };
    struct weir_chan_options options = {
        .policy = policy,
        .drop = count_drop,
        .context = &race,
    };
    struct actor taker;

    race.chan = make_chan(scene->capacity, &options);
    actor_start(scene, &taker, take_increasing, &race);
    for (uint64_t value = 1; value <= rounds; value++)
        CHECK(weir_chan_send(race.chan, &value, WEIR_FOREVER) >= 0);
    CHECK_SAME(weir_chan_close(race.chan, 0), 0);
    actor_join(&taker);
    CHECK_SAME(race.taken + race.dropped, rounds);
    CHECK_SAME(look(race.chan).dropped_total, race.dropped);
    CHECK_SAME(look(race.chan).received_total, race.taken);
    weir_chan_release(race.chan);
}

CASE(case_029_sliding_with_a_taker, EVERYWHERE, 1)
{
    race_with_taker(scene, WEIR_CHAN_DROP_OLDEST);
}

CASE(case_030_dropping_with_a_taker, EVERYWHERE, 1)
{
    race_with_taker(scene, WEIR_CHAN_DROP_NEWEST);
}

CASE(case_031_parked_taker_loses_nothing, EVERYWHERE, 1, 2, 7, 64)
{
    for (int policy = WEIR_CHAN_DROP_NEWEST; policy <= WEIR_CHAN_DROP_OLDEST; policy++) {
        struct weir_chan *chan = make_policy_chan(scene->capacity, (enum weir_chan_policy)policy);
        struct op take;

        begin_recv(scene, &take, chan);
        CHECK_SAME(try_send(chan, 9), 0);
        CHECK_SAME(end_op(&take), 0);
        CHECK_SAME(take.value, 9);
        CHECK_SAME(look(chan).dropped_total, 0);
        weir_chan_release(chan);
    }
}

CASE(case_032_dropping_needs_a_buffer, ALONE, 0)
{
    for (int policy = WEIR_CHAN_DROP_NEWEST; policy <= WEIR_CHAN_DROP_OLDEST; policy++) {
        struct weir_chan_options options = { .policy = (enum weir_chan_policy)policy };
        struct weir_chan *chan = NULL;

        CHECK_SAME(weir_chan_create(&chan, 8, scene->capacity, &options), -EINVAL);
        CHECK(chan == NULL);
    }
}

/* --- Bugs --- */

/* Pages of a large element's room are touched before the lock: that changed what lay there. */
CASE(failed_receive_leaves_the_room_alone, ALONE, 4)
{
    struct weir_chan *chan;
    unsigned char *room = malloc(65536);
    size_t changed = 0;

    CHECK_SAME(weir_chan_create(&chan, 65536, scene->capacity, NULL), 0);
    if (room)
        memset(room, 0xa5, 65536);
    CHECK_SAME(weir_chan_recv(chan, room, WEIR_NOW), -EAGAIN);
    for (size_t i = 0; room && i < 65536; i++)
        changed += room[i] != 0xa5;
    CHECK_SAME(changed, 0);
    free(room);
    weir_chan_release(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_023_fixed_buffer_counts),
        cmocka_unit_test(case_025_sliding_keeps_the_newest),
        cmocka_unit_test(case_026_dropping_and_sliding_never_park),
        cmocka_unit_test(case_027_dropping_drops_the_newest),
        cmocka_unit_test(case_028_sliding_drops_the_oldest),
        cmocka_unit_test(case_029_sliding_with_a_taker),
        cmocka_unit_test(case_030_dropping_with_a_taker),
        cmocka_unit_test(case_031_parked_taker_loses_nothing),
        cmocka_unit_test(case_032_dropping_needs_a_buffer),
        cmocka_unit_test(failed_receive_leaves_the_room_alone),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
