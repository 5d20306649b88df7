/* SPDX-License-Identifier: MIT */
/* Channels: sending, receiving, buffers. Sections A and B of the conformance cases. */
#include "sync/fixture.h"

/* --- A. Put and take --- */

CASE(case_001_parked_take_gets_the_value, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op take;

    begin_recv(scene, &take, chan);
    CHECK_SAME(try_send(chan, 42), 0);
    CHECK_SAME(end_op(&take), 0);
    CHECK_SAME(take.value, 42);
    CHECK_SAME(look(chan).count, 0);
    weir_chan_release(chan);
}

CASE(case_002_put_on_full_parks, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op put;

    fill(chan, scene->capacity);
    begin_send(scene, &put, chan, scene->capacity + 1);
    CHECK_SAME(look(chan).count, scene->capacity);
    drain(chan, scene->capacity + 1);
    CHECK_SAME(end_op(&put), 0);
    weir_chan_release(chan);
}

CASE(case_003_older_of_two_takers_is_served, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op older, younger;

    begin_recv(scene, &older, chan);
    begin_recv(scene, &younger, chan);
    CHECK_SAME(try_send(chan, 1), 0);
    CHECK_SAME(end_op(&older), 0);
    CHECK_SAME(older.value, 1);
    CHECK(!is_done(&younger));
    CHECK_SAME(look(chan).waiting_receivers, 1);
    CHECK_SAME(try_send(chan, 2), 0);
    CHECK_SAME(end_op(&younger), 0);
    CHECK_SAME(younger.value, 2);
    weir_chan_release(chan);
}

CASE(case_004_put_parks_until_a_take, EVERYWHERE, 0)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op put;

    begin_send(scene, &put, chan, 7);
    take_value(chan, 7);
    CHECK_SAME(end_op(&put), 0);
    CHECK_SAME(look(chan).sent_total, 1);
    CHECK_SAME(look(chan).received_total, 1);
    weir_chan_release(chan);
}

CASE(case_005_put_to_parked_taker_does_not_park, EVERYWHERE, 0)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op take;

    begin_recv(scene, &take, chan);
    CHECK_SAME(try_send(chan, 5), 0);
    CHECK_SAME(look(chan).waiting_senders, 0);
    CHECK_SAME(end_op(&take), 0);
    weir_chan_release(chan);
}

CASE(case_006_take_frees_parked_put, EVERYWHERE, 1, 2, 7, 64)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op put;

    fill(chan, scene->capacity);
    begin_send(scene, &put, chan, scene->capacity + 1);
    take_value(chan, 1);
    CHECK_SAME(end_op(&put), 0); /* without another take */
    CHECK_SAME(look(chan).count, scene->capacity);
    weir_chan_release(chan);
}

CASE(case_007_one_take_completes_one_parked_put, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op older, younger;

    fill(chan, scene->capacity);
    begin_send(scene, &older, chan, scene->capacity + 1);
    begin_send(scene, &younger, chan, scene->capacity + 2);
    take_value(chan, 1);
    CHECK_SAME(end_op(&older), 0);
    CHECK(!is_done(&younger));
    CHECK_SAME(look(chan).waiting_senders, 1);
    take_value(chan, 2);
    CHECK_SAME(end_op(&younger), 0);
    weir_chan_release(chan);
}

enum { ORDER_COUNT = 100 };

static int send_in_order(void *arg)
{
    for (uint64_t value = 0; value < ORDER_COUNT; value++)
        CHECK_SAME(weir_chan_send(arg, &value, WEIR_FOREVER), 0);
    return 0;
}

CASE(case_008_order_at_every_capacity, EVERYWHERE, 0)
{
    for (size_t capacity = 0; capacity <= 200; capacity++) {
        struct weir_chan *chan = make_chan(capacity, NULL);
        struct actor sender;

        actor_start(scene, &sender, send_in_order, chan);
        for (uint64_t expected = 0, value; expected < ORDER_COUNT; expected++) {
            CHECK_SAME(weir_chan_recv(chan, &value, WEIR_FOREVER), 0);
            CHECK_SAME(value, expected);
        }
        actor_join(&sender);
        weir_chan_release(chan);
    }
}

CASE(case_010_parked_putters_in_order, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op first, second;

    fill(chan, scene->capacity);
    begin_send(scene, &first, chan, 1001);
    begin_send(scene, &second, chan, 1002);
    drain(chan, scene->capacity);
    take_value(chan, 1001);
    take_value(chan, 1002);
    CHECK_SAME(end_op(&first), 0);
    CHECK_SAME(end_op(&second), 0);
    weir_chan_release(chan);
}

CASE(case_011_parked_takers_in_order, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op first, second;

    begin_recv(scene, &first, chan);
    begin_recv(scene, &second, chan);
    CHECK_SAME(try_send(chan, 1), 0);
    CHECK_SAME(try_send(chan, 2), 0);
    CHECK_SAME(end_op(&first), 0);
    CHECK_SAME(end_op(&second), 0);
    CHECK_SAME(first.value, 1);
    CHECK_SAME(second.value, 2);
    weir_chan_release(chan);
}

CASE(case_013_elements_of_no_bytes, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan;
    struct op put;

    CHECK_SAME(weir_chan_create(&chan, 0, scene->capacity, NULL), 0);
    for (size_t count = 1; count <= scene->capacity; count++) {
        CHECK_SAME(weir_chan_send(chan, NULL, WEIR_NOW), 0);
        CHECK_SAME(look(chan).count, count);
    }
    CHECK_SAME(weir_chan_send(chan, NULL, WEIR_NOW), -EAGAIN);
    begin_send(scene, &put, chan, 0);
    for (size_t count = 0; count <= scene->capacity; count++)
        CHECK_SAME(weir_chan_recv(chan, NULL, WEIR_NOW), 0);
    CHECK_SAME(weir_chan_recv(chan, NULL, WEIR_NOW), -EAGAIN);
    CHECK_SAME(end_op(&put), 0);
    weir_chan_release(chan);
}

enum { LARGE_COUNT = 16 };

struct large {
    struct weir_chan *chan;
    size_t bytes;
};

static unsigned char large_byte(size_t round, size_t offset)
{
    return (unsigned char)(round * 31 + offset * 7 + offset / 251);
}

static int send_large(void *arg)
{
    struct large *large = arg;
    unsigned char *elem = malloc(large->bytes);

    for (size_t round = 0; elem && round < LARGE_COUNT; round++) {
        for (size_t i = 0; i < large->bytes; i++)
            elem[i] = large_byte(round, i);
        CHECK_SAME(weir_chan_send(large->chan, elem, WEIR_FOREVER), 0);
        memset(elem, 0, large->bytes);
    }
    free(elem);
    return 0;
}

static void recv_large(const struct large *large)
{
    unsigned char *elem = malloc(large->bytes);

    for (size_t round = 0; elem && round < LARGE_COUNT; round++) {
        size_t wrong = 0;

        CHECK_SAME(weir_chan_recv(large->chan, elem, WEIR_FOREVER), 0);
        for (size_t i = 0; i < large->bytes; i++)
            wrong += elem[i] != large_byte(round, i);
        CHECK_SAME(wrong, 0);
    }
    free(elem);
}

CASE(case_014_large_elements, EVERYWHERE, 0, 4)
{
    for (size_t bytes = 1024; bytes <= 65536; bytes *= 64) {
        struct large large = { .bytes = bytes };
        struct actor sender;

        CHECK_SAME(weir_chan_create(&large.chan, bytes, scene->capacity, NULL), 0);
        actor_start(scene, &sender, send_large, &large);
        recv_large(&large);
        actor_join(&sender);
        weir_chan_release(large.chan);
    }
}

enum { FRAME_WORDS = 32, FRAME_ROUNDS = 500 };

static __attribute__((noinline)) int send_from_frame(struct weir_chan *chan, uint64_t round)
{
    uint64_t words[FRAME_WORDS];

    for (size_t i = 0; i < FRAME_WORDS; i++)
        words[i] = round + i;
    return weir_chan_send(chan, words, WEIR_FOREVER);
}

static __attribute__((noinline)) void overwrite_frame(void)
{
    volatile uint64_t words[2 * FRAME_WORDS];

    for (size_t i = 0; i < 2 * FRAME_WORDS; i++)
        words[i] = UINT64_MAX;
    (void)words[0];
}

static int send_from_frames(void *arg)
{
    for (uint64_t round = 0; round < FRAME_ROUNDS; round++) {
        CHECK_SAME(send_from_frame(arg, round), 0);
        overwrite_frame();
    }
    return 0;
}

CASE(case_016_senders_frame_may_go, EVERYWHERE, 0, 1)
{
    struct weir_chan *chan;
    struct actor sender;

    CHECK_SAME(weir_chan_create(&chan, FRAME_WORDS * sizeof(uint64_t), scene->capacity, NULL), 0);
    actor_start(scene, &sender, send_from_frames, chan);
    for (uint64_t round = 0; round < FRAME_ROUNDS; round++) {
        uint64_t words[FRAME_WORDS];

        CHECK_SAME(weir_chan_recv(chan, words, WEIR_FOREVER), 0);
        for (size_t i = 0; i < FRAME_WORDS; i++)
            CHECK_SAME(words[i], round + i);
    }
    actor_join(&sender);
    weir_chan_release(chan);
}

struct exchange {
    struct weir_chan *there;
    struct weir_chan *back;
    uint64_t count;
};

static int echo_values(void *arg)
{
    struct exchange *exchange = arg;

    for (uint64_t expected = 0, value; expected < exchange->count; expected++) {
        CHECK_SAME(weir_chan_recv(exchange->there, &value, WEIR_FOREVER), 0);
        CHECK_SAME(value, expected);
        value = ~value;
        CHECK_SAME(weir_chan_send(exchange->back, &value, WEIR_FOREVER), 0);
    }
    return 0;
}

CASE(case_017_task_and_thread_exchange, EVERYWHERE, 0, 7)
{
    struct exchange exchange = {
        .there = make_chan(scene->capacity, NULL),
        .back = make_chan(scene->capacity, NULL),
        .count = (uint64_t)test_rounds(3000, 100000, 100000),
    };
    struct actor thread;

    actor_start(scene, &thread, echo_values, &exchange);
    for (uint64_t value = 0, answer; value < exchange.count; value++) {
        CHECK_SAME(weir_chan_send(exchange.there, &value, WEIR_FOREVER), 0);
        CHECK_SAME(weir_chan_recv(exchange.back, &answer, WEIR_FOREVER), 0);
        CHECK_SAME(answer, ~value);
    }
    actor_join(&thread);
    weir_chan_release(exchange.there);
    weir_chan_release(exchange.back);
}

/* Plain memory that only the channel's order makes safe: TSan would see a race. */
enum { ORDER_ROUNDS = 1000 };

struct notes {
    struct weir_chan *chan;
    uint64_t by_sender[ORDER_ROUNDS];
    uint64_t by_receiver[ORDER_ROUNDS];
};

static int note_then_send(void *arg)
{
    struct notes *notes = arg;

    for (uint64_t round = 0; round < ORDER_ROUNDS; round++) {
        notes->by_sender[round] = round + 1;
        CHECK_SAME(weir_chan_send(notes->chan, &round, WEIR_FOREVER), 0);
    }
    return 0;
}

CASE(case_019_put_happens_before_take, EVERYWHERE, ANY_CAPACITY)
{
    static struct notes notes;
    struct actor sender;

    notes = (struct notes){ .chan = make_chan(scene->capacity, NULL) };
    actor_start(scene, &sender, note_then_send, &notes);
    for (uint64_t expected = 0, round; expected < ORDER_ROUNDS; expected++) {
        CHECK_SAME(weir_chan_recv(notes.chan, &round, WEIR_FOREVER), 0);
        CHECK_SAME(notes.by_sender[round], round + 1);
    }
    actor_join(&sender);
    weir_chan_release(notes.chan);
}

static int note_then_recv(void *arg)
{
    struct notes *notes = arg;

    for (uint64_t round = 0, value; round < ORDER_ROUNDS; round++) {
        notes->by_receiver[round] = round + 1;
        CHECK_SAME(weir_chan_recv(notes->chan, &value, WEIR_FOREVER), 0);
    }
    return 0;
}

CASE(case_020_take_happens_before_later_put, EVERYWHERE, ANY_CAPACITY)
{
    static struct notes notes;
    struct actor receiver;

    notes = (struct notes){ .chan = make_chan(scene->capacity, NULL) };
    actor_start(scene, &receiver, note_then_recv, &notes);
    for (uint64_t round = 0; round < ORDER_ROUNDS; round++) {
        CHECK_SAME(weir_chan_send(notes.chan, &round, WEIR_FOREVER), 0);
        if (round >= scene->capacity)
            CHECK_SAME(notes.by_receiver[round - scene->capacity], round - scene->capacity + 1);
    }
    actor_join(&receiver);
    weir_chan_release(notes.chan);
}

CASE(case_022_creation_refuses_what_cannot_be, ALONE, 0)
{
    struct weir_chan *chan = (void *)scene;
    struct weir_chan_options long_name = { .name = "a name of thirty-two characters.." };
    struct weir_chan_options unknown_policy = { .policy = (enum weir_chan_policy)3 };
    struct weir_chan_options reserved = { .reserved = { 0, 1 } };
    struct weir_chan_options wrong_size = { .size = 1 };

    CHECK_SAME(weir_chan_create(&chan, 16, SIZE_MAX / 16 + 1, NULL), -EOVERFLOW);
    CHECK_SAME(weir_chan_create(&chan, SIZE_MAX, 2, NULL), -EOVERFLOW);
    CHECK_SAME(weir_chan_create(&chan, SIZE_MAX, 0, NULL), -EOVERFLOW);
    CHECK_SAME(weir_chan_create(&chan, 1, SIZE_MAX / 2, NULL), -EOVERFLOW);
    CHECK_SAME(weir_chan_create(&chan, 0, SIZE_MAX, NULL), -EOVERFLOW);
    CHECK_SAME(weir_chan_create(&chan, 8, 1, &long_name), -E2BIG);
    CHECK_SAME(weir_chan_create(&chan, 8, 1, &unknown_policy), -EINVAL);
    CHECK_SAME(weir_chan_create(&chan, 8, 1, &reserved), -EINVAL);
    CHECK_SAME(weir_chan_create(&chan, 8, 1, &wrong_size), -EINVAL);
    CHECK_SAME(weir_chan_create(NULL, 8, 1, NULL), -EINVAL);
    CHECK(chan == (void *)scene); /* untouched */
}

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
        cmocka_unit_test(case_001_parked_take_gets_the_value),
        cmocka_unit_test(case_002_put_on_full_parks),
        cmocka_unit_test(case_003_older_of_two_takers_is_served),
        cmocka_unit_test(case_004_put_parks_until_a_take),
        cmocka_unit_test(case_005_put_to_parked_taker_does_not_park),
        cmocka_unit_test(case_006_take_frees_parked_put),
        cmocka_unit_test(case_007_one_take_completes_one_parked_put),
        cmocka_unit_test(case_008_order_at_every_capacity),
        cmocka_unit_test(case_010_parked_putters_in_order),
        cmocka_unit_test(case_011_parked_takers_in_order),
        cmocka_unit_test(case_013_elements_of_no_bytes),
        cmocka_unit_test(case_014_large_elements),
        cmocka_unit_test(case_016_senders_frame_may_go),
        cmocka_unit_test(case_017_task_and_thread_exchange),
        cmocka_unit_test(case_019_put_happens_before_take),
        cmocka_unit_test(case_020_take_happens_before_later_put),
        cmocka_unit_test(case_022_creation_refuses_what_cannot_be),
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
