/* SPDX-License-Identifier: MIT */
/* Options of sockets: each row reads back what was set, and refuses what it cannot be. */
#include "fixture.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

static const int64_t second_ns = 1000000000;

enum { TCP4, TCP6, UDP, UNIX, FD_COUNT };

struct sample {
    enum weir_socket_option option;
    int on;
    int64_t value;
    int64_t reads; /* what the kernel keeps of it */
};

static const struct sample samples[] = {
    { WEIR_SOCKET_REUSE_ADDRESS, TCP4, 1, 1 },
    { WEIR_SOCKET_REUSE_PORT, TCP4, 1, 1 },
    { WEIR_SOCKET_RECEIVE_BUFFER, TCP4, 10000, 10000 },
    { WEIR_SOCKET_SEND_BUFFER, UNIX, 10000, 10000 },
    { WEIR_SOCKET_LINGER, TCP4, 1, 1000000000 },
    { WEIR_SOCKET_LINGER, TCP4, 0, 0 },
    { WEIR_SOCKET_LINGER, TCP4, -5, -1 },
    { WEIR_SOCKET_PRIORITY, UDP, 3, 3 },
    { WEIR_SOCKET_BUSY_POLL, UDP, 1500, 2000 },
    { WEIR_SOCKET_TIMESTAMPS, TCP4, 1, 1 },
    { WEIR_SOCKET_NO_DELAY, TCP4, 0, 0 },
    { WEIR_SOCKET_CORK, TCP4, 1, 1 },
    { WEIR_SOCKET_UNSENT_LIMIT, TCP4, 16384, 16384 },
    { WEIR_SOCKET_USER_TIMEOUT, TCP4, 1, 1000000 },
    { WEIR_SOCKET_USER_TIMEOUT, TCP6, 2500000000, 2500000000 },
    { WEIR_SOCKET_KEEP_ALIVE, TCP4, 1, 1 },
    { WEIR_SOCKET_KEEP_ALIVE_IDLE, TCP4, 1, 1000000000 },
    { WEIR_SOCKET_KEEP_ALIVE_INTERVAL, TCP4, 7000000000, 7000000000 },
    { WEIR_SOCKET_KEEP_ALIVE_COUNT, TCP4, 4, 4 },
    { WEIR_SOCKET_DEFER_ACCEPT, TCP4, 3000000000, 3000000000 },
    { WEIR_SOCKET_FAST_OPEN, TCP4, 16, 16 },
    { WEIR_SOCKET_SYN_COUNT, TCP4, 3, 3 },
    { WEIR_SOCKET_V6_ONLY, TCP6, 1, 1 },
    { WEIR_SOCKET_FREE_BIND, TCP4, 1, 1 },
    { WEIR_SOCKET_FREE_BIND, TCP6, 1, 1 },
    { WEIR_SOCKET_HOPS, TCP4, 9, 9 },
    { WEIR_SOCKET_HOPS, TCP6, 9, 9 },
    { WEIR_SOCKET_TRAFFIC_CLASS, TCP4, 0x10, 0x10 },
    { WEIR_SOCKET_TRAFFIC_CLASS, TCP6, 0x10, 0x10 },
    { WEIR_SOCKET_MULTICAST_HOPS, UDP, 5, 5 },
    { WEIR_SOCKET_MULTICAST_LOOP, UDP, 0, 0 },
    { WEIR_SOCKET_BROADCAST, UDP, 1, 1 },
    { WEIR_SOCKET_SEGMENT, UDP, 1200, 1200 },
    { WEIR_SOCKET_GRO, UDP, 1, 1 },
    { WEIR_SOCKET_PASS_CREDENTIALS, UNIX, 1, 1 },
};

static void open_sockets(int fds[FD_COUNT])
{
    fds[TCP4] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fds[TCP6] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0); /* may be missing */
    fds[UDP] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    fds[UNIX] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void close_sockets(const int fds[FD_COUNT])
{
    for (int i = 0; i < FD_COUNT; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* On a plain thread: options need no task. */
static void test_values_read_back(void **state)
{
    int fds[FD_COUNT];

    (void)state;
    open_sockets(fds);
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        const struct sample *sample = &samples[i];
        int fd = fds[sample->on];
        int64_t value = -99;

        if (fd < 0)
            continue;
        if (weir_socket_set(fd, sample->option, sample->value) != 0 ||
            weir_socket_get(fd, sample->option, &value) != 0 || value != sample->reads)
            fail_msg("%s: %lld, not %lld", weir_socket_option_name((int)sample->option),
                     (long long)value, (long long)sample->reads);
    }
    close_sockets(fds);
}

static void test_rows_are_complete(void **state)
{
    (void)state;
    for (int i = 0; i < WEIR_SOCKET_OPTION_COUNT; i++) {
        assert_non_null(weir_socket_option_name(i));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(weir_socket_option_name(i), weir_socket_option_name(k));
    }
    assert_null(weir_socket_option_name(-1));
    assert_null(weir_socket_option_name(WEIR_SOCKET_OPTION_COUNT));
}

static int64_t get(int fd, enum weir_socket_option option)
{
    int64_t value;

    assert_int_equal(weir_socket_get(fd, option, &value), 0);
    return value;
}

static void test_what_is_only_read(void **state)
{
    struct sockaddr_in address;
    int listener, client, server, fds[FD_COUNT];
    char text[64], wanted[64];
    socklen_t bytes = sizeof address;

    (void)state;
    open_sockets(fds);
    assert_int_equal(get(fds[TCP4], WEIR_SOCKET_DOMAIN), AF_INET);
    assert_int_equal(get(fds[UDP], WEIR_SOCKET_TYPE), SOCK_DGRAM);
    assert_int_equal(get(fds[TCP4], WEIR_SOCKET_PROTOCOL), IPPROTO_TCP);
    assert_int_equal(get(fds[TCP4], WEIR_SOCKET_LISTENING), 0);
    assert_int_equal(get(fds[TCP4], WEIR_SOCKET_ERROR), 0);
    assert_int_equal(weir_peer_address(fds[TCP4], text, sizeof text), -ENOTCONN);
    listener = loopback_socket(4, &address);
    assert_int_equal(get(listener, WEIR_SOCKET_LISTENING), 1);
    client = plain_connect(&address);
    server = accept(listener, NULL, NULL);
    snprintf(wanted, sizeof wanted, "127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(weir_peer_address(client, text, sizeof text), (int)strlen(wanted));
    assert_string_equal(text, wanted);
    assert_int_equal(getsockname(client, (struct sockaddr *)&address, &bytes), 0);
    assert_true(weir_peer_address(server, text, sizeof text) > 0);
    snprintf(wanted, sizeof wanted, "127.0.0.1:%u", ntohs(address.sin_port));
    assert_string_equal(text, wanted);
    assert_int_equal(weir_peer_address(server, text, 5), -ENOSPC);
    assert_int_equal(send(client, "hello", 5, 0), 5);
    assert_int_equal(poll(&(struct pollfd){ .fd = server, .events = POLLIN }, 1, 10000), 1);
    assert_int_equal(get(server, WEIR_SOCKET_UNREAD_BYTES), 5);
    while (get(client, WEIR_SOCKET_UNSENT_BYTES) != 0)
        usleep(100);
    close(listener);
    close(client);
    close(server);
    close_sockets(fds);
}

static void test_refusals(void **state)
{
    struct sockaddr_storage address = { .ss_family = AF_INET };
    struct sockaddr *any = (struct sockaddr *)&address;
    int fds[FD_COUNT], file = memory_file();
    char text[64];
    int64_t value;

    (void)state;
    open_sockets(fds);
    assert_int_equal(weir_socket_set(fds[TCP4], (enum weir_socket_option) - 1, 1), -EINVAL);
    assert_int_equal(weir_socket_set(fds[TCP4], WEIR_SOCKET_OPTION_COUNT, 1), -EINVAL);
    assert_int_equal(weir_socket_set(fds[TCP4], WEIR_SOCKET_ERROR, 1), -EINVAL);
    assert_int_equal(weir_socket_set(fds[TCP4], WEIR_SOCKET_UNREAD_BYTES, 1), -EINVAL);
    assert_int_equal(weir_socket_set(fds[TCP4], WEIR_SOCKET_NO_DELAY, 2), -EINVAL);
    assert_int_equal(weir_socket_set(fds[TCP4], WEIR_SOCKET_HOPS, 256), -EINVAL);
    assert_int_equal(weir_socket_set(fds[TCP4], WEIR_SOCKET_RECEIVE_BUFFER, -1), -EINVAL);
    assert_int_equal(weir_socket_set(fds[TCP4], WEIR_SOCKET_USER_TIMEOUT, INT64_MAX), -EINVAL);
    assert_int_equal(weir_socket_set(fds[TCP4], WEIR_SOCKET_LINGER, 70000 * second_ns), -EINVAL);
    assert_int_equal(weir_socket_set(fds[TCP4], WEIR_SOCKET_LINGER, INT64_MAX), -EINVAL);
    assert_int_equal(weir_socket_set(fds[TCP4], WEIR_SOCKET_TIMESTAMPS, 3), -EINVAL);
    assert_int_equal(weir_socket_get(fds[TCP4], WEIR_SOCKET_NO_DELAY, NULL), -EINVAL);
    assert_int_equal(weir_socket_set(fds[UDP], WEIR_SOCKET_NO_DELAY, 1), -ENOPROTOOPT);
    assert_int_equal(weir_socket_set(fds[UNIX], WEIR_SOCKET_NO_DELAY, 1), -EOPNOTSUPP);
    assert_int_equal(weir_socket_set(fds[TCP4], WEIR_SOCKET_GRO, 1), -ENOPROTOOPT);
    assert_int_equal(weir_socket_set(file, WEIR_SOCKET_NO_DELAY, 1), -ENOTSOCK);
    assert_int_equal(weir_socket_set(file, WEIR_SOCKET_HOPS, 1), -ENOTSOCK);
    assert_int_equal(weir_socket_get(file, WEIR_SOCKET_UNREAD_BYTES, &value), -ENOTSOCK);
    assert_int_equal(weir_socket_set(-1, WEIR_SOCKET_NO_DELAY, 1), -EBADF);
    assert_int_equal(weir_socket_get(-1, WEIR_SOCKET_LINGER, &value), -EBADF);
    assert_int_equal(weir_peer_address(fds[TCP4], NULL, 0), -EINVAL);
    assert_int_equal(weir_peer_address(file, text, sizeof text), -ENOTSOCK);
    assert_int_equal(weir_address_text(NULL, 4, text, sizeof text), -EINVAL);
    assert_int_equal(weir_address_text(any, 4, text, sizeof text), -EINVAL);
    assert_int_equal(weir_address_text(any, 1 << 20, text, sizeof text), -EINVAL);
    address.ss_family = AF_INET6;
    assert_int_equal(weir_address_text(any, 16, text, sizeof text), -EINVAL);
    address.ss_family = AF_UNIX;
    assert_int_equal(weir_address_text(any, 2, text, sizeof text), 5); /* "unix:" */
    address.ss_family = AF_NETLINK;
    assert_int_equal(weir_address_text(any, 12, text, sizeof text), -EAFNOSUPPORT);
    close(file);
    close_sockets(fds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_read_back),
        cmocka_unit_test(test_rows_are_complete),
        cmocka_unit_test(test_what_is_only_read),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
