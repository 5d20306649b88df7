/* SPDX-License-Identifier: MIT */
/*
 * Many connects to a listener on the loopback, a number of them at once. A connection is ended by a
 * reset (SO_LINGER of 0), so that none lives on in TIME_WAIT and takes a port.
 */
#ifndef BENCH_DIAL_H
#define BENCH_DIAL_H

#include "bench.h"

#include <netinet/in.h>

enum {
    DIAL_AT_ONCE = 256,
    DIAL_COUNT = 10000,
    DIAL_COUNT_QUICK = 3000,
};

struct dial_job {
    struct sockaddr_in address;
    unsigned count; /* connections to make in all, a first round to warm up included */
    unsigned started;
    uint64_t start_ns, start_cpu_ns; /* when the warm-up was over */
};

/* Whether one more connection is to be made; each contender asks before each. */
bool dial_next(struct dial_job *job);

/* Makes close(2) send a reset. */
void dial_reset_at_close(int fd);

dial_fn raw_dial, epoll_dial, weir_dial_storm, weir_dial_text_storm;

#endif
