/* SPDX-License-Identifier: MIT */
/*
 * What a file is, beside its bytes: size and times, permissions, owner, extended attributes, and
 * the file system it lies on. It runs on the pool, as weir/path.h says of names, but for what the
 * kernel has in memory of a local disk: weir_statx of that is told at once, unless others wait for
 * the loop, or for the pool. The verbs with an `f` in front work on an open descriptor.
 *
 * Example:
 *     struct statx file;
 *     int error = weir_statx(AT_FDCWD, "orders", 0, STATX_SIZE, &file, weir_in_ms(100));
 */
#ifndef WEIR_ATTRIBUTE_H
#define WEIR_ATTRIBUTE_H

#include <sys/types.h>
#include <weir/base.h>

struct statfs;
struct statx;
struct timespec;

WEIR_BEGIN

/* What a file is: `mask` of STATX_*, `flags` of AT_*, AT_EMPTY_PATH for dir_fd itself. Returns 0.
 * Errors: statx(2). */
WEIR_API WEIR_MUST_CHECK int weir_statx(int dir_fd, const char *path, int flags, unsigned mask,
                                        struct statx *result, int64_t deadline_ns) WEIR_SUSPENDS;

/* What a file system is, and how much room it has. Return 0. Errors: statfs(2). */
WEIR_API WEIR_MUST_CHECK int weir_statfs(const char *path, struct statfs *result,
                                         int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK int weir_fstatfs(int fd, struct statfs *result,
                                          int64_t deadline_ns) WEIR_SUSPENDS;

/* Whether the process may: `mode` of F_OK, R_OK, W_OK, X_OK; `flags` of AT_EACCESS,
 * AT_SYMLINK_NOFOLLOW. Returns 0. Errors: faccessat(2), -EACCES: it may not. */
WEIR_API WEIR_MUST_CHECK int weir_faccessat(int dir_fd, const char *path, int mode, int flags,
                                            int64_t deadline_ns) WEIR_SUSPENDS;

/* Set the permissions. Return 0. Errors: fchmodat(2). */
WEIR_API WEIR_MUST_CHECK int weir_fchmod(int fd, mode_t mode, int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK int weir_fchmodat(int dir_fd, const char *path, mode_t mode, int flags,
                                           int64_t deadline_ns) WEIR_SUSPENDS;

/* Set owner and group; (uid_t)-1 or (gid_t)-1 leaves one. Return 0. Errors: fchownat(2). */
WEIR_API WEIR_MUST_CHECK int weir_fchown(int fd, uid_t owner, gid_t group,
                                         int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK int weir_fchownat(int dir_fd, const char *path, uid_t owner, gid_t group,
                                           int flags, int64_t deadline_ns) WEIR_SUSPENDS;

/* Set the times of the last use and the last change, from times[0] and [1], UTIME_NOW and
 * UTIME_OMIT among them; NULL: both now. Return 0. Errors: utimensat(2). */
WEIR_API WEIR_MUST_CHECK int weir_futimens(int fd, const struct timespec times[2],
                                           int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK int weir_utimensat(int dir_fd, const char *path,
                                            const struct timespec times[2], int flags,
                                            int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Extended attributes, of what `path` leads to; with AT_SYMLINK_NOFOLLOW in `at_flags`, of a link
 * itself. get and list return the bytes of the value, or of the names, each of which ends in a zero
 * byte; with `bytes` 0 they say how many there are. `flags` of XATTR_CREATE, XATTR_REPLACE.
 * Errors: those of getxattr(2) and its kin, such as -ENODATA no such attribute, -ERANGE too little
 * room, -EOPNOTSUPP the file system has none, -ENOSPC, -E2BIG.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_getxattr(const char *path, const char *name, void *value,
                                               size_t bytes, int at_flags,
                                               int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK int weir_setxattr(const char *path, const char *name, const void *value,
                                           size_t bytes, int flags, int at_flags,
                                           int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK ssize_t weir_listxattr(const char *path, char *names, size_t bytes,
                                                int at_flags, int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK int weir_removexattr(const char *path, const char *name, int at_flags,
                                              int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_API WEIR_MUST_CHECK ssize_t weir_fgetxattr(int fd, const char *name, void *value, size_t bytes,
                                                int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK int weir_fsetxattr(int fd, const char *name, const void *value,
                                            size_t bytes, int flags,
                                            int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK ssize_t weir_flistxattr(int fd, char *names, size_t bytes,
                                                 int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK int weir_fremovexattr(int fd, const char *name,
                                               int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
