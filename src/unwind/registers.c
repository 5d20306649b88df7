/* SPDX-License-Identifier: MIT */
/* Registers out of a signal's context; see registers.h. */
#include "unwind/registers.h"

#include <ucontext.h>

#if defined(__x86_64__)

uintptr_t weir__registers_of_context(const void *ucontext, uintptr_t *registers)
{
    const ucontext_t *context = ucontext;
    static const uint8_t at[] = { REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                  REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                  REG_R12, REG_R13, REG_R14, REG_R15 };

    for (unsigned i = 0; i < sizeof at; i++)
        registers[i] = (uintptr_t)context->uc_mcontext.gregs[at[i]];
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
}

#elif defined(__aarch64__)

uintptr_t weir__registers_of_context(const void *ucontext, uintptr_t *registers)
{
    const ucontext_t *context = ucontext;

    for (unsigned i = 0; i < WEIR__REGISTER_STACK; i++)
        registers[i] = (uintptr_t)context->uc_mcontext.regs[i];
    registers[WEIR__REGISTER_STACK] = (uintptr_t)context->uc_mcontext.sp;
    return (uintptr_t)context->uc_mcontext.pc;
}

#endif
