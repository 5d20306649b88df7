/* SPDX-License-Identifier: MIT */
/*
 * The load generator, the same for every server: one thread on a CPU of its own that never sleeps,
 * so that its own waking is not in the latencies. Multishot receives and batched sends keep it
 * cheaper than the servers it measures.
 *
 * Closed loop: each connection has one request in flight; the rate is what the server carries.
 *
 * Open loop: requests are due at times drawn beforehand (exponential gaps), on one connection after
 * the other, whatever the server does. A latency counts from the time when the request was due,
 * also when an earlier one delayed it. The rate is a share of what *this* server carried in the
 * closed loop just before. So each server is loaded equally hard for what it can do, none is
 * drowned by a rate that it cannot carry, and a faster server is measured at a higher rate.
 *
 * Slice: a closed loop that begins and ends with nothing in flight, so that two servers can be
 * driven in turn by one thread.
 *
 * Every connection sends bytes of its own, and what comes back is looked at.
 */
#include "echo.h"
#include "machine.h"
#include "ring_twin.h"

#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REPLY_BUFFER_BYTES = 256,
    REPLY_BUFFERS = 4096, /* a power of two */
    IN_FLIGHT_MAX = 128,  /* requests per connection in the open loop, a power of two */
    TAG_RECV = 0,
    TAG_SEND = 1,
};

struct connection {
    int fd;
    unsigned received;   /* bytes of a reply that is not complete */
    unsigned head, tail; /* requests sent and answered; their difference is in flight */
    uint64_t due_ns[IN_FLIGHT_MAX];
    unsigned char request[ECHO_REQUEST_BYTES];
};

enum phase { PHASE_CLOSED, PHASE_OPEN, PHASE_DRAIN };

struct echo_client {
    const struct echo_load *load;
    struct echo_figures *figures;
    struct connection *connections;
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_ring;
    char *buffers;
    enum phase phase;
    uint64_t random;
    uint64_t reply_count;
    uint64_t in_flight;
    uint64_t turn_ns; /* when the completions at hand were reaped */
    uint64_t idle_ns; /* in turns that found nothing */
    unsigned next;    /* connection of the open loop's next request */
};

/* --- Requests and replies -------------------------------------------------------------------- */

static void arm_recv(struct echo_client *client, unsigned index)
{
    struct io_uring_sqe *sqe = ring_twin_sqe(&client->ring);

    io_uring_prep_recv_multishot(sqe, client->connections[index].fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data64(sqe, (uint64_t)index << 1 | TAG_RECV);
}

static void send_request(struct echo_client *client, unsigned index, uint64_t due_ns)
{
    struct connection *connection = &client->connections[index];
    struct io_uring_sqe *sqe = ring_twin_sqe(&client->ring);

    io_uring_prep_send(sqe, connection->fd, connection->request, ECHO_REQUEST_BYTES,
                       MSG_WAITALL | MSG_NOSIGNAL);
    io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
    io_uring_sqe_set_data64(sqe, (uint64_t)index << 1 | TAG_SEND);
    connection->due_ns[connection->head++ % IN_FLIGHT_MAX] = due_ns;
    client->in_flight++;
}

static void on_reply(struct echo_client *client, unsigned index)
{
    struct connection *connection = &client->connections[index];
    uint64_t due_ns = connection->due_ns[connection->tail++ % IN_FLIGHT_MAX];

    client->reply_count++;
    client->in_flight--;
    if (client->phase == PHASE_CLOSED)
        send_request(client, index, 0);
    else if (due_ns != 0)
        histogram_add(&client->figures->latency_ns, client->turn_ns - due_ns);
}

static void on_bytes(struct echo_client *client, unsigned index, const unsigned char *bytes,
                     unsigned count)
{
    struct connection *connection = &client->connections[index];

    if (bytes[0] != connection->request[0] || bytes[count - 1] != connection->request[0])
        trial_fail("the server sent back other bytes than it got");
    connection->received += count;
    while (connection->received >= ECHO_REQUEST_BYTES) {
        if (connection->head == connection->tail)
            trial_fail("the server sent more than it got");
        connection->received -= ECHO_REQUEST_BYTES;
        on_reply(client, index);
    }
}

static void on_completion(struct echo_client *client, const struct io_uring_cqe *cqe)
{
    unsigned index = (unsigned)(cqe->user_data >> 1);
    unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    char *buffer = client->buffers + (size_t)id * REPLY_BUFFER_BYTES;

    if ((cqe->user_data & 1) == TAG_SEND)
        trial_fail("send to the server: %s", strerror(cqe->res < 0 ? -cqe->res : EPIPE));
    if (cqe->res > 0) {
        on_bytes(client, index, (unsigned char *)buffer, (unsigned)cqe->res);
        io_uring_buf_ring_add(client->buffer_ring, buffer, REPLY_BUFFER_BYTES, (unsigned short)id,
                              REPLY_BUFFERS - 1, 0);
        io_uring_buf_ring_advance(client->buffer_ring, 1);
    } else if (cqe->res != -ENOBUFS) {
        trial_fail("receive from the server: %s",
                   cqe->res == 0 ? "it closed the connection" : strerror(-cqe->res));
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0)
        arm_recv(client, index);
}

/* Submits, reaps everything that is there, and returns. */
static void turn(struct echo_client *client)
{
    struct io_uring_cqe *cqe;
    unsigned head, reaped = 0;
    uint64_t before_ns = client->turn_ns;
    int result = io_uring_submit_and_get_events(&client->ring);

    if (result < 0 && result != -EINTR && result != -EBUSY && result != -EAGAIN)
        trial_check(result, "io_uring_enter of the load generator");
    client->turn_ns = now_ns();
    io_uring_for_each_cqe(&client->ring, head, cqe)
    {
        on_completion(client, cqe);
        reaped++;
    }
    io_uring_cq_advance(&client->ring, reaped);
    if (reaped == 0) {
        client->idle_ns += client->turn_ns - before_ns;
        if (machine_cpu_count() < 2)
            sched_yield(); /* the server needs the only CPU */
    }
}

/* --- Phases ---------------------------------------------------------------------------------- */

static void run_closed(struct echo_client *client)
{
    const struct echo_load *load = client->load;
    uint64_t start_ns, start_cpu_ns, start_count, elapsed_ns, until_ns;

    client->phase = PHASE_CLOSED;
    for (unsigned index = 0; index < load->connections; index++)
        send_request(client, index, 0);
    /* Warm means that the time has passed and that every connection was served. */
    until_ns = now_ns() + load->warm_ns;
    do
        turn(client);
    while (client->turn_ns < until_ns || client->reply_count < load->connections);
    start_ns = now_ns();
    start_cpu_ns = clock_ns(load->server_clock);
    start_count = client->reply_count;
    client->idle_ns = 0;
    do
        turn(client);
    while (client->turn_ns - start_ns < load->closed_ns);
    elapsed_ns = now_ns() - start_ns;
    uint64_t count = client->reply_count - start_count;
    uint64_t cpu_ns = clock_ns(load->server_clock) - start_cpu_ns;
    if (count == 0)
        trial_fail("the server answered nothing");
    client->figures->ops_per_s = (double)count * (double)NS_PER_S / (double)elapsed_ns;
    client->figures->cpu_ns_per_op = (double)cpu_ns / (double)count;
    client->figures->client_busy = 1 - (double)client->idle_ns / (double)elapsed_ns;
}

static void drain(struct echo_client *client, uint64_t limit_ns)
{
    uint64_t until_ns = now_ns() + limit_ns;

    client->phase = PHASE_DRAIN;
    do
        turn(client);
    while (client->in_flight > 0 && client->turn_ns < until_ns);
}

void echo_client_slice(struct echo_client *client, uint64_t length_ns, struct echo_slice *slice)
{
    uint64_t start_ns = now_ns();
    uint64_t start_cpu_ns = clock_ns(client->load->server_clock);
    uint64_t start_count = client->reply_count;

    client->phase = PHASE_CLOSED;
    for (unsigned index = 0; index < client->load->connections; index++)
        send_request(client, index, 0);
    do
        turn(client);
    while (client->turn_ns - start_ns < length_ns);
    drain(client, NS_PER_S);
    if (client->in_flight > 0)
        trial_fail("the server left requests without an answer");
    slice->count = client->reply_count - start_count;
    slice->elapsed_ns = client->turn_ns - start_ns;
    slice->cpu_ns = clock_ns(client->load->server_clock) - start_cpu_ns;
}

/* What was not answered in time counts with the age it has. */
static void count_unanswered(struct echo_client *client)
{
    for (unsigned index = 0; index < client->load->connections; index++) {
        struct connection *connection = &client->connections[index];
        while (connection->tail != connection->head)
            histogram_add(&client->figures->latency_ns,
                          client->turn_ns - connection->due_ns[connection->tail++ % IN_FLIGHT_MAX]);
    }
}

static uint64_t next_gap_ns(struct echo_client *client, double mean_ns)
{
    double share = (double)(random_next(&client->random) >> 11) / (double)(UINT64_C(1) << 53);

    return (uint64_t)(-log(1 - share) * mean_ns);
}

static void run_open(struct echo_client *client)
{
    const struct echo_load *load = client->load;
    double mean_ns = (double)NS_PER_S / (client->figures->ops_per_s * load->open_share);
    uint64_t start_ns = now_ns(), due_ns = start_ns, sent = 0;

    client->phase = PHASE_OPEN;
    while (sent < load->open_samples && now_ns() - start_ns < load->open_max_ns) {
        uint64_t now = now_ns();
        while (due_ns <= now && sent < load->open_samples) {
            struct connection *connection = &client->connections[client->next];
            if (connection->head - connection->tail == IN_FLIGHT_MAX)
                break; /* it stays due, and its time counts */
            send_request(client, client->next, due_ns);
            client->next = (client->next + 1) % load->connections;
            due_ns += next_gap_ns(client, mean_ns);
            sent++;
        }
        turn(client);
    }
    drain(client, NS_PER_S / 2);
    count_unanswered(client);
}

/* --- Set-up ---------------------------------------------------------------------------------- */

static void open_connections(struct echo_client *client)
{
    int on = 1;

    for (unsigned index = 0; index < client->load->connections; index++) {
        struct connection *connection = &client->connections[index];
        const struct sockaddr *address = (const struct sockaddr *)&client->load->address;
        connection->fd =
            trial_check_errno(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        memset(connection->request, 1 + (int)(index % 255), sizeof connection->request);
        trial_check_errno(connect(connection->fd, address, sizeof client->load->address),
                          "connect");
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
}

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (memory == MAP_FAILED)
        trial_fail("mmap: %s", strerror(errno));
    return memory;
}

static void open_buffers(struct echo_client *client)
{
    struct io_uring_buf_reg registration = { .ring_entries = REPLY_BUFFERS };

    client->buffers = map((size_t)REPLY_BUFFERS * REPLY_BUFFER_BYTES);
    client->buffer_ring = map(REPLY_BUFFERS * sizeof(struct io_uring_buf));
    registration.ring_addr = (uint64_t)(uintptr_t)client->buffer_ring;
    trial_check(io_uring_register_buf_ring(&client->ring, &registration, 0), "buffer ring");
    io_uring_buf_ring_init(client->buffer_ring);
    for (unsigned id = 0; id < REPLY_BUFFERS; id++)
        io_uring_buf_ring_add(client->buffer_ring,
                              client->buffers + (size_t)id * REPLY_BUFFER_BYTES, REPLY_BUFFER_BYTES,
                              (unsigned short)id, REPLY_BUFFERS - 1, (int)id);
    io_uring_buf_ring_advance(client->buffer_ring, REPLY_BUFFERS);
}

struct echo_client *echo_client_open(const struct echo_load *load)
{
    struct echo_client *client = map(sizeof *client);

    client->load = load;
    client->random = load->seed;
    client->connections = map(load->connections * sizeof *client->connections);
    trial_check(ring_twin_open(&client->ring, 1024), "io_uring_setup");
    open_buffers(client);
    open_connections(client);
    for (unsigned index = 0; index < load->connections; index++)
        arm_recv(client, index);
    return client;
}

void echo_load_run(const struct echo_load *load, struct echo_figures *figures)
{
    struct echo_client *client = echo_client_open(load);

    client->figures = figures;
    run_closed(client);
    if (load->open_share > 0) {
        drain(client, NS_PER_S);
        run_open(client);
    }
}
