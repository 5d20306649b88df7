/* SPDX-License-Identifier: MIT */
/* A server under test, by weir_listener_serve, and clients of it. */
#ifndef WEIR_TESTS_NET_SERVER_H
#define WEIR_TESTS_NET_SERVER_H

#include "base/memory.h"
#include "io/fixture.h"

enum { ADDRESS_BYTES = 160, LOOPS = 2 };

/* Runs in a task of its own. */
struct server {
    struct weir_listener *listener;
    struct sockaddr_in address;
    weir_client_fn *fn;
    struct call call;
    _Atomic long served;         /* connections whose task has begun */
    _Atomic long ended;          /* and ended */
    _Atomic long on_loop[LOOPS]; /* where */
};

/* Echoes until the client ends. */
HELPER int echo(int fd, void *context)
{
    struct server *server = context;
    char byte;
    ssize_t count;

    atomic_fetch_add(&server->on_loop[weir_loop_index()], 1);
    atomic_fetch_add(&server->served, 1);
    while ((count = weir_recv(fd, &byte, 1, 0, WEIR_FOREVER)) > 0)
        if (weir_send(fd, &byte, 1, 0, WEIR_FOREVER) < 0)
            break;
    CHECK_EQUAL(weir_close(fd), 0);
    atomic_fetch_add(&server->ended, 1);
    return count == -ECANCELED ? (int)count : 0;
}

HELPER int64_t serve_call(void *arg, int64_t deadline_ns)
{
    struct server *server = arg;

    (void)deadline_ns;
    return weir_listener_serve(server->listener, server->fn, server);
}

HELPER void server_open(struct server *server, const struct weir_listener_options *options)
{
    char text[ADDRESS_BYTES];

    *server = (struct server){ .fn = echo };
    CHECK_EQUAL(weir_listener_open(&server->listener, "127.0.0.1:0", options), 0);
    CHECK(weir_listener_address(server->listener, 0, text, sizeof text) > 0);
    server->address = (struct sockaddr_in){ .sin_family = AF_INET };
    server->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->address.sin_port = htons((in_port_t)atoi(strrchr(text, ':') + 1));
    server->call = call_of(serve_call, server);
}

HELPER void server_start(struct server *server, const struct weir_listener_options *options)
{
    server_open(server, options);
    call_start(&server->call);
}

HELPER struct weir_listener_stats stats_now(const struct server *server)
{
    struct weir_listener_stats stats;

    CHECK_EQUAL(weir_listener_read_stats(server->listener, &stats), 0);
    return stats;
}

/* Stops, closes, and returns what serving returned. */
HELPER int64_t server_stop(struct server *server, int64_t drain_ns)
{
    int64_t result;

    CHECK_EQUAL(weir_listener_stop(server->listener, drain_ns), 0);
    result = call_finish(&server->call);
    CHECK_EQUAL(stats_now(server).open, 0);
    CHECK_EQUAL(atomic_load(&server->served), atomic_load(&server->ended));
    CHECK_EQUAL(weir_listener_close(server->listener), 0);
    return result;
}

HELPER int client_of(const struct server *server)
{
    int fd = weir_socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    CHECK_EQUAL(weir_connect(fd, (const struct sockaddr *)&server->address, sizeof server->address,
                             WEIR_FOREVER),
                0);
    return fd;
}

/* One byte there and back. */
HELPER void talk(int fd)
{
    char byte = 0;

    CHECK_EQUAL(weir_send(fd, "x", 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_recv(fd, &byte, 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(byte, 'x');
}

HELPER bool is_silent(int fd)
{
    char byte;

    return weir_recv(fd, &byte, 1, 0, weir_in_ms(5)) == -ETIME;
}

HELPER void run_and_count_fds(int (*body)(void *arg), void *arg, const struct weir_options *options)
{
    int fd_count = count_fds();

    assert_int_equal(test_run(body, arg, options), 0);
    assert_int_equal(count_fds(), fd_count);
}

#endif
