/* SPDX-License-Identifier: MIT */
/*
 * The classic: level-triggered epoll, one receive and one send per event. A receive that filled
 * less than its buffer emptied the socket, and if not, epoll says so again: no call is wasted on
 * -EAGAIN.
 */
#include "echo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256 };

static void accept_all(int listener, int epoll)
{
    struct epoll_event event = { .events = EPOLLIN };
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        event.data.fd = echo_accepted(fd);
        trial_check_errno(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
    }
    if (errno != EAGAIN && errno != ECONNABORTED)
        trial_fail("accept: %s", strerror(errno));
}

/* A peer that does not read is waited for: an echo server owes it nothing better. */
static bool send_all(int fd, const char *bytes, size_t count)
{
    struct pollfd writable = { .fd = fd, .events = POLLOUT };

    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < 0)
            poll(&writable, 1, -1);
        else
            count -= (size_t)sent, bytes += sent;
    }
    return true;
}

static void serve(int fd)
{
    static char buffer[ECHO_BUFFER_BYTES];
    ssize_t count = recv(fd, buffer, sizeof buffer, 0);

    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0 || !send_all(fd, buffer, (size_t)count))
        close(fd);
}

/* Looks for events until the spin is over, then sleeps. */
static int await(int epoll, struct epoll_event *events, uint64_t spin_ns)
{
    int count = 0;

    if (spin_ns > 0) {
        uint64_t until_ns = now_ns() + spin_ns;
        do
            count = epoll_wait(epoll, events, EVENTS, 0);
        while (count == 0 && now_ns() < until_ns);
    }
    return count != 0 ? count : epoll_wait(epoll, events, EVENTS, -1);
}

void epoll_echo(const struct echo_job *job)
{
    struct epoll_event events[EVENTS] = { { .events = EPOLLIN, .data.fd = job->listener } };
    int epoll = trial_check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    int count;

    trial_check_errno(fcntl(job->listener, F_SETFL, O_NONBLOCK), "O_NONBLOCK");
    trial_check_errno(epoll_ctl(epoll, EPOLL_CTL_ADD, job->listener, events), "epoll_ctl");
    for (;;) {
        count = await(epoll, events, job->spin_ns);
        for (int index = 0; index < count; index++) {
            if (events[index].data.fd == job->listener)
                accept_all(job->listener, epoll);
            else
                serve(events[index].data.fd);
        }
    }
}
