/* SPDX-License-Identifier: MIT */
/*
 * rounding_set and rounding_get: the rounding mode, 0 to 3, in every control word there is, and all
 * of these modes in one number, which differs from mode to mode.
 *
 * registers_across_switch: fills every callee-saved register with values made of `seed`, switches,
 * and returns how many came back changed. Shared by switch_test.c and aarch64.c; include it once.
 */
#ifndef WEIR_TESTS_FIBER_REGISTERS_H
#define WEIR_TESTS_FIBER_REGISTERS_H

unsigned long registers_across_switch(void **save_sp, void *load_sp, unsigned long seed);

#if defined(__x86_64__)
static inline void rounding_set(unsigned mode)
{
    unsigned mxcsr = (__builtin_ia32_stmxcsr() & ~0x6000U) | mode << 13;
    unsigned short x87;

    __builtin_ia32_ldmxcsr(mxcsr);
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    x87 = (unsigned short)((x87 & ~0x0c00U) | mode << 10);
    __asm__ volatile("fldcw %0" : : "m"(x87));
}

static inline unsigned rounding_get(void)
{
    unsigned short x87;

    __asm__ volatile("fnstcw %0" : "=m"(x87));
    return (__builtin_ia32_stmxcsr() >> 13 & 3) * 10 + (x87 >> 10 & 3U);
}

__asm__(".text\n"
        ".globl registers_across_switch\n"
        ".type registers_across_switch, @function\n"
        "registers_across_switch:\n"
        "    endbr64\n"
        "    push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
        "    push %rdx\n"
        "    lea 1(%rdx), %rbp\n"
        "    lea 2(%rdx), %rbx\n"
        "    lea 3(%rdx), %r12\n"
        "    lea 4(%rdx), %r13\n"
        "    lea 5(%rdx), %r14\n"
        "    lea 6(%rdx), %r15\n"
        "    call weir__switch\n"
        "    pop %rdx\n"
        "    xor %eax, %eax\n"
        "    sub $1, %rbp; sub %rdx, %rbp; setne %cl; movzbl %cl, %ecx; add %rcx, %rax\n"
        "    sub $2, %rbx; sub %rdx, %rbx; setne %cl; movzbl %cl, %ecx; add %rcx, %rax\n"
        "    sub $3, %r12; sub %rdx, %r12; setne %cl; movzbl %cl, %ecx; add %rcx, %rax\n"
        "    sub $4, %r13; sub %rdx, %r13; setne %cl; movzbl %cl, %ecx; add %rcx, %rax\n"
        "    sub $5, %r14; sub %rdx, %r14; setne %cl; movzbl %cl, %ecx; add %rcx, %rax\n"
        "    sub $6, %r15; sub %rdx, %r15; setne %cl; movzbl %cl, %ecx; add %rcx, %rax\n"
        "    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
        "    ret\n"
        ".size registers_across_switch, . - registers_across_switch\n");
#elif defined(__aarch64__)
static inline void rounding_set(unsigned mode)
{
    unsigned long fpcr;

    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    fpcr = (fpcr & ~0xc00000UL) | (unsigned long)mode << 22;
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
}

static inline unsigned rounding_get(void)
{
    unsigned long fpcr;

    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return (unsigned)(fpcr >> 22 & 3) * 11;
}

__asm__(".macro fill number\n"
        "    add x\\number, x2, #\\number\n"
        ".endm\n"
        ".macro fill_double number\n"
        "    add x9, x2, #(\\number + 100)\n"
        "    fmov d\\number, x9\n"
        ".endm\n"
        ".macro compare number\n"
        "    add x9, x2, #\\number\n"
        "    cmp x9, x\\number\n"
        "    cinc x0, x0, ne\n"
        ".endm\n"
        ".macro compare_double number\n"
        "    add x9, x2, #(\\number + 100)\n"
        "    fmov x10, d\\number\n"
        "    cmp x9, x10\n"
        "    cinc x0, x0, ne\n"
        ".endm\n"
        ".text\n"
        ".globl registers_across_switch\n"
        ".type registers_across_switch, %function\n"
        "registers_across_switch:\n"
        "    hint #34\n"
        "    stp x29, x30, [sp, #-176]!\n"
        "    stp x19, x20, [sp, #16]\n"
        "    stp x21, x22, [sp, #32]\n"
        "    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n"
        "    stp x27, x28, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    str x2, [sp, #160]\n"
        "    .irp number, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n"
        "    fill \\number\n"
        "    .endr\n"
        "    .irp number, 8, 9, 10, 11, 12, 13, 14, 15\n"
        "    fill_double \\number\n"
        "    .endr\n"
        "    bl weir__switch\n"
        "    ldr x2, [sp, #160]\n"
        "    mov x0, #0\n"
        "    .irp number, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n"
        "    compare \\number\n"
        "    .endr\n"
        "    .irp number, 8, 9, 10, 11, 12, 13, 14, 15\n"
        "    compare_double \\number\n"
        "    .endr\n"
        "    ldp x19, x20, [sp, #16]\n"
        "    ldp x21, x22, [sp, #32]\n"
        "    ldp x23, x24, [sp, #48]\n"
        "    ldp x25, x26, [sp, #64]\n"
        "    ldp x27, x28, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    ldp x29, x30, [sp], #176\n"
        "    ret\n"
        ".size registers_across_switch, . - registers_across_switch\n");
#endif

#endif
