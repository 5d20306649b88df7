/* SPDX-License-Identifier: MIT */
/* When one more thread is called: the rule itself, and jobs that wait behind stuck ones. */
#include "pool/growth.h"

#include "pool/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define US INT64_C(1000)
#define MS INT64_C(1000000)

enum { CPUS = 4, LEARNED = 100, CALL_COUNT = 8 };

/* After many jobs that ran for so long. */
static struct weir__growth learn(int64_t run_ns, bool slept)
{
    struct weir__growth growth = { .parallel = CPUS, .after_ns = 50 * US };

    for (int i = 0; i < LEARNED; i++)
        weir__growth_note(&growth, run_ns, slept ? WEIR__GROWTH_SLEPT : WEIR__GROWTH_AWAKE);
    return growth;
}

static enum weir__growth_answer ask(const struct weir__growth *growth, size_t ready_count,
                                    unsigned working_count, int64_t waited_ns)
{
    const struct weir__growth_look look = {
        .ready_count = ready_count,
        .working_count = working_count,
        .waited_ns = waited_ns,
    };

    return weir__growth_ask(growth, &look);
}

static void test_where_nobody_works_a_job_gets_a_thread(void **state)
{
    struct weir__growth growth = learn(1 * US, false);

    (void)state;
    assert_int_equal(ask(&growth, 1, 0, 0), WEIR__GROWTH_NEW);
    assert_int_equal(ask(&growth, 0, 0, 0), WEIR__GROWTH_NONE);
    assert_int_equal(ask(&growth, 0, 9, 0), WEIR__GROWTH_NONE);
}

static void test_short_jobs_wait_for_who_works(void **state)
{
    struct weir__growth growth = learn(1 * US, false);

    (void)state;
    assert_int_equal(ask(&growth, 10, 1, 0), WEIR__GROWTH_NONE);
    assert_int_equal(ask(&growth, 10, 1, 60 * US), WEIR__GROWTH_NONE);
    assert_int_equal(ask(&growth, 64, 1, 0), WEIR__GROWTH_IDLE); /* 64 us of work */
    assert_int_equal(ask(&growth, 64, 1, 60 * US), WEIR__GROWTH_NEW);
    assert_int_equal(ask(&growth, 64, 4, 60 * US), WEIR__GROWTH_NONE);
}

static void test_what_computes_needs_no_more_threads_than_cpus(void **state)
{
    struct weir__growth growth = learn(100 * US, false);

    (void)state;
    assert_int_equal(ask(&growth, 1, CPUS - 1, 0), WEIR__GROWTH_IDLE);
    assert_int_equal(ask(&growth, 1, CPUS - 1, 50 * US), WEIR__GROWTH_NEW);
    assert_int_equal(ask(&growth, 1000, CPUS, 50 * US), WEIR__GROWTH_NONE);
    assert_false(weir__growth_is_crowd(&growth, CPUS));
    assert_true(weir__growth_is_crowd(&growth, CPUS + 1));
}

static void test_what_sleeps_needs_a_thread_each(void **state)
{
    struct weir__growth growth = learn(100 * US, true);

    (void)state;
    assert_int_equal(ask(&growth, 10, CPUS + 1, 0), WEIR__GROWTH_IDLE);
    assert_int_equal(ask(&growth, 10, CPUS + 1, 49 * US), WEIR__GROWTH_IDLE);
    assert_int_equal(ask(&growth, 10, CPUS + 1, 50 * US), WEIR__GROWTH_NEW);
    assert_false(weir__growth_is_crowd(&growth, CPUS + 1));
}

static void test_some_jobs_change_the_mind(void **state)
{
    struct weir__growth growth = learn(1000 * MS, true);

    (void)state;
    for (int i = 0; i < 64; i++)
        weir__growth_note(&growth, 4 * US, WEIR__GROWTH_UNASKED);
    assert_int_equal(ask(&growth, 2, CPUS, 0), WEIR__GROWTH_NONE);
    assert_int_equal(ask(&growth, 64, CPUS, 60 * US), WEIR__GROWTH_NONE);
}

/* --- In a pool -------------------------------------------------------------------------------- */

static struct gate gate;
static struct call calls[CALL_COUNT];

static void hold(struct weir_pool *pool, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        calls[i] = (struct call){
            .call = call_run_on,
            .pool = pool,
            .fn = wait_at_gate,
            .arg = &gate,
            .deadline_ns = WEIR_FOREVER,
        };
        call_start(&calls[i]);
    }
}

static void let_go(size_t count)
{
    gate_pass(&gate, (long)count);
    for (size_t i = 0; i < count; i++)
        CHECK_EQUAL(call_finish(&calls[i]), JOB_RESULT);
}

static struct weir_pool *make(int64_t grow_after_ns)
{
    const struct weir_pool_options options = { .grow_after_ns = grow_after_ns };
    struct weir_pool *pool = NULL;

    gate_init(&gate);
    CHECK_EQUAL(weir_pool_create(&pool, "growing", &options), 0);
    return pool;
}

/* Nothing happens in the pool after the last call: the loop itself sees that they are stuck. */
static int wait_behind_stuck_jobs(void *arg)
{
    int64_t grow_after_ns = *(int64_t *)arg;
    struct weir_pool *pool = make(grow_after_ns);

    for (size_t i = 0; i < CALL_COUNT; i++) {
        hold(pool, i, i + 1);
        test_await(&gate.entered, (long)i + 1);
    }
    CHECK_SAME(read_stats_of(pool).threads, CALL_COUNT);
    let_go(CALL_COUNT);
    gate_init(&gate);
    hold(pool, 0, CALL_COUNT); /* all at once, for threads that are there */
    test_await(&gate.entered, CALL_COUNT);
    CHECK_SAME(read_stats_of(pool).threads_started, CALL_COUNT);
    let_go(CALL_COUNT);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    return 0;
}

static void test_who_waits_behind_stuck_jobs_gets_a_thread(void **state)
{
    static const int64_t after_ns[] = { 0, -1, 2000000 };

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(test_run(wait_behind_stuck_jobs, (void *)(uintptr_t)&after_ns[i], NULL),
                         0);
}

/* Until its time to wait is over a job has no thread of its own, and one that is busy is enough. */
static int wait_for_an_hour(void *arg)
{
    struct weir_pool *pool = make(3600 * 1000 * MS);
    _Atomic long flag = 0;

    (void)arg;
    hold(pool, 0, 1);
    test_await(&gate.entered, 1);
    calls[1] = (struct call){ .call = call_run_on,
                              .pool = pool,
                              .fn = raise_flag,
                              .arg = &flag,
                              .deadline_ns = WEIR_FOREVER };
    call_start(&calls[1]);
    weir_sleep(weir_in_ms(2));
    CHECK_EQUAL(flag, 0);
    CHECK_SAME(read_stats_of(pool).threads, 1);
    let_go(2);
    CHECK_EQUAL(flag, 1);
    CHECK_SAME(read_stats_of(pool).threads_started, 1);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    return 0;
}

static void test_a_thread_is_started_only_when_a_job_has_waited(void **state)
{
    (void)state;
    assert_int_equal(test_run(wait_for_an_hour, NULL, NULL), 0);
}

/* --- Unrelated tasks -------------------------------------------------------------------------- */

enum { LOOPS = 2, ROUNDS = 1000 };

struct unrelated {
    struct weir_chan *there, *back;
};

static int answer(void *arg)
{
    const struct unrelated *unrelated = arg;
    int number;

    while (weir_chan_recv(unrelated->there, &number, WEIR_FOREVER) >= 0)
        CHECK_EQUAL(weir_chan_send(unrelated->back, &number, WEIR_FOREVER), 0);
    return 0;
}

static int ask_often(void *arg)
{
    const struct unrelated *unrelated = arg;

    for (int i = 0, number; i < ROUNDS; i++) {
        CHECK_EQUAL(weir_chan_send(unrelated->there, &i, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_chan_recv(unrelated->back, &number, WEIR_FOREVER), 0);
        CHECK_EQUAL(number, i);
        if (i % 100 == 0)
            weir_sleep(weir_in_us(1));
    }
    return weir_chan_close(unrelated->there, 0);
}

static int block_on_each_loop(void *arg)
{
    struct unrelated unrelated[LOOPS];
    struct weir_scope *scope;

    (void)arg;
    gate_init(&gate);
    for (unsigned i = 0; i < 2 * LOOPS; i++) {
        struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP,
                                              .loop_index = i % LOOPS,
                                              .task = &calls[i].task };

        calls[i] = (struct call){ .fn = wait_at_gate, .arg = &gate, .deadline_ns = WEIR_FOREVER };
        CHECK_EQUAL(weir_spawn(weir_task_scope(), call_body, &calls[i], &options), 0);
    }
    test_await(&gate.entered, 2 * LOOPS);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    for (unsigned i = 0; i < LOOPS; i++) {
        struct weir_spawn_options here = { .place = WEIR_PLACE_LOOP, .loop_index = i };
        struct weir_spawn_options there = { .place = WEIR_PLACE_LOOP,
                                            .loop_index = (i + 1) % LOOPS };

        CHECK_EQUAL(weir_chan_create(&unrelated[i].there, sizeof(int), 0, NULL), 0);
        CHECK_EQUAL(weir_chan_create(&unrelated[i].back, sizeof(int), 0, NULL), 0);
        CHECK_EQUAL(weir_spawn(scope, ask_often, &unrelated[i], &here), 0);
        CHECK_EQUAL(weir_spawn(scope, answer, &unrelated[i], &there), 0);
    }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(gate.inside, 2 * LOOPS); /* all of them still block */
    let_go(2 * LOOPS);
    for (unsigned i = 0; i < LOOPS; i++) {
        weir_chan_release(unrelated[i].there);
        weir_chan_release(unrelated[i].back);
    }
    return 0;
}

static void case_175_blocking_work_stops_nobody(void **state)
{
    const struct weir_options options = { .loop_count = LOOPS };

    (void)state;
    assert_int_equal(test_run(block_on_each_loop, NULL, &options), 0);
}

/* --- A full pool ------------------------------------------------------------------------------ */

enum { FULL_MS = 100, LOOK_MS = 10, LOOKS_BESIDE = 20 };

static uint64_t count_sleeps(void)
{
    uint64_t counters[WEIR_COUNTER_COUNT];

    CHECK_EQUAL(weir_stats_read(counters, WEIR_COUNTER_COUNT), WEIR_COUNTER_COUNT);
    return counters[WEIR_SLEEPS];
}

/* Where all threads are at work, the loop has little to look for. */
static int wait_for_a_full_pool(void *arg)
{
    const struct weir_pool_options options = { .threads_max = 1 };
    int64_t start_ns;
    uint64_t before;
    struct call two[2];
    struct weir_pool *pool;

    (void)arg;
    gate_init(&gate);
    CHECK_EQUAL(weir_pool_create(&pool, "full", &options), 0);
    for (int i = 0; i < 2; i++) {
        two[i] = (struct call){
            .call = call_run_on,
            .pool = pool,
            .fn = wait_at_gate,
            .arg = &gate,
            .deadline_ns = WEIR_FOREVER,
        };
        call_start(&two[i]);
    }
    AWAIT(gate.entered == 1 && read_stats_of(pool).queued == 1);
    start_ns = weir_now_ns();
    before = count_sleeps();
    CHECK_EQUAL(weir_sleep(weir_in_ms(FULL_MS)), 0);
    CHECK((int64_t)(count_sleeps() - before) <
          LOOKS_BESIDE + (weir_now_ns() - start_ns) / (LOOK_MS * 1000000));
    gate_pass(&gate, 2);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(call_finish(&two[i]), JOB_RESULT);
    AWAIT(weir_pool_destroy(pool) == 0);
    return 0;
}

static void test_a_full_pool_is_seldom_looked_at(void **state)
{
    const struct weir_options options = { .loop_count = 1 };

    (void)state;
    assert_int_equal(test_run(wait_for_a_full_pool, NULL, &options), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_nobody_works_a_job_gets_a_thread),
        cmocka_unit_test(test_short_jobs_wait_for_who_works),
        cmocka_unit_test(test_what_computes_needs_no_more_threads_than_cpus),
        cmocka_unit_test(test_what_sleeps_needs_a_thread_each),
        cmocka_unit_test(test_some_jobs_change_the_mind),
        cmocka_unit_test(test_who_waits_behind_stuck_jobs_gets_a_thread),
        cmocka_unit_test(test_a_thread_is_started_only_when_a_job_has_waited),
        cmocka_unit_test(test_a_full_pool_is_seldom_looked_at),
        cmocka_unit_test(case_175_blocking_work_stops_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
