/* SPDX-License-Identifier: MIT */
/* Direct I/O: what is not aligned, and what the ring refuses. */
#ifndef WEIR_IO_DIRECT_H
#define WEIR_IO_DIRECT_H

#include "io/op.h"

/* What is not aligned about a direct op on one buffer, or on several; NULL: nothing, as far as is
 * known. */
const char *weir__direct_misfit(const struct weir__op *op);
const char *weir__direct_misfit_vectors(const struct weir__op *op);

/* Where a direct op goes: the ring, unless too many of its kind were refused there. */
enum weir__route weir__direct_choose(const struct weir__op *op, bool is_write);

/* After a direct op came back from the ring: whether the ring refused it, so that the pool does
 * it. */
bool weir__direct_refused_read(struct weir__op *op);
bool weir__direct_refused_write(struct weir__op *op);

#endif
