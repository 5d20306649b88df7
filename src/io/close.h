/* SPDX-License-Identifier: MIT */
/* How a descriptor ends; the public verb is in <weir/descriptor.h>. */
#ifndef WEIR_IO_CLOSE_H
#define WEIR_IO_CLOSE_H

#include "io/op.h"

struct weir__io;

/* Where a close may run without blocking the loop: by what the descriptor is. */
enum weir__route weir__close_choose(const struct weir__op *op);
int64_t weir__close_call(struct weir__op *op);

/* Home loop: an op on `fd` has ended; a close may be waiting for it. */
void weir__close_notify(struct weir__io *io, int fd);

/* Home loop: asks the calls of tasks on `fd` to end, with -EBADF; standing ops go on. */
void weir__close_end_calls(struct weir__io *io, int fd);

#endif
