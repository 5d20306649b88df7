/* SPDX-License-Identifier: MIT */
/* Jobs that own their storage and may be left behind: who goes on when, and what becomes of it. */
#include "base/memory.h"
#include "core/task.h"
#include "pool/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { BIG_BYTES = 100000 };

static struct gate gate;
static _Atomic long cleaned; /* cleanups so far */

/* In storage, or handed over. */
struct errand {
    struct gate *gate;
    int number;
    char *note; /* the errand's own once it is left behind */
};

static int run_errand(void *arg)
{
    struct errand *errand = arg;

    wait_at_gate(errand->gate);
    errand->number++;
    return JOB_RESULT;
}

static void clean(void *arg)
{
    struct errand *errand = arg;

    CHECK_EQUAL(errand->number, 8); /* it ran to its end before */
    free(errand->note);
    atomic_fetch_add(&cleaned, 1);
}

static void clean_all(void *arg)
{
    clean(arg);
    free(arg);
}

static bool left;
static const struct weir_job_options leaving = {
    .name = "errand",
    .abandonable = true,
    .storage_bytes = sizeof(struct errand),
    .cleanup = clean,
    .abandoned = &left,
};

static struct errand make_errand(void)
{
    gate_init(&gate);
    cleaned = 0;
    left = true;
    return (struct errand){ .gate = &gate, .number = 7, .note = malloc(100) };
}

static struct call make_call(struct weir_pool *pool, struct errand *errand, int64_t deadline_ns)
{
    return (struct call){
        .call = call_run_on,
        .pool = pool,
        .fn = run_errand,
        .arg = errand,
        .options = &leaving,
        .deadline_ns = deadline_ns,
    };
}

static int stay(void *arg)
{
    struct errand errand = make_errand();
    struct call call = make_call(NULL, &errand, WEIR_FOREVER);

    (void)arg;
    call_start(&call);
    test_await(&gate.entered, 1);
    CHECK_EQUAL(errand.number, 7); /* what it works on is a copy */
    gate_pass(&gate, 1);
    CHECK_EQUAL(call_finish(&call), JOB_RESULT);
    CHECK_EQUAL(errand.number, 8);
    CHECK(!left);
    CHECK_EQUAL(cleaned, 0);
    CHECK_SAME(read_stats().abandoned, 0);
    free(errand.note);
    return 0;
}

static void test_who_is_not_left_gets_the_storage_back(void **state)
{
    (void)state;
    assert_int_equal(test_run(stay, NULL, NULL), 0);
}

/* A job that has begun, and its deadline: repeated with a later one until it began in time. */
static int leave_at_deadline(void *arg)
{
    struct errand errand;
    struct call call;
    int ms = 5;

    (void)arg;
    do {
        errand = make_errand();
        call = make_call(NULL, &errand, weir_in_ms(ms));
        call_start(&call);
        CHECK_EQUAL(call_finish(&call), -ETIME);
        if (!left)
            free(errand.note);
        ms *= 2;
    } while (!left && CHECK(ms < 20000));
    CHECK_EQUAL(errand.number, 7);
    CHECK_SAME(read_stats().abandoned, 1);
    CHECK_SAME(read_stats().abandoned_now, 1);
    CHECK_SAME(read_stats().threads_busy, 1);
    CHECK_EQUAL(cleaned, 0);
    gate_pass(&gate, 1);
    test_await(&cleaned, 1);
    CHECK_SAME(read_stats().abandoned, 1);
    CHECK_SAME(read_stats().abandoned_now, 0);
    CHECK_SAME(read_stats().jobs_run, 1);
    return 0;
}

static void test_a_deadline_leaves_a_running_job(void **state)
{
    (void)state;
    assert_int_equal(test_run(leave_at_deadline, NULL, NULL), 0);
}

static int leave_at_cancel(void *arg)
{
    struct errand errand = make_errand();
    struct call call = make_call(NULL, &errand, WEIR_FOREVER);

    (void)arg;
    call_start(&call);
    test_await(&gate.entered, 1);
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    CHECK(left);
    CHECK_SAME(read_stats().abandoned_now, 1);
    CHECK_SAME(read_stats().jobs_cancelled, 0);
    gate_pass(&gate, 1);
    test_await(&cleaned, 1);
    return 0;
}

static void test_a_cancel_leaves_a_running_job(void **state)
{
    (void)state;
    assert_int_equal(test_run(leave_at_cancel, NULL, NULL), 0);
}

/* The deadline passes, and before the task has gone on a cancel comes, too. */
static int leave_for_two_reasons(void *arg)
{
    struct errand errand = make_errand();
    struct call call = make_call(NULL, &errand, WEIR_FOREVER);

    (void)arg;
    call_start(&call);
    test_await(&gate.entered, 1);
    weir__wait_interrupt(&call.task->wait, -ETIME);
    weir__wait_interrupt(&call.task->wait, -ECANCELED);
    gate_pass(&gate, 1);
    CHECK_EQUAL(call_finish(&call), -ETIME);
    CHECK_SAME(read_stats().abandoned, 1);
    test_await(&cleaned, 1);
    return 0;
}

static void test_it_is_left_once(void **state)
{
    const struct weir_options options = { .loop_count = 1 };

    (void)state;
    assert_int_equal(test_run(leave_for_two_reasons, NULL, &options), 0);
}

/* Without storage_bytes nothing is copied: the memory itself changes hands. */
static int hand_over(void *arg)
{
    struct weir_job_options options = leaving;
    struct errand *errand = malloc(sizeof *errand);
    struct call call = make_call(NULL, errand, WEIR_FOREVER);

    (void)arg;
    options.storage_bytes = 0;
    options.cleanup = clean_all;
    *errand = make_errand();
    call.options = &options;
    call_start(&call);
    test_await(&gate.entered, 1);
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    CHECK(left);
    gate_pass(&gate, 1);
    test_await(&cleaned, 1);
    return 0;
}

static void test_memory_is_handed_over_with_the_job(void **state)
{
    (void)state;
    assert_int_equal(test_run(hand_over, NULL, NULL), 0);
}

/* What never began is not abandoned, and its caller keeps everything. */
static int leave_the_queue(void *arg)
{
    const struct weir_pool_options one = { .threads_max = 1 };
    struct weir_pool *pool;
    struct errand errand, holder;
    struct call held, call;

    (void)arg;
    CHECK_EQUAL(weir_pool_create(&pool, "one", &one), 0);
    holder = make_errand();
    held = make_call(pool, &holder, WEIR_FOREVER);
    call_start(&held);
    test_await(&gate.entered, 1);
    errand = holder;
    call = make_call(pool, &errand, WEIR_FOREVER);
    call_start(&call);
    weir_yield();
    CHECK_SAME(read_stats_of(pool).queued, 1);
    left = true;
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    CHECK_EQUAL(weir_pool_run_on(pool, run_errand, &errand, &leaving, WEIR_NOW), -EAGAIN);
    CHECK(!left);
    CHECK_EQUAL(errand.number, 7);
    CHECK_SAME(read_stats_of(pool).jobs_cancelled, 1);
    gate_pass(&gate, 1);
    CHECK_EQUAL(call_finish(&held), JOB_RESULT);
    CHECK_SAME(read_stats_of(pool).abandoned, 0);
    CHECK_EQUAL(cleaned, 0);
    free(holder.note);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    return 0;
}

static void test_what_never_began_is_not_abandoned(void **state)
{
    const struct weir_options options = { .loop_count = 1 };

    (void)state;
    assert_int_equal(test_run(leave_the_queue, NULL, &options), 0);
}

/* At the bound a running job is waited for, abandonable or not. */
static int reach_the_bound(void *arg)
{
    const struct weir_pool_options one = { .threads_max = 4, .abandoned_max = 1 };
    struct errand errands[2] = { make_errand(), make_errand() };
    struct weir_pool *pool;
    struct call calls[2];

    (void)arg;
    CHECK_EQUAL(weir_pool_create(&pool, "bound", &one), 0);
    for (int i = 0; i < 2; i++) {
        calls[i] = make_call(pool, &errands[i], WEIR_FOREVER);
        call_start(&calls[i]);
        test_await(&gate.entered, i + 1);
        CHECK_EQUAL(weir_task_cancel(calls[i].task), 0);
        if (i == 0)
            CHECK_EQUAL(call_finish(&calls[0]), -ECANCELED);
        else
            weir_sleep(weir_in_us(1)); /* the cancel was delivered */
    }
    CHECK_EQUAL(weir_join(calls[1].task, NULL, WEIR_NOW), -EAGAIN);
    CHECK_SAME(read_stats_of(pool).abandoned, 1);
    gate_pass(&gate, 2);
    CHECK_EQUAL(call_finish(&calls[1]), JOB_RESULT);
    test_await(&cleaned, 1);
    free(errands[1].note);
    CHECK_EQUAL(errands[1].number, 8);
    AWAIT(weir_pool_destroy(pool) == 0);
    return 0;
}

static void test_at_the_bound_it_is_waited_for(void **state)
{
    (void)state;
    assert_int_equal(test_run(reach_the_bound, NULL, NULL), 0);
}

/* A pool ends while an abandoned job runs: its name is free, its thread lives on. */
static int end_the_pool(void *arg)
{
    int threads = count_threads();
    struct errand errand = make_errand();
    struct weir_pool *pool;
    struct call call;

    (void)arg;
    CHECK_EQUAL(weir_pool_create(&pool, "left", NULL), 0);
    call = make_call(pool, &errand, WEIR_FOREVER);
    call_start(&call);
    test_await(&gate.entered, 1);
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    CHECK_EQUAL(weir_pool_find(&pool, "left"), -ENOENT);
    CHECK_EQUAL(cleaned, 0);
    gate_pass(&gate, 1);
    test_await(&cleaned, 1);
    test_await_threads(threads);
    return 0;
}

static void test_a_pool_ends_without_waiting_for_it(void **state)
{
    (void)state;
    assert_int_equal(test_run(end_the_pool, NULL, NULL), 0);
}

/* Of each pool that there is: weir_run returns, and the jobs run on. */
static int leave_in_each(void *arg)
{
    static struct errand errands[3];
    struct weir_pool *pools[3];
    struct call calls[3];

    (void)arg;
    CHECK_EQUAL(weir_pool_find(&pools[0], "pool"), 0);
    CHECK_EQUAL(weir_pool_find(&pools[1], "cpu"), 0);
    CHECK_EQUAL(weir_pool_create(&pools[2], "third", NULL), 0);
    for (int i = 0; i < 3; i++) {
        errands[i] = (struct errand){ .gate = &gate, .number = 7 };
        calls[i] = make_call(pools[i], &errands[i], WEIR_FOREVER);
        call_start(&calls[i]);
        test_await(&gate.entered, i + 1);
        CHECK_EQUAL(weir_task_cancel(calls[i].task), 0);
        CHECK_EQUAL(call_finish(&calls[i]), -ECANCELED);
    }
    return 0;
}

static void test_the_runtime_ends_without_waiting_for_it(void **state)
{
    int threads = count_threads();

    (void)state;
    free(make_errand().note);
    assert_int_equal(test_run(leave_in_each, NULL, NULL), 0);
    assert_int_equal(count_threads(), threads + 3);
    assert_int_equal(gate.inside, 3);
    gate_pass(&gate, 3);
    test_await(&cleaned, 3);
    test_await_threads(threads);
    test_carry_out();
}

static int see_alignment(void *arg)
{
    CHECK_SAME((uintptr_t)arg % _Alignof(max_align_t), 0);
    memset(arg, 'j', BIG_BYTES);
    return 0;
}

static int call_in_vain(void *arg)
{
    static char big[BIG_BYTES];
    struct weir_job_options options = leaving;
    _Atomic long flag = 0;

    (void)arg;
    options.storage_bytes = BIG_BYTES;
    options.cleanup = NULL;
    CHECK_EQUAL(weir_pool_run_on(NULL, see_alignment, big, &options, WEIR_FOREVER), 0);
    CHECK_EQUAL(big[BIG_BYTES - 1], 'j');
    CHECK_EQUAL(weir_pool_run_on(NULL, see_alignment, NULL, &options, WEIR_FOREVER), -EINVAL);
    options.storage_bytes = SIZE_MAX;
    CHECK_EQUAL(weir_pool_run_on(NULL, see_alignment, big, &options, WEIR_FOREVER), -ENOMEM);
    options = (struct weir_job_options){ .abandonable = true };
    weir__memory_fail_after(1);
    CHECK_EQUAL(weir_pool_run_on(NULL, raise_flag, &flag, &options, WEIR_FOREVER), -ENOMEM);
    weir__memory_fail_after(-1);
    options = (struct weir_job_options){ .storage_bytes = 1 };
    CHECK_EQUAL(weir_pool_run_on(NULL, raise_flag, &flag, &options, WEIR_FOREVER), -EINVAL);
    options = (struct weir_job_options){ .cleanup = clean };
    CHECK_EQUAL(weir_pool_run_on(NULL, raise_flag, &flag, &options, WEIR_FOREVER), -EINVAL);
    options = (struct weir_job_options){ .size = 1 };
    CHECK_EQUAL(weir_pool_run_on(NULL, raise_flag, &flag, &options, WEIR_FOREVER), -EINVAL);
    options = (struct weir_job_options){ .priority = WEIR_PRIORITY_COUNT };
    CHECK_EQUAL(weir_pool_run_on(NULL, raise_flag, &flag, &options, WEIR_FOREVER), -EINVAL);
    options = (struct weir_job_options){ .reserved = { 0, 1 } };
    CHECK_EQUAL(weir_pool_run_on(NULL, raise_flag, &flag, &options, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_pool_run_on(NULL, NULL, &flag, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(flag, 0);
    return 0;
}

static void test_options_are_checked_and_storage_is_aligned(void **state)
{
    (void)state;
    assert_int_equal(test_run(call_in_vain, NULL, NULL), 0);
}

/* --- What a job inherits ---------------------------------------------------------------------- */

struct heritage {
    struct weir_trace trace;
    int error;
    enum weir_priority priority;
    void *local;
};

static int local_key;

static int look_at_heritage(void *arg)
{
    struct heritage *heritage = arg;

    heritage->error = weir_trace_get(&heritage->trace);
    heritage->priority = weir_priority();
    heritage->local = weir_local_get(local_key);
    return 0;
}

static int inherit(void *arg)
{
    const struct weir_job_options own = {
        .abandonable = true,
        .storage_bytes = sizeof(struct heritage),
    };
    const struct weir_job_options *const options[] = { NULL, &own };
    struct weir_trace trace;

    (void)arg;
    CHECK_EQUAL(weir_trace_begin(WEIR_TRACE_SAMPLED), 0);
    CHECK_EQUAL(weir_trace_get(&trace), 0);
    CHECK_EQUAL(weir_set_priority(WEIR_PRIORITY_LATENCY), 0);
    local_key = weir_local_create("of the task", NULL);
    CHECK_EQUAL(weir_local_set(local_key, &trace), 0);
    for (int i = 0; i < 2; i++) {
        struct heritage heritage = { .error = -1 };

        CHECK_EQUAL(weir_pool_run_on(NULL, look_at_heritage, &heritage, options[i], WEIR_FOREVER),
                    0);
        CHECK_EQUAL(heritage.error, 0);
        CHECK_EQUAL(heritage.priority, WEIR_PRIORITY_LATENCY);
        CHECK(heritage.local == &trace);
        CHECK(memcmp(&heritage.trace, &trace, sizeof trace) == 0);
    }
    CHECK_SAME(read_stats().classes[WEIR_PRIORITY_LATENCY].jobs_run, 2);
    return 0;
}

static void test_a_job_inherits_from_its_task(void **state)
{
    (void)state;
    assert_int_equal(test_run(inherit, NULL, NULL), 0);
}

/* A cancel, and then the deadline, come in the same turn: the job is left once. Repeated with a
 * later one until it began in time. */
static int leave_once(void *arg)
{
    struct errand errand;
    struct call call;
    int ms = 20;

    (void)arg;
    do {
        errand = make_errand();
        call = make_call(NULL, &errand, weir_in_ms(ms));
        call_start(&call);
        while (!gate.entered && weir_now_ns() < call.deadline_ns)
            weir_yield();
        CHECK(weir_task_cancel(call.task) >= 0);
        while (weir_now_ns() <= call.deadline_ns)
            ; /* the loop stands still: both are due when it turns */
        CHECK(call_finish(&call) < 0);
        if (!left)
            free(errand.note);
        ms *= 2;
    } while (!left && CHECK(ms < 20000));
    CHECK_EQUAL(call.result, -ECANCELED);
    CHECK_SAME(read_stats().abandoned, 1);
    CHECK_SAME(read_stats().abandoned_now, 1);
    gate_pass(&gate, 1);
    test_await(&cleaned, 1);
    CHECK_SAME(read_stats().abandoned_now, 0);
    return 0;
}

static void test_a_cancel_at_the_deadline_leaves_once(void **state)
{
    (void)state;
    assert_int_equal(test_run(leave_once, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_not_left_gets_the_storage_back),
        cmocka_unit_test(test_a_deadline_leaves_a_running_job),
        cmocka_unit_test(test_a_cancel_leaves_a_running_job),
        cmocka_unit_test(test_a_cancel_at_the_deadline_leaves_once),
        cmocka_unit_test(test_it_is_left_once),
        cmocka_unit_test(test_memory_is_handed_over_with_the_job),
        cmocka_unit_test(test_what_never_began_is_not_abandoned),
        cmocka_unit_test(test_at_the_bound_it_is_waited_for),
        cmocka_unit_test(test_a_pool_ends_without_waiting_for_it),
        cmocka_unit_test(test_the_runtime_ends_without_waiting_for_it),
        cmocka_unit_test(test_options_are_checked_and_storage_is_aligned),
        cmocka_unit_test(test_a_job_inherits_from_its_task),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
