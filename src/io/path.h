/* SPDX-License-Identifier: MIT */
/* The rows on names. `fd` is the directory, `address` the path; `other_fd`, `other_address` the
 * second directory and path, or what is said at the function. All run on the pool. */
#ifndef WEIR_IO_PATH_H
#define WEIR_IO_PATH_H

#include "io/op.h"

int64_t weir__path_call_unlinkat(struct weir__op *op);
int64_t weir__path_call_renameat(struct weir__op *op);
int64_t weir__path_call_mkdirat(struct weir__op *op);
int64_t weir__path_call_symlinkat(struct weir__op *op); /* other_address: where it leads */
int64_t weir__path_call_linkat(struct weir__op *op);
int64_t weir__path_call_readlinkat(struct weir__op *op); /* other_address, length: the room */
int64_t weir__path_call_mknodat(struct weir__op *op);    /* offset: the device */
int64_t weir__path_call_realpath(struct weir__op *op);   /* other_address: PATH_MAX bytes */
int64_t weir__path_call_mkostemp(struct weir__op *op);
int64_t weir__path_call_mkdtemp(struct weir__op *op);

#endif
