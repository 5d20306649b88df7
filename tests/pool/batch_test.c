/* SPDX-License-Identifier: MIT */
/* What a loop hands over in one turn: sixteen at a time, the rest with the end of the turn; what is
 * taken back before that; and who looks after the jobs that a called thread leaves in the queue. */
#include "core/loop.h"
#include "pool/fixture.h"
#include "pool/pool.h"
#include "pool/thread.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 16, CALL_COUNT = 20, TRIES_MAX = 200 };

static struct gate gate;
static struct call holder, calls[CALL_COUNT];
static _Atomic long flags[CALL_COUNT];

/* The only thread of the pool has a job; and a turn has just begun. */
static void hold(void)
{
    gate_init(&gate);
    memset(calls, 0, sizeof calls);
    memset(flags, 0, sizeof flags);
    holder = (struct call){ .fn = wait_at_gate, .arg = &gate, .deadline_ns = WEIR_FOREVER };
    call_start(&holder);
    AWAIT(gate.entered == 1);
    weir_sleep(weir_in_us(1));
}

static void let_go(void)
{
    gate_pass(&gate, 1);
    CHECK_EQUAL(call_finish(&holder), JOB_RESULT);
}

static void add(size_t index)
{
    calls[index] = (struct call){
        .fn = raise_flag,
        .arg = &flags[index],
        .deadline_ns = WEIR_FOREVER,
    };
    call_start(&calls[index]);
}

/* As somebody sees the pool who has nothing to hand over. */
static void *look(void *pool)
{
    static struct weir_pool_stats stats;

    weir__pool_read_stats(pool, &stats);
    return &stats;
}

static uint64_t see_queued(void)
{
    const struct weir_pool_stats *stats;
    pthread_t thread;
    void *seen;

    CHECK_EQUAL(pthread_create(&thread, NULL, look, weir__loop_current->runtime->pool), 0);
    CHECK_EQUAL(pthread_join(thread, &seen), 0);
    stats = seen;
    return stats->queued;
}

static int hand_over_many(void *arg)
{
    (void)arg;
    hold();
    for (size_t i = 0; i < CALL_COUNT; i++)
        add(i);
    weir_yield(); /* all of them call, in this turn */
    CHECK_SAME(see_queued(), BATCH);
    AWAIT(see_queued() == CALL_COUNT);
    CHECK_SAME(read_stats().queued_max, CALL_COUNT);
    let_go();
    for (size_t i = 0; i < CALL_COUNT; i++)
        CHECK_EQUAL(call_finish(&calls[i]), JOB_RESULT);
    return 0;
}

static void test_sixteen_go_at_once_and_the_rest_with_the_turn(void **state)
{
    const struct weir_options options = { .loop_count = 1, .pool_threads_max = 1 };

    (void)state;
    assert_int_equal(test_run(hand_over_many, NULL, &options), 0);
}

static int hand_over_and_look(void *arg)
{
    (void)arg;
    hold();
    add(0);
    weir_yield();
    CHECK_SAME(see_queued(), 0);
    CHECK_SAME(read_stats().queued, 1);
    CHECK_SAME(see_queued(), 1);
    let_go();
    CHECK_EQUAL(call_finish(&calls[0]), JOB_RESULT);
    return 0;
}

static void test_who_looks_hands_over_first(void **state)
{
    const struct weir_options options = { .loop_count = 1, .pool_threads_max = 1 };

    (void)state;
    assert_int_equal(test_run(hand_over_and_look, NULL, &options), 0);
}

static int hand_over_to_nobody_at_work(void *arg)
{
    (void)arg;
    gate_init(&gate);
    calls[0] = (struct call){ .fn = wait_at_gate, .arg = &gate, .deadline_ns = WEIR_FOREVER };
    call_start(&calls[0]);
    weir_yield();
    while (atomic_load(&gate.entered) == 0) /* the loop is held up, the job is not */
        ;
    gate_pass(&gate, 1);
    CHECK_EQUAL(call_finish(&calls[0]), JOB_RESULT);
    return 0;
}

/* The first job of a runtime's life: its thread has just started, and rests. */
static int hand_over_once_at_rest(void *arg)
{
    CHECK_EQUAL(weir_pool_run(raise_flag, &flags[0], WEIR_FOREVER), JOB_RESULT);
    AWAIT(atomic_load(&weir__loop_current->runtime->pool->at_rest));
    return hand_over_to_nobody_at_work(arg);
}

static void test_a_job_does_not_wait_for_its_loop_while_nobody_is_at_work(void **state)
{
    const struct weir_options options = { .loop_count = 1, .spin_max_ns = -1 };

    (void)state;
    assert_int_equal(test_run(hand_over_once_at_rest, NULL, &options), 0);
}

/*
 * The second has waited for a place, which it gets when the first is cancelled; it is cancelled
 * itself before it goes on: so its job is taken back as soon as it is gathered.
 */
static int cancel_what_is_gathered(void *arg)
{
    struct weir_pool_stats stats;

    (void)arg;
    hold();
    add(0);
    add(1);
    weir_yield();
    CHECK_SAME(read_stats().queued, 1);
    weir_task_cancel(calls[0].task);
    weir_task_cancel(calls[1].task);
    CHECK_EQUAL(call_finish(&calls[0]), -ECANCELED);
    CHECK_EQUAL(call_finish(&calls[1]), -ECANCELED);
    stats = read_stats();
    CHECK_SAME(stats.queued, 0);
    CHECK_SAME(stats.jobs_cancelled, 2);
    CHECK_SAME(stats.places_waited, 1);
    add(2); /* its place is free again */
    weir_yield();
    CHECK_SAME(read_stats().queued, 1);
    let_go();
    CHECK_EQUAL(call_finish(&calls[2]), JOB_RESULT);
    CHECK_EQUAL(flags[0] + flags[1], 0);
    return 0;
}

static void test_a_gathered_job_can_be_taken_back(void **state)
{
    const struct weir_options options = {
        .loop_count = 1,
        .pool_threads_max = 1,
        .pool_queue_limit = 1,
    };

    (void)state;
    assert_int_equal(test_run(cancel_what_is_gathered, NULL, &options), 0);
}

/* Both jobs are in the queue before the thread that was called for the first has come. */
static bool leave_one_behind(struct weir_pool *pool)
{
    bool was_there;

    gate_init(&gate);
    for (size_t i = 0; i < 2; i++) {
        calls[i] = (struct call){
            .call = call_run_on,
            .pool = pool,
            .fn = wait_at_gate,
            .arg = &gate,
            .deadline_ns = WEIR_FOREVER,
        };
        call_start(&calls[i]);
    }
    weir_yield();
    was_there = read_stats_of(pool).threads_busy > 0;
    while (atomic_load(&gate.entered) == 0) /* the loop is held up: no mail is delivered */
        ;
    if (!was_there)
        CHECK(atomic_load(&weir__loop_current->pool_watch_asked));
    gate_pass(&gate, 2);
    CHECK_EQUAL(call_finish(&calls[0]), JOB_RESULT);
    CHECK_EQUAL(call_finish(&calls[1]), JOB_RESULT);
    return !was_there;
}

static int leave_until_seen(void *arg)
{
    bool seen = false;

    (void)arg;
    for (int attempt = 0; attempt < TRIES_MAX && !seen; attempt++) {
        struct weir_pool *pool = NULL;

        CHECK_EQUAL(weir_pool_create(&pool, "new", NULL), 0);
        AWAIT(atomic_load(&pool->at_rest));
        seen = leave_one_behind(pool);
        CHECK_EQUAL(weir_pool_destroy(pool), 0);
    }
    CHECK(seen);
    CHECK(!atomic_load(&weir__loop_current->pool_watch_asked)); /* delivered since */
    return 0;
}

static void test_a_called_thread_asks_a_loop_to_look_after_what_it_leaves(void **state)
{
    const struct weir_options options = { .loop_count = 1, .spin_max_ns = -1 };

    (void)state;
    assert_int_equal(test_run(leave_until_seen, NULL, &options), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sixteen_go_at_once_and_the_rest_with_the_turn),
        cmocka_unit_test(test_who_looks_hands_over_first),
        cmocka_unit_test(test_a_job_does_not_wait_for_its_loop_while_nobody_is_at_work),
        cmocka_unit_test(test_a_gathered_job_can_be_taken_back),
        cmocka_unit_test(test_a_called_thread_asks_a_loop_to_look_after_what_it_leaves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
