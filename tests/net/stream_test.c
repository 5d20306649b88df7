/* SPDX-License-Identifier: MIT */
/* The verbs of a stream, one after the other, in every way of receiving. */
#include "stream_fixture.h"

static int echo_body(void *arg)
{
    char bytes[64];
    int peer;
    struct weir_stream *stream = open_tcp(&peer, arg);

    for (int round = 0; round < 100; round++) {
        say(peer, "request", 7);
        CHECK_EQUAL(weir_stream_read(stream, bytes, sizeof bytes, weir_in_seconds(20)), 7);
        CHECK(memcmp(bytes, "request", 7) == 0);
        CHECK_EQUAL(weir_stream_write(stream, "ans", 3, WEIR_FOREVER), 3);
        CHECK_EQUAL(weir_stream_write(stream, "wer", 3, WEIR_FOREVER), 3);
        CHECK_EQUAL(stream_stats(stream).unsent_bytes, 6);
        /* The next read would wait: what was written goes out before. */
        CHECK_EQUAL(weir_stream_read(stream, bytes, sizeof bytes, WEIR_NOW), -EAGAIN);
        hear(peer, "answer");
    }
    CHECK_EQUAL(stream_stats(stream).received_bytes, 700);
    CHECK_EQUAL(stream_stats(stream).sent_bytes, 600);
    CHECK_EQUAL(stream_stats(stream).receive_buffers, 0);
    close_both(stream, peer);
    return 0;
}

static void test_request_and_answer(void **state)
{
    struct weir_stream_options plain = { .flags = WEIR_STREAM_PLAIN_RECEIVE };

    (void)state;
    run_both_ways(echo_body, NULL);
    run_both_ways(echo_body, &plain);
}

static int end_body(void *arg)
{
    char bytes[64];
    int peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);

    (void)arg;
    say(peer, "last words", 10);
    CHECK_EQUAL(shutdown(peer, SHUT_WR), 0);
    CHECK_EQUAL(weir_stream_read(stream, bytes, 4, weir_in_seconds(20)), 4);
    CHECK_EQUAL(weir_stream_read(stream, bytes, 64, weir_in_seconds(20)), 6);
    CHECK_EQUAL(weir_stream_read(stream, bytes, 64, weir_in_seconds(20)), 0);
    CHECK_EQUAL(weir_stream_read(stream, bytes, 64, WEIR_NOW), 0);
    CHECK_EQUAL(weir_stream_write(stream, "bye", 3, WEIR_FOREVER), 3); /* half open */
    CHECK_EQUAL(weir_stream_end(stream, weir_in_seconds(20)), 0);
    hear(peer, "bye");
    CHECK_EQUAL(weir_recv(peer, bytes, 1, 0, weir_in_seconds(20)), 0);
    CHECK_EQUAL(weir_stream_write(stream, "more", 4, WEIR_FOREVER), 4);
    CHECK_EQUAL(weir_stream_flush(stream, weir_in_seconds(20)), -EPIPE);
    CHECK_EQUAL(weir_stream_write(stream, "more", 4, WEIR_FOREVER), -EPIPE);
    CHECK_EQUAL(weir_stream_close(stream, weir_in_seconds(20)), -EPIPE);
    CHECK_EQUAL(weir_close(peer), 0);
    return 0;
}

static void test_both_ends(void **state)
{
    (void)state;
    run_both_ways(end_body, NULL);
}

static int exactly_body(void *arg)
{
    char bytes[64] = "", *big = pattern_block(BIG_BYTES), *back = malloc(BIG_BYTES);
    int peer;
    struct weir_stream *stream = open_tcp(&peer, NULL);

    (void)arg;
    say(peer, "abcd", 4);
    CHECK_EQUAL(weir_stream_read_exactly(stream, bytes, 10, weir_in_ms(5)), -ETIME);
    say(peer, "efgh", 4);
    CHECK_EQUAL(weir_stream_read_exactly(stream, bytes, 10, WEIR_NOW), -EAGAIN);
    say(peer, "ij", 2);
    CHECK_EQUAL(weir_stream_read_exactly(stream, bytes, 10, weir_in_seconds(20)), 10);
    CHECK(memcmp(bytes, "abcdefghij", 10) == 0);
    for (size_t at = 0; at < BIG_BYTES;) { /* in pieces, with deadlines that come in between */
        ssize_t put = send(peer, big + at, BIG_BYTES - at, MSG_DONTWAIT | MSG_NOSIGNAL);

        at += put > 0 ? (size_t)put : 0;
        if (at < BIG_BYTES)
            CHECK_EQUAL(weir_stream_read_exactly(stream, back, BIG_BYTES, weir_in_us(100)), -ETIME);
    }
    CHECK_EQUAL(weir_stream_read_exactly(stream, back, BIG_BYTES, weir_in_seconds(20)), BIG_BYTES);
    CHECK(memcmp(big, back, BIG_BYTES) == 0);
    say(peer, "xyz", 3);
    CHECK_EQUAL(weir_close(peer), 0);
    CHECK_EQUAL(weir_stream_read_exactly(stream, bytes, 10, weir_in_seconds(20)), 3);
    CHECK_EQUAL(weir_stream_close(stream, weir_in_seconds(20)), 0);
    free(big);
    free(back);
    return 0;
}

static void test_exactly(void **state)
{
    (void)state;
    run_both_ways(exactly_body, NULL);
}

static int until_body(void *arg)
{
    char line[64] = "", letters[64];
    int peer;
    struct weir_stream *stream = open_tcp(&peer, arg);

    memset(letters, 'x', sizeof letters);
    say(peer, "one\ntwo\nthr", 11);
    CHECK_EQUAL(weir_stream_read_until(stream, '\n', line, 64, weir_in_seconds(20)), 4);
    CHECK(memcmp(line, "one\n", 4) == 0);
    CHECK_EQUAL(weir_stream_read_until(stream, '\n', line, 2, weir_in_seconds(20)), -EMSGSIZE);
    CHECK_EQUAL(weir_stream_read_until(stream, '\n', line, 4, weir_in_seconds(20)), 4);
    CHECK(memcmp(line, "two\n", 4) == 0);
    CHECK_EQUAL(weir_stream_read_until(stream, '\n', line, 64, weir_in_ms(2)), -ETIME);
    for (int i = 0; i < 40; i++) { /* each in a buffer of its own */
        say(peer, letters, 1);
        CHECK_EQUAL(weir_stream_read_until(stream, '\n', line, 64, weir_in_us(100)), -ETIME);
    }
    say(peer, "\n\nleft", 6);
    CHECK_EQUAL(weir_stream_read_until(stream, '\n', line, 64, weir_in_seconds(20)), 44);
    CHECK(memcmp(line, "thrxxxxx", 8) == 0);
    CHECK_EQUAL(weir_stream_read_until(stream, '\n', line, 64, weir_in_seconds(20)), 1);
    CHECK_EQUAL(weir_close(peer), 0);
    CHECK_EQUAL(weir_stream_read_until(stream, '\n', line, 64, weir_in_seconds(20)), 4);
    CHECK_EQUAL(weir_stream_read_until(stream, '\n', line, 64, weir_in_seconds(20)), 0);
    CHECK_EQUAL(weir_stream_close(stream, weir_in_seconds(20)), 0);
    return 0;
}

/* A limit of few buffers: lines that need more are gathered. */
static void test_until(void **state)
{
    struct weir_stream_options narrow = { .receive_limit_bytes = 1024 };

    (void)state;
    run_both_ways(until_body, NULL);
    run_both_ways(until_body, &narrow);
}

static int peek_body(void *arg)
{
    const void *bytes = NULL;
    char rest[64];
    int peer;
    struct weir_stream *stream = open_tcp(&peer, arg);

    CHECK_EQUAL(weir_stream_peek(stream, &bytes, 1, WEIR_NOW), -EAGAIN);
    say(peer, "ab", 2);
    CHECK_EQUAL(weir_stream_peek(stream, &bytes, 1, weir_in_seconds(20)), 2);
    CHECK(memcmp(bytes, "ab", 2) == 0);
    CHECK_EQUAL(weir_stream_peek(stream, &bytes, 5, weir_in_ms(2)), -ETIME);
    say(peer, "cde", 3);
    CHECK_EQUAL(weir_stream_peek(stream, &bytes, 5, weir_in_seconds(20)), 5);
    CHECK(memcmp(bytes, "abcde", 5) == 0);
    CHECK_EQUAL(weir_stream_consume(stream, 6), -EINVAL);
    CHECK_EQUAL(weir_stream_consume(stream, 3), 0);
    CHECK_EQUAL(weir_stream_read(stream, rest, sizeof rest, WEIR_NOW), 2);
    CHECK(memcmp(rest, "de", 2) == 0);
    CHECK_EQUAL(weir_stream_peek(stream, &bytes, 1 << 20, WEIR_FOREVER), -EMSGSIZE);
    CHECK_EQUAL(weir_close(peer), 0);
    CHECK_EQUAL(weir_stream_peek(stream, &bytes, 7, weir_in_seconds(20)), 0);
    CHECK_EQUAL(weir_stream_close(stream, weir_in_seconds(20)), 0);
    return 0;
}

static void test_peek(void **state)
{
    (void)state;
    run_both_ways(peek_body, NULL);
}

/* A peer that takes all and keeps a sum of it. */
struct sink {
    int fd;
    size_t bytes;
    uint64_t sum;
};

static uint64_t checksum(uint64_t sum, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum = sum * 31 + (unsigned char)bytes[i];
    return sum;
}

static int64_t sink_call(void *arg, int64_t deadline_ns)
{
    struct sink *sink = arg;
    char bytes[8192];
    ssize_t got;

    while ((got = weir_recv(sink->fd, bytes, sizeof bytes, 0, deadline_ns)) > 0) {
        sink->sum = checksum(sink->sum, bytes, (size_t)got);
        sink->bytes += (size_t)got;
    }
    return got;
}

/* Small writes, big writes and vectors, in turn: what arrives is what was written, in order. */
static int write_body(void *arg)
{
    static const size_t sizes[] = { 1, 100, 16384, 16385, 70000, 16383, 300000, 7, 5000 };
    char *big = pattern_block(BIG_BYTES);
    struct sink sink = { 0 };
    struct call call = call_of(sink_call, &sink);
    struct weir_stream *stream = open_tcp(&sink.fd, arg);
    uint64_t sum = 0;
    size_t bytes = 0;

    call_start(&call);
    for (size_t i = 0; i < 40; i++) {
        size_t size = sizes[i % (sizeof sizes / sizeof sizes[0])];
        struct iovec vectors[3] = { { big + i, size / 3 }, { big, 0 }, { big + 7 * i, size / 2 } };

        CHECK_EQUAL(weir_stream_write(stream, big + i, size, WEIR_FOREVER), (long long)size);
        sum = checksum(sum, big + i, size);
        CHECK_EQUAL(weir_stream_writev(stream, vectors, 3, WEIR_FOREVER),
                    (long long)(size / 3 + size / 2));
        sum = checksum(checksum(sum, big + i, size / 3), big + 7 * i, size / 2);
        bytes += size + size / 3 + size / 2;
    }
    CHECK_EQUAL(weir_stream_flush(stream, weir_in_seconds(20)), 0);
    CHECK_EQUAL(stream_stats(stream).unsent_bytes, 0);
    CHECK_EQUAL(weir_stream_end(stream, weir_in_seconds(20)), 0);
    CHECK_EQUAL(call_finish(&call), 0);
    CHECK_EQUAL(sink.bytes, bytes);
    CHECK(sink.sum == sum);
    close_both(stream, sink.fd);
    free(big);
    return 0;
}

static void test_writes(void **state)
{
    (void)state;
    run_both_ways(write_body, NULL);
}

/* A peer that does not read: writes say how much they have done, and nothing is lost or doubled. */
static int stuck_body(void *arg)
{
    char *big = pattern_block(BIG_BYTES);
    struct sink sink = { 0 };
    struct call call = call_of(sink_call, &sink);
    struct weir_stream *stream = open_tcp(&sink.fd, NULL);
    uint64_t sum = 0;
    size_t bytes = 0;
    ssize_t put;

    (void)arg;
    while ((put = weir_stream_write(stream, big, BIG_BYTES, weir_in_ms(5))) > 0) {
        sum = checksum(sum, big, (size_t)put);
        bytes += (size_t)put;
    }
    CHECK_EQUAL(put, -ETIME);
    while ((put = weir_stream_write(stream, big, 1000, WEIR_NOW)) > 0) {
        sum = checksum(sum, big, (size_t)put);
        bytes += (size_t)put;
    }
    CHECK_EQUAL(put, -EAGAIN);
    CHECK_EQUAL(weir_stream_flush(stream, weir_in_ms(2)), -ETIME);
    call_start(&call);
    CHECK_EQUAL(weir_stream_end(stream, weir_in_seconds(20)), 0);
    CHECK_EQUAL(call_finish(&call), 0);
    CHECK_EQUAL(sink.bytes, bytes);
    CHECK(sink.sum == sum);
    close_both(stream, sink.fd);
    free(big);
    return 0;
}

static void test_a_peer_that_does_not_read(void **state)
{
    (void)state;
    run_both_ways(stuck_body, NULL);
}

/* Unix sockets and pipes, where nothing is received ahead. */
static int other_kinds_body(void *arg)
{
    struct weir_stream *stream;
    char bytes[16];
    int pair[2];

    (void)arg;
    make_pair(pair);
    CHECK_EQUAL(weir_stream_open(&stream, pair[0], NULL), 0);
    say(pair[1], "hello", 5);
    CHECK_EQUAL(weir_stream_read_until(stream, 'l', bytes, 16, weir_in_seconds(20)), 3);
    CHECK_EQUAL(weir_stream_read(stream, bytes, 16, weir_in_seconds(20)), 2);
    CHECK_EQUAL(weir_stream_write(stream, "you", 3, WEIR_FOREVER), 3);
    CHECK_EQUAL(weir_stream_end(stream, weir_in_seconds(20)), 0);
    hear(pair[1], "you");
    close_both(stream, pair[1]);
    CHECK_EQUAL(pipe2(pair, O_CLOEXEC), 0);
    CHECK_EQUAL(weir_stream_open(&stream, known(pair[1]), NULL), 0);
    CHECK_EQUAL(weir_stream_write(stream, "pipe", 4, WEIR_FOREVER), 4);
    CHECK_EQUAL(weir_stream_end(stream, WEIR_FOREVER), -ENOTSOCK);
    CHECK_EQUAL(weir_stream_close(stream, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_stream_open(&stream, known(pair[0]), NULL), 0);
    CHECK_EQUAL(weir_stream_read_exactly(stream, bytes, 16, weir_in_seconds(20)), 4);
    CHECK_EQUAL(weir_stream_close(stream, WEIR_FOREVER), 0);
    return 0;
}

static void test_other_kinds(void **state)
{
    (void)state;
    run_both_ways(other_kinds_body, NULL);
}

static int64_t say_call(void *arg, int64_t deadline_ns)
{
    (void)deadline_ns;
    say(*(int *)arg, "hi", 2);
    return 0;
}

static int select_body(void *arg)
{
    int peers[2];
    struct weir_stream *streams[2] = { open_tcp(&peers[0], arg), open_tcp(&peers[1], arg) };
    struct weir_clause clauses[3];
    struct call call;
    char bytes[16];

    for (int round = 0; round < 50; round++) {
        int speaker = round % 2, timer = round % 5 == 4;

        clauses[0] = weir_clause_stream(streams[0]);
        clauses[1] = weir_clause_stream(streams[1]);
        clauses[2] = weir_clause_timer(timer ? weir_in_us(300) : weir_in_seconds(20));
        CHECK_EQUAL(weir_select(clauses, 2, 0, WEIR_NOW), -EAGAIN);
        call = call_of(say_call, &peers[speaker]);
        if (round % 3 == 0)
            say(peers[speaker], "hi", 2);
        else if (!timer)
            call_start(&call);
        CHECK_EQUAL(weir_select(clauses, 3, 0, WEIR_FOREVER), timer && round % 3 ? 2 : speaker);
        if (round % 3 == 0 || !timer)
            CHECK_EQUAL(weir_stream_read(streams[speaker], bytes, 16, WEIR_NOW), 2);
        if (round % 3 && !timer)
            CHECK_EQUAL(call_finish(&call), 0);
    }
    plain_close(peers[1]);
    clauses[0] = weir_clause_stream(streams[0]);
    clauses[1] = weir_clause_stream(streams[1]);
    CHECK_EQUAL(weir_select(clauses, 2, 0, weir_in_seconds(20)), 1);
    CHECK_EQUAL(weir_stream_read(streams[1], bytes, 16, WEIR_NOW), 0);
    clauses[1] = weir_clause_stream(NULL);
    CHECK_EQUAL(weir_select(clauses, 2, 0, weir_in_ms(1)), -ETIME);
    close_both(streams[0], peers[0]);
    CHECK_EQUAL(weir_stream_close(streams[1], weir_in_seconds(20)), 0);
    return 0;
}

static void test_select(void **state)
{
    struct weir_stream_options plain = { .flags = WEIR_STREAM_PLAIN_RECEIVE };

    (void)state;
    run_both_ways(select_body, NULL);
    run_both_ways(select_body, &plain);
}

static int refusals_body(void *arg)
{
    struct weir_stream_options options = { .reserved = { 1 } };
    struct weir_stream *stream;
    struct sockaddr_in address;
    int listener = loopback_socket(1, &address);
    int datagram = known(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    int file = memory_file();
    char byte;

    (void)arg;
    CHECK_EQUAL(weir_stream_open(NULL, 0, NULL), -EINVAL);
    CHECK_EQUAL(weir_stream_open(&stream, -1, NULL), -EBADF);
    CHECK_EQUAL(weir_stream_open(&stream, 1 << 20, NULL), -EBADF);
    CHECK_EQUAL(weir_stream_open(&stream, listener, NULL), -EINVAL);
    CHECK_EQUAL(weir_stream_open(&stream, datagram, NULL), -EINVAL);
    CHECK_EQUAL(weir_stream_open(&stream, file, NULL), -EINVAL);
    CHECK_EQUAL(weir_stream_open(&stream, listener, &options), -EINVAL);
    CHECK_EQUAL(weir_stream_read(NULL, &byte, 1, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_stream_write(NULL, &byte, 1, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(weir_stream_close(NULL, WEIR_NOW), -EINVAL);
    plain_close(listener);
    plain_close(datagram);
    plain_close(file);
    return 0;
}

static void test_refusals(void **state)
{
    (void)state;
    run_both_ways(refusals_body, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_and_answer),
        cmocka_unit_test(test_both_ends),
        cmocka_unit_test(test_exactly),
        cmocka_unit_test(test_until),
        cmocka_unit_test(test_peek),
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_a_peer_that_does_not_read),
        cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_select),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
