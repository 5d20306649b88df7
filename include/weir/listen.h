/* SPDX-License-Identifier: MIT */
/*
 * Listening at an address given as text.
 *
 * Example:
 *     int listener = weir_listen_at("127.0.0.1:7000", NULL);
 *     int fd = weir_accept(listener, NULL, NULL, 0, WEIR_FOREVER);
 */
#ifndef WEIR_LISTEN_H
#define WEIR_LISTEN_H

#include <weir/base.h>

/* Zeroed means default. */
struct weir_listen_options {
    size_t size;       /* sizeof(struct weir_listen_options); 0 means the first version's */
    int backlog;       /* connections not yet accepted; 0: SOMAXCONN, cut by net.core.somaxconn */
    bool reuse_port;   /* several sockets may listen there, say one a loop; the kernel spreads */
    bool no_nodelay;   /* leave Nagle's algorithm on */
    bool unlink_stale; /* "unix:": remove a socket file first that nobody listens on any more */
    uint64_t reserved[4]; /* must be zero */
};

WEIR_BEGIN

/*
 * Makes a socket that listens at a numeric address; names are not looked up. A port is free again
 * as soon as its server has ended (SO_REUSEADDR).
 *
 *     "127.0.0.1:7000"  IPv4           ":7000"        all addresses; both families where there are
 *     "[::1]:7000"      IPv6 only      "unix:/path"   a socket file, made with the process's umask
 *     port 0            any free port  "unix:@name"   an abstract name, without a file
 *     "[fe80::1%eth0]:7000"  a link-local address, with its interface by name or number
 *
 * Returns the descriptor, for weir_close (which does not remove a socket file).
 * Errors: -EINVAL not such an address, or bad options; -ENAMETOOLONG; -ENODEV no such interface;
 * -EADDRINUSE, -EACCES and the like of bind(2) and listen(2).
 */
WEIR_API WEIR_MUST_CHECK int
weir_listen_at(const char *address, const struct weir_listen_options *options) WEIR_SUSPENDS;

/* Writes the address that a socket has, in the form that weir_listen_at takes: so port 0 becomes
 * known. Returns the text's length. Errors: -ENOSPC `bytes` are too few; -EAFNOSUPPORT neither
 * internet nor unix; -EBADF, -ENOTSOCK. */
WEIR_API WEIR_MUST_CHECK int weir_socket_address(int fd, char *text, size_t bytes) WEIR_ANY_THREAD;

WEIR_END

#endif
