/* SPDX-License-Identifier: MIT */
/*
 * The trials of datagrams: the trial's process is the load generator, and forks the server.
 *
 * Policy: as for the echo over TCP: server and load generator on a CPU each, the load generator
 * never sleeps, the server's CPU time is read from its process clock. Closed loop: as many
 * datagrams are under way as fit into a socket's buffer for certain; what is lost all the same is
 * sent again.
 */
#include "udp.h"

#include "machine.h"
#include "trial.h"

#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOST_NS (50 * NS_PER_MS)

enum { SERVER_LIMIT_S = 7 };

struct client {
    int fd;
    unsigned window; /* datagrams under way */
    uint64_t reply_count;
    uint64_t lost_count;
    uint64_t heard_ns; /* when the last reply came */
    char request[UDP_BYTES];
    char replies[UDP_BATCH][UDP_BUFFER_BYTES];
    struct iovec request_vector, reply_vectors[UDP_BATCH];
    struct mmsghdr requests[UDP_BATCH], messages[UDP_BATCH];
};

static void send_requests(struct client *client, unsigned count)
{
    while (count > 0) {
        unsigned batch = count < UDP_BATCH ? count : UDP_BATCH;
        int sent = sendmmsg(client->fd, client->requests, batch, 0);
        count -= (unsigned)trial_check_errno(sent, "sendmmsg");
    }
}

static void look_at(const struct client *client, unsigned count)
{
    for (unsigned index = 0; index < count; index++)
        if (client->messages[index].msg_len != UDP_BYTES ||
            memcmp(client->replies[index], client->request, UDP_BYTES) != 0)
            trial_fail("the server sent back other bytes than it got");
}

/* Answers whatever replies are there with new requests. */
static void turn(struct client *client)
{
    int count = recvmmsg(client->fd, client->messages, UDP_BATCH, MSG_DONTWAIT, NULL);
    uint64_t now = now_ns();

    if (count > 0) {
        look_at(client, (unsigned)count);
        client->reply_count += (unsigned)count;
        client->heard_ns = now;
        send_requests(client, (unsigned)count);
        return;
    }
    if (count < 0 && errno != EAGAIN && errno != EINTR)
        trial_fail("recvmmsg: %s", strerror(errno));
    if (now - client->heard_ns > LOST_NS) {
        client->lost_count += client->window;
        client->heard_ns = now;
        send_requests(client, client->window);
    }
    if (machine_cpu_count() < 2)
        sched_yield(); /* the server needs the only CPU */
}

static void turn_for(struct client *client, uint64_t duration_ns)
{
    uint64_t until_ns = now_ns() + duration_ns;

    do
        turn(client);
    while (now_ns() < until_ns);
}

static void start_client(struct client *client, const struct sockaddr_in *server, unsigned window)
{
    client->fd = trial_check_errno(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    trial_check_errno(connect(client->fd, (const struct sockaddr *)server, sizeof *server),
                      "connect");
    memset(client->request, 'w', sizeof client->request);
    client->request_vector = (struct iovec){ client->request, UDP_BYTES };
    for (unsigned index = 0; index < UDP_BATCH; index++) {
        client->reply_vectors[index] = (struct iovec){ client->replies[index], UDP_BUFFER_BYTES };
        client->requests[index].msg_hdr =
            (struct msghdr){ .msg_iov = &client->request_vector, .msg_iovlen = 1 };
        client->messages[index].msg_hdr =
            (struct msghdr){ .msg_iov = &client->reply_vectors[index], .msg_iovlen = 1 };
    }
    client->window = window;
    client->heard_ns = now_ns();
    send_requests(client, window);
}

/* Returns the server's pid. */
static pid_t start_server(const struct trial *trial, struct sockaddr_in *address)
{
    struct udp_job job = { socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) };
    socklen_t length = sizeof *address;
    pid_t server;

    *address = (struct sockaddr_in){ .sin_family = AF_INET };
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    trial_check_errno(bind(job.fd, (struct sockaddr *)address, sizeof *address), "bind");
    getsockname(job.fd, (struct sockaddr *)address, &length);
    server = trial_check(trial_fork(SERVER_LIMIT_S), "fork");
    if (server == 0) {
        machine_pin(trial->contender->unbound ? CPU_ANY : CPU_SERVER);
        trial->contender->udp(&job);
        trial_fail("the server ended by itself");
    }
    close(job.fd);
    return server;
}

static void udp_run(const struct trial *trial, struct outcome *outcome)
{
    static struct client client;
    bool quick = trial->settings->quick;
    uint64_t start_ns, start_cpu_ns;
    struct sockaddr_in address;
    pid_t server = start_server(trial, &address);
    clockid_t server_clock;

    if (clock_getcpuclockid(server, &server_clock) != 0)
        trial_fail("the server has no CPU clock");
    machine_pin(CPU_CLIENT);
    start_client(&client, &address, trial->bench->size);
    turn_for(&client, 50 * NS_PER_MS);
    client.reply_count = client.lost_count = 0;
    start_cpu_ns = clock_ns(server_clock);
    start_ns = now_ns();
    turn_for(&client, (quick ? 120 : 400) * NS_PER_MS);
    double count = (double)client.reply_count;
    outcome->values[METRIC_OPS_PER_S] = count * (double)NS_PER_S / (double)(now_ns() - start_ns);
    outcome->values[METRIC_CPU_NS_PER_OP] = (double)(clock_ns(server_clock) - start_cpu_ns) / count;
    if (client.lost_count > 0)
        snprintf(outcome->note, sizeof outcome->note, "%llu lost",
                 (unsigned long long)client.lost_count);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

const struct family udp_family = {
    .policy =
        "server on one CPU, load generator on another; closed loop; nobody spins but the load "
        "generator",
    .run = udp_run,
    .rounds = 3,
    .rounds_quick = 2,
    .limit_s = 8,
};
