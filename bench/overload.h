/* SPDX-License-Identifier: MIT */
/*
 * Overload benches: a server is offered a share or a multiple of what it can do, whatever it does
 * about that. A contender is a server that gets a listening socket, until it is killed.
 *
 * A request is OVERLOAD_BYTES long and holds its number; the reply has the same length and number,
 * and begins with OVERLOAD_ADMITTED or OVERLOAD_REFUSED. Between the two a request needs a desk for
 * OVERLOAD_WORK_NS: there are OVERLOAD_DESKS of them, so the capacity is known, and far below what
 * sockets and load generator cost. With OVERLOAD_FILE it first reads a block of a file.
 */
#ifndef BENCH_OVERLOAD_H
#define BENCH_OVERLOAD_H

#include "bench.h"

#include <netinet/in.h>

enum {
    OVERLOAD_BYTES = 64,
    OVERLOAD_NUMBER_AT = 8, /* in the request, 8 bytes */
    OVERLOAD_CONNECTIONS = 256,
    OVERLOAD_DESKS = 4,
    OVERLOAD_BLOCK_BYTES = 4096,
    OVERLOAD_BLOCKS = 1024,
    OVERLOAD_LATE_MS = 50, /* who is answered later than that has gone: it is no goodput */
    OVERLOAD_ADMITTED = 'A',
    OVERLOAD_REFUSED = 'R',
};

#define OVERLOAD_WORK_NS  (4 * NS_PER_MS)
#define OVERLOAD_CAPACITY (OVERLOAD_DESKS * (double)NS_PER_S / (double)OVERLOAD_WORK_NS)

enum overload_kind { OVERLOAD_ECHO, OVERLOAD_FILE };

struct overload_job {
    int listener;
    enum overload_kind kind;
    int file; /* of OVERLOAD_BLOCKS blocks */
};

/* The offset of the block that a request is about. */
static inline int64_t overload_offset(const char *request)
{
    uint64_t number;

    __builtin_memcpy(&number, request + OVERLOAD_NUMBER_AT, sizeof number);
    return (int64_t)(number % OVERLOAD_BLOCKS * OVERLOAD_BLOCK_BYTES);
}

overload_fn weir_overload, weir_adaptive_overload;

/* --- The load generator ---------------------------------------------------------------------- */

struct overload_load {
    struct sockaddr_in address;
    double rate; /* requests a second */
    uint64_t duration_ns;
    uint64_t drain_ns; /* so long it waits for the last replies */
};

struct overload_figures {
    uint64_t sent;
    uint64_t good; /* admitted and answered in time, while there was load */
    uint64_t admitted;
    uint64_t refused;
    uint64_t unanswered;         /* at the end of the drain */
    struct histogram latency_ns; /* of those that were not refused; the unanswered count too */
};

void overload_load_run(const struct overload_load *load, struct overload_figures *figures);

extern const struct family overload_family;

#endif
