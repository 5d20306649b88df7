/* SPDX-License-Identifier: MIT */
/*
 * Echo benches: a contender is a server that gets a listening socket and echoes what it receives,
 * until it is killed. The load comes from echo_client.c, in another process on another CPU.
 */
#ifndef BENCH_ECHO_H
#define BENCH_ECHO_H

#include "bench.h"

#include <netinet/in.h>
#include <sys/types.h>

enum {
    ECHO_REQUEST_BYTES = 64,
    ECHO_BUFFER_BYTES = 4096, /* of each receive, in every server */
    ECHO_SMALL_BUFFER_BYTES = 256,
    ECHO_CONNECTIONS_MAX = 1024,
    ECHO_WAIT_MS = 20, /* of a request for its backend, in waiting-1000 */
};

#define ECHO_SPIN_NS UINT64_C(50000) /* at most, before sleeping, of all that may spin */

struct echo_job {
    int listener;
    unsigned connections;
    unsigned threads; /* of a server with a fixed number */
    uint64_t spin_ns; /* 0: sleep at once */
};

echo_fn uring_echo, uring_multi_echo, epoll_echo, threads_echo, weir_echo, weir_stream_echo;
echo_fn weir_idle, weir_stream_idle;
echo_fn threads_waiting, weir_waiting;
echo_fn weir_unwatched_echo; /* without stall detection */

reason_fn echo_why_not;

/* What every server does to a socket that it accepted: TCP_NODELAY. Ends the trial on errors. */
int echo_accepted(int fd);

/* Forks a server that ends after limit_s at the latest. Returns its pid; *address is where it
 * listens. */
pid_t echo_start_server(const struct trial *trial, struct sockaddr_in *address, unsigned limit_s);

/* --- The load generator ---------------------------------------------------------------------- */

struct echo_load {
    struct sockaddr_in address;
    clockid_t server_clock; /* CPU time of the server's process */
    unsigned connections;
    uint64_t seed;
    uint64_t warm_ns, closed_ns; /* of the closed loop */
    double open_share;           /* of the closed loop's rate; 0: no open loop */
    uint64_t open_samples;       /* wanted of the open loop */
    uint64_t open_max_ns;        /* its bound in time, whatever the samples */
};

struct echo_figures {
    double ops_per_s;     /* closed loop */
    double cpu_ns_per_op; /* the server's, closed loop */
    double client_busy;   /* share of the closed loop in which the load generator had work */
    struct histogram latency_ns;
};

/* Closed loop, then open loop. */
void echo_load_run(const struct echo_load *load, struct echo_figures *figures);

/* What a server did in one slice: requests answered, and both times until the last answer. */
struct echo_slice {
    uint64_t count, elapsed_ns, cpu_ns;
};

/* Connects; the load must outlive it, and it lives as long as the trial's process. */
struct echo_client;
struct echo_client *echo_client_open(const struct echo_load *load);

/* A closed loop for so long, and then until nothing is in flight. */
void echo_client_slice(struct echo_client *client, uint64_t length_ns, struct echo_slice *slice);

#endif
