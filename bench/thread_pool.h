/* SPDX-License-Identifier: MIT */
/*
 * The plain pool of threads that contends in several benches: one thread in front of it, the loop,
 * keeps a number of requests in flight.
 */
#ifndef BENCH_THREAD_POOL_H
#define BENCH_THREAD_POOL_H

#include <stdbool.h>
#include <stdint.h>

enum { THREAD_POOL_MAX = 64 };

/* The head of what a bench puts through the pool. */
struct pool_request {
    struct pool_request *next;
};

struct pool_work {
    void *job;
    uint64_t spin_ns; /* before a thread sleeps; 0: it sleeps at once */
    /* On a worker: the blocking calls. */
    void (*operate)(void *job, struct pool_request *request);
    /* On the loop: takes the result; true: the request goes through the pool once more. */
    bool (*finish)(void *job, struct pool_request *request);
    /* On the loop, or NULL: the requests that have become due, and when the next one will; 0: none
     * any more. */
    struct pool_request *(*arrive)(void *job, uint64_t *due_ns);
};

/* Puts the list through the pool until no request goes on. Ends the trial on errors. */
void thread_pool_run(const struct pool_work *work, unsigned threads, struct pool_request *requests);

#endif
