/* SPDX-License-Identifier: MIT */
/*
 * The loaded objects (the program, its libraries, the vdso): where their code lies, and where the
 * tables are by which it is unwound. A table of them is made off the signal path, and read on it.
 */
#ifndef WEIR_UNWIND_OBJECT_H
#define WEIR_UNWIND_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

/* More are not seen: frames in them end a backtrace. */
enum { WEIR__OBJECTS_MAX = 1024 };

struct weir__object {
    uintptr_t code_low, code_high;   /* its executable segments */
    uintptr_t index;                 /* .eh_frame_hdr */
    uintptr_t table_low, table_high; /* the segment that this lies in, with .eh_frame */
};

/* Looks which objects are loaded, and returns at once when they are the same as before. Any thread,
 * not in a signal handler. Objects that were unloaded since the last look are still in the table:
 * nothing may be looked up at an address that is no longer code. */
void weir__object_refresh(void);

/* The object whose code is at `address`; false when there is none. Async-signal-safe. */
bool weir__object_find(uintptr_t address, struct weir__object *out);

#endif
