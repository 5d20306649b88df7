/* SPDX-License-Identifier: MIT */
/* The resolver of a runtime: how it is made, looked at, and left; see resolve.h. */
#include "base/exempt.h"
#include "base/memory.h"
#include "core/loop.h"
#include "net/answer.h"
#include "net/resolve.h"
#include "pool/pool.h"

#include <errno.h>

int weir__resolver_create(struct weir__resolver **out, struct weir__runtime *runtime)
{
    const struct weir_options *options = &runtime->options;
    struct weir__resolver *resolver = weir__memory_zalloc(NULL, sizeof *resolver);
    int error;

    if (!resolver)
        return -ENOMEM;
    error = weir__pool_create_resolver(&resolver->pool, runtime);
    if (error < 0) {
        weir__memory_free(resolver);
        return error;
    }
    resolver->answers_max = options->resolve_answers;
    resolver->ttl_ns = options->resolve_ttl_ns;
    resolver->negative_ttl_ns = options->resolve_negative_ttl_ns;
    pthread_mutex_init(&resolver->mutex, NULL);
    for (size_t i = 0; i < WEIR__ANSWER_BUCKETS; i++)
        weir__list_init(&resolver->buckets[i]);
    weir__list_init(&resolver->known);
    *out = resolver;
    return 0;
}

/* Under the mutex, or alone. Returns how many there were. */
static int forget_all(struct weir__resolver *resolver)
{
    int count = 0;

    for (; !weir__list_empty(&resolver->known); count++)
        weir__answer_remove(WEIR_CONTAINER_OF(resolver->known.next, struct weir__answer, age));
    return count;
}

/* No thread is left. */
static void free_resolver(void *context)
{
    struct weir__resolver *resolver = context;

    forget_all(resolver);
    pthread_mutex_destroy(&resolver->mutex);
    weir__memory_free(resolver);
}

void weir__resolver_destroy(struct weir__resolver *resolver)
{
    weir__pool_leave(resolver->pool, free_resolver, resolver);
}

int weir_resolve_forget(void)
{
    struct weir__loop *loop = weir__loop_current;
    struct weir__resolver *resolver;
    int count;

    if (!loop)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    resolver = loop->runtime->resolver;
    weir__exempt_lock(&resolver->mutex);
    count = forget_all(resolver);
    pthread_mutex_unlock(&resolver->mutex);
    return count;
}

int weir_resolve_read_stats(struct weir_resolve_stats *stats)
{
    struct weir__loop *loop = weir__loop_current;
    struct weir__resolver *resolver;

    if (!stats)
        return -EINVAL;
    if (!loop)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    resolver = loop->runtime->resolver;
    weir__exempt_lock(&resolver->mutex);
    *stats = resolver->stats;
    pthread_mutex_unlock(&resolver->mutex);
    weir__pool_read_stats(resolver->pool, &stats->pool);
    return 0;
}
