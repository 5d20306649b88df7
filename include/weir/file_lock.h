/* SPDX-License-Identifier: MIT */
/*
 * Locks on files, between processes and between descriptors of one: advisory, as everywhere on
 * Linux. Of POSIX's own kind (F_SETLK) there is none: those belong to a process and go when any
 * descriptor of the file is closed, so two tasks could not use them.
 *
 * A lock that is taken is waited for by trying again after 1 ms, then 2, up to 64: a wait inside of
 * the kernel would hold a thread for as long as the other side likes. So waiters are not served in
 * order, and one learns up to 64 ms late that it is its turn. A deadline and a cancel take effect
 * at once. A try is inline on a local disk, else the pool's: there WEIR_NOW is always -EAGAIN, and
 * LOCK_NB with a deadline is what tries. Unlocking is a release call.
 *
 * Example:
 *     int error = weir_flock(fd, LOCK_EX, weir_in_ms(500));
 *     ...
 *     weir_flock(fd, LOCK_UN, WEIR_FOREVER);
 */
#ifndef WEIR_FILE_LOCK_H
#define WEIR_FILE_LOCK_H

#include <sys/types.h>
#include <weir/base.h>

struct flock;

WEIR_BEGIN

/*
 * Locks the whole file: LOCK_SH, LOCK_EX, or LOCK_UN to unlock, which ignores deadline and cancel.
 * With LOCK_NB it is tried once. To change the kind of a lock that is held gives it up first.
 * Returns 0. Errors: -EAGAIN, -ETIME taken by another; -EINVAL; those of flock(2).
 */
WEIR_API int weir_flock(int fd, int operation, int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Locks a range, as F_OFD_SETLKW of fcntl(2): `lock` says l_type (F_RDLCK, F_WRLCK, or F_UNLCK to
 * unlock, which ignores deadline and cancel), l_whence, l_start, l_len; its l_pid is 0. The lock
 * belongs to the open file, and its duplicates.
 * Returns 0. Errors: -EAGAIN, -ETIME taken by another; -EBADF not open for what is locked; -EINVAL.
 */
WEIR_API int weir_ofd_lock(int fd, struct flock *lock, int64_t deadline_ns) WEIR_SUSPENDS;

/* Whether such a lock could be had, as F_OFD_GETLK: `lock` becomes the one in the way, or its
 * l_type F_UNLCK. Returns 0. Errors: fcntl(2). */
WEIR_API WEIR_MUST_CHECK int weir_ofd_query(int fd, struct flock *lock,
                                            int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
