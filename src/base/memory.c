/* SPDX-License-Identifier: MIT */
/*
 * Memory for the runtime from mimalloc, without replacing the user's malloc.
 *
 * Distributions ship mimalloc as a shared library that exports malloc, free and operator new: a
 * program that has it among its libraries, even by way of weir, gets its malloc replaced. So weir
 * does not link it, but loads it: RTLD_LOCAL keeps its names out of the search of every other
 * object, and RTLD_DEEPBIND makes it find its own mi_ names first, should the program carry another
 * mimalloc. It is never unloaded, since its blocks and its thread exit hook live as long as the
 * process. The cost: two indirect calls per allocation, and a missing library is found at start,
 * not at link time. Its 9 bytes of static TLS fit in what the loader keeps for late comers.
 *
 * Under valgrind the system's malloc serves: valgrind replaces free, which in that library is the
 * same function as mi_free, but not mi_heap_malloc; and its checks need to see the blocks.
 *
 * weir__memory_init runs the load; each allocation calls it, so that a channel made by a plain
 * thread before any runtime is served, too. Once loaded, that is one acquire load in pthread_once.
 */
#include "base/memory.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* Who serves: the system's malloc, or mimalloc. */
struct provider {
    void *(*heap_create)(void);
    void (*heap_delete)(void *heap);
    void *(*alloc)(void *heap, size_t bytes); /* heap NULL: the calling thread's own */
    void *(*zalloc)(void *heap, size_t bytes);
    void (*free)(void *block);
};

/* Written by the one load, before pthread_once lets anybody pass; read only afterwards. */
static const struct provider *provider;
static int load_result;
static char load_error[256];

/* The system's malloc knows no heaps: all of them are this one. */
static char system_heap;

static void *system_heap_create(void)
{
    return &system_heap;
}

static void system_heap_delete(void *heap)
{
    WEIR_ASSERT(heap == &system_heap);
}

static void *system_alloc(void *heap, size_t bytes)
{
    (void)heap;
    return malloc(bytes);
}

static void *system_zalloc(void *heap, size_t bytes)
{
    (void)heap;
    return calloc(1, bytes);
}

static const struct provider system_provider = {
    .heap_create = system_heap_create,
    .heap_delete = system_heap_delete,
    .alloc = system_alloc,
    .zalloc = system_zalloc,
    .free = free,
};

#ifdef WEIR_MALLOC_SYSTEM

static void load(void)
{
    provider = &system_provider;
}

#else

#include <mimalloc.h>

#ifndef WEIR_MIMALLOC_SONAME
#define WEIR_MIMALLOC_SONAME "libmimalloc.so.2"
#endif

/* mimalloc's functions, by address. Written as `provider` is. */
static struct {
    __typeof__(&mi_heap_new) heap_new;
    __typeof__(&mi_heap_delete) heap_delete;
    __typeof__(&mi_heap_malloc) heap_malloc;
    __typeof__(&mi_heap_zalloc) heap_zalloc;
    __typeof__(&mi_malloc) malloc;
    __typeof__(&mi_zalloc) zalloc;
    __typeof__(&mi_free) free;
} mimalloc;

static const struct {
    const char *name;
    void *target; /* the field of `mimalloc` that takes the address */
} functions[] = {
    { "mi_heap_new", &mimalloc.heap_new },
    { "mi_heap_delete", &mimalloc.heap_delete },
    { "mi_heap_malloc", &mimalloc.heap_malloc },
    { "mi_heap_zalloc", &mimalloc.heap_zalloc },
    { "mi_malloc", &mimalloc.malloc },
    { "mi_zalloc", &mimalloc.zalloc },
    { "mi_free", &mimalloc.free },
};

_Static_assert(sizeof functions / sizeof functions[0] == sizeof mimalloc / sizeof mimalloc.free,
               "each function of mimalloc that is used has its row");

static int mimalloc_load(void)
{
    void *library =
        dlopen(WEIR_MIMALLOC_SONAME, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND | RTLD_NODELETE);

    if (library == NULL) {
        snprintf(load_error, sizeof load_error,
                 "mimalloc cannot be loaded: %s: install it (Debian: libmimalloc2.0), or build "
                 "weir with -DWEIR_MALLOC=system",
                 dlerror());
        return -ELIBACC;
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *address = dlsym(library, functions[i].name);

        if (address == NULL) {
            snprintf(load_error, sizeof load_error,
                     "mimalloc (%s) lacks %s: install version 2, or build weir with "
                     "-DWEIR_MALLOC=system",
                     WEIR_MIMALLOC_SONAME, functions[i].name);
            return -ELIBBAD;
        }
        memcpy(functions[i].target, &address, sizeof address);
    }
    return 0;
}

static void *mimalloc_heap_create(void)
{
    return mimalloc.heap_new();
}

static void mimalloc_heap_delete(void *heap)
{
    mimalloc.heap_delete(heap);
}

static void *mimalloc_alloc(void *heap, size_t bytes)
{
    return heap == NULL ? mimalloc.malloc(bytes) : mimalloc.heap_malloc(heap, bytes);
}

static void *mimalloc_zalloc(void *heap, size_t bytes)
{
    return heap == NULL ? mimalloc.zalloc(bytes) : mimalloc.heap_zalloc(heap, bytes);
}

static void mimalloc_free(void *block)
{
    mimalloc.free(block);
}

static const struct provider mimalloc_provider = {
    .heap_create = mimalloc_heap_create,
    .heap_delete = mimalloc_heap_delete,
    .alloc = mimalloc_alloc,
    .zalloc = mimalloc_zalloc,
    .free = mimalloc_free,
};

/* valgrind preloads its core into what it runs, and says so in the environment. */
static bool under_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");

    return preloaded != NULL && strstr(preloaded, "vgpreload") != NULL;
}

static void load(void)
{
    provider = under_valgrind() ? &system_provider : &mimalloc_provider;
    if (provider == &mimalloc_provider)
        load_result = mimalloc_load();
}

#endif

int weir__memory_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return load_result;
}

const char *weir__memory_error(void)
{
    return weir__memory_init() == 0 ? "" : load_error;
}

/* Any thread. Relaxed: these count, and order nothing. */
static atomic_ulong alloc_count;
static atomic_ulong free_count;         /* and of those that came to nothing */
static atomic_long fail_countdown = -1; /* <= 0: nobody asked for a failure */

/* Counts an allocation; false when it must fail, by a test's order or for want of an allocator. */
static bool admit(void)
{
    atomic_fetch_add_explicit(&alloc_count, 1, memory_order_relaxed);
    if (WEIR_UNLIKELY(atomic_load_explicit(&fail_countdown, memory_order_relaxed) > 0) &&
        atomic_fetch_sub_explicit(&fail_countdown, 1, memory_order_relaxed) == 1)
        return false;
    return weir__memory_init() == 0;
}

static void count_free(void)
{
    atomic_fetch_add_explicit(&free_count, 1, memory_order_relaxed);
}

/* What admit has counted, unless it came to nothing. */
static void *keep_count(void *block)
{
    if (WEIR_UNLIKELY(!block))
        count_free();
    return block;
}

struct weir__heap *weir__heap_create(void)
{
    return keep_count(admit() ? provider->heap_create() : NULL);
}

void weir__heap_destroy(struct weir__heap *heap)
{
    if (heap == NULL)
        return;
    count_free();
    provider->heap_delete(heap);
}

void *weir__memory_alloc(struct weir__heap *heap, size_t bytes)
{
    return keep_count(admit() ? provider->alloc(heap, bytes) : NULL);
}

void *weir__memory_zalloc(struct weir__heap *heap, size_t bytes)
{
    return keep_count(admit() ? provider->zalloc(heap, bytes) : NULL);
}

void weir__memory_free(void *block)
{
    if (block == NULL)
        return;
    count_free();
    provider->free(block);
}

void weir__memory_fail_after(long count)
{
    atomic_store_explicit(&fail_countdown, count, memory_order_relaxed);
}

unsigned long weir__memory_alloc_count(void)
{
    return atomic_load_explicit(&alloc_count, memory_order_relaxed);
}

unsigned long weir__memory_live_count(void)
{
    unsigned long freed = atomic_load_explicit(&free_count, memory_order_relaxed);

    return weir__memory_alloc_count() - freed;
}
