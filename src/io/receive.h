/* SPDX-License-Identifier: MIT */
/*
 * Receive buffers of a loop: one pool, which the kernel takes from when bytes arrive (a provided
 * buffer ring), so that a connection on which nothing comes holds none.
 *
 *            grow: few are left, and the bound allows it
 *                                |
 *                                v          a receive completes
 *            release --> with the kernel ----------------------> held: in a stream's queue
 *               ^                                                         |
 *               `---------------------------------------------------------'
 *
 * The kernel takes them in turn. So there are as few as have been needed, since those that are few
 * stay in the cache; and they lie apart by an odd number of cache lines, since at a distance of
 * 4 KiB all of their first lines would compete for the same few places in it.
 *
 * A receive that finds none ends with -ENOBUFS; its stream then receives into memory of its own.
 *
 * User memory, not PBUF_RING_MMAP (CVE-2024-0582); neither incremental nor bundled (liburing #1619,
 * #1409). Home loop only.
 */
#ifndef WEIR_IO_RECEIVE_H
#define WEIR_IO_RECEIVE_H

#include "base/counter.h"
#include "ring/ring.h"

#include <stdint.h>

struct weir__budget;
struct weir_options;

enum {
    WEIR__RECEIVE_GROUP = 0, /* the only one of a ring */
    WEIR__RECEIVE_NONE = UINT16_MAX,
};

struct weir__receive_buffer {
    uint32_t bytes; /* received into it */
    uint16_t next;  /* in its stream's queue; WEIR__RECEIVE_NONE at the end */
};

struct weir__receive_pool {
    struct io_uring_buf_ring *ring; /* NULL: not opened yet */
    struct weir__receive_buffer *buffers;
    char *memory;
    uint32_t buffer_bytes;
    uint32_t stride_bytes; /* from one to the next */
    unsigned count_max;
    unsigned count; /* that exist: with the kernel or held */
    unsigned held;
    unsigned held_max;
    unsigned mask; /* of the ring */
    size_t mapped_bytes;
    struct weir__ring *owner;
    struct weir__budget *budget; /* what they count against */
};

/* Makes the pool, if it is not there yet. 0; -EOPNOTSUPP a feature is missing or masked;
 * -ENOMEM. */
int weir__receive_pool_open(struct weir__receive_pool *buffers, struct weir__ring *ring,
                            const struct weir_options *options, struct weir__budget *budget);

/* When nothing receives any more. */
void weir__receive_pool_close(struct weir__receive_pool *buffers);

/* A completion says that bytes came in this buffer: it is held. */
void weir__receive_pool_take(struct weir__receive_pool *buffers, unsigned id, uint32_t bytes);

/* The buffer goes back to the kernel. */
void weir__receive_pool_release(struct weir__receive_pool *buffers, unsigned id);

/* Whether a receive that is started now is likely to find one. */
static inline bool weir__receive_pool_left(const struct weir__receive_pool *buffers)
{
    return buffers->held < buffers->count;
}

static inline char *weir__receive_pool_at(const struct weir__receive_pool *buffers, unsigned id)
{
    return buffers->memory + (size_t)id * buffers->stride_bytes;
}

#endif
