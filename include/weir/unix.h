/* SPDX-License-Identifier: MIT */
/*
 * Unix-domain sockets, beyond <weir/socket.h>: pairs, descriptors in messages, and who the peer is.
 * Stream, datagram and seqpacket sockets alike.
 *
 * A descriptor that was sent is a second one for the same open file: the sender keeps its own. One
 * that was received is the receiver's, close-on-exec, for weir_close. None is ever leaked: those
 * that a call does not hand out it closes.
 *
 * Example:
 *     int log = weir_openat(AT_FDCWD, "log", O_APPEND | O_WRONLY, 0, WEIR_FOREVER);
 *     ssize_t sent = weir_send_fds(worker, "log", 4, &log, 1, weir_in_ms(100));
 */
#ifndef WEIR_UNIX_H
#define WEIR_UNIX_H

#include <sys/types.h>
#include <weir/base.h>

struct weir_credentials {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};

enum { WEIR_FDS_MAX = 253 }; /* in one message; the kernel's bound */

WEIR_BEGIN

/* Two connected sockets, close-on-exec, each for weir_close. Returns 0. Errors: socketpair(2). */
WEIR_API WEIR_MUST_CHECK int weir_socketpair(int domain, int type, int protocol,
                                             int pair[2]) WEIR_SUSPENDS;

/*
 * Sends bytes, at least one, and descriptors that travel with the first of them.
 * Returns the number of bytes sent; on a stream perhaps fewer than `bytes`: weir_send_all does the
 * rest.
 * Errors: sendmsg(2); -EINVAL no byte, or more than WEIR_FDS_MAX; -EBADF also one of `fds`;
 * -ETOOMANYREFS too many are under way; -EAGAIN, -ETIME, -ECANCELED nothing was sent.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_send_fds(int fd, const void *buffer, size_t bytes,
                                               const int *fds, unsigned fd_count,
                                               int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Receives bytes and the descriptors that came with them: at most `*fd_count`, which is set to
 * their number, also to 0. `sender` gets the credentials that came along, all -1 when none did; may
 * be NULL. They come where WEIR_SOCKET_PASS_CREDENTIALS is set, and are checked by the kernel.
 * Returns the number of bytes; 0 the peer has ended its stream.
 * Errors: recvmsg(2); -EMSGSIZE more descriptors came than there is room for, -EMFILE not all could
 * be made here: then the message has been received, its bytes are in the buffer, and none of its
 * descriptors is open; -EAGAIN, -ETIME, -ECANCELED nothing was received.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_recv_fds(int fd, void *buffer, size_t bytes, int *fds,
                                               unsigned *fd_count, struct weir_credentials *sender,
                                               int64_t deadline_ns) WEIR_SUSPENDS;

/* Who connected, or listened, at the time it did (SO_PEERCRED). Returns 0. Errors: getsockopt(2);
 * -ENOTCONN there is no peer to be known. */
WEIR_API WEIR_MUST_CHECK int weir_peer_credentials(int fd,
                                                   struct weir_credentials *peer) WEIR_ANY_THREAD;

WEIR_END

#endif
