/* SPDX-License-Identifier: MIT */
/* Threads that cannot be had: starting one fails when the test says so (--wrap). */
#include "base/thread.h"
#include "pool/fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { CALL_COUNT = 6 };

static atomic_bool failing;
static _Atomic long failure_count;
static struct gate gate;
static struct call calls[CALL_COUNT];

int __real_weir__thread_create(pthread_t *thread, void *(*run)(void *arg), void *arg);
int __wrap_weir__thread_create(pthread_t *thread, void *(*run)(void *arg), void *arg);

int __wrap_weir__thread_create(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
    if (!atomic_load(&failing))
        return __real_weir__thread_create(thread, run, arg);
    atomic_fetch_add(&failure_count, 1);
    return -EAGAIN;
}

static void refuse(bool on)
{
    atomic_store(&failing, on);
}

static void start(struct weir_pool *pool, size_t index, weir_pool_fn *fn)
{
    calls[index] = (struct call){
        .call = call_run_on,
        .pool = pool,
        .fn = fn,
        .arg = fn == wait_at_gate ? (void *)&gate : &gate.entered,
        .deadline_ns = WEIR_FOREVER,
    };
    call_start(&calls[index]);
}

static int create_in_vain(void *arg)
{
    int threads = count_threads();
    struct weir_pool *pool;

    (void)arg;
    gate_init(&gate);
    refuse(true);
    CHECK_EQUAL(weir_pool_create(&pool, "none", NULL), -EAGAIN);
    CHECK_EQUAL(weir_pool_find(&pool, "none"), -ENOENT);
    CHECK_EQUAL(weir_cpu_run(raise_flag, &gate.entered, WEIR_FOREVER), -EAGAIN);
    CHECK_EQUAL(gate.entered, 0);
    refuse(false);
    CHECK_EQUAL(count_threads(), threads);
    CHECK_EQUAL(weir_pool_create(&pool, "none", NULL), 0);
    CHECK_EQUAL(weir_cpu_run(raise_flag, &gate.entered, WEIR_FOREVER), JOB_RESULT);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    return 0;
}

static void test_without_a_first_thread_there_is_no_pool(void **state)
{
    (void)state;
    assert_int_equal(test_run(create_in_vain, NULL, NULL), 0);
}

static void test_without_a_first_thread_there_is_no_runtime(void **state)
{
    (void)state;
    refuse(true);
    assert_int_equal(test_run(create_in_vain, NULL, NULL), -EAGAIN);
    refuse(false);
}

/* The one thread is stuck, more would be called and cannot be had: jobs wait for it, and as soon as
 * there are threads again, they get one. */
static int grow_in_vain(void *arg)
{
    struct weir_pool *pool;

    (void)arg;
    gate_init(&gate);
    CHECK_EQUAL(weir_pool_create(&pool, "one", NULL), 0);
    start(pool, 0, wait_at_gate);
    test_await(&gate.entered, 1);
    failure_count = 0;
    refuse(true);
    for (size_t i = 1; i < CALL_COUNT; i++)
        start(pool, i, raise_flag);
    test_await(&failure_count, 3);
    CHECK_EQUAL(gate.entered, 1);
    CHECK_SAME(read_stats_of(pool).threads_max, 1);
    refuse(false);
    for (size_t i = 1; i < CALL_COUNT; i++)
        CHECK_EQUAL(call_finish(&calls[i]), JOB_RESULT);
    CHECK_EQUAL(gate.inside, 1);
    gate_pass(&gate, 1);
    CHECK_EQUAL(call_finish(&calls[0]), JOB_RESULT);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    return 0;
}

static void test_a_pool_does_with_the_threads_it_has(void **state)
{
    (void)state;
    assert_int_equal(test_run(grow_in_vain, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_first_thread_there_is_no_pool),
        cmocka_unit_test(test_without_a_first_thread_there_is_no_runtime),
        cmocka_unit_test(test_a_pool_does_with_the_threads_it_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
