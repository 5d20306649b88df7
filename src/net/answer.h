/* SPDX-License-Identifier: MIT */
/*
 * What the resolver knows and is asking: one answer a question, in a table by question.
 *
 *             make, post                 the thread is done
 *   (none) ---------------> ASKED ---------------------------> KNOWN ----> (none)
 *                            |   all callers left                   it expires, or makes room
 *                            |
 *                            +-- still in the pool's queue: taken off, gone
 *                            `-- a thread asks it: abandoned; it is KNOWN in the end, all the same
 *
 * A reference each: the table's, the job's, and one for each caller who waits. All of it under the
 * resolver's mutex, except that the job alone writes the outcome before it is KNOWN.
 */
#ifndef WEIR_NET_ANSWER_H
#define WEIR_NET_ANSWER_H

#include "base/list.h"
#include "net/address.h"
#include "pool/thread.h"

#include <weir/resolve.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { WEIR__ANSWER_BUCKETS = 1024 };

struct weir__question {
    char name[WEIR__HOST_BYTES];       /* in lower case */
    char service[WEIR__SERVICE_BYTES]; /* "": a number, which is not part of the question */
    int family;
    int type;
};

struct weir__answer {
    struct weir__list bucket; /* of the table; at itself once out of it */
    struct weir__list age;    /* weir__resolver.known, while KNOWN and in the table */
    struct weir__resolver *resolver;
    struct weir__question question;
    unsigned refs;
    bool known;
    bool abandoned;            /* a thread asks it, and nobody waits */
    struct weir__list waiters; /* weir__waiter.link */
    struct weir__job job;
    /* The outcome. */
    int error;
    unsigned count;
    struct weir_resolved *addresses;
    int64_t expires_ns;
};

struct weir__resolver {
    struct weir_pool *pool;
    size_t answers_max;
    int64_t ttl_ns, negative_ttl_ns; /* negative: nothing is kept */
    pthread_mutex_t mutex;
    /* Under the mutex. */
    struct weir__list buckets[WEIR__ANSWER_BUCKETS];
    struct weir__list known; /* weir__answer.age; the last one was of use last */
    struct weir_resolve_stats stats;
};

/* Under the mutex, all of them. */

/* The answer to a question in the table, ASKED or still valid; NULL. */
struct weir__answer *weir__answer_find(struct weir__resolver *resolver,
                                       const struct weir__question *question, int64_t now_ns);

/* Puts an ASKED one into the table, which takes a reference. */
void weir__answer_add(struct weir__answer *answer);

/* It is KNOWN: stays in the table if it may be kept. */
void weir__answer_keep(struct weir__answer *answer, int64_t now_ns);

/* Takes it out of the table, and the table's reference back. */
void weir__answer_remove(struct weir__answer *answer);

void weir__answer_unref(struct weir__answer *answer);

#endif
