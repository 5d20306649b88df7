/* SPDX-License-Identifier: MIT */
/*
 * The trials of the proxy, and its load: all clients and the backend, in one thread with epoll.
 *
 * Policy: the proxy is bound to one CPU, the load to another; nobody spins. To carry more than the
 * proxy, the load of a bulk trial sends one chunk of memory again and again, and drops what it gets
 * inside the kernel (MSG_TRUNC). Bytes of requests are looked at. The proxy's CPU time is read from
 * its process clock.
 */
#include "proxy.h"

#include "machine.h"
#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SERVER_LIMIT_S = 7,
    ENDS_MAX = 2 * PROXY_CONNECTIONS_MAX,
    CHUNK_BYTES = 256 << 10,
    DROP_BYTES = 1 << 20,
};

/* Of a connection with the proxy: on the client's side, or on the backend's. */
struct end {
    int fd;
    bool is_client;
    unsigned received; /* bytes of a message that is not complete */
};

struct load {
    enum proxy_kind kind;
    int epoll;
    unsigned end_count;
    struct end ends[ENDS_MAX];
    uint64_t byte_count; /* that came through the proxy */
    uint64_t reply_count;
    char chunk[CHUNK_BYTES];
};

/* --- Bytes ----------------------------------------------------------------------------------- */

static bool would_wait(ssize_t result, const char *what)
{
    if (result < 0 && errno == EAGAIN)
        return true;
    if (result <= 0)
        trial_fail("%s: %s", what, result < 0 ? strerror(errno) : "the proxy closed");
    return false;
}

static void send_message(struct load *load, struct end *end)
{
    if (send(end->fd, load->chunk, PROXY_REQUEST_BYTES, MSG_NOSIGNAL) != PROXY_REQUEST_BYTES)
        trial_fail("a message did not fit into an empty socket");
}

static void on_message(struct load *load, struct end *end)
{
    char message[PROXY_REQUEST_BYTES];
    ssize_t got = recv(end->fd, message, sizeof message - end->received, MSG_DONTWAIT);

    if (would_wait(got, "receive"))
        return;
    if (memcmp(message, load->chunk, (size_t)got) != 0)
        trial_fail("other bytes came through the proxy than went in");
    end->received += (unsigned)got;
    if (end->received < PROXY_REQUEST_BYTES)
        return;
    end->received = 0;
    load->reply_count += end->is_client;
    send_message(load, end); /* the backend's response, or the client's next request */
}

static void on_bulk(struct load *load, struct end *end, unsigned events)
{
    ssize_t count;

    if (events & EPOLLIN) {
        count = recv(end->fd, NULL, DROP_BYTES, MSG_TRUNC | MSG_DONTWAIT);
        if (!would_wait(count, "receive"))
            load->byte_count += (size_t)count;
    }
    if (events & EPOLLOUT) {
        count = send(end->fd, load->chunk, CHUNK_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL);
        would_wait(count, "send");
    }
}

static void run_for(struct load *load, uint64_t duration_ns)
{
    uint64_t until_ns = now_ns() + duration_ns;
    struct epoll_event events[ENDS_MAX];

    do {
        int count = epoll_wait(load->epoll, events, ENDS_MAX, 100);
        for (int index = 0; index < count; index++) {
            if (load->kind == PROXY_BULK)
                on_bulk(load, events[index].data.ptr, events[index].events);
            else
                on_message(load, events[index].data.ptr);
        }
    } while (now_ns() < until_ns);
}

/* --- Connections ----------------------------------------------------------------------------- */

static void add_end(struct load *load, int fd, bool is_client)
{
    struct end *end = &load->ends[load->end_count++];
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = end };
    int on = 1;

    *end = (struct end){ .fd = fd, .is_client = is_client };
    if (load->kind == PROXY_BULK)
        event.events |= EPOLLOUT;
    trial_check_errno(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
    trial_check_errno(epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

/* One connection after the other: each stands on both sides before the next begins. */
static void connect_through(struct load *load, const struct sockaddr_in *proxy, int backend,
                            unsigned connections)
{
    load->epoll = trial_check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (unsigned index = 0; index < connections; index++) {
        int fd = trial_check_errno(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        trial_check_errno(connect(fd, (const struct sockaddr *)proxy, sizeof *proxy), "connect");
        add_end(load, trial_check_errno(accept4(backend, NULL, NULL, SOCK_CLOEXEC), "accept"),
                false);
        add_end(load, fd, true);
        if (load->kind == PROXY_REQUESTS)
            send_message(load, &load->ends[load->end_count - 1]);
    }
}

static pid_t start_proxy(const struct trial *trial, struct sockaddr_in *proxy,
                         const struct sockaddr_in *backend)
{
    struct proxy_job job = { trial_listen(proxy, PROXY_CONNECTIONS_MAX), *backend };
    pid_t server = trial_check(trial_fork(SERVER_LIMIT_S), "fork");

    if (server == 0) {
        machine_pin(trial->contender->unbound ? CPU_ANY : CPU_SERVER);
        trial->contender->proxy(&job);
        trial_fail("the proxy ended by itself");
    }
    close(job.listener);
    return server;
}

/* --- A trial --------------------------------------------------------------------------------- */

static void proxy_run(const struct trial *trial, struct outcome *outcome)
{
    static struct load load;
    struct sockaddr_in proxy, backend;
    int listener = trial_listen(&backend, PROXY_CONNECTIONS_MAX);
    pid_t server = start_proxy(trial, &proxy, &backend);
    uint64_t start_ns, start_cpu_ns, elapsed_ns, cpu_ns;
    clockid_t clock;

    if (clock_getcpuclockid(server, &clock) != 0)
        trial_fail("the proxy has no CPU clock");
    machine_pin(CPU_CLIENT);
    load.kind = (enum proxy_kind)trial->bench->kind;
    memset(load.chunk, 'w', sizeof load.chunk);
    connect_through(&load, &proxy, listener, trial->bench->size);
    run_for(&load, 100 * NS_PER_MS);
    load.byte_count = load.reply_count = 0;
    start_cpu_ns = clock_ns(clock);
    start_ns = now_ns();
    run_for(&load, (trial->settings->quick ? 150 : 500) * NS_PER_MS);
    elapsed_ns = now_ns() - start_ns;
    cpu_ns = clock_ns(clock) - start_cpu_ns;
    double ops = load.kind == PROXY_BULK ? (double)load.byte_count / PROXY_BUFFER_BYTES
                                         : (double)load.reply_count;
    outcome->values[METRIC_OPS_PER_S] = ops * (double)NS_PER_S / (double)elapsed_ns;
    outcome->values[METRIC_CPU_NS_PER_OP] = (double)cpu_ns / ops;
    snprintf(outcome->note, sizeof outcome->note, "proxy %.0f %% busy",
             (double)cpu_ns / (double)elapsed_ns * 100);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

const struct family proxy_family = {
    .policy = "proxy on one CPU, clients and backend on another; a buffer or pipe of 64 KiB for "
              "each direction; nobody spins",
    .run = proxy_run,
    .rounds = 3,
    .rounds_quick = 2,
    .limit_s = 8,
};
