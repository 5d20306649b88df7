/* SPDX-License-Identifier: MIT */
/*
 * The limit of everything that suspends: weir's stack switch alone, back and forth.
 *
 * Both sides switch in one and the same loop, as weir's tasks all do in one place: the processor
 * then predicts where each switch returns to.
 */
#include "raw_peer.h"

#include "fiber/switch.h"

enum { STACK_BYTES = 16 << 10 };

static void *main_sp, *other_sp;

static __attribute__((noinline)) void bounce(void **save_sp, void *const *load_sp, uint64_t count)
{
    for (uint64_t turn = 0; turn < count; turn++)
        weir__switch(save_sp, *load_sp);
}

static void other_side(void *arg)
{
    (void)arg;
    bounce(&other_sp, &main_sp, UINT64_MAX);
}

uint64_t raw_switch(uint64_t op_count)
{
    static _Alignas(16) char stack[STACK_BYTES];
    uint64_t start_ns;

    other_sp = weir__switch_prepare(stack + sizeof stack, other_side, NULL, weir__switch_control());
    start_ns = now_ns();
    bounce(&main_sp, &other_sp, op_count / 2);
    return now_ns() - start_ns;
}
