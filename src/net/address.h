/* SPDX-License-Identifier: MIT */
/* Socket addresses as text: "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", ":80", "unix:/path",
 * "unix:@abstract"; and, to dial, "name:service". */
#ifndef WEIR_NET_ADDRESS_H
#define WEIR_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

struct weir__address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un path;
    };
    socklen_t bytes;
    bool both_families; /* ":80": the IPv6 wildcard here, meant for IPv4 too */
};

enum { WEIR__HOST_BYTES = 256, WEIR__SERVICE_BYTES = 32 }; /* with their final zeros */

/* A numeric address to listen at. 0; -EINVAL not such an address; -ENAMETOOLONG; -ENODEV no such
 * zone. */
int weir__address_parse(struct weir__address *address, const char *text);

/* "127.0.0.1", "::1" or "fe80::1%eth0". 0; -EINVAL not numeric; -ENODEV. */
int weir__address_parse_number(struct weir__address *address, const char *host, in_port_t port);

/* The number, or -EINVAL. */
int weir__address_parse_port(const char *text);

/* What to dial, "host:service", in two: a name or numeric address, without brackets, and a name or
 * number. 0; -EINVAL; -ENAMETOOLONG; -ENODEV. */
int weir__address_split(const char *text, char host[WEIR__HOST_BYTES],
                        char service[WEIR__SERVICE_BYTES]);

/* The text's length; -ENOSPC; -EAFNOSUPPORT. */
int weir__address_format(const struct weir__address *address, char *text, size_t bytes);

/* The IPv4 wildcard instead of both, with the same port. */
void weir__address_make_v4(struct weir__address *address);

#endif
