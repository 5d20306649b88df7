/* SPDX-License-Identifier: MIT */
/*
 * Sockets: the calls of POSIX, with a deadline last, that park the task instead of the thread. They
 * wait on the ring; what waits for a peer has no bound but the parked task, so ten thousand silent
 * clients never stop the one that speaks. O_NONBLOCK makes no difference; MSG_DONTWAIT does.
 *
 * What weir adds: descriptors are close-on-exec; no call raises SIGPIPE (-EPIPE); TCP_NODELAY is on
 * for TCP sockets made by weir_socket and weir_listen_at, and for those they accept (turn it off by
 * setsockopt(2), or weir_listen_options.no_nodelay).
 *
 * setsockopt, getsockopt, getsockname and getpeername never wait: call them as they are, or by name
 * and unit as <weir/socket_option.h> has them. Datagrams are in <weir/datagram.h>, descriptors in
 * messages in <weir/unix.h>.
 *
 * Errors of all of them, besides those of the man page: -EINVAL a NULL or a size that cannot be;
 * -EBADF also when weir_close ended the call; -EBUSY in use on another loop; -ECANCELED; -EAGAIN,
 * -ETIME not done by the deadline, and then without effect; -ENXIO not in a task.
 *
 * Example:
 *     int fd = weir_accept(listener, NULL, NULL, 0, WEIR_FOREVER);
 *     ssize_t count = weir_recv(fd, request, sizeof request, 0, weir_in_ms(5000));
 */
#ifndef WEIR_SOCKET_H
#define WEIR_SOCKET_H

#include <sys/socket.h>
#include <sys/types.h>
#include <weir/base.h>

WEIR_BEGIN

/* Makes a socket, with SOCK_CLOEXEC. Returns the descriptor, for weir_close. Errors: socket(2). */
WEIR_API WEIR_MUST_CHECK int weir_socket(int domain, int type, int protocol) WEIR_SUSPENDS;

/* Gives a socket its address. Only unix-domain paths wait. Returns 0. Errors: bind(2). */
WEIR_API WEIR_MUST_CHECK int weir_bind(int fd, const struct sockaddr *address,
                                       socklen_t address_bytes, int64_t deadline_ns) WEIR_SUSPENDS;

/* Begins to accept connections. Returns 0. Errors: listen(2). */
WEIR_API WEIR_MUST_CHECK int weir_listen(int fd, int backlog) WEIR_SUSPENDS;

/*
 * Takes the oldest connection. `address` with `*address_bytes` of room gets the peer's, both may be
 * NULL; `flags` is 0 or SOCK_NONBLOCK.
 * Returns the descriptor, for weir_close. Errors: accept(2); see weir_is_transient.
 */
WEIR_API WEIR_MUST_CHECK int weir_accept(int fd, struct sockaddr *address, socklen_t *address_bytes,
                                         int flags, int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Connects. Returns 0. Errors: connect(2), such as -ECONNREFUSED, and TCP's own -ETIMEDOUT; after
 * these close the socket, its state is unspecified. After -EAGAIN, -ETIME and -ECANCELED it is not
 * connected, and not connecting: the attempt was taken back, and another may be made. A unix-domain
 * listener whose backlog is full is tried again with growing pauses, up to 64 ms: no order among
 * those who wait for it.
 */
WEIR_API WEIR_MUST_CHECK int weir_connect(int fd, const struct sockaddr *address,
                                          socklen_t address_bytes,
                                          int64_t deadline_ns) WEIR_SUSPENDS;

/* Receives what is there, once something is; `flags` of MSG_*. Returns the number of bytes, 0 when
 * the peer has ended its stream. Errors: recv(2). With MSG_WAITALL the kernel returns what came
 * before an error, and forgets that: a reset then looks like an end. */
WEIR_API WEIR_MUST_CHECK ssize_t weir_recv(int fd, void *buffer, size_t bytes, int flags,
                                           int64_t deadline_ns) WEIR_SUSPENDS;

/* Sends what there is room for, once there is. Returns the number of bytes. Errors: send(2). */
WEIR_API WEIR_MUST_CHECK ssize_t weir_send(int fd, const void *buffer, size_t bytes, int flags,
                                           int64_t deadline_ns) WEIR_SUSPENDS;

/* The same with addresses, several buffers and control data; recvmsg(2), sendmsg(2). Descriptors
 * received are close-on-exec. */
WEIR_API WEIR_MUST_CHECK ssize_t weir_recvmsg(int fd, struct msghdr *message, int flags,
                                              int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK ssize_t weir_sendmsg(int fd, const struct msghdr *message, int flags,
                                              int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Receives until the buffer is full. Returns the number of bytes, fewer only when the peer has
 * ended its stream. After an error (deadline and cancel too) the bytes before it have been received
 * all the same: `done_bytes`, unless NULL, gets their number in every case, so that the caller can
 * go on where this call ended.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_recv_all(int fd, void *buffer, size_t bytes, int flags,
                                               size_t *done_bytes,
                                               int64_t deadline_ns) WEIR_SUSPENDS;

/* Sends all. Returns `bytes`. After an error the first `*done_bytes` of them are sent, the others
 * are not; as weir_recv_all. */
WEIR_API WEIR_MUST_CHECK ssize_t weir_send_all(int fd, const void *buffer, size_t bytes, int flags,
                                               size_t *done_bytes,
                                               int64_t deadline_ns) WEIR_SUSPENDS;

/* Ends one direction or both; `how` is SHUT_RD, SHUT_WR or SHUT_RDWR. Wakes who waits on the
 * socket; works from any loop. Returns 0. Errors: shutdown(2). */
WEIR_API int weir_shutdown(int fd, int how) WEIR_SUSPENDS;

WEIR_END

#endif
