/* SPDX-License-Identifier: MIT */
/* The table of topics: a list for each hash; see topic.h. */
#include "flow/topic.h"

#include "base/memory.h"

#include <errno.h>
#include <string.h>

bool weir__topic_is_valid(const struct weir_topic *topic)
{
    return topic && topic->size <= WEIR_TOPIC_BYTES_MAX && (topic->bytes || !topic->size);
}

int weir__topics_init(struct weir__topics *topics, size_t expected)
{
    *topics = (struct weir__topics){ .bucket_count = 1 };
    weir__list_init(&topics->all);
    while (topics->bucket_count < expected)
        topics->bucket_count *= 2;
    topics->buckets = weir__memory_alloc(NULL, topics->bucket_count * sizeof *topics->buckets);
    if (!topics->buckets)
        return -ENOMEM;
    for (size_t i = 0; i < topics->bucket_count; i++)
        weir__list_init(&topics->buckets[i]);
    return 0;
}

void weir__topics_term(struct weir__topics *topics)
{
    weir__memory_free(topics->buckets);
}

/* By FNV-1a. */
static struct weir__list *bucket_of(const struct weir__topics *topics, const unsigned char *bytes,
                                    size_t size)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    return &topics->buckets[hash & (topics->bucket_count - 1)];
}

struct weir__topic *weir__topics_find(const struct weir__topics *topics,
                                      const struct weir_topic *wanted)
{
    struct weir__list *bucket = bucket_of(topics, wanted->bytes, wanted->size);

    for (struct weir__list *link = bucket->next; link != bucket; link = link->next) {
        struct weir__topic *topic = WEIR_CONTAINER_OF(link, struct weir__topic, same_hash);

        if (topic->size != wanted->size)
            continue;
        if (!wanted->size || memcmp(topic->bytes, wanted->bytes, wanted->size) == 0)
            return topic;
    }
    return NULL;
}

void weir__topics_add(struct weir__topics *topics, struct weir__topic *topic)
{
    weir__list_append(bucket_of(topics, topic->bytes, topic->size), &topic->same_hash);
    weir__list_append(&topics->all, &topic->listed);
    topics->count++;
}

void weir__topics_remove(struct weir__topics *topics, struct weir__topic *topic)
{
    if (weir__list_empty(&topic->listed))
        return;
    weir__list_unlink(&topic->same_hash);
    weir__list_unlink(&topic->listed);
    topics->count--;
}

struct weir__topic *weir__topics_next(const struct weir__topics *topics,
                                      const struct weir__topic *topic)
{
    const struct weir__list *next = topic ? topic->listed.next : topics->all.next;

    return next == &topics->all ? NULL : WEIR_CONTAINER_OF(next, struct weir__topic, listed);
}
