/* SPDX-License-Identifier: MIT */
/*
 * Where system calls are made that a checked thread may make: the kernel lets those through whose
 * instruction lies between __start_weir_exempt and __stop_weir_exempt. See check_trap.c.
 *
 * Nothing but rcx and r11 is touched, which belong to the kernel in each system call.
 */
#if defined(__x86_64__)

        .section weir_exempt, "ax", @progbits

/* The call, on the stack of whoever was stopped in it: at rsp where to go on, below the red zone of
 * 128 bytes. Calls, signals and switches may happen meanwhile: all is on the stack. */
        .p2align 4
        .globl  weir__check_redo
        .hidden weir__check_redo
        .type   weir__check_redo, @function
weir__check_redo:
        .cfi_startproc
        .cfi_def_cfa rsp, 136
        .cfi_offset rip, -136
        syscall
        ret     $128
        .cfi_endproc
        .size   weir__check_redo, . - weir__check_redo

/* The same for calls that must find rsp as it was, or return on another stack: where to go on is in
 * thread-local memory, which a child process shares, or has a copy of. */
        .p2align 4
        .globl  weir__check_redo_aside
        .hidden weir__check_redo_aside
        .type   weir__check_redo_aside, @function
weir__check_redo_aside:
        .cfi_startproc
        .cfi_undefined rip
        syscall
        movq    weir__check_back@gottpoff(%rip), %rcx
        movq    %fs:(%rcx), %rcx
        notrack jmp *%rcx
        .cfi_endproc
        .size   weir__check_redo_aside, . - weir__check_redo_aside

        .section .tbss, "awT", @nobits
        .p2align 3
        .globl  weir__check_back
        .hidden weir__check_back
        .type   weir__check_back, @tls_object
weir__check_back:
        .zero   8
        .size   weir__check_back, . - weir__check_back

        .section weir_exempt, "ax", @progbits

/* The end of the handler itself: rt_sigreturn(2). */
        .p2align 4
        .globl  weir__check_restore
        .hidden weir__check_restore
        .type   weir__check_restore, @function
weir__check_restore:
        movq    $15, %rax
        syscall
        ud2
        .size   weir__check_restore, . - weir__check_restore

/* GNU_PROPERTY_X86_FEATURE_1_AND: IBT. */
        .section .note.gnu.property, "a", @note
        .p2align 3
        .long   4, 16, 5
        .asciz  "GNU"
        .long   0xc0000002, 4, 1, 0

#endif

/* Outside the condition: an object without this note asks for an executable stack. */
        .section .note.GNU-stack, "", %progbits
