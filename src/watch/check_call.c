/* SPDX-License-Identifier: MIT */
/*
 * Rules first, then the rows. A rule says whether a call, with these arguments, could wait; those
 * that ask a descriptor name it in the verdict.
 */
#include "watch/check_call.h"

#include "watch/check_fd.h"
#include "watch/interpose.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DNS_PORT = 53, GETEVENTS = 1 /* IORING_ENTER_GETEVENTS, not ring/'s to say here */ };

#define DISK "waits for the disk when what it needs is not in memory"
#define POOL "weir_pool_run around it"

struct row {
    const char *name;
    bool (*rule)(const struct row *row, const long *args, struct weir__check_verdict *verdict);
    const char *remedy;
    const char *cause; /* NULL: the rule says it */
    int at;            /* which argument the rule looks at */
    long mask;         /* and which bits of it */
};

static bool always(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    (void)row;
    (void)args;
    (void)verdict;
    return true;
}

/* Unless a flag says that it must not wait. */
static bool unless(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    (void)verdict;
    return !(args[row->at] & row->mask);
}

static bool when(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    (void)verdict;
    return (args[row->at] & row->mask) != 0;
}

static bool timeout_ms(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    (void)verdict;
    return (int)args[row->at] != 0;
}

/* A timespec or a timeval: none means without end. */
static bool timeout(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    const struct timespec *time = (const struct timespec *)args[row->at];

    (void)verdict;
    return !time || time->tv_sec || time->tv_nsec;
}

static struct weir__check_fd look(const long *args, struct weir__check_verdict *verdict)
{
    struct weir__check_fd found = weir__check_fd_look((int)args[0]);

    verdict->fd = (int)args[0];
    verdict->kind = found.kind;
    return found;
}

static bool reads(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    struct weir__check_fd found;

    if (row->mask && (args[row->at] & row->mask))
        return false;
    found = look(args, verdict);
    verdict->cause =
        found.wait == WEIR__CHECK_WAITS_DISK ? DISK : "waits until something is there to be read";
    return found.wait != WEIR__CHECK_WAITS_NEVER;
}

/* An eventfd and the like take what is written at once. */
static bool writes(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    struct weir__check_fd found;

    if (row->mask && (args[row->at] & row->mask))
        return false;
    found = look(args, verdict);
    verdict->cause = "waits until the other side has made room";
    if (found.wait == WEIR__CHECK_WAITS_PEER)
        return found.is_stream || found.is_socket;
    verdict->cause = DISK;
    return found.wait == WEIR__CHECK_WAITS_DISK;
}

/* What has a descriptor, and is about the disk. */
static bool disk(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    (void)row;
    verdict->cause = "waits for the disk";
    return look(args, verdict).wait == WEIR__CHECK_WAITS_DISK;
}

static bool accepts(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    (void)row;
    return look(args, verdict).wait == WEIR__CHECK_WAITS_PEER;
}

static bool connects(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    struct weir__check_fd found = look(args, verdict);
    const struct sockaddr_in *address =
        (const struct sockaddr_in *)args[1]; /* v6: the same place */

    (void)row;
    if (found.wait != WEIR__CHECK_WAITS_PEER || !found.is_stream)
        return false;
    if (address && (address->sin_family == AF_INET || address->sin_family == AF_INET6) &&
        ntohs(address->sin_port) == DNS_PORT)
        verdict->remedy = "weir_resolve";
    return true;
}

static bool binds(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    const struct sockaddr_un *address = (const struct sockaddr_un *)args[1];

    (void)row;
    look(args, verdict);
    return address && address->sun_family == AF_UNIX && args[2] > (long)sizeof(sa_family_t) &&
           address->sun_path[0] != '\0';
}

/* What was written goes to its server, what has no name is given up, what lingers is sent. */
static bool closes(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    struct weir__check_fd found = look(args, verdict);
    struct linger linger = { 0 };
    socklen_t bytes = sizeof linger;
    struct stat file;

    (void)row;
    verdict->cause = "waits for unsent bytes (SO_LINGER)";
    if (found.is_socket)
        return getsockopt(verdict->fd, SOL_SOCKET, SO_LINGER, &linger, &bytes) == 0 &&
               linger.l_onoff && linger.l_linger;
    verdict->cause = "may write out or give up what the file holds";
    if (found.wait != WEIR__CHECK_WAITS_DISK || fstat(verdict->fd, &file) < 0 ||
        !S_ISREG(file.st_mode))
        return false;
    return file.st_nlink == 0 || (fcntl(verdict->fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

/* An empty path is the descriptor itself, which is known. */
static bool describes(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    const char *path = (const char *)args[1];

    (void)verdict;
    return !(args[row->at] & AT_EMPTY_PATH) || (path && *path);
}

static bool opens_cached(const struct row *row, const long *args,
                         struct weir__check_verdict *verdict)
{
    const struct open_how *how = (const struct open_how *)args[2];

    (void)row;
    (void)verdict;
    return !how || !(how->resolve & RESOLVE_CACHED);
}

static bool locks(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    (void)row;
    if (args[1] != F_SETLKW && args[1] != F_OFD_SETLKW)
        return false;
    look(args, verdict);
    return true;
}

static bool waits_on_word(const struct row *row, const long *args,
                          struct weir__check_verdict *verdict)
{
    (void)row;
    (void)verdict;
    switch (args[1] & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return true;
    default:
        return false;
    }
}

static bool clones(const struct row *row, const long *args, struct weir__check_verdict *verdict)
{
    const struct clone_args *clone = (const struct clone_args *)args[0];

    (void)row;
    (void)verdict;
    return clone && (clone->flags & CLONE_VFORK);
}

static bool enters_ring(const struct row *row, const long *args,
                        struct weir__check_verdict *verdict)
{
    (void)row;
    look(args, verdict);
    return args[2] > 0 && (args[3] & GETEVENTS);
}

static bool drains_terminal(const struct row *row, const long *args,
                            struct weir__check_verdict *verdict)
{
    (void)row;
    if (args[1] != TCSBRK || !args[2])
        return false;
    look(args, verdict);
    return true;
}

/* Its file is no file: only its own flag counts. */
static bool queues_message(const struct row *row, const long *args,
                           struct weir__check_verdict *verdict)
{
    (void)row;
    verdict->fd = (int)args[0];
    verdict->kind = "message queue";
    return !(fcntl(verdict->fd, F_GETFL) & O_NONBLOCK);
}

#define PATH(remedy) always, remedy, "looks up names, on the disk if need be", 0, 0
#define TIME(at)                                                                                   \
    timeout, "weir_select, with a clause for each descriptor",                                     \
        "waits until a descriptor is ready", at, 0
#define SLEEP(at) timeout, "weir_sleep", "sleeps", at, 0

/* clang-format off */
static const struct row rows[WEIR__CHECK_CALLS_MAX] = {
    [SYS_read] = { "read", reads, "weir_read", NULL, 0, 0 },
    [SYS_readv] = { "readv", reads, "weir_readv", NULL, 0, 0 },
    [SYS_pread64] = { "pread", reads, "weir_pread", NULL, 0, 0 },
    [SYS_preadv] = { "preadv", reads, "weir_preadv", NULL, 0, 0 },
    [SYS_preadv2] = { "preadv2", reads, "weir_preadv2", NULL, 5, RWF_NOWAIT },
    [SYS_write] = { "write", writes, "weir_write", NULL, 0, 0 },
    [SYS_writev] = { "writev", writes, "weir_writev", NULL, 0, 0 },
    [SYS_pwrite64] = { "pwrite", writes, "weir_pwrite", NULL, 0, 0 },
    [SYS_pwritev] = { "pwritev", writes, "weir_pwritev", NULL, 0, 0 },
    [SYS_pwritev2] = { "pwritev2", writes, "weir_pwritev2", NULL, 5, RWF_NOWAIT },
    [SYS_recvfrom] = { "recv", reads, "weir_recv", NULL, 3, MSG_DONTWAIT | MSG_ERRQUEUE },
    [SYS_recvmsg] = { "recvmsg", reads, "weir_recvmsg", NULL, 2, MSG_DONTWAIT | MSG_ERRQUEUE },
    [SYS_recvmmsg] = { "recvmmsg", reads, "weir_recvmmsg", NULL, 3, MSG_DONTWAIT | MSG_ERRQUEUE },
    [SYS_sendto] = { "send", writes, "weir_send", NULL, 3, MSG_DONTWAIT },
    [SYS_sendmsg] = { "sendmsg", writes, "weir_sendmsg", NULL, 2, MSG_DONTWAIT },
    [SYS_sendmmsg] = { "sendmmsg", writes, "weir_sendmmsg", NULL, 3, MSG_DONTWAIT },
    [SYS_accept] = { "accept", accepts, "weir_accept, or a weir_listener", "waits for a client", 0,
                     0 },
    [SYS_accept4] = { "accept4", accepts, "weir_accept, or a weir_listener", "waits for a client",
                      0, 0 },
    [SYS_connect] = { "connect", connects, "weir_connect, or weir_dial",
                      "waits until the other side answers", 0, 0 },
    [SYS_bind] = { "bind", binds, "weir_bind", "makes a name, on the disk if need be", 0, 0 },
    [SYS_close] = { "close", closes, "weir_close", NULL, 0, 0 },

    [SYS_ppoll] = { "ppoll", TIME(2) },
    [SYS_pselect6] = { "pselect", TIME(4) },
    [SYS_epoll_pwait] = { "epoll_pwait", timeout_ms, "weir_select, or weir_embed",
                          "waits until a descriptor is ready", 3, 0 },
    [SYS_nanosleep] = { "nanosleep", SLEEP(0) },
    [SYS_clock_nanosleep] = { "clock_nanosleep", SLEEP(2) },
    [SYS_rt_sigtimedwait] = { "sigtimedwait", timeout, "weir_clause_signal in a weir_select",
                              "waits for a signal", 2, 0 },
    [SYS_rt_sigsuspend] = { "sigsuspend", always, "weir_clause_signal in a weir_select",
                            "waits for a signal", 0, 0 },
    [SYS_futex] = { "futex", waits_on_word, "a channel, or " POOL,
                    "waits for a lock, or to be woken by another thread", 0, 0 },
    [SYS_wait4] = { "wait4", unless, "weir_child_wait", "waits until a child process has ended", 2,
                    WNOHANG },
    [SYS_waitid] = { "waitid", unless, "weir_child_wait", "waits until a child process has ended",
                     3, WNOHANG },
    [SYS_clone] = { "clone", when, "weir_child_spawn", "waits until a child has loaded its program",
                    0, CLONE_VFORK },
    [SYS_clone3] = { "clone3", clones, "weir_child_spawn",
                     "waits until a child has loaded its program", 0, 0 },

    [SYS_openat] = { "openat", PATH("weir_openat") },
    [SYS_openat2] = { "openat2", opens_cached, "weir_openat2",
                      "looks up names, on the disk if need be", 0, 0 },
    [SYS_newfstatat] = { "fstatat", describes, "weir_statx",
                         "looks up names, on the disk if need be", 3, 0 },
    [SYS_statx] = { "statx", describes, "weir_statx", "looks up names, on the disk if need be", 2,
                    0 },
    [SYS_statfs] = { "statfs", PATH("weir_statfs") },
    [SYS_faccessat] = { "faccessat", PATH("weir_faccessat") },
    [SYS_faccessat2] = { "faccessat2", PATH("weir_faccessat") },
    [SYS_readlinkat] = { "readlinkat", PATH("weir_readlinkat") },
    [SYS_mkdirat] = { "mkdirat", PATH("weir_mkdirat") },
    [SYS_mknodat] = { "mknodat", PATH("weir_mknodat") },
    [SYS_unlinkat] = { "unlinkat", PATH("weir_unlinkat") },
    [SYS_renameat2] = { "renameat2", PATH("weir_renameat") },
    [SYS_linkat] = { "linkat", PATH("weir_linkat") },
    [SYS_symlinkat] = { "symlinkat", PATH("weir_symlinkat") },
    [SYS_fchmodat] = { "fchmodat", PATH("weir_fchmodat") },
    [SYS_fchownat] = { "fchownat", PATH("weir_fchownat") },
    [SYS_utimensat] = { "utimensat", PATH("weir_utimensat") },
    [SYS_truncate] = { "truncate", PATH("weir_openat and weir_ftruncate") },
    [SYS_chdir] = { "chdir", PATH(POOL) },
    [SYS_chroot] = { "chroot", PATH(POOL) },
    [SYS_mount] = { "mount", PATH(POOL) },
    [SYS_umount2] = { "umount", PATH(POOL) },
    [SYS_getxattr] = { "getxattr", PATH("weir_getxattr") },
    [SYS_lgetxattr] = { "lgetxattr", PATH("weir_getxattr") },
    [SYS_setxattr] = { "setxattr", PATH("weir_setxattr") },
    [SYS_lsetxattr] = { "lsetxattr", PATH("weir_setxattr") },
    [SYS_listxattr] = { "listxattr", PATH("weir_listxattr") },
    [SYS_llistxattr] = { "llistxattr", PATH("weir_listxattr") },
    [SYS_removexattr] = { "removexattr", PATH("weir_removexattr") },
    [SYS_lremovexattr] = { "lremovexattr", PATH("weir_removexattr") },
    [SYS_inotify_add_watch] = { "inotify_add_watch", PATH("weir_watch_add") },
    [SYS_name_to_handle_at] = { "name_to_handle_at", PATH(POOL) },
    [SYS_open_by_handle_at] = { "open_by_handle_at", PATH(POOL) },

    [SYS_fsync] = { "fsync", disk, "weir_fsync", NULL, 0, 0 },
    [SYS_fdatasync] = { "fdatasync", disk, "weir_fdatasync", NULL, 0, 0 },
    [SYS_sync_file_range] = { "sync_file_range", disk, "weir_sync_file_range", NULL, 0, 0 },
    [SYS_syncfs] = { "syncfs", disk, "weir_syncfs", NULL, 0, 0 },
    [SYS_ftruncate] = { "ftruncate", disk, "weir_ftruncate", NULL, 0, 0 },
    [SYS_fallocate] = { "fallocate", disk, "weir_fallocate", NULL, 0, 0 },
    [SYS_readahead] = { "readahead", disk, "weir_fadvise", NULL, 0, 0 },
    [SYS_getdents64] = { "getdents64", disk, "weir_directory_next", NULL, 0, 0 },
    [SYS_fchmod] = { "fchmod", disk, "weir_fchmod", NULL, 0, 0 },
    [SYS_fchown] = { "fchown", disk, "weir_fchown", NULL, 0, 0 },
    [SYS_fgetxattr] = { "fgetxattr", disk, "weir_fgetxattr", NULL, 0, 0 },
    [SYS_fsetxattr] = { "fsetxattr", disk, "weir_fsetxattr", NULL, 0, 0 },
    [SYS_flistxattr] = { "flistxattr", disk, "weir_flistxattr", NULL, 0, 0 },
    [SYS_fremovexattr] = { "fremovexattr", disk, "weir_fremovexattr", NULL, 0, 0 },
    [SYS_sync] = { "sync", always, "weir_syncfs, or weir_fsync", "waits for the disk", 0, 0 },
    [SYS_msync] = { "msync", when, POOL, "waits for the disk", 2, MS_SYNC },
    [SYS_copy_file_range] = { "copy_file_range", disk, "weir_copy_file_range", NULL, 0, 0 },
    [SYS_sendfile] = { "sendfile", always, "weir_stream_send_file, or weir_copy",
                       "waits for the disk, and until the other side has made room", 0, 0 },
    [SYS_splice] = { "splice", unless, "weir_splice", "waits for the other side of a pipe", 5,
                     SPLICE_F_NONBLOCK },
    [SYS_tee] = { "tee", unless, POOL, "waits for the other side of a pipe", 3, SPLICE_F_NONBLOCK },
    [SYS_vmsplice] = { "vmsplice", unless, POOL, "waits for the other side of a pipe", 3,
                       SPLICE_F_NONBLOCK },
    [SYS_flock] = { "flock", unless, "weir_flock", "waits for a lock of a file", 1,
                    LOCK_NB | LOCK_UN },
    [SYS_fcntl] = { "fcntl", locks, "weir_ofd_lock", "waits for a lock of a file", 0, 0 },
    [SYS_ioctl] = { "ioctl", drains_terminal, POOL, "waits until a terminal has taken its output",
                    0, 0 },

    [SYS_io_uring_enter] = { "io_uring_enter", enters_ring,
                             "weir's own calls, or weir_clause_readable of the ring's descriptor",
                             "waits for completions", 0, 0 },
    [SYS_io_getevents] = { "io_getevents", when, "weir_pread and its kin", "waits for completions",
                           1, -1 },
    [SYS_msgrcv] = { "msgrcv", unless, "a channel, or " POOL, "waits for a message", 4,
                     IPC_NOWAIT },
    [SYS_msgsnd] = { "msgsnd", unless, "a channel, or " POOL, "waits for room in a queue", 3,
                     IPC_NOWAIT },
    [SYS_semop] = { "semop", always, POOL, "waits for a semaphore", 0, 0 },
    [SYS_semtimedop] = { "semtimedop", always, POOL, "waits for a semaphore", 0, 0 },
    [SYS_mq_timedreceive] = { "mq_receive", queues_message, "a channel, or " POOL,
                              "waits for a message", 0, 0 },
    [SYS_mq_timedsend] = { "mq_send", queues_message, "a channel, or " POOL,
                           "waits for room in a queue", 0, 0 },
#ifdef SYS_futex_waitv
    [SYS_futex_waitv] = { "futex_waitv", always, "a channel, or " POOL,
                          "waits to be woken by another thread", 0, 0 },
#endif
#ifdef SYS_epoll_pwait2
    [SYS_epoll_pwait2] = { "epoll_pwait2", TIME(3) },
#endif

    [WEIR__INTERPOSE_RESOLVE] = { "getaddrinfo", always, "weir_resolve",
                                  "reads files and asks servers", 0, 0 },

    /* What only old architectures have: newer ones make them of those above. */
#ifdef SYS_open
    [SYS_open] = { "open", PATH("weir_openat") },
    [SYS_creat] = { "creat", PATH("weir_openat") },
    [SYS_stat] = { "stat", PATH("weir_statx") },
    [SYS_lstat] = { "lstat", PATH("weir_statx") },
    [SYS_access] = { "access", PATH("weir_faccessat") },
    [SYS_readlink] = { "readlink", PATH("weir_readlinkat") },
    [SYS_mkdir] = { "mkdir", PATH("weir_mkdirat") },
    [SYS_mknod] = { "mknod", PATH("weir_mknodat") },
    [SYS_rmdir] = { "rmdir", PATH("weir_unlinkat") },
    [SYS_unlink] = { "unlink", PATH("weir_unlinkat") },
    [SYS_rename] = { "rename", PATH("weir_renameat") },
    [SYS_renameat] = { "renameat", PATH("weir_renameat") },
    [SYS_link] = { "link", PATH("weir_linkat") },
    [SYS_symlink] = { "symlink", PATH("weir_symlinkat") },
    [SYS_chmod] = { "chmod", PATH("weir_fchmodat") },
    [SYS_chown] = { "chown", PATH("weir_fchownat") },
    [SYS_lchown] = { "lchown", PATH("weir_fchownat") },
    [SYS_utime] = { "utime", PATH("weir_utimensat") },
    [SYS_utimes] = { "utimes", PATH("weir_utimensat") },
    [SYS_futimesat] = { "futimesat", PATH("weir_utimensat") },
    [SYS_getdents] = { "getdents", disk, "weir_directory_next", NULL, 0, 0 },
    [SYS_poll] = { "poll", timeout_ms, "weir_select, with a clause for each descriptor",
                   "waits until a descriptor is ready", 2, 0 },
    [SYS_select] = { "select", TIME(4) },
    [SYS_epoll_wait] = { "epoll_wait", timeout_ms, "weir_select, or weir_embed",
                         "waits until a descriptor is ready", 3, 0 },
    [SYS_pause] = { "pause", always, "weir_clause_signal in a weir_select", "waits for a signal", 0,
                    0 },
    [SYS_vfork] = { "vfork", always, "weir_child_spawn",
                    "waits until a child has loaded its program", 0, 0 },
#endif
};
/* clang-format on */

/* Whether a rule looks at the descriptor that is the call's first argument. */
static bool asks_descriptor(const struct row *row)
{
    return row->rule == reads || row->rule == writes || row->rule == disk || row->rule == accepts ||
           row->rule == connects || row->rule == binds || row->rule == closes ||
           row->rule == locks || row->rule == enters_ring || row->rule == drains_terminal ||
           row->rule == queues_message;
}

/* Calls on a descriptor whose rule does not ask it. */
static bool begins_with_descriptor(long number)
{
    switch (number) {
    case SYS_sendfile:
    case SYS_splice:
    case SYS_tee:
    case SYS_vmsplice:
    case SYS_flock:
    case SYS_epoll_pwait:
        return true;
    default:
        return false;
    }
}

bool weir__check_describe(long number, struct weir__check_description *description)
{
    const struct row *row;

    if (number < 0 || number >= WEIR__CHECK_CALLS_MAX || !rows[number].name)
        return false;
    row = &rows[number];
    *description = (struct weir__check_description){
        .name = row->name,
        .remedy = row->remedy,
        .has_fd = asks_descriptor(row) || begins_with_descriptor(number),
    };
    return true;
}

bool weir__check_judge(const struct weir__check_call *call, struct weir__check_verdict *verdict)
{
    const struct row *row;

    if (call->number < 0 || call->number >= WEIR__CHECK_CALLS_MAX || !rows[call->number].rule)
        return false;
    row = &rows[call->number];
    *verdict = (struct weir__check_verdict){
        .name = row->name,
        .cause = row->cause,
        .remedy = row->remedy,
        .fd = -1,
    };
    return row->rule(row, call->args, verdict);
}

/* Where what was called has no name of its own (it jumps to a static function), there is that of
 * what it calls in turn, such as _IO_file_fopen. */
static const struct {
    const char *function;
    const char *remedy;
} functions[] = {
    { "_IO_file_fopen", "weir_read_file, weir_write_file, or weir_pool_run around the use of the "
                        "FILE" },
    { "_IO_file_underflow", "weir_read_file, or weir_pool_run around the use of the FILE" },
    { "_IO_file_write", "weir_write_file, or weir_pool_run around the use of the FILE" },
    { "getpwnam_r", "weir_pool_run around it" },
    { "getpwuid_r", "weir_pool_run around it" },
    { "getgrnam_r", "weir_pool_run around it" },
    { "getgrgid_r", "weir_pool_run around it" },
    { "getaddrinfo", "weir_resolve" },
    { "gethostbyname", "weir_resolve" },
    { "gethostbyname_r", "weir_resolve" },
    { "gethostbyname2_r", "weir_resolve" },
    { "getnameinfo", "weir_pool_run around getnameinfo" },
    { "res_query", "weir_resolve" },
    { "sleep", "weir_sleep" },
    { "usleep", "weir_sleep" },
    { "thrd_sleep", "weir_sleep" },
    { "system", "weir_child_run" },
    { "popen", "weir_child_spawn" },
    { "posix_spawn", "weir_child_spawn" },
    { "posix_spawnp", "weir_child_spawn" },
    { "pthread_mutex_lock", "a channel, or weir_pool_run around what needs the lock" },
    { "pthread_cond_wait", "a channel, or weir_select" },
    { "pthread_cond_timedwait", "a channel, or weir_select with a timer" },
    { "pthread_join", "weir_pool_run for the thread's work" },
    { "sem_wait", "a channel" },
    { "opendir", "weir_directory_open" },
    { "readdir", "weir_directory_next" },
    { "realpath", "weir_realpath" },
    { "mkstemp", "weir_mkostemp" },
    { "tmpfile", "weir_pool_run around it" },
    { "fopen", "weir_read_file, weir_write_file, or weir_pool_run around the use of the FILE" },
    { "fgets", "weir_read_file, or weir_pool_run around the use of the FILE" },
    { "fread", "weir_read_file, or weir_pool_run around the use of the FILE" },
    { "getline", "weir_read_file, or weir_pool_run around the use of the FILE" },
    { "fwrite", "weir_write_file, or weir_pool_run around the use of the FILE" },
    { "fflush", "weir_write_file, or weir_pool_run around the use of the FILE" },
    { "printf", "weir_pool_run around the output, or a task of its own that writes it" },
    { "fprintf", "weir_pool_run around the output, or a task of its own that writes it" },
    { "vfprintf", "weir_pool_run around the output, or a task of its own that writes it" },
    { "puts", "weir_pool_run around the output, or a task of its own that writes it" },
    { "fputs", "weir_pool_run around the output, or a task of its own that writes it" },
    { "syslog", "weir_pool_run around it" },
    { "dlopen", "weir_pool_run around it, or before weir_run" },
};

const char *weir__check_remedy_of(const char *function)
{
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (strcmp(functions[i].function, function) == 0)
            return functions[i].remedy;
    return NULL;
}
