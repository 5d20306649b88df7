/* SPDX-License-Identifier: MIT */
/*
 * libweir-interpose.so: where the kernel cannot stop a task's system calls, this library stands in
 * front of the C library's functions that make them (LD_PRELOAD; weir-check sets it), and tells the
 * runtime of each before it goes on to the real one. It sees what is called by name from outside of
 * the C library: no raw syscall(2), and not what the C library calls inside of itself, for which
 * its outer functions stand (fgets for its read, getaddrinfo for all it does).
 *
 * Each wrapper is a row: the function, and the system call that the runtime is to judge it by.
 */
/* The functions themselves are defined here, not what headers make of them. */
#define __NO_INLINE__ 1
#undef _FORTIFY_SOURCE

#include "watch/interpose.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

static _Atomic(weir__interpose_hook *) hook;

/* The type says what the runtime looks for by name. */
PUBLIC weir__interpose_to weir_interpose_to;

void weir_interpose_to(weir__interpose_hook *target)
{
    atomic_store(&hook, target);
}

/* Inline: the first frame is the function that was called. */
static inline __attribute__((always_inline)) void tell(long number, const long args[6])
{
    weir__interpose_hook *target = atomic_load_explicit(&hook, memory_order_relaxed);

    if (target)
        target(number, args);
}

/* What stands behind this library; a function the C library lacks cannot have been called. */
static void find(void *function, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (!found)
        abort();
    memcpy(function, &found, sizeof found);
}

/* TELL: then the call's six arguments. */
#define TELL(number, a, b, c, d, e, f)                                                             \
    tell(number,                                                                                   \
         (const long[6]){ (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f) })

#define WRAP(result, name, parameters, arguments, number, a, b, c, d, e, f)                        \
    PUBLIC result name parameters;                                                                 \
    result name parameters                                                                         \
    {                                                                                              \
        static result(*real) parameters;                                                           \
                                                                                                   \
        if (!real)                                                                                 \
            find(&real, #name);                                                                    \
        TELL(number, a, b, c, d, e, f);                                                            \
        return real arguments;                                                                     \
    }

/* A function that looks up the path `path`. */
#define WRAP_PATH(result, name, parameters, arguments, number)                                     \
    WRAP(result, name, parameters, arguments, number, 0, 0, 0, 0, 0, 0)

/* A function about the descriptor `fd`. */
#define WRAP_FD(result, name, parameters, arguments, number)                                       \
    WRAP(result, name, parameters, arguments, number, fd, 0, 0, 0, 0, 0)

/* clang-format off */

/* --- Bytes ------------------------------------------------------------------------------------ */

WRAP_FD(ssize_t, read, (int fd, void *to, size_t bytes), (fd, to, bytes), SYS_read)
WRAP_FD(ssize_t, readv, (int fd, const struct iovec *to, int count), (fd, to, count), SYS_readv)
WRAP_FD(ssize_t, pread, (int fd, void *to, size_t bytes, off_t at), (fd, to, bytes, at),
        SYS_pread64)
WRAP_FD(ssize_t, pread64, (int fd, void *to, size_t bytes, off64_t at), (fd, to, bytes, at),
        SYS_pread64)
WRAP_FD(ssize_t, preadv, (int fd, const struct iovec *to, int count, off_t at),
        (fd, to, count, at), SYS_preadv)
WRAP(ssize_t, preadv2, (int fd, const struct iovec *to, int count, off_t at, int flags),
     (fd, to, count, at, flags), SYS_preadv2, fd, 0, 0, 0, 0, flags)
WRAP_FD(ssize_t, write, (int fd, const void *from, size_t bytes), (fd, from, bytes), SYS_write)
WRAP_FD(ssize_t, writev, (int fd, const struct iovec *from, int count), (fd, from, count),
        SYS_writev)
WRAP_FD(ssize_t, pwrite, (int fd, const void *from, size_t bytes, off_t at), (fd, from, bytes, at),
        SYS_pwrite64)
WRAP_FD(ssize_t, pwrite64, (int fd, const void *from, size_t bytes, off64_t at),
        (fd, from, bytes, at), SYS_pwrite64)
WRAP_FD(ssize_t, pwritev, (int fd, const struct iovec *from, int count, off_t at),
        (fd, from, count, at), SYS_pwritev)
WRAP(ssize_t, pwritev2, (int fd, const struct iovec *from, int count, off_t at, int flags),
     (fd, from, count, at, flags), SYS_pwritev2, fd, 0, 0, 0, 0, flags)
WRAP(ssize_t, sendfile, (int out, int in, off_t *at, size_t bytes), (out, in, at, bytes),
     SYS_sendfile, out, in, 0, 0, 0, 0)
WRAP(ssize_t, splice, (int in, off64_t *in_at, int out, off64_t *out_at, size_t bytes,
     unsigned flags), (in, in_at, out, out_at, bytes, flags), SYS_splice, in, 0, out, 0, 0, flags)
WRAP_FD(ssize_t, copy_file_range, (int fd, off64_t *in_at, int out, off64_t *out_at, size_t bytes,
        unsigned flags), (fd, in_at, out, out_at, bytes, flags), SYS_copy_file_range)
WRAP_FD(int, close, (int fd), (fd), SYS_close)

/* --- Sockets ---------------------------------------------------------------------------------- */

WRAP(ssize_t, recv, (int fd, void *to, size_t bytes, int flags), (fd, to, bytes, flags),
     SYS_recvfrom, fd, 0, 0, flags, 0, 0)
WRAP(ssize_t, recvfrom, (int fd, void *to, size_t bytes, int flags, struct sockaddr *address,
     socklen_t *address_bytes), (fd, to, bytes, flags, address, address_bytes), SYS_recvfrom, fd, 0,
     0, flags, 0, 0)
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags),
     SYS_recvmsg, fd, 0, flags, 0, 0, 0)
WRAP(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags,
     struct timespec *timeout), (fd, messages, count, flags, timeout), SYS_recvmmsg, fd, 0, 0,
     flags, 0, 0)
WRAP(ssize_t, send, (int fd, const void *from, size_t bytes, int flags), (fd, from, bytes, flags),
     SYS_sendto, fd, 0, 0, flags, 0, 0)
WRAP(ssize_t, sendto, (int fd, const void *from, size_t bytes, int flags,
     const struct sockaddr *address, socklen_t address_bytes),
     (fd, from, bytes, flags, address, address_bytes), SYS_sendto, fd, 0, 0, flags, 0, 0)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags),
     SYS_sendmsg, fd, 0, flags, 0, 0, 0)
WRAP(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags),
     (fd, messages, count, flags), SYS_sendmmsg, fd, 0, 0, flags, 0, 0)
WRAP_FD(int, accept, (int fd, struct sockaddr *address, socklen_t *bytes), (fd, address, bytes),
        SYS_accept)
WRAP_FD(int, accept4, (int fd, struct sockaddr *address, socklen_t *bytes, int flags),
        (fd, address, bytes, flags), SYS_accept4)
WRAP(int, connect, (int fd, const struct sockaddr *address, socklen_t bytes), (fd, address, bytes),
     SYS_connect, fd, address, bytes, 0, 0, 0)
WRAP(int, bind, (int fd, const struct sockaddr *address, socklen_t bytes), (fd, address, bytes),
     SYS_bind, fd, address, bytes, 0, 0, 0)

/* --- Waiting ---------------------------------------------------------------------------------- */

WRAP(int, epoll_pwait, (int fd, struct epoll_event *events, int count, int ms, const sigset_t *set),
     (fd, events, count, ms, set), SYS_epoll_pwait, fd, events, count, ms, 0, 0)
WRAP(int, ppoll, (struct pollfd *polls, nfds_t count, const struct timespec *timeout,
     const sigset_t *set), (polls, count, timeout, set), SYS_ppoll, polls, count, timeout, 0, 0, 0)
WRAP(int, select, (int count, fd_set *in, fd_set *out, fd_set *error, struct timeval *timeout),
     (count, in, out, error, timeout), SYS_pselect6, count, in, out, error, timeout, 0)
WRAP(int, pselect, (int count, fd_set *in, fd_set *out, fd_set *error,
     const struct timespec *timeout, const sigset_t *set), (count, in, out, error, timeout, set),
     SYS_pselect6, count, in, out, error, timeout, 0)
WRAP(int, nanosleep, (const struct timespec *time, struct timespec *left), (time, left),
     SYS_clock_nanosleep, 0, 0, time, left, 0, 0)
WRAP(int, clock_nanosleep, (clockid_t clock, int flags, const struct timespec *time,
     struct timespec *left), (clock, flags, time, left), SYS_clock_nanosleep, clock, flags, time,
     left, 0, 0)
WRAP(int, usleep, (useconds_t us), (us), SYS_clock_nanosleep, 0, 0,
     (&(const struct timespec){ .tv_nsec = (long)us }), 0, 0, 0)
WRAP(unsigned, sleep, (unsigned seconds), (seconds), SYS_clock_nanosleep, 0, 0,
     (&(const struct timespec){ .tv_sec = (time_t)seconds }), 0, 0, 0)
WRAP(int, sigtimedwait, (const sigset_t *set, siginfo_t *info, const struct timespec *timeout),
     (set, info, timeout), SYS_rt_sigtimedwait, set, info, timeout, 0, 0, 0)
WRAP(int, sigwaitinfo, (const sigset_t *set, siginfo_t *info), (set, info), SYS_rt_sigtimedwait,
     set, info, 0, 0, 0, 0)
WRAP(int, sigsuspend, (const sigset_t *set), (set), SYS_rt_sigsuspend, set, 0, 0, 0, 0, 0)
WRAP(int, pthread_join, (pthread_t thread, void **result), (thread, result), SYS_futex, 0,
     FUTEX_WAIT, 0, 0, 0, 0)
WRAP(int, pthread_barrier_wait, (pthread_barrier_t *barrier), (barrier), SYS_futex, barrier,
     FUTEX_WAIT, 0, 0, 0, 0)
WRAP(pid_t, wait, (int *status), (status), SYS_wait4, -1, status, 0, 0, 0, 0)
WRAP(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options), SYS_wait4, pid,
     status, options, 0, 0, 0)
WRAP(pid_t, wait4, (pid_t pid, int *status, int options, struct rusage *usage),
     (pid, status, options, usage), SYS_wait4, pid, status, options, 0, 0, 0)
WRAP(int, waitid, (idtype_t type, id_t id, siginfo_t *info, int options),
     (type, id, info, options), SYS_waitid, type, id, info, options, 0, 0)

/* --- Processes -------------------------------------------------------------------------------- */

WRAP(int, system, (const char *command), (command), SYS_wait4, -1, 0, 0, 0, 0, 0)
WRAP(FILE *, popen, (const char *command, const char *mode), (command, mode), SYS_clone,
     CLONE_VFORK, 0, 0, 0, 0, 0)
WRAP(int, pclose, (FILE *file), (file), SYS_wait4, -1, 0, 0, 0, 0, 0)
WRAP(int, posix_spawn, (pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
     const posix_spawnattr_t *attributes, char *const argv[], char *const env[]),
     (pid, path, actions, attributes, argv, env), SYS_clone, CLONE_VFORK, 0, 0, 0, 0, 0)
WRAP(int, posix_spawnp, (pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
     const posix_spawnattr_t *attributes, char *const argv[], char *const env[]),
     (pid, file, actions, attributes, argv, env), SYS_clone, CLONE_VFORK, 0, 0, 0, 0, 0)

/* --- Names in directories --------------------------------------------------------------------- */

WRAP_PATH(int, creat, (const char *path, mode_t mode), (path, mode), SYS_openat)
WRAP_PATH(int, stat, (const char *path, struct stat *file), (path, file), SYS_newfstatat)
WRAP_PATH(int, lstat, (const char *path, struct stat *file), (path, file), SYS_newfstatat)
WRAP_PATH(int, stat64, (const char *path, struct stat64 *file), (path, file), SYS_newfstatat)
WRAP_PATH(int, lstat64, (const char *path, struct stat64 *file), (path, file), SYS_newfstatat)
WRAP(int, fstatat, (int folder, const char *path, struct stat *file, int flags),
     (folder, path, file, flags), SYS_newfstatat, folder, path, file, flags, 0, 0)
WRAP(int, statx, (int folder, const char *path, int flags, unsigned mask, struct statx *file),
     (folder, path, flags, mask, file), SYS_statx, folder, path, flags, mask, 0, 0)
WRAP_PATH(int, access, (const char *path, int mode), (path, mode), SYS_faccessat)
WRAP_PATH(int, faccessat, (int folder, const char *path, int mode, int flags),
          (folder, path, mode, flags), SYS_faccessat)
WRAP_PATH(ssize_t, readlink, (const char *path, char *to, size_t bytes), (path, to, bytes),
          SYS_readlinkat)
WRAP_PATH(ssize_t, readlinkat, (int folder, const char *path, char *to, size_t bytes),
          (folder, path, to, bytes), SYS_readlinkat)
WRAP_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode), SYS_mkdirat)
WRAP_PATH(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode),
          SYS_mkdirat)
WRAP_PATH(int, rmdir, (const char *path), (path), SYS_unlinkat)
WRAP_PATH(int, unlink, (const char *path), (path), SYS_unlinkat)
WRAP_PATH(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags),
          SYS_unlinkat)
WRAP_PATH(int, remove, (const char *path), (path), SYS_unlinkat)
WRAP_PATH(int, rename, (const char *from, const char *to), (from, to), SYS_renameat2)
WRAP_PATH(int, renameat, (int from_folder, const char *from, int to_folder, const char *to),
          (from_folder, from, to_folder, to), SYS_renameat2)
WRAP_PATH(int, link, (const char *from, const char *to), (from, to), SYS_linkat)
WRAP_PATH(int, symlink, (const char *target, const char *path), (target, path), SYS_symlinkat)
WRAP_PATH(int, chmod, (const char *path, mode_t mode), (path, mode), SYS_fchmodat)
WRAP_PATH(int, chown, (const char *path, uid_t owner, gid_t group), (path, owner, group),
          SYS_fchownat)
WRAP_PATH(int, truncate, (const char *path, off_t bytes), (path, bytes), SYS_truncate)
WRAP_PATH(int, chdir, (const char *path), (path), SYS_chdir)
WRAP_PATH(char *, realpath, (const char *path, char *to), (path, to), SYS_readlinkat)
WRAP_PATH(int, mkstemp, (char *path), (path), SYS_openat)
WRAP_PATH(int, mkostemp, (char *path, int flags), (path, flags), SYS_openat)
WRAP_PATH(char *, mkdtemp, (char *path), (path), SYS_mkdirat)
WRAP_PATH(DIR *, opendir, (const char *path), (path), SYS_openat)
WRAP(struct dirent *, readdir, (DIR *folder), (folder), SYS_getdents64, dirfd(folder), 0, 0, 0, 0,
     0)
WRAP_PATH(void *, dlopen, (const char *path, int flags), (path, flags), SYS_openat)

/* --- Disks, locks ----------------------------------------------------------------------------- */

WRAP_FD(int, fsync, (int fd), (fd), SYS_fsync)
WRAP_FD(int, fdatasync, (int fd), (fd), SYS_fdatasync)
WRAP_FD(int, syncfs, (int fd), (fd), SYS_syncfs)
WRAP_FD(int, ftruncate, (int fd, off_t bytes), (fd, bytes), SYS_ftruncate)
WRAP_FD(int, fallocate, (int fd, int mode, off_t at, off_t bytes), (fd, mode, at, bytes),
        SYS_fallocate)
WRAP_FD(int, posix_fallocate, (int fd, off_t at, off_t bytes), (fd, at, bytes), SYS_fallocate)
WRAP(void, sync, (void), (), SYS_sync, 0, 0, 0, 0, 0, 0)
WRAP(int, msync, (void *memory, size_t bytes, int flags), (memory, bytes, flags), SYS_msync, memory,
     bytes, flags, 0, 0, 0)
WRAP(int, flock, (int fd, int operation), (fd, operation), SYS_flock, fd, operation, 0, 0, 0, 0)
WRAP(int, lockf, (int fd, int command, off_t bytes), (fd, command, bytes), SYS_fcntl, fd,
     command == F_LOCK ? F_SETLKW : 0, 0, 0, 0, 0)
WRAP(int, tcdrain, (int fd), (fd), SYS_ioctl, fd, 0x5409 /* TCSBRK */, 1, 0, 0, 0)

/* --- stdio: what it holds already is no call -------------------------------------------------- */

WRAP_PATH(FILE *, fopen, (const char *path, const char *mode), (path, mode), SYS_openat)
WRAP_PATH(FILE *, fopen64, (const char *path, const char *mode), (path, mode), SYS_openat)

#define WRAP_INPUT(result, name, parameters, arguments)                                            \
    WRAP(result, name, parameters, arguments, has_input(file) ? -1 : SYS_read, fileno(file), 0, 0, \
         0, 0, 0)

static bool has_input(const FILE *file)
{
    return file->_IO_read_ptr < file->_IO_read_end;
}

WRAP_INPUT(char *, fgets, (char *to, int bytes, FILE *file), (to, bytes, file))
WRAP_INPUT(int, fgetc, (FILE *file), (file))
WRAP_INPUT(int, getc, (FILE *file), (file))
WRAP_INPUT(size_t, fread, (void *to, size_t bytes, size_t count, FILE *file),
           (to, bytes, count, file))
WRAP_INPUT(ssize_t, getline, (char **line, size_t *bytes, FILE *file), (line, bytes, file))
WRAP_INPUT(ssize_t, getdelim, (char **line, size_t *bytes, int end, FILE *file),
           (line, bytes, end, file))
WRAP(int, fflush, (FILE *file), (file),
     file && file->_IO_write_ptr > file->_IO_write_base ? SYS_write : -1, file ? fileno(file) : -1,
     0, 0, 0, 0, 0)
WRAP(int, fclose, (FILE *file), (file),
     file->_IO_write_ptr > file->_IO_write_base ? SYS_write : SYS_close, fileno(file), 0, 0, 0, 0,
     0)
/* clang-format on */

/* --- What headers make of some of them -------------------------------------------------------- */

/* clang-format off */
WRAP_FD(ssize_t, __read_chk, (int fd, void *to, size_t bytes, size_t room), (fd, to, bytes, room),
        SYS_read)
WRAP_FD(ssize_t, __pread_chk, (int fd, void *to, size_t bytes, off_t at, size_t room),
        (fd, to, bytes, at, room), SYS_pread64)
WRAP(ssize_t, __recv_chk, (int fd, void *to, size_t bytes, size_t room, int flags),
     (fd, to, bytes, room, flags), SYS_recvfrom, fd, 0, 0, flags, 0, 0)
WRAP_PATH(int, __open_2, (const char *path, int flags), (path, flags), SYS_openat)
WRAP_PATH(int, __open64_2, (const char *path, int flags), (path, flags), SYS_openat)
WRAP_PATH(int, __openat_2, (int folder, const char *path, int flags), (folder, path, flags),
          SYS_openat)
WRAP_INPUT(ssize_t, __getdelim, (char **line, size_t *bytes, int end, FILE *file),
           (line, bytes, end, file))
WRAP_INPUT(char *, __fgets_chk, (char *to, size_t room, int bytes, FILE *file),
           (to, room, bytes, file))
WRAP_INPUT(size_t, __fread_chk, (void *to, size_t room, size_t bytes, size_t count, FILE *file),
           (to, room, bytes, count, file))
/* clang-format on */

/* --- Those that need more than a row ---------------------------------------------------------- */

/* With the mode behind the flags. */
#define WRAP_OPEN(name)                                                                            \
    PUBLIC int name(const char *path, int flags, ...);                                             \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        static int (*real)(const char *path, int flags, ...);                                      \
        va_list list;                                                                              \
        mode_t mode;                                                                               \
                                                                                                   \
        if (!real)                                                                                 \
            find(&real, #name);                                                                    \
        va_start(list, flags);                                                                     \
        mode = va_arg(list, mode_t);                                                               \
        va_end(list);                                                                              \
        TELL(SYS_openat, 0, 0, 0, 0, 0, 0);                                                        \
        return real(path, flags, mode);                                                            \
    }

#define WRAP_OPEN_AT(name)                                                                         \
    PUBLIC int name(int folder, const char *path, int flags, ...);                                 \
    int name(int folder, const char *path, int flags, ...)                                         \
    {                                                                                              \
        static int (*real)(int folder, const char *path, int flags, ...);                          \
        va_list list;                                                                              \
        mode_t mode;                                                                               \
                                                                                                   \
        if (!real)                                                                                 \
            find(&real, #name);                                                                    \
        va_start(list, flags);                                                                     \
        mode = va_arg(list, mode_t);                                                               \
        va_end(list);                                                                              \
        TELL(SYS_openat, 0, 0, 0, 0, 0, 0);                                                        \
        return real(folder, path, flags, mode);                                                    \
    }

/* With one word behind the command. */
#define WRAP_CONTROL(name)                                                                         \
    PUBLIC int name(int fd, int command, ...);                                                     \
    int name(int fd, int command, ...)                                                             \
    {                                                                                              \
        static int (*real)(int fd, int command, ...);                                              \
        va_list list;                                                                              \
        void *word;                                                                                \
                                                                                                   \
        if (!real)                                                                                 \
            find(&real, #name);                                                                    \
        va_start(list, command);                                                                   \
        word = va_arg(list, void *);                                                               \
        va_end(list);                                                                              \
        TELL(SYS_fcntl, fd, command, word, 0, 0, 0);                                               \
        return real(fd, command, word);                                                            \
    }

WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP_OPEN_AT(openat)
WRAP_OPEN_AT(openat64)
WRAP_CONTROL(fcntl)
WRAP_CONTROL(fcntl64)

/* As ppoll, which every architecture has. */
static struct timespec to_timespec(int ms)
{
    return (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
}

PUBLIC int poll(struct pollfd *polls, nfds_t count, int ms)
{
    static int (*real)(struct pollfd * polls, nfds_t count, int ms);
    struct timespec timeout = to_timespec(ms);

    if (!real)
        find(&real, "poll");
    TELL(SYS_ppoll, polls, count, ms < 0 ? NULL : &timeout, 0, 0, 0);
    return real(polls, count, ms);
}

PUBLIC int epoll_wait(int fd, struct epoll_event *events, int count, int ms)
{
    static int (*real)(int fd, struct epoll_event *events, int count, int ms);

    if (!real)
        find(&real, "epoll_wait");
    TELL(SYS_epoll_pwait, fd, events, count, ms, 0, 0);
    return real(fd, events, count, ms);
}

/* A lock that is free is no call. */
PUBLIC int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    static int (*real)(pthread_mutex_t * mutex);
    int error = pthread_mutex_trylock(mutex);

    if (error != EBUSY)
        return error;
    if (!real)
        find(&real, "pthread_mutex_lock");
    TELL(SYS_futex, mutex, FUTEX_WAIT, 0, 0, 0, 0);
    return real(mutex);
}

PUBLIC int sem_wait(sem_t *semaphore)
{
    static int (*real)(sem_t * semaphore);

    if (sem_trywait(semaphore) == 0)
        return 0;
    if (!real)
        find(&real, "sem_wait");
    TELL(SYS_futex, semaphore, FUTEX_WAIT, 0, 0, 0, 0);
    return real(semaphore);
}

/* Of two versions the C library keeps, the old one is another function. */
static void find_cond(void *function, const char *name)
{
    void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");

    if (found)
        memcpy(function, &found, sizeof found);
    else
        find(function, name);
}

PUBLIC int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    static int (*real)(pthread_cond_t * cond, pthread_mutex_t * mutex);

    if (!real)
        find_cond(&real, "pthread_cond_wait");
    TELL(SYS_futex, cond, FUTEX_WAIT, 0, 0, 0, 0);
    return real(cond, mutex);
}

PUBLIC int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    static int (*real)(pthread_cond_t * cond, pthread_mutex_t * mutex,
                       const struct timespec *until);

    if (!real)
        find_cond(&real, "pthread_cond_timedwait");
    TELL(SYS_futex, cond, FUTEX_WAIT, 0, 0, 0, 0);
    return real(cond, mutex, until);
}

/* A number needs nobody. */
static bool is_number(const char *name, const struct addrinfo *hints)
{
    struct in6_addr address;

    return !name || (hints && (hints->ai_flags & AI_NUMERICHOST)) ||
           inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

PUBLIC int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list)
{
    static int (*real)(const char *name, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list);

    if (!real)
        find(&real, "getaddrinfo");
    if (!is_number(name, hints))
        TELL(WEIR__INTERPOSE_RESOLVE, 0, 0, 0, 0, 0, 0);
    return real(name, service, hints, list);
}

PUBLIC struct hostent *gethostbyname(const char *name)
{
    static struct hostent *(*real)(const char *name);

    if (!real)
        find(&real, "gethostbyname");
    if (!is_number(name, NULL))
        TELL(WEIR__INTERPOSE_RESOLVE, 0, 0, 0, 0, 0, 0);
    return real(name);
}
