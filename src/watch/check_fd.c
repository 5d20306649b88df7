/* SPDX-License-Identifier: MIT */
/* Kinds of descriptors, each one row; see check_fd.h. */
#include "watch/check_fd.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

enum { MEMORY_DEVICES = 1 }; /* the major number of /dev/null and its like */

static const struct weir__check_fd no_file = { "bad descriptor", WEIR__CHECK_WAITS_NEVER, false,
                                               false };

static const struct {
    int domain;
    int type;
    struct weir__check_fd fd;
} sockets[] = {
    { AF_INET, SOCK_STREAM, { "TCP socket", WEIR__CHECK_WAITS_PEER, true, true } },
    { AF_INET6, SOCK_STREAM, { "TCP socket", WEIR__CHECK_WAITS_PEER, true, true } },
    { AF_INET, SOCK_DGRAM, { "UDP socket", WEIR__CHECK_WAITS_PEER, false, true } },
    { AF_INET6, SOCK_DGRAM, { "UDP socket", WEIR__CHECK_WAITS_PEER, false, true } },
    { AF_UNIX, SOCK_DGRAM, { "unix datagram socket", WEIR__CHECK_WAITS_PEER, false, true } },
    { AF_UNIX, 0, { "unix socket", WEIR__CHECK_WAITS_PEER, true, true } },
    { AF_NETLINK, 0, { "netlink socket", WEIR__CHECK_WAITS_PEER, false, true } },
    { 0, 0, { "socket", WEIR__CHECK_WAITS_PEER, true, true } },
};

/* By the name that /proc/self/fd shows. */
static const struct {
    const char *name;
    struct weir__check_fd fd;
} nameless[] = {
    { "anon_inode:[eventfd]", { "eventfd", WEIR__CHECK_WAITS_PEER, false, false } },
    { "anon_inode:[timerfd]", { "timerfd", WEIR__CHECK_WAITS_PEER, false, false } },
    { "anon_inode:[signalfd]", { "signalfd", WEIR__CHECK_WAITS_PEER, false, false } },
    { "anon_inode:[eventpoll]", { "epoll descriptor", WEIR__CHECK_WAITS_PEER, false, false } },
    { "anon_inode:inotify", { "inotify descriptor", WEIR__CHECK_WAITS_PEER, false, false } },
    { "anon_inode:[io_uring]", { "io_uring", WEIR__CHECK_WAITS_PEER, false, false } },
    { "anon_inode:[pidfd]", { "pidfd", WEIR__CHECK_WAITS_PEER, false, false } },
    { "", { "descriptor", WEIR__CHECK_WAITS_PEER, false, false } },
};

static struct weir__check_fd look_at_socket(int fd)
{
    int domain = 0, type = 0;
    socklen_t bytes = sizeof domain;
    size_t i = 0;

    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes);
    bytes = sizeof type;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes);
    while (sockets[i].domain &&
           (sockets[i].domain != domain || (sockets[i].type && sockets[i].type != type)))
        i++;
    return sockets[i].fd;
}

static struct weir__check_fd look_at_name(int fd)
{
    char path[32], name[64];
    ssize_t length;
    size_t i = 0;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    length = readlink(path, name, sizeof name - 1);
    name[length < 0 ? 0 : length] = '\0';
    while (nameless[i].name[0] && strcmp(nameless[i].name, name) != 0)
        i++;
    return nameless[i].fd;
}

static struct weir__check_fd look_at_device(int fd, const struct stat *file)
{
    struct termios terminal;

    if (major(file->st_rdev) == MEMORY_DEVICES)
        return (struct weir__check_fd){ "memory device", WEIR__CHECK_WAITS_NEVER, false, false };
    if (tcgetattr(fd, &terminal) == 0)
        return (struct weir__check_fd){ "terminal", WEIR__CHECK_WAITS_PEER, true, false };
    return (struct weir__check_fd){ "character device", WEIR__CHECK_WAITS_PEER, true, false };
}

static struct weir__check_fd look_at_file(int fd)
{
    struct statfs system;

    if (fstatfs(fd, &system) == 0 &&
        (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC ||
         system.f_type == HUGETLBFS_MAGIC))
        return (struct weir__check_fd){ "file in memory", WEIR__CHECK_WAITS_NEVER, false, false };
    return (struct weir__check_fd){ "regular file", WEIR__CHECK_WAITS_DISK, false, false };
}

static struct weir__check_fd look_at_kind(int fd)
{
    struct stat file;

    if (fstat(fd, &file) < 0)
        return no_file;
    switch (file.st_mode & S_IFMT) {
    case S_IFREG:
        return look_at_file(fd);
    case S_IFIFO:
        return (struct weir__check_fd){ "pipe", WEIR__CHECK_WAITS_PEER, true, false };
    case S_IFSOCK:
        return look_at_socket(fd);
    case S_IFDIR:
        return (struct weir__check_fd){ "directory", WEIR__CHECK_WAITS_DISK, false, false };
    case S_IFBLK:
        return (struct weir__check_fd){ "block device", WEIR__CHECK_WAITS_DISK, false, false };
    case S_IFCHR:
        return look_at_device(fd, &file);
    default:
        return look_at_name(fd);
    }
}

struct weir__check_fd weir__check_fd_look(int fd)
{
    struct weir__check_fd found = look_at_kind(fd);

    if (found.wait == WEIR__CHECK_WAITS_PEER && (fcntl(fd, F_GETFL) & O_NONBLOCK))
        found.wait = WEIR__CHECK_WAITS_NEVER;
    return found;
}
