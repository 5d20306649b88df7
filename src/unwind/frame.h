/* SPDX-License-Identifier: MIT */
/* One frame of a stack that is looked at, and the only way its memory is read. */
#ifndef WEIR_UNWIND_FRAME_H
#define WEIR_UNWIND_FRAME_H

#include "unwind/registers.h"

struct weir__frame_state {
    uintptr_t ip;
    bool returned;                             /* ip is where a call returns to, not what runs */
    uint64_t known;                            /* a bit for each register whose value is known */
    uintptr_t registers[WEIR__REGISTER_COUNT]; /* by their numbers in unwind tables */
};

/* What may be read. */
struct weir__stack_bounds {
    uintptr_t low, high;
};

static inline bool weir__frame_knows(const struct weir__frame_state *frame, uint64_t number)
{
    return number < WEIR__REGISTER_COUNT && frame->known >> number & 1;
}

static inline void weir__frame_set(struct weir__frame_state *frame, unsigned number,
                                   uintptr_t value)
{
    frame->registers[number] = value;
    frame->known |= UINT64_C(1) << number;
}

/* An address inside of the instruction that runs or calls: its function is this one's, even if the
 * call is the last that the function does. */
static inline uintptr_t weir__frame_place(const struct weir__frame_state *frame)
{
    return frame->ip - frame->returned;
}

/* A word of the stack; false when it does not lie in there. Sanitizers are not asked: others' red
 * zones are read as well. */
__attribute__((no_sanitize("address", "thread"))) static inline bool
weir__frame_read(const struct weir__stack_bounds *bounds, uintptr_t address, uintptr_t *word)
{
    if (address % sizeof *word || address < bounds->low || address >= bounds->high)
        return false;
    *word = *(const volatile uintptr_t *)address;
    return true;
}

#endif
