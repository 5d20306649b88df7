/* SPDX-License-Identifier: MIT */
/*
 * DWARF expressions in unwind tables: where procedure linkage tables, signal frames and realigned
 * stacks say how a frame is found. A small stack machine; async-signal-safe.
 */
#ifndef WEIR_UNWIND_EXPRESSION_H
#define WEIR_UNWIND_EXPRESSION_H

#include "unwind/cursor.h"
#include "unwind/frame.h"

enum weir__expression_end {
    WEIR__EXPRESSION_DONE,
    WEIR__EXPRESSION_UNKNOWN, /* it needs a register whose value is not known */
    WEIR__EXPRESSION_BAD,     /* an operation that is not done here, or memory off the stack */
};

/* `first`: what is on the machine's stack at the start; NULL: nothing. */
enum weir__expression_end weir__expression_run(struct weir__cursor code,
                                               const struct weir__frame_state *frame,
                                               const struct weir__stack_bounds *bounds,
                                               const uintptr_t *first, uintptr_t *result);

#endif
