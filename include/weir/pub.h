/* SPDX-License-Identifier: MIT */
/*
 * A pub sorts the elements of one channel, the source, by topic, and hands each to the subscribers
 * of its topic. A function of the user's says which topic an element is of: a key of some bytes.
 *
 * Each topic with subscribers has a bounded queue, and behind it a mult (weir/mult.h) whose taps
 * are the subscribers: so topics are apart, and a slow subscriber of one delays no other. What it
 * may do to its own topic is said by its tap options; when that fills the topic's queue, the pub's
 * policy says what becomes of more. A topic begins with its first subscriber and ends with its last
 * one; elements of a topic without subscribers are dropped.
 *
 * What is dropped goes to the source's drop callback. Copies are retained as those of a mult are.
 *
 * The end. When the source has ended, every topic delivers what it holds, and closes its
 * subscribers with the source's reason; when the pub is cancelled, with -ECANCELED, and what it
 * holds is dropped. Who subscribes after that is closed at once. A channel that subscribes to
 * several topics is closed by the first of them to end: to have all of each to the end, give each
 * topic a channel, and weir_merge them. A subscriber whose channel was closed or aborted is
 * forgotten with the next element of the topic.
 *
 * The verbs are carried out as those of a mult are, and fail as those do.
 *
 * Example:
 *     static int topic_of(const void *elem, struct weir_topic *topic, void *context)
 *     {
 *         const struct trade *trade = elem;
 *
 *         *topic = (struct weir_topic){ &trade->market, sizeof trade->market };
 *         return 0;
 *     }
 *
 *     error = weir_pub_create(scope, trades, topic_of, NULL, NULL, &pub);
 *     error = weir_pub_sub(pub, &(struct weir_topic){ &market, sizeof market }, mine, NULL,
 *                          WEIR_FOREVER);
 */
#ifndef WEIR_PUB_H
#define WEIR_PUB_H

#include <weir/base.h>
#include <weir/mult.h>

struct weir_chan;
struct weir_pub;
struct weir_scope;

#define WEIR_TOPIC_BYTES_MAX 64

/* Two topics are the same when their bytes are: mind the padding of structs. */
struct weir_topic {
    const void *bytes;
    size_t size; /* bytes; at most WEIR_TOPIC_BYTES_MAX */
};

/*
 * Says which topic an element is of; the bytes may lie in the element, and are copied if need be.
 * Returns 0; or a negative error, or a topic that is too long: then the element is dropped, and
 * counted as failed. In the pub's task; may not park for long: the source waits.
 */
typedef int weir_topic_fn(const void *elem, struct weir_topic *topic, void *context);

/* What happens when a topic's queue is full, and stays so while other tasks get some turns. */
enum weir_pub_policy {
    WEIR_PUB_DROP_NEWEST, /* the element is dropped */
    WEIR_PUB_DROP_OLDEST, /* the oldest in the queue is */
    WEIR_PUB_PARK,        /* the pub waits for room: every topic waits for the slowest */
};

/* Zeroed means default. */
struct weir_pub_options {
    size_t size;      /* sizeof(struct weir_pub_options); 0 means the first version's */
    const char *name; /* of the tasks; copied, under WEIR_NAME_BYTES; NULL: "pub" */
    enum weir_pub_policy policy;
    size_t topic_capacity; /* elements in a topic's queue; 0: 64 */
    size_t topics_max;     /* with subscribers; 0: 1024; at most 2^20 */
    uint64_t reserved[4];  /* must be zero */
};

struct weir_pub_stats {
    uint64_t received_total;
    uint64_t failed_total;  /* elements whose topic the function could not say */
    uint64_t unheard_total; /* elements of topics without subscribers */
    uint64_t dropped_total; /* elements that queues let go: when full, or when their topic ended */
    size_t topic_count;     /* with subscribers */
    bool ended;             /* nothing is received any more; topics may still deliver */
    size_t topic_count_max; /* the most so far */
    uint64_t refused_total; /* subscriptions that would have passed the bound on topics */
    uint64_t reserved[2];
};

/* One topic: its queue, and its mult, whose figures say who blocks. */
struct weir_topic_stats {
    size_t count; /* elements queued */
    size_t capacity;
    struct weir_mult_stats mult;
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * Starts a pub as a task of `scope`, on whose loop its topics run too; *pub gets a handle with one
 * reference. The source is kept alive by the pub, which should be its only receiver.
 * Returns 0. Errors: those of weir_spawn; -EINVAL a NULL or bad options; -ENOMEM.
 */
WEIR_API WEIR_MUST_CHECK int weir_pub_create(struct weir_scope *scope, struct weir_chan *source,
                                             weir_topic_fn *topic_fn, void *context,
                                             const struct weir_pub_options *options,
                                             struct weir_pub **pub) WEIR_ANY_THREAD;

/* One more reference; returns pub. */
WEIR_API struct weir_pub *weir_pub_retain(struct weir_pub *pub) WEIR_ANY_THREAD;

/* Gives a reference back; the pub goes on. NULL is fine. */
WEIR_API void weir_pub_release(struct weir_pub *pub) WEIR_ANY_THREAD;

/*
 * Subscribes: `chan` gets every later element of the topic, and is kept alive by the pub. After the
 * end it is closed at once instead, unless it is to be kept open.
 * Returns 0; WEIR_ALREADY it was subscribed before; it has these options now.
 * Errors, after which nothing has changed: -EINVAL; -ENOBUFS topics_max topics, WEIR_MULT_TAPS_MAX
 * subscribers, or no memory; those of weir_spawn, for the topic's task; -EAGAIN, -ETIME;
 * -ECANCELED.
 */
WEIR_API WEIR_MUST_CHECK int weir_pub_sub(struct weir_pub *pub, const struct weir_topic *topic,
                                          struct weir_chan *chan,
                                          const struct weir_tap_options *options,
                                          int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * Ends a subscription; the channel stays open, and gets nothing of this topic after the return.
 * Returns 0; WEIR_ALREADY it was not subscribed. Errors: -EINVAL; -EAGAIN, -ETIME; -ECANCELED.
 */
WEIR_API int weir_pub_unsub(struct weir_pub *pub, const struct weir_topic *topic,
                            struct weir_chan *chan,
                            int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Ends all subscriptions of a topic; with NULL, of all topics. Returns 0; WEIR_ALREADY there was
 * none. Errors as unsub. */
WEIR_API int weir_pub_unsub_all(struct weir_pub *pub, const struct weir_topic *topic,
                                int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* One reading. Returns 0. Errors: -EINVAL; -EAGAIN, -ETIME; -ECANCELED. */
WEIR_API WEIR_MUST_CHECK int weir_pub_read_stats(struct weir_pub *pub, struct weir_pub_stats *stats,
                                                 int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* One reading of one topic; `taps` as in weir_mult_read_stats. Returns 0. Errors: -ENOENT nobody is
 * subscribed to it; -EINVAL; -EAGAIN, -ETIME; -ECANCELED. */
WEIR_API WEIR_MUST_CHECK int
weir_pub_read_topic_stats(struct weir_pub *pub, const struct weir_topic *topic,
                          struct weir_topic_stats *stats, struct weir_tap_stats *taps,
                          size_t capacity, int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

WEIR_END

#endif
