/* SPDX-License-Identifier: MIT */
/*
 * The rows on files: where each runs, and how. Arguments in an op: `fd` the file, or the directory
 * of a path; `address` the path, buffer or iovecs; `length` bytes or iovecs; `offset`; `flags` and
 * `mode` as the man page has them. What a row adds to this is said at its function.
 */
#ifndef WEIR_IO_FILE_H
#define WEIR_IO_FILE_H

#include "io/op.h"

/* Whether what can be done at once is better done here than by the pool. */
bool weir__file_is_alone(const struct weir__op *op);

/* Opens what the dentry cache knows and a local file system holds; open.c. */
int64_t weir__file_attempt_openat(struct weir__op *op);
int64_t weir__file_call_openat(struct weir__op *op);
int64_t weir__file_call_openat2(struct weir__op *op); /* other_address: struct open_how */

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
int64_t weir__file_call_fallocate(struct weir__op *op);
int64_t weir__file_call_ftruncate(struct weir__op *op); /* offset: the size */
int64_t weir__file_call_sync_file_range(struct weir__op *op);
int64_t weir__file_call_syncfs(struct weir__op *op);
enum weir__route weir__file_choose_fadvise(const struct weir__op *op);
int64_t weir__file_call_fadvise(struct weir__op *op); /* mode: the advice */
int64_t weir__file_call_lseek(struct weir__op *op);   /* mode: whence */

#endif
