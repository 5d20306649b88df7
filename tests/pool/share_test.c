/* SPDX-License-Identifier: MIT */
/* Who gets a thread: the shares of the classes, and what slow and background jobs leave. */
#include "pool/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum {
    EACH = 39, /* jobs of each class: so that all wait for the first three cycles at least */
    CYCLE = 8 + 4 + 1,
    CALLS_MAX = 3 * EACH,
    JOB_NS = 20000,
    JOB_COUNT = 4000,
};

static struct gate gate;
static struct call holder;
static struct call calls[CALLS_MAX];
static size_t call_count;

static const struct weir_job_options of_class[WEIR_PRIORITY_COUNT] = {
    [WEIR_PRIORITY_NORMAL] = { .sets_priority = true, .priority = WEIR_PRIORITY_NORMAL },
    [WEIR_PRIORITY_LATENCY] = { .sets_priority = true, .priority = WEIR_PRIORITY_LATENCY },
    [WEIR_PRIORITY_BACKGROUND] = { .sets_priority = true, .priority = WEIR_PRIORITY_BACKGROUND },
};
static const struct weir_job_options slow = { .slow = true };

static void add(struct weir_pool *pool, weir_pool_fn *fn, void *arg,
                const struct weir_job_options *options)
{
    struct call *call = &calls[call_count++];

    *call = (struct call){
        .call = call_run_on,
        .pool = pool,
        .fn = fn,
        .arg = arg,
        .options = options,
        .deadline_ns = WEIR_FOREVER,
    };
    call_start(call);
    weir_yield(); /* they call in this order */
}

static void finish_all(void)
{
    for (size_t i = 0; i < call_count; i++)
        CHECK_EQUAL(call_finish(&calls[i]), JOB_RESULT);
}

static struct weir_pool *make(const struct weir_pool_options *options)
{
    struct weir_pool *pool = NULL;

    call_count = 0;
    gate_init(&gate);
    CHECK_EQUAL(weir_pool_create(&pool, "shared", options), 0);
    return pool;
}

/* The only thread is busy until let_go. */
static void hold(struct weir_pool *pool)
{
    holder = (struct call){
        .call = call_run_on,
        .pool = pool,
        .fn = wait_at_gate,
        .arg = &gate,
        .deadline_ns = WEIR_FOREVER,
    };
    call_start(&holder);
    test_await(&gate.entered, 1);
}

static void let_go(void)
{
    gate_pass(&gate, 1);
    CHECK_EQUAL(call_finish(&holder), JOB_RESULT);
}

/* In the order of their starts; the one thread's own until all have ended. */
static enum weir_priority starts[CALLS_MAX];
static size_t start_count;

static int note_start(void *arg)
{
    starts[start_count++] = (enum weir_priority)(uintptr_t)arg;
    return JOB_RESULT;
}

static int share_one_thread(void *arg)
{
    const struct weir_pool_options options = { .threads_max = 1, .queue_limit = 1000 };
    struct weir_pool *pool = make(&options);
    size_t counts[WEIR_PRIORITY_COUNT];

    (void)arg;
    start_count = 0;
    hold(pool);
    for (uintptr_t class = 0; class < WEIR_PRIORITY_COUNT; class += 1)
        for (int i = 0; i < EACH; i++)
            add(pool, note_start, (void *)class, &of_class[class]);
    CHECK_SAME(read_stats_of(pool).classes[WEIR_PRIORITY_BACKGROUND].queued, EACH);
    let_go();
    finish_all();
    CHECK_SAME(start_count, 3 * EACH);
    for (size_t cycle = 0; cycle < 3; cycle++) {
        size_t first = cycle ? cycle * CYCLE - 1 : 0, end = (cycle + 1) * CYCLE - 1;

        memset(counts, 0, sizeof counts);
        counts[WEIR_PRIORITY_NORMAL] = cycle == 0; /* the holder's turn */
        for (size_t i = first; i < end; i++)
            counts[starts[i]]++;
        CHECK_SAME(counts[WEIR_PRIORITY_LATENCY], 8);
        CHECK_SAME(counts[WEIR_PRIORITY_NORMAL], 4);
        CHECK_SAME(counts[WEIR_PRIORITY_BACKGROUND], 1);
    }
    for (int class = 0; class < WEIR_PRIORITY_COUNT; class += 1)
        CHECK_SAME(read_stats_of(pool).classes[class].jobs_run,
                   EACH + (class == WEIR_PRIORITY_NORMAL)); /* the holder */
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    return 0;
}

static void test_each_class_has_its_share(void **state)
{
    const struct weir_options options = { .loop_count = 1, .background_percent = 100 };

    (void)state;
    assert_int_equal(test_run(share_one_thread, NULL, &options), 0);
}

/* So many jobs hold their threads; what is quick goes by, and the rest has its turn in the end. */
static int pass_held_up(void *arg)
{
    const struct weir_job_options *held = arg;
    const struct weir_pool_options options = { .threads_max = 4, .slow_threads_max = 2 };
    struct weir_pool *pool = make(&options);
    struct weir_pool_stats stats;
    _Atomic long flag = 0;

    for (int i = 0; i < 8; i++)
        add(pool, wait_at_gate, &gate, held);
    test_await(&gate.entered, 2);
    for (int i = 0; i < 100; i++)
        CHECK_EQUAL(weir_pool_run_on(pool, raise_flag, &flag, NULL, WEIR_FOREVER), JOB_RESULT);
    stats = read_stats_of(pool);
    CHECK_SAME(stats.slow_busy, 2);
    CHECK_SAME(stats.threads_busy, 2);
    CHECK_EQUAL(gate.entered, 2);
    gate_pass(&gate, 8);
    finish_all();
    CHECK_EQUAL(gate.inside_max, 2);
    CHECK_SAME(read_stats_of(pool).slow_busy, 0);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    return 0;
}

static void test_slow_jobs_leave_threads_to_the_others(void **state)
{
    const struct weir_options options = { .background_percent = 100 };

    (void)state;
    assert_int_equal(test_run(pass_held_up, (void *)(uintptr_t)&slow, &options), 0);
}

static void test_background_jobs_leave_threads_to_the_others(void **state)
{
    const struct weir_options options = { .background_percent = 100 };
    const struct weir_job_options *background = &of_class[WEIR_PRIORITY_BACKGROUND];

    (void)state;
    assert_int_equal(test_run(pass_held_up, (void *)(uintptr_t)background, &options), 0);
}

/* Of the eight places a quarter is for the background: its third job waits, and others do not. */
static int fill_with_background(void *arg)
{
    const struct weir_pool_options options = { .threads_max = 1, .queue_limit = 7 };
    struct weir_pool *pool = make(&options);
    struct weir_pool_stats stats;
    _Atomic long flag = 0;

    (void)arg;
    hold(pool);
    for (int i = 0; i < 4; i++)
        add(pool, raise_flag, &flag, &of_class[WEIR_PRIORITY_BACKGROUND]);
    for (int i = 0; i < 4; i++)
        add(pool, raise_flag, &flag, NULL);
    stats = read_stats_of(pool);
    CHECK_SAME(stats.classes[WEIR_PRIORITY_BACKGROUND].queued, 2);
    CHECK_SAME(stats.classes[WEIR_PRIORITY_NORMAL].queued, 4);
    let_go();
    finish_all();
    CHECK_EQUAL(flag, 8);
    CHECK_SAME(read_stats_of(pool).places_waited, 2);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    return 0;
}

static void test_the_background_has_a_part_of_the_queue(void **state)
{
    const struct weir_options options = { .loop_count = 1 };

    (void)state;
    assert_int_equal(test_run(fill_with_background, NULL, &options), 0);
}

/* All the thread's time is asked for by both: the background has its part and no more. */
struct rivals {
    struct weir_pool *pool;
    atomic_bool over;
};

static struct rivals rivals;

/* Longer than the loop needs for its next job: so the thread is what they wait for. */
static int compute(void *arg)
{
    int64_t end_ns = weir_now_ns() + JOB_NS;

    (void)arg;
    while (weir_now_ns() < end_ns)
        ;
    return JOB_RESULT;
}

static int compete(void *arg)
{
    const struct weir_job_options *options = arg;

    while (!atomic_load(&rivals.over))
        CHECK_EQUAL(weir_pool_run_on(rivals.pool, compute, NULL, options, WEIR_FOREVER),
                    JOB_RESULT);
    return 0;
}

static int measure_shares(void *arg)
{
    const struct weir_pool_options options = { .threads_max = 1 };
    struct weir_scope *scope;
    struct weir_pool_stats stats;
    uint64_t latency, background;

    (void)arg;
    rivals.pool = make(&options);
    atomic_store(&rivals.over, false);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    for (int i = 0; i < 64; i++)
        for (int class = 0; class < WEIR_PRIORITY_COUNT; class += 1)
            CHECK_EQUAL(weir_spawn(scope, compete, (void *)(uintptr_t)&of_class[class], NULL), 0);
    AWAIT((stats = read_stats_of(rivals.pool)).jobs_run >= JOB_COUNT);
    atomic_store(&rivals.over, true);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    latency = stats.classes[WEIR_PRIORITY_LATENCY].jobs_run;
    background = stats.classes[WEIR_PRIORITY_BACKGROUND].jobs_run;
    print_message("of %llu jobs: latency %llu, normal %llu, background %llu\n",
                  (unsigned long long)stats.jobs_run, (unsigned long long)latency,
                  (unsigned long long)stats.classes[WEIR_PRIORITY_NORMAL].jobs_run,
                  (unsigned long long)background);
    CHECK(background * 50 >= stats.jobs_run); /* a thirteenth, when all wait all the time */
    CHECK(background * 2 <= latency);
    CHECK_EQUAL(weir_pool_destroy(rivals.pool), 0);
    return 0;
}

static void test_under_load_nobody_starves(void **state)
{
    const struct weir_options options = { .background_percent = 100 };

    (void)state;
    assert_int_equal(test_run(measure_shares, NULL, &options), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_class_has_its_share),
        cmocka_unit_test(test_slow_jobs_leave_threads_to_the_others),
        cmocka_unit_test(test_background_jobs_leave_threads_to_the_others),
        cmocka_unit_test(test_the_background_has_a_part_of_the_queue),
        cmocka_unit_test(test_under_load_nobody_starves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
