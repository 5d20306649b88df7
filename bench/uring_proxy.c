/* SPDX-License-Identifier: MIT */
/*
 * Hand-written liburing: for each direction one receive or one send in flight. All that completed
 * is answered and submitted in one enter, which also waits. The same calls as weir's plain ones, so
 * what weir adds can be seen.
 */
#include "proxy.h"
#include "ring_twin.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

enum {
    FLOWS_MAX = 2 * PROXY_CONNECTIONS_MAX,
    ACCEPT_DATA = FLOWS_MAX,
};

struct flow {
    int from, to;
    bool sending; /* else a receive is in flight */
    char buffer[PROXY_BUFFER_BYTES];
};

struct uring_proxy {
    const struct proxy_job *job;
    struct io_uring ring;
    unsigned flow_count;
    struct flow flows[FLOWS_MAX];
};

static void start_accept(struct uring_proxy *proxy)
{
    struct io_uring_sqe *sqe = ring_twin_sqe(&proxy->ring);

    io_uring_prep_accept(sqe, proxy->job->listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, ACCEPT_DATA);
}

static void start_recv(struct uring_proxy *proxy, unsigned index)
{
    struct flow *flow = &proxy->flows[index];
    struct io_uring_sqe *sqe = ring_twin_sqe(&proxy->ring);

    io_uring_prep_recv(sqe, flow->from, flow->buffer, sizeof flow->buffer, 0);
    io_uring_sqe_set_data64(sqe, index);
    flow->sending = false;
}

static void start_send(struct uring_proxy *proxy, unsigned index, unsigned count)
{
    struct flow *flow = &proxy->flows[index];
    struct io_uring_sqe *sqe = ring_twin_sqe(&proxy->ring);

    io_uring_prep_send(sqe, flow->to, flow->buffer, count, MSG_WAITALL | MSG_NOSIGNAL);
    io_uring_sqe_set_data64(sqe, index);
    flow->sending = true;
}

static void open_flow(struct uring_proxy *proxy, int from, int to)
{
    unsigned index = proxy->flow_count++;
    int on = 1;

    proxy->flows[index].from = from;
    proxy->flows[index].to = to;
    trial_check_errno(setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
    start_recv(proxy, index);
}

/* The connect blocks for a moment, before the measured time: it is not what is asked here. */
static void on_accept(struct uring_proxy *proxy, int client)
{
    const struct sockaddr *address = (const struct sockaddr *)&proxy->job->backend;
    int backend = trial_check_errno(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

    trial_check(client, "accept on the ring");
    trial_check_errno(connect(backend, address, sizeof proxy->job->backend), "connect");
    open_flow(proxy, client, backend);
    open_flow(proxy, backend, client);
    start_accept(proxy);
}

static void on_completion(struct uring_proxy *proxy, const struct io_uring_cqe *cqe)
{
    unsigned index = (unsigned)cqe->user_data;

    if (index == ACCEPT_DATA)
        on_accept(proxy, cqe->res);
    else if (cqe->res <= 0)
        return; /* the load ends all at once, by killing */
    else if (proxy->flows[index].sending)
        start_recv(proxy, index);
    else
        start_send(proxy, index, (unsigned)cqe->res);
}

void uring_proxy(const struct proxy_job *job)
{
    static struct uring_proxy proxy;
    struct io_uring_cqe *cqe;
    unsigned head, reaped;

    proxy.job = job;
    trial_check(ring_twin_open(&proxy.ring, 256), "io_uring_setup");
    start_accept(&proxy);
    for (;;) {
        ring_twin_wait(&proxy.ring, 0);
        reaped = 0;
        io_uring_for_each_cqe(&proxy.ring, head, cqe)
        {
            on_completion(&proxy, cqe);
            reaped++;
        }
        io_uring_cq_advance(&proxy.ring, reaped);
    }
}
