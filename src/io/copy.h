/* SPDX-License-Identifier: MIT */
/* The rows that move bytes between descriptors, on the pool. `fd`, the source, and `other_fd`, the
 * target; `address` and `other_address` lead to their offsets, or are NULL. sendfile is the other
 * way round: from `other_fd` at `offset` to the socket `fd`, which has O_NONBLOCK. */
#ifndef WEIR_IO_COPY_H
#define WEIR_IO_COPY_H

#include "io/op.h"

int64_t weir__copy_call_range(struct weir__op *op);
int64_t weir__copy_call_splice(struct weir__op *op);
int64_t weir__copy_call_sendfile(struct weir__op *op);

#endif
