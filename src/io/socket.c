/* SPDX-License-Identifier: MIT */
/* The calls on sockets, and weir_poll; the chapters are <weir/socket.h> and <weir/descriptor.h>. */
#include "io/socket.h"

#include "base/clock.h"
#include "core/expiry.h"
#include "core/loop.h"
#include "io/control.h"
#include "io/descriptor.h"

#include <weir/descriptor.h>
#include <weir/socket.h>
#include <weir/task.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

enum { CALL_BYTES_MAX = 0x7ffff000 }; /* what the kernel transfers in one call, at most */

/* Pauses between tries to connect to a unix-domain listener whose backlog is full. */
static const int64_t pause_min_ns = 1000000;
static const int64_t pause_max_ns = 64000000;

static bool is_buffer(const void *buffer, size_t bytes)
{
    return (buffer || bytes == 0) && bytes <= SSIZE_MAX;
}

static bool is_address(const struct sockaddr *address, socklen_t bytes)
{
    return address && bytes >= sizeof address->sa_family &&
           bytes <= sizeof(struct sockaddr_storage);
}

int weir_socket(int domain, int type, int protocol)
{
    struct weir__op op = { .fd = -1, .other_fd = domain, .flags = type, .mode = protocol };

    return (int)weir__op_run(WEIR__OP_ID_SOCKET, &op, WEIR_FOREVER);
}

int weir_bind(int fd, const struct sockaddr *address, socklen_t address_bytes, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .address = (void *)address, .length = address_bytes };

    if (!is_address(address, address_bytes))
        return -EINVAL;
    return (int)weir__op_run(WEIR__OP_ID_BIND, &op, deadline_ns);
}

int weir_listen(int fd, int backlog)
{
    struct weir__op op = { .fd = fd, .mode = backlog };

    return (int)weir__op_run(WEIR__OP_ID_LISTEN, &op, WEIR_FOREVER);
}

int weir_accept(int fd, struct sockaddr *address, socklen_t *address_bytes, int flags,
                int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .address = address, .other_address = address_bytes };
    int accepted;

    if (address && !address_bytes)
        return -EINVAL;
    op.flags = flags;
    accepted = (int)weir__op_run(WEIR__OP_ID_ACCEPT, &op, deadline_ns);
    if (accepted >= 0)
        weir__descriptor_forget(accepted);
    return accepted;
}

int weir__socket_accept_now(int fd, struct sockaddr *address, socklen_t *address_bytes)
{
    struct weir__op op = { .fd = fd, .address = address, .other_address = address_bytes };
    int accepted = (int)weir__op_run(WEIR__OP_ID_ACCEPT_NOW, &op, WEIR_FOREVER);

    if (accepted >= 0)
        weir__descriptor_forget(accepted);
    return accepted;
}

int weir__socket_try_connect(int fd, const struct sockaddr *address, socklen_t address_bytes,
                             int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .address = (void *)address, .length = address_bytes };

    return (int)weir__op_run(WEIR__OP_ID_CONNECT, &op, deadline_ns);
}

int weir_connect(int fd, const struct sockaddr *address, socklen_t address_bytes,
                 int64_t deadline_ns)
{
    int64_t pause_ns = pause_min_ns;

    if (!is_address(address, address_bytes))
        return -EINVAL;
    for (;;) {
        int result = weir__socket_try_connect(fd, address, address_bytes, deadline_ns);
        int64_t now_ns, next_ns;

        if (result != -EAGAIN || deadline_ns == WEIR_NOW || address->sa_family != AF_UNIX)
            return result;
        now_ns = weir__clock_now();
        if (now_ns >= deadline_ns) {
            weir__expiry_note(weir__loop_current, WEIR_PHASE_PEER);
            return -ETIME;
        }
        next_ns = weir__clock_add(now_ns, pause_ns);
        result = weir_sleep(next_ns < deadline_ns ? next_ns : deadline_ns);
        if (result < 0)
            return result;
        pause_ns = pause_ns < pause_max_ns ? pause_ns * 2 : pause_max_ns;
    }
}

/* One op on one buffer. */
static ssize_t transfer(enum weir__op_id id, int fd, void *buffer, size_t bytes, int flags,
                        int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .address = buffer, .flags = flags };

    if (!is_buffer(buffer, bytes))
        return -EINVAL;
    op.length = bytes < CALL_BYTES_MAX ? bytes : CALL_BYTES_MAX;
    return weir__op_run(id, &op, deadline_ns);
}

ssize_t weir_recv(int fd, void *buffer, size_t bytes, int flags, int64_t deadline_ns)
{
    return transfer(WEIR__OP_ID_RECV, fd, buffer, bytes, flags, deadline_ns);
}

ssize_t weir_send(int fd, const void *buffer, size_t bytes, int flags, int64_t deadline_ns)
{
    return transfer(WEIR__OP_ID_SEND, fd, (void *)buffer, bytes, flags, deadline_ns);
}

ssize_t weir_recvmsg(int fd, struct msghdr *message, int flags, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .address = message, .flags = flags };
    ssize_t result;

    if (!message)
        return -EINVAL;
    result = weir__op_run(WEIR__OP_ID_RECVMSG, &op, deadline_ns);
    if (result >= 0)
        weir__control_forget_fds(message);
    return result;
}

ssize_t weir_sendmsg(int fd, const struct msghdr *message, int flags, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .address = (void *)message, .flags = flags };

    if (!message)
        return -EINVAL;
    return weir__op_run(WEIR__OP_ID_SENDMSG, &op, deadline_ns);
}

/* Sends with MSG_WAITALL, which saves trips, but may still end short. Receives without: an error
 * that comes after some bytes would be lost with it (Linux 6.18), and a reset look like the end. */
static ssize_t transfer_all(enum weir__op_id id, int fd, void *buffer, size_t bytes, int flags,
                            size_t *done_bytes, int64_t deadline_ns)
{
    size_t sum_bytes = 0;
    ssize_t got;

    do {
        got = transfer(id, fd, (char *)buffer + sum_bytes, bytes - sum_bytes, flags, deadline_ns);
        if (got > 0)
            sum_bytes += (size_t)got;
    } while (got > 0 && sum_bytes < bytes);
    if (done_bytes)
        *done_bytes = sum_bytes;
    return got < 0 ? got : (ssize_t)sum_bytes;
}

ssize_t weir_recv_all(int fd, void *buffer, size_t bytes, int flags, size_t *done_bytes,
                      int64_t deadline_ns)
{
    return transfer_all(WEIR__OP_ID_RECV, fd, buffer, bytes, flags, done_bytes, deadline_ns);
}

ssize_t weir_send_all(int fd, const void *buffer, size_t bytes, int flags, size_t *done_bytes,
                      int64_t deadline_ns)
{
    return transfer_all(WEIR__OP_ID_SEND, fd, (void *)buffer, bytes, flags | MSG_WAITALL,
                        done_bytes, deadline_ns);
}

int weir_shutdown(int fd, int how)
{
    struct weir__op op = { .fd = fd, .flags = how };

    return (int)weir__op_run(WEIR__OP_ID_SHUTDOWN, &op, WEIR_FOREVER);
}

int weir_poll(int fd, short events, int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .flags = (unsigned short)events };

    return (int)weir__op_run(WEIR__OP_ID_POLL, &op, deadline_ns);
}
