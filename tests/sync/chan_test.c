/* SPDX-License-Identifier: MIT */
/* Channels: sending and receiving. Section A of the conformance cases. */
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
    struct weir_chan_options unknown_policy = { .policy = (enum weir_chan_policy)4 };
    struct weir_chan_options wide_promise = { .policy = WEIR_CHAN_PROMISE };
    struct weir_chan_options weightless = { .weight_limit = 1 };
    struct weir_chan_options reserved = { .reserved = { 0, 1 } };
    struct weir_chan_options wrong_size = { .size = 1 };

    CHECK_SAME(weir_chan_create(&chan, 16, SIZE_MAX / 16 + 1, NULL), -EOVERFLOW);
    CHECK_SAME(weir_chan_create(&chan, SIZE_MAX, 2, NULL), -EOVERFLOW);
    CHECK_SAME(weir_chan_create(&chan, SIZE_MAX, 0, NULL), -EOVERFLOW);
    CHECK_SAME(weir_chan_create(&chan, 1, SIZE_MAX / 2, NULL), -EOVERFLOW);
    CHECK_SAME(weir_chan_create(&chan, 0, SIZE_MAX, NULL), -EOVERFLOW);
    CHECK_SAME(weir_chan_create(&chan, 8, 1, &long_name), -E2BIG);
    CHECK_SAME(weir_chan_create(&chan, 8, 1, &unknown_policy), -EINVAL);
    CHECK_SAME(weir_chan_create(&chan, 8, 2, &wide_promise), -EINVAL);
    CHECK_SAME(weir_chan_create(&chan, 8, 1, &weightless), -EINVAL);
    CHECK_SAME(weir_chan_create(&chan, 8, 1, &reserved), -EINVAL);
    CHECK_SAME(weir_chan_create(&chan, 8, 1, &wrong_size), -EINVAL);
    CHECK_SAME(weir_chan_create(NULL, 8, 1, NULL), -EINVAL);
    CHECK(chan == (void *)scene); /* untouched */
}

/* That they are noted where they are built in is for events_test.c. */
CASE(events_are_not_built_in, ALONE, 0)
{
    struct weir_event event;
    uint64_t lost;

    (void)scene;
    CHECK_SAME(weir_events_start(1), -ENOTSUP);
    CHECK_SAME(weir_events_read(&event, 1, &lost), -ENOTSUP);
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
        cmocka_unit_test(events_are_not_built_in),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
