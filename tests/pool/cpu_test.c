/* SPDX-License-Identifier: MIT */
/* The pool for computations: as large as it may be and no larger, apart from the other, and not
 * there before it is used. */
#include "base/memory.h"
#include "pool/fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREAD_COUNT = 3, CALL_COUNT = 8 };

static struct gate gate;
static struct call calls[CALL_COUNT];

static int call_cpu(struct call *call)
{
    return weir_cpu_run(call->fn, call->arg, call->deadline_ns);
}

static struct weir_pool_stats read_cpu_stats(void)
{
    struct weir_pool_stats stats;

    CHECK_EQUAL(weir_cpu_read_stats(&stats), 0);
    return stats;
}

/* Starts `count` calls that wait at the gate. */
static void hold(size_t count)
{
    gate_init(&gate);
    for (size_t i = 0; i < count; i++) {
        calls[i] = (struct call){
            .call = call_cpu,
            .fn = wait_at_gate,
            .arg = &gate,
            .deadline_ns = WEIR_FOREVER,
        };
        call_start(&calls[i]);
        weir_yield(); /* they call in the order of their indices */
    }
}

static void let_go(size_t count, size_t passes)
{
    gate_pass(&gate, (long)passes);
    for (size_t i = 0; i < count; i++)
        CHECK_EQUAL(call_finish(&calls[i]), JOB_RESULT);
}

static int note_name(void *arg)
{
    return pthread_getname_np(pthread_self(), arg, 16);
}

static int add_one(void *arg)
{
    return ++*(int *)arg;
}

static int fail_badly(void *arg)
{
    (void)arg;
    return -ENOTTY;
}

static int use_for_the_first_time(void *arg)
{
    int thread_count = count_threads();
    int number = 6;
    char name[16];

    (void)arg;
    CHECK_EQUAL(weir_cpu_run(add_one, &number, WEIR_NOW), -EAGAIN);
    CHECK_SAME(read_stats().threads, 1);
    CHECK_EQUAL(weir_cpu_run(add_one, &number, WEIR_FOREVER), 7);
    CHECK_EQUAL(count_threads(), thread_count + 1);
    CHECK_EQUAL(weir_cpu_run(fail_badly, NULL, WEIR_FOREVER), -ENOTTY);
    CHECK_EQUAL(weir_cpu_run(note_name, name, WEIR_FOREVER), 0);
    CHECK(strncmp(name, "weir-cpu-", 9) == 0);
    CHECK_EQUAL(weir_pool_run(note_name, name, WEIR_FOREVER), 0);
    CHECK(strncmp(name, "weir-pool-", 10) == 0);
    CHECK_SAME(read_cpu_stats().jobs_run, 3);
    CHECK_SAME(read_stats().jobs_run, 1);
    return 0;
}

static void test_the_result_comes_back_from_threads_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(test_run(use_for_the_first_time, NULL, NULL), 0);
}

static int use_never(void *arg)
{
    (void)arg;
    CHECK_SAME(read_cpu_stats().threads, 0);
    CHECK_SAME(read_cpu_stats().threads_max, 0);
    return 0;
}

static void test_without_a_call_there_is_no_thread(void **state)
{
    (void)state;
    assert_int_equal(test_run(use_never, NULL, NULL), 0);
}

static int call_in_vain(void *arg)
{
    CHECK_EQUAL(weir_cpu_run(NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_cpu_read_stats(NULL), -EINVAL);
    weir__memory_fail_after(1);
    CHECK_EQUAL(weir_cpu_run(raise_flag, arg, WEIR_FOREVER), -ENOMEM);
    weir__memory_fail_after(-1);
    CHECK_SAME(read_cpu_stats().threads, 0);
    CHECK_SAME(*(_Atomic long *)arg, 0);
    CHECK_EQUAL(weir_cpu_run(raise_flag, arg, WEIR_FOREVER), JOB_RESULT);
    return 0;
}

static void call_in_child(void *arg)
{
    struct weir_pool_stats stats;

    if (weir_cpu_run(raise_flag, arg, WEIR_FOREVER) != -EOWNERDEAD ||
        weir_cpu_read_stats(&stats) != -EOWNERDEAD)
        abort();
}

static void test_a_call_that_cannot_be_served_starts_nothing(void **state)
{
    _Atomic long flag = 0;
    struct weir_pool_stats stats;
    char output[256];

    (void)state;
    assert_int_equal(weir_cpu_run(raise_flag, &flag, WEIR_FOREVER), -ENXIO);
    assert_int_equal(weir_cpu_read_stats(&stats), -ENXIO);
    assert_int_equal(test_run(call_in_vain, &flag, NULL), 0);
    assert_int_equal(flag, 1);
    assert_int_equal(test_fork(call_in_child, &flag, output, sizeof output), 0);
    assert_int_equal(flag, 1);
}

/* The other pool has had two threads, and one has ended: idle threads have had their time. */
static void await_idle_end(void)
{
    struct weir_pool_stats stats;

    gate_init(&gate);
    for (size_t i = 0; i < 2; i++) {
        calls[i] = (struct call){ .fn = wait_at_gate, .arg = &gate, .deadline_ns = WEIR_FOREVER };
        call_start(&calls[i]);
    }
    test_await(&gate.entered, 2);
    let_go(2, 2);
    AWAIT_STATS(stats, stats.threads == 1);
}

/* Threads come with jobs, never more than the options say, and stay. */
static int fill_and_rest(void *arg)
{
    struct weir_pool_stats stats;

    (void)arg;
    hold(CALL_COUNT);
    test_await(&gate.entered, THREAD_COUNT);
    stats = read_cpu_stats();
    CHECK_SAME(stats.threads_busy, THREAD_COUNT);
    CHECK_SAME(stats.queued, CALL_COUNT - THREAD_COUNT);
    let_go(CALL_COUNT, CALL_COUNT);
    CHECK_EQUAL(gate.inside_max, THREAD_COUNT);
    await_idle_end();
    CHECK_SAME(read_cpu_stats().threads, THREAD_COUNT);
    CHECK_SAME(read_cpu_stats().threads_max, THREAD_COUNT);
    CHECK_SAME(read_cpu_stats().jobs_run, CALL_COUNT);
    return 0;
}

static void test_threads_are_as_many_as_asked_for_and_stay(void **state)
{
    const struct weir_options options = { .cpu_threads = THREAD_COUNT, .pool_idle_ns = 1 };

    (void)state;
    assert_int_equal(test_run(fill_and_rest, NULL, &options), 0);
}

/* Neither pool is held up by a full other one. */
static int hold_each(void *arg)
{
    _Atomic long flag = 0;

    (void)arg;
    hold(1);
    test_await(&gate.entered, 1);
    CHECK_EQUAL(weir_pool_run(raise_flag, &flag, WEIR_FOREVER), JOB_RESULT);
    let_go(1, 1);
    gate_init(&gate);
    calls[0] = (struct call){ .fn = wait_at_gate, .arg = &gate, .deadline_ns = WEIR_FOREVER };
    call_start(&calls[0]);
    test_await(&gate.entered, 1);
    CHECK_EQUAL(weir_cpu_run(raise_flag, &flag, WEIR_FOREVER), JOB_RESULT);
    let_go(1, 1);
    CHECK_SAME(flag, 2);
    return 0;
}

static void test_the_two_pools_do_not_hold_each_other_up(void **state)
{
    const struct weir_options options = { .cpu_threads = 1, .pool_threads_max = 1 };

    (void)state;
    assert_int_equal(test_run(hold_each, NULL, &options), 0);
}

/* One runs, two are queued, the fourth meets the policy. */
static int fill_queue(void *arg)
{
    enum weir_when_full policy = *(enum weir_when_full *)arg;
    size_t served = policy == WEIR_WHEN_FULL_PARK ? 4 : 3;

    hold(4);
    test_await(&gate.entered, 1);
    CHECK_SAME(read_cpu_stats().queued, 2);
    if (policy == WEIR_WHEN_FULL_REFUSE)
        CHECK_EQUAL(call_finish(&calls[3]), -EBUSY);
    if (policy == WEIR_WHEN_FULL_EXPIRE)
        CHECK_EQUAL(call_finish(&calls[3]), -ETIME);
    let_go(served, served);
    CHECK_SAME(read_cpu_stats().jobs_run, served);
    CHECK_SAME(read_cpu_stats().jobs_refused, 4 - served);
    CHECK_SAME(read_cpu_stats().queued_max, 2);
    return 0;
}

static void test_a_full_queue_does_as_it_is_told(void **state)
{
    (void)state;
    for (enum weir_when_full policy = 0; policy <= WEIR_WHEN_FULL_EXPIRE; policy++) {
        const struct weir_options options = {
            .loop_count = 1,
            .cpu_threads = 1,
            .cpu_queue_limit = 2,
            .cpu_when_full = policy,
            .cpu_wait_ns = 1000000,
        };

        assert_int_equal(test_run(fill_queue, &policy, &options), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_result_comes_back_from_threads_of_its_own),
        cmocka_unit_test(test_without_a_call_there_is_no_thread),
        cmocka_unit_test(test_a_call_that_cannot_be_served_starts_nothing),
        cmocka_unit_test(test_threads_are_as_many_as_asked_for_and_stay),
        cmocka_unit_test(test_the_two_pools_do_not_hold_each_other_up),
        cmocka_unit_test(test_a_full_queue_does_as_it_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
