/* SPDX-License-Identifier: MIT */
/* Credits: bounded always, in order, and each policy as chosen. */
#include "core/credit.h"

#include "base/clock.h"
#include "core/task.h"
#include "support/support.h"

#include <weir/runtime.h>
#include <weir/scope.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct weir__reason test_reason = { "test", WEIR_PHASE_TASK, NULL };

enum { LIMIT = 4, TAKERS = 16, THREADS = 3 };

static const struct weir_options two_loops = { .loop_count = 2 };

static struct weir__credits credits;

static void take_all(void)
{
    for (int i = 0; i < LIMIT; i++)
        CHECK_EQUAL(weir__credits_take(&credits, WEIR_FOREVER), 0);
    CHECK_EQUAL(credits.used, LIMIT);
}

/* --- Policies. -------------------------------------------------------------------------------- */

static int refuse(void *arg)
{
    (void)arg;
    weir__credits_init(&credits, &test_reason, LIMIT, WEIR_WHEN_FULL_REFUSE, 0);
    take_all();
    CHECK_EQUAL(weir__credits_take(&credits, WEIR_FOREVER), -EBUSY);
    CHECK_EQUAL(credits.refused_count, 1);
    weir__credits_give(&credits);
    CHECK_EQUAL(weir__credits_take(&credits, WEIR_NOW), 0);
    return 0;
}

static int expire(void *arg)
{
    int64_t before_ns = weir_now_ns();

    (void)arg;
    weir__credits_init(&credits, &test_reason, LIMIT, WEIR_WHEN_FULL_EXPIRE, 300000);
    take_all();
    CHECK_EQUAL(weir__credits_take(&credits, WEIR_FOREVER), -ETIME);
    CHECK(weir_now_ns() >= before_ns + 300000);
    CHECK_EQUAL(credits.expired_count, 1);
    CHECK_EQUAL(credits.waited_count, 1);
    CHECK(credits.wait_ns >= 300000);
    CHECK_EQUAL(weir__credits_take(&credits, weir_in_us(50)), -ETIME); /* the call's own is first */
    CHECK_EQUAL(credits.expired_count, 2);
    return 0;
}

static int try_and_wait(void *arg)
{
    (void)arg;
    weir__credits_init(&credits, &test_reason, LIMIT, WEIR_WHEN_FULL_PARK, 0);
    take_all();
    CHECK_EQUAL(weir__credits_take(&credits, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir__credits_take(&credits, 1), -ETIME);
    CHECK_EQUAL(weir__credits_take(&credits, weir_in_us(50)), -ETIME);
    CHECK_EQUAL(credits.waited_count, 1);
    CHECK_EQUAL(credits.waiting, 0);
    CHECK_EQUAL(credits.used, LIMIT);
    CHECK_EQUAL(credits.used_max, LIMIT);
    for (int i = 0; i < LIMIT; i++)
        weir__credits_give(&credits);
    CHECK_EQUAL(credits.used, 0);
    return 0;
}

static void test_each_policy(void **state)
{
    weir_task_fn *const bodies[] = { refuse, expire, try_and_wait };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(test_run(bodies[i], NULL, &two_loops), 0);
        assert_int_equal(bodies[i](NULL), 0); /* and on a plain thread */
        test_carry_out();
    }
}

/* --- Order. ----------------------------------------------------------------------------------- */

static int order[TAKERS];
static int order_count;

static int take_in_order(void *arg)
{
    int error = weir__credits_take(&credits, WEIR_FOREVER);

    if (error >= 0)
        order[order_count++] = *(int *)arg;
    return error;
}

static int queue_up(void *arg)
{
    struct weir_task *cancelled = NULL;
    int numbers[TAKERS];

    (void)arg;
    weir__credits_init(&credits, &test_reason, LIMIT, WEIR_WHEN_FULL_PARK, 0);
    take_all();
    for (int i = 0; i < TAKERS; i++) {
        struct weir_spawn_options options = { .task = i == 2 ? &cancelled : NULL };

        numbers[i] = i;
        CHECK_EQUAL(weir_spawn(weir_task_scope(), take_in_order, &numbers[i], &options), 0);
        CHECK_EQUAL(weir_yield(), 0);
    }
    CHECK_EQUAL(weir_task_cancel(cancelled), 0);
    CHECK_EQUAL(weir_join(cancelled, NULL, WEIR_FOREVER), 0);
    weir__credits_give(&credits);
    CHECK_EQUAL(weir__credits_take(&credits, WEIR_NOW), -EAGAIN); /* nobody overtakes */
    for (int i = 1; i < TAKERS - 1; i++)
        weir__credits_give(&credits);
    while (order_count < TAKERS - 1)
        CHECK_EQUAL(weir_yield(), 0);
    for (int i = 0; i < TAKERS - 1; i++)
        CHECK_EQUAL(order[i], i < 2 ? i : i + 1);
    CHECK_EQUAL(credits.used, LIMIT);
    return 0;
}

static void test_credits_go_to_the_oldest_waiter(void **state)
{
    (void)state;
    assert_int_equal(test_run(queue_up, NULL, &two_loops), 0);
}

/* --- Classes. --------------------------------------------------------------------------------- */

enum { OF_EACH = 14, BACKGROUND_LIMIT = 2 };

static char turns[3 * OF_EACH + 1];
static size_t turn_count;
static bool keep;

static int take_in_turn(void *arg)
{
    enum weir_priority class = *(const enum weir_priority *)arg;
    int error = weir__credits_take_as(&credits, class, WEIR_FOREVER);

    turns[turn_count++] = "NLB"[class];
    if (error >= 0 && !keep)
        weir__credits_give_as(&credits, class);
    return error;
}

static enum weir_priority classes[] = { WEIR_PRIORITY_BACKGROUND, WEIR_PRIORITY_NORMAL,
                                        WEIR_PRIORITY_LATENCY };

/* All credits are taken by normal work, and so many of each class wait. */
static struct weir_scope *crowd(int of_each)
{
    struct weir_scope *scope;

    turn_count = 0;
    weir__credits_init(&credits, &test_reason, LIMIT, WEIR_WHEN_FULL_PARK, 0);
    weir__credits_share(&credits, &weir__shares_standard, BACKGROUND_LIMIT);
    take_all();
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < 3 * of_each; i++)
        CHECK_EQUAL(weir_spawn(scope, take_in_turn, &classes[i % 3], NULL), 0);
    while (credits.waiting < (size_t)(3 * of_each))
        CHECK_EQUAL(weir_yield(), 0);
    return scope;
}

static int share_out(void *arg)
{
    struct weir_scope *scope = crowd(OF_EACH);

    (void)arg;
    keep = false;
    weir__credits_give(&credits);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(strcmp(turns, "LLLLLLLLNNNNB"
                              "LLLLLLNNNNB"
                              "NNNNB"
                              "NNB"
                              "BBBBBBBBBB"),
                0);
    CHECK_EQUAL(credits.waiting_max, 3 * OF_EACH);
    CHECK_EQUAL(credits.waited_count, 3 * OF_EACH);
    CHECK(credits.wait_max_ns > 0);
    CHECK(credits.wait_max_ns <= credits.wait_ns);
    CHECK_EQUAL(credits.background_used, 0);
    CHECK_EQUAL(credits.used, LIMIT - 1);
    return 0;
}

static void test_credits_are_shared_out(void **state)
{
    (void)state;
    assert_int_equal(test_run(share_out, NULL, &(struct weir_options){ .loop_count = 1 }), 0);
}

/* Background has its part and no more; a newcomer of another class finds one. */
static int keep_a_part(void *arg)
{
    struct weir_scope *scope = crowd(0);

    (void)arg;
    keep = true;
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(weir_spawn(scope, take_in_turn, &classes[0], NULL), 0);
    while (credits.waiting < 3)
        CHECK_EQUAL(weir_yield(), 0);
    for (int i = 0; i < LIMIT; i++)
        weir__credits_give(&credits);
    while (turn_count < BACKGROUND_LIMIT)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(credits.used, BACKGROUND_LIMIT);
    CHECK_EQUAL(credits.waiting, 1);
    CHECK_EQUAL(weir__credits_take_as(&credits, WEIR_PRIORITY_BACKGROUND, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir__credits_take_as(&credits, WEIR_PRIORITY_LATENCY, WEIR_NOW), 0);
    weir__credits_give_as(&credits, WEIR_PRIORITY_LATENCY);
    CHECK_EQUAL(credits.waiting, 1); /* that one was not for background */
    weir__credits_give_as(&credits, WEIR_PRIORITY_BACKGROUND);
    CHECK_EQUAL(credits.background_used, BACKGROUND_LIMIT);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    for (int i = 0; i < BACKGROUND_LIMIT; i++)
        weir__credits_give_as(&credits, WEIR_PRIORITY_BACKGROUND);
    CHECK_EQUAL(credits.used, 0);
    CHECK_EQUAL(credits.background_used, 0);
    return 0;
}

static void test_background_has_a_part(void **state)
{
    (void)state;
    assert_int_equal(test_run(keep_a_part, NULL, &(struct weir_options){ .loop_count = 1 }), 0);
}

/* --- Under contention. ------------------------------------------------------------------------ */

static _Atomic long holders;

static void take_and_give(unsigned seed)
{
    long rounds = test_rounds(5000, 50000, 500000);

    for (long i = 0; i < rounds; i++) {
        int64_t deadline_ns = (i + seed) % 7 ? WEIR_FOREVER : weir_in_us((i + seed) % 50);

        if (weir__credits_take(&credits, deadline_ns) < 0)
            continue;
        CHECK(++holders <= LIMIT);
        if (i % 5 == 0)
            CHECK_EQUAL(weir_yield(), 0);
        holders--;
        weir__credits_give(&credits);
    }
}

static int contend_in_task(void *arg)
{
    take_and_give((unsigned)(uintptr_t)arg);
    return 0;
}

static void *contend_in_thread(void *arg)
{
    take_and_give((unsigned)(uintptr_t)arg);
    return NULL;
}

static int contend(void *arg)
{
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (uintptr_t i = 0; i < 8; i++) {
        struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP, .loop_index = i % 2 };

        CHECK_EQUAL(weir_spawn(scope, contend_in_task, (void *)i, &options), 0);
    }
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_never_more_than_the_limit(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    test_inject_yields(true);
    weir__credits_init(&credits, &test_reason, LIMIT, WEIR_WHEN_FULL_PARK, 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, contend_in_thread, (void *)i);
    assert_int_equal(test_run(contend, NULL, &two_loops), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    test_inject_yields(false);
    test_carry_out();
    assert_int_equal(credits.used, 0);
    assert_int_equal(credits.used_max, LIMIT);
    assert_int_equal(credits.waiting, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_policy),
        cmocka_unit_test(test_credits_go_to_the_oldest_waiter),
        cmocka_unit_test(test_credits_are_shared_out),
        cmocka_unit_test(test_background_has_a_part),
        cmocka_unit_test(test_never_more_than_the_limit),
    };

    return cmocka_run_group_tests_name("core/credit", tests, NULL, NULL);
}
