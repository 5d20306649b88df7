/* SPDX-License-Identifier: MIT */
/* The topics of a pub: found by their bytes, walked as a list. Only the pub's task uses a table. */
#ifndef WEIR_FLOW_TOPIC_H
#define WEIR_FLOW_TOPIC_H

#include "base/list.h"

#include <weir/pub.h>

struct weir__topic {
    struct weir__list same_hash; /* in its bucket */
    struct weir__list listed;    /* in weir__topics.all; alone: it is in no table */
    struct weir_pub *pub;
    struct weir_chan *queue; /* a reference */
    struct weir_mult *mult;  /* a reference; receives from the queue */
    bool is_slow;            /* its queue was full, and stayed so */
    size_t size;
    unsigned char bytes[WEIR_TOPIC_BYTES_MAX];
};

struct weir__topics {
    struct weir__list all; /* weir__topic.listed */
    struct weir__list *buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
};

/* Whether a topic can be one. */
bool weir__topic_is_valid(const struct weir_topic *topic);

/* A table that finds `expected` topics well. 0 or -ENOMEM; after either, term is called. */
int weir__topics_init(struct weir__topics *topics, size_t expected);
void weir__topics_term(struct weir__topics *topics);

/* NULL: it is not there. */
struct weir__topic *weir__topics_find(const struct weir__topics *topics,
                                      const struct weir_topic *wanted);

/* A topic that is not there yet, in no table. */
void weir__topics_add(struct weir__topics *topics, struct weir__topic *topic);

/* Harmless when it is in no table. */
void weir__topics_remove(struct weir__topics *topics, struct weir__topic *topic);

/* The walk, in the order of creation: the one after `topic`, or with NULL the first; NULL: none. */
struct weir__topic *weir__topics_next(const struct weir__topics *topics,
                                      const struct weir__topic *topic);

#endif
