/* SPDX-License-Identifier: MIT */
/*
 * The one table of kernel calls made off the ring: by rows that run inline or on the pool, and by
 * what weir must know of a descriptor. Each is the call of its man page, and returns -errno. A
 * simulated kernel replaces this file at link time; nothing else in src/io talks to the kernel.
 */
#ifndef WEIR_BASE_KERNEL_H
#define WEIR_BASE_KERNEL_H

#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>

struct pollfd;
struct flock;
struct open_how;
struct mmsghdr;
struct addrinfo;
struct stat;
struct statfs;
struct statx;
struct timespec;

/* Names in directories. */
int weir__kernel_openat(int dir_fd, const char *path, int flags, mode_t mode);
/* openat2(2) with RESOLVE_CACHED, Linux 5.12: -EAGAIN where the path is not in memory. */
int weir__kernel_open_cached(int dir_fd, const char *path, int flags);
int weir__kernel_statx(int dir_fd, const char *path, int flags, unsigned mask,
                       struct statx *result);
int weir__kernel_unlinkat(int dir_fd, const char *path, int flags);
int weir__kernel_renameat2(int source_dir_fd, const char *source, int target_dir_fd,
                           const char *target, unsigned flags);
int weir__kernel_mkdirat(int dir_fd, const char *path, mode_t mode);
int weir__kernel_openat2(int dir_fd, const char *path, const struct open_how *how);
int weir__kernel_symlinkat(const char *target, int dir_fd, const char *path);
/* AT_EMPTY_PATH goes through /proc/self/fd where the kernel wants a capability for it. */
int weir__kernel_linkat(int source_dir_fd, const char *source, int target_dir_fd,
                        const char *target, int flags);
int64_t weir__kernel_readlinkat(int dir_fd, const char *path, char *buffer, size_t bytes);
int weir__kernel_mknodat(int dir_fd, const char *path, mode_t mode, dev_t device);
int64_t weir__kernel_realpath(const char *path, char *resolved); /* its length */
int weir__kernel_mkostemp(char *template, int flags);
int weir__kernel_mkdtemp(char *template);
int64_t weir__kernel_getdents(int fd, void *buffer, size_t bytes); /* getdents64(2) */

/* What a file is. */
int weir__kernel_statfs(const char *path, struct statfs *result);
/* What direct I/O must be aligned to. -EOPNOTSUPP: nobody says, or there is none. */
int weir__kernel_direct_alignment(int fd, unsigned *memory_bytes, unsigned *offset_bytes);
int weir__kernel_faccessat(int dir_fd, const char *path, int mode, int flags);
int weir__kernel_fchmod(int fd, mode_t mode);
int weir__kernel_fchmodat(int dir_fd, const char *path, mode_t mode, int flags);
int weir__kernel_fchown(int fd, uid_t owner, gid_t group);
int weir__kernel_fchownat(int dir_fd, const char *path, uid_t owner, gid_t group, int flags);
int weir__kernel_futimens(int fd, const struct timespec *times);
int weir__kernel_utimensat(int dir_fd, const char *path, const struct timespec *times, int flags);
int64_t weir__kernel_getxattr(const char *path, const char *name, void *value, size_t bytes,
                              bool nofollow);
int weir__kernel_setxattr(const char *path, const char *name, const void *value, size_t bytes,
                          int flags, bool nofollow);
int64_t weir__kernel_listxattr(const char *path, char *names, size_t bytes, bool nofollow);
int weir__kernel_removexattr(const char *path, const char *name, bool nofollow);
int64_t weir__kernel_fgetxattr(int fd, const char *name, void *value, size_t bytes);
int weir__kernel_fsetxattr(int fd, const char *name, const void *value, size_t bytes, int flags);
int64_t weir__kernel_flistxattr(int fd, char *names, size_t bytes);
int weir__kernel_fremovexattr(int fd, const char *name);

/* Bytes of files. `flags` are RWF_*. */
int64_t weir__kernel_pread(int fd, void *buffer, size_t bytes, off_t offset);
int64_t weir__kernel_pwrite(int fd, const void *buffer, size_t bytes, off_t offset);
int64_t weir__kernel_preadv2(int fd, const struct iovec *vectors, int count, off_t offset,
                             int flags);
int64_t weir__kernel_pwritev2(int fd, const struct iovec *vectors, int count, off_t offset,
                              int flags);
int weir__kernel_fsync(int fd);
int weir__kernel_fdatasync(int fd);
int weir__kernel_fallocate(int fd, int mode, off_t offset, off_t bytes);
int weir__kernel_ftruncate(int fd, off_t bytes);
int weir__kernel_sync_file_range(int fd, off_t offset, off_t bytes, unsigned flags);
int weir__kernel_syncfs(int fd);
int weir__kernel_fadvise(int fd, off_t offset, off_t bytes, int advice);
int64_t weir__kernel_lseek(int fd, off_t offset, int whence);
int64_t weir__kernel_copy_file_range(int source_fd, off_t *source_offset, int target_fd,
                                     off_t *target_offset, size_t bytes);
int64_t weir__kernel_splice(int source_fd, off_t *source_offset, int target_fd,
                            off_t *target_offset, size_t bytes, unsigned flags);
int64_t weir__kernel_sendfile(int target_fd, int source_fd, off_t *source_offset, size_t bytes);
int weir__kernel_flock(int fd, int operation);
int weir__kernel_fcntl_lock(int fd, int command, struct flock *lock); /* F_OFD_* */

/* Sockets. */
int weir__kernel_socket(int domain, int type, int protocol);
int weir__kernel_socketpair(int domain, int type, int protocol, int pair[2]);
int weir__kernel_bind(int fd, const struct sockaddr *address, socklen_t address_bytes);
int weir__kernel_connect(int fd, const struct sockaddr *address, socklen_t address_bytes);
int weir__kernel_listen(int fd, int backlog);
int weir__kernel_accept4(int fd, struct sockaddr *address, socklen_t *address_bytes, int flags);
int weir__kernel_shutdown(int fd, int how);
int weir__kernel_setsockopt(int fd, int level, int name, const void *value, socklen_t value_bytes);
int weir__kernel_getsockopt(int fd, int level, int name, void *value, socklen_t *value_bytes);
int64_t weir__kernel_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int64_t weir__kernel_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int weir__kernel_getpeername(int fd, struct sockaddr *address, socklen_t *address_bytes);
int weir__kernel_getsockname(int fd, struct sockaddr *address, socklen_t *address_bytes);

/* Memory. */
int weir__kernel_populate(void *base, size_t bytes); /* MADV_POPULATE_WRITE, Linux 5.14 */

/* Any descriptor. */
int weir__kernel_poll_now(struct pollfd *polls, unsigned count); /* poll(2), without waiting */
int64_t weir__kernel_read(int fd, void *buffer, size_t bytes);
int64_t weir__kernel_write(int fd, const void *buffer, size_t bytes);
int64_t weir__kernel_readv(int fd, const struct iovec *vectors, int count);
int64_t weir__kernel_writev(int fd, const struct iovec *vectors, int count);
int weir__kernel_ioctl_number(int fd, unsigned long request, int *number); /* SIOCINQ and kin */
int weir__kernel_close(int fd);
int weir__kernel_poll(int fd, short events); /* what is true now, 0 nothing; -EBADF */
int weir__kernel_fstat(int fd, struct stat *result);
int weir__kernel_fstatfs(int fd, struct statfs *result);
int weir__kernel_get_flags(int fd);      /* fcntl F_GETFL: O_* */
int weir__kernel_get_pipe_bytes(int fd); /* fcntl F_GETPIPE_SZ: its buffer; -EBADF: no pipe */
int weir__kernel_set_flags(int fd, int flags);
int weir__kernel_set_cloexec(int fd); /* fcntl F_SETFD */
int weir__kernel_epoll_create(void);  /* EPOLL_CLOEXEC */
int weir__kernel_epoll_add(int epoll_fd, int fd, uint32_t events);
int weir__kernel_epoll_remove(int epoll_fd, int fd);
int weir__kernel_copy_fd(int fd, int least);   /* fcntl F_DUPFD_CLOEXEC */
int weir__kernel_pipe(int pair[2], int flags); /* pipe2, close-on-exec */

/* Processes, signals, watches. */
int weir__kernel_spawn(pid_t *pid, const char *program, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, const char *const *argv,
                       const char *const *env); /* posix_spawnp */
int weir__kernel_inotify_init(void);            /* close-on-exec, non-blocking */
int weir__kernel_inotify_add(int fd, const char *path, uint32_t mask);
int weir__kernel_inotify_remove(int fd, int id);
int weir__kernel_signalfd(const sigset_t *signals); /* close-on-exec, non-blocking */
int weir__kernel_pidfd_open(pid_t pid);
int weir__kernel_pidfd_kill(int pid_fd, int signo);
int weir__kernel_kill(pid_t pid, int signo);
int weir__kernel_waitid(idtype_t type, int id, siginfo_t *info, int options); /* again on EINTR */

/* Memory. */
void *weir__kernel_map(size_t bytes); /* zeroed, not for forked children; NULL: none */
void weir__kernel_unmap(void *memory, size_t bytes);

/*
 * Names. getaddrinfo(3) reads files and asks servers, for as long as a minute: for pool threads
 * only. Returns 0 or a code as <weir/resolve.h> has them.
 */
int weir__kernel_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                             struct addrinfo **list);
void weir__kernel_freeaddrinfo(struct addrinfo *list);
int weir__kernel_interface_index(const char *name); /* -ENODEV */

/* For tests: who is asked instead of the C library; NULL: the C library again. */
struct weir__kernel_names {
    int (*getaddrinfo)(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list); /* returns EAI_* */
    void (*freeaddrinfo)(struct addrinfo *list);
};
void weir__kernel_set_names(const struct weir__kernel_names *names);

#endif
