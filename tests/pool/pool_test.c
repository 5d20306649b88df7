/* SPDX-License-Identifier: MIT */
/* The pool as its callers see it: results, queue and policies, what never starts, figures. */
#include "pool/pool.h"

#include "core/loop.h"
#include "core/task.h"
#include "pool/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { TASK_COUNT = 40, RACE_TASKS = 64, RACE_SPREAD_US = 200 };

static int add_one(void *arg)
{
    return ++*(int *)arg;
}

static int fail_badly(void *arg)
{
    (void)arg;
    return -ENOTTY;
}

static int call_results(void *arg)
{
    int number = 6;

    (void)arg;
    CHECK_EQUAL(weir_pool_run(add_one, &number, WEIR_FOREVER), 7);
    CHECK_EQUAL(number, 7);
    CHECK_EQUAL(weir_pool_run(add_one, &number, weir_in_seconds(60)), 8);
    CHECK_EQUAL(weir_pool_run(fail_badly, NULL, WEIR_FOREVER), -ENOTTY);
    return 0;
}

static void test_the_result_or_error_of_a_job_comes_back(void **state)
{
    (void)state;
    assert_int_equal(test_run(call_results, NULL, NULL), 0);
}

static int call_from_job(void *arg)
{
    CHECK_EQUAL(weir_pool_run(raise_flag, arg, WEIR_FOREVER), -ENXIO);
    return weir_task_self() == NULL ? 0 : -EINVAL;
}

static int call_cancelled(void *arg)
{
    weir_task_cancel(weir_task_self());
    while (!weir_cancelled())
        weir_yield();
    CHECK_EQUAL(weir_pool_run(raise_flag, arg, WEIR_FOREVER), -ECANCELED);
    weir_shield_enter();
    CHECK_EQUAL(weir_pool_run(call_from_job, arg, WEIR_FOREVER), 0);
    weir_shield_leave();
    return -ECANCELED;
}

static int call_in_vain(void *arg)
{
    struct weir_spawn_options options = { 0 };
    struct weir_pool_stats stats;
    struct weir_task *task;
    int result;

    CHECK_EQUAL(weir_pool_run(NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_pool_read_stats(NULL), -EINVAL);
    CHECK_EQUAL(weir_pool_run(raise_flag, arg, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_pool_run(raise_flag, arg, 1), -ETIME);
    options.task = &task;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), call_cancelled, arg, &options), 0);
    CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
    stats = read_stats();
    CHECK_SAME(stats.jobs_run, 1); /* the shielded one */
    CHECK_SAME(stats.jobs_expired + stats.jobs_cancelled + stats.jobs_refused, 0);
    return 0;
}

static void call_in_child(void *arg)
{
    struct weir_pool_stats stats;

    if (weir_pool_run(raise_flag, arg, WEIR_FOREVER) != -EOWNERDEAD ||
        weir_pool_read_stats(&stats) != -EOWNERDEAD)
        abort();
}

static void test_a_call_that_cannot_be_served_starts_nothing(void **state)
{
    _Atomic long flag = 0;
    struct weir_pool_stats stats;
    char output[256];

    (void)state;
    assert_int_equal(weir_pool_run(raise_flag, &flag, WEIR_FOREVER), -ENXIO);
    assert_int_equal(weir_pool_read_stats(&stats), -ENXIO);
    assert_int_equal(test_run(call_in_vain, &flag, NULL), 0);
    assert_int_equal(test_fork(call_in_child, &flag, output, sizeof output), 0);
    assert_int_equal(flag, 0);
}

/* One thread is held by `holder`; `flags` says whether the queued jobs have started. */
struct queue {
    struct gate gate;
    struct call holder;
    struct call calls[TASK_COUNT];
    _Atomic long flags[TASK_COUNT];
};

static struct queue queue;

static void queue_hold(void)
{
    memset(&queue, 0, sizeof queue);
    gate_init(&queue.gate);
    queue.holder = (struct call){ .fn = wait_at_gate, .arg = &queue.gate };
    queue.holder.deadline_ns = WEIR_FOREVER;
    call_start(&queue.holder);
    test_await(&queue.gate.entered, 1);
}

static void queue_add(size_t index, int64_t deadline_ns)
{
    queue.calls[index] = (struct call){
        .fn = raise_flag,
        .arg = &queue.flags[index],
        .deadline_ns = deadline_ns,
    };
    call_start(&queue.calls[index]);
    weir_yield(); /* the tasks call in the order of their indices */
}

/* With a deadline so near that on a loaded machine it may pass before the call is made: then the
 * next one. Returns the deadline of the job that came into the queue. */
static int64_t queue_add_expiring(size_t index)
{
    for (;;) {
        int64_t deadline_ns = weir_in_ms(5);
        struct weir_pool_stats stats;

        queue_add(index, deadline_ns);
        stats = read_stats();
        if (stats.queued + stats.jobs_expired > 0)
            return deadline_ns;
        CHECK_EQUAL(call_finish(&queue.calls[index]), -ETIME);
    }
}

static void queue_let_go(void)
{
    gate_pass(&queue.gate, 1);
    CHECK_EQUAL(call_finish(&queue.holder), JOB_RESULT);
}

/* Returns when the cancel has been delivered: a turn of the loop delivers before it expires. */
static void cancel_now(struct weir_task *task)
{
    CHECK_EQUAL(weir_task_cancel(task), 0);
    weir_sleep(weir_in_us(1));
}

static int fill_parking(void *arg)
{
    struct weir_pool_stats stats;

    (void)arg;
    queue_hold();
    for (size_t i = 0; i < 5; i++)
        queue_add(i, WEIR_FOREVER);
    stats = read_stats();
    CHECK_SAME(stats.queued, 2);
    CHECK_SAME(stats.threads_busy, 1);
    weir_task_cancel(queue.calls[3].task); /* parked for room */
    CHECK_EQUAL(call_finish(&queue.calls[3]), -ECANCELED);
    queue_let_go();
    for (size_t i = 0; i < 5; i++) {
        if (i != 3)
            CHECK_EQUAL(call_finish(&queue.calls[i]), JOB_RESULT);
    }
    CHECK_EQUAL(queue.flags[3], 0);
    stats = read_stats();
    CHECK_SAME(stats.queued_max, 2);
    CHECK_SAME(stats.jobs_run, 5);
    CHECK_SAME(stats.jobs_cancelled, 1);
    CHECK_SAME(stats.jobs_refused, 0);
    return 0;
}

static void test_a_full_queue_parks(void **state)
{
    const struct weir_options options = { .pool_threads_max = 1, .pool_queue_limit = 2 };

    (void)state;
    assert_int_equal(test_run(fill_parking, NULL, &options), 0);
}

static int call_release(struct call *call)
{
    return weir__pool_call_release(weir__loop_current->runtime->pool, call->fn, call->arg);
}

static void queue_add_release(size_t index)
{
    queue.calls[index] = (struct call){
        .call = call_release,
        .fn = raise_flag,
        .arg = &queue.flags[index],
    };
    call_start(&queue.calls[index]);
    weir_yield();
}

static int fill_refusing(void *arg)
{
    struct weir_pool_stats stats;

    (void)arg;
    queue_hold();
    for (size_t i = 0; i < 5; i++)
        queue_add(i, WEIR_FOREVER);
    for (size_t i = 2; i < 5; i++)
        CHECK_EQUAL(call_finish(&queue.calls[i]), -EBUSY);
    queue_add_release(5);
    stats = read_stats();
    CHECK_SAME(stats.queued, 3);
    CHECK_SAME(stats.jobs_refused, 3);
    cancel_now(queue.calls[5].task);
    weir__wait_interrupt(&queue.calls[5].task->wait, -ECANCELED); /* as a close of its file would */
    CHECK_EQUAL(weir_join(queue.calls[5].task, NULL, WEIR_NOW), -EAGAIN);
    queue_let_go();
    for (size_t i = 0; i < 2; i++)
        CHECK_EQUAL(call_finish(&queue.calls[i]), JOB_RESULT);
    CHECK_EQUAL(call_finish(&queue.calls[5]), JOB_RESULT);
    for (size_t i = 0; i < 6; i++)
        CHECK_EQUAL(queue.flags[i], i < 2 || i == 5);
    CHECK_SAME(read_stats().jobs_run, 4);
    CHECK_EQUAL(weir_pool_run(raise_flag, &queue.flags[6], WEIR_FOREVER), JOB_RESULT);
    return 0;
}

static void test_a_full_queue_refuses_all_but_release_calls(void **state)
{
    const struct weir_options options = {
        .pool_threads_max = 1,
        .pool_queue_limit = 2,
        .pool_when_full = WEIR_WHEN_FULL_REFUSE,
    };

    (void)state;
    assert_int_equal(test_run(fill_refusing, NULL, &options), 0);
}

static int fill_expiring(void *arg)
{
    struct weir_pool_stats stats;

    (void)arg;
    queue_hold();
    for (size_t i = 0; i < 3; i++)
        queue_add(i, WEIR_FOREVER);
    CHECK_EQUAL(call_finish(&queue.calls[2]), -ETIME); /* by the queue's own limit */
    queue_add(3, weir_in_us(100));
    CHECK_EQUAL(call_finish(&queue.calls[3]), -ETIME); /* by its deadline */
    stats = read_stats();
    CHECK_SAME(stats.queued, 2);
    CHECK_SAME(stats.jobs_refused, 1);
    CHECK_SAME(stats.jobs_expired, 1);
    queue_let_go();
    for (size_t i = 0; i < 2; i++)
        CHECK_EQUAL(call_finish(&queue.calls[i]), JOB_RESULT);
    CHECK_EQUAL(queue.flags[2] + queue.flags[3], 0);
    return 0;
}

static void test_a_full_queue_lets_expire(void **state)
{
    const struct weir_options options = {
        .pool_threads_max = 1,
        .pool_queue_limit = 2,
        .pool_when_full = WEIR_WHEN_FULL_EXPIRE,
        .pool_wait_ns = 20000000,
    };

    (void)state;
    assert_int_equal(test_run(fill_expiring, NULL, &options), 0);
}

static int burst_into_idle(void *arg)
{
    struct weir_pool_stats stats;

    (void)arg;
    memset(&queue, 0, sizeof queue);
    gate_init(&queue.gate);
    for (size_t i = 0; i < 6; i++) {
        queue.calls[i] = (struct call){ .fn = wait_at_gate, .arg = &queue.gate };
        queue.calls[i].deadline_ns = WEIR_FOREVER;
        call_start(&queue.calls[i]);
    }
    CHECK_EQUAL(call_finish(&queue.calls[5]), -EBUSY);
    gate_pass(&queue.gate, 5);
    for (size_t i = 0; i < 5; i++)
        CHECK_EQUAL(call_finish(&queue.calls[i]), JOB_RESULT);
    stats = read_stats();
    CHECK_SAME(stats.jobs_refused, 1);
    CHECK(stats.queued_max <= 1);
    return 0;
}

static void test_jobs_that_threads_can_have_take_no_room_in_the_queue(void **state)
{
    const struct weir_options options = {
        .loop_count = 1,
        .pool_threads_max = 4,
        .pool_queue_limit = 1,
        .pool_when_full = WEIR_WHEN_FULL_REFUSE,
    };

    (void)state;
    assert_int_equal(test_run(burst_into_idle, NULL, &options), 0);
}

static int expire_and_cancel_queued(void *arg)
{
    struct weir_pool_stats stats;

    (void)arg;
    queue_hold();
    queue_add_expiring(0);
    queue_add(1, WEIR_FOREVER);
    queue_add(2, WEIR_FOREVER);
    CHECK_EQUAL(call_finish(&queue.calls[0]), -ETIME);
    weir_task_cancel(queue.calls[1].task);
    CHECK_EQUAL(call_finish(&queue.calls[1]), -ECANCELED);
    stats = read_stats();
    CHECK_SAME(stats.queued, 1);
    CHECK_SAME(stats.jobs_expired, 1);
    CHECK_SAME(stats.jobs_cancelled, 1);
    queue_let_go();
    CHECK_EQUAL(call_finish(&queue.calls[2]), JOB_RESULT);
    CHECK_EQUAL(queue.flags[0] + queue.flags[1], 0);
    CHECK_SAME(read_stats().jobs_run, 2);
    return 0;
}

static void test_a_job_that_expires_or_is_cancelled_in_the_queue_never_starts(void **state)
{
    const struct weir_options options = { .pool_threads_max = 1 };

    (void)state;
    assert_int_equal(test_run(expire_and_cancel_queued, NULL, &options), 0);
}

/* Holds the loop, which so cannot take the job back itself. */
static int expire_behind_a_busy_loop(void *arg)
{
    int64_t deadline_ns;

    (void)arg;
    queue_hold();
    deadline_ns = queue_add_expiring(0);
    while (weir_now_ns() < deadline_ns)
        ;
    gate_pass(&queue.gate, 1);
    while (read_stats().jobs_expired == 0)
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    CHECK_EQUAL(call_finish(&queue.calls[0]), -ETIME);
    CHECK_EQUAL(queue.flags[0], 0);
    CHECK_EQUAL(call_finish(&queue.holder), JOB_RESULT);
    return 0;
}

static void test_a_thread_starts_no_expired_job(void **state)
{
    const struct weir_options options = { .pool_threads_max = 1, .loop_count = 1 };

    (void)state;
    assert_int_equal(test_run(expire_behind_a_busy_loop, NULL, &options), 0);
}

static int cancel_running(void *arg)
{
    (void)arg;
    queue_hold();
    cancel_now(queue.holder.task);
    CHECK_EQUAL(weir_join(queue.holder.task, NULL, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(queue.gate.inside, 1);
    queue_let_go();
    CHECK_SAME(read_stats().jobs_run, 1);
    CHECK_SAME(read_stats().jobs_cancelled, 0);
    return 0;
}

/* The job begins before its deadline; or the call is over, and is repeated with a later one. */
static int outlive_deadline(void *arg)
{
    int64_t deadline_ns = 0;

    (void)arg;
    for (int ms = 5; queue.gate.entered == 0; ms *= 2) {
        deadline_ns = weir_in_ms(ms);
        queue.holder = (struct call){ .fn = wait_at_gate, .arg = &queue.gate };
        queue.holder.deadline_ns = deadline_ns;
        call_start(&queue.holder);
        while (queue.gate.entered == 0 && weir_join(queue.holder.task, NULL, WEIR_NOW) < 0)
            weir_sleep(weir_in_us(LOOK_PAUSE_US));
    }
    weir_sleep(deadline_ns + 1000000);
    CHECK_EQUAL(weir_join(queue.holder.task, NULL, WEIR_NOW), -EAGAIN);
    queue_let_go();
    return 0;
}

static void test_a_running_job_is_waited_for(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_running, NULL, NULL), 0);
    memset(&queue, 0, sizeof queue);
    gate_init(&queue.gate);
    assert_int_equal(test_run(outlive_deadline, NULL, NULL), 0);
}

static int measure_job(void *arg)
{
    int64_t end_ns = weir_now_ns() + *(int64_t *)arg;

    while (weir_now_ns() < end_ns)
        ;
    return 0;
}

static int measure(void *arg)
{
    struct weir_pool_stats stats;
    int64_t run_ns = 3000000;
    int64_t queued_ns;

    (void)arg;
    queue_hold();
    queue_add(0, WEIR_FOREVER);
    CHECK_SAME(read_stats().queued, 1);
    queued_ns = weir_now_ns();
    weir_sleep(weir_in_ms(2));
    queued_ns = weir_now_ns() - queued_ns;
    queue_let_go();
    CHECK_EQUAL(call_finish(&queue.calls[0]), JOB_RESULT);
    stats = read_stats();
    CHECK(stats.wait_max_ns >= (uint64_t)queued_ns);
    CHECK(stats.run_max_ns >= (uint64_t)queued_ns); /* the holder's */
    CHECK_EQUAL(weir_pool_run(measure_job, &run_ns, WEIR_FOREVER), 0);
    CHECK(read_stats().run_ns - stats.run_ns >= (uint64_t)run_ns);
    stats = read_stats();
    CHECK(stats.wait_ns >= stats.wait_max_ns);
    CHECK(stats.run_ns >= stats.run_max_ns);
    CHECK_SAME(stats.jobs_run, 3);
    CHECK_SAME(stats.threads_busy, 0);
    CHECK_SAME(stats.queued, 0);
    CHECK_SAME(stats.queued_max, 1);
    return 0;
}

static void test_queue_wait_and_run_time_are_measured_apart(void **state)
{
    const struct weir_options options = { .pool_threads_max = 1 };

    (void)state;
    assert_int_equal(test_run(measure, NULL, &options), 0);
}

/* Small jobs from all loops, with deadlines and cancels that race their start. */
struct race {
    _Atomic long run_count;
    _Atomic long expired_count;
    _Atomic long cancelled_count;
    _Atomic long refused_count;
    _Atomic long early_count; /* refused before the queue was looked at */
};

static struct race race;
static long race_rounds;

static int64_t race_deadline(long round, unsigned *random)
{
    if (round % 4)
        return WEIR_FOREVER;
    return weir_in_us(rand_r(random) % RACE_SPREAD_US);
}

static int race_body(void *arg)
{
    unsigned random = (unsigned)(uintptr_t)arg;
    _Atomic long flag;
    int result = 0;

    for (long round = 0; round < race_rounds && result != -ECANCELED; round++) {
        bool early;
        int64_t deadline_ns = race_deadline(round, &random);

        atomic_init(&flag, 0);
        early = weir_cancelled();
        result = weir_pool_run(raise_flag, &flag, deadline_ns);
        CHECK_EQUAL(flag, result == JOB_RESULT);
        CHECK(result == JOB_RESULT || result == -ETIME || result == -ECANCELED || result == -EBUSY);
        atomic_fetch_add(result == JOB_RESULT   ? &race.run_count
                         : early                ? &race.early_count
                         : result == -ETIME     ? &race.expired_count
                         : result == -ECANCELED ? &race.cancelled_count
                                                : &race.refused_count,
                         1);
    }
    return result < 0 ? 0 : result;
}

static int race_all(void *arg)
{
    struct weir_spawn_options options = { .place = WEIR_PLACE_ANYWHERE };
    struct weir_task *tasks[RACE_TASKS];
    struct weir_pool_stats stats;

    (void)arg;
    for (size_t i = 0; i < RACE_TASKS; i++) {
        options.task = &tasks[i];
        CHECK_EQUAL(weir_spawn(weir_task_scope(), race_body, (void *)(i + 1), &options), 0);
    }
    for (size_t i = 0; i < RACE_TASKS; i++) {
        if (i % 8 == 0) {
            weir_sleep(weir_in_us(50));
            weir_task_cancel(tasks[i]);
        }
    }
    for (size_t i = 0; i < RACE_TASKS; i++)
        CHECK_EQUAL(weir_join(tasks[i], NULL, WEIR_FOREVER), 0);
    stats = read_stats();
    CHECK_SAME(stats.jobs_run, race.run_count);
    CHECK(stats.jobs_expired <= (uint64_t)race.expired_count); /* some had passed before the call */
    CHECK(stats.jobs_cancelled <= (uint64_t)race.cancelled_count);
    CHECK_SAME(stats.jobs_refused, race.refused_count);
    CHECK_SAME(stats.queued, 0);
    CHECK_SAME(stats.threads_busy, 0);
    CHECK(stats.threads_max <= 4);
    CHECK(stats.queued_max <= 16);
    return 0;
}

static void test_a_race_of_small_jobs_loses_none(void **state)
{
    static const enum weir_when_full policies[] = {
        WEIR_WHEN_FULL_PARK,
        WEIR_WHEN_FULL_REFUSE,
        WEIR_WHEN_FULL_EXPIRE,
    };

    (void)state;
    race_rounds = test_rounds(200, 10000, 100000);
    for (size_t i = 0; i < 3; i++) {
        const struct weir_options options = {
            .loop_count = 2,
            .pool_threads_max = 4,
            .pool_queue_limit = 16,
            .pool_when_full = policies[i],
            .pool_idle_ns = 100000,
        };

        memset(&race, 0, sizeof race);
        assert_int_equal(test_run(race_all, NULL, &options), 0);
        if (policies[i] == WEIR_WHEN_FULL_REFUSE)
            assert_true(race.refused_count > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_result_or_error_of_a_job_comes_back),
        cmocka_unit_test(test_a_call_that_cannot_be_served_starts_nothing),
        cmocka_unit_test(test_a_full_queue_parks),
        cmocka_unit_test(test_a_full_queue_refuses_all_but_release_calls),
        cmocka_unit_test(test_a_full_queue_lets_expire),
        cmocka_unit_test(test_jobs_that_threads_can_have_take_no_room_in_the_queue),
        cmocka_unit_test(test_a_job_that_expires_or_is_cancelled_in_the_queue_never_starts),
        cmocka_unit_test(test_a_thread_starts_no_expired_job),
        cmocka_unit_test(test_a_running_job_is_waited_for),
        cmocka_unit_test(test_queue_wait_and_run_time_are_measured_apart),
        cmocka_unit_test(test_a_race_of_small_jobs_loses_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
