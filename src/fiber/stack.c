/* SPDX-License-Identifier: MIT */
/*
 * The pool of stacks beyond its fast path; states and policy are in stack.h.
 */
#include "fiber/stack.h"

#include "fiber/slab.h"

#include <sys/mman.h>
#include <unistd.h>

enum {
    SAMPLE_PERIOD = 1021, /* releases; prime, to walk through any pattern of tasks */
    TRIM_PERIOD_NS = 1000000000,
    HIGH_WATER_PAGES = 256, /* looked at in one call */
};
static const size_t SLAB_BYTES_MIN = (size_t)8 << 20;
static const size_t SLAB_BYTES_MAX = (size_t)1 << 30;

static size_t warm_max(const struct weir__stack_options *options, size_t stack_bytes)
{
    /* Prefaulted stacks keep their pages, so they count for as long as they exist. */
    if (options->prefault)
        return SIZE_MAX;
    return options->warm_count * options->stack_bytes / stack_bytes;
}

int weir__stack_pool_init(struct weir__stack_pool *pool, struct weir__stack_limits *limits)
{
    const struct weir__stack_options *options = &limits->options;

    *pool = (struct weir__stack_pool){ .limits = limits };
    for (unsigned i = 0; i < WEIR__STACK_SIZE_COUNT; i++) {
        size_t bytes = weir__stack_size_bytes(i);

        pool->sizes[i] = (struct weir__stack_size){
            .warm_max = warm_max(options, bytes),
            .sample_in = 1,
            .bytes = bytes,
            .pool = pool,
        };
    }
    pool->standard = &pool->sizes[weir__stack_size_index(options->stack_bytes, limits->page_bytes)];
    return 0;
}

static size_t used_count(const struct weir__stack_size *size)
{
    return size->made_count - size->warm_count - size->idle_count - size->cold_count;
}

static void size_term(struct weir__stack_size *size, struct weir__stack_limits *limits)
{
    struct weir__stack_slab *next;

    WEIR_ASSERT(used_count(size) == 0);
    weir__stack_limits_give(limits, size->warm_count, size->bytes);
    for (struct weir__stack_slab *slab = size->slab; slab != NULL; slab = next) {
        next = slab->next;
        weir__stack_limits_give_mappings(limits, slab->mapping_count);
        weir__stack_slab_destroy(slab);
    }
}

void weir__stack_pool_term(struct weir__stack_pool *pool)
{
    for (unsigned i = 0; i < WEIR__STACK_SIZE_COUNT; i++)
        size_term(&pool->sizes[i], pool->limits);
}

static struct weir__stack *pop(struct weir__stack **list, size_t *count)
{
    struct weir__stack *stack = *list;

    *list = stack->next;
    (*count)--;
    return stack;
}

static void push(struct weir__stack **list, size_t *count, struct weir__stack *stack)
{
    stack->next = *list;
    *list = stack;
    (*count)++;
}

static struct weir__stack *pop_idle(struct weir__stack_size *size)
{
    struct weir__stack *stack = pop(&size->idle, &size->idle_count);

    if (size->idle_count < size->idle_low)
        size->idle_low = size->idle_count;
    return stack;
}

/* Slabs double, so that few tasks map little and a million need few mappings. */
static int add_slab(struct weir__stack_size *size)
{
    struct weir__stack_pool *pool = size->pool;
    size_t stride_bytes = size->bytes + pool->limits->options.guard_bytes;
    size_t bytes = size->slab != NULL ? 2 * size->slab->mapped_bytes : SLAB_BYTES_MIN;
    struct weir__stack_slab *slab;
    int error;

    if (bytes > SLAB_BYTES_MAX)
        bytes = SLAB_BYTES_MAX;
    error = weir__stack_slab_create(pool->limits, size->bytes,
                                    bytes > stride_bytes ? bytes / stride_bytes : 1, &slab);
    if (error < 0)
        return error;
    slab->next = size->slab;
    size->slab = slab;
    pool->mapped_bytes += slab->mapped_bytes;
    return 0;
}

static struct weir__stack *make(struct weir__stack_size *size, enum weir__stack_refusal *refusal)
{
    struct weir__stack_slab *slab = size->slab;
    struct weir__stack *stack;

    *refusal = WEIR__STACK_REFUSAL_MEMORY;
    if ((slab == NULL || slab->made_count == slab->stack_max) && add_slab(size) < 0)
        return NULL;
    stack = weir__stack_slab_make(size->slab, size->pool->limits, refusal);
    if (stack == NULL)
        return NULL;
    stack->size = size;
    size->made_count++;
    size->pool->used_sizes |= 1U << (size - size->pool->sizes);
    return stack;
}

/* None is warm: one that does not count yet. */
static struct weir__stack *acquire_uncounted(struct weir__stack_size *size,
                                             enum weir__stack_refusal *refusal)
{
    struct weir__stack *stack;

    *refusal = weir__stack_limits_take(size->pool->limits, size->bytes);
    if (*refusal != WEIR__STACK_REFUSAL_NONE)
        return NULL;
    if (size->idle != NULL)
        return pop_idle(size);
    if (size->cold != NULL)
        return pop(&size->cold, &size->cold_count);
    stack = make(size, refusal);
    if (stack == NULL)
        weir__stack_limits_give(size->pool->limits, 1, size->bytes);
    return stack;
}

static int refuse(struct weir__stack_pool *pool, enum weir__stack_refusal refusal)
{
    pool->refusal = refusal;
    pool->refusal_counts[refusal]++;
    return weir__stack_refusal_error(refusal);
}

int weir__stack_acquire_slowly(struct weir__stack_pool *pool, size_t bytes,
                               struct weir__stack **out)
{
    struct weir__stack_size *size = pool->standard;
    enum weir__stack_refusal refusal;
    struct weir__stack *stack;

    if (bytes > WEIR__STACK_BYTES_MAX)
        return refuse(pool, WEIR__STACK_REFUSAL_SIZE);
    if (bytes != 0)
        size = &pool->sizes[weir__stack_size_index(bytes, pool->limits->page_bytes)];
    if (size->warm != NULL) {
        *out = pop(&size->warm, &size->warm_count);
        return 0;
    }
    stack = acquire_uncounted(size, &refusal);
    if (stack == NULL)
        return refuse(pool, refusal);
    *out = stack;
    return 0;
}

static void sample(struct weir__stack_size *size, const struct weir__stack *stack)
{
    size_t high_water_bytes = weir__stack_high_water(stack);

    if (high_water_bytes > size->high_water_bytes)
        size->high_water_bytes = high_water_bytes;
    size->sample_in = SAMPLE_PERIOD;
}

void weir__stack_release_slowly(struct weir__stack_pool *pool, struct weir__stack *stack)
{
    struct weir__stack_size *size = stack->size;

    if (size->sample_in == 0)
        sample(size, stack);
    if (size->warm_count < size->warm_max) {
        push(&size->warm, &size->warm_count, stack);
        return;
    }
    push(&size->idle, &size->idle_count, stack);
    weir__stack_limits_give(pool->limits, 1, size->bytes);
}

static void trim_one(struct weir__stack_size *size)
{
    struct weir__stack *stack = pop_idle(size);

    /* Locked memory stays, by its owner's wish: the kernel refuses, and that is all. */
    (void)madvise(stack->base, stack->bytes, MADV_DONTNEED);
    push(&size->cold, &size->cold_count, stack);
    size->pool->trimmed_count++;
}

static int64_t trim_size(struct weir__stack_size *size, size_t *budget, int64_t now_ns)
{
    if (size->idle_count == 0)
        return WEIR__STACK_TRIM_NEVER;
    if (now_ns >= size->period_end_ns) {
        size->surplus_count = size->idle_low;
        size->idle_low = size->idle_count;
        size->period_end_ns = now_ns + TRIM_PERIOD_NS;
    }
    for (; size->surplus_count > 0 && size->idle_count > 0; size->surplus_count--) {
        if (*budget == 0)
            return now_ns;
        trim_one(size);
        (*budget)--;
    }
    return size->idle_count > 0 ? size->period_end_ns : WEIR__STACK_TRIM_NEVER;
}

int weir__stack_pool_fill(struct weir__stack_pool *pool, size_t count)
{
    struct weir__stack *taken = NULL;
    struct weir__stack *stack;
    int error = 0;

    for (; count > 0; count--) {
        error = weir__stack_acquire(pool, 0, &stack);
        if (error < 0)
            break;
        stack->next = taken;
        taken = stack;
    }
    while ((stack = taken) != NULL) {
        taken = stack->next;
        weir__stack_release(pool, stack);
    }
    return error;
}

int64_t weir__stack_pool_trim(struct weir__stack_pool *pool, size_t budget, int64_t now_ns)
{
    int64_t due_ns = WEIR__STACK_TRIM_NEVER;

    for (unsigned left = pool->used_sizes; left != 0; left &= left - 1) {
        int64_t size_due_ns = trim_size(&pool->sizes[__builtin_ctz(left)], &budget, now_ns);

        if (size_due_ns < due_ns)
            due_ns = size_due_ns;
    }
    return due_ns;
}

size_t weir__stack_high_water(const struct weir__stack *stack)
{
    size_t page_bytes = stack->size->pool->limits->page_bytes;
    unsigned char resident[HIGH_WATER_PAGES];
    char *base = stack->base;

    for (size_t offset = 0; offset < stack->bytes; offset += HIGH_WATER_PAGES * page_bytes) {
        size_t left_bytes = stack->bytes - offset;
        size_t pages = left_bytes / page_bytes;

        if (pages > HIGH_WATER_PAGES)
            pages = HIGH_WATER_PAGES;
        WEIR_ASSERT(mincore(base + offset, pages * page_bytes, resident) == 0);
        for (size_t i = 0; i < pages; i++)
            if (resident[i] & 1)
                return left_bytes - i * page_bytes;
    }
    return 0;
}

void weir__stack_pool_stats(const struct weir__stack_pool *pool, struct weir__stack_stats *out)
{
    *out = (struct weir__stack_stats){
        .mapped_bytes = pool->mapped_bytes,
        .trimmed_count = pool->trimmed_count,
    };
    for (unsigned i = 0; i < WEIR__STACK_REFUSAL_LAST; i++)
        out->refused_count += pool->refusal_counts[i];
    for (unsigned i = 0; i < WEIR__STACK_SIZE_COUNT; i++) {
        const struct weir__stack_size *size = &pool->sizes[i];

        out->used_count += used_count(size);
        out->warm_count += size->warm_count;
        out->idle_count += size->idle_count;
        out->cold_count += size->cold_count;
        out->high_water_bytes[i] = size->high_water_bytes;
        for (const struct weir__stack_slab *slab = size->slab; slab != NULL; slab = slab->next)
            out->mapping_count += slab->mapping_count;
    }
}

void weir__stack_pool_levels(const struct weir__stack_pool *pool, size_t *used, size_t *kept)
{
    *used = 0;
    *kept = 0;
    for (unsigned left = pool->used_sizes; left != 0; left &= left - 1) {
        const struct weir__stack_size *size = &pool->sizes[__builtin_ctz(left)];

        *used += used_count(size);
        *kept += size->warm_count + size->idle_count;
    }
}

static void verify_list(const struct weir__stack_size *size, const struct weir__stack *stack,
                        size_t count)
{
    for (; stack != NULL; stack = stack->next, count--) {
        WEIR_ASSERT(count > 0);
        WEIR_ASSERT(stack->size == size);
        WEIR_ASSERT(stack->bytes == size->bytes);
    }
    WEIR_ASSERT(count == 0);
}

static void verify_size(const struct weir__stack_size *size)
{
    size_t made_count = 0;

    verify_list(size, size->warm, size->warm_count);
    verify_list(size, size->idle, size->idle_count);
    verify_list(size, size->cold, size->cold_count);
    WEIR_ASSERT(size->warm_count <= size->warm_max);
    WEIR_ASSERT(size->idle_low <= size->idle_count);
    WEIR_ASSERT(size->warm_count + size->idle_count + size->cold_count <= size->made_count);
    for (const struct weir__stack_slab *slab = size->slab; slab != NULL; slab = slab->next) {
        WEIR_ASSERT(slab->made_count <= slab->stack_max);
        WEIR_ASSERT(slab->stack_bytes == size->bytes);
        made_count += slab->made_count;
    }
    WEIR_ASSERT(made_count == size->made_count);
}

void weir__stack_pool_verify(const struct weir__stack_pool *pool)
{
    for (unsigned i = 0; i < WEIR__STACK_SIZE_COUNT; i++) {
        const struct weir__stack_size *size = &pool->sizes[i];

        verify_size(size);
        WEIR_ASSERT((size->made_count > 0) == ((pool->used_sizes >> i & 1) != 0));
    }
}
