/* SPDX-License-Identifier: MIT */
/*
 * The stack switch for x86-64 (System V). See switch.h.
 *
 * A suspended context, from its stack pointer upwards; 64 bytes:
 *
 *      0  mxcsr (4), x87 control word (2), unused (2)
 *      8  r15      16  r14      24  r13      32  r12      40  rbx      48  rbp
 *     56  return address
 *
 * Marked for IBT. Not for the shadow stack: the return address taken is another stack's.
 */
#if defined(__x86_64__)

        .text

/* void weir__switch(void **save_sp, void *load_sp) */
        .p2align 4
        .globl  weir__switch
        .hidden weir__switch
        .type   weir__switch, @function
weir__switch:
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)

        /* Both contexts have the same layout, so the unwind rules hold on either side. */
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp

.Lresume:
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        ret
        .cfi_endproc
        .size   weir__switch, . - weir__switch

/* void weir__switch_finally(void *load_sp) */
        .p2align 4
        .globl  weir__switch_finally
        .hidden weir__switch_finally
        .type   weir__switch_finally, @function
weir__switch_finally:
        .cfi_startproc
        .cfi_undefined rip
        endbr64
        movq    %rdi, %rsp
        jmp     .Lresume
        .cfi_endproc
        .size   weir__switch_finally, . - weir__switch_finally

/* unsigned long weir__switch_control(void); the exception flags of mxcsr are left out */
        .p2align 4
        .globl  weir__switch_control
        .hidden weir__switch_control
        .type   weir__switch_control, @function
weir__switch_control:
        .cfi_startproc
        endbr64
        movq    $0, -8(%rsp)
        stmxcsr -8(%rsp)
        fnstcw  -4(%rsp)
        movq    -8(%rsp), %rax
        andq    $-64, %rax
        ret
        .cfi_endproc
        .size   weir__switch_control, . - weir__switch_control

/*
 * void *weir__switch_prepare(void *stack_top, void (*entry)(void *), void *arg,
 *                            unsigned long control)
 */
        .p2align 4
        .globl  weir__switch_prepare
        .hidden weir__switch_prepare
        .type   weir__switch_prepare, @function
weir__switch_prepare:
        .cfi_startproc
        endbr64
        leaq    .Lfirst(%rip), %r8
        leaq    -64(%rdi), %rax
        movq    %rcx, (%rax)
        movq    $0, 8(%rax)
        movq    $0, 16(%rax)
        movq    $0, 24(%rax)
        movq    %rdx, 32(%rax)          /* r12: arg */
        movq    %rsi, 40(%rax)          /* rbx: entry */
        movq    $0, 48(%rax)            /* rbp: the chain of frames ends here */
        movq    %r8, 56(%rax)
        ret
        .cfi_endproc
        .size   weir__switch_prepare, . - weir__switch_prepare

/*
 * The first instructions on a new stack, entered at .Lfirst by the `ret` above; rsp is the stack's
 * top. The nop is there for unwinders, which look for a caller one byte before its return address.
 */
        .p2align 4
        .globl  weir__switch_start
        .hidden weir__switch_start
        .type   weir__switch_start, @function
weir__switch_start:
        .cfi_startproc
        .cfi_undefined rip
        nop
.Lfirst:
        movq    %r12, %rdi
        call    *%rbx
        ud2
        .cfi_endproc
        .size   weir__switch_start, . - weir__switch_start

/* GNU_PROPERTY_X86_FEATURE_1_AND: IBT. */
        .section .note.gnu.property, "a", @note
        .p2align 3
        .long   4, 16, 5
        .asciz  "GNU"
        .long   0xc0000002, 4, 1, 0

#endif

/* Outside the condition: an object without this note asks for an executable stack. */
        .section .note.GNU-stack, "", %progbits
