/* SPDX-License-Identifier: MIT */
/* Sockets: what each call returns and sets, and what a deadline or a cancel leaves. */
#include "fixture.h"

#include <limits.h>
#include <netinet/tcp.h>

enum { STREAM_BYTES = 8 * 1024 * 1024 + 3 };

/* --- plain use -------------------------------------------------------------------------------- */

static void check_echo(int client, int server)
{
    char text[8] = "";

    CHECK_EQUAL(weir_send(client, "ping", 4, 0, WEIR_FOREVER), 4);
    CHECK_EQUAL(weir_recv(server, text, sizeof text, 0, WEIR_FOREVER), 4);
    CHECK_EQUAL(weir_send_all(server, text, 4, 0, NULL, WEIR_FOREVER), 4);
    CHECK_EQUAL(weir_recv_all(client, text, 4, 0, NULL, WEIR_FOREVER), 4);
    CHECK_EQUAL(memcmp(text, "ping", 4), 0);
    CHECK_EQUAL(weir_poll(client, POLLIN | POLLOUT, WEIR_FOREVER), POLLOUT);
    CHECK_EQUAL(weir_shutdown(client, SHUT_WR), 0);
    CHECK_EQUAL(weir_recv(server, text, sizeof text, 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_poll(server, POLLIN, WEIR_FOREVER), POLLIN | POLLRDHUP);
}

static int tcp_body(void *arg)
{
    int listener = weir_listen_at("127.0.0.1:0", NULL);
    int client = connect_to(listener, WEIR_FOREVER);
    struct sockaddr_in peer, self;
    socklen_t peer_bytes = sizeof peer, self_bytes = sizeof self;
    int server = weir_accept(listener, (struct sockaddr *)&peer, &peer_bytes, 0, WEIR_FOREVER);
    const int fds[] = { listener, client, server };

    (void)arg;
    CHECK_EQUAL(getsockname(client, (struct sockaddr *)&self, &self_bytes), 0);
    CHECK_EQUAL(peer_bytes, sizeof peer);
    CHECK_EQUAL(peer.sin_port, self.sin_port);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQUAL(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        CHECK_EQUAL(fcntl(fds[i], F_GETFL) & O_NONBLOCK, 0);
        CHECK_EQUAL(option_of(fds[i], IPPROTO_TCP, TCP_NODELAY), 1);
    }
    CHECK_EQUAL(option_of(listener, SOL_SOCKET, SO_REUSEADDR), 1);
    CHECK_EQUAL(option_of(listener, SOL_SOCKET, SO_REUSEPORT), 0);
    check_echo(client, server);
    for (size_t i = 0; i < 3; i++)
        CHECK_EQUAL(weir_close(fds[i]), 0);
    return 0;
}

static void test_tcp(void **state)
{
    (void)state;
    assert_int_equal(test_run(tcp_body, NULL, &one_loop), 0);
}

/* A socket that was made non-blocking waits all the same; MSG_DONTWAIT does not. */
static int nonblock_body(void *arg)
{
    int listener = weir_listen_at("127.0.0.1:0", NULL);
    struct call call = { .run = connect_call, .arg = &listener, .deadline_ns = WEIR_FOREVER };
    char byte;
    int server;

    (void)arg;
    CHECK_EQUAL(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    CHECK_EQUAL(weir_accept(listener, NULL, NULL, 0, WEIR_NOW), -EAGAIN);
    call_start(&call);
    server = weir_accept(listener, NULL, NULL, SOCK_NONBLOCK, WEIR_FOREVER);
    CHECK(server >= 0);
    CHECK(call_finish(&call) >= 0);
    CHECK_EQUAL(fcntl(server, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    CHECK_EQUAL(weir_recv(server, &byte, 1, MSG_DONTWAIT, WEIR_FOREVER), -EAGAIN);
    CHECK_EQUAL(weir_recv(server, &byte, 1, 0, weir_in_ms(1)), -ETIME);
    CHECK_EQUAL(weir_close(server), 0);
    CHECK_EQUAL(weir_close((int)call.result), 0);
    CHECK_EQUAL(weir_close(listener), 0);
    return 0;
}

static void test_nonblocking_sockets_wait(void **state)
{
    (void)state;
    assert_int_equal(test_run(nonblock_body, NULL, &one_loop), 0);
}

/* SIGPIPE would end this process. */
static int pipe_body(void *arg)
{
    struct iovec vector = { "x", 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
    int pair[2];

    (void)arg;
    make_pair(pair);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    CHECK_EQUAL(weir_send(pair[0], "x", 1, 0, WEIR_FOREVER), -EPIPE);
    CHECK_EQUAL(weir_send_all(pair[0], "x", 1, 0, NULL, WEIR_FOREVER), -EPIPE);
    CHECK_EQUAL(weir_sendmsg(pair[0], &message, 0, WEIR_FOREVER), -EPIPE);
    CHECK_EQUAL(weir_poll(pair[0], POLLOUT, WEIR_FOREVER), POLLOUT | POLLHUP | POLLRDHUP);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    return 0;
}

static void test_no_sigpipe(void **state)
{
    (void)state;
    assert_int_equal(test_run(pipe_body, NULL, &one_loop), 0);
}

/* --- all of it -------------------------------------------------------------------------------- */

struct stream {
    int fd;
    char *bytes;
};

static int64_t send_stream(void *arg, int64_t deadline_ns)
{
    struct stream *stream = arg;
    ssize_t result = weir_send_all(stream->fd, stream->bytes, STREAM_BYTES, 0, NULL, deadline_ns);

    CHECK_EQUAL(weir_shutdown(stream->fd, SHUT_WR), 0);
    return result;
}

static int all_body(void *arg)
{
    char *copy = malloc(STREAM_BYTES);
    int pair[2];
    struct stream stream = { .bytes = malloc(STREAM_BYTES) };
    struct call call = { .run = send_stream, .arg = &stream, .deadline_ns = WEIR_FOREVER };

    (void)arg;
    for (size_t i = 0; i < STREAM_BYTES; i++)
        stream.bytes[i] = (char)(i * 31 + i / 251);
    make_pair(pair);
    stream.fd = pair[1];
    call_start(&call);
    CHECK_EQUAL(weir_recv_all(pair[0], copy, STREAM_BYTES - 1, 0, NULL, WEIR_FOREVER),
                STREAM_BYTES - 1);
    CHECK_EQUAL(weir_recv_all(pair[0], copy + STREAM_BYTES - 1, 2, 0, NULL, WEIR_FOREVER),
                1); /* the end */
    CHECK_EQUAL(weir_recv_all(pair[0], copy, 1, 0, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(call_finish(&call), STREAM_BYTES);
    CHECK_EQUAL(memcmp(stream.bytes, copy, STREAM_BYTES), 0);
    CHECK_EQUAL(weir_send(pair[0], "abc", 3, 0, WEIR_FOREVER), 3);
    CHECK_EQUAL(weir_recv_all(pair[1], copy, 4, 0, NULL, weir_in_ms(1)), -ETIME);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    free(stream.bytes);
    free(copy);
    return 0;
}

static void test_all_forms(void **state)
{
    (void)state;
    assert_int_equal(test_run(all_body, NULL, &one_loop), 0);
}

static void send_descriptor(int socket, int fd)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof fd)];
    } control = { 0 };
    struct iovec vector = { "x", 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

    message.msg_control = &control;
    message.msg_controllen = sizeof control.bytes;
    control.head = (struct cmsghdr){ CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS };
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    CHECK_EQUAL(weir_sendmsg(socket, &message, 0, WEIR_FOREVER), 1);
}

static int receive_descriptor(int socket)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec vector = { &byte, 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
    int fd = -1;

    message.msg_control = &control;
    message.msg_controllen = sizeof control.bytes;
    CHECK_EQUAL(weir_recvmsg(socket, &message, 0, WEIR_FOREVER), 1);
    CHECK(control.head.cmsg_type == SCM_RIGHTS);
    memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
    return fd;
}

static int descriptor_body(void *arg)
{
    int pair[2], fd;
    char byte;

    (void)arg;
    make_pair(pair);
    send_descriptor(pair[0], pair[1]);
    fd = receive_descriptor(pair[1]);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(weir_send(pair[0], "x", 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_recv(fd, &byte, 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_descriptors_in_messages(void **state)
{
    (void)state;
    assert_int_equal(test_run(descriptor_body, NULL, &one_loop), 0);
}

/* Control data that does not fit: what is left out is closed by the kernel. */
static int truncated_body(void *arg)
{
    int pair[2], fds[4], fd_count = count_fds();
    size_t control[CMSG_SPACE(sizeof(int)) / sizeof(size_t)];
    char byte;
    struct iovec vector = { &byte, 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

    (void)arg;
    make_pair(pair);
    for (int i = 0; i < 4; i++)
        fds[i] = pair[0];
    CHECK_EQUAL(weir_send_fds(pair[0], "x", 1, fds, 4, WEIR_FOREVER), 1);
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    CHECK_EQUAL(weir_recvmsg(pair[1], &message, 0, WEIR_FOREVER), 1);
    CHECK(message.msg_flags & MSG_CTRUNC);
    memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fds[0]);
    CHECK_EQUAL(weir_close(fds[0]), 0);
    for (size_t at = sizeof(int);
         at + sizeof(int) <= CMSG_FIRSTHDR(&message)->cmsg_len - CMSG_LEN(0);
         at += sizeof(int)) { /* the space between parts has room for one more */
        memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)) + at, sizeof fds[0]);
        CHECK_EQUAL(weir_close(fds[0]), 0);
    }
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    CHECK_EQUAL(count_fds(), fd_count);
    return 0;
}

static void test_truncated_control_data(void **state)
{
    (void)state;
    assert_int_equal(test_run(truncated_body, NULL, &one_loop), 0);
}

/* --- lingering -------------------------------------------------------------------------------- */

static int64_t close_call(void *arg, int64_t deadline_ns)
{
    (void)deadline_ns;
    return weir_close(*(int *)arg);
}

static void check_others_run(void)
{
    int pair[2];
    char byte;

    make_pair(pair);
    for (int i = 0; i < 100; i++) {
        CHECK_EQUAL(weir_send(pair[0], "x", 1, 0, WEIR_FOREVER), 1);
        CHECK_EQUAL(weir_recv(pair[1], &byte, 1, 0, WEIR_FOREVER), 1);
    }
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
}

/* With unsent data and a peer that does not read, shutdown answers at once, and close waits for the
 * peer without its loop. */
static int linger_body(void *arg)
{
    static char bytes[BLOCK_BYTES];
    struct sockaddr_in address;
    int listener = loopback_socket(1, &address), client = plain_connect(&address);
    int server = weir_accept(listener, NULL, NULL, 0, WEIR_FOREVER);
    struct call call = call_of(close_call, &client);
    ssize_t got;

    (void)arg;
    CHECK_EQUAL(weir_socket_set(client, WEIR_SOCKET_LINGER, (int64_t)60 * 1000000000), 0);
    CHECK(fill_socket(client) > 0);
    CHECK_EQUAL(weir_shutdown(client, SHUT_WR), 0);
    call.result = 1;
    call_start(&call);
    check_others_run();
    CHECK_EQUAL(call.result, 1);
    while ((got = weir_recv(server, bytes, sizeof bytes, 0, WEIR_FOREVER)) > 0)
        ;
    CHECK_EQUAL(got, 0);
    CHECK_EQUAL(weir_close(server), 0);
    CHECK_EQUAL(call_finish(&call), 0);
    CHECK_EQUAL(weir_close(listener), 0);
    return 0;
}

static void test_lingering_sockets(void **state)
{
    (void)state;
    assert_int_equal(test_run(linger_body, NULL, &one_loop), 0);
}

/* --- races ------------------------------------------------------------------------------------ */

static int64_t send_numbers(void *arg, int64_t deadline_ns)
{
    long rounds = test_rounds(300, 5000, 100000);

    for (long i = 0; i < rounds; i++) {
        char byte = (char)i;

        CHECK_EQUAL(weir_sleep(weir_in_us(i % 100)), 0);
        CHECK_EQUAL(weir_send(*(int *)arg, &byte, 1, 0, deadline_ns), 1);
    }
    return rounds;
}

/* A deadline that beats a byte leaves it; a byte that beats the deadline is returned. */
static int recv_race_body(void *arg)
{
    int pair[2];
    struct call call = { .run = send_numbers, .arg = &pair[1], .deadline_ns = WEIR_FOREVER };
    long rounds = test_rounds(300, 5000, 100000), got_count = 0;

    (void)arg;
    make_pair(pair);
    call.loop_index = 1;
    call_start(&call);
    for (long i = 0; got_count < rounds; i++) {
        char byte;
        ssize_t got = weir_recv(pair[0], &byte, 1, 0, i % 7 ? weir_in_us(i % 80 + 1) : WEIR_NOW);

        CHECK(got == 1 || got == -ETIME || got == -EAGAIN);
        if (got == 1)
            CHECK_EQUAL(byte, (char)got_count++);
        if (got == -EAGAIN)
            CHECK_EQUAL(weir_yield(), 0);
    }
    CHECK_EQUAL(call_finish(&call), rounds);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_recv_races_with_deadlines(void **state)
{
    (void)state;
    assert_int_equal(test_run(recv_race_body, NULL, &two_loops), 0);
}

static int64_t connect_often(void *arg, int64_t deadline_ns)
{
    long rounds = test_rounds(100, 1000, 20000);

    for (long i = 0; i < rounds; i++) {
        char byte;
        int fd;

        CHECK_EQUAL(weir_sleep(weir_in_us(i % 100)), 0);
        fd = connect_to(*(int *)arg, deadline_ns);
        CHECK(fd >= 0);
        CHECK_EQUAL(weir_recv(fd, &byte, 1, 0, WEIR_FOREVER), 0); /* accepted, and closed there */
        CHECK_EQUAL(weir_close(fd), 0);
    }
    return rounds;
}

/* No connection is lost by a deadline: each client sees its end. */
static int accept_race_body(void *arg)
{
    int listener = weir_listen_at("127.0.0.1:0", NULL);
    struct call call = { .run = connect_often, .arg = &listener, .deadline_ns = WEIR_FOREVER };
    long rounds = test_rounds(100, 1000, 20000), got_count = 0;

    (void)arg;
    call.loop_index = 1;
    call_start(&call);
    for (long i = 0; got_count < rounds; i++) {
        int fd = weir_accept(listener, NULL, NULL, 0, weir_in_us(i % 80 + 1));

        CHECK(fd >= 0 || fd == -ETIME);
        if (fd < 0)
            continue;
        got_count++;
        CHECK_EQUAL(weir_close(fd), 0);
    }
    CHECK_EQUAL(call_finish(&call), rounds);
    CHECK_EQUAL(weir_close(listener), 0);
    return 0;
}

static void test_accept_races_with_deadlines(void **state)
{
    (void)state;
    assert_int_equal(test_run(accept_race_body, NULL, &two_loops), 0);
}

/* --- loops ------------------------------------------------------------------------------------ */

static int64_t recv_call(void *arg, int64_t deadline_ns)
{
    char byte;

    return weir_recv(*(int *)arg, &byte, 1, 0, deadline_ns);
}

static int64_t shutdown_call(void *arg, int64_t deadline_ns)
{
    (void)deadline_ns;
    return weir_shutdown(*(int *)arg, SHUT_RDWR);
}

/* In use on one loop it is refused on another; idle, it changes its home. */
static int home_body(void *arg)
{
    int pair[2];
    struct call call = { .run = recv_call, .arg = &pair[0], .deadline_ns = WEIR_FOREVER };

    (void)arg;
    make_pair(pair);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(run_on_loop(1, recv_call, &pair[0]), -EBUSY);
    CHECK_EQUAL(weir_send(pair[1], "xy", 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(call_finish(&call), 1);
    CHECK_EQUAL(weir_send(pair[1], "x", 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(run_on_loop(1, recv_call, &pair[0]), 1);
    call_start(&call); /* shutdown works from anywhere, and wakes who waits */
    weir__sched_settle();
    CHECK_EQUAL(run_on_loop(1, shutdown_call, &pair[0]), 0);
    CHECK_EQUAL(call_finish(&call), 0);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_homes(void **state)
{
    (void)state;
    assert_int_equal(test_run(home_body, NULL, &two_loops), 0);
}

/* --- refusals --------------------------------------------------------------------------------- */

static int refusals_body(void *arg)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int fd = weir_socket(AF_INET, SOCK_STREAM, 0);
    char byte;
    struct iovec vector = { &byte, 1 };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = IOV_MAX + 1 };

    (void)arg;
    CHECK_EQUAL(weir_recvmsg(fd, &message, 0, WEIR_FOREVER), -EMSGSIZE);
    CHECK_EQUAL(weir_sendmsg(fd, &message, 0, WEIR_FOREVER), -EMSGSIZE);
    CHECK_EQUAL(weir_recv(fd, NULL, 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_send(fd, NULL, 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_recv(fd, &byte, (size_t)SSIZE_MAX + 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_recvmsg(fd, NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_sendmsg(fd, NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_bind(fd, NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_bind(fd, (struct sockaddr *)&address, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_connect(fd, (struct sockaddr *)&address, 1 << 20, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_accept(fd, (struct sockaddr *)&address, NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_socket_address(fd, NULL, 0), -EINVAL);
    CHECK_EQUAL(weir_socket_address(-1, &byte, 1), -EBADF);
    CHECK_EQUAL(weir_recv(-1, &byte, 1, 0, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(weir_recv(fd, &byte, 1, 0, WEIR_FOREVER), -EBADF);
    return 0;
}

static void test_refusals(void **state)
{
    (void)state;
    assert_int_equal(test_run(refusals_body, NULL, &one_loop), 0);
    assert_int_equal(weir_socket(AF_INET, SOCK_STREAM, 0), -ENXIO);
    assert_int_equal(weir_listen_at("127.0.0.1:0", NULL), -ENXIO);
    assert_int_equal(weir_poll(0, POLLIN, WEIR_NOW), -ENXIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_tcp),
        IN_FOLDER(test_nonblocking_sockets_wait),
        IN_FOLDER(test_no_sigpipe),
        IN_FOLDER(test_all_forms),
        IN_FOLDER(test_descriptors_in_messages),
        IN_FOLDER(test_truncated_control_data),
        IN_FOLDER(test_lingering_sockets),
        IN_FOLDER(test_recv_races_with_deadlines),
        IN_FOLDER(test_accept_races_with_deadlines),
        IN_FOLDER(test_homes),
        IN_FOLDER(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
