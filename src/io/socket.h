/* SPDX-License-Identifier: MIT */
/*
 * The rows on sockets, and poll: where each runs, and how. Arguments in an op: `fd` the socket;
 * `address` the buffer, msghdr or sockaddr; `length` its bytes; `flags` as the man page has them.
 * What a row adds to this is said at its function.
 */
#ifndef WEIR_IO_SOCKET_H
#define WEIR_IO_SOCKET_H

#include "io/op.h"

#include <sys/socket.h>

/* A unix-domain path leads through directories, which may be on a disk: the pool. */
enum weir__route weir__socket_choose_bind(const struct weir__op *op);

/* As bind; and never the ring, where a full backlog would hold a worker of the kernel. */
enum weir__route weir__socket_choose_connect(const struct weir__op *op);

void weir__socket_prep_accept(struct weir__op *op,
                              struct io_uring_sqe *sqe); /* other_address: room */
void weir__socket_prep_connect(struct weir__op *op, struct io_uring_sqe *sqe);
int64_t weir__socket_settle_connect(struct weir__op *op); /* connected after all, or not at all */
void weir__socket_prep_recv(struct weir__op *op, struct io_uring_sqe *sqe);
void weir__socket_prep_send(struct weir__op *op, struct io_uring_sqe *sqe);
void weir__socket_prep_recvmsg(struct weir__op *op, struct io_uring_sqe *sqe);
void weir__socket_prep_sendmsg(struct weir__op *op, struct io_uring_sqe *sqe);
/* Into the loop's receive buffers; a standing op. */
void weir__socket_prep_recv_multishot(struct weir__op *op, struct io_uring_sqe *sqe);
void weir__socket_prep_send_zc(struct weir__op *op, struct io_uring_sqe *sqe);
void weir__socket_prep_poll(struct weir__op *op, struct io_uring_sqe *sqe); /* flags: the events */

int64_t weir__socket_call_socket(struct weir__op *op);     /* other_fd: domain; mode: protocol */
int64_t weir__socket_call_socketpair(struct weir__op *op); /* the same; address: two fds */
int64_t weir__socket_call_bind(struct weir__op *op);
int64_t weir__socket_call_listen(struct weir__op *op);  /* mode: backlog */
int64_t weir__socket_call_accept(struct weir__op *op);  /* other_address: room */
int64_t weir__socket_call_connect(struct weir__op *op); /* does not wait for a backlog: -EAGAIN */
int64_t weir__socket_call_shutdown(struct weir__op *op);

/* One try of a connect: as weir_connect, but -EAGAIN when a unix-domain backlog is full. */
int weir__socket_try_connect(int fd, const struct sockaddr *address, socklen_t address_bytes,
                             int64_t deadline_ns);

/* As weir_accept, but at once, on a socket with O_NONBLOCK: -EAGAIN when nobody waits there. */
int weir__socket_accept_now(int fd, struct sockaddr *address, socklen_t *address_bytes);

#endif
