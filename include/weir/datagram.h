/* SPDX-License-Identifier: MIT */
/*
 * Datagrams: one at a time with their addresses, many in one call, and long buffers that the kernel
 * cuts (GSO) and joins (GRO). A datagram is delivered by the call that says so, or it is still in
 * the kernel; a deadline or a cancel takes none.
 *
 * Errors of all of them are those of <weir/socket.h>. An error that an earlier datagram met on its
 * way (-ECONNREFUSED) is returned once, by whichever call comes next.
 *
 * Control data is read with the functions at the end: give each message WEIR_CONTROL_BYTES of room
 * (msg_control, msg_controllen), aligned as a size_t is.
 *
 * Example, with WEIR_SOCKET_GRO set: each datagram of what came as one.
 *     ssize_t bytes = weir_recvmsg(fd, &message, 0, WEIR_FOREVER);
 *     for (ssize_t at = 0, part; at < bytes; at += part) {
 *         part = (ssize_t)weir_message_segment(&message, (size_t)bytes, (size_t)at);
 *         handle(buffer + at, part);
 *     }
 */
#ifndef WEIR_DATAGRAM_H
#define WEIR_DATAGRAM_H

#include <sys/socket.h>
#include <sys/types.h>
#include <weir/base.h>

struct mmsghdr; /* defined by <sys/socket.h> with _GNU_SOURCE */

/* When a message came, by CLOCK_REALTIME; 0: not known. */
struct weir_timestamps {
    int64_t software_ns; /* the kernel took it from the network device */
    int64_t hardware_ns; /* the device received it, by its own clock */
};

enum {
    WEIR_DATAGRAMS_MAX = 64,  /* that one call takes or sends */
    WEIR_CONTROL_BYTES = 128, /* room for what the functions below read */
};

WEIR_BEGIN

/* As weir_recv and weir_send, with the other side's address: `*address_bytes` of room, both may be
 * NULL. Errors: -EDESTADDRREQ, -EMSGSIZE and what else recvfrom(2), sendto(2) say. */
WEIR_API WEIR_MUST_CHECK ssize_t weir_recvfrom(int fd, void *buffer, size_t bytes, int flags,
                                               struct sockaddr *address, socklen_t *address_bytes,
                                               int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK ssize_t weir_sendto(int fd, const void *buffer, size_t bytes, int flags,
                                             const struct sockaddr *address,
                                             socklen_t address_bytes,
                                             int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Receives the datagrams that are there, once one is: at most `count`, WEIR_DATAGRAMS_MAX, and as
 * many as have a MiB of room together. msg_len of each says its bytes. When none was there, the one
 * that was waited for is returned alone.
 * Returns how many. Errors: recvmmsg(2); -EINVAL also for a count of 0.
 */
WEIR_API WEIR_MUST_CHECK int weir_recvmmsg(int fd, struct mmsghdr *messages, unsigned count,
                                           int flags, int64_t deadline_ns) WEIR_SUSPENDS;

/* Sends datagrams in order, as many as there is room for, once there is room for one; the same
 * bounds. Returns how many. Errors: sendmmsg(2), and then none was sent. */
WEIR_API WEIR_MUST_CHECK int weir_sendmmsg(int fd, struct mmsghdr *messages, unsigned count,
                                           int flags, int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Sends a buffer as UDP datagrams of `segment_bytes`, the last one shorter, to `address` or, if
 * that is NULL, to the connected peer. The kernel or the device cuts it (UDP_SEGMENT, Linux 4.18),
 * 64 at once; what they refuse to cut, since a segment does not fit into the device's MTU, and all
 * of it without WEIR_FEATURE_UDP_SEGMENT, goes by weir_sendmmsg. Returns the bytes sent, all of
 * them unless something failed after the first datagram. Errors: as weir_sendto, and then none was
 * sent; -EINVAL a segment of 0 or over 65507 bytes.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_send_segments(int fd, const void *buffer, size_t bytes,
                                                    size_t segment_bytes,
                                                    const struct sockaddr *address,
                                                    socklen_t address_bytes,
                                                    int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Joins or leaves a multicast group, such as "239.1.2.3" or "ff12::1", at an interface by name;
 * NULL: where the routes lead. It may wait for a lock of the kernel's network configuration: on the
 * pool. Returns 0.
 * Errors: -EINVAL no address, not a multicast one, or not joined; -ENODEV no such interface;
 * -EADDRINUSE joined already; -ENOBUFS net.ipv4.igmp_max_memberships; setsockopt(2).
 */
WEIR_API WEIR_MUST_CHECK int weir_multicast_join(int fd, const char *group, const char *interface,
                                                 int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK int weir_multicast_leave(int fd, const char *group, const char *interface,
                                                  int64_t deadline_ns) WEIR_SUSPENDS;

/* The bytes of the datagram that begins at `offset` of a message of `bytes`: with WEIR_SOCKET_GRO
 * several of one size came as one. 0 at the end. */
WEIR_API size_t weir_message_segment(const struct msghdr *message, size_t bytes,
                                     size_t offset) WEIR_ANY_THREAD;

/* When a message came; needs WEIR_SOCKET_TIMESTAMPS. Returns 0. Errors: -ENOENT it does not say. */
WEIR_API WEIR_MUST_CHECK int weir_message_timestamps(const struct msghdr *message,
                                                     struct weir_timestamps *times) WEIR_ANY_THREAD;

WEIR_END

#endif
