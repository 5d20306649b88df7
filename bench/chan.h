/* SPDX-License-Identifier: MIT */
/*
 * The chan-* benches: what tasks do with channels, in weir, in Go and in Boost.Fiber.
 *
 * A **shape** is an arrangement of tasks and channels. weir_chan.c, go/chan.go and boost/chan.cc
 * each hold all of them, in the same order and from the same few kinds of task, so that a
 * difference between contenders is one between their channels. Messages are 64-bit words.
 *
 * Go and Boost are programs of their own beside weir-bench: `chan-go SHAPE SIZE LOOPS OPERATIONS`
 * prints the ns that the operations took. It reads the clock itself: its start costs nothing.
 */
#ifndef BENCH_CHAN_H
#define BENCH_CHAN_H

#include "bench.h"

#include <stdio.h>

enum chan_shape {
    CHAN_PAIR,          /* one task sends and receives */
    CHAN_RENDEZVOUS,    /* a round trip over two unbuffered channels */
    CHAN_STREAM,        /* one sender, one receiver; size: the capacity */
    CHAN_SELECT,        /* a select over `size` ready channels, and the send that refills the one */
    CHAN_SELECT_PARKED, /* a round trip to a select that is parked on `size` channels */
    CHAN_MPMC,          /* `size` senders and `size` receivers on one channel */
    CHAN_THREADS,       /* the same on plain threads, half of them senders */
    CHAN_FANIN,         /* `size` senders, one receiver */
    CHAN_RING,          /* one message around `size` tasks; an operation is a hop */
    CHAN_SIEVE,         /* the numbers below `size`, through a task for each prime */
    CHAN_PIPELINE,      /* a sender, an ordered pipeline of `size` workers, a receiver */
    CHAN_MULT,          /* a sender, a mult, `size` receivers; an operation reaches all of them */
    CHAN_CLOSE,         /* `size` parked receivers hear of the close, and end */
    CHAN_SHAPES,
};

enum {
    CHAN_CAPACITY = 128, /* where `size` is not the capacity */
    CHAN_SELECT_MAX = 64,
    CHAN_SIEVE_LIMIT = 10000,
    CHAN_SIEVE_PRIMES = 1229, /* below it */
};

struct chan_job {
    enum chan_shape shape;
    unsigned size;
    unsigned loop_count; /* or threads */
    uint64_t op_count;   /* a multiple of what the tasks share it among */
};

/* One loop on one CPU; two loops on two CPUs; more loops than CPUs. */
extern const struct family chan_family, chan_loops_family, chan_crowd_family;

chan_fn weir_chan, chan_go, chan_go_bound, chan_boost;
reason_fn chan_go_why_not, chan_boost_why_not;

/* One line on each of the two. */
void chan_print_versions(FILE *out);

#endif
