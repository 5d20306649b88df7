/* SPDX-License-Identifier: MIT */
/* Stacks: reuse, sizes, guards, limits, memory given back, high-water marks. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fiber/fiber.h"

enum { KIB = 1024, MANY = 100000, MAPPINGS_MAX = 200, MAPPINGS_LEFT_MAX = 30 };
static const int64_t SECOND_NS = 1000000000;

static struct weir__stack_limits limits;
static struct weir__stack_pool pool;

static void init(const struct weir__stack_options *options)
{
    assert_int_equal(weir__stack_limits_init(&limits, options), 0);
    assert_int_equal(weir__stack_pool_init(&pool, &limits), 0);
}

static void term(void)
{
    weir__stack_pool_verify(&pool);
    weir__stack_pool_term(&pool);
    assert_int_equal(atomic_load(&limits.count), 0);
    assert_int_equal(atomic_load(&limits.bytes), 0);
    assert_int_equal(atomic_load(&limits.mapping_count), 0);
}

static struct weir__stack *acquire(size_t bytes)
{
    struct weir__stack *stack = NULL;

    assert_int_equal(weir__stack_acquire(&pool, bytes, &stack), 0);
    return stack;
}

static struct weir__stack_stats stats(void)
{
    struct weir__stack_stats out;

    weir__stack_pool_stats(&pool, &out);
    return out;
}

static size_t lines_in(const char *path)
{
    FILE *file = fopen(path, "re");
    size_t count = 0;
    int c;

    assert_non_null(file);
    while ((c = getc(file)) != EOF)
        count += c == '\n';
    fclose(file);
    return count;
}

static size_t mapping_count(void)
{
    return lines_in("/proc/self/maps");
}

static size_t map_count_max(void)
{
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    size_t count;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%zu", &count), 1);
    fclose(file);
    return count;
}

static size_t resident_bytes(const struct weir__stack *stack)
{
    unsigned char resident[4096];
    size_t pages = stack->bytes / limits.page_bytes;
    size_t count = 0;

    assert_in_range(pages, 1, sizeof resident);
    assert_int_equal(mincore(stack->base, stack->bytes, resident), 0);
    for (size_t i = 0; i < pages; i++)
        count += resident[i] & 1;
    return count * limits.page_bytes;
}

static void touch_down_to(struct weir__stack *stack, size_t depth_bytes)
{
    char *top = (char *)stack->base + stack->bytes;

    for (size_t depth = 1; depth <= depth_bytes; depth += limits.page_bytes)
        *(volatile char *)(top - depth) = 1;
    *(volatile char *)(top - depth_bytes) = 1;
}

/* What `access` does to a child process: 0, or the signal that ends it. */
static int signal_of_access(const char *address)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        *(volatile const char *)address;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void assert_guarded(const struct weir__stack *stack)
{
    const char *base = stack->base;
    size_t guard_bytes = weir__stack_guard_bytes(stack);

    assert_int_equal(signal_of_access(base), 0);
    assert_int_equal(signal_of_access(base + stack->bytes - 1), 0);
    assert_int_equal(signal_of_access(base - 1), SIGSEGV);
    assert_int_equal(signal_of_access(base - guard_bytes), SIGSEGV);
}

static void test_hottest_first(void **state)
{
    struct weir__stack *a, *b, *c;

    (void)state;
    init(NULL);
    a = acquire(0);
    b = acquire(0);
    c = acquire(0);
    assert_int_equal(stats().used_count, 3);
    weir__stack_release(&pool, b);
    weir__stack_release(&pool, c);
    weir__stack_release(&pool, a);
    assert_int_equal(stats().warm_count, 3);
    assert_ptr_equal(acquire(0), a);
    assert_ptr_equal(acquire(64 * KIB), c);
    assert_ptr_equal(acquire(1 + 32 * KIB), b);
    weir__stack_release(&pool, a);
    weir__stack_release(&pool, b);
    weir__stack_release(&pool, c);
    term();
}

static void test_sizes_are_powers_of_two(void **state)
{
    static const size_t asked[] = { 1,         16 * KIB,      16 * KIB + 1, 100000,
                                    128 * KIB, 128 * KIB + 1, 8192 * KIB,   8193 * KIB };
    static const size_t given[] = { 16 * KIB,  16 * KIB,  32 * KIB,   128 * KIB,
                                    128 * KIB, 256 * KIB, 8192 * KIB, 16384 * KIB };
    struct weir__stack *stack;

    (void)state;
    init(NULL);
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        stack = acquire(asked[i]);
        assert_int_equal(stack->bytes, given[i]);
        assert_int_equal((uintptr_t)stack->base % limits.page_bytes, 0);
        touch_down_to(stack, stack->bytes);
        weir__stack_release(&pool, stack);
    }
    stack = acquire(0);
    assert_int_equal(stack->bytes, 64 * KIB);
    weir__stack_release(&pool, stack);
    stack = acquire(WEIR__STACK_BYTES_MAX);
    weir__stack_release(&pool, stack);
    assert_int_equal(weir__stack_acquire(&pool, (size_t)WEIR__STACK_BYTES_MAX + 1, &stack),
                     -EINVAL);
    assert_int_equal(pool.refusal, WEIR__STACK_REFUSAL_SIZE);
    term();
}

static void test_the_default_size_is_an_option(void **state)
{
    struct weir__stack *stack;

    (void)state;
    init(&(struct weir__stack_options){ .stack_bytes = 200 * KIB, .guard_bytes = 1 });
    stack = acquire(0);
    assert_int_equal(stack->bytes, 256 * KIB);
    assert_int_equal(weir__stack_guard_bytes(stack), limits.page_bytes);
    assert_guarded(stack);
    weir__stack_release(&pool, stack);
    term();
    assert_int_equal(
        weir__stack_limits_init(&limits, &(struct weir__stack_options){ .stack_bytes = SIZE_MAX }),
        -EINVAL);
}

static void guards_fault(const struct weir__stack_options *options)
{
    struct weir__stack *stacks[3];

    init(options);
    for (int i = 0; i < 3; i++)
        stacks[i] = acquire(i == 2 ? 1024 * KIB : 0);
    for (int i = 0; i < 3; i++)
        assert_guarded(stacks[i]);
    for (int i = 0; i < 3; i++)
        weir__stack_release(&pool, stacks[i]);
    assert_guarded(acquire(0));
    weir__stack_release(&pool, stacks[1]);
    term();
}

static void test_guards_fault(void **state)
{
    (void)state;
    guards_fault(NULL);
}

static void test_guards_by_mprotect_fault(void **state)
{
    (void)state;
    guards_fault(&(struct weir__stack_options){ .guard_by_mprotect = true });
}

/* Where the kernel has no guards without mappings, that is the limit of what can be asked. */
static bool kernel_has_guards(void)
{
    bool has;

    init(NULL);
    weir__stack_release(&pool, acquire(0));
    has = stats().mapping_count == 0;
    term();
    return has;
}

static void test_a_hundred_thousand_in_few_mappings(void **state)
{
    struct weir__stack *held = NULL;
    size_t before = mapping_count();

    (void)state;
    if (!kernel_has_guards()) {
        print_message("skipped: MADV_GUARD_INSTALL needs Linux 6.13\n");
        skip();
    }
    init(NULL);
    for (size_t i = 0; i < MANY; i++) {
        struct weir__stack *stack = acquire(0);

        stack->next = held;
        held = stack;
    }
    assert_in_range(mapping_count(), before, before + MAPPINGS_MAX);
    assert_int_equal(stats().used_count, MANY);
    assert_int_equal(stats().mapping_count, 0);
    assert_guarded(held);
    while (held != NULL) {
        struct weir__stack *next = held->next;

        weir__stack_release(&pool, held);
        held = next;
    }
    assert_int_equal(stats().warm_count, limits.options.warm_count);
    assert_int_equal(stats().idle_count, MANY - limits.options.warm_count);
    term();
    assert_in_range(mapping_count(), 1, before + MAPPINGS_LEFT_MAX);
}

static void test_refuses_at_the_count_limit(void **state)
{
    struct weir__stack_pool other;
    struct weir__stack *a, *b, *c;

    (void)state;
    init(&(struct weir__stack_options){ .count_max = 2 });
    weir__stack_pool_init(&other, &limits);
    a = acquire(0);
    assert_int_equal(weir__stack_acquire(&other, 0, &b), 0);
    assert_int_equal(weir__stack_acquire(&pool, 0, &c), -EAGAIN);
    assert_int_equal(weir__stack_acquire(&other, 16 * KIB, &c), -EAGAIN);
    assert_int_equal(pool.refusal, WEIR__STACK_REFUSAL_COUNT);
    assert_non_null(strstr(weir__stack_refusal_text(pool.refusal), "raise the limit"));
    assert_int_equal(stats().refused_count, 1);
    /* What one pool released is another's to take. */
    weir__stack_release(&pool, a);
    assert_int_equal(weir__stack_acquire(&other, 0, &c), 0);
    weir__stack_release(&other, b);
    weir__stack_release(&other, c);
    weir__stack_pool_term(&other);
    term();
}

static void test_refuses_at_the_byte_limit(void **state)
{
    struct weir__stack *a, *b;

    (void)state;
    init(&(struct weir__stack_options){ .bytes_max = 128 * KIB });
    a = acquire(0);
    assert_int_equal(weir__stack_acquire(&pool, 65 * KIB, &b), -EAGAIN);
    assert_int_equal(pool.refusal, WEIR__STACK_REFUSAL_BYTES);
    b = acquire(64 * KIB);
    assert_int_equal(weir__stack_acquire(&pool, 16 * KIB, &b), -EAGAIN);
    weir__stack_release(&pool, b);
    weir__stack_release(&pool, a);
    term();
}

static void test_refuses_at_the_mapping_limit(void **state)
{
    struct weir__stack *a, *b, *c;

    (void)state;
    init(&(struct weir__stack_options){ .guard_by_mprotect = true });
    assert_in_range(limits.mapping_max, 1, map_count_max() / 2 - 1);
    limits.mapping_max = 2;
    a = acquire(0);
    b = acquire(0);
    assert_int_equal(stats().mapping_count, 2);
    assert_int_equal(weir__stack_acquire(&pool, 0, &c), -EAGAIN);
    assert_int_equal(pool.refusal, WEIR__STACK_REFUSAL_MAPPINGS);
    assert_non_null(strstr(weir__stack_refusal_text(pool.refusal), "vm.max_map_count"));
    weir__stack_release(&pool, b);
    assert_ptr_equal(acquire(0), b);
    weir__stack_release(&pool, b);
    weir__stack_release(&pool, a);
    term();
}

static void test_mappings_suffice_for_what_is_promised(void **state)
{
    struct weir__stack *held = NULL;
    struct weir__stack *stack;
    size_t count = 0;

    (void)state;
    init(&(struct weir__stack_options){ .guard_by_mprotect = true });
    if (limits.mapping_max > MANY) {
        print_message("skipped: vm.max_map_count is too large to be used up here\n");
        skip();
    }
    for (; weir__stack_acquire(&pool, 0, &stack) == 0; count++) {
        stack->next = held;
        held = stack;
    }
    assert_int_equal(pool.refusal, WEIR__STACK_REFUSAL_MAPPINGS);
    assert_int_equal(count, limits.mapping_max);
    for (; held != NULL; held = stack) {
        stack = held->next;
        weir__stack_release(&pool, held);
    }
    term();
}

static void test_trim_gives_idle_memory_back(void **state)
{
    enum { COUNT = 10 };
    struct weir__stack *stacks[COUNT];
    int64_t now_ns = 1000;
    int64_t due_ns;

    (void)state;
    init(&(struct weir__stack_options){ .warm_count = 3 });
    for (int i = 0; i < COUNT; i++) {
        stacks[i] = acquire(0);
        touch_down_to(stacks[i], 10000);
    }
    assert_true(weir__stack_pool_trim(&pool, 100, now_ns) == WEIR__STACK_TRIM_NEVER);
    for (int i = 0; i < COUNT; i++)
        weir__stack_release(&pool, stacks[i]);
    assert_int_equal(stats().warm_count, 3);
    assert_int_equal(stats().idle_count, COUNT - 3);
    assert_int_equal(atomic_load(&limits.count), 3);

    /* The first period begins: nothing is known to be superfluous yet. */
    due_ns = weir__stack_pool_trim(&pool, 100, now_ns);
    assert_true(due_ns == now_ns + SECOND_NS);
    assert_true(weir__stack_pool_trim(&pool, 100, due_ns - 1) == due_ns);
    assert_int_equal(stats().trimmed_count, 0);

    /* Two of the seven are needed once during the period; so two of them stay, for now. */
    for (int i = 0; i < 5; i++)
        stacks[i] = acquire(0);
    for (int i = 0; i < 5; i++)
        weir__stack_release(&pool, stacks[i]);
    now_ns = due_ns;
    assert_true(weir__stack_pool_trim(&pool, 4, now_ns) == now_ns);
    assert_int_equal(stats().cold_count, 4);
    due_ns = weir__stack_pool_trim(&pool, 4, now_ns);
    assert_true(due_ns == now_ns + SECOND_NS);
    assert_int_equal(stats().cold_count, 5);
    weir__stack_pool_verify(&pool);
    assert_true(weir__stack_pool_trim(&pool, 100, due_ns) == WEIR__STACK_TRIM_NEVER);
    assert_int_equal(stats().cold_count, 7);
    assert_int_equal(stats().idle_count, 0);
    assert_int_equal(resident_bytes(pool.sizes[2].cold), 0);
    assert_int_equal(resident_bytes(pool.sizes[2].warm), 3 * limits.page_bytes);

    /* A cold stack is as good as a new one, and still guarded. */
    for (int i = 0; i < COUNT; i++)
        stacks[i] = acquire(0);
    assert_int_equal(stats().cold_count, 0);
    assert_int_equal(pool.sizes[2].made_count, COUNT);
    touch_down_to(stacks[COUNT - 1], 64 * KIB);
    assert_guarded(stacks[COUNT - 1]);
    for (int i = 0; i < COUNT; i++)
        weir__stack_release(&pool, stacks[i]);
    term();
}

static void test_high_water(void **state)
{
    struct weir__stack *small, *large;

    (void)state;
    init(NULL);
    small = acquire(0);
    large = acquire(8192 * KIB);
    assert_int_equal(weir__stack_high_water(small), 0);
    touch_down_to(small, 1);
    assert_int_equal(weir__stack_high_water(small), limits.page_bytes);
    touch_down_to(small, limits.page_bytes + 1);
    assert_int_equal(weir__stack_high_water(small), 2 * limits.page_bytes);
    touch_down_to(small, 64 * KIB);
    assert_int_equal(weir__stack_high_water(small), 64 * KIB);
    /* A deep page counts even when those above it were never touched. */
    *((volatile char *)large->base + 5000 * KIB) = 1;
    assert_int_equal(weir__stack_high_water(large), 3192 * KIB);
    weir__stack_release(&pool, small);
    weir__stack_release(&pool, large);
    assert_int_equal(stats().high_water_bytes[2], 64 * KIB);
    assert_int_equal(stats().high_water_bytes[9], 3192 * KIB);
    term();
}

static void test_prefaulted_stacks_stay(void **state)
{
    struct weir__stack *a, *b;

    (void)state;
    init(&(struct weir__stack_options){ .prefault = true, .warm_count = 1 });
    a = acquire(0);
    b = acquire(0);
    assert_int_equal(resident_bytes(a), 64 * KIB);
    weir__stack_release(&pool, a);
    weir__stack_release(&pool, b);
    assert_int_equal(stats().warm_count, 2);
    assert_int_equal(atomic_load(&limits.count), 2);
    assert_true(weir__stack_pool_trim(&pool, 100, SECOND_NS) == WEIR__STACK_TRIM_NEVER);
    term();
}

/* Sanitizers make mlockall a call that does nothing. */
static bool new_memory_is_locked(void)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char resident = 0;
    void *page = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return page != MAP_FAILED && mincore(page, page_bytes, &resident) == 0 && (resident & 1);
}

/* In a child, since locking the whole process would outlive the test. Exits 0, or with a step. */
static int run_locked(void)
{
    struct weir__stack *stack;

    if (mlockall(MCL_FUTURE) != 0 || !new_memory_is_locked())
        return 77;
    init(NULL);
    stack = acquire(0);
    if (stats().mapping_count != 1)
        return 1;
    if (resident_bytes(stack) != 64 * KIB)
        return 2;
    weir__stack_release(&pool, stack);
    term();
    return 0;
}

static void test_locked_memory_is_guarded_by_mprotect(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0)
        _exit(run_locked());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("skipped: mlockall is not permitted, or without effect in this build\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static struct weir__fiber thread_fiber, task_fiber;

static __attribute__((noinline)) int fill_frame(size_t bytes)
{
    volatile char *frame = __builtin_alloca(bytes);

    for (size_t i = 0; i < bytes; i++)
        frame[i] = 1;
    return frame[bytes / 2];
}

static void use_a_big_frame(void *arg)
{
    int *done = arg;

    weir__fiber_begin();
    *done = fill_frame(7500 * KIB);
    weir__fiber_exit(&task_fiber, &thread_fiber);
}

static void test_big_frames_fit_big_stacks(void **state)
{
    struct weir__stack *stack;
    int done = 0;

    (void)state;
    init(NULL);
    stack = acquire(8192 * KIB);
    weir__fiber_init_thread(&thread_fiber);
    weir__fiber_init(&task_fiber, stack, (char *)stack->base + stack->bytes, use_a_big_frame,
                     &done);
    weir__fiber_switch(&thread_fiber, &task_fiber);
    assert_int_equal(done, 1);
    assert_in_range(weir__stack_high_water(stack), 7500 * KIB, 8192 * KIB);
    weir__stack_release(&pool, stack);
    term();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hottest_first),
        cmocka_unit_test(test_sizes_are_powers_of_two),
        cmocka_unit_test(test_the_default_size_is_an_option),
        cmocka_unit_test(test_guards_fault),
        cmocka_unit_test(test_guards_by_mprotect_fault),
        cmocka_unit_test(test_a_hundred_thousand_in_few_mappings),
        cmocka_unit_test(test_refuses_at_the_count_limit),
        cmocka_unit_test(test_refuses_at_the_byte_limit),
        cmocka_unit_test(test_refuses_at_the_mapping_limit),
        cmocka_unit_test(test_mappings_suffice_for_what_is_promised),
        cmocka_unit_test(test_trim_gives_idle_memory_back),
        cmocka_unit_test(test_high_water),
        cmocka_unit_test(test_prefaulted_stacks_stay),
        cmocka_unit_test(test_locked_memory_is_guarded_by_mprotect),
        cmocka_unit_test(test_big_frames_fit_big_stacks),
    };

    return cmocka_run_group_tests_name("fiber/stack", tests, NULL, NULL);
}
