/* SPDX-License-Identifier: MIT */
/*
 * Who called whom, on the stacks of this process, from three starts:
 *
 *   a signal's context   all registers are known. In the handler; async-signal-safe
 *   a parked task        the registers that survive calls lie on its stack. On its home loop
 *   a thread asleep in   only ip and sp are known. As long as frames are found by sp alone it goes
 *   the kernel           on; where one needs the frame pointer, the stack is searched for it, and
 *                        the frames from there on are guesses
 *
 * An address that is returned lies inside of the instruction that runs, or of the call: it is to
 * be looked up as it is (weir__symbol_format(..., false, ...)), also by addr2line(1).
 *
 * A thread says once what its stack is (weir__backtrace_enter); tasks' stacks are known. What is
 * not on a known stack is not read.
 */
#ifndef WEIR_UNWIND_BACKTRACE_H
#define WEIR_UNWIND_BACKTRACE_H

#include "unwind/frame.h"

#include <stddef.h>

struct weir_task;

enum { WEIR__BACKTRACE_MAX = 48 };

/* The calling thread's own stack is known from here on; also looks which objects are loaded. Not in
 * a signal handler. */
void weir__backtrace_enter(void);

/* The bounds that weir__backtrace_enter found, of the calling thread; zeros before. */
struct weir__stack_bounds weir__backtrace_thread_stack(void);

/* From `start` on. Returns the number of addresses. Async-signal-safe. */
size_t weir__backtrace_walk(const struct weir__frame_state *start,
                            const struct weir__stack_bounds *bounds, void **addresses, size_t max);

/* In a signal handler: of the interrupted code, on whatever stack of a loop or entered thread. */
size_t weir__backtrace_of_context(const void *ucontext, void **addresses, size_t max);

/* Home loop: of a task that is parked. */
size_t weir__backtrace_of_task(const struct weir_task *parked, void **addresses, size_t max);

/* Any thread: of one that sleeps in the kernel at `ip` with `sp`. The first `*sure_count` addresses
 * are sure. If it wakes meanwhile the result is nonsense, but nothing else happens; its stack must
 * stay mapped. */
size_t weir__backtrace_of_sleeper(uintptr_t ip, uintptr_t sp,
                                  const struct weir__stack_bounds *bounds, void **addresses,
                                  size_t max, size_t *sure_count);

#endif
