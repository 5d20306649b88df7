/* SPDX-License-Identifier: MIT */
/*
 * Hand-written liburing: one multishot receive into a ring of buffers, and a send from the buffer
 * itself, which goes back into the ring when that is done.
 */
#include "ring_twin.h"
#include "udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>

enum {
    BUFFERS = 512, /* a power of two; over what the load generator has under way */
    BUFFER_BYTES = 1024,
    RECV_DATA = BUFFERS,
};

struct reply {
    struct msghdr message;
    struct iovec vector;
};

struct uring_udp {
    int fd;
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_ring;
    struct msghdr shape; /* of what is received: an address, and no control data */
    struct reply replies[BUFFERS];
    char buffers[BUFFERS][BUFFER_BYTES];
};

static void give_buffer(struct uring_udp *server, unsigned id)
{
    io_uring_buf_ring_add(server->buffer_ring, server->buffers[id], BUFFER_BYTES,
                          (unsigned short)id, BUFFERS - 1, 0);
    io_uring_buf_ring_advance(server->buffer_ring, 1);
}

static void open_buffers(struct uring_udp *server)
{
    struct io_uring_buf_reg registration = { .ring_entries = BUFFERS };
    void *memory = mmap(NULL, BUFFERS * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE,
                        MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);

    if (memory == MAP_FAILED)
        trial_fail("no memory for the buffer ring");
    registration.ring_addr = (uintptr_t)memory;
    trial_check(io_uring_register_buf_ring(&server->ring, &registration, 0), "buffer ring");
    server->buffer_ring = memory;
    io_uring_buf_ring_init(server->buffer_ring);
    for (unsigned id = 0; id < BUFFERS; id++)
        give_buffer(server, id);
}

static void start_recv(struct uring_udp *server)
{
    struct io_uring_sqe *sqe = ring_twin_sqe(&server->ring);

    io_uring_prep_recvmsg_multishot(sqe, server->fd, &server->shape, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data64(sqe, RECV_DATA);
}

static void send_back(struct uring_udp *server, unsigned id, int bytes)
{
    struct io_uring_recvmsg_out *out =
        io_uring_recvmsg_validate(server->buffers[id], bytes, &server->shape);
    struct reply *reply = &server->replies[id];
    struct io_uring_sqe *sqe = ring_twin_sqe(&server->ring);

    if (out == NULL)
        trial_fail("a receive without its address");
    reply->vector = (struct iovec){
        io_uring_recvmsg_payload(out, &server->shape),
        io_uring_recvmsg_payload_length(out, bytes, &server->shape),
    };
    reply->message = (struct msghdr){
        .msg_name = io_uring_recvmsg_name(out),
        .msg_namelen = out->namelen,
        .msg_iov = &reply->vector,
        .msg_iovlen = 1,
    };
    io_uring_prep_sendmsg(sqe, server->fd, &reply->message, 0);
    io_uring_sqe_set_data64(sqe, id);
}

static void on_completion(struct uring_udp *server, const struct io_uring_cqe *cqe)
{
    if (cqe->user_data != RECV_DATA) {
        trial_check(cqe->res, "sendmsg on the ring");
        give_buffer(server, (unsigned)cqe->user_data);
        return;
    }
    if (cqe->res >= 0)
        send_back(server, cqe->flags >> IORING_CQE_BUFFER_SHIFT, cqe->res);
    else if (cqe->res != -ENOBUFS)
        trial_check(cqe->res, "recvmsg on the ring");
    if ((cqe->flags & IORING_CQE_F_MORE) == 0)
        start_recv(server);
}

void uring_udp(const struct udp_job *job)
{
    static struct uring_udp server;
    struct io_uring_cqe *cqe;
    unsigned head, reaped;

    server.fd = job->fd;
    server.shape.msg_namelen = sizeof(struct sockaddr_in);
    trial_check(ring_twin_open(&server.ring, 256), "io_uring_setup");
    open_buffers(&server);
    start_recv(&server);
    for (;;) {
        ring_twin_wait(&server.ring, 0);
        reaped = 0;
        io_uring_for_each_cqe(&server.ring, head, cqe)
        {
            on_completion(&server, cqe);
            reaped++;
        }
        io_uring_cq_advance(&server.ring, reaped);
    }
}
