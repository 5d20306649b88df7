/* SPDX-License-Identifier: MIT */
/* Descriptors in messages, pairs, and who the peer is; the chapter is <weir/unix.h>. */
#include "base/kernel.h"
#include "io/control.h"
#include "io/descriptor.h"
#include "io/op.h"

#include <weir/descriptor.h>
#include <weir/socket.h>
#include <weir/unix.h>

#include <errno.h>
#include <limits.h>

int weir_socketpair(int domain, int type, int protocol, int pair[2])
{
    struct weir__op op = { .fd = -1, .other_fd = domain, .flags = type, .mode = protocol };

    if (!pair)
        return -EINVAL;
    op.address = pair;
    return (int)weir__op_run(WEIR__OP_ID_SOCKETPAIR, &op, WEIR_FOREVER);
}

ssize_t weir_send_fds(int fd, const void *buffer, size_t bytes, const int *fds, unsigned fd_count,
                      int64_t deadline_ns)
{
    struct iovec vector = { (void *)buffer, bytes };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
    struct weir__control_fds control;

    if (!buffer || bytes == 0 || bytes > SSIZE_MAX || (fd_count && !fds) || fd_count > WEIR_FDS_MAX)
        return -EINVAL;
    weir__control_put_fds(&message, &control, fds, fd_count);
    return weir_sendmsg(fd, &message, 0, deadline_ns);
}

/* What may be the last reference to an open file is closed where that may block. */
static void close_all(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        weir_close(fds[i]);
}

/* Hands out all of a message's descriptors, or closes all. */
static int take_fds(const struct msghdr *message, int *fds, unsigned *fd_count)
{
    unsigned room = *fd_count;
    int got[WEIR_FDS_MAX];
    unsigned count = weir__control_get_fds(message, got, WEIR_FDS_MAX);
    int error = 0;

    if (message->msg_flags & MSG_CTRUNC)
        error = -EMFILE; /* there is room for all that one message can hold */
    else if (count > room)
        error = -EMSGSIZE;
    *fd_count = 0;
    if (error < 0) {
        close_all(got, count);
        return error;
    }
    for (unsigned i = 0; i < count; i++)
        fds[i] = got[i];
    *fd_count = count;
    return 0;
}

ssize_t weir_recv_fds(int fd, void *buffer, size_t bytes, int *fds, unsigned *fd_count,
                      struct weir_credentials *sender, int64_t deadline_ns)
{
    struct weir__control_fds control;
    struct iovec vector = { buffer, bytes };
    struct msghdr message = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control.bytes,
    };
    ssize_t result;
    int error;

    if (!buffer || bytes == 0 || bytes > SSIZE_MAX || !fd_count || (*fd_count && !fds))
        return -EINVAL;
    result = weir_recvmsg(fd, &message, 0, deadline_ns);
    if (result < 0)
        return result;
    if (sender)
        weir__control_get_credentials(&message, sender);
    error = take_fds(&message, fds, fd_count);
    return error < 0 ? error : result;
}

int weir_peer_credentials(int fd, struct weir_credentials *peer)
{
    struct ucred who = { 0 };
    socklen_t bytes = sizeof who;
    int error;

    if (!peer)
        return -EINVAL;
    error = weir__kernel_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes);
    if (error < 0)
        return error;
    if (who.pid == 0 && who.uid == (uid_t)-1)
        return -ENOTCONN;
    *peer = (struct weir_credentials){ who.pid, who.uid, who.gid };
    return 0;
}
