/* SPDX-License-Identifier: MIT */
/* Listening at an address given as text; the chapter is <weir/listen.h>. */
#include "base/kernel.h"
#include "io/socket.h"
#include "net/address.h"

#include <weir/attribute.h>
#include <weir/descriptor.h>
#include <weir/listen.h>
#include <weir/path.h>
#include <weir/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

static int set_option(int fd, int level, int name, int value)
{
    return weir__kernel_setsockopt(fd, level, name, &value, sizeof value);
}

static int set_up(int fd, const struct weir__address *address,
                  const struct weir_listen_options *options)
{
    int error;

    if (address->any.sa_family == AF_UNIX)
        return 0;
    error = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (error >= 0 && options->reuse_port)
        error = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (error >= 0 && options->no_nodelay)
        error = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 0);
    if (error >= 0 && address->any.sa_family == AF_INET6)
        error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !address->both_families);
    return error;
}

static int bind_to(int fd, const struct weir__address *address)
{
    return weir_bind(fd, &address->any, address->bytes, WEIR_FOREVER);
}

/* Whether the path is a socket file that refuses connections: its listener has ended. A connect to
 * what is no socket is refused, too; so the file's type is asked first. */
static bool is_stale(const struct weir__address *address)
{
    const char *path = address->path.sun_path;
    struct statx file;
    int fd, error;

    error = weir_statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &file, WEIR_FOREVER);
    if (error < 0 || !S_ISSOCK(file.stx_mode))
        return false;
    fd = weir_socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    error = weir__socket_try_connect(fd, &address->any, address->bytes, WEIR_FOREVER);
    weir_close(fd);
    return error == -ECONNREFUSED;
}

static int bind_anew(int fd, const struct weir__address *address)
{
    int error;

    if (address->any.sa_family != AF_UNIX || !address->path.sun_path[0] || !is_stale(address))
        return -EADDRINUSE;
    error = weir_unlinkat(AT_FDCWD, address->path.sun_path, 0, WEIR_FOREVER);
    return error < 0 && error != -ENOENT ? error : bind_to(fd, address);
}

static int listen_at(const struct weir__address *address, const struct weir_listen_options *options)
{
    int fd = weir_socket(address->any.sa_family, SOCK_STREAM, 0);
    int error;

    if (fd < 0)
        return fd;
    error = set_up(fd, address, options);
    if (error >= 0)
        error = bind_to(fd, address);
    if (error == -EADDRINUSE && options->unlink_stale)
        error = bind_anew(fd, address);
    if (error >= 0)
        error = weir_listen(fd, options->backlog ? options->backlog : SOMAXCONN);
    if (error >= 0)
        return fd;
    weir_close(fd);
    return error;
}

static int check_options(const struct weir_listen_options *options)
{
    if ((options->size && options->size != sizeof *options) || options->backlog < 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return -EINVAL;
    return 0;
}

int weir_listen_at(const char *text, const struct weir_listen_options *options)
{
    static const struct weir_listen_options standard;
    struct weir__address address;
    int result;

    options = options ? options : &standard;
    result = text ? check_options(options) : -EINVAL;
    if (result >= 0)
        result = weir__address_parse(&address, text);
    if (result < 0)
        return result;
    result = listen_at(&address, options);
    if (address.both_families && (result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL)) {
        weir__address_make_v4(&address); /* this machine has no IPv6 */
        result = listen_at(&address, options);
    }
    return result;
}

int weir_socket_address(int fd, char *text, size_t bytes)
{
    struct weir__address address = { .bytes = sizeof(struct sockaddr_un) };
    int error;

    if (!text)
        return -EINVAL;
    error = weir__kernel_getsockname(fd, &address.any, &address.bytes);
    return error < 0 ? error : weir__address_format(&address, text, bytes);
}
