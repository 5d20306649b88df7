/* SPDX-License-Identifier: MIT */
/*
 * Files: the calls of POSIX, with a deadline last, that park the task instead of the thread.
 *
 * Where they run. A read is answered at once from the page cache (at most 64 KiB a step), and what
 * is not there is read by the ring, as all direct reads and writes are: in the loop's queue of disk
 * reads or writes, bounded by weir_options.submission_limit. Files in memory (tmpfs) are copied in
 * such steps too; between two steps other tasks run. What the kernel does only by holding a thread
 * runs on the pool: opens of what is not cached, buffered writes, fsync, every change of a
 * directory or a size, file systems that weir does not know.
 *
 * Deadlines. What still waits in a queue by then never starts. A read or write in the device is
 * asked to end, and waited for. A call that a pool thread runs is waited for, and its result is the
 * result. WEIR_NOW reads what the page cache holds, and else returns -EAGAIN.
 *
 * Errors of all of them, besides those of the man page: -EINVAL a NULL or a size that cannot be;
 * -EBADF; -ECANCELED; -EAGAIN, -ETIME not done by the deadline; -EBUSY the submission queue or the
 * pool is full and set to refuse; -ENXIO not in a task.
 *
 * Example:
 *     int fd = weir_openat(AT_FDCWD, "orders.log", O_RDONLY, 0, weir_in_ms(100));
 *     ssize_t count = weir_pread_all(fd, header, sizeof header, 0, NULL, weir_in_ms(100));
 *     weir_close(fd);
 */
#ifndef WEIR_FILE_H
#define WEIR_FILE_H

#include <sys/types.h>
#include <sys/uio.h>
#include <weir/base.h>

struct open_how;

WEIR_BEGIN

/*
 * Opens; O_CLOEXEC is always set. For O_DIRECT, say so here: fcntl(2) later would go unnoticed.
 * Returns the descriptor, for weir_close. Errors: openat(2). A FIFO whose other end nobody opens
 * holds a pool thread: give O_NONBLOCK. See openat(2).
 */
WEIR_API WEIR_MUST_CHECK int weir_openat(int dir_fd, const char *path, int flags, mode_t mode,
                                         int64_t deadline_ns) WEIR_SUSPENDS;

/* The same with all that openat2(2) knows, RESOLVE_* among it; always on the pool. Errors:
 * openat2(2). */
WEIR_API WEIR_MUST_CHECK int weir_openat2(int dir_fd, const char *path, const struct open_how *how,
                                          int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Reads at `offset`. Returns the number of bytes, 0 at end of file; fewer than asked at its end, or
 * when a deadline or a cancel came after some. Errors: pread(2), such as -EIO, -ESPIPE.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_pread(int fd, void *buffer, size_t bytes, off_t offset,
                                            int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Writes at `offset`. Returns the number of bytes, fewer than given when the disk is nearly full,
 * or when a deadline or a cancel came after some. Errors: pwrite(2), such as -ENOSPC, -EFBIG.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_pwrite(int fd, const void *buffer, size_t bytes, off_t offset,
                                             int64_t deadline_ns) WEIR_SUSPENDS;

/* The same into and from several buffers; `count` is at most IOV_MAX, 1024. */
WEIR_API WEIR_MUST_CHECK ssize_t weir_preadv(int fd, const struct iovec *vectors, int count,
                                             off_t offset, int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK ssize_t weir_pwritev(int fd, const struct iovec *vectors, int count,
                                              off_t offset, int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * With `flags` of RWF_*: RWF_NOWAIT is the deadline WEIR_NOW. RWF_APPEND writes at the end, on the
 * pool. Errors besides: -EINVAL RWF_HIPRI, which needs a ring that polls; -EOPNOTSUPP the kernel or
 * the file system does not know a flag.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_preadv2(int fd, const struct iovec *vectors, int count,
                                              off_t offset, int flags,
                                              int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK ssize_t weir_pwritev2(int fd, const struct iovec *vectors, int count,
                                               off_t offset, int flags,
                                               int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Reads until the buffer is full. Returns the number of bytes, fewer only at end of file.
 * `done_bytes`, unless NULL, gets their number in every case, also after an error.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_pread_all(int fd, void *buffer, size_t bytes, off_t offset,
                                                size_t *done_bytes,
                                                int64_t deadline_ns) WEIR_SUSPENDS;

/* Writes all. Returns `bytes`. After an error the first `*done_bytes` of them are written, the
 * others are not. */
WEIR_API WEIR_MUST_CHECK ssize_t weir_pwrite_all(int fd, const void *buffer, size_t bytes,
                                                 off_t offset, size_t *done_bytes,
                                                 int64_t deadline_ns) WEIR_SUSPENDS;

/* Make what was written durable. Return 0. Errors: fsync(2); after -EIO or -ENOSPC, what was
 * written since the last success may be lost, and a second call does not tell. */
WEIR_API WEIR_MUST_CHECK int weir_fsync(int fd, int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK int weir_fdatasync(int fd, int64_t deadline_ns) WEIR_SUSPENDS;

/* Gives, or takes, room in a file; `mode` of FALLOC_FL_*, or 0. Returns 0. Errors: fallocate(2). */
WEIR_API WEIR_MUST_CHECK int weir_fallocate(int fd, int mode, off_t offset, off_t bytes,
                                            int64_t deadline_ns) WEIR_SUSPENDS;

/* Sets a file's size. Returns 0. Errors: ftruncate(2). */
WEIR_API WEIR_MUST_CHECK int weir_ftruncate(int fd, off_t bytes, int64_t deadline_ns) WEIR_SUSPENDS;

/* Starts, or waits for, the writing of a range: `flags` of SYNC_FILE_RANGE_*. Not durable by
 * itself: sync_file_range(2) says why. Returns 0. */
WEIR_API WEIR_MUST_CHECK int weir_sync_file_range(int fd, off_t offset, off_t bytes, unsigned flags,
                                                  int64_t deadline_ns) WEIR_SUSPENDS;

/* Makes durable all that was written to the file system of `fd`. Returns 0. Errors: syncfs(2). */
WEIR_API WEIR_MUST_CHECK int weir_syncfs(int fd, int64_t deadline_ns) WEIR_SUSPENDS;

/* Says how a range will be used: POSIX_FADV_*. WILLNEED and DONTNEED work on the pool, the others
 * are noted at once. Returns 0. Errors: posix_fadvise(2). */
WEIR_API WEIR_MUST_CHECK int weir_fadvise(int fd, off_t offset, off_t bytes, int advice,
                                          int64_t deadline_ns) WEIR_SUSPENDS;

/* Where data or a hole begins: SEEK_DATA, SEEK_HOLE; or moves the file's position, which the calls
 * with an offset neither use nor change. Returns the offset. Errors: lseek(2), -ENXIO no data. */
WEIR_API WEIR_MUST_CHECK off_t weir_lseek(int fd, off_t offset, int whence,
                                          int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
