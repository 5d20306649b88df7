/* SPDX-License-Identifier: MIT */
/* Socket addresses as text; see address.h. */
#include "net/address.h"

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

/* -1: not a port. */
static int parse_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    int port = 0;

    if (digits == 0 || digits > PORT_DIGITS_MAX || text[digits])
        return -1;
    for (size_t i = 0; i < digits; i++)
        port = port * 10 + (text[i] - '0');
    return port <= PORT_MAX ? port : -1;
}

/* `host` without its port: empty, "[...]" or dotted. */
static int parse_host(struct weir__address *address, char *host, in_port_t port)
{
    size_t length = strlen(host);

    if (length == 0 || host[0] == '[') {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = port;
        address->bytes = sizeof address->v6;
        address->both_families = length == 0;
        if (length == 0)
            return 0; /* zeroed is in6addr_any */
        if (host[length - 1] != ']')
            return -EINVAL;
        host[length - 1] = '\0';
        return inet_pton(AF_INET6, host + 1, &address->v6.sin6_addr) == 1 ? 0 : -EINVAL;
    }
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = port;
    address->bytes = sizeof address->v4;
    return inet_pton(AF_INET, host, &address->v4.sin_addr) == 1 ? 0 : -EINVAL;
}

int weir__address_parse(struct weir__address *address, const char *text)
{
    char host[INET6_ADDRSTRLEN + sizeof "[]"];
    const char *colon = strrchr(text, ':');
    size_t length;
    int port;

    memset(address, 0, sizeof *address);
    if (!colon)
        return -EINVAL;
    if (strncmp(text, unix_prefix, sizeof unix_prefix - 1) == 0)
        return parse_unix(address, text + sizeof unix_prefix - 1);
    length = (size_t)(colon - text);
    port = parse_port(colon + 1);
    if (port < 0 || length >= sizeof host)
        return -EINVAL;
    memcpy(host, text, length);
    host[length] = '\0';
    return parse_host(address, host, htons((in_port_t)port));
}

static int format_unix(const struct weir__address *address, char *text, size_t bytes)
{
    const char *name = address->path.sun_path;
    size_t room = address->bytes - offsetof(struct sockaddr_un, sun_path);
    bool abstract = room > 0 && name[0] == '\0';

    if (abstract)
        return snprintf(text, bytes, "%s@%.*s", unix_prefix, (int)room - 1, name + 1);
    return snprintf(text, bytes, "%s%.*s", unix_prefix, (int)room, name);
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
        length = snprintf(text, bytes, "[%s]:%u", host, ntohs(address->v6.sin6_port));
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
