/* SPDX-License-Identifier: MIT */
/* How the rows on sockets and poll run; see net.h. */
#include "base/kernel.h"
#include "io/descriptor.h"
#include "io/receive.h"
#include "io/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/un.h>

static sa_family_t family_of(const struct weir__op *op)
{
    return ((const struct sockaddr *)op->address)->sa_family;
}

/* A unix-domain address without a file: abstract, or left to the kernel. */
static bool is_pathless(const struct weir__op *op)
{
    const struct sockaddr_un *address = op->address;

    return op->length <= offsetof(struct sockaddr_un, sun_path) || address->sun_path[0] == '\0';
}

enum weir__route weir__socket_choose_bind(const struct weir__op *op)
{
    switch (family_of(op)) {
    case AF_INET:
    case AF_INET6:
        return WEIR__ROUTE_INLINE;
    case AF_UNIX:
        return is_pathless(op) ? WEIR__ROUTE_INLINE : WEIR__ROUTE_POOL;
    default:
        return WEIR__ROUTE_POOL;
    }
}

enum weir__route weir__socket_choose_connect(const struct weir__op *op)
{
    return family_of(op) == AF_UNIX ? weir__socket_choose_bind(op) : WEIR__ROUTE_RING;
}

void weir__socket_prep_accept(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_accept(sqe, op->fd, op->address, op->other_address, op->flags | SOCK_CLOEXEC);
}

void weir__socket_prep_connect(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_connect(sqe, op->fd, op->address, (socklen_t)op->length);
}

void weir__socket_prep_recv(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_recv(sqe, op->fd, op->address, op->length, op->flags);
}

void weir__socket_prep_send(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_send(sqe, op->fd, op->address, op->length, op->flags | MSG_NOSIGNAL);
}

void weir__socket_prep_recvmsg(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_recvmsg(sqe, op->fd, op->address, (unsigned)op->flags | MSG_CMSG_CLOEXEC);
}

void weir__socket_prep_sendmsg(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_sendmsg(sqe, op->fd, op->address, (unsigned)op->flags | MSG_NOSIGNAL);
}

void weir__socket_prep_recv_multishot(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, op->flags);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = WEIR__RECEIVE_GROUP;
}

void weir__socket_prep_send_zc(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_send_zc(sqe, op->fd, op->address, op->length, op->flags | MSG_NOSIGNAL,
                          WEIR__SEND_ZC_REPORT_USAGE);
}

void weir__socket_prep_poll(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_poll_add(sqe, op->fd, (unsigned)op->flags);
}

/* TCP_NODELAY from the start: whoever wants Nagle's algorithm can turn it on at any time, and a
 * listener hands either on to what it accepts. Other stream protocols refuse, which is fine. */
int64_t weir__socket_call_socket(struct weir__op *op)
{
    bool internet = op->other_fd == AF_INET || op->other_fd == AF_INET6;
    int fd = weir__kernel_socket(op->other_fd, op->flags | SOCK_CLOEXEC, op->mode);
    int on = 1;

    if (fd < 0)
        return fd;
    weir__descriptor_forget(fd);
    if (internet && (op->flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) == SOCK_STREAM)
        weir__kernel_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

int64_t weir__socket_call_socketpair(struct weir__op *op)
{
    int *pair = op->address;
    int result = weir__kernel_socketpair(op->other_fd, op->flags | SOCK_CLOEXEC, op->mode, pair);

    if (result < 0)
        return result;
    weir__descriptor_forget(pair[0]);
    weir__descriptor_forget(pair[1]);
    return 0;
}

int64_t weir__socket_call_bind(struct weir__op *op)
{
    return weir__kernel_bind(op->fd, op->address, (socklen_t)op->length);
}

int64_t weir__socket_call_listen(struct weir__op *op)
{
    return weir__kernel_listen(op->fd, op->mode);
}

int64_t weir__socket_call_accept(struct weir__op *op)
{
    return weir__kernel_accept4(op->fd, op->address, op->other_address, op->flags | SOCK_CLOEXEC);
}

int64_t weir__socket_call_connect(struct weir__op *op)
{
    int flags = weir__kernel_get_flags(op->fd);
    int64_t result;

    if (flags < 0)
        return flags;
    if (!(flags & O_NONBLOCK))
        weir__kernel_set_flags(op->fd, flags | O_NONBLOCK);
    result = weir__kernel_connect(op->fd, op->address, (socklen_t)op->length);
    if (!(flags & O_NONBLOCK))
        weir__kernel_set_flags(op->fd, flags);
    return result;
}

/* The kernel goes on connecting when nobody waits any more: the peer could accept what the caller
 * believes to have failed. So the attempt's own outcome counts if there is one by now; else it is
 * taken back, which connect(2) does for AF_UNSPEC. */
int64_t weir__socket_settle_connect(struct weir__op *op)
{
    struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
    int64_t result = weir__socket_call_connect(op);

    if (result == -EISCONN)
        return 0;
    if (result != -EALREADY && result != -EINPROGRESS)
        return result;
    weir__kernel_connect(op->fd, &nowhere, sizeof nowhere);
    return op->reason;
}

int64_t weir__socket_call_shutdown(struct weir__op *op)
{
    return weir__kernel_shutdown(op->fd, op->flags);
}
