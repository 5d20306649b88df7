/* SPDX-License-Identifier: MIT */
/*
 * Copying between buffers and file pages that are in memory: the kernel answers at once, but a big
 * copy holds the loop (64 MiB take 4 ms). So it goes in steps, and other tasks run in between.
 */
#ifndef WEIR_IO_STEP_H
#define WEIR_IO_STEP_H

#include "io/op.h"

#include <sys/uio.h>

enum { WEIR__STEP_BYTES = 64 * 1024 };

/* preadv2 or pwritev2 of base/kernel.h. */
typedef int64_t weir__step_fn(int fd, const struct iovec *vectors, int count, off_t offset,
                              int flags);

/*
 * Transfers at op->offset, step by step, until all is done, the file ends, or the op is to end.
 * Returns the bytes, or the first step's error. *blocked says that the next step would have waited
 * for the device (with RWF_NOWAIT in `flags`): then the bytes are what came before it.
 */
int64_t weir__step_run(struct weir__op *op, const struct iovec *vectors, size_t count,
                       weir__step_fn *step, int flags, bool *blocked);

#endif
