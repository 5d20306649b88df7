/* SPDX-License-Identifier: MIT */
/* Non-blocking connects, awaited with one-shot epoll. */
#include "dial.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256 };

static void connected(int fd)
{
    socklen_t bytes = sizeof(int);
    int error = 0;

    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
    trial_check(-error, "connect");
    dial_reset_at_close(fd);
    close(fd);
}

/* Starts until one has to be waited for. Returns false when there is no more to start. */
static bool dial(struct dial_job *job, int epoll)
{
    const struct sockaddr *address = (const struct sockaddr *)&job->address;
    struct epoll_event event = { .events = EPOLLOUT | EPOLLONESHOT };

    while (dial_next(job)) {
        int fd = trial_check_errno(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                                   "socket");
        if (connect(fd, address, sizeof job->address) == 0) {
            connected(fd);
            continue;
        }
        if (errno != EINPROGRESS)
            trial_fail("connect: %s", strerror(errno));
        event.data.fd = fd;
        trial_check_errno(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
        return true;
    }
    return false;
}

void epoll_dial(struct dial_job *job)
{
    struct epoll_event events[EVENTS];
    int epoll = trial_check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    unsigned in_flight = 0;

    while (in_flight < DIAL_AT_ONCE && dial(job, epoll))
        in_flight++;
    while (in_flight > 0) {
        int count = trial_check_errno(epoll_wait(epoll, events, EVENTS, -1), "epoll_wait");
        for (int index = 0; index < count; index++) {
            connected(events[index].data.fd);
            in_flight -= !dial(job, epoll);
        }
    }
    close(epoll);
}
