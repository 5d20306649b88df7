/* SPDX-License-Identifier: MIT */
/*
 * A proxy: a contender gets a listener, dials the backend once for each connection that it accepts,
 * and moves what comes from either side to the other, until it is killed. Clients and backend are
 * one process on another CPU.
 */
#ifndef BENCH_PROXY_H
#define BENCH_PROXY_H

#include "bench.h"

#include <netinet/in.h>

enum {
    PROXY_CONNECTIONS_MAX = 64,
    PROXY_BUFFER_BYTES = 64 << 10, /* each direction of a connection has one, or a pipe as large */
    PROXY_REQUEST_BYTES = 64,
};

enum proxy_kind {
    PROXY_BULK,     /* both sides send as fast as they can; an operation is 64 KiB */
    PROXY_REQUESTS, /* one request and its response at a time */
};

struct proxy_job {
    int listener;
    struct sockaddr_in backend;
};

proxy_fn uring_proxy, splice_proxy, weir_proxy, weir_stream_proxy;

#endif
