/* SPDX-License-Identifier: MIT */
/*
 * The limit of everything that suspends: a bare stack switch, back and forth. It saves the
 * callee-saved registers and nothing else: less than weir's own, beside it, which also carries the
 * floating-point control words (3 ns more in this loop, 0.6 ns where other work surrounds it).
 *
 * Both sides switch in one and the same loop, as weir's tasks all do in one place: the processor
 * then predicts where each switch returns to.
 */
#include "raw_peer.h"
#include "weir_peer.h"

#include "fiber/switch.h"

enum { STACK_BYTES = 16 << 10 };

static void *main_sp, *other_sp;

#if defined(__x86_64__)

enum { SAVED_WORDS = 7 }; /* six registers and the return address */

void bench_bare_switch(void **save_sp, void *load_sp);
__asm__(".pushsection .text\n\t.type bench_bare_switch, @function\nbench_bare_switch:\n\t"
        "pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
        "movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
        "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tret\n\t"
        ".size bench_bare_switch, . - bench_bare_switch\n\t.popsection");

static void *bare_prepare(void *stack_top, void (*entry)(void))
{
    void **sp = (void **)stack_top - 1 - SAVED_WORDS; /* the word left makes a call's alignment */

    sp[SAVED_WORDS - 1] = (void *)(uintptr_t)entry;
    return sp;
}

#else /* elsewhere weir's own is the barest there is */

static void (*bare_entry)(void);

static void bare_start(void *arg)
{
    (void)arg;
    bare_entry();
}

static void *bare_prepare(void *stack_top, void (*entry)(void))
{
    bare_entry = entry;
    return weir__switch_prepare(stack_top, bare_start, NULL, weir__switch_control());
}

#define bench_bare_switch weir__switch

#endif

typedef void switch_fn(void **save_sp, void *load_sp);

static inline __attribute__((always_inline)) void bounce(switch_fn *switch_to, void **save_sp,
                                                         void *const *load_sp, uint64_t count)
{
    for (uint64_t turn = 0; turn < count; turn++)
        switch_to(save_sp, *load_sp);
}

static __attribute__((noinline)) void bounce_bare(void **save_sp, void *const *load_sp,
                                                  uint64_t count)
{
    bounce(bench_bare_switch, save_sp, load_sp, count);
}

static __attribute__((noinline)) void bounce_weir(void **save_sp, void *const *load_sp,
                                                  uint64_t count)
{
    bounce(weir__switch, save_sp, load_sp, count);
}

static void other_side_bare(void)
{
    bounce_bare(&other_sp, &main_sp, UINT64_MAX);
}

static void other_side_weir(void *arg)
{
    (void)arg;
    bounce_weir(&other_sp, &main_sp, UINT64_MAX);
}

uint64_t raw_switch(uint64_t op_count)
{
    static _Alignas(16) char stack[STACK_BYTES];
    uint64_t start_ns;

    other_sp = bare_prepare(stack + sizeof stack, other_side_bare);
    start_ns = now_ns();
    bounce_bare(&main_sp, &other_sp, op_count / 2);
    return now_ns() - start_ns;
}

uint64_t weir_switches(uint64_t op_count)
{
    static _Alignas(16) char stack[STACK_BYTES];
    uint64_t start_ns;

    other_sp =
        weir__switch_prepare(stack + sizeof stack, other_side_weir, NULL, weir__switch_control());
    start_ns = now_ns();
    bounce_weir(&main_sp, &other_sp, op_count / 2);
    return now_ns() - start_ns;
}
