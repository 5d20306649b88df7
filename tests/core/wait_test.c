/* SPDX-License-Identifier: MIT */
/* Waits: one winner, one wake; interrupts; plain threads on their futex. */
#include "core/park.h"

#include "base/clock.h"
#include "support/support.h"

#include <weir/runtime.h>
#include <weir/scope.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct weir__reason test_reason = { "test", WEIR_PHASE_TASK, NULL };

enum { CLAIMERS = 3, WAITS = 1000, CODE = 7 };

/* --- One winner. ------------------------------------------------------------------------------ */

static struct weir__wait waits[WAITS];
static pthread_barrier_t barrier;

static void *claim_all(void *arg)
{
    int code = *(int *)arg;
    long rounds = test_rounds(1000000, 10000000, 50000000) / WAITS;
    intptr_t won_count = 0;

    for (long round = 0; round < rounds; round++) {
        pthread_barrier_wait(&barrier);
        for (size_t i = 0; i < WAITS; i++) {
            bool won = weir__wait_claim(&waits[i], code);

            won_count += won;
            CHECK(!weir__wait_is_open(&waits[i]));
            CHECK(!won || atomic_load(&waits[i].word) == code);
        }
        pthread_barrier_wait(&barrier);
        if (code == 0)
            for (size_t i = 0; i < WAITS; i++)
                weir__wait_begin(&waits[i], &test_reason, NULL);
    }
    return (void *)won_count;
}

static void test_one_claim_wins(void **state)
{
    long rounds = test_rounds(1000000, 10000000, 50000000) / WAITS;
    pthread_t threads[CLAIMERS];
    int codes[CLAIMERS];
    intptr_t won_count = 0;

    (void)state;
    pthread_barrier_init(&barrier, NULL, CLAIMERS);
    for (size_t i = 0; i < WAITS; i++)
        weir__wait_begin(&waits[i], &test_reason, NULL);
    for (int i = 0; i < CLAIMERS; i++) {
        codes[i] = i;
        pthread_create(&threads[i], NULL, claim_all, &codes[i]);
    }
    for (size_t i = 0; i < CLAIMERS; i++) {
        void *won;

        pthread_join(threads[i], &won);
        won_count += (intptr_t)won;
    }
    pthread_barrier_destroy(&barrier);
    test_carry_out();
    assert_int_equal(won_count, rounds * WAITS);
}

static void test_decided_waiters_are_passed_over(void **state)
{
    struct weir__waiter waiters[3];
    struct weir__list list;

    (void)state;
    weir__list_init(&list);
    for (int i = 0; i < 3; i++) {
        weir__wait_begin(&waits[i], &test_reason, NULL);
        waiters[i] = (struct weir__waiter){ .wait = &waits[i], .index = CODE };
        weir__list_append(&list, &waiters[i].link);
    }
    assert_true(weir__wait_claim(&waits[0], -ETIME));
    assert_ptr_equal(weir__waiter_claim_first(&list), &waiters[1]);
    assert_true(weir__list_empty(&waiters[0].link)); /* unlinking it again is harmless */
    assert_true(weir__wait_claim(&waits[2], -ECANCELED));
    assert_null(weir__waiter_claim_first(&list));
    assert_true(weir__list_empty(&list));
    assert_int_equal(atomic_load(&waits[1].word), CODE);
}

/* --- Tasks. ----------------------------------------------------------------------------------- */

static int interrupt_reason;
static _Atomic long interrupt_count;

static void note_interrupt(struct weir__wait *wait, int reason)
{
    CHECK(weir__wait_is_open(wait));
    interrupt_reason = reason;
    interrupt_count++;
}

/* A wait whose early end must be asked for: parks until somebody fires it. */
static int park_asking(void *arg)
{
    struct weir__wait *wait = weir__wait_self();
    int64_t deadline_ns = *(int64_t *)arg;

    interrupt_count = 0;
    weir__wait_begin(wait, &test_reason, NULL);
    wait->interrupt = note_interrupt;
    return weir__wait_park(wait, deadline_ns, WEIR__PARK_CANCELLABLE);
}

static int ask_for_an_end(void *arg)
{
    int64_t deadlines_ns[] = { weir_in_us(100), WEIR_FOREVER };
    int reasons[] = { -ETIME, -ECANCELED };

    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct weir_task *task;
        struct weir_spawn_options options = { .task = &task };
        int result = 0;

        CHECK_EQUAL(weir_spawn(weir_task_scope(), park_asking, &deadlines_ns[i], &options), 0);
        CHECK_EQUAL(weir_yield(), 0);
        if (reasons[i] == -ECANCELED)
            CHECK_EQUAL(weir_task_cancel(task), 0);
        while (interrupt_count == 0)
            CHECK_EQUAL(weir_yield(), 0);
        for (int turn = 0; turn < 200; turn++) /* asked once, not again and again */
            CHECK_EQUAL(weir_yield(), 0);
        CHECK_EQUAL(interrupt_count, 1);
        CHECK_EQUAL(interrupt_reason, reasons[i]);
        CHECK(weir__wait_is_open(&task->wait));
        CHECK(weir__wait_fire(&task->wait, CODE));
        CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
        CHECK_EQUAL(result, CODE);
    }
    return 0;
}

static void test_an_interrupt_hook_is_asked_once(void **state)
{
    (void)state;
    assert_int_equal(test_run(ask_for_an_end, NULL, NULL), 0);
}

static int park_claimed(void *arg)
{
    struct weir__wait *wait = weir__wait_self();

    (void)arg;
    weir__wait_begin(wait, &test_reason, NULL);
    CHECK(weir__wait_fire(wait, CODE));
    CHECK(!weir__wait_fire(wait, CODE + 1));
    CHECK_EQUAL(weir__wait_park(wait, WEIR_FOREVER, WEIR__PARK_CANCELLABLE), CODE);
    weir__wait_begin(wait, &test_reason, NULL);
    CHECK(weir__wait_fire(wait, CODE));
    CHECK_EQUAL(weir__wait_park(wait, 1, WEIR__PARK_CANCELLABLE), CODE); /* its deadline lost */
    weir__wait_begin(wait, &test_reason, NULL);
    CHECK_EQUAL(weir__wait_park(wait, 1, WEIR__PARK_CANCELLABLE), -ETIME);
    CHECK_EQUAL(weir__wait_refuse(WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir__wait_refuse(1), -ETIME);
    CHECK_EQUAL(weir__wait_refuse(WEIR_FOREVER), 0);
    CHECK_EQUAL(weir__wait_refuse(weir_in_seconds(100)), 0);
    return 0;
}

static void test_a_claim_before_the_park_is_kept(void **state)
{
    (void)state;
    assert_int_equal(test_run(park_claimed, NULL, NULL), 0);
    assert_int_equal(park_claimed(NULL), 0); /* the same on a plain thread */
    test_carry_out();
}

/* --- Plain threads. --------------------------------------------------------------------------- */

static void test_a_thread_waits_until_its_deadline(void **state)
{
    struct weir__wait *wait = weir__wait_self();
    int64_t deadline_ns = weir_in_ms(2);

    (void)state;
    assert_null(wait->loop);
    weir__wait_begin(wait, &test_reason, NULL);
    assert_int_equal(weir__wait_park(wait, deadline_ns, WEIR__PARK_CANCELLABLE), -ETIME);
    assert_true(weir_now_ns() >= deadline_ns);
}

static void *fire_interrupted(void *arg)
{
    struct weir__wait *wait = arg;

    test_await(&interrupt_count, 1);
    CHECK(weir__wait_fire(wait, CODE));
    return NULL;
}

static void test_a_thread_asks_its_hook_once(void **state)
{
    struct weir__wait *wait = weir__wait_self();
    pthread_t thread;

    (void)state;
    interrupt_count = 0;
    weir__wait_begin(wait, &test_reason, NULL);
    wait->interrupt = note_interrupt;
    pthread_create(&thread, NULL, fire_interrupted, wait);
    assert_int_equal(weir__wait_park(wait, weir_in_us(50), WEIR__PARK_CANCELLABLE), CODE);
    pthread_join(thread, NULL);
    test_carry_out();
    assert_int_equal(interrupt_count, 1);
    assert_int_equal(interrupt_reason, -ETIME);
}

static _Atomic(struct weir__wait *) thread_target;

static void *fire_each(void *arg)
{
    long rounds = *(long *)arg;

    for (long i = 0; i < rounds; i++) {
        struct weir__wait *wait;

        while (!(wait = atomic_exchange(&thread_target, NULL)))
            weir__cpu_pause();
        CHECK(weir__wait_fire(wait, (int)(i % 100)));
    }
    return NULL;
}

static void test_no_wake_of_a_thread_is_lost(void **state)
{
    long rounds = test_rounds(50000, 500000, 5000000);
    struct weir__wait *wait = weir__wait_self();
    pthread_t thread;

    (void)state;
    pthread_create(&thread, NULL, fire_each, &rounds);
    for (long i = 0; i < rounds; i++) {
        weir__wait_begin(wait, &test_reason, NULL);
        atomic_store(&thread_target, wait);
        assert_int_equal(weir__wait_park(wait, WEIR_FOREVER, WEIR__PARK_CANCELLABLE), i % 100);
    }
    pthread_join(thread, NULL);
    test_carry_out();
}

/* Deadlines and fires race; whoever wins, the wait returns what was claimed. */
static struct race {
    struct weir__wait *wait;
    long rounds;
    _Atomic long begun_count;
    _Atomic long fired_count; /* tried to fire */
    long won_count;
} race;

static void *fire_late(void *arg)
{
    (void)arg;
    for (long i = 0; i < race.rounds; i++) {
        test_await(&race.begun_count, i + 1);
        race.won_count += weir__wait_fire(race.wait, CODE);
        atomic_store(&race.fired_count, i + 1);
    }
    return NULL;
}

static void test_a_thread_hears_the_winner(void **state)
{
    long fired_count = 0;
    pthread_t thread;

    (void)state;
    race.wait = weir__wait_self();
    race.rounds = test_rounds(2000, 20000, 200000);
    pthread_create(&thread, NULL, fire_late, NULL);
    for (long i = 0; i < race.rounds; i++) {
        int code;

        weir__wait_begin(race.wait, &test_reason, NULL);
        atomic_store(&race.begun_count, i + 1);
        code = weir__wait_park(race.wait, weir_in_us(i % 150), WEIR__PARK_CANCELLABLE);
        assert_true(code == CODE || code == -ETIME);
        fired_count += code == CODE;
        test_await(&race.fired_count, i + 1);
    }
    pthread_join(thread, NULL);
    assert_int_equal(race.won_count, fired_count);
}

static struct weir__timer thread_timers[2];

static void fire_thread_timer(struct weir__timer *timer)
{
    weir__wait_fire(weir__wait_self(), timer == &thread_timers[0] ? 0 : 1);
}

static void test_a_thread_watches_its_timers(void **state)
{
    struct weir__wait *wait = weir__wait_self();
    int64_t soon_ns = weir_in_ms(1);

    (void)state;
    for (int first = 0; first < 2; first++) {
        weir__wait_begin(wait, &test_reason, NULL);
        for (int i = 0; i < 2; i++) {
            weir__timer_init(&thread_timers[i], fire_thread_timer);
            weir__wait_arm_timer(wait, &thread_timers[i],
                                 i == first ? soon_ns : weir_in_seconds(1000));
        }
        assert_int_equal(weir__wait_park(wait, weir_in_seconds(1000), WEIR__PARK_CANCELLABLE),
                         first);
        assert_true(weir_now_ns() >= soon_ns);
        for (int i = 0; i < 2; i++)
            weir__wait_disarm_timer(wait, &thread_timers[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_claim_wins),
        cmocka_unit_test(test_decided_waiters_are_passed_over),
        cmocka_unit_test(test_an_interrupt_hook_is_asked_once),
        cmocka_unit_test(test_a_claim_before_the_park_is_kept),
        cmocka_unit_test(test_a_thread_waits_until_its_deadline),
        cmocka_unit_test(test_a_thread_asks_its_hook_once),
        cmocka_unit_test(test_no_wake_of_a_thread_is_lost),
        cmocka_unit_test(test_a_thread_hears_the_winner),
        cmocka_unit_test(test_a_thread_watches_its_timers),
    };

    return cmocka_run_group_tests_name("core/wait", tests, NULL, NULL);
}
