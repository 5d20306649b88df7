/* SPDX-License-Identifier: MIT */
/*
 * The stack switch, in assembly: switch_x86_64.S and switch_aarch64.S.
 *
 * What a call must preserve is pushed on the stack that is left, and popped from the stack that is
 * entered: callee-saved registers, and the floating-point control words (mxcsr and the x87 control
 * word; fpcr). A suspended context is therefore one word, its stack pointer. The signal mask is the
 * thread's and does not travel; neither does thread-local storage.
 *
 * The switch returns by `ret`, not by an indirect jump: calls and returns stay paired, and the
 * processor predicts the returns of whoever was resumed as long as tasks suspend at call chains of
 * the same shape. So it pays to suspend at one place (core/wait), a fixed number of calls deep.
 *
 * Measured (Zen 4): 2.4 ns without the control words, 5.4 with them in a bare ping-pong, since one
 * stmxcsr every 16 cycles is all the processor can do; 0.6 ns more than without when 5 ns of other
 * work surround it. Testing whether a reload is needed costs more than reloading.
 */
#ifndef WEIR_FIBER_SWITCH_H
#define WEIR_FIBER_SWITCH_H

/*
 * Saves the running context on its own stack, writes its stack pointer to `*save_sp`, and resumes
 * the context whose stack pointer is `load_sp`. Returns when somebody resumes the saved one.
 */
void weir__switch(void **save_sp, void *load_sp);

/* The same for a context that is over: nothing is saved, and it does not return. */
void weir__switch_finally(void *load_sp);

/* The caller's floating-point control words, in a form for weir__switch_prepare. */
unsigned long weir__switch_control(void);

/*
 * Lays out a context that will call `entry(arg)` with the control words `control`, on the stack
 * that ends at `stack_top` (exclusive, any multiple of 16); returns the stack pointer to resume
 * first. `entry` never returns: it traps if it does. Unwinders stop below `entry`, whose caller
 * weir__switch_start has no return address.
 */
void *weir__switch_prepare(void *stack_top, void (*entry)(void *arg), void *arg,
                           unsigned long control);

#endif
