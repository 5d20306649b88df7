/* SPDX-License-Identifier: MIT */
/*
 * The tables that compilers leave for exceptions, .eh_frame: which description covers some code.
 * Each is in two parts, one that many functions share (CIE) and one of its own (FDE); what they say
 * is for cfi.c to run. Async-signal-safe.
 */
#ifndef WEIR_UNWIND_UNWIND_H
#define WEIR_UNWIND_UNWIND_H

#include "unwind/cursor.h"

#include <stdbool.h>
#include <stdint.h>

/* What is known of one function: its two descriptions, read. */
struct weir__unwind {
    uint64_t code_factor;
    int64_t data_factor;
    uint64_t return_register;
    unsigned encoding; /* of addresses */
    bool has_data;     /* the parts have augmentation data, its length before it */
    bool is_signal;    /* what follows the frame was interrupted, and did not call it */
    uintptr_t begin, end;
    struct weir__cursor common, own; /* instructions */
};

/* False: there is none, or it is not understood. weir__object_refresh must have seen the object. */
bool weir__unwind_find(uintptr_t place, struct weir__unwind *about);

#endif
