/* SPDX-License-Identifier: MIT */
/*
 * From a frame to its caller's, by the tables that compilers leave for exceptions (.eh_frame, found
 * through .eh_frame_hdr). Reads only those tables, and the stack within given bounds: no lock, no
 * allocation, async-signal-safe. weir__object_refresh must have seen the code's object.
 *
 * See: the Linux Standard Base, "Exception Frames"; DWARF 5, section 6.4.
 */
#ifndef WEIR_UNWIND_CFI_H
#define WEIR_UNWIND_CFI_H

#include "unwind/frame.h"

enum weir__cfi_end {
    WEIR__CFI_STEPPED,
    WEIR__CFI_BOTTOM,  /* nobody called this frame */
    WEIR__CFI_UNKNOWN, /* where the frame lies depends on a register whose value is not known */
    WEIR__CFI_LOST,    /* no table for this code, or one that makes no sense on this stack */
};

/* Replaces *frame by its caller's; otherwise it stays as it is. */
enum weir__cfi_end weir__cfi_step(struct weir__frame_state *frame,
                                  const struct weir__stack_bounds *bounds);

/* Where the function begins that has `address` in it, or its part that has a table of its own; 0
 * when that is not known. */
uintptr_t weir__cfi_function(uintptr_t address);

#endif
