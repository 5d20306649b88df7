/* SPDX-License-Identifier: MIT */
/* Datagrams with addresses, many of them, and cut ones; the chapter is <weir/datagram.h>. */
#include "io/datagram.h"

#include "base/kernel.h"
#include "core/park.h"
#include "io/control.h"

#include <weir/datagram.h>
#include <weir/runtime.h>
#include <weir/socket.h>

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>

enum {
    ROOM_BYTES_MAX = 1024 * 1024, /* of the messages of one call: what may be copied in one go */
    PAYLOAD_BYTES_MAX = 65507,    /* of an IPv4 datagram */
    CUT_MAX = 64,                 /* segments that the kernel makes of one send */
    PLAIN_MAX = 16,               /* segments that go in one sendmmsg */
};

/* --- one -------------------------------------------------------------------------------------- */

static bool is_buffer(const void *buffer, size_t bytes)
{
    return (buffer || bytes == 0) && bytes <= SSIZE_MAX;
}

ssize_t weir_recvfrom(int fd, void *buffer, size_t bytes, int flags, struct sockaddr *address,
                      socklen_t *address_bytes, int64_t deadline_ns)
{
    struct iovec vector = { buffer, bytes };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_name = address };
    ssize_t result;

    if (!is_buffer(buffer, bytes) || (address && !address_bytes))
        return -EINVAL;
    message.msg_namelen = address ? *address_bytes : 0;
    result = weir_recvmsg(fd, &message, flags, deadline_ns);
    if (result >= 0 && address)
        *address_bytes = message.msg_namelen;
    return result;
}

ssize_t weir_sendto(int fd, const void *buffer, size_t bytes, int flags,
                    const struct sockaddr *address, socklen_t address_bytes, int64_t deadline_ns)
{
    struct iovec vector = { (void *)buffer, bytes };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_name = (void *)address };

    if (!is_buffer(buffer, bytes) || address_bytes > sizeof(struct sockaddr_storage))
        return -EINVAL;
    message.msg_namelen = address ? address_bytes : 0;
    return weir_sendmsg(fd, &message, flags, deadline_ns);
}

/* --- many ------------------------------------------------------------------------------------- */

int64_t weir__datagram_call_recvmmsg(struct weir__op *op)
{
    return weir__kernel_recvmmsg(op->fd, op->address, (unsigned)op->length,
                                 op->flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
}

int64_t weir__datagram_call_sendmmsg(struct weir__op *op)
{
    return weir__kernel_sendmmsg(op->fd, op->address, (unsigned)op->length,
                                 op->flags | MSG_DONTWAIT | MSG_NOSIGNAL);
}

static size_t room_of(const struct msghdr *message)
{
    size_t bytes = 0;

    for (size_t i = 0; i < message->msg_iovlen && bytes < ROOM_BYTES_MAX; i++)
        bytes += message->msg_iov[i].iov_len;
    return bytes;
}

/* How many are taken on at once: what one call copies must not hold the loop for long. */
static unsigned bound(const struct mmsghdr *messages, unsigned count)
{
    size_t bytes = room_of(&messages[0].msg_hdr);
    unsigned taken = 1;

    while (taken < count && taken < WEIR_DATAGRAMS_MAX) {
        bytes += room_of(&messages[taken].msg_hdr);
        if (bytes > ROOM_BYTES_MAX)
            break;
        taken++;
    }
    return taken;
}

static bool are_messages(const struct mmsghdr *messages, unsigned count)
{
    if (!messages || count == 0)
        return false;
    for (unsigned i = 0; i < count && i < WEIR_DATAGRAMS_MAX; i++)
        if (messages[i].msg_hdr.msg_iovlen > IOV_MAX ||
            (!messages[i].msg_hdr.msg_iov && messages[i].msg_hdr.msg_iovlen))
            return false;
    return true;
}

/* `many` as far as it goes without waiting; else one message by `one`, which waits. */
static int transfer(enum weir__op_id many,
                    ssize_t (*one)(int fd, struct msghdr *message, int flags, int64_t deadline_ns),
                    int fd, struct mmsghdr *messages, unsigned count, int flags,
                    int64_t deadline_ns)
{
    struct weir__op op = { .fd = fd, .address = messages, .flags = flags };
    int64_t result;

    if (!are_messages(messages, count))
        return -EINVAL;
    op.length = bound(messages, count);
    result = weir__op_run(many, &op, deadline_ns);
    if (result != -EAGAIN || deadline_ns == WEIR_NOW || (flags & MSG_DONTWAIT))
        return (int)result;
    result = one(fd, &messages[0].msg_hdr, flags, deadline_ns);
    if (result < 0)
        return (int)result;
    messages[0].msg_len = (unsigned)result;
    return 1;
}

int weir_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, int64_t deadline_ns)
{
    int result =
        transfer(WEIR__OP_ID_RECVMMSG, weir_recvmsg, fd, messages, count, flags, deadline_ns);

    for (int i = 0; i < result; i++)
        weir__control_forget_fds(&messages[i].msg_hdr);
    return result;
}

static ssize_t send_one(int fd, struct msghdr *message, int flags, int64_t deadline_ns)
{
    return weir_sendmsg(fd, message, flags, deadline_ns);
}

int weir_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, int64_t deadline_ns)
{
    return transfer(WEIR__OP_ID_SENDMMSG, send_one, fd, messages, count, flags, deadline_ns);
}

/* --- cut ones --------------------------------------------------------------------------------- */

bool weir__datagram_can_cut(void)
{
    int fd = weir__kernel_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int none = 0, error;

    if (fd < 0)
        return false;
    error = weir__kernel_setsockopt(fd, IPPROTO_UDP, WEIR__UDP_SEGMENT, &none, sizeof none);
    weir__kernel_close(fd);
    return error >= 0;
}

/* One weir_send_segments: what is left of it. */
struct cut {
    int fd;
    char *next;
    size_t left_bytes;
    size_t segment_bytes;
    void *address;
    socklen_t address_bytes;
    int64_t deadline_ns;
};

/* As many segments as the kernel cuts at once. */
static ssize_t send_cut(const struct cut *cut)
{
    size_t most = PAYLOAD_BYTES_MAX / cut->segment_bytes;
    size_t bytes = (most < CUT_MAX ? most : CUT_MAX) * cut->segment_bytes;
    struct iovec vector = { cut->next, bytes < cut->left_bytes ? bytes : cut->left_bytes };
    struct msghdr message = {
        .msg_name = cut->address,
        .msg_namelen = cut->address_bytes,
        .msg_iov = &vector,
        .msg_iovlen = 1,
    };
    struct weir__control_segment control;

    if (vector.iov_len > cut->segment_bytes)
        weir__control_ask_segments(&message, &control, cut->segment_bytes);
    return weir_sendmsg(cut->fd, &message, 0, cut->deadline_ns);
}

static ssize_t send_plain(const struct cut *cut)
{
    struct mmsghdr messages[PLAIN_MAX];
    struct iovec vectors[PLAIN_MAX];
    size_t at = 0, sent_bytes = 0;
    unsigned count = 0;
    int sent;

    memset(messages, 0, sizeof messages);
    while (count < PLAIN_MAX && at < cut->left_bytes) {
        size_t left_bytes = cut->left_bytes - at;
        struct msghdr *message = &messages[count].msg_hdr;

        vectors[count].iov_base = cut->next + at;
        vectors[count].iov_len = left_bytes < cut->segment_bytes ? left_bytes : cut->segment_bytes;
        message->msg_name = cut->address;
        message->msg_namelen = cut->address_bytes;
        message->msg_iov = &vectors[count];
        message->msg_iovlen = 1;
        at += vectors[count++].iov_len;
    }
    sent = weir_sendmmsg(cut->fd, messages, count, 0, cut->deadline_ns);
    for (int i = 0; i < sent; i++)
        sent_bytes += vectors[i].iov_len;
    return sent < 0 ? sent : (ssize_t)sent_bytes;
}

/* No cutting: by this kernel, of this size, or for this device, which cannot do checksums. */
static bool is_refused(ssize_t result)
{
    return result == -EINVAL || result == -EIO || result == -EMSGSIZE || result == -ENOPROTOOPT;
}

static ssize_t send_segments(struct cut *cut, bool kernel_cuts)
{
    size_t bytes = cut->left_bytes;

    while (cut->left_bytes > 0) {
        ssize_t put = kernel_cuts ? send_cut(cut) : send_plain(cut);

        if (kernel_cuts && is_refused(put)) {
            kernel_cuts = false;
            continue;
        }
        if (put < 0)
            return cut->left_bytes < bytes ? (ssize_t)(bytes - cut->left_bytes) : put;
        cut->next += put;
        cut->left_bytes -= (size_t)put;
    }
    return (ssize_t)bytes;
}

ssize_t weir_send_segments(int fd, const void *buffer, size_t bytes, size_t segment_bytes,
                           const struct sockaddr *address, socklen_t address_bytes,
                           int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;
    struct cut cut = {
        .fd = fd,
        .next = (char *)buffer,
        .left_bytes = bytes,
        .segment_bytes = segment_bytes,
        .address = (void *)address,
        .address_bytes = address ? address_bytes : 0,
        .deadline_ns = deadline_ns,
    };

    if (!buffer || bytes > SSIZE_MAX || segment_bytes == 0 || segment_bytes > PAYLOAD_BYTES_MAX ||
        address_bytes > sizeof(struct sockaddr_storage))
        return -EINVAL;
    if (!loop)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    return send_segments(&cut, loop->ring.features & WEIR_FEATURE_UDP_SEGMENT);
}
