/* SPDX-License-Identifier: MIT */
/* The rows on what a file is. `fd` is the file, or the directory of the path in `address`. All run
 * on the pool. */
#ifndef WEIR_IO_ATTRIBUTE_H
#define WEIR_IO_ATTRIBUTE_H

#include "io/op.h"

/* What is in memory of a local disk is told at once. */
int64_t weir__attribute_attempt_statx(struct weir__op *op);
int64_t weir__attribute_call_statx(struct weir__op *op); /* mode: mask; other_address: result */
int64_t weir__attribute_call_statfs(struct weir__op *op);
int64_t weir__attribute_call_fstatfs(struct weir__op *op);
int64_t weir__attribute_call_faccessat(struct weir__op *op);
int64_t weir__attribute_call_fchmod(struct weir__op *op);
int64_t weir__attribute_call_fchmodat(struct weir__op *op);
int64_t weir__attribute_call_fchown(struct weir__op *op); /* mode: owner; other_fd: group */
int64_t weir__attribute_call_fchownat(struct weir__op *op);
int64_t weir__attribute_call_futimens(struct weir__op *op); /* other_address: the times */
int64_t weir__attribute_call_utimensat(struct weir__op *op);

/* Extended attributes: other_address, length are the value or the room; name is xattr.c's own. */
int64_t weir__xattr_call_get(struct weir__op *op);
int64_t weir__xattr_call_set(struct weir__op *op);
int64_t weir__xattr_call_list(struct weir__op *op);
int64_t weir__xattr_call_remove(struct weir__op *op);
int64_t weir__xattr_call_fget(struct weir__op *op);
int64_t weir__xattr_call_fset(struct weir__op *op);
int64_t weir__xattr_call_flist(struct weir__op *op);
int64_t weir__xattr_call_fremove(struct weir__op *op);

#endif
