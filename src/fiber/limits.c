/* SPDX-License-Identifier: MIT */
/*
 * The bounds on stacks; see limits.h.
 *
 * A guard made by mprotect splits its mapping: two mappings for each stack, of vm.max_map_count for
 * the process. So at most half of that count are stacks, less a reserve for everybody else.
 */
#include "fiber/limits.h"

#include "fiber/stack.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
    DEFAULT_STACK_BYTES = 64 * 1024,
    DEFAULT_GUARD_BYTES = 64 * 1024,
    DEFAULT_COUNT_MAX = 4 * 1024 * 1024,
    DEFAULT_WARM_COUNT = 1024,
    DEFAULT_MAP_COUNT = 65530, /* of the kernel, see proc(5) */
    MAP_COUNT_RESERVE = 2048,
    WARM_SHARE = 64, /* a pool keeps at most this part of the limits warm */
};
static const size_t DEFAULT_BYTES_MAX = (size_t)1 << 40;

static const struct {
    int error;
    const char *text;
} refusals[] = {
    [WEIR__STACK_REFUSAL_NONE] = { 0, "" },
    [WEIR__STACK_REFUSAL_COUNT] = { -EAGAIN,
                                    "as many stacks as allowed are in use: wait for tasks to end, "
                                    "or raise the limit on their count" },
    [WEIR__STACK_REFUSAL_BYTES] = { -EAGAIN,
                                    "stacks hold as many bytes as allowed: wait for tasks to end, "
                                    "use smaller stacks, or raise the limit on their bytes" },
    [WEIR__STACK_REFUSAL_BUDGET] = { -EAGAIN,
                                     "tasks and buffers hold as many bytes as allowed: wait for "
                                     "tasks to end, use smaller stacks, or raise "
                                     "weir_options.memory_limit_bytes" },
    [WEIR__STACK_REFUSAL_MAPPINGS] = { -EAGAIN,
                                       "the guards of stacks use up the process's mappings: raise "
                                       "vm.max_map_count; from Linux 6.13 on guards need none" },
    [WEIR__STACK_REFUSAL_MEMORY] = { -ENOMEM,
                                     "the kernel has no memory or address space for a stack: see "
                                     "RLIMIT_AS, RLIMIT_MEMLOCK and vm.overcommit_memory" },
    [WEIR__STACK_REFUSAL_SIZE] = { -EINVAL, "a stack is at most 1 GiB" },
};
_Static_assert(sizeof refusals / sizeof refusals[0] == WEIR__STACK_REFUSAL_LAST,
               "a row for each refusal");

const char *weir__stack_refusal_text(enum weir__stack_refusal refusal)
{
    return refusals[refusal].text;
}

int weir__stack_refusal_error(enum weir__stack_refusal refusal)
{
    return refusals[refusal].error;
}

static size_t read_map_count_max(void)
{
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    size_t count = DEFAULT_MAP_COUNT;

    if (file == NULL)
        return count;
    if (fscanf(file, "%zu", &count) != 1)
        count = DEFAULT_MAP_COUNT;
    fclose(file);
    return count;
}

static size_t stacks_for_mappings(size_t map_count_max)
{
    size_t reserve = map_count_max / 4 < MAP_COUNT_RESERVE ? map_count_max / 4 : MAP_COUNT_RESERVE;

    return (map_count_max - reserve) / 2;
}

static size_t or_default(size_t value, size_t default_value)
{
    return value != 0 ? value : default_value;
}

static size_t at_most(size_t value, size_t bound)
{
    return value < bound ? value : bound;
}

/* Warm stacks of an idle pool count: they must never be what starves the others. */
static size_t bounded_warm_count(const struct weir__stack_options *options)
{
    size_t warm_count = or_default(options->warm_count, DEFAULT_WARM_COUNT);

    warm_count = at_most(warm_count, options->count_max / WARM_SHARE);
    if (options->budget)
        warm_count =
            at_most(warm_count, options->budget->limit / WARM_SHARE / options->stack_bytes);
    return at_most(warm_count, options->bytes_max / WARM_SHARE / options->stack_bytes);
}

int weir__stack_limits_init(struct weir__stack_limits *limits,
                            const struct weir__stack_options *options)
{
    struct weir__stack_options *own = &limits->options;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

    *limits = (struct weir__stack_limits){ .page_bytes = page_bytes };
    if (options != NULL)
        *own = *options;
    own->stack_bytes = or_default(own->stack_bytes, DEFAULT_STACK_BYTES);
    own->guard_bytes = or_default(own->guard_bytes, DEFAULT_GUARD_BYTES);
    if (own->stack_bytes > WEIR__STACK_BYTES_MAX || own->guard_bytes > WEIR__STACK_BYTES_MAX)
        return -EINVAL;
    own->stack_bytes = weir__stack_size_bytes(weir__stack_size_index(own->stack_bytes, page_bytes));
    own->guard_bytes = (own->guard_bytes + page_bytes - 1) & ~(page_bytes - 1);
    own->count_max = or_default(own->count_max, DEFAULT_COUNT_MAX);
    own->bytes_max = or_default(own->bytes_max, DEFAULT_BYTES_MAX);
    own->warm_count = bounded_warm_count(own);
    limits->mapping_max = stacks_for_mappings(read_map_count_max());
    return 0;
}

/* Two who meet at the bound may both be refused; nobody ever goes beyond it. */
static bool take(atomic_size_t *counter, size_t amount, size_t bound)
{
    size_t before = atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);

    if (before <= bound && amount <= bound - before)
        return true;
    atomic_fetch_sub_explicit(counter, amount, memory_order_relaxed);
    return false;
}

static enum weir__stack_refusal take_all(struct weir__stack_limits *limits, size_t bytes)
{
    struct weir__budget *budget = limits->options.budget;
    enum weir__stack_refusal refusal = WEIR__STACK_REFUSAL_BYTES;

    if (!take(&limits->count, 1, limits->options.count_max))
        return WEIR__STACK_REFUSAL_COUNT;
    if (!take(&limits->bytes, bytes, limits->options.bytes_max))
        goto give_count;
    if (!budget || weir__budget_take(budget, bytes + limits->options.companion_bytes))
        return WEIR__STACK_REFUSAL_NONE;
    refusal = WEIR__STACK_REFUSAL_BUDGET;
    atomic_fetch_sub_explicit(&limits->bytes, bytes, memory_order_relaxed);
give_count:
    atomic_fetch_sub_explicit(&limits->count, 1, memory_order_relaxed);
    return refusal;
}

enum weir__stack_refusal weir__stack_limits_take(struct weir__stack_limits *limits, size_t bytes)
{
    enum weir__stack_refusal refusal = take_all(limits, bytes);
    size_t now_bytes = atomic_load_explicit(&limits->bytes, memory_order_relaxed);

    if (refusal != WEIR__STACK_REFUSAL_NONE)
        atomic_fetch_add_explicit(&limits->refused_count, 1, memory_order_relaxed);
    else if (atomic_load_explicit(&limits->bytes_seen, memory_order_relaxed) < now_bytes)
        /* two at once: the figure may miss the higher one */
        atomic_store_explicit(&limits->bytes_seen, now_bytes, memory_order_relaxed);
    return refusal;
}

void weir__stack_limits_give(struct weir__stack_limits *limits, size_t count, size_t bytes)
{
    atomic_fetch_sub_explicit(&limits->count, count, memory_order_relaxed);
    atomic_fetch_sub_explicit(&limits->bytes, count * bytes, memory_order_relaxed);
    if (limits->options.budget && count > 0)
        weir__budget_give(limits->options.budget,
                          count * (bytes + limits->options.companion_bytes));
}

enum weir__stack_refusal weir__stack_limits_take_mapping(struct weir__stack_limits *limits)
{
    return take(&limits->mapping_count, 1, limits->mapping_max) ? WEIR__STACK_REFUSAL_NONE
                                                                : WEIR__STACK_REFUSAL_MAPPINGS;
}

void weir__stack_limits_give_mappings(struct weir__stack_limits *limits, size_t count)
{
    atomic_fetch_sub_explicit(&limits->mapping_count, count, memory_order_relaxed);
}
