/* SPDX-License-Identifier: MIT */
/*
 * What a directory holds, entry by entry. The kernel gives entries in batches of 32 KiB, each on
 * the pool; between two batches nothing parks. "." and ".." are left out. What changes meanwhile
 * may be seen or not, as readdir(3) has it.
 *
 * A handle is used by one task at a time. An entry that was read from a batch is given out whatever
 * came of the next batch: a deadline loses none.
 *
 * Example:
 *     struct weir_directory *directory;
 *     struct weir_directory_entry entry;
 *
 *     int error = weir_directory_open(&directory, AT_FDCWD, "orders", deadline_ns);
 *     while (error >= 0 && (error = weir_directory_next(directory, &entry, deadline_ns)) > 0)
 *         puts(entry.name);
 *     weir_directory_close(directory);
 */
#ifndef WEIR_DIRECTORY_H
#define WEIR_DIRECTORY_H

#include <weir/base.h>

struct weir_directory;

struct weir_directory_entry {
    const char *name; /* valid until the next call on the handle */
    uint64_t inode;
    unsigned char type; /* DT_* of readdir(3); DT_UNKNOWN where the file system does not say */
};

WEIR_BEGIN

/*
 * Opens the directory; *directory is NULL after an error. Returns 0.
 * Errors: openat(2), such as -ENOTDIR; -ENOMEM; -EINVAL; those at the head of weir/file.h.
 */
WEIR_API WEIR_MUST_CHECK int weir_directory_open(struct weir_directory **directory, int dir_fd,
                                                 const char *path,
                                                 int64_t deadline_ns) WEIR_SUSPENDS;

/* The next entry. Returns 1, or 0 at the end. Errors: getdents64(2); -EAGAIN, -ETIME, -ECANCELED no
 * entry was lost. */
WEIR_API WEIR_MUST_CHECK int weir_directory_next(struct weir_directory *directory,
                                                 struct weir_directory_entry *entry,
                                                 int64_t deadline_ns) WEIR_SUSPENDS;

/* From the first entry again. Returns 0. Errors: lseek(2). */
WEIR_API WEIR_MUST_CHECK int weir_directory_rewind(struct weir_directory *directory,
                                                   int64_t deadline_ns) WEIR_SUSPENDS;

/* Its descriptor, for calls that take one: borrowed. */
WEIR_API int weir_directory_fd(const struct weir_directory *directory);

/* Ends the handle; NULL is fine. A release call. */
WEIR_API void weir_directory_close(struct weir_directory *directory) WEIR_SUSPENDS;

WEIR_END

#endif
