/* SPDX-License-Identifier: MIT */
/* Descriptors of each kind. */
#ifndef WEIR_TESTS_WATCH_BLOCKING_FDS_H
#define WEIR_TESTS_WATCH_BLOCKING_FDS_H

#include "blocking.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Descriptors on which each call returns at once; made by a thread that is not checked. */
static struct {
    int pipe[2], quiet_pipe[2];
    int unix_pair[2], datagrams[2];
    int listener, quiet_listener, client;
    int stream, udp;
    int event, timer, epoll, terminal, file, folder, memory, null;
    struct sockaddr_in address;
    int sink[2];
} fds;

static inline void quieten(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

static inline int listen_at(struct sockaddr_in *address)
{
    socklen_t bytes = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *address = (struct sockaddr_in){ .sin_family = AF_INET };
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &bytes), 0);
    return fd;
}

static inline int call_listener(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&fds.address, sizeof fds.address), 0);
    return fd;
}

static inline int open_terminal(void)
{
    int control = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), terminal;

    assert_true(control >= 0);
    assert_int_equal(grantpt(control), 0);
    assert_int_equal(unlockpt(control), 0);
    terminal = open(ptsname(control), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0);
    assert_int_equal(write(control, "line\n", 5), 5);
    return terminal;
}

static inline void make_timer(void)
{
    struct itimerspec soon = { .it_value.tv_nsec = 1, .it_interval.tv_nsec = 1000 };

    fds.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    assert_int_equal(timerfd_settime(fds.timer, 0, &soon, NULL), 0);
}

static inline int open_all(void **state)
{
    struct sockaddr_in other;

    (void)state;
    assert_int_equal(pipe2(fds.pipe, O_CLOEXEC), 0);
    assert_int_equal(pipe2(fds.sink, O_CLOEXEC), 0);
    assert_int_equal(pipe2(fds.quiet_pipe, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.unix_pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds.datagrams), 0);
    fds.quiet_listener = listen_at(&other);
    quieten(fds.quiet_listener);
    fds.listener = listen_at(&fds.address);
    fds.stream = call_listener();
    fds.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fds.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    fds.event = eventfd(1, EFD_CLOEXEC);
    make_timer();
    fds.epoll = epoll_create1(EPOLL_CLOEXEC);
    fds.terminal = open_terminal();
    fds.file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    fds.folder = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fds.memory = memfd_create("memory", MFD_CLOEXEC);
    fds.null = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(write(fds.memory, "memory", 6), 6);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(write(fds.pipe[1], "a", 1), 1);
        assert_int_equal(send(fds.unix_pair[1], "a", 1, 0), 1);
        assert_int_equal(send(fds.datagrams[1], "a", 1, 0), 1);
    }
    return 0;
}

#endif
