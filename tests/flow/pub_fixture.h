/* SPDX-License-Identifier: MIT */
/* Pubs of numbers: the upper half of a value is its topic. */
#ifndef WEIR_TESTS_FLOW_PUB_FIXTURE_H
#define WEIR_TESTS_FLOW_PUB_FIXTURE_H

#include "flow/fan.h"

#include <weir/pub.h>

#define TOPIC(number) (&(struct weir_topic){ &(uint32_t){ number }, sizeof(uint32_t) })

enum { TOPIC_REFUSED = 1000, TOPIC_TOO_LONG };

static inline uint64_t value_of(uint32_t topic, uint32_t number)
{
    return (uint64_t)topic << 32 | number;
}

static inline uint32_t topic_of_value(const void *value)
{
    return (uint32_t)(*(const uint64_t *)value >> 32);
}

static inline int number_of(const void *value, struct weir_topic *topic, void *context)
{
    static const unsigned char long_topic[WEIR_TOPIC_BYTES_MAX + 1];
    static __thread uint32_t number; /* valid until the next call */

    (void)context;
    number = topic_of_value(value);
    if (number == TOPIC_REFUSED)
        return -EINVAL;
    *topic = (struct weir_topic){ &number, sizeof number };
    if (number == TOPIC_TOO_LONG)
        *topic = (struct weir_topic){ long_topic, sizeof long_topic };
    return 0;
}

/* What somebody on the other side makes, on whose loop it then runs. */
struct pub_order {
    struct actor actor;
    struct weir_scope *scope;
    struct weir_chan *source;
    weir_topic_fn *topic_fn;
    const struct weir_pub_options *options;
    struct weir_pub *pub;
};

static inline int do_make_pub(void *arg)
{
    struct pub_order *order = arg;

    return weir_pub_create(order->scope, order->source, order->topic_fn, NULL, order->options,
                           &order->pub);
}

static inline struct weir_pub *make_pub(struct scene *scene, struct weir_scope *scope,
                                        struct weir_chan *source, weir_topic_fn *topic_fn,
                                        const struct weir_pub_options *options)
{
    struct pub_order order = {
        .scope = scope,
        .source = source,
        .topic_fn = topic_fn,
        .options = options,
    };

    actor_start(scene, &order.actor, do_make_pub, &order);
    CHECK_SAME(actor_join(&order.actor), 0);
    return order.pub;
}

static inline struct weir_pub_stats look_at_pub(struct weir_pub *pub)
{
    struct weir_pub_stats stats = { 0 };

    CHECK_SAME(weir_pub_read_stats(pub, &stats, WEIR_FOREVER), 0);
    return stats;
}

static inline struct weir_topic_stats look_at_topic(struct weir_pub *pub, uint32_t topic)
{
    struct weir_topic_stats stats = { 0 };

    CHECK_SAME(weir_pub_read_topic_stats(pub, TOPIC(topic), &stats, NULL, 0, WEIR_FOREVER), 0);
    return stats;
}

#endif
