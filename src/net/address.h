/* SPDX-License-Identifier: MIT */
/* Socket addresses as text: "127.0.0.1:80", "[::1]:80", ":80", "unix:/path", "unix:@abstract". */
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

/* 0; -EINVAL not such an address; -ENAMETOOLONG. */
int weir__address_parse(struct weir__address *address, const char *text);

/* The text's length; -ENOSPC; -EAFNOSUPPORT. */
int weir__address_format(const struct weir__address *address, char *text, size_t bytes);

/* The IPv4 wildcard instead of both, with the same port. */
void weir__address_make_v4(struct weir__address *address);

#endif
