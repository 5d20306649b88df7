/* SPDX-License-Identifier: MIT */
/*
 * When one more thread would help.
 *
 * A thread that waits for the kernel leaves its CPU to another; a thread that computes does not,
 * and many more than there are CPUs only take turns. So up to a few for the CPUs a thread is worth
 * it when there is work enough to be waited for; beyond, only when jobs sleep, which the kernel
 * counts (voluntary switches, getrusage(2)).
 *
 * A thread that is long about its job counts as stuck, in whatever, and not as working. What is
 * stuck comes back: if then too many work, and jobs do not sleep, one rests.
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
    unsigned parallel; /* threads that may compute at once */
    int64_t after_ns;  /* a job waits for longer: a thread may be started; runs for longer: stuck */
    /* Under the pool's mutex. */
    int64_t run_ns;   /* how long a job runs */
    int64_t asked_ns; /* the same, of those of which is known whether they slept */
    int64_t slept_ns; /* the same, but 0 for one that did not */
};

/* Whether a job slept. Short ones did not, or not for so long that it would matter. */
enum weir__growth_sleep {
    WEIR__GROWTH_UNASKED,
    WEIR__GROWTH_AWAKE,
    WEIR__GROWTH_SLEPT,
};

/* What one more thread is to be. */
enum weir__growth_answer {
    WEIR__GROWTH_NONE,
    WEIR__GROWTH_IDLE, /* woken, if there is an idle one */
    WEIR__GROWTH_NEW,  /* woken, or else started */
};

/* The work as it is. */
struct weir__growth_look {
    size_t ready_count; /* jobs that wait and may run */
    unsigned
        working_count; /* threads that work, or come; those above `parallel` + 1 may be missing */
    int64_t waited_ns; /* the oldest of those jobs */
};

enum weir__growth_answer weir__growth_ask(const struct weir__growth *growth,
                                          const struct weir__growth_look *look);

/* Whether so many that work are too many. */
bool weir__growth_is_crowd(const struct weir__growth *growth, unsigned working_count);

/* Whether it matters if the next job sleeps; to ask costs two system calls. */
bool weir__growth_is_curious(const struct weir__growth *growth, size_t ready_count);

/* A job was run for so long. */
void weir__growth_note(struct weir__growth *growth, int64_t run_ns, enum weir__growth_sleep sleep);

#endif
