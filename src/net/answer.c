/* SPDX-License-Identifier: MIT */
/* The table of answers; see answer.h. */
#include "net/answer.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <string.h>

/* FNV-1a. */
static uint32_t hash_text(uint32_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619U;
    return hash;
}

static struct weir__list *bucket_of(struct weir__resolver *resolver,
                                    const struct weir__question *question)
{
    uint32_t hash = hash_text(hash_text(2166136261U, question->name), question->service);

    return &resolver->buckets[hash % WEIR__ANSWER_BUCKETS];
}

static bool is_same(const struct weir__question *left, const struct weir__question *right)
{
    return left->family == right->family && left->type == right->type &&
           strcmp(left->name, right->name) == 0 && strcmp(left->service, right->service) == 0;
}

void weir__answer_unref(struct weir__answer *answer)
{
    if (--answer->refs)
        return;
    weir__memory_free(answer->addresses);
    weir__memory_free(answer);
}

void weir__answer_remove(struct weir__answer *answer)
{
    if (weir__list_empty(&answer->bucket))
        return;
    weir__list_unlink(&answer->bucket);
    if (!weir__list_empty(&answer->age)) {
        weir__list_unlink(&answer->age);
        answer->resolver->stats.answers_now--;
    }
    weir__answer_unref(answer);
}

struct weir__answer *weir__answer_find(struct weir__resolver *resolver,
                                       const struct weir__question *question, int64_t now_ns)
{
    struct weir__list *bucket = bucket_of(resolver, question);

    for (struct weir__list *link = bucket->next; link != bucket; link = link->next) {
        struct weir__answer *answer = WEIR_CONTAINER_OF(link, struct weir__answer, bucket);

        if (!is_same(&answer->question, question))
            continue;
        if (answer->known && answer->expires_ns <= now_ns) {
            weir__answer_remove(answer);
            return NULL;
        }
        if (answer->known) { /* of use last */
            weir__list_unlink(&answer->age);
            weir__list_append(&resolver->known, &answer->age);
        }
        return answer;
    }
    return NULL;
}

void weir__answer_add(struct weir__answer *answer)
{
    answer->refs++;
    weir__list_append(bucket_of(answer->resolver, &answer->question), &answer->bucket);
}

/* How long it may be kept; 0: not. What may be different at once (a server that did not answer) is
 * not kept at all. */
static int64_t lifetime(const struct weir__answer *answer)
{
    int64_t life_ns = answer->error == 0         ? answer->resolver->ttl_ns
                      : answer->error == -ENOENT ? answer->resolver->negative_ttl_ns
                                                 : 0;

    return life_ns > 0 ? life_ns : 0;
}

void weir__answer_keep(struct weir__answer *answer, int64_t now_ns)
{
    struct weir__resolver *resolver = answer->resolver;
    int64_t life_ns = lifetime(answer);

    answer->known = true;
    answer->expires_ns = weir__clock_add(now_ns, life_ns);
    if (life_ns == 0) {
        weir__answer_remove(answer);
        return;
    }
    weir__list_append(&resolver->known, &answer->age);
    if (resolver->stats.answers_now++ < resolver->answers_max) {
        if (resolver->stats.answers_now > resolver->stats.answers_now_max)
            resolver->stats.answers_now_max = resolver->stats.answers_now;
        return;
    }
    resolver->stats.evicted++;
    weir__answer_remove(WEIR_CONTAINER_OF(resolver->known.next, struct weir__answer, age));
}
