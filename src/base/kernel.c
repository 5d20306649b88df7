/* SPDX-License-Identifier: MIT */
/* The real kernel; see kernel.h. */
#include "base/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* errno is read on the thread that made the call, before anything else can run there. */
static int64_t bytes_or_error(ssize_t result)
{
    return result < 0 ? -errno : result;
}

static int or_error(int result)
{
    return result < 0 ? -errno : result;
}

int weir__kernel_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    return or_error(openat(dir_fd, path, flags, mode));
}

int weir__kernel_open_cached(int dir_fd, const char *path, int flags)
{
    struct open_how how = { .flags = (uint64_t)(unsigned)flags, .resolve = RESOLVE_CACHED };

    return or_error((int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how));
}

int weir__kernel_statx(int dir_fd, const char *path, int flags, unsigned mask, struct statx *result)
{
    return or_error(statx(dir_fd, path, flags, mask, result));
}

int weir__kernel_unlinkat(int dir_fd, const char *path, int flags)
{
    return or_error(unlinkat(dir_fd, path, flags));
}

int weir__kernel_renameat2(int source_dir_fd, const char *source, int target_dir_fd,
                           const char *target, unsigned flags)
{
    return or_error(renameat2(source_dir_fd, source, target_dir_fd, target, flags));
}

int weir__kernel_mkdirat(int dir_fd, const char *path, mode_t mode)
{
    return or_error(mkdirat(dir_fd, path, mode));
}

int64_t weir__kernel_pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    return bytes_or_error(pread(fd, buffer, bytes, offset));
}

int64_t weir__kernel_pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    return bytes_or_error(pwrite(fd, buffer, bytes, offset));
}

int64_t weir__kernel_preadv2(int fd, const struct iovec *vectors, int count, off_t offset,
                             int flags)
{
    return bytes_or_error(preadv2(fd, vectors, count, offset, flags));
}

int64_t weir__kernel_pwritev2(int fd, const struct iovec *vectors, int count, off_t offset,
                              int flags)
{
    return bytes_or_error(pwritev2(fd, vectors, count, offset, flags));
}

int weir__kernel_fsync(int fd)
{
    return or_error(fsync(fd));
}

int weir__kernel_fdatasync(int fd)
{
    return or_error(fdatasync(fd));
}

int weir__kernel_fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    return or_error(fallocate(fd, mode, offset, bytes));
}

int weir__kernel_ftruncate(int fd, off_t bytes)
{
    return or_error(ftruncate(fd, bytes));
}

int weir__kernel_socket(int domain, int type, int protocol)
{
    return or_error(socket(domain, type, protocol));
}

int weir__kernel_bind(int fd, const struct sockaddr *address, socklen_t address_bytes)
{
    return or_error(bind(fd, address, address_bytes));
}

int weir__kernel_connect(int fd, const struct sockaddr *address, socklen_t address_bytes)
{
    return or_error(connect(fd, address, address_bytes));
}

int weir__kernel_listen(int fd, int backlog)
{
    return or_error(listen(fd, backlog));
}

int weir__kernel_shutdown(int fd, int how)
{
    return or_error(shutdown(fd, how));
}

int weir__kernel_setsockopt(int fd, int level, int name, const void *value, socklen_t value_bytes)
{
    return or_error(setsockopt(fd, level, name, value, value_bytes));
}

int weir__kernel_getsockopt(int fd, int level, int name, void *value, socklen_t *value_bytes)
{
    return or_error(getsockopt(fd, level, name, value, value_bytes));
}

int weir__kernel_getsockname(int fd, struct sockaddr *address, socklen_t *address_bytes)
{
    return or_error(getsockname(fd, address, address_bytes));
}

int weir__kernel_populate(void *base, size_t bytes)
{
    return or_error(madvise(base, bytes, MADV_POPULATE_WRITE));
}

int64_t weir__kernel_read(int fd, void *buffer, size_t bytes)
{
    return bytes_or_error(read(fd, buffer, bytes));
}

int64_t weir__kernel_write(int fd, const void *buffer, size_t bytes)
{
    return bytes_or_error(write(fd, buffer, bytes));
}

int64_t weir__kernel_readv(int fd, const struct iovec *vectors, int count)
{
    return bytes_or_error(readv(fd, vectors, count));
}

int64_t weir__kernel_writev(int fd, const struct iovec *vectors, int count)
{
    return bytes_or_error(writev(fd, vectors, count));
}

int weir__kernel_close(int fd)
{
    return or_error(close(fd));
}

int weir__kernel_fstat(int fd, struct stat *result)
{
    return or_error(fstat(fd, result));
}

int weir__kernel_fstatfs(int fd, struct statfs *result)
{
    return or_error(fstatfs(fd, result));
}

int weir__kernel_get_flags(int fd)
{
    return or_error(fcntl(fd, F_GETFL));
}

int weir__kernel_get_pipe_bytes(int fd)
{
    return or_error(fcntl(fd, F_GETPIPE_SZ));
}

int weir__kernel_set_flags(int fd, int flags)
{
    return or_error(fcntl(fd, F_SETFL, flags));
}
