/* SPDX-License-Identifier: MIT */
/* The real kernel; see kernel.h. */
#include "base/kernel.h"

#include "base/exempt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* errno is read on the thread that made the call, before anything else can run there. */
static inline int64_t shut_bytes(ssize_t result)
{
    weir__exempt_shut();
    return result < 0 ? -errno : result;
}

static inline int shut_result(int result)
{
    weir__exempt_shut();
    return result < 0 ? -errno : result;
}

/* For calls that return their error. */
static inline int shut_error(int error)
{
    weir__exempt_shut();
    return -error;
}

static inline const void *shut_pointer(const void *pointer)
{
    weir__exempt_shut();
    return pointer;
}

/* Each makes its call, which is the runtime's own, through an open gate. */
#define bytes_or_error(call) (weir__exempt_open(), shut_bytes(call))
#define or_error(call)       (weir__exempt_open(), shut_result(call))
#define as_error(call)       (weir__exempt_open(), shut_error(call))
#define or_null(call)        (weir__exempt_open(), shut_pointer(call))

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

int weir__kernel_openat2(int dir_fd, const char *path, const struct open_how *how)
{
    return or_error((int)syscall(SYS_openat2, dir_fd, path, how, sizeof *how));
}

int weir__kernel_symlinkat(const char *target, int dir_fd, const char *path)
{
    return or_error(symlinkat(target, dir_fd, path));
}

int weir__kernel_linkat(int source_dir_fd, const char *source, int target_dir_fd,
                        const char *target, int flags)
{
    int result = or_error(linkat(source_dir_fd, source, target_dir_fd, target, flags));
    char path[32];

    if (result != -ENOENT || !(flags & AT_EMPTY_PATH) || *source)
        return result;
    snprintf(path, sizeof path, "/proc/self/fd/%d", source_dir_fd);
    return or_error(linkat(AT_FDCWD, path, target_dir_fd, target, AT_SYMLINK_FOLLOW));
}

int64_t weir__kernel_readlinkat(int dir_fd, const char *path, char *buffer, size_t bytes)
{
    return bytes_or_error(readlinkat(dir_fd, path, buffer, bytes));
}

int weir__kernel_mknodat(int dir_fd, const char *path, mode_t mode, dev_t device)
{
    return or_error(mknodat(dir_fd, path, mode, device));
}

int64_t weir__kernel_realpath(const char *path, char *resolved)
{
    return or_null(realpath(path, resolved)) ? (int64_t)strlen(resolved) : -errno;
}

int weir__kernel_mkostemp(char *template, int flags)
{
    return or_error(mkostemp(template, flags));
}

int weir__kernel_mkdtemp(char *template)
{
    return or_null(mkdtemp(template)) ? 0 : -errno;
}

int64_t weir__kernel_getdents(int fd, void *buffer, size_t bytes)
{
    return bytes_or_error(syscall(SYS_getdents64, fd, buffer, bytes));
}

int weir__kernel_statfs(const char *path, struct statfs *result)
{
    return or_error(statfs(path, result));
}

int weir__kernel_direct_alignment(int fd, unsigned *memory_bytes, unsigned *offset_bytes)
{
    struct statx file;
    int error = weir__kernel_statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &file);

    if (error < 0)
        return error;
    if (!(file.stx_mask & STATX_DIOALIGN) || !file.stx_dio_mem_align || !file.stx_dio_offset_align)
        return -EOPNOTSUPP;
    *memory_bytes = file.stx_dio_mem_align;
    *offset_bytes = file.stx_dio_offset_align;
    return 0;
}

int weir__kernel_faccessat(int dir_fd, const char *path, int mode, int flags)
{
    return or_error(faccessat(dir_fd, path, mode, flags));
}

int weir__kernel_fchmod(int fd, mode_t mode)
{
    return or_error(fchmod(fd, mode));
}

int weir__kernel_fchmodat(int dir_fd, const char *path, mode_t mode, int flags)
{
    return or_error(fchmodat(dir_fd, path, mode, flags));
}

int weir__kernel_fchown(int fd, uid_t owner, gid_t group)
{
    return or_error(fchown(fd, owner, group));
}

int weir__kernel_fchownat(int dir_fd, const char *path, uid_t owner, gid_t group, int flags)
{
    return or_error(fchownat(dir_fd, path, owner, group, flags));
}

int weir__kernel_futimens(int fd, const struct timespec *times)
{
    return or_error(futimens(fd, times));
}

int weir__kernel_utimensat(int dir_fd, const char *path, const struct timespec *times, int flags)
{
    return or_error(utimensat(dir_fd, path, times, flags));
}

int64_t weir__kernel_getxattr(const char *path, const char *name, void *value, size_t bytes,
                              bool nofollow)
{
    return bytes_or_error((nofollow ? lgetxattr : getxattr)(path, name, value, bytes));
}

int weir__kernel_setxattr(const char *path, const char *name, const void *value, size_t bytes,
                          int flags, bool nofollow)
{
    return or_error((nofollow ? lsetxattr : setxattr)(path, name, value, bytes, flags));
}

int64_t weir__kernel_listxattr(const char *path, char *names, size_t bytes, bool nofollow)
{
    return bytes_or_error((nofollow ? llistxattr : listxattr)(path, names, bytes));
}

int weir__kernel_removexattr(const char *path, const char *name, bool nofollow)
{
    return or_error((nofollow ? lremovexattr : removexattr)(path, name));
}

int64_t weir__kernel_fgetxattr(int fd, const char *name, void *value, size_t bytes)
{
    return bytes_or_error(fgetxattr(fd, name, value, bytes));
}

int weir__kernel_fsetxattr(int fd, const char *name, const void *value, size_t bytes, int flags)
{
    return or_error(fsetxattr(fd, name, value, bytes, flags));
}

int64_t weir__kernel_flistxattr(int fd, char *names, size_t bytes)
{
    return bytes_or_error(flistxattr(fd, names, bytes));
}

int weir__kernel_fremovexattr(int fd, const char *name)
{
    return or_error(fremovexattr(fd, name));
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

int weir__kernel_sync_file_range(int fd, off_t offset, off_t bytes, unsigned flags)
{
    return or_error(sync_file_range(fd, offset, bytes, flags));
}

int weir__kernel_syncfs(int fd)
{
    return or_error(syncfs(fd));
}

int weir__kernel_fadvise(int fd, off_t offset, off_t bytes, int advice)
{
    return as_error(posix_fadvise(fd, offset, bytes, advice));
}

int64_t weir__kernel_lseek(int fd, off_t offset, int whence)
{
    return bytes_or_error(lseek(fd, offset, whence));
}

int64_t weir__kernel_copy_file_range(int source_fd, off_t *source_offset, int target_fd,
                                     off_t *target_offset, size_t bytes)
{
    return bytes_or_error(
        copy_file_range(source_fd, source_offset, target_fd, target_offset, bytes, 0));
}

int64_t weir__kernel_splice(int source_fd, off_t *source_offset, int target_fd,
                            off_t *target_offset, size_t bytes, unsigned flags)
{
    return bytes_or_error(splice(source_fd, source_offset, target_fd, target_offset, bytes, flags));
}

int64_t weir__kernel_sendfile(int target_fd, int source_fd, off_t *source_offset, size_t bytes)
{
    return bytes_or_error(sendfile(target_fd, source_fd, source_offset, bytes));
}

int weir__kernel_flock(int fd, int operation)
{
    return or_error(flock(fd, operation));
}

int weir__kernel_fcntl_lock(int fd, int command, struct flock *lock)
{
    return or_error(fcntl(fd, command, lock));
}

int weir__kernel_socket(int domain, int type, int protocol)
{
    return or_error(socket(domain, type, protocol));
}

int weir__kernel_socketpair(int domain, int type, int protocol, int pair[2])
{
    return or_error(socketpair(domain, type, protocol, pair));
}

int64_t weir__kernel_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    return or_error(recvmmsg(fd, messages, count, flags, NULL));
}

int64_t weir__kernel_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    return or_error(sendmmsg(fd, messages, count, flags));
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

int weir__kernel_accept4(int fd, struct sockaddr *address, socklen_t *address_bytes, int flags)
{
    return or_error(accept4(fd, address, address_bytes, flags));
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

int weir__kernel_getpeername(int fd, struct sockaddr *address, socklen_t *address_bytes)
{
    return or_error(getpeername(fd, address, address_bytes));
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

int weir__kernel_poll_now(struct pollfd *polls, unsigned count)
{
    return or_error(poll(polls, count, 0));
}

int weir__kernel_poll(int fd, short events)
{
    struct pollfd look = { .fd = fd, .events = events };
    int error = or_error(poll(&look, 1, 0));

    if (error < 0)
        return error;
    return look.revents & POLLNVAL ? -EBADF : look.revents;
}

int weir__kernel_ioctl_number(int fd, unsigned long request, int *number)
{
    return or_error(ioctl(fd, request, number));
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

void *weir__kernel_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, bytes, MADV_DONTFORK);
    return memory;
}

void weir__kernel_unmap(void *memory, size_t bytes)
{
    munmap(memory, bytes);
}

int weir__kernel_set_cloexec(int fd)
{
    return or_error(fcntl(fd, F_SETFD, FD_CLOEXEC));
}

int weir__kernel_epoll_create(void)
{
    return or_error(epoll_create1(EPOLL_CLOEXEC));
}

int weir__kernel_epoll_add(int epoll_fd, int fd, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.fd = fd };

    return or_error(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event));
}

int weir__kernel_epoll_remove(int epoll_fd, int fd)
{
    return or_error(epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL));
}

int weir__kernel_copy_fd(int fd, int least)
{
    return or_error(fcntl(fd, F_DUPFD_CLOEXEC, least));
}

int weir__kernel_pipe(int pair[2], int flags)
{
    return or_error(pipe2(pair, flags | O_CLOEXEC));
}

int weir__kernel_spawn(pid_t *pid, const char *program, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, const char *const *argv,
                       const char *const *env)
{
    return as_error(
        posix_spawnp(pid, program, actions, attributes, (char *const *)argv, (char *const *)env));
}

int weir__kernel_inotify_init(void)
{
    return or_error(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
}

int weir__kernel_inotify_add(int fd, const char *path, uint32_t mask)
{
    return or_error(inotify_add_watch(fd, path, mask));
}

int weir__kernel_inotify_remove(int fd, int id)
{
    return or_error(inotify_rm_watch(fd, id));
}

int weir__kernel_signalfd(const sigset_t *signals)
{
    return or_error(signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

int weir__kernel_pidfd_open(pid_t pid)
{
    return or_error((int)syscall(SYS_pidfd_open, pid, 0));
}

int weir__kernel_pidfd_kill(int pid_fd, int signo)
{
    return or_error((int)syscall(SYS_pidfd_send_signal, pid_fd, signo, NULL, 0));
}

int weir__kernel_kill(pid_t pid, int signo)
{
    return or_error(kill(pid, signo));
}

int weir__kernel_waitid(idtype_t type, int id, siginfo_t *info, int options)
{
    int error;

    do {
        error = or_error(waitid(type, (id_t)id, info, options));
    } while (error == -EINTR);
    return error;
}
