/* SPDX-License-Identifier: MIT */
/*
 * The rows on files: where each runs, and how. Arguments in an op: `fd` the file, or the directory
 * of a path; `address` the path, buffer or iovecs; `length` bytes or iovecs; `offset`; `flags` and
 * `mode` as the man page has them. What a row adds to this is said at its function.
 */
#ifndef WEIR_IO_FILE_H
#define WEIR_IO_FILE_H

#include "io/op.h"

/* Opens what the dentry cache knows and a local file system holds; open.c. */
int64_t weir__file_attempt_openat(struct weir__op *op);
int64_t weir__file_call_openat(struct weir__op *op);

/* What is in memory is copied here and now, in steps. */
int64_t weir__file_quick_pread(struct weir__op *op);
int64_t weir__file_attempt_pread(struct weir__op *op);
int64_t weir__file_attempt_pwrite(struct weir__op *op);
int64_t weir__file_attempt_preadv(struct weir__op *op);
int64_t weir__file_attempt_pwritev(struct weir__op *op);

/* The ring for what the kernel does there without a thread; the pool for the rest. */
enum weir__route weir__file_choose_read(const struct weir__op *op);
enum weir__route weir__file_choose_write(const struct weir__op *op);

void weir__file_prep_pread(struct weir__op *op, struct io_uring_sqe *sqe);
void weir__file_prep_pwrite(struct weir__op *op, struct io_uring_sqe *sqe);
void weir__file_prep_preadv(struct weir__op *op, struct io_uring_sqe *sqe);
void weir__file_prep_pwritev(struct weir__op *op, struct io_uring_sqe *sqe);

int64_t weir__file_call_pread(struct weir__op *op);
int64_t weir__file_call_pwrite(struct weir__op *op);
int64_t weir__file_call_preadv(struct weir__op *op);
int64_t weir__file_call_pwritev(struct weir__op *op);
int64_t weir__file_call_fsync(struct weir__op *op);
int64_t weir__file_call_fdatasync(struct weir__op *op);
int64_t weir__file_call_statx(struct weir__op *op); /* mode: mask; other_address: result */
int64_t weir__file_call_unlinkat(struct weir__op *op);
int64_t weir__file_call_renameat(struct weir__op *op); /* other_fd, other_address: the target */
int64_t weir__file_call_mkdirat(struct weir__op *op);
int64_t weir__file_call_fallocate(struct weir__op *op);
int64_t weir__file_call_ftruncate(struct weir__op *op); /* offset: the size */

#endif
