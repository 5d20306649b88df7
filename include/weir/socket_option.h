/* SPDX-License-Identifier: MIT */
/*
 * Options of sockets, by name and in weir's units: a count, a number of bytes, or a duration in ns,
 * which is rounded up to what the kernel keeps (a second, a millisecond, a microsecond). A switch
 * is 0 or 1. What can be set reads back as it was set, unless the kernel cut it.
 *
 * All of them are there on Linux 6.1, the oldest that weir runs on. They never wait, and need no
 * task. An option that a socket of this kind does not have is -ENOPROTOOPT or -EOPNOTSUPP.
 *
 * Example:
 *     weir_socket_set(fd, WEIR_SOCKET_KEEP_ALIVE, 1);
 *     weir_socket_set(fd, WEIR_SOCKET_USER_TIMEOUT, 30000000000);
 */
#ifndef WEIR_SOCKET_OPTION_H
#define WEIR_SOCKET_OPTION_H

#include <sys/socket.h>
#include <weir/base.h>

enum weir_socket_option {
    /* any kind */
    WEIR_SOCKET_REUSE_ADDRESS,  /* bind where old connections linger */
    WEIR_SOCKET_REUSE_PORT,     /* several sockets at one port; before bind */
    WEIR_SOCKET_RECEIVE_BUFFER, /* bytes, at most net.core.rmem_max; ends the kernel's own tuning */
    WEIR_SOCKET_SEND_BUFFER,    /* bytes, at most net.core.wmem_max; likewise */
    WEIR_SOCKET_LINGER,         /* ns that close waits for the peer; 0: it resets; < 0: off */
    WEIR_SOCKET_PRIORITY,       /* of its packets, 0 to 6 */
    WEIR_SOCKET_BUSY_POLL,      /* ns to poll the device before sleeping */
    WEIR_SOCKET_INCOMING_CPU,   /* where its packets arrive */
    WEIR_SOCKET_TIMESTAMPS,     /* of receipt: 0 none, 1 the kernel's, 2 the device's too */
    /* TCP */
    WEIR_SOCKET_NO_DELAY, /* on from the start for weir's own sockets */
    WEIR_SOCKET_CORK,     /* only full segments, 200 ms at most */
    WEIR_SOCKET_QUICK_ACK,
    WEIR_SOCKET_UNSENT_LIMIT, /* bytes written and not yet sent at which it is no more writable */
    WEIR_SOCKET_USER_TIMEOUT, /* ns unacknowledged after which it ends with -ETIMEDOUT; 0: none */
    WEIR_SOCKET_KEEP_ALIVE,
    WEIR_SOCKET_KEEP_ALIVE_IDLE,     /* ns of silence before the first probe */
    WEIR_SOCKET_KEEP_ALIVE_INTERVAL, /* ns between probes */
    WEIR_SOCKET_KEEP_ALIVE_COUNT,    /* probes without answer */
    WEIR_SOCKET_DEFER_ACCEPT,        /* ns that accept lets a connection wait for bytes */
    WEIR_SOCKET_FAST_OPEN,           /* listeners: requests with data that may be pending */
    WEIR_SOCKET_SYN_COUNT,           /* tries to connect */
    WEIR_SOCKET_SEGMENT_LIMIT,       /* bytes of a segment, at most */
    /* IP, version 4 or 6 as the socket is */
    WEIR_SOCKET_V6_ONLY,
    WEIR_SOCKET_FREE_BIND,     /* bind to an address that is not there yet */
    WEIR_SOCKET_HOPS,          /* time to live */
    WEIR_SOCKET_TRAFFIC_CLASS, /* DSCP and ECN */
    WEIR_SOCKET_MULTICAST_HOPS,
    WEIR_SOCKET_MULTICAST_LOOP, /* receive one's own */
    /* UDP */
    WEIR_SOCKET_BROADCAST,
    WEIR_SOCKET_SEGMENT, /* bytes of the datagrams into which each send is cut; 0: none */
    WEIR_SOCKET_GRO,     /* receive several of one sender as one; see weir_message_segment */
    /* unix-domain */
    WEIR_SOCKET_PASS_CREDENTIALS, /* each message says who sent it; see weir_recv_fds */
    /* to be read only */
    WEIR_SOCKET_ERROR,    /* -errno of what failed last, or 0; reading it clears it */
    WEIR_SOCKET_DOMAIN,   /* AF_* */
    WEIR_SOCKET_TYPE,     /* SOCK_* */
    WEIR_SOCKET_PROTOCOL, /* IPPROTO_* */
    WEIR_SOCKET_LISTENING,
    WEIR_SOCKET_UNREAD_BYTES, /* received, of datagrams those of the next */
    WEIR_SOCKET_UNSENT_BYTES, /* written, and not yet acknowledged by the peer */
    WEIR_SOCKET_OPTION_COUNT,
};

WEIR_BEGIN

/* Returns 0. Errors: -EINVAL no such option, one that is only read, or a value out of range;
 * -ENOTSOCK; -EBADF; -EPERM; setsockopt(2). */
WEIR_API int weir_socket_set(int fd, enum weir_socket_option option, int64_t value) WEIR_ANY_THREAD;

/* *value gets it. Returns 0. Errors: as weir_socket_set; getsockopt(2). */
WEIR_API WEIR_MUST_CHECK int weir_socket_get(int fd, enum weir_socket_option option,
                                             int64_t *value) WEIR_ANY_THREAD;

/* "keep_alive" and so on; NULL when there is no such option. */
WEIR_API const char *weir_socket_option_name(int option) WEIR_ANY_THREAD;

/* The peer's address as text, as weir_socket_address has it: "192.0.2.7:51324". Returns its length.
 * Errors: -ENOTCONN; -ENOSPC; -EINVAL; getpeername(2). */
WEIR_API WEIR_MUST_CHECK int weir_peer_address(int fd, char *text, size_t bytes) WEIR_ANY_THREAD;

/* An address, say one of weir_recvfrom's, as text. Returns its length. Errors: -EINVAL; -ENOSPC;
 * -EAFNOSUPPORT. */
WEIR_API WEIR_MUST_CHECK int weir_address_text(const struct sockaddr *address,
                                               socklen_t address_bytes, char *text,
                                               size_t bytes) WEIR_ANY_THREAD;

WEIR_END

#endif
