/* SPDX-License-Identifier: MIT */
/*
 * The registers of a frame, by their numbers in unwind tables, and how to fill them in: from a
 * signal's context, from a parked task's stack. One part per architecture.
 *
 * See: the processor supplements of the System V ABI (x86-64, section 3.6; AAPCS64, DWARF part).
 */
#ifndef WEIR_UNWIND_REGISTERS_H
#define WEIR_UNWIND_REGISTERS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Of a signal's ucontext_t; returns where it was interrupted. */
uintptr_t weir__registers_of_context(const void *ucontext, uintptr_t *registers);

#if defined(__x86_64__)

enum {
    WEIR__REGISTER_FRAME = 6,
    WEIR__REGISTER_STACK = 7,
    WEIR__REGISTER_RETURN = 16,
    WEIR__REGISTER_COUNT = 17,
    WEIR__CALL_BYTES_MAX = 7, /* of a call instruction that is looked for before its return */
};

/* rbx, rbp, rsp, r12 to r15: they survive a call. */
#define WEIR__REGISTERS_KEPT UINT64_C(0xf0c8)
#define WEIR__REGISTERS_ALL  UINT64_C(0xffff)

/* As fiber/switch_x86_64.S leaves them. */
static inline uintptr_t weir__registers_of_fiber(const uintptr_t *sp, uintptr_t *registers)
{
    registers[15] = sp[1];
    registers[14] = sp[2];
    registers[13] = sp[3];
    registers[12] = sp[4];
    registers[3] = sp[5];
    registers[WEIR__REGISTER_FRAME] = sp[6];
    registers[WEIR__REGISTER_STACK] = (uintptr_t)(sp + 8);
    return sp[7];
}

static inline uintptr_t weir__registers_strip(uintptr_t return_address)
{
    return return_address;
}

/* Whether a call instruction ends where `code` ends; `target` is where it leads, 0 if that is in a
 * register or in memory. `code` are the WEIR__CALL_BYTES_MAX bytes before `end`. */
static inline bool weir__registers_call_before(const uint8_t *code, uintptr_t end,
                                               uintptr_t *target)
{
    int32_t distance;

    *target = 0;
    if (code[2] == 0xe8) {
        memcpy(&distance, code + 3, sizeof distance);
        *target = end + (uintptr_t)(intptr_t)distance;
        return true;
    }
    /* ff /2: two bytes by register or pointer, three with a short offset or an index, six with a
     * long offset or relative to ip; one more for each prefix, which comes before. */
    return (code[5] == 0xff && ((code[6] & 0xf8) == 0xd0 || (code[6] & 0xf8) == 0x10)) ||
           (code[4] == 0xff && ((code[5] & 0xf8) == 0x50 || code[5] == 0x14)) ||
           (code[3] == 0xff && code[4] == 0x54) || (code[1] == 0xff && (code[2] & 0xf8) == 0x90) ||
           (code[1] == 0xff && code[2] == 0x15) || (code[0] == 0xff && code[1] == 0x94);
}

#elif defined(__aarch64__)

enum {
    WEIR__REGISTER_FRAME = 29,
    WEIR__REGISTER_RETURN = 30,
    WEIR__REGISTER_STACK = 31,
    WEIR__REGISTER_COUNT = 32,
    WEIR__CALL_BYTES_MAX = 4,
};

/* x19 to x29, sp. */
#define WEIR__REGISTERS_KEPT UINT64_C(0xbff80000)
#define WEIR__REGISTERS_ALL  UINT64_C(0xffffffff)

/* As fiber/switch_aarch64.S leaves them. */
static inline uintptr_t weir__registers_of_fiber(const uintptr_t *sp, uintptr_t *registers)
{
    for (unsigned i = 0; i < 11; i++)
        registers[19 + i] = sp[i];
    registers[WEIR__REGISTER_STACK] = (uintptr_t)(sp + 22);
    return sp[11];
}

/* Without its authentication code; a no-op on processors without them. */
static inline uintptr_t weir__registers_strip(uintptr_t return_address)
{
    register uintptr_t link __asm__("x30") = return_address;

    __asm__("hint #7" : "+r"(link)); /* xpaclri */
    return link;
}

static inline bool weir__registers_call_before(const uint8_t *code, uintptr_t end,
                                               uintptr_t *target)
{
    uint32_t word;

    memcpy(&word, code, sizeof word);
    *target = 0;
    if (word >> 26 == 0x25) { /* bl */
        int32_t distance = (int32_t)(word << 6) >> 4;

        *target = end - 4 + (uintptr_t)(intptr_t)distance;
        return true;
    }
    return (word & 0xfffffc1f) == 0xd63f0000; /* blr */
}

#endif

#endif
