/* SPDX-License-Identifier: MIT */
/*
 * Names: what directories hold. All of it runs on the pool, since a path may lead to a cold disk or
 * a server that is gone, and a change of a directory may wait for a journal.
 *
 * A relative path starts at `dir_fd`, or with AT_FDCWD at the current directory. What is said of
 * deadlines and errors at the head of weir/file.h holds here too; a path that is too long is
 * -ENAMETOOLONG, one on a file system that cannot be written -EROFS. Opening is in weir/file.h,
 * what a directory holds in weir/directory.h.
 *
 * Example:
 *     int error = weir_renameat(AT_FDCWD, "orders.new", AT_FDCWD, "orders", 0, weir_in_ms(100));
 */
#ifndef WEIR_PATH_H
#define WEIR_PATH_H

#include <sys/types.h>
#include <weir/base.h>

WEIR_BEGIN

/* Removes a name; with AT_REMOVEDIR that of an empty directory. Returns 0. Errors: unlinkat(2). */
WEIR_API WEIR_MUST_CHECK int weir_unlinkat(int dir_fd, const char *path, int flags,
                                           int64_t deadline_ns) WEIR_SUSPENDS;

/* Renames; `flags` of RENAME_*, or 0. Returns 0. Errors: renameat2(2). */
WEIR_API WEIR_MUST_CHECK int weir_renameat(int source_dir_fd, const char *source, int target_dir_fd,
                                           const char *target, unsigned flags,
                                           int64_t deadline_ns) WEIR_SUSPENDS;

/* Makes a directory. Returns 0. Errors: mkdirat(2). */
WEIR_API WEIR_MUST_CHECK int weir_mkdirat(int dir_fd, const char *path, mode_t mode,
                                          int64_t deadline_ns) WEIR_SUSPENDS;

/* Makes a name that leads to the path `target`. Returns 0. Errors: symlinkat(2). */
WEIR_API WEIR_MUST_CHECK int weir_symlinkat(const char *target, int dir_fd, const char *path,
                                            int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Gives a file another name. With AT_EMPTY_PATH and "" the file is `source_dir_fd` itself, such as
 * one opened with O_TMPFILE; that works without a capability (through /proc where the kernel,
 * before Linux 6.10, asks for one). Returns 0. Errors: linkat(2).
 */
WEIR_API WEIR_MUST_CHECK int weir_linkat(int source_dir_fd, const char *source, int target_dir_fd,
                                         const char *target, int flags,
                                         int64_t deadline_ns) WEIR_SUSPENDS;

/* Where a symbolic link leads. Returns the bytes in `buffer`, without an end mark; `bytes` of them
 * may be a part only. Errors: readlinkat(2). */
WEIR_API WEIR_MUST_CHECK ssize_t weir_readlinkat(int dir_fd, const char *path, char *buffer,
                                                 size_t bytes, int64_t deadline_ns) WEIR_SUSPENDS;

/* Makes a FIFO, a device or a plain file. Returns 0. Errors: mknodat(2). */
WEIR_API WEIR_MUST_CHECK int weir_mknodat(int dir_fd, const char *path, mode_t mode, dev_t device,
                                          int64_t deadline_ns) WEIR_SUSPENDS;

/* The path without links and dots, in `resolved`, which has room for `bytes`, PATH_MAX at least.
 * Returns its length. Errors: realpath(3); -EINVAL too little room. */
WEIR_API WEIR_MUST_CHECK ssize_t weir_realpath(const char *path, char *resolved, size_t bytes,
                                               int64_t deadline_ns) WEIR_SUSPENDS;

/* Makes and opens a new file, for reading and writing, and writes its name over the six X at the
 * end of `template`; `flags` of O_*. Returns the descriptor, for weir_close. Errors: mkostemp(3).
 * One that needs no name: weir_openat with O_TMPFILE. */
WEIR_API WEIR_MUST_CHECK int weir_mkostemp(char *template_path, int flags,
                                           int64_t deadline_ns) WEIR_SUSPENDS;

/* Makes a new directory likewise. Returns 0. Errors: mkdtemp(3). */
WEIR_API WEIR_MUST_CHECK int weir_mkdtemp(char *template_path, int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
