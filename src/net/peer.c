/* SPDX-License-Identifier: MIT */
/* Addresses of others as text; the chapter is <weir/socket_option.h>. */
#include "base/kernel.h"
#include "net/address.h"

#include <weir/socket_option.h>

#include <errno.h>
#include <string.h>

int weir_peer_address(int fd, char *text, size_t bytes)
{
    struct weir__address address = { .bytes = sizeof(struct sockaddr_un) };
    int error;

    if (!text)
        return -EINVAL;
    error = weir__kernel_getpeername(fd, &address.any, &address.bytes);
    return error < 0 ? error : weir__address_format(&address, text, bytes);
}

int weir_address_text(const struct sockaddr *address, socklen_t address_bytes, char *text,
                      size_t bytes)
{
    struct weir__address copy = { .bytes = address_bytes };
    socklen_t least_bytes = sizeof copy.any.sa_family;

    if (!address || !text || address_bytes < least_bytes ||
        address_bytes > sizeof(struct sockaddr_storage))
        return -EINVAL;
    if (address->sa_family == AF_INET)
        least_bytes = sizeof copy.v4;
    else if (address->sa_family == AF_INET6)
        least_bytes = sizeof copy.v6;
    else if (address->sa_family == AF_UNIX && address_bytes > sizeof copy.path + 1)
        return -EINVAL;
    if (address_bytes < least_bytes)
        return -EINVAL;
    memcpy(&copy.any, address, address_bytes < sizeof copy.path ? address_bytes : sizeof copy.path);
    return weir__address_format(&copy, text, bytes);
}
