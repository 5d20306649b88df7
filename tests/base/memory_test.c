/* SPDX-License-Identifier: MIT */
/* The runtime's memory: heaps, blocks that outlive them, and a malloc that stays the user's. */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

enum { block_bytes = 300, thread_count = 4 };

#ifdef WEIR_MALLOC_SYSTEM
static const bool built_with_mimalloc = false;
#else
static const bool built_with_mimalloc = true;
#endif

static bool uses_mimalloc(void)
{
    const char *preloaded = getenv("LD_PRELOAD");

    return built_with_mimalloc && (preloaded == NULL || strstr(preloaded, "vgpreload") == NULL);
}

static void *load_then_allocate(void *arg)
{
    pthread_barrier_t *start = arg;
    void *block;

    pthread_barrier_wait(start);
    if (weir__memory_init() < 0)
        return NULL;
    block = weir__memory_alloc(NULL, block_bytes);
    if (block != NULL)
        memset(block, 7, block_bytes);
    return block;
}

/* First in the list: nothing has loaded the allocator yet, and these threads exist already. */
static void threads_load_it_together(void **state)
{
    pthread_t threads[thread_count];
    pthread_barrier_t start;

    (void)state;
    pthread_barrier_init(&start, NULL, thread_count);
    for (int i = 0; i < thread_count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, load_then_allocate, &start), 0);
    for (int i = 0; i < thread_count; i++) {
        void *block;

        assert_int_equal(pthread_join(threads[i], &block), 0);
        assert_non_null(block);
        assert_int_equal(((char *)block)[block_bytes - 1], 7);
        weir__memory_free(block);
    }
    pthread_barrier_destroy(&start);
    assert_int_equal(weir__memory_init(), 0);
    assert_string_equal(weir__memory_error(), "");
}

static void blocks_are_aligned_and_zeroed(void **state)
{
    struct weir__heap *heap = weir__heap_create();
    struct weir__heap *heaps[] = { NULL, heap };

    (void)state;
    assert_non_null(heap);
    for (int i = 0; i < 2; i++) {
        char *dirty = weir__memory_alloc(heaps[i], block_bytes);
        char *clean;

        assert_non_null(dirty);
        assert_int_equal((uintptr_t)dirty % 16, 0);
        memset(dirty, 1, block_bytes);
        weir__memory_free(dirty);
        clean = weir__memory_zalloc(heaps[i], block_bytes);
        assert_non_null(clean);
        for (int k = 0; k < block_bytes; k++)
            assert_int_equal(clean[k], 0);
        weir__memory_free(clean);
    }
    weir__heap_destroy(heap);
    weir__heap_destroy(NULL);
    weir__memory_free(NULL);
}

static void *allocate_from_own_heap(void *arg)
{
    struct weir__heap *heap = weir__heap_create();
    char *block = weir__memory_alloc(heap, block_bytes);

    (void)arg;
    if (block != NULL)
        strcpy(block, "outlives its heap");
    weir__heap_destroy(heap);
    return block;
}

static void block_outlives_heap_and_thread(void **state)
{
    pthread_t thread;
    void *block;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, allocate_from_own_heap, NULL), 0);
    assert_int_equal(pthread_join(thread, &block), 0);
    assert_non_null(block);
    assert_string_equal(block, "outlives its heap");
    weir__memory_free(block);
}

static bool allocation_works(void)
{
    void *block = weir__memory_alloc(NULL, block_bytes);

    weir__memory_free(block);
    return block != NULL;
}

static void chosen_allocation_fails_once(void **state)
{
    (void)state;
    weir__memory_fail_after(1);
    assert_false(allocation_works());
    assert_true(allocation_works());
    weir__memory_fail_after(3);
    assert_true(allocation_works());
    assert_true(allocation_works());
    assert_null(weir__memory_zalloc(NULL, block_bytes));
    assert_true(allocation_works());
    weir__memory_fail_after(1);
    assert_null(weir__heap_create());
    weir__memory_fail_after(1);
    weir__memory_fail_after(-1);
    assert_true(allocation_works());
}

static void allocations_are_counted(void **state)
{
    unsigned long before = weir__memory_alloc_count();

    (void)state;
    assert_true(allocation_works());
    assert_int_equal(weir__memory_alloc_count(), before + 1);
    free(malloc(block_bytes));
    assert_int_equal(weir__memory_alloc_count(), before + 1);
}

static void what_is_in_use_is_counted(void **state)
{
    unsigned long before = weir__memory_live_count();
    void *block = weir__memory_alloc(NULL, block_bytes);
    struct weir__heap *heap = weir__heap_create();

    (void)state;
    assert_int_equal(weir__memory_live_count(), before + 2);
    weir__memory_fail_after(1);
    assert_false(allocation_works());
    assert_int_equal(weir__memory_live_count(), before + 2);
    weir__memory_free(NULL);
    weir__memory_free(block);
    weir__heap_destroy(heap);
    assert_int_equal(weir__memory_live_count(), before);
}

static bool (*heap_of_mimalloc(void))(const void *)
{
    void *library = dlopen(WEIR_MIMALLOC_SONAME, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    bool (*contains)(const void *) = NULL;
    void *address;

    assert_non_null(library);
    address = dlsym(library, "mi_is_in_heap_region");
    memcpy(&contains, &address, sizeof address);
    assert_non_null(contains);
    return contains;
}

static void assert_from_libc(const char *function)
{
    Dl_info origin;

    assert_int_not_equal(dladdr(dlsym(RTLD_DEFAULT, function), &origin), 0);
    assert_non_null(strstr(origin.dli_fname, "libc.so"));
}

static void users_malloc_is_untouched(void **state)
{
    bool (*is_mimallocs)(const void *);
    void *own, *users;

    (void)state;
    if (!uses_mimalloc()) {
        printf("skipped: the runtime uses the system's malloc here\n");
        skip();
    }
    own = weir__memory_alloc(NULL, block_bytes);
    users = malloc(block_bytes);
    is_mimallocs = heap_of_mimalloc();
    assert_true(is_mimallocs(own));
    assert_false(is_mimallocs(users));
    assert_in_range(malloc_usable_size(users), block_bytes, block_bytes + 64);
    weir__memory_free(own);
    free(users);
    /* Whose functions this program has, and a library loaded from now on would get. */
    assert_null(dlsym(RTLD_DEFAULT, "mi_malloc"));
    assert_from_libc("malloc");
    assert_from_libc("free");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_load_it_together),
        cmocka_unit_test(blocks_are_aligned_and_zeroed),
        cmocka_unit_test(block_outlives_heap_and_thread),
        cmocka_unit_test(chosen_allocation_fails_once),
        cmocka_unit_test(allocations_are_counted),
        cmocka_unit_test(what_is_in_use_is_counted),
        cmocka_unit_test(users_malloc_is_untouched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
