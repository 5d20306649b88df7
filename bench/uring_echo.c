/* SPDX-License-Identifier: MIT */
/*
 * The one-shot liburing twin of the echo server: one accept, and per connection one receive or one
 * send in flight, never both. All that completed is answered and submitted in one enter, which also
 * waits. Connections lie in a fixed array; nothing is allocated.
 */
#include "echo.h"
#include "ring_twin.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPT_DATA = ECHO_CONNECTIONS_MAX };

struct uring_connection {
    int fd;
    unsigned sending; /* bytes of the send in flight; 0: a receive is in flight */
    unsigned next_free;
    char buffer[ECHO_BUFFER_BYTES];
};

struct uring_server {
    struct io_uring ring;
    int listener;
    unsigned first_free; /* ECHO_CONNECTIONS_MAX: none */
    struct uring_connection connections[ECHO_CONNECTIONS_MAX];
};

static void start_accept(struct uring_server *server)
{
    struct io_uring_sqe *sqe = ring_twin_sqe(&server->ring);

    io_uring_prep_accept(sqe, server->listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, ACCEPT_DATA);
}

static void start_recv(struct uring_server *server, unsigned index)
{
    struct uring_connection *connection = &server->connections[index];
    struct io_uring_sqe *sqe = ring_twin_sqe(&server->ring);

    io_uring_prep_recv(sqe, connection->fd, connection->buffer, sizeof connection->buffer, 0);
    io_uring_sqe_set_data64(sqe, index);
    connection->sending = 0;
}

static void start_send(struct uring_server *server, unsigned index, unsigned count)
{
    struct uring_connection *connection = &server->connections[index];
    struct io_uring_sqe *sqe = ring_twin_sqe(&server->ring);

    io_uring_prep_send(sqe, connection->fd, connection->buffer, count, MSG_WAITALL | MSG_NOSIGNAL);
    io_uring_sqe_set_data64(sqe, index);
    connection->sending = count;
}

static void on_accept(struct uring_server *server, int result)
{
    unsigned index = server->first_free;

    trial_check(result, "accept on the ring");
    if (index == ECHO_CONNECTIONS_MAX)
        trial_fail("more than %d connections", ECHO_CONNECTIONS_MAX);
    server->first_free = server->connections[index].next_free;
    server->connections[index].fd = echo_accepted(result);
    start_recv(server, index);
    start_accept(server);
}

static void on_completion(struct uring_server *server, const struct io_uring_cqe *cqe)
{
    unsigned index = (unsigned)cqe->user_data;
    struct uring_connection *connection;

    if (index == ACCEPT_DATA) {
        on_accept(server, cqe->res);
        return;
    }
    connection = &server->connections[index];
    if (cqe->res <= 0) {
        close(connection->fd);
        connection->next_free = server->first_free;
        server->first_free = index;
    } else if (connection->sending > 0) {
        start_recv(server, index);
    } else {
        start_send(server, index, (unsigned)cqe->res);
    }
}

void uring_echo(const struct echo_job *job)
{
    static struct uring_server server;
    struct io_uring_cqe *cqe;
    unsigned head, reaped;

    server.listener = job->listener;
    for (unsigned index = 0; index < ECHO_CONNECTIONS_MAX; index++)
        server.connections[index].next_free = index + 1;
    trial_check(ring_twin_open(&server.ring, 256), "io_uring_setup");
    start_accept(&server);
    for (;;) {
        ring_twin_wait(&server.ring, job->spin_ns);
        reaped = 0;
        io_uring_for_each_cqe(&server.ring, head, cqe)
        {
            on_completion(&server, cqe);
            reaped++;
        }
        io_uring_cq_advance(&server.ring, reaped);
    }
}
