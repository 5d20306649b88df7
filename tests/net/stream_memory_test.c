/* SPDX-License-Identifier: MIT */
/* After warm-up a stream allocates nothing, whatever its reads and writes; and a quiet one holds
 * neither a receive buffer nor a block. */
#include "stream_fixture.h"

#include "base/memory.h"

enum { WARM_UP_ROUNDS = 50, ROUNDS = 1000, QUIET = 200 };

static void do_round(struct weir_stream *stream, int peer)
{
    char bytes[256] = "";
    const void *shown;

    say(peer, "line\nrest", 9);
    CHECK_EQUAL(weir_stream_read_until(stream, '\n', bytes, 256, weir_in_seconds(20)), 5);
    CHECK_EQUAL(weir_stream_peek(stream, &shown, 4, weir_in_seconds(20)), 4);
    CHECK_EQUAL(weir_stream_consume(stream, 1), 0);
    CHECK_EQUAL(weir_stream_read_exactly(stream, bytes, 8, WEIR_NOW), -EAGAIN); /* put back */
    CHECK_EQUAL(weir_stream_read(stream, bytes, 256, weir_in_seconds(20)), 3);
    CHECK_EQUAL(weir_stream_write(stream, "answer", 6, WEIR_FOREVER), 6);
    CHECK_EQUAL(weir_stream_flush(stream, weir_in_seconds(20)), 0);
    hear(peer, "answer");
}

static int rounds_body(void *arg)
{
    int peer;
    struct weir_stream *stream = open_tcp(&peer, arg);
    unsigned long count;

    for (int round = 0; round < WARM_UP_ROUNDS; round++)
        do_round(stream, peer);
    count = weir__memory_alloc_count();
    for (int round = 0; round < ROUNDS; round++)
        do_round(stream, peer);
    CHECK_EQUAL(weir__memory_alloc_count(), count);
    close_both(stream, peer);
    return 0;
}

static void test_nothing_is_allocated(void **state)
{
    struct weir_stream_options plain = { .flags = WEIR_STREAM_PLAIN_RECEIVE };

    (void)state;
    run_both_ways(rounds_body, NULL);
    run_both_ways(rounds_body, &plain);
}

/* One after the other speaks, then all are quiet: one allocation each, the stream's own, and the
 * blocks and buffers that serve all of them in turn. */
static int quiet_body(void *arg)
{
    struct weir_stream *streams[QUIET];
    int peers[QUIET];
    unsigned long count = 0;

    (void)arg;
    for (int i = 0; i < QUIET; i++) {
        if (i == 1)
            count = weir__memory_alloc_count();
        streams[i] = open_tcp(&peers[i], NULL);
        do_round(streams[i], peers[i]);
    }
    CHECK(weir__memory_alloc_count() - count <= QUIET - 1 + 2);
    CHECK_EQUAL(counter(WEIR_RECEIVE_BUFFERS_NOW), 0);
    for (int i = 0; i < QUIET; i++)
        close_both(streams[i], peers[i]);
    return 0;
}

static void test_quiet_streams(void **state)
{
    (void)state;
    run_both_ways(quiet_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_allocated),
        cmocka_unit_test(test_quiet_streams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
