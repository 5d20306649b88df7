/* SPDX-License-Identifier: MIT */
/* Finding out what this kernel gives, and saying why when it gives nothing. */
#ifndef WEIR_RING_PROBE_H
#define WEIR_RING_PROBE_H

#include "ring/ring.h"

/* IORING_* numbers newer than the packaged liburing's header, from the kernel's. */
enum {
    WEIR__REGISTER_NAPI = 27,          /* Linux 6.9 */
    WEIR__UNREGISTER_NAPI = 28,        /* Linux 6.9 */
    WEIR__REGISTER_CLONE_BUFFERS = 30, /* Linux 6.12, by slots 6.13 */
    WEIR__REGISTER_SEND_MSG_RING = 31, /* Linux 6.13 */
    WEIR__OP_FTRUNCATE = 55,           /* Linux 6.9 */
    WEIR__OP_BIND = 56,                /* Linux 6.11 */
    WEIR__OP_LISTEN = 57,              /* Linux 6.11 */
};
/* struct io_uring_napi; before Linux 6.13 `operation` and what follows were padding. */
struct weir__napi {
    uint32_t busy_poll_us;
    uint8_t prefer_busy_poll;
    uint8_t operation;
    uint8_t padding[2];
    uint32_t parameter;
    uint32_t reserved;
};

/* struct io_uring_clone_buffers. */
struct weir__clone_buffers {
    uint32_t source_fd;
    uint32_t flags;
    uint32_t source_slot;
    uint32_t target_slot;
    uint32_t count;
    uint32_t padding[3];
};
#define WEIR__CLONE_BUFFERS_REPLACE (1u << 1) /* Linux 6.13 */

#define WEIR__FEAT_NO_IOWAIT  (1u << 17) /* Linux 6.15 */
#define WEIR__ENTER_NO_IOWAIT (1u << 7)

/* Tries setup flags, newest first; 0 or -errno with the sentence in `why`. */
int weir__probe_setup(struct weir__ring *ring, const struct weir__ring_options *options, char *why,
                      size_t why_bytes);

/* Fills ops_supported and the feature bits that need a working ring. */
void weir__probe_features(struct weir__ring *ring, const struct weir__ring_options *options);

/* The number in a /proc file, or `missing`. `key` NULL: the file is just the number. */
long weir__probe_proc_number(const char *path, const char *key, long missing);

/* Writes the sentence for a failed setup. */
void weir__probe_explain(int error, unsigned entries, char *why, size_t why_bytes);

#endif
