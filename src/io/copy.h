/* SPDX-License-Identifier: MIT */
/* The rows that move bytes between descriptors, on the pool. `fd`, the source, and `other_fd`, the
 * target; `address` and `other_address` lead to their offsets, or are NULL. */
#ifndef WEIR_IO_COPY_H
#define WEIR_IO_COPY_H

#include "io/op.h"

int64_t weir__copy_call_range(struct weir__op *op);
int64_t weir__copy_call_splice(struct weir__op *op);

#endif
