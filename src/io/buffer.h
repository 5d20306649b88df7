/* SPDX-License-Identifier: MIT */
/*
 * Registered buffers. Each loop has a table of its own, of the same slots, which its own thread
 * writes and reads: so an operation finds its slot without an atomic. Loop 0's is the master: slots
 * are given out there, and the loops follow one by one, by mail, which cannot fail for lack of
 * anything.
 *
 *   free --reserve--> settling --pinned by a pool thread, then shared by each loop--> in use
 *    ^                  |  ^                                                            |
 *    |   one refused    |  |                                                       unregister
 *    `----- release ----'  `--- dropped by each loop, then by a pool thread ------------'
 *
 * Where the kernel cannot share, the pool thread only brings the pages in, and each loop pins them
 * for itself.
 */
#ifndef WEIR_IO_BUFFER_H
#define WEIR_IO_BUFFER_H

#include "core/loop.h"
#include "io/io.h"

/* The slot whose region holds the whole buffer; -1: none. */
static inline int weir__buffer_slot(const struct weir__io *io, const void *buffer, size_t bytes)
{
    const char *first = buffer;

    for (unsigned slot = 0; slot < io->region_count; slot++) {
        const struct weir__region *region = &io->regions[slot];

        if (region->in_use && first >= region->base && bytes <= region->bytes &&
            (size_t)(first - region->base) <= region->bytes - bytes)
            return (int)slot;
    }
    return -1;
}

#endif
