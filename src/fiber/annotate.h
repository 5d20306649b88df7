/* SPDX-License-Identifier: MIT */
/*
 * What AddressSanitizer, ThreadSanitizer and valgrind are told about stacks and switches. One
 * variant is chosen when the library is built; without any of them the structs are empty, the
 * functions too, and a fiber is one word.
 *
 * The order of calls, which fiber.h keeps:
 *
 *      stack:  stack_init once mapped ... stack_term before it is unmapped
 *      fiber:  fiber_init, then for each switch  leave (old stack), switch, arrive (new stack)
 *              the first arrival on a stack is   begin
 *              the last departure from it is     exit
 */
#ifndef WEIR_FIBER_ANNOTATE_H
#define WEIR_FIBER_ANNOTATE_H

#include "base/assert.h"

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define WEIR__ANNOTATE_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define WEIR__ANNOTATE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR__ANNOTATE_ASAN 1
#elif __has_feature(thread_sanitizer)
#define WEIR__ANNOTATE_TSAN 1
#endif
#endif

#if WEIR_DEBUG && __has_include(<valgrind/valgrind.h>)
#define WEIR__ANNOTATE_VALGRIND 1
#endif

#if defined(WEIR__ANNOTATE_ASAN)

/*
 * ASan keeps the bounds of the running stack, and a fake stack per context for use-after-return.
 * A context that ends leaves the red zones of its frames in the shadow; the next user of the stack
 * must not trip over them.
 */
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

struct weir__annotate_stack {
    char unused;
};

struct weir__annotate_fiber {
    void *fake_stack;
    const void *base;
    size_t bytes;
};

static inline void weir__annotate_stack_init(struct weir__annotate_stack *stack, void *base,
                                             size_t bytes)
{
    stack->unused = 0;
    ASAN_UNPOISON_MEMORY_REGION(base, bytes);
}

static inline void weir__annotate_stack_term(struct weir__annotate_stack *stack, void *base,
                                             size_t bytes)
{
    stack->unused = 0;
    ASAN_UNPOISON_MEMORY_REGION(base, bytes);
}

static inline void weir__annotate_fiber_init(struct weir__annotate_fiber *fiber,
                                             struct weir__annotate_stack *stack, void *base,
                                             size_t bytes)
{
    stack->unused = 0;
    ASAN_UNPOISON_MEMORY_REGION(base, bytes);
    fiber->fake_stack = NULL;
    fiber->base = base;
    fiber->bytes = bytes;
}

/* The bounds of the calling thread's own stack. */
void weir__annotate_thread_stack(const void **base, size_t *bytes);

static inline void weir__annotate_thread_init(struct weir__annotate_fiber *fiber)
{
    fiber->fake_stack = NULL;
    weir__annotate_thread_stack(&fiber->base, &fiber->bytes);
}

static inline void weir__annotate_leave(struct weir__annotate_fiber *from,
                                        const struct weir__annotate_fiber *to)
{
    __sanitizer_start_switch_fiber(&from->fake_stack, to->base, to->bytes);
}

static inline void weir__annotate_arrive(const struct weir__annotate_fiber *self)
{
    __sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
}

static inline void weir__annotate_begin(void)
{
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
}

/* No place to save the fake stack: it is freed. */
static inline void weir__annotate_exit(const struct weir__annotate_fiber *to)
{
    __sanitizer_start_switch_fiber(NULL, to->base, to->bytes);
}

#elif defined(WEIR__ANNOTATE_TSAN)

/*
 * TSan has a fiber of its own for each context. They are dear and their number is limited, so each
 * stays with its stack and serves whoever runs there next. But a context that exits never returns
 * from its functions, and TSan's record of callers (65,536 deep, unchecked) keeps them; so a fiber
 * is renewed after so many lives.
 *
 * A function that returns between the call of TSan and the switch would be taken off the record of
 * the wrong context: so leave and exit must be inlined, always.
 */
#include <sanitizer/tsan_interface.h>

enum { WEIR__ANNOTATE_LIVES = 512 };

struct weir__annotate_stack {
    void *fiber;    /* NULL until first used */
    unsigned lives; /* contexts that `fiber` has served */
};

struct weir__annotate_fiber {
    void *fiber;
};

static inline void weir__annotate_stack_init(struct weir__annotate_stack *stack, void *base,
                                             size_t bytes)
{
    (void)base, (void)bytes;
    stack->fiber = NULL;
    stack->lives = 0;
}

static inline void weir__annotate_stack_term(struct weir__annotate_stack *stack, void *base,
                                             size_t bytes)
{
    (void)base, (void)bytes;
    if (stack->fiber != NULL)
        __tsan_destroy_fiber(stack->fiber);
    stack->fiber = NULL;
}

static inline void weir__annotate_fiber_init(struct weir__annotate_fiber *fiber,
                                             struct weir__annotate_stack *stack, void *base,
                                             size_t bytes)
{
    if (stack->lives++ == WEIR__ANNOTATE_LIVES) {
        weir__annotate_stack_term(stack, base, bytes);
        stack->lives = 1;
    }
    if (stack->fiber == NULL)
        stack->fiber = __tsan_create_fiber(0);
    fiber->fiber = stack->fiber;
}

static inline void weir__annotate_thread_init(struct weir__annotate_fiber *fiber)
{
    fiber->fiber = __tsan_get_current_fiber();
}

static inline __attribute__((always_inline)) void
weir__annotate_leave(struct weir__annotate_fiber *from, const struct weir__annotate_fiber *to)
{
    (void)from;
    __tsan_switch_to_fiber(to->fiber, 0);
}

static inline void weir__annotate_arrive(const struct weir__annotate_fiber *self)
{
    (void)self;
}

static inline void weir__annotate_begin(void)
{
}

static inline __attribute__((always_inline)) void
weir__annotate_exit(const struct weir__annotate_fiber *to)
{
    __tsan_switch_to_fiber(to->fiber, 0);
}

#elif defined(WEIR__ANNOTATE_VALGRIND)

/*
 * valgrind sees the stack pointer move; it needs to know which ranges are stacks. It searches them
 * one by one, so only those that are run on are registered.
 */
#include <valgrind/valgrind.h>

#include <stdbool.h>

struct weir__annotate_stack {
    bool registered;
    unsigned id;
};

struct weir__annotate_fiber {
};

static inline void weir__annotate_stack_init(struct weir__annotate_stack *stack, void *base,
                                             size_t bytes)
{
    (void)base, (void)bytes;
    stack->registered = false;
}

static inline void weir__annotate_stack_term(struct weir__annotate_stack *stack, void *base,
                                             size_t bytes)
{
    (void)base, (void)bytes;
    if (stack->registered)
        VALGRIND_STACK_DEREGISTER(stack->id);
}

static inline void weir__annotate_fiber_init(struct weir__annotate_fiber *fiber,
                                             struct weir__annotate_stack *stack, void *base,
                                             size_t bytes)
{
    (void)fiber;
    if (!stack->registered)
        stack->id = VALGRIND_STACK_REGISTER(base, (char *)base + bytes);
    stack->registered = true;
}

#else

struct weir__annotate_stack {
};

struct weir__annotate_fiber {
};

static inline void weir__annotate_stack_init(struct weir__annotate_stack *stack, void *base,
                                             size_t bytes)
{
    (void)stack, (void)base, (void)bytes;
}

static inline void weir__annotate_stack_term(struct weir__annotate_stack *stack, void *base,
                                             size_t bytes)
{
    (void)stack, (void)base, (void)bytes;
}

static inline void weir__annotate_fiber_init(struct weir__annotate_fiber *fiber,
                                             struct weir__annotate_stack *stack, void *base,
                                             size_t bytes)
{
    (void)fiber, (void)stack, (void)base, (void)bytes;
}

#endif

#if !defined(WEIR__ANNOTATE_ASAN) && !defined(WEIR__ANNOTATE_TSAN)

static inline void weir__annotate_thread_init(struct weir__annotate_fiber *fiber)
{
    (void)fiber;
}

static inline void weir__annotate_leave(struct weir__annotate_fiber *from,
                                        const struct weir__annotate_fiber *to)
{
    (void)from, (void)to;
}

static inline void weir__annotate_arrive(const struct weir__annotate_fiber *self)
{
    (void)self;
}

static inline void weir__annotate_begin(void)
{
}

static inline void weir__annotate_exit(const struct weir__annotate_fiber *to)
{
    (void)to;
}

#endif

#endif
