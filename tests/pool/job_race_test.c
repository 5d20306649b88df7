/* SPDX-License-Identifier: MIT */
/* Jobs of all kinds from all loops, in pools that come and go, while deadlines and cancels race
 * their start and their end: each is run, or not begun, or abandoned, exactly as its call says. */
#include "pool/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum {
    TASKS = 32,
    SPREAD_US = 100,
    RUN_SPREAD = 20000, /* rounds of a job's own loop */
    POOL_ROUNDS = 64,   /* calls of a task in one pool of its own */
    MARK = 0x5eed,
};

/* What a job does to its storage, or to its caller's memory. */
struct work {
    long number;
    unsigned spins;
    _Atomic long *begun;
};

static _Atomic long begun_count, cleaned_count, left_count, run_count, lost_count;
static long round_count;

static int do_work(void *arg)
{
    struct work *work = arg;
    volatile unsigned spins = work->spins;

    atomic_fetch_add(work->begun, 1);
    while (spins > 0)
        spins--;
    if (work->spins % 8 == 0) /* surely over its deadline, if it has one */
        nanosleep(&(struct timespec){ .tv_nsec = 2 * SPREAD_US * 1000 }, NULL);
    work->number++;
    return MARK;
}

static void clean_work(void *arg)
{
    struct work *work = arg;

    CHECK_EQUAL(work->number % 2, 1); /* it has run, once */
    atomic_fetch_add(&cleaned_count, 1);
}

static void check_result(const struct work *work, long number, int result, bool left)
{
    CHECK(result == MARK || result == -ETIME || result == -ECANCELED);
    CHECK_EQUAL(work->number, result == MARK ? number + 1 : number);
    if (left)
        CHECK(result != MARK);
    atomic_fetch_add(result == MARK ? &run_count : left ? &left_count : &lost_count, 1);
}

/* One call, drawn at random. Returns its result. */
static int call_once(struct weir_pool *pool, unsigned *random)
{
    struct work work = {
        .number = 2 * (long)(rand_r(random) % 1000),
        .spins = (unsigned)rand_r(random) % RUN_SPREAD,
        .begun = &begun_count,
    };
    bool left = false, abandonable = rand_r(random) % 2;
    struct weir_job_options options = {
        .sets_priority = true,
        .priority = (enum weir_priority)(rand_r(random) % WEIR_PRIORITY_COUNT),
        .slow = rand_r(random) % 4 == 0,
        .abandonable = abandonable,
        .storage_bytes = abandonable ? sizeof work : 0,
        .cleanup = abandonable ? clean_work : NULL,
        .abandoned = &left,
    };
    long number = work.number;
    int64_t deadline_ns =
        rand_r(random) % 2 ? WEIR_FOREVER : weir_in_us(rand_r(random) % SPREAD_US);
    int result = weir_pool_run_on(pool, do_work, &work, &options, deadline_ns);

    check_result(&work, number, result, left);
    return result;
}

/* Calls until it is cancelled, or has called enough. */
static int call_often(void *arg)
{
    unsigned random = (unsigned)(uintptr_t)arg;
    struct weir_pool *own = NULL;
    char name[16];
    int result = 0;

    for (long round = 0; round < round_count && result != -ECANCELED; round++) {
        if (arg && (uintptr_t)arg % 4 == 0 && round % POOL_ROUNDS == 0) {
            if (own)
                AWAIT(weir_pool_destroy(own) != -EBUSY); /* an abandoned job just ends */
            snprintf(name, sizeof name, "of %u", (unsigned)(uintptr_t)arg);
            CHECK_EQUAL(weir_pool_create(&own, name, NULL), 0);
        }
        result = call_once(own, &random);
    }
    if (own) {
        weir_shield_enter();
        AWAIT(weir_pool_destroy(own) != -EBUSY);
        weir_shield_leave();
    }
    return 0;
}

static int race(void *arg)
{
    struct weir_task *tasks[TASKS];
    struct weir_pool_stats stats;

    (void)arg;
    for (uintptr_t i = 0; i < TASKS; i++) {
        struct weir_spawn_options options = { .place = WEIR_PLACE_ANYWHERE, .task = &tasks[i] };

        CHECK_EQUAL(weir_spawn(weir_task_scope(), call_often, (void *)(i + 1), &options), 0);
    }
    for (size_t i = 0; i < TASKS; i += 3) {
        weir_sleep(weir_in_us(100));
        CHECK(weir_task_cancel(tasks[i]) >= 0);
    }
    for (size_t i = 0; i < TASKS; i++)
        CHECK_EQUAL(weir_join(tasks[i], NULL, WEIR_FOREVER), 0);
    stats = read_stats();
    CHECK_SAME(stats.queued, 0);
    CHECK(stats.threads_busy == stats.abandoned_now);
    return 0;
}

static void test_every_job_ends_as_its_call_says(void **state)
{
    long rounds = test_rounds(2000, 50000, 320000);
    int threads;

    (void)state;
    assert_int_equal(test_run(race, NULL, NULL), 0); /* a sanitizer has its own thread now */
    threads = count_threads();
    for (long done = 0; done < rounds; done += round_count) {
        const struct weir_options options = {
            .loop_count = 2,
            .pool_threads_max = 4,
            .pool_queue_limit = 8,
            .pool_idle_ns = 100000,
        };

        round_count = rounds < 1000 ? rounds : 1000;
        assert_int_equal(test_run(race, NULL, &options), 0);
    }
    test_await_threads(threads);
    assert_int_equal(cleaned_count, left_count);
    assert_int_equal(left_count + run_count, begun_count);
    assert_true(left_count > 0);
    test_carry_out();
    print_message("%ld run, %ld abandoned, %ld never begun\n", run_count, left_count, lost_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_job_ends_as_its_call_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
