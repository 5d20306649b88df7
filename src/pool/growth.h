/* SPDX-License-Identifier: MIT */
/*
 * When one more thread would help.
 *
 * A thread that waits for the kernel leaves its CPU to another; a thread that computes does not,
 * and one more than there are CPUs only takes turns with it. So up to the number of CPUs a thread
 * is worth it when there is work enough to be waited for; beyond, only when jobs sleep, which the
 * kernel counts (voluntary switches, getrusage(2)), or when none was begun for so long that all
 * threads must be stuck, in whatever.
 *
 * Figures are of the last few jobs: each new one counts for an eighth.
 */
#ifndef WEIR_POOL_GROWTH_H
#define WEIR_POOL_GROWTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* Waking a sleeping thread takes about so long, and costs about as much: shorter waits are not
     * worth it, and shorter jobs not asked whether they slept. */
    WEIR__GROWTH_WAKE_NS = 20000,
};

struct weir__growth {
    /* Constant. */
    unsigned parallel; /* threads that can compute at once */
    int64_t after_ns;  /* a job waits for longer: a thread may be started */
    /* Under the pool's mutex. */
    int64_t taken_ns; /* when a job was last taken */
    int64_t run_ns;   /* how long a job runs */
    int64_t slept_ns; /* the same, but 0 for one that computed only */
};

/* What one more thread is to be. */
enum weir__growth_answer {
    WEIR__GROWTH_NONE,
    WEIR__GROWTH_IDLE, /* woken, if there is an idle one */
    WEIR__GROWTH_NEW,  /* woken, or else started */
};

/* The work as it is: jobs that wait and may run, threads that work or come, and when the oldest of
 * these jobs was queued. */
struct weir__growth_look {
    size_t ready_count;
    unsigned active_count;
    int64_t oldest_ns;
    int64_t now_ns;
};

enum weir__growth_answer weir__growth_ask(const struct weir__growth *growth,
                                          const struct weir__growth_look *look);

/* A job was run for so long. */
void weir__growth_note(struct weir__growth *growth, int64_t run_ns, bool slept);

#endif
