/* SPDX-License-Identifier: MIT */
/* Inherited sockets, and telling the manager; the chapter is <weir/service.h>. */
#include "base/kernel.h"
#include "core/loop.h"
#include "net/address.h"

#include <weir/descriptor.h>
#include <weir/service.h>
#include <weir/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_FD = 3, FDS_MAX = 1 << 20, LINES_BYTES = 4096, NS_PER_US = 1000 };

static const char unnamed[] = "unknown";

/* A variable that is a number of at least 0; -ENOENT not set, -EINVAL no such number. */
static int64_t read_number(const char *variable)
{
    const char *text = getenv(variable);
    long long number;
    char *end;

    if (!text)
        return -ENOENT;
    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    number = strtoll(text, &end, 10);
    return *end || errno ? -EINVAL : number;
}

/* How many descriptors were handed to this very process. */
static int64_t count_inherited(void)
{
    int64_t pid = read_number("LISTEN_PID");
    int64_t count = read_number("LISTEN_FDS");

    if (pid == -ENOENT || count == -ENOENT)
        return 0;
    if (pid < 0 || count < 0 || count > FDS_MAX)
        return -EINVAL;
    return pid == getpid() ? count : 0;
}

static enum weir_inherited_kind kind_of_socket(int fd)
{
    int type = 0, listening = 0;
    socklen_t bytes = sizeof type;

    if (weir__kernel_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) < 0)
        return WEIR_INHERITED_OTHER;
    bytes = sizeof listening;
    weir__kernel_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes);
    if (listening)
        return WEIR_INHERITED_LISTENER;
    return type == SOCK_STREAM || type == SOCK_SEQPACKET ? WEIR_INHERITED_STREAM
                                                         : WEIR_INHERITED_DATAGRAM;
}

static int look_at(struct weir_inherited *inherited)
{
    struct stat status;
    int error = weir__kernel_fstat(inherited->fd, &status);

    if (error < 0)
        return error;
    inherited->kind = S_ISSOCK(status.st_mode)   ? kind_of_socket(inherited->fd)
                      : S_ISFIFO(status.st_mode) ? WEIR_INHERITED_PIPE
                                                 : WEIR_INHERITED_OTHER;
    return 0;
}

/* The names in turn, parted by colons; those that are missing are unknown. */
static int name_all(struct weir_inherited *inherited, size_t count)
{
    const char *names = getenv("LISTEN_FDNAMES");

    for (size_t i = 0; i < count; i++) {
        size_t length = names ? strcspn(names, ":") : 0;

        if (length >= sizeof inherited[i].name)
            return -EINVAL;
        if (length)
            snprintf(inherited[i].name, sizeof inherited[i].name, "%.*s", (int)length, names);
        else
            strcpy(inherited[i].name, unnamed);
        names = names && names[length] ? names + length + 1 : NULL;
    }
    return 0;
}

int weir_inherited_take(struct weir_inherited *inherited, size_t max)
{
    int64_t count = count_inherited();
    int error = 0;

    if (count > 0 && ((size_t)count > max || !inherited))
        count = inherited ? -E2BIG : -EINVAL;
    if (count < 0)
        return (int)count;
    for (int64_t i = 0; i < count && error >= 0; i++) {
        inherited[i] = (struct weir_inherited){ .fd = FIRST_FD + (int)i };
        error = look_at(&inherited[i]);
    }
    if (error >= 0)
        error = name_all(inherited, (size_t)count);
    if (error < 0)
        return error;
    for (int64_t i = 0; i < count; i++) {
        weir__kernel_set_cloexec(inherited[i].fd);
        weir_forget(inherited[i].fd);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return (int)count;
}

const struct weir_inherited *weir_inherited_find(const struct weir_inherited *inherited,
                                                 size_t count, const char *name,
                                                 enum weir_inherited_kind kind)
{
    for (size_t i = 0; inherited && name && i < count; i++)
        if (inherited[i].kind == kind && strcmp(inherited[i].name, name) == 0)
            return &inherited[i];
    return NULL;
}

/* A socket that is connected to the manager; -ENOENT: there is none. Connecting first lets the
 * path be looked up where that may block. */
static int connect_to_manager(const char *path, int64_t deadline_ns)
{
    char text[sizeof(struct sockaddr_un) + 8];
    struct weir__address address;
    int fd, error;

    if (path[0] != '/' && path[0] != '@')
        return -EAFNOSUPPORT;
    if (snprintf(text, sizeof text, "unix:%s", path) >= (int)sizeof text)
        return -EINVAL;
    error = weir__address_parse(&address, text);
    fd = error < 0 ? error : weir_socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0)
        return fd;
    error = weir_connect(fd, &address.any, address.bytes, deadline_ns);
    if (error >= 0)
        return fd;
    weir_close(fd);
    return error;
}

/* Tells the manager, with a copy of a descriptor if there is one (else -1). */
static int tell(const char *lines, size_t bytes, int passed_fd, int64_t deadline_ns)
{
    const char *path = getenv("NOTIFY_SOCKET");
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec vector = { .iov_base = (void *)lines, .iov_len = bytes };
    struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
    ssize_t sent;
    int fd;

    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    if (!path || !*path)
        return 0;
    fd = connect_to_manager(path, deadline_ns);
    if (fd < 0)
        return fd;
    if (passed_fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof passed_fd);
        memcpy(CMSG_DATA(&control.header), &passed_fd, sizeof passed_fd);
    }
    sent = weir_sendmsg(fd, &message, 0, deadline_ns);
    weir_close(fd);
    return sent < 0 ? (int)sent : 1;
}

int weir_notify(const char *lines, int64_t deadline_ns)
{
    size_t bytes = lines ? strlen(lines) : 0;

    if (bytes == 0)
        return -EINVAL;
    return bytes > LINES_BYTES ? -EMSGSIZE : tell(lines, bytes, -1, deadline_ns);
}

int weir_notify_store(const char *name, int fd, int64_t deadline_ns)
{
    char lines[300];
    int length;

    if (!name || strpbrk(name, ":\n"))
        return -EINVAL;
    if (fd < 0)
        return -EBADF;
    length = snprintf(lines, sizeof lines, "FDSTORE=1\nFDNAME=%s", name);
    if (length >= (int)sizeof lines)
        return -EINVAL;
    return tell(lines, (size_t)length, fd, deadline_ns);
}

int64_t weir_notify_watchdog_ns(void)
{
    int64_t interval_us = read_number("WATCHDOG_USEC");
    int64_t pid = read_number("WATCHDOG_PID");

    if (interval_us <= 0 || interval_us > INT64_MAX / NS_PER_US)
        return 0;
    if (pid != -ENOENT && pid != getpid())
        return 0;
    return interval_us * NS_PER_US;
}
