/* SPDX-License-Identifier: MIT */
/* The net room's part in a loop: what its streams share. */
#ifndef WEIR_NET_NET_H
#define WEIR_NET_NET_H

#include "base/list.h"
#include "core/timer.h"

#include <stddef.h>

struct weir__loop;
struct weir__stream_block;

/* Blocks that are not in use, the hottest first. */
struct weir__stream_cache {
    struct weir__stream_block *first;
    unsigned count;
};

enum { WEIR__NET_CACHES = 2 }; /* one for each size of block */

struct weir__net {
    struct weir__loop *loop;
    struct weir__stream_cache caches[WEIR__NET_CACHES];
    /* Streams whose receive may have missed an end; stream_doubt.c. */
    struct weir__list doubtful;
    unsigned doubtful_count;
    struct weir__timer sweep;
};

/* On the loop's own thread, after weir__io_init. 0 or -ENOMEM. */
int weir__net_init(struct weir__loop *loop);

/* Before weir__io_term, when no task is left. */
void weir__net_term(struct weir__loop *loop);

#endif
