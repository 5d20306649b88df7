/* SPDX-License-Identifier: MIT */
/*
 * Registered buffers, by slot. Each ring has a table of its own. What rings share is pinned once,
 * in a holder: one more ring, which never submits and so may be used by any thread. (A loop's own
 * ring cannot be the source: the kernel copies from a SINGLE_ISSUER ring for its own thread only.)
 */
#ifndef WEIR_RING_BUFFER_H
#define WEIR_RING_BUFFER_H

#include "ring/ring.h"

#include <weir/buffer.h>

#include <pthread.h>

struct weir__ring_holder {
    pthread_mutex_t mutex; /* for the rest */
    struct io_uring uring;
    bool is_open; /* from the first pin on */
};

void weir__ring_holder_init(struct weir__ring_holder *holder);
void weir__ring_holder_term(struct weir__ring_holder *holder);

/* Pins memory into a free slot; any thread, and it takes its time. Returns 0 or -errno. */
int weir__ring_holder_pin(struct weir__ring_holder *holder, unsigned slot, void *base,
                          size_t bytes);

/* Empties a slot that was pinned. Rings that share it keep it. Any thread. */
void weir__ring_holder_drop(struct weir__ring_holder *holder, unsigned slot);

/* Puts what the holder has in the slot into the ring's own; the ring's thread. Needs
 * WEIR_FEATURE_CLONE_BUFFERS. Returns 0 or -errno. */
int weir__ring_buffer_share(struct weir__ring *ring, unsigned slot,
                            const struct weir__ring_holder *holder);

/* Pins memory for this ring alone; the ring's thread. Returns 0 or -errno. */
int weir__ring_buffer_pin(struct weir__ring *ring, unsigned slot, void *base, size_t bytes);

/* Empties a slot; what is in flight with it keeps its pages. The ring's thread. */
void weir__ring_buffer_drop(struct weir__ring *ring, unsigned slot);

/* Writes cause, evidence and remedy of a failed pin. `sharing` says whether loops share one. */
void weir__ring_buffer_explain(int error, size_t bytes, bool sharing, char *why, size_t why_bytes);

#endif
