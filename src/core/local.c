/* SPDX-License-Identifier: MIT */
/* Task-local values; see local.h. */
#include "core/local.h"

#include "base/lock.h"
#include "base/memory.h"
#include "core/callback.h"
#include "core/task.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct key {
    const char *name;
    void (*destroy)(void *value);
};

/* One value; those who inherit it share it. */
struct weir__local {
    atomic_uint refs;
    void *value;
    void (*destroy)(void *value);
    struct weir__mail mail; /* to the callback task, in the end */
};

static struct weir__lock keys_lock;
static struct key keys[WEIR_LOCALS_MAX]; /* constant below key_count */
static atomic_int key_count;

static bool is_key(int key)
{
    /* acquire; pairs with the release in weir_local_create */
    return key >= 0 && key < atomic_load_explicit(&key_count, memory_order_acquire);
}

int weir_local_create(const char *name, void (*destroy)(void *value))
{
    int key;

    if (!name)
        return -EINVAL;
    weir__lock_acquire(&keys_lock);
    key = atomic_load_explicit(&key_count, memory_order_relaxed);
    if (key < WEIR_LOCALS_MAX) {
        keys[key] = (struct key){ .name = name, .destroy = destroy };
        /* release; pairs with the acquire in is_key */
        atomic_store_explicit(&key_count, key + 1, memory_order_release);
    }
    weir__lock_release(&keys_lock);
    return key < WEIR_LOCALS_MAX ? key : -ENOBUFS;
}

const char *weir_local_name(int key)
{
    return is_key(key) ? keys[key].name : NULL;
}

/* --- Values. ---------------------------------------------------------------------------------- */

static void destroy_value(struct weir__local *local)
{
    local->destroy(local->value);
    weir__memory_free(local);
}

static void deliver_destroy(struct weir__loop *loop, struct weir__mail *mail)
{
    (void)loop;
    destroy_value(WEIR_CONTAINER_OF(mail, struct weir__local, mail));
}

/* Gives a reference back, and says whether it was the last. */
static bool drop(atomic_uint *refs)
{
    /* acq_rel: whoever frees has seen what the others did */
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static void release_value(struct weir__local *local)
{
    struct weir__loop *loop = weir__loop_current;

    if (!local || !drop(&local->refs))
        return;
    if (!local->destroy) {
        weir__memory_free(local);
    } else if (loop) {
        local->mail.deliver = deliver_destroy;
        weir__callback_post(loop, &local->mail);
    } else {
        destroy_value(local);
    }
}

void weir__locals_release(struct weir__locals *locals)
{
    if (!drop(&locals->refs))
        return;
    for (int key = 0; key < WEIR_LOCALS_MAX; key++)
        release_value(locals->values[key]);
    weir__memory_free(locals);
}

void weir__inherited_replace(struct weir__inherited *own, const struct weir__inherited *source)
{
    struct weir__locals *previous = own->locals;

    if (source->locals)
        weir__locals_retain(source->locals);
    *own = *source;
    if (previous)
        weir__locals_release(previous);
}

/* --- Setting. --------------------------------------------------------------------------------- */

/* A plain thread gives its values back when it ends. */
static void end_of_thread(void *inherited)
{
    weir__inherited_replace(inherited, &weir__inherited_nothing);
}

static pthread_key_t thread_end;
static bool has_thread_end;

static void make_thread_end(void)
{
    has_thread_end = pthread_key_create(&thread_end, end_of_thread) == 0;
}

/* The caller has values from now on, and will have to give them back. */
static int prepare_end(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (weir__loop_current) {
        weir__task_prepare_ends(weir__loop_current->current);
        return 0;
    }
    pthread_once(&once, make_thread_end);
    if (!has_thread_end || pthread_setspecific(thread_end, &weir__inherited_of_thread) != 0)
        return -ENOMEM;
    return 0;
}

/* A table that is the caller's alone, with what `locals` (may be NULL) has. */
static struct weir__locals *make_own(struct weir__locals *locals)
{
    struct weir__locals *own;

    /* acquire; pairs with the release of who had a reference before. Nobody can add to the last
     * one. */
    if (locals && atomic_load_explicit(&locals->refs, memory_order_acquire) == 1)
        return locals;
    own = weir__memory_zalloc(NULL, sizeof *own);
    if (!own)
        return NULL;
    atomic_init(&own->refs, 1);
    if (!locals)
        return own;
    memcpy(own->values, locals->values, sizeof own->values);
    for (int key = 0; key < WEIR_LOCALS_MAX; key++)
        if (own->values[key]) /* relaxed: `locals` has one, too */
            atomic_fetch_add_explicit(&own->values[key]->refs, 1, memory_order_relaxed);
    weir__locals_release(locals);
    return own;
}

int weir_local_set(int key, void *value)
{
    struct weir__inherited *inherited = weir__inherited_self();
    struct weir__local *local = NULL, *previous;
    struct weir__locals *own;
    int error;

    if (!is_key(key))
        return -EINVAL;
    if (!value && !inherited->locals)
        return 0;
    error = prepare_end();
    if (error < 0)
        return error;
    if (value) {
        local = weir__memory_alloc(NULL, sizeof *local);
        if (!local)
            return -ENOMEM;
        atomic_init(&local->refs, 1);
        local->value = value;
        local->destroy = keys[key].destroy;
    }
    own = make_own(inherited->locals);
    if (!own) {
        weir__memory_free(local);
        return -ENOMEM;
    }
    inherited->locals = own;
    previous = own->values[key];
    own->values[key] = local;
    release_value(previous);
    return 0;
}

void *weir_local_get(int key)
{
    const struct weir__locals *locals = weir__inherited_self()->locals;

    if (!locals || !is_key(key) || !locals->values[key])
        return NULL;
    return locals->values[key]->value;
}
