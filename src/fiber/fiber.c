/* SPDX-License-Identifier: MIT */
/*
 * The rarer parts of a fiber: the thread's own, and C++ exceptions in flight. See fiber.h.
 */
#include "fiber/fiber.h"

/* Absent unless the program has a C++ runtime. */
extern struct weir__cxx_globals *__cxa_get_globals(void) __attribute__((weak));

__thread struct weir__cxx_globals *weir__fiber_cxx;
__thread unsigned long weir__fiber_control;

void weir__fiber_init_thread(struct weir__fiber *fiber)
{
    weir__annotate_thread_init(&fiber->annotate);
    fiber->sp = NULL;
    weir__fiber_control = weir__switch_control();
    weir__fiber_cxx = __cxa_get_globals != NULL ? __cxa_get_globals() : NULL;
}

void weir__fiber_switch_cxx(struct weir__fiber *from, struct weir__fiber *to)
{
    struct weir__cxx_globals *thread = weir__fiber_cxx;
    struct weir__cxx_globals own = *thread;

    weir__fiber_switch_plain(from, to);
    *thread = own;
}
