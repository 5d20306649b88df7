/* SPDX-License-Identifier: MIT */
/*
 * Edge-triggered epoll and splice: bytes go from socket to socket through a pipe for each
 * direction, and are never copied to the proxy.
 */
#include "proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 64 };

struct flow {
    int from, to;
    int pipe[2];
    size_t held; /* bytes in the pipe */
};

struct pair {
    struct flow flows[2];
};

static struct pair pairs[PROXY_CONNECTIONS_MAX];
static unsigned pair_count;

static size_t move(int from, int to, size_t bytes)
{
    ssize_t moved = splice(from, NULL, to, NULL, bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

    if (moved < 0 && errno != EAGAIN)
        trial_fail("splice: %s", strerror(errno));
    return moved > 0 ? (size_t)moved : 0; /* the end: the load ends all at once, by killing */
}

/* Until neither end of the pipe moves. */
static void run_flow(struct flow *flow)
{
    size_t in, out;

    do {
        size_t room = PROXY_BUFFER_BYTES - flow->held;
        in = room > 0 ? move(flow->from, flow->pipe[1], room) : 0;
        flow->held += in;
        out = flow->held > 0 ? move(flow->pipe[0], flow->to, flow->held) : 0;
        flow->held -= out;
    } while (in > 0 || out > 0);
}

static void open_flow(struct flow *flow, int from, int to)
{
    int on = 1;

    flow->from = from;
    flow->to = to;
    trial_check_errno(pipe2(flow->pipe, O_CLOEXEC | O_NONBLOCK), "pipe2");
    trial_check_errno(setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
}

static void watch(int epoll, int fd, struct pair *pair)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = pair };

    trial_check_errno(fcntl(fd, F_SETFL, O_NONBLOCK), "O_NONBLOCK");
    trial_check_errno(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void accept_one(const struct proxy_job *job, int epoll)
{
    const struct sockaddr *address = (const struct sockaddr *)&job->backend;
    int client = trial_check_errno(accept4(job->listener, NULL, NULL, SOCK_CLOEXEC), "accept");
    int backend = trial_check_errno(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    struct pair *pair = &pairs[pair_count++];

    trial_check_errno(connect(backend, address, sizeof job->backend), "connect");
    open_flow(&pair->flows[0], client, backend);
    open_flow(&pair->flows[1], backend, client);
    watch(epoll, client, pair);
    watch(epoll, backend, pair);
}

void splice_proxy(const struct proxy_job *job)
{
    struct epoll_event events[EVENTS] = { { .events = EPOLLIN } };
    int epoll = trial_check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");

    trial_check_errno(epoll_ctl(epoll, EPOLL_CTL_ADD, job->listener, events), "epoll_ctl");
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int index = 0; index < count; index++) {
            struct pair *pair = events[index].data.ptr;
            if (pair == NULL)
                accept_one(job, epoll);
            else
                for (unsigned flow = 0; flow < 2; flow++)
                    run_flow(&pair->flows[flow]);
        }
    }
}
