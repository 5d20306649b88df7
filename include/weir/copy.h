/* SPDX-License-Identifier: MIT */
/*
 * Bytes from file to file, and between files, pipes and sockets, that do not pass through the
 * program.
 *
 * weir_copy goes in steps (4 MiB unless told) and can be cancelled between two. Each step is a
 * copy_file_range(2) on the pool, with which XFS and btrfs share the blocks instead of copying
 * them. Where the kernel has none for these two files (-EXDEV, -EOPNOTSUPP, -ENOSYS; also a file
 * that claims to be empty, as in /proc), it reads and writes instead, in steps of 256 KiB.
 *
 * Example:
 *     uint64_t copied;
 *     int error = weir_copy(from, 0, to, 0, WEIR_COPY_ALL, NULL, &copied, weir_in_seconds(60));
 */
#ifndef WEIR_COPY_H
#define WEIR_COPY_H

#include <sys/types.h>
#include <weir/base.h>

#define WEIR_COPY_ALL UINT64_MAX /* to the end of the source */

/* Zeroed means default. */
struct weir_copy_options {
    size_t size;       /* sizeof(struct weir_copy_options), or 0 */
    size_t step_bytes; /* of a copy_file_range, between two looks at cancel; 0: 4 MiB */
    bool plain;        /* read and write from the start: what is written is no shared block */
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * Copies `bytes` bytes, or up to the end of the source. Holes become zeros, unless blocks are
 * shared. `options` and `copied_bytes` may be NULL.
 * Returns 0; then, and after an error, *copied_bytes are in the target, and no more.
 * Errors: those of copy_file_range(2), pread(2), pwrite(2), such as -ENOSPC; -EINVAL bad options,
 * or ranges of one file that overlap; -ESPIPE or -EINVAL for what is no file; -ENOMEM; those at the
 * head of weir/file.h.
 */
WEIR_API WEIR_MUST_CHECK int weir_copy(int source_fd, off_t source_offset, int target_fd,
                                       off_t target_offset, uint64_t bytes,
                                       const struct weir_copy_options *options,
                                       uint64_t *copied_bytes, int64_t deadline_ns) WEIR_SUSPENDS;

/* One copy_file_range(2), at these offsets. Returns the bytes; fewer than asked at any time, 0 at
 * the end of the source. */
WEIR_API WEIR_MUST_CHECK ssize_t weir_copy_file_range(int source_fd, off_t source_offset,
                                                      int target_fd, off_t target_offset,
                                                      size_t bytes,
                                                      int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * One splice(2): between a pipe and whatever else. Waits on the ring until the source can be read
 * and the target written, then moves on the pool what it can without waiting; an offset is for a
 * file, else NULL, and is moved on. `flags` of SPLICE_F_MOVE and SPLICE_F_MORE. Before Linux 6.5 a
 * target socket needs O_NONBLOCK, or may hold a thread.
 * Returns the bytes, 0 at the end. Errors: splice(2); -EAGAIN, -ETIME, -ECANCELED nothing moved.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_splice(int source_fd, off_t *source_offset, int target_fd,
                                             off_t *target_offset, size_t bytes, unsigned flags,
                                             int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
