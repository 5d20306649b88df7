/* SPDX-License-Identifier: MIT */
/*
 * The echo server with all that io_uring offers: multishot accept, multishot receive into a ring of
 * provided buffers, the echo sent straight from the buffer that was received into.
 *
 * A connection has one send in flight; what arrives meanwhile waits in a list of buffers, so that
 * the stream keeps its order. A buffer goes back to the kernel when its send has completed. A
 * receive that found no buffer is armed again when one comes back.
 */
#include "echo.h"
#include "ring_twin.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BUFFERS = 2048, /* two per connection; a power of two */
    NO_BUFFER = BUFFERS,
    TAG_ACCEPT = 0,
    TAG_RECV = 1,
    TAG_SEND = 2,
};

struct multi_connection {
    unsigned sending;     /* buffer of the send in flight, or NO_BUFFER */
    unsigned first, last; /* buffers that wait to be sent; NO_BUFFER: none */
    bool open;            /* the peer has not ended it */
    bool starved;         /* its receive waits for a buffer */
};

struct multi_buffer {
    unsigned bytes;
    unsigned next;
};

struct multi_server {
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_ring;
    char *memory;
    unsigned starved_count;
    struct multi_buffer buffers[BUFFERS];
    struct multi_connection connections[ECHO_CONNECTIONS_MAX * 2]; /* by descriptor */
};

static char *buffer_at(const struct multi_server *server, unsigned id)
{
    return server->memory + (size_t)id * ECHO_BUFFER_BYTES;
}

static void set_data(struct io_uring_sqe *sqe, int fd, unsigned tag)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)(unsigned)fd << 2 | tag);
}

static void arm_recv(struct multi_server *server, int fd)
{
    struct io_uring_sqe *sqe = ring_twin_sqe(&server->ring);

    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    set_data(sqe, fd, TAG_RECV);
}

/* Arms again what had found no buffer. Rare: there are two buffers per connection. */
static void feed_starved(struct multi_server *server)
{
    for (int fd = 0; fd < ECHO_CONNECTIONS_MAX * 2 && server->starved_count > 0; fd++) {
        if (!server->connections[fd].starved)
            continue;
        server->connections[fd].starved = false;
        server->starved_count--;
        arm_recv(server, fd);
    }
}

static void give_back(struct multi_server *server, unsigned id)
{
    io_uring_buf_ring_add(server->buffer_ring, buffer_at(server, id), ECHO_BUFFER_BYTES,
                          (unsigned short)id, BUFFERS - 1, 0);
    io_uring_buf_ring_advance(server->buffer_ring, 1);
    if (server->starved_count > 0)
        feed_starved(server);
}

static void start_send(struct multi_server *server, int fd, unsigned id)
{
    struct io_uring_sqe *sqe = ring_twin_sqe(&server->ring);

    io_uring_prep_send(sqe, fd, buffer_at(server, id), server->buffers[id].bytes,
                       MSG_WAITALL | MSG_NOSIGNAL);
    set_data(sqe, fd, TAG_SEND);
    server->connections[fd].sending = id;
}

static void close_when_idle(struct multi_server *server, int fd)
{
    struct multi_connection *connection = &server->connections[fd];

    if (!connection->open && connection->sending == NO_BUFFER)
        close(fd);
}

static void on_accept(struct multi_server *server, int fd)
{
    trial_check(fd, "accept on the ring");
    if (fd >= ECHO_CONNECTIONS_MAX * 2)
        trial_fail("descriptor %d is beyond the table", fd);
    echo_accepted(fd);
    server->connections[fd] = (struct multi_connection){
        .sending = NO_BUFFER,
        .first = NO_BUFFER,
        .last = NO_BUFFER,
        .open = true,
    };
    arm_recv(server, fd);
}

static void on_recv(struct multi_server *server, int fd, const struct io_uring_cqe *cqe)
{
    struct multi_connection *connection = &server->connections[fd];
    unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

    if (cqe->res == -ENOBUFS) {
        connection->starved = true;
        server->starved_count++;
        return;
    }
    if (cqe->res <= 0) {
        connection->open = false;
        close_when_idle(server, fd);
        return;
    }
    server->buffers[id] = (struct multi_buffer){ (unsigned)cqe->res, NO_BUFFER };
    if (connection->sending == NO_BUFFER)
        start_send(server, fd, id);
    else if (connection->first == NO_BUFFER)
        connection->first = connection->last = id;
    else
        connection->last = server->buffers[connection->last].next = id;
    if ((cqe->flags & IORING_CQE_F_MORE) == 0)
        arm_recv(server, fd);
}

static void on_send(struct multi_server *server, int fd, int result)
{
    struct multi_connection *connection = &server->connections[fd];
    unsigned id = connection->first;

    if (result < 0)
        shutdown(fd, SHUT_RDWR); /* its receive ends it */
    give_back(server, connection->sending);
    connection->sending = NO_BUFFER;
    if (id == NO_BUFFER) {
        close_when_idle(server, fd);
        return;
    }
    connection->first = server->buffers[id].next;
    start_send(server, fd, id);
}

static void on_completion(struct multi_server *server, const struct io_uring_cqe *cqe)
{
    int fd = (int)(cqe->user_data >> 2);

    switch (cqe->user_data & 3) {
    case TAG_ACCEPT:
        if ((cqe->flags & IORING_CQE_F_MORE) == 0)
            trial_fail("the multishot accept ended");
        on_accept(server, cqe->res);
        break;
    case TAG_RECV:
        on_recv(server, fd, cqe);
        break;
    default:
        on_send(server, fd, cqe->res);
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

static void open_server(struct multi_server *server, int listener)
{
    struct io_uring_buf_reg registration = { .ring_entries = BUFFERS };
    struct io_uring_sqe *sqe;

    trial_check(ring_twin_open(&server->ring, 512), "io_uring_setup");
    server->memory = map((size_t)BUFFERS * ECHO_BUFFER_BYTES);
    server->buffer_ring = map(BUFFERS * sizeof(struct io_uring_buf));
    registration.ring_addr = (uint64_t)(uintptr_t)server->buffer_ring;
    trial_check(io_uring_register_buf_ring(&server->ring, &registration, 0), "buffer ring");
    io_uring_buf_ring_init(server->buffer_ring);
    for (unsigned id = 0; id < BUFFERS; id++)
        io_uring_buf_ring_add(server->buffer_ring, buffer_at(server, id), ECHO_BUFFER_BYTES,
                              (unsigned short)id, BUFFERS - 1, (int)id);
    io_uring_buf_ring_advance(server->buffer_ring, BUFFERS);
    sqe = ring_twin_sqe(&server->ring);
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    set_data(sqe, listener, TAG_ACCEPT);
}

void uring_multi_echo(const struct echo_job *job)
{
    static struct multi_server server;
    struct io_uring_cqe *cqe;
    unsigned head, reaped;

    open_server(&server, job->listener);
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
