/* SPDX-License-Identifier: MIT */
/*
 * A fiber is a suspended context: where to resume it, and what the sanitizers must hear about it.
 * In a build without sanitizers it is one word.
 *
 *      init --switch to--> running --switch from--> suspended --switch to--> running ... exit
 *
 * The entry function calls weir__fiber_begin first, and ends by weir__fiber_exit: it never returns.
 * A fiber is bound to the thread that first switched to it.
 *
 * C++ keeps the exceptions that are being handled in two words per thread. They belong to the
 * running context, so they travel with it: saved in the frame of the switch, zero at the start.
 * A program without the C++ runtime pays one load and one predicted branch, too little to be
 * measured, one with it 0.6 ns; a fiber has no space for it. The runtime is looked for when the
 * library is loaded; one loaded later is not seen, and then no exception may be in flight across a
 * switch.
 */
#ifndef WEIR_FIBER_FIBER_H
#define WEIR_FIBER_FIBER_H

#include "base/assert.h"
#include "fiber/annotate.h"
#include "fiber/stack.h"
#include "fiber/switch.h"

#include <stddef.h>

struct weir__fiber {
    void *sp; /* valid while suspended */
    struct weir__annotate_fiber annotate;
};

/* Itanium C++ ABI: __cxa_eh_globals. */
struct weir__cxx_globals {
    void *caught_exceptions;
    unsigned uncaught_count;
};

/* This thread's, NULL without C++; set by weir__fiber_init_thread. */
extern __thread struct weir__cxx_globals *weir__fiber_cxx
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The floating-point control words that fibers of this thread begin with; set likewise. */
extern __thread unsigned long weir__fiber_control
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/*
 * Makes `fiber` stand for the calling thread and its own stack. A thread calls it before it inits
 * or runs any other; those begin with the floating-point modes that it has now.
 */
void weir__fiber_init_thread(struct weir__fiber *fiber);

/* The switch in a program with C++. */
void weir__fiber_switch_cxx(struct weir__fiber *from, struct weir__fiber *to);

/* On the thread that will run it. `stack_top`: a multiple of 16 in the stack; all below is used. */
static inline void weir__fiber_init(struct weir__fiber *fiber, struct weir__stack *stack,
                                    void *stack_top, void (*entry)(void *arg), void *arg)
{
    WEIR_DEBUG_ASSERT((size_t)stack_top % 16 == 0);
    WEIR_DEBUG_ASSERT((size_t)stack_top - (size_t)stack->base <= stack->bytes);
    weir__annotate_fiber_init(&fiber->annotate, &stack->annotate, stack->base, stack->bytes);
    fiber->sp = weir__switch_prepare(stack_top, entry, arg, weir__fiber_control);
}

/* The first thing an entry function does. */
static inline void weir__fiber_begin(void)
{
    weir__annotate_begin();
    if (WEIR_UNLIKELY(weir__fiber_cxx != NULL))
        *weir__fiber_cxx = (struct weir__cxx_globals){ 0 };
}

static inline void weir__fiber_switch_plain(struct weir__fiber *from, struct weir__fiber *to)
{
    void *load_sp = to->sp;

    weir__annotate_leave(&from->annotate, &to->annotate);
    weir__switch(&from->sp, load_sp);
    weir__annotate_arrive(&from->annotate);
}

/* Suspends `from`, which runs, and resumes `to`; returns when somebody resumes `from`. */
static inline void weir__fiber_switch(struct weir__fiber *from, struct weir__fiber *to)
{
    if (WEIR_UNLIKELY(weir__fiber_cxx != NULL))
        weir__fiber_switch_cxx(from, to);
    else
        weir__fiber_switch_plain(from, to);
}

/* Resumes `to`; `from` never runs again. Its stack is free as soon as `to` runs, not before. */
_Noreturn static inline void weir__fiber_exit(struct weir__fiber *from, struct weir__fiber *to)
{
    void *load_sp = to->sp;

    (void)from;
    weir__annotate_exit(&to->annotate);
    weir__switch_finally(load_sp);
    __builtin_unreachable();
}

#endif
