/* SPDX-License-Identifier: MIT */
/* The rows on locks. Each is one try, which does not wait for the lock. `mode` says LOCK_* or
 * F_OFD_*; `address` is the struct flock, NULL for flock(2). */
#ifndef WEIR_IO_FILE_LOCK_H
#define WEIR_IO_FILE_LOCK_H

#include "io/op.h"

enum weir__route weir__file_lock_choose(const struct weir__op *op);
int64_t weir__file_lock_call(struct weir__op *op);

#endif
