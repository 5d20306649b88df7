/* SPDX-License-Identifier: MIT */
/*
 * Echo of datagrams: a contender gets a bound socket and sends each datagram back to where it came
 * from, until it is killed. The load comes from another process on another CPU.
 */
#ifndef BENCH_UDP_H
#define BENCH_UDP_H

#include "bench.h"

enum {
    UDP_BYTES = 64,
    UDP_BATCH = 64,         /* datagrams a call, where there are calls for batches */
    UDP_BUFFER_BYTES = 512, /* of each receive, in every server */
};

struct udp_job {
    int fd; /* blocking */
};

udp_fn uring_udp, epoll_udp, weir_udp, weir_plain_udp;

#endif
