/* SPDX-License-Identifier: MIT */
/*
 * The stack switch for aarch64 (AAPCS64). See switch.h.
 *
 * A suspended context, from its stack pointer upwards; 176 bytes:
 *
 *      0  x19 x20     16  x21 x22     32  x23 x24     48  x25 x26     64  x27 x28
 *     80  x29, x30 (the return address)
 *     96  d8 d9      112  d10 d11    128  d12 d13    144  d14 d15
 *    160  fpcr, unused
 *
 * fpcr is written only when it differs: a write may drain the floating-point pipes. Marked for BTI.
 * No guarded control stack: the return address taken is another stack's.
 */
#if defined(__aarch64__)

        .text

/* void weir__switch(void **save_sp, void *load_sp) */
        .p2align 4
        .globl  weir__switch
        .hidden weir__switch
        .type   weir__switch, %function
weir__switch:
        .cfi_startproc
        hint    #34                     /* bti c */
        sub     sp, sp, #176
        .cfi_def_cfa_offset 176
        stp     x19, x20, [sp, #0]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        .cfi_offset x19, -176
        .cfi_offset x20, -168
        .cfi_offset x21, -160
        .cfi_offset x22, -152
        .cfi_offset x23, -144
        .cfi_offset x24, -136
        .cfi_offset x25, -128
        .cfi_offset x26, -120
        .cfi_offset x27, -112
        .cfi_offset x28, -104
        .cfi_offset x29, -96
        .cfi_offset x30, -88
        .cfi_offset d8, -80
        .cfi_offset d9, -72
        .cfi_offset d10, -64
        .cfi_offset d11, -56
        .cfi_offset d12, -48
        .cfi_offset d13, -40
        .cfi_offset d14, -32
        .cfi_offset d15, -24
        mrs     x9, fpcr
        str     x9, [sp, #160]

        /* Both contexts have the same layout, so the unwind rules hold on either side. */
        mov     x10, sp
        str     x10, [x0]
        mov     sp, x1

.Lresume:
        ldr     x10, [sp, #160]
        cmp     x9, x10
        b.eq    1f
        msr     fpcr, x10
1:      ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        add     sp, sp, #176
        .cfi_def_cfa_offset 0
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x29
        .cfi_restore x30
        .cfi_restore d8
        .cfi_restore d9
        .cfi_restore d10
        .cfi_restore d11
        .cfi_restore d12
        .cfi_restore d13
        .cfi_restore d14
        .cfi_restore d15
        ret
        .cfi_endproc
        .size   weir__switch, . - weir__switch

/* void weir__switch_finally(void *load_sp) */
        .p2align 4
        .globl  weir__switch_finally
        .hidden weir__switch_finally
        .type   weir__switch_finally, %function
weir__switch_finally:
        .cfi_startproc
        .cfi_undefined x30
        hint    #34                     /* bti c */
        mrs     x9, fpcr
        mov     sp, x0
        b       .Lresume
        .cfi_endproc
        .size   weir__switch_finally, . - weir__switch_finally

/* unsigned long weir__switch_control(void) */
        .p2align 4
        .globl  weir__switch_control
        .hidden weir__switch_control
        .type   weir__switch_control, %function
weir__switch_control:
        .cfi_startproc
        hint    #34                     /* bti c */
        mrs     x0, fpcr
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
        .type   weir__switch_prepare, %function
weir__switch_prepare:
        .cfi_startproc
        hint    #34                     /* bti c */
        adr     x9, .Lfirst
        sub     x0, x0, #176
        stp     x1, x2, [x0, #0]        /* x19: entry, x20: arg */
        stp     xzr, xzr, [x0, #16]
        stp     xzr, xzr, [x0, #32]
        stp     xzr, xzr, [x0, #48]
        stp     xzr, xzr, [x0, #64]
        stp     xzr, x9, [x0, #80]      /* x29: the chain of frames ends here */
        stp     xzr, xzr, [x0, #96]
        stp     xzr, xzr, [x0, #112]
        stp     xzr, xzr, [x0, #128]
        stp     xzr, xzr, [x0, #144]
        stp     x3, xzr, [x0, #160]
        ret
        .cfi_endproc
        .size   weir__switch_prepare, . - weir__switch_prepare

/*
 * The first instructions on a new stack, entered at .Lfirst by the `ret` above; sp is the stack's
 * top. The nop is there for unwinders, which look for a caller just before its return address.
 */
        .p2align 4
        .globl  weir__switch_start
        .hidden weir__switch_start
        .type   weir__switch_start, %function
weir__switch_start:
        .cfi_startproc
        .cfi_undefined x30
        nop
.Lfirst:
        mov     x0, x20
        blr     x19
        brk     #1
        .cfi_endproc
        .size   weir__switch_start, . - weir__switch_start

/* GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI. */
        .section .note.gnu.property, "a", %note
        .p2align 3
        .long   4, 16, 5
        .asciz  "GNU"
        .long   0xc0000000, 4, 1, 0

#endif

/* Outside the condition: an object without this note asks for an executable stack. */
        .section .note.GNU-stack, "", %progbits
