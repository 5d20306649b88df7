/* SPDX-License-Identifier: MIT */
/* The pool's threads: how many there are, which one is taken, what they inherit, how they end. */
#include "base/memory.h"
#include "pool/fixture.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { THREAD_COUNT = 8, CALL_COUNT = 40, SAME_COUNT = 100 };

static struct gate gate;
static struct call calls[CALL_COUNT];

static void hold(size_t count)
{
    gate_init(&gate);
    for (size_t i = 0; i < count; i++) {
        calls[i] = (struct call){ .fn = wait_at_gate, .arg = &gate, .deadline_ns = WEIR_FOREVER };
        call_start(&calls[i]);
    }
}

static void let_go(size_t count)
{
    gate_pass(&gate, (long)count);
    for (size_t i = 0; i < count; i++)
        CHECK_EQUAL(call_finish(&calls[i]), JOB_RESULT);
}

static int run_parallel(void *arg)
{
    struct weir_pool_stats stats;

    (void)arg;
    hold(CALL_COUNT);
    test_await(&gate.entered, THREAD_COUNT);
    AWAIT_STATS(stats, stats.queued == CALL_COUNT - THREAD_COUNT);
    CHECK_SAME(stats.threads, THREAD_COUNT);
    CHECK_SAME(stats.threads_busy, THREAD_COUNT);
    let_go(CALL_COUNT);
    CHECK_EQUAL(gate.inside_max, THREAD_COUNT);
    stats = read_stats();
    CHECK_SAME(stats.threads_max, THREAD_COUNT);
    CHECK_SAME(stats.threads_busy, 0);
    CHECK_SAME(stats.jobs_run, CALL_COUNT);
    return 0;
}

static void test_jobs_run_in_parallel_up_to_the_maximum(void **state)
{
    const struct weir_options options = { .pool_threads_max = THREAD_COUNT };

    (void)state;
    assert_int_equal(test_run(run_parallel, NULL, &options), 0);
}

static int grow_and_shrink(void *arg)
{
    unsigned min = *(unsigned *)arg;
    struct weir_pool_stats stats = read_stats();

    CHECK_SAME(stats.threads, 1);
    for (int round = 0; round < 3; round++) {
        hold(THREAD_COUNT);
        test_await(&gate.entered, THREAD_COUNT);
        CHECK_SAME(read_stats().threads, THREAD_COUNT);
        let_go(THREAD_COUNT);
        AWAIT_STATS(stats, stats.threads == min);
    }
    CHECK_SAME(stats.threads_max, THREAD_COUNT);
    return 0;
}

static void test_threads_come_with_jobs_and_go_when_idle(void **state)
{
    (void)state;
    for (unsigned min = 1; min <= 3; min += 2) {
        const struct weir_options options = {
            .pool_threads_min = min,
            .pool_threads_max = THREAD_COUNT,
            .pool_idle_ns = 1000000,
        };

        assert_int_equal(test_run(grow_and_shrink, &min, &options), 0);
    }
}

static int note_thread(void *arg)
{
    *(pthread_t *)arg = pthread_self();
    return 0;
}

static int call_one_by_one(void *arg)
{
    pthread_t first, next;
    int others = 0;

    (void)arg;
    hold(THREAD_COUNT);
    test_await(&gate.entered, THREAD_COUNT);
    let_go(THREAD_COUNT);
    CHECK_EQUAL(weir_pool_run(note_thread, &first, WEIR_FOREVER), 0);
    for (int i = 0; i < SAME_COUNT; i++) {
        CHECK_EQUAL(weir_pool_run(note_thread, &next, WEIR_FOREVER), 0);
        others += !pthread_equal(first, next);
    }
    CHECK_EQUAL(others, 0);
    CHECK_SAME(read_stats().threads, THREAD_COUNT);
    return 0;
}

static void test_the_thread_that_slept_least_is_taken(void **state)
{
    (void)state;
    assert_int_equal(test_run(call_one_by_one, NULL, NULL), 0);
}

struct inherited {
    char name[16];
    sigset_t blocked;
    cpu_set_t cpus;
};

static int look_around(void *arg)
{
    struct inherited *inherited = arg;

    pthread_getname_np(pthread_self(), inherited->name, sizeof inherited->name);
    pthread_sigmask(SIG_SETMASK, NULL, &inherited->blocked);
    pthread_getaffinity_np(pthread_self(), sizeof inherited->cpus, &inherited->cpus);
    return 0;
}

/* One job on a thread that the runtime started, one on a thread that the pinned loop did. */
static int look_around_twice(void *arg)
{
    struct inherited *inherited = arg;

    CHECK_EQUAL(weir_pool_run(look_around, &inherited[0], WEIR_FOREVER), 0);
    hold(1);
    test_await(&gate.entered, 1);
    CHECK_EQUAL(weir_pool_run(look_around, &inherited[1], WEIR_FOREVER), 0);
    let_go(1);
    return 0;
}

static void test_threads_have_a_name_no_signals_and_all_cpus(void **state)
{
    const struct weir_options options = { .pin_loops = true };
    struct inherited inherited[2];
    cpu_set_t cpus;

    (void)state;
    pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus);
    assert_int_equal(test_run(look_around_twice, inherited, &options), 0);
    assert_string_not_equal(inherited[0].name, inherited[1].name);
    for (int i = 0; i < 2; i++) {
        assert_memory_equal(inherited[i].name, "weir-pool-", strlen("weir-pool-"));
        assert_true(sigismember(&inherited[i].blocked, SIGTERM));
        assert_true(sigismember(&inherited[i].blocked, SIGPROF));
        assert_false(sigismember(&inherited[i].blocked, SIGSEGV));
        assert_true(CPU_EQUAL(&inherited[i].cpus, &cpus));
    }
}

static int call_without_memory(void *arg)
{
    _Atomic long flag = 0;
    unsigned long asked;

    (void)arg;
    hold(1);
    test_await(&gate.entered, 1);
    calls[1] = (struct call){ .fn = raise_flag, .arg = &flag, .deadline_ns = WEIR_FOREVER };
    call_start(&calls[1]);
    asked = weir__memory_alloc_count();
    weir__memory_fail_after(1); /* the new thread's */
    weir_yield();
    read_stats(); /* the call has come to the pool */
    weir__memory_fail_after(-1);
    CHECK(weir__memory_alloc_count() > asked);
    let_go(1);
    CHECK_EQUAL(call_finish(&calls[1]), JOB_RESULT);
    CHECK_EQUAL(weir_pool_run(raise_flag, &flag, WEIR_FOREVER), JOB_RESULT);
    return 0;
}

static void test_a_thread_that_cannot_be_had_is_done_without(void **state)
{
    const struct weir_options options = { .loop_count = 1, .pool_grow_after_ns = -1 };

    (void)state;
    assert_int_equal(test_run(call_without_memory, NULL, &options), 0);
}

static int grow(void *arg)
{
    (void)arg;
    hold(THREAD_COUNT);
    test_await(&gate.entered, THREAD_COUNT);
    let_go(THREAD_COUNT);
    return 0;
}

static void test_nothing_stays_of_a_pool(void **state)
{
    int threads = count_threads();
    int fds = count_fds();

    (void)state;
    for (int round = 0; round < 10; round++) {
        const struct weir_options options = {
            .pool_idle_ns = round % 2 ? 1 : 0, /* ending by themselves, or by the pool's end */
        };

        assert_int_equal(test_run(grow, NULL, &options), 0);
        /* A joined thread may be seen in /proc a moment longer. */
        for (int look = 0; count_threads() != threads && look < LOOKS_MAX; look++)
            sched_yield();
        assert_int_equal(count_threads(), threads);
        assert_int_equal(count_fds(), fds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_run_in_parallel_up_to_the_maximum),
        cmocka_unit_test(test_threads_come_with_jobs_and_go_when_idle),
        cmocka_unit_test(test_the_thread_that_slept_least_is_taken),
        cmocka_unit_test(test_threads_have_a_name_no_signals_and_all_cpus),
        cmocka_unit_test(test_a_thread_that_cannot_be_had_is_done_without),
        cmocka_unit_test(test_nothing_stays_of_a_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
