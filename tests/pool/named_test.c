/* SPDX-License-Identifier: MIT */
/* Pools by name: how they are made, found, looked at and ended. */
#include "base/memory.h"
#include "pool/fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CALL_COUNT = 4, MADE_COUNT = 8 };

static struct gate gate;
static struct call calls[CALL_COUNT];

static struct weir_pool *make(const char *name, const struct weir_pool_options *options)
{
    struct weir_pool *pool = NULL;

    CHECK_EQUAL(weir_pool_create(&pool, name, options), 0);
    return pool;
}

static void hold(struct weir_pool *pool, size_t count)
{
    gate_init(&gate);
    for (size_t i = 0; i < count; i++) {
        calls[i] = (struct call){
            .call = call_run_on,
            .pool = pool,
            .fn = wait_at_gate,
            .arg = &gate,
            .deadline_ns = WEIR_FOREVER,
        };
        call_start(&calls[i]);
        weir_yield(); /* they call in the order of their indices */
    }
    read_stats_of(pool); /* what was called is in the queue */
}

static void let_go(size_t count)
{
    gate_pass(&gate, (long)count);
    for (size_t i = 0; i < count; i++)
        CHECK_EQUAL(call_finish(&calls[i]), JOB_RESULT);
}

static int note_name(void *arg)
{
    return pthread_getname_np(pthread_self(), arg, 16);
}

struct names {
    size_t count;
    char names[8][WEIR_NAME_BYTES];
};

static void note_pool(const struct weir_pool_stats *stats, void *context)
{
    struct names *names = context;

    strcpy(names->names[names->count++], stats->name);
}

static void check_names(const char *const *expected, size_t count)
{
    struct names names = { .count = 0 };

    CHECK_EQUAL(weir_pool_walk(note_pool, &names), (int)count);
    CHECK_SAME(names.count, count);
    for (size_t i = 0; i < count; i++)
        CHECK(strcmp(names.names[i], expected[i]) == 0);
}

static int use_a_pool(void *arg)
{
    static const char *const alone[] = { "pool", "cpu", "resolver" };
    static const char *const both[] = { "pool", "cpu", "resolver", "database" };
    struct weir_pool *pool, *found;
    int threads = count_threads();
    char name[16];

    (void)arg;
    check_names(alone, 3);
    pool = make("database", NULL);
    check_names(both, 4);
    CHECK_EQUAL(count_threads(), threads + 1);
    CHECK_EQUAL(weir_pool_find(&found, "database"), 0);
    CHECK(found == pool);
    CHECK_EQUAL(weir_pool_run_on(pool, note_name, name, NULL, WEIR_FOREVER), 0);
    CHECK(strncmp(name, "database-", 9) == 0);
    CHECK_SAME(read_stats_of(pool).jobs_run, 1);
    CHECK_SAME(read_stats().jobs_run, 0);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    check_names(alone, 3);
    test_await_threads(threads);
    CHECK_EQUAL(weir_pool_find(&found, "database"), -ENOENT);
    pool = make("database", NULL);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    return 0;
}

static void test_a_pool_is_made_found_and_ended(void **state)
{
    (void)state;
    assert_int_equal(test_run(use_a_pool, NULL, NULL), 0);
}

static int use_the_runtimes_own(void *arg)
{
    struct weir_pool *pool;
    char name[16];

    (void)arg;
    CHECK_EQUAL(weir_pool_find(&pool, "resolver"), -ENOENT);
    CHECK_EQUAL(weir_pool_find(&pool, "cpu"), 0);
    CHECK_EQUAL(weir_pool_run_on(pool, note_name, name, NULL, WEIR_FOREVER), 0);
    CHECK(strncmp(name, "weir-cpu-", 9) == 0);
    CHECK_EQUAL(weir_pool_destroy(pool), -EINVAL);
    CHECK_EQUAL(weir_pool_find(&pool, "pool"), 0);
    CHECK_EQUAL(weir_pool_destroy(pool), -EINVAL);
    CHECK_EQUAL(weir_pool_run_on(NULL, note_name, name, NULL, WEIR_FOREVER), 0);
    CHECK(strncmp(name, "weir-pool-", 10) == 0);
    CHECK_SAME(read_stats_of(pool).jobs_run, 1);
    CHECK_SAME(read_stats_of(pool).threads_limit, 64);
    CHECK_SAME(read_stats_of(pool).queued_limit, 1024);
    return 0;
}

static void test_the_runtimes_own_are_members(void **state)
{
    (void)state;
    assert_int_equal(test_run(use_the_runtimes_own, NULL, NULL), 0);
}

static const struct weir_pool_options bad[] = {
    { .size = 1 },
    { .threads_max = 1025 },
    { .threads_min = 1025 },
    { .threads_min = 3, .threads_max = 2 },
    { .queue_limit = UINT32_MAX },
    { .when_full = WEIR_WHEN_FULL_EXPIRE + 1 },
    { .wait_ns = -1 },
    { .idle_ns = -1 },
    { .reserved = { 1 } },
};

static int make_in_vain(void *arg)
{
    char name[WEIR_NAME_BYTES + 1];
    int threads = count_threads();
    struct weir_pool *pool;

    (void)arg;
    memset(name, 'n', WEIR_NAME_BYTES);
    name[WEIR_NAME_BYTES] = 0;
    CHECK_EQUAL(weir_pool_create(NULL, "name", NULL), -EINVAL);
    CHECK_EQUAL(weir_pool_create(&pool, NULL, NULL), -EINVAL);
    CHECK_EQUAL(weir_pool_create(&pool, "", NULL), -EINVAL);
    CHECK_EQUAL(weir_pool_create(&pool, name, NULL), -E2BIG);
    CHECK_EQUAL(weir_pool_create(&pool, "pool", NULL), -EEXIST);
    CHECK_EQUAL(weir_pool_create(&pool, "resolver", NULL), -EEXIST);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_EQUAL(weir_pool_create(&pool, "name", &bad[i]), -EINVAL);
    for (int allocations = 1; allocations <= 2; allocations++) {
        weir__memory_fail_after(allocations);
        CHECK_EQUAL(weir_pool_create(&pool, "name", NULL), -ENOMEM);
        weir__memory_fail_after(-1);
    }
    CHECK_EQUAL(weir_pool_find(&pool, "name"), -ENOENT);
    CHECK_EQUAL(weir_pool_find(NULL, "pool"), -EINVAL);
    CHECK_EQUAL(weir_pool_find(&pool, NULL), -EINVAL);
    CHECK_EQUAL(weir_pool_destroy(NULL), -EINVAL);
    CHECK_EQUAL(weir_pool_walk(NULL, NULL), -EINVAL);
    test_await_threads(threads);
    return 0;
}

static void use_in_child(void *arg)
{
    struct weir_pool *pool;
    struct names names = { .count = 0 };

    (void)arg;
    if (weir_pool_create(&pool, "name", NULL) != -EOWNERDEAD ||
        weir_pool_find(&pool, "pool") != -EOWNERDEAD ||
        weir_pool_walk(note_pool, &names) != -EOWNERDEAD)
        abort();
}

static void test_what_cannot_be_made_leaves_nothing(void **state)
{
    struct names names = { .count = 0 };
    struct weir_pool *pool;
    char output[256];

    (void)state;
    assert_int_equal(weir_pool_create(&pool, "name", NULL), -ENXIO);
    assert_int_equal(weir_pool_find(&pool, "pool"), -ENXIO);
    assert_int_equal(weir_pool_walk(note_pool, &names), -ENXIO);
    assert_int_equal(weir_pool_run_on(NULL, raise_flag, NULL, NULL, WEIR_FOREVER), -ENXIO);
    assert_int_equal(test_run(make_in_vain, NULL, NULL), 0);
    assert_int_equal(test_fork(use_in_child, NULL, output, sizeof output), 0);
}

/* One job runs, one is queued, one waits for a place: each alone keeps the pool. */
static int end_a_busy_pool(void *arg)
{
    const struct weir_pool_options options = { .threads_max = 1, .queue_limit = 1 };
    struct weir_pool *pool = make("busy", &options);

    (void)arg;
    for (size_t count = 1; count <= 3; count++) {
        hold(pool, count);
        test_await(&gate.entered, 1);
        CHECK_EQUAL(weir_pool_destroy(pool), -EBUSY);
        let_go(count);
    }
    CHECK_SAME(read_stats_of(pool).places_waited, 1);
    CHECK_SAME(read_stats_of(pool).queued_max, 1);
    CHECK_EQUAL(weir_pool_run_on(pool, raise_flag, &gate.entered, NULL, WEIR_FOREVER), JOB_RESULT);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    return 0;
}

static void test_a_busy_pool_is_not_ended(void **state)
{
    const struct weir_options options = { .loop_count = 1 };

    (void)state;
    assert_int_equal(test_run(end_a_busy_pool, NULL, &options), 0);
}

/* What blocks in one pool does not hold up the others, nor weir's own calls. */
static int hold_each(void *arg)
{
    const struct weir_pool_options options = { .threads_max = 1 };
    struct weir_pool *first = make("first", &options), *second = make("second", &options);
    _Atomic long flag = 0;

    (void)arg;
    hold(first, 2);
    test_await(&gate.entered, 1);
    CHECK_EQUAL(weir_pool_run_on(second, raise_flag, &flag, NULL, WEIR_FOREVER), JOB_RESULT);
    CHECK_EQUAL(weir_pool_run(raise_flag, &flag, WEIR_FOREVER), JOB_RESULT);
    CHECK_SAME(read_stats_of(first).queued, 1);
    let_go(2);
    CHECK_EQUAL(weir_pool_destroy(first), 0);
    CHECK_EQUAL(weir_pool_destroy(second), 0);
    return 0;
}

static void test_pools_do_not_hold_each_other_up(void **state)
{
    (void)state;
    assert_int_equal(test_run(hold_each, NULL, NULL), 0);
}

static int fill_queue(void *arg)
{
    enum weir_when_full policy = *(enum weir_when_full *)arg;
    const struct weir_pool_options options = {
        .threads_max = 1,
        .queue_limit = 2,
        .when_full = policy,
        .wait_ns = 1000000,
    };
    struct weir_pool *pool = make("small", &options);
    struct weir_pool_stats stats;

    hold(pool, 4);
    test_await(&gate.entered, 1);
    if (policy != WEIR_WHEN_FULL_PARK) {
        CHECK_EQUAL(call_finish(&calls[3]), policy == WEIR_WHEN_FULL_REFUSE ? -EBUSY : -ETIME);
        let_go(3);
    } else {
        let_go(4);
    }
    stats = read_stats_of(pool);
    CHECK_SAME(stats.jobs_refused, policy != WEIR_WHEN_FULL_PARK);
    CHECK_SAME(stats.classes[WEIR_PRIORITY_NORMAL].jobs_refused, stats.jobs_refused);
    CHECK_SAME(stats.queued_max, 2);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    return 0;
}

static void test_a_full_queue_does_as_its_pool_says(void **state)
{
    const struct weir_options options = { .loop_count = 1 };

    (void)state;
    for (enum weir_when_full policy = 0; policy <= WEIR_WHEN_FULL_EXPIRE; policy++)
        assert_int_equal(test_run(fill_queue, &policy, &options), 0);
}

static int make_and_forget(void *arg)
{
    char name[16];

    (void)arg;
    for (int i = 0; i < MADE_COUNT; i++) {
        snprintf(name, sizeof name, "pool %d", i);
        hold(make(name, NULL), 2);
        test_await(&gate.entered, 2);
        let_go(2);
    }
    return 0;
}

static void test_what_is_left_goes_with_the_runtime(void **state)
{
    int threads = count_threads(), fds = count_fds();

    (void)state;
    assert_int_equal(test_run(make_and_forget, NULL, NULL), 0);
    test_await_threads(threads);
    assert_int_equal(count_fds(), fds);
}

static int look_at_waits(void *arg)
{
    const struct weir_pool_options options = { .threads_max = 1 };
    struct weir_pool *pool = make("waits", &options);
    struct weir_pool_stats stats;
    uint64_t sum = 0, late = 0;
    int64_t queued_ns;

    (void)arg;
    hold(pool, 2);
    test_await(&gate.entered, 1);
    queued_ns = weir_now_ns();
    CHECK_SAME(read_stats_of(pool).classes[WEIR_PRIORITY_NORMAL].queued, 1);
    weir_sleep(weir_in_ms(3));
    queued_ns = weir_now_ns() - queued_ns;
    let_go(2);
    stats = read_stats_of(pool);
    for (int i = 0; i < WEIR_POOL_WAIT_SLOTS; i++) {
        sum += stats.waits[i];
        late += i >= 12 ? stats.waits[i] : 0; /* 2^11 us and more */
    }
    CHECK_SAME(sum, 2);
    CHECK(late >= 1);
    CHECK(stats.classes[WEIR_PRIORITY_NORMAL].wait_max_ns >= (uint64_t)queued_ns);
    CHECK_SAME(stats.classes[WEIR_PRIORITY_NORMAL].wait_ns, stats.wait_ns);
    CHECK_SAME(stats.classes[WEIR_PRIORITY_NORMAL].jobs_run, 2);
    CHECK_SAME(stats.classes[WEIR_PRIORITY_LATENCY].jobs_run, 0);
    CHECK_EQUAL(weir_pool_destroy(pool), 0);
    return 0;
}

static void test_waits_are_sorted_by_their_length(void **state)
{
    const struct weir_options options = { .loop_count = 1 };

    (void)state;
    assert_int_equal(test_run(look_at_waits, NULL, &options), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pool_is_made_found_and_ended),
        cmocka_unit_test(test_the_runtimes_own_are_members),
        cmocka_unit_test(test_what_cannot_be_made_leaves_nothing),
        cmocka_unit_test(test_a_busy_pool_is_not_ended),
        cmocka_unit_test(test_pools_do_not_hold_each_other_up),
        cmocka_unit_test(test_a_full_queue_does_as_its_pool_says),
        cmocka_unit_test(test_what_is_left_goes_with_the_runtime),
        cmocka_unit_test(test_waits_are_sorted_by_their_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
