/* SPDX-License-Identifier: MIT */
/*
 * Mapping stacks and their guards; see slab.h.
 */
#include "fiber/slab.h"

#include "base/assert.h"
#include "fiber/stack.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

enum {
    MAP_FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK,
    COLOURS = 16, /* stack tops are spread over 16 cache lines, or they would share few sets */
    COLOUR_BYTES = 64,
};

/* Asked for each slab: mlockall(MCL_FUTURE), which rules guards out, may come at any time. */
static bool kernel_takes_guards(size_t page_bytes)
{
    void *page = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_FLAGS, -1, 0);
    bool taken;

    if (page == MAP_FAILED)
        return false;
    taken = madvise(page, page_bytes, MADV_GUARD_INSTALL) == 0;
    munmap(page, page_bytes);
    return taken;
}

static size_t header_bytes(size_t stack_max, size_t page_bytes)
{
    size_t bytes = sizeof(struct weir__stack_slab) + stack_max * sizeof(struct weir__stack);

    return (bytes + page_bytes - 1) & ~(page_bytes - 1);
}

int weir__stack_slab_create(const struct weir__stack_limits *limits, size_t stack_bytes,
                            size_t stack_max, struct weir__stack_slab **out)
{
    size_t guard_bytes = limits->options.guard_bytes;
    bool closed = limits->options.guard_by_mprotect || !kernel_takes_guards(limits->page_bytes);
    int protection = closed ? PROT_NONE : PROT_READ | PROT_WRITE;
    struct weir__stack_slab *slab;
    size_t first_offset;
    size_t bytes;

    do {
        first_offset = header_bytes(stack_max, limits->page_bytes);
        bytes = first_offset + stack_max * (guard_bytes + stack_bytes);
        slab = mmap(NULL, bytes, protection, MAP_FLAGS, -1, 0);
    } while (slab == MAP_FAILED && (stack_max /= 2) > 0);
    if (slab == MAP_FAILED)
        return -ENOMEM;
    /* A huge page would make whole stacks resident. Kernels without huge pages refuse: fine. */
    (void)madvise(slab, bytes, MADV_NOHUGEPAGE);
    if (closed && mprotect(slab, first_offset, PROT_READ | PROT_WRITE) != 0) {
        munmap(slab, bytes);
        return -ENOMEM;
    }
    slab->records = (struct weir__stack *)(void *)(slab + 1);
    slab->first = (char *)slab + first_offset;
    slab->stack_bytes = stack_bytes;
    slab->guard_bytes = guard_bytes;
    slab->stack_max = stack_max;
    slab->mapped_bytes = bytes;
    slab->closed = closed;
    *out = slab;
    return 0;
}

void weir__stack_slab_destroy(struct weir__stack_slab *slab)
{
    for (size_t i = 0; i < slab->made_count; i++)
        weir__annotate_stack_term(&slab->records[i].annotate, slab->records[i].base,
                                  slab->stack_bytes);
    munmap(slab, slab->mapped_bytes);
}

/* Two mappings of the process more: the guard and what lies above it. */
static enum weir__stack_refusal guard_by_mapping(struct weir__stack_slab *slab, char *guard,
                                                 struct weir__stack_limits *limits)
{
    enum weir__stack_refusal refusal = weir__stack_limits_take_mapping(limits);
    int error;

    if (refusal != WEIR__STACK_REFUSAL_NONE)
        return refusal;
    if (slab->closed)
        error = mprotect(guard + slab->guard_bytes, slab->stack_bytes, PROT_READ | PROT_WRITE);
    else
        error = mprotect(guard, slab->guard_bytes, PROT_NONE);
    if (error != 0) {
        weir__stack_limits_give_mappings(limits, 1);
        return WEIR__STACK_REFUSAL_MEMORY;
    }
    slab->mapping_count++;
    return WEIR__STACK_REFUSAL_NONE;
}

static void prefault(char *base, size_t bytes, size_t page_bytes)
{
    for (size_t offset = 0; offset < bytes; offset += page_bytes)
        *(volatile char *)(base + offset) = 0;
}

struct weir__stack *weir__stack_slab_make(struct weir__stack_slab *slab,
                                          struct weir__stack_limits *limits,
                                          enum weir__stack_refusal *refusal)
{
    struct weir__stack *stack = &slab->records[slab->made_count];
    char *guard = slab->first + slab->made_count * (slab->guard_bytes + slab->stack_bytes);

    WEIR_ASSERT(slab->made_count < slab->stack_max);
    *refusal = WEIR__STACK_REFUSAL_NONE;
    if (slab->closed || madvise(guard, slab->guard_bytes, MADV_GUARD_INSTALL) != 0)
        *refusal = guard_by_mapping(slab, guard, limits);
    if (*refusal != WEIR__STACK_REFUSAL_NONE)
        return NULL;
    stack->base = guard + slab->guard_bytes;
    stack->bytes = slab->stack_bytes;
    stack->top = (char *)stack->base + stack->bytes - slab->made_count % COLOURS * COLOUR_BYTES;
    if (limits->options.prefault)
        prefault(stack->base, stack->bytes, limits->page_bytes);
    weir__annotate_stack_init(&stack->annotate, stack->base, stack->bytes);
    slab->made_count++;
    return stack;
}
