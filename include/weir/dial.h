/* SPDX-License-Identifier: MIT */
/*
 * Dialing: from a name to a connected socket, in one call. All addresses of the name are raced as
 * RFC 8305 ("happy eyeballs") has it: the families in turn, one attempt after the other, each begun
 * when the one before has failed or has been silent for a quarter of a second. The first to connect
 * wins; the others are cancelled and closed before the call returns.
 *
 *     "example.org:443"   "example.org:https"   "127.0.0.1:80"   "[::1]:80"   "[fe80::1%eth0]:80"
 *     "unix:/run/x"       "unix:@abstract"
 *
 * Example:
 *     int fd = weir_dial("example.org:443", NULL, weir_in_ms(3000));
 */
#ifndef WEIR_DIAL_H
#define WEIR_DIAL_H

#include <weir/base.h>

/* Zeroed means default. */
struct weir_dial_options {
    size_t size;              /* sizeof(struct weir_dial_options); 0 means the first version's */
    int family;               /* AF_INET or AF_INET6; 0: both */
    const char *local;        /* bind to it first: "192.0.2.1:0"; NULL: the system chooses */
    int64_t stagger_ns;       /* from one attempt to the next; 0: 250 ms */
    unsigned addresses_max;   /* tried; at most, and 0: 64 */
    bool fresh;               /* the name's addresses not from the cache */
    bool no_nodelay;          /* leave Nagle's algorithm on */
    int keepalive_s;          /* silence before the peer is probed; 0: no probes */
    int keepalive_interval_s; /* between probes; 0: the system's */
    int keepalive_count;      /* unanswered ones that end the connection; 0: the system's */
    uint64_t reserved[4];     /* must be zero */
};

WEIR_BEGIN

/*
 * Connects a stream socket to an address.
 * Returns the descriptor, for weir_close.
 * Errors: -EINVAL not such an address, or bad options; those of weir_resolve; those of weir_connect
 * and weir_bind: of all attempts the one that got furthest, -ECONNREFUSED before -EHOSTUNREACH;
 * -EAGAIN, -ETIME not connected by then; -ECANCELED; -EMFILE.
 */
WEIR_API WEIR_MUST_CHECK int weir_dial(const char *address, const struct weir_dial_options *options,
                                       int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
