/* SPDX-License-Identifier: MIT */
/* Socket addresses as text; see address.h. */
#include "net/address.h"

#include "base/kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PORT_MAX = 65535, PORT_DIGITS_MAX = 5 };

static const char unix_prefix[] = "unix:";

static int parse_unix(struct weir__address *address, const char *name)
{
    size_t length = strlen(name);
    bool abstract = name[0] == '@';

    if (length == 0 || (abstract && length == 1))
        return -EINVAL;
    if (length >= sizeof address->path.sun_path)
        return -ENAMETOOLONG;
    address->path.sun_family = AF_UNIX;
    memcpy(address->path.sun_path, name, length);
    if (abstract)
        address->path.sun_path[0] = '\0';
    /* A path's final zero counts; an abstract name is all its bytes. */
    address->bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + !abstract);
    return 0;
}

int weir__address_parse_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    int port = 0;

    if (digits == 0 || digits > PORT_DIGITS_MAX || text[digits])
        return -EINVAL;
    for (size_t i = 0; i < digits; i++)
        port = port * 10 + (text[i] - '0');
    return port <= PORT_MAX ? port : -EINVAL;
}

/* "eth0", or the number of an interface. */
static int parse_zone(const char *zone, uint32_t *index)
{
    int found;

    if (*zone == '\0')
        return -EINVAL;
    if (strspn(zone, "0123456789") == strlen(zone)) {
        found = weir__address_parse_port(zone); /* as large, and as strict */
        *index = found > 0 ? (uint32_t)found : 0;
        return found > 0 ? 0 : -EINVAL;
    }
    found = weir__kernel_interface_index(zone);
    *index = found > 0 ? (uint32_t)found : 0;
    return found > 0 ? 0 : found;
}

static int parse_v6(struct weir__address *address, const char *host, in_port_t port)
{
    char plain[INET6_ADDRSTRLEN];
    size_t length = strcspn(host, "%");

    if (length >= sizeof plain)
        return -EINVAL;
    memcpy(plain, host, length);
    plain[length] = '\0';
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_port = port;
    address->bytes = sizeof address->v6;
    if (inet_pton(AF_INET6, plain, &address->v6.sin6_addr) != 1)
        return -EINVAL;
    return host[length] ? parse_zone(host + length + 1, &address->v6.sin6_scope_id) : 0;
}

int weir__address_parse_number(struct weir__address *address, const char *host, in_port_t port)
{
    memset(address, 0, sizeof *address);
    if (strchr(host, ':'))
        return parse_v6(address, host, port);
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = port;
    address->bytes = sizeof address->v4;
    return inet_pton(AF_INET, host, &address->v4.sin_addr) == 1 ? 0 : -EINVAL;
}

/* "host:service" in two; an IPv6 address has brackets, which are taken off, and nothing else has
 * colons. `*bracketed` says so. The host may be empty. */
static int split(const char *text, char host[WEIR__HOST_BYTES], const char **service,
                 bool *bracketed)
{
    const char *colon = strrchr(text, ':');
    size_t length;

    if (!colon)
        return -EINVAL;
    *service = colon + 1;
    length = (size_t)(colon - text);
    *bracketed = length > 0 && text[0] == '[';
    if (*bracketed) {
        if (length < 3 || text[length - 1] != ']')
            return -EINVAL;
        text++;
        length -= 2;
    }
    if (length >= WEIR__HOST_BYTES)
        return -ENAMETOOLONG;
    memcpy(host, text, length);
    host[length] = '\0';
    return (strchr(host, ':') != NULL) == *bracketed && !strpbrk(host, "[]") ? 0 : -EINVAL;
}

int weir__address_split(const char *text, char host[WEIR__HOST_BYTES],
                        char service[WEIR__SERVICE_BYTES])
{
    struct weir__address address;
    const char *after_colon;
    bool bracketed;
    int error = split(text, host, &after_colon, &bracketed);

    if (error >= 0 && (!host[0] || !*after_colon || strlen(after_colon) >= WEIR__SERVICE_BYTES))
        error = -EINVAL;
    if (error >= 0 && bracketed)
        error = weir__address_parse_number(&address, host, 0);
    if (error >= 0)
        strcpy(service, after_colon);
    return error;
}

int weir__address_parse(struct weir__address *address, const char *text)
{
    char host[WEIR__HOST_BYTES];
    const char *service;
    bool bracketed;
    int port, error;

    memset(address, 0, sizeof *address);
    if (strncmp(text, unix_prefix, sizeof unix_prefix - 1) == 0)
        return parse_unix(address, text + sizeof unix_prefix - 1);
    error = split(text, host, &service, &bracketed);
    port = error < 0 ? error : weir__address_parse_port(service);
    if (port < 0)
        return -EINVAL;
    if (host[0])
        return weir__address_parse_number(address, host, htons((in_port_t)port));
    address->v6.sin6_family = AF_INET6; /* zeroed is in6addr_any */
    address->v6.sin6_port = htons((in_port_t)port);
    address->bytes = sizeof address->v6;
    address->both_families = true;
    return 0;
}

static int format_unix(const struct weir__address *address, char *text, size_t bytes)
{
    const char *name = address->path.sun_path;
    size_t room = address->bytes - offsetof(struct sockaddr_un, sun_path);
    bool abstract = room > 0 && name[0] == '\0';

    if (room > sizeof address->path.sun_path) /* the kernel counts a zero behind a full path */
        room = sizeof address->path.sun_path;
    if (abstract)
        return snprintf(text, bytes, "%s@%.*s", unix_prefix, (int)room - 1, name + 1);
    return snprintf(text, bytes, "%s%.*s", unix_prefix, (int)room, name);
}

/* The zone as a number: names of interfaces may change. */
static int format_v6(const struct weir__address *address, const char *host, char *text,
                     size_t bytes)
{
    if (address->v6.sin6_scope_id)
        return snprintf(text, bytes, "[%s%%%u]:%u", host, address->v6.sin6_scope_id,
                        ntohs(address->v6.sin6_port));
    return snprintf(text, bytes, "[%s]:%u", host, ntohs(address->v6.sin6_port));
}

int weir__address_format(const struct weir__address *address, char *text, size_t bytes)
{
    char host[INET6_ADDRSTRLEN];
    int length;

    switch (address->any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
        length = snprintf(text, bytes, "%s:%u", host, ntohs(address->v4.sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
        length = format_v6(address, host, text, bytes);
        break;
    case AF_UNIX:
        length = format_unix(address, text, bytes);
        break;
    default:
        return -EAFNOSUPPORT;
    }
    return length >= 0 && (size_t)length < bytes ? length : -ENOSPC;
}

void weir__address_make_v4(struct weir__address *address)
{
    in_port_t port = address->v6.sin6_port;

    memset(address, 0, sizeof *address);
    address->v4.sin_family = AF_INET; /* zeroed is INADDR_ANY */
    address->v4.sin_port = port;
    address->bytes = sizeof address->v4;
}
