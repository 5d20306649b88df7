/* SPDX-License-Identifier: MIT */
/*
 * Whole files: read one, or replace one so that nobody ever sees half of it.
 *
 * Reading goes on until the end of the file, whatever size it claims: so files of /proc and /sys,
 * which claim none, come whole too. There is always a limit.
 *
 * Writing makes a file without a name beside the target (O_TMPFILE), writes it, makes it durable,
 * and only then gives it the target's name, in one step of the pool that also makes the directory
 * durable. Until that step begins, any error, cancel or deadline leaves the old content, and
 * nothing else: the kernel drops a file that has no name, even when the process is killed. Where
 * the file system has no O_TMPFILE (NFS, FAT), a name ".weir-..." stands there meanwhile; it is
 * removed whatever happens, short of a kill.
 *
 * Example:
 *     char *config;
 *     ssize_t bytes = weir_load_file(AT_FDCWD, "config", 1 << 20, &config, weir_in_ms(500));
 *     ...
 *     weir_unload_file(config);
 *     error = weir_write_file(AT_FDCWD, "state", text, strlen(text), NULL, weir_in_seconds(5));
 */
#ifndef WEIR_WHOLE_H
#define WEIR_WHOLE_H

#include <sys/types.h>
#include <weir/base.h>

/* Zeroed means default. */
struct weir_write_file_options {
    size_t size;   /* sizeof(struct weir_write_file_options), or 0 */
    mode_t mode;   /* permissions, less the umask; 0: 0666 */
    bool only_new; /* -EEXIST if there is such a name */
    bool no_sync;  /* whole, but durable only when the kernel likes */
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * Reads all of a file into `buffer`. Returns its bytes.
 * Errors: -EFBIG more than `bytes`, which are in the buffer; openat(2), pread(2), such as -EISDIR,
 * -ESPIPE; those at the head of weir/file.h. After an error the buffer's content is unspecified.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_read_file(int dir_fd, const char *path, void *buffer,
                                                size_t bytes, int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * The same into memory of its own, of at most `limit_bytes`, with a zero byte after the end.
 * *content is for weir_unload_file, and NULL after an error. Errors besides: -ENOMEM.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_load_file(int dir_fd, const char *path, size_t limit_bytes,
                                                char **content, int64_t deadline_ns) WEIR_SUSPENDS;

/* NULL is fine. */
WEIR_API void weir_unload_file(char *content) WEIR_ANY_THREAD;

/*
 * Makes `path` a file of exactly these bytes, whatever it was; a symbolic link is replaced, not
 * followed. `options` may be NULL.
 * Returns 0: the new content is in place, and durable.
 * Errors: -EINVAL; -EISDIR; -EEXIST with only_new; -ENAMETOOLONG; openat(2), pwrite(2), fsync(2),
 * renameat(2), such as -ENOSPC, -EROFS, -EMFILE; those at the head of weir/file.h. The old content
 * is as it was, and nothing else is there; with one exception: when at the very end the directory
 * cannot be made durable (-EIO), the new content is in place, and may be gone after a crash.
 */
WEIR_API WEIR_MUST_CHECK int weir_write_file(int dir_fd, const char *path, const void *bytes,
                                             size_t count,
                                             const struct weir_write_file_options *options,
                                             int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
