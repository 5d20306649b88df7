/* SPDX-License-Identifier: MIT */
/* What the tests of streams share: connected pairs, the ways in which they are run. */
#ifndef WEIR_TESTS_NET_STREAM_FIXTURE_H
#define WEIR_TESTS_NET_STREAM_FIXTURE_H

#include "io/fixture.h"

#include <netinet/tcp.h>

/* Each test runs with all that the kernel has, and with all of it masked: it may not tell. */
HELPER const struct weir_options whole = { .loop_count = 1 };
HELPER const struct weir_options masked = {
    .loop_count = 1,
    .without_features =
        WEIR_FEATURE_BUFFER_RING | WEIR_FEATURE_MULTISHOT_RECV | WEIR_FEATURE_SEND_ZC,
};

HELPER void run_both_ways(int (*body)(void *arg), void *arg)
{
    int fds = count_fds();

    assert_int_equal(test_run(body, arg, &whole), 0);
    assert_int_equal(test_run(body, arg, &masked), 0);
    assert_int_equal(count_fds(), fds);
}

/* Connected TCP sockets. */
HELPER void make_tcp_pair(int pair[2])
{
    struct sockaddr_in address;
    int listener = loopback_socket(1, &address), on = 1;

    pair[0] = plain_connect(&address);
    pair[1] = known(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    plain_close(listener);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
}

/* A stream whose peer is the plain descriptor *peer. */
HELPER struct weir_stream *open_tcp(int *peer, const struct weir_stream_options *options)
{
    struct weir_stream *stream = NULL;
    int pair[2];

    make_tcp_pair(pair);
    *peer = pair[1];
    CHECK_EQUAL(weir_stream_open(&stream, pair[0], options), 0);
    return stream;
}

HELPER struct weir_stream_stats stream_stats(const struct weir_stream *stream)
{
    struct weir_stream_stats stats;

    CHECK_EQUAL(weir_stream_read_stats(stream, &stats), 0);
    return stats;
}

/* The peer says something at once. */
HELPER void say(int peer, const void *bytes, size_t count)
{
    CHECK_EQUAL(send(peer, bytes, count, MSG_NOSIGNAL), (long long)count);
}

/* The peer hears exactly this. */
HELPER void hear(int peer, const char *text)
{
    char heard[256] = "";

    CHECK_EQUAL(weir_recv_all(peer, heard, strlen(text), 0, NULL, weir_in_seconds(20)),
                (long long)strlen(text));
    CHECK(strcmp(heard, text) == 0);
}

HELPER void close_both(struct weir_stream *stream, int peer)
{
    CHECK_EQUAL(weir_close(peer), 0);
    CHECK_EQUAL(weir_stream_close(stream, weir_in_seconds(20)), 0);
}

#endif
