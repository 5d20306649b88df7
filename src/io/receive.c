/* SPDX-License-Identifier: MIT */
/* A loop's receive buffers; see receive.h. */
#include "io/receive.h"

#include "base/assert.h"
#include "base/budget.h"
#include "base/kernel.h"

#include <weir/runtime.h>

#include <errno.h>

enum {
    FIRST_COUNT = 64, /* what one turn of a loop deals with */
    LEFT_LEAST = 16,  /* with the kernel, before more are made */
    CACHE_LINE_BYTES = 64,
    NEEDED_FEATURES = WEIR_FEATURE_BUFFER_RING | WEIR_FEATURE_MULTISHOT_RECV,
};

static void provide(struct weir__receive_pool *buffers, unsigned id)
{
    io_uring_buf_ring_add(buffers->ring, weir__receive_pool_at(buffers, id), buffers->buffer_bytes,
                          (unsigned short)id, (int)buffers->mask, 0);
    io_uring_buf_ring_advance(buffers->ring, 1);
}

static size_t bytes_of(const struct weir__receive_pool *buffers, unsigned count)
{
    return (size_t)count * buffers->stride_bytes;
}

/* Twice as many, within the bounds. */
static void grow(struct weir__receive_pool *buffers)
{
    unsigned wanted = buffers->count ? buffers->count * 2 : FIRST_COUNT;

    if (wanted > buffers->count_max)
        wanted = buffers->count_max;
    if (!weir__budget_take(buffers->budget, bytes_of(buffers, wanted - buffers->count)))
        return; /* those that are there go round; without any, reads use their caller's memory */
    while (buffers->count < wanted)
        provide(buffers, buffers->count++);
}

static unsigned power_of_two(unsigned least)
{
    unsigned power = 1;

    while (power < least)
        power *= 2;
    return power;
}

/* One mapping holds the ring, which the kernel pins, what is known of each buffer, and the buffers:
 * pages that are never received into take no memory. */
static int map(struct weir__receive_pool *buffers, unsigned entries)
{
    size_t ring_bytes = entries * sizeof(struct io_uring_buf);
    size_t known_bytes = buffers->count_max * sizeof *buffers->buffers;
    char *memory;

    known_bytes += -known_bytes % CACHE_LINE_BYTES;
    buffers->mapped_bytes =
        ring_bytes + known_bytes + (size_t)buffers->count_max * buffers->stride_bytes;
    memory = weir__kernel_map(buffers->mapped_bytes);
    if (!memory)
        return -ENOMEM;
    buffers->ring = (struct io_uring_buf_ring *)(void *)memory;
    buffers->buffers = (struct weir__receive_buffer *)(void *)(memory + ring_bytes);
    buffers->memory = memory + ring_bytes + known_bytes;
    return 0;
}

int weir__receive_pool_open(struct weir__receive_pool *buffers, struct weir__ring *ring,
                            const struct weir_options *options, struct weir__budget *budget)
{
    struct io_uring_buf_reg registration = { .bgid = WEIR__RECEIVE_GROUP };
    int error;

    if (buffers->ring) {
        if (buffers->count == 0)
            grow(buffers);
        return 0;
    }
    if ((ring->features & NEEDED_FEATURES) != NEEDED_FEATURES)
        return -EOPNOTSUPP;
    buffers->owner = ring;
    buffers->budget = budget;
    buffers->buffer_bytes = options->receive_buffer_bytes;
    buffers->stride_bytes = buffers->buffer_bytes + CACHE_LINE_BYTES;
    buffers->count_max = (unsigned)(options->receive_buffers_bytes / buffers->buffer_bytes);
    registration.ring_entries = power_of_two(buffers->count_max);
    buffers->mask = registration.ring_entries - 1;
    error = map(buffers, registration.ring_entries);
    if (error < 0)
        return error;
    registration.ring_addr = (uint64_t)(uintptr_t)buffers->ring;
    error = io_uring_register_buf_ring(&ring->uring, &registration, 0);
    if (error < 0) {
        weir__kernel_unmap(buffers->ring, buffers->mapped_bytes);
        buffers->ring = NULL;
        return error;
    }
    io_uring_buf_ring_init(buffers->ring);
    grow(buffers);
    return 0;
}

void weir__receive_pool_close(struct weir__receive_pool *buffers)
{
    if (!buffers->ring)
        return;
    io_uring_unregister_buf_ring(&buffers->owner->uring, WEIR__RECEIVE_GROUP);
    weir__kernel_unmap(buffers->ring, buffers->mapped_bytes);
    buffers->ring = NULL;
    weir__budget_give(buffers->budget, bytes_of(buffers, buffers->count));
}

void weir__receive_pool_take(struct weir__receive_pool *buffers, unsigned id, uint32_t bytes)
{
    struct weir__counters *counters = buffers->owner->counters;

    WEIR_DEBUG_ASSERT(id < buffers->count);
    buffers->buffers[id] = (struct weir__receive_buffer){ bytes, WEIR__RECEIVE_NONE };
    buffers->held++;
    weir__counter_set(counters, WEIR_RECEIVE_BUFFERS_NOW, buffers->held);
    if (WEIR_UNLIKELY(buffers->held > buffers->held_max)) {
        buffers->held_max = buffers->held;
        weir__counter_set(counters, WEIR_RECEIVE_BUFFERS_MAX, buffers->held);
    }
    if (WEIR_UNLIKELY(buffers->count - buffers->held < LEFT_LEAST))
        grow(buffers);
}

void weir__receive_pool_release(struct weir__receive_pool *buffers, unsigned id)
{
    WEIR_DEBUG_ASSERT(buffers->held > 0);
    buffers->held--;
    weir__counter_set(buffers->owner->counters, WEIR_RECEIVE_BUFFERS_NOW, buffers->held);
    provide(buffers, id);
}
