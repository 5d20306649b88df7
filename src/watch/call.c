/* SPDX-License-Identifier: MIT */
/* The table; see call.h. */
#include "watch/call.h"

#include <sys/syscall.h>

static const struct row {
    long number;
    struct weir__call call;
} rows[] = {
    { SYS_read, { "read", 0, "weir_read" } },
    { SYS_write, { "write", 0, "weir_write" } },
    { SYS_readv, { "readv", 0, "weir_readv" } },
    { SYS_writev, { "writev", 0, "weir_writev" } },
    { SYS_pread64, { "pread", 0, "weir_pread" } },
    { SYS_pwrite64, { "pwrite", 0, "weir_pwrite" } },
    { SYS_preadv, { "preadv", 0, "weir_preadv" } },
    { SYS_pwritev, { "pwritev", 0, "weir_pwritev" } },
    { SYS_preadv2, { "preadv2", 0, "weir_preadv" } },
    { SYS_pwritev2, { "pwritev2", 0, "weir_pwritev" } },
    { SYS_openat, { "openat", -1, "weir_openat" } },
    { SYS_openat2, { "openat2", -1, "weir_openat2" } },
    { SYS_close, { "close", 0, "weir_close" } },
    { SYS_fsync, { "fsync", 0, "weir_fsync" } },
    { SYS_fdatasync, { "fdatasync", 0, "weir_fdatasync" } },
    { SYS_sync_file_range, { "sync_file_range", 0, "weir_sync_file_range" } },
    { SYS_syncfs, { "syncfs", 0, "weir_syncfs" } },
    { SYS_sync, { "sync", -1, NULL } },
    { SYS_fallocate, { "fallocate", 0, "weir_fallocate" } },
    { SYS_ftruncate, { "ftruncate", 0, "weir_ftruncate" } },
    { SYS_flock, { "flock", 0, "weir_flock" } },
    { SYS_fcntl, { "fcntl", 0, NULL } },
    { SYS_ioctl, { "ioctl", 0, NULL } },
    { SYS_getdents64, { "getdents64", 0, "weir_directory_next" } },
    { SYS_statx, { "statx", -1, "weir_statx" } },
    { SYS_newfstatat, { "fstatat", -1, "weir_statx" } },
    { SYS_unlinkat, { "unlinkat", -1, "weir_unlinkat" } },
    { SYS_renameat2, { "renameat2", -1, "weir_renameat" } },
    { SYS_mkdirat, { "mkdirat", -1, "weir_mkdirat" } },
    { SYS_linkat, { "linkat", -1, "weir_linkat" } },
    { SYS_sendfile, { "sendfile", 0, "weir_stream_send_file" } },
    { SYS_splice, { "splice", 0, "weir_splice" } },
    { SYS_tee, { "tee", 0, NULL } },
    { SYS_copy_file_range, { "copy_file_range", 0, "weir_copy_file_range" } },
    { SYS_accept, { "accept", 0, "weir_accept" } },
    { SYS_accept4, { "accept4", 0, "weir_accept" } },
    { SYS_connect, { "connect", 0, "weir_connect" } },
    { SYS_recvfrom, { "recvfrom", 0, "weir_recvfrom" } },
    { SYS_recvmsg, { "recvmsg", 0, "weir_recvmsg" } },
    { SYS_recvmmsg, { "recvmmsg", 0, "weir_recvmsg" } },
    { SYS_sendto, { "sendto", 0, "weir_sendto" } },
    { SYS_sendmsg, { "sendmsg", 0, "weir_sendmsg" } },
    { SYS_sendmmsg, { "sendmmsg", 0, "weir_sendmsg" } },
    { SYS_ppoll, { "ppoll", -1, "weir_poll or weir_select" } },
    { SYS_pselect6, { "pselect", -1, "weir_poll or weir_select" } },
    { SYS_epoll_pwait, { "epoll_pwait", 0, "weir_poll on the epoll descriptor" } },
    { SYS_epoll_pwait2, { "epoll_pwait2", 0, "weir_poll on the epoll descriptor" } },
    { SYS_nanosleep, { "nanosleep", -1, "weir_sleep" } },
    { SYS_clock_nanosleep, { "clock_nanosleep", -1, "weir_sleep" } },
    { SYS_futex, { "futex", -1, "a channel or weir_mutex_lock" } },
    { SYS_futex_waitv, { "futex_waitv", -1, "a channel or weir_mutex_lock" } },
    { SYS_wait4, { "wait4", -1, "weir_child_wait" } },
    { SYS_waitid, { "waitid", -1, "weir_child_wait" } },
    { SYS_rt_sigtimedwait, { "sigtimedwait", -1, "weir_select with a signal clause" } },
    { SYS_rt_sigsuspend, { "sigsuspend", -1, "weir_select with a signal clause" } },
    { SYS_io_uring_enter, { "io_uring_enter", 0, NULL } },
    { SYS_io_getevents, { "io_getevents", -1, NULL } },
    { SYS_semtimedop, { "semtimedop", -1, "weir_semaphore_take" } },
    { SYS_msgrcv, { "msgrcv", -1, "a channel" } },
    { SYS_msgsnd, { "msgsnd", -1, "a channel" } },
    { SYS_mq_timedreceive, { "mq_receive", 0, NULL } },
    { SYS_mq_timedsend, { "mq_send", 0, NULL } },
    { SYS_mmap, { "mmap", -1, NULL } },
    { SYS_munmap, { "munmap", -1, NULL } },
    { SYS_msync, { "msync", -1, NULL } },
    { SYS_mlock, { "mlock", -1, NULL } },
    { SYS_madvise, { "madvise", -1, NULL } },
    { SYS_clone, { "clone", -1, "weir_child_spawn" } },
    { SYS_clone3, { "clone3", -1, "weir_child_spawn" } },
    { SYS_execve, { "execve", -1, NULL } },
    { SYS_mount, { "mount", -1, NULL } },
    { SYS_getrandom, { "getrandom", -1, NULL } },
#ifdef SYS_open /* calls that younger machines never had */
    { SYS_open, { "open", -1, "weir_openat" } },
    { SYS_stat, { "stat", -1, "weir_statx" } },
    { SYS_lstat, { "lstat", -1, "weir_statx" } },
    { SYS_poll, { "poll", -1, "weir_poll or weir_select" } },
    { SYS_select, { "select", -1, "weir_poll or weir_select" } },
    { SYS_epoll_wait, { "epoll_wait", 0, "weir_poll on the epoll descriptor" } },
    { SYS_pause, { "pause", -1, "weir_select with a signal clause" } },
    { SYS_unlink, { "unlink", -1, "weir_unlinkat" } },
    { SYS_rename, { "rename", -1, "weir_renameat" } },
    { SYS_mkdir, { "mkdir", -1, "weir_mkdirat" } },
    { SYS_rmdir, { "rmdir", -1, "weir_unlinkat" } },
    { SYS_vfork, { "vfork", -1, "weir_child_spawn" } },
#endif
};

const struct weir__call *weir__call_find(long number)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].number == number)
            return &rows[i].call;
    return NULL;
}
