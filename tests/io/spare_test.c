/* SPDX-License-Identifier: MIT */
/* Waiting for a descriptor to spare: a close wakes, wherever it is made; none is missed. */
#include "io/fixture.h"

#include "io/spare.h"

/* Watches, and waits for one close. */
static int64_t wait_call(void *arg, int64_t deadline_ns)
{
    uint32_t seen = weir__spare_watch();
    int result = weir__spare_wait(&seen, deadline_ns);

    (void)arg;
    weir__spare_unwatch();
    return result;
}

static int64_t close_call(void *arg, int64_t deadline_ns)
{
    (void)deadline_ns;
    return weir_close(*(int *)arg);
}

static int wake_body(void *arg)
{
    struct call calls[4];

    (void)arg;
    for (unsigned closer = 0; closer < 2; closer++) {
        int fd = memory_file();

        for (unsigned i = 0; i < 4; i++) {
            calls[i] = call_of(wait_call, NULL);
            calls[i].loop_index = i % 2;
            call_start(&calls[i]);
        }
        while (atomic_load(&weir__spare_watchers) < 4)
            weir_yield();
        CHECK_EQUAL(run_on_loop(closer, close_call, &fd), 0);
        for (unsigned i = 0; i < 4; i++)
            CHECK_EQUAL(call_finish(&calls[i]), 0);
    }
    CHECK_EQUAL(atomic_load(&weir__spare_watchers), 0);
    return 0;
}

static void test_a_close_wakes(void **state)
{
    (void)state;
    assert_int_equal(test_run(wake_body, NULL, &two_loops), 0);
}

/* Between the watch and the wait; during a wait; twice. */
static int missed_body(void *arg)
{
    struct call call = call_of(wait_call, NULL);
    uint32_t seen = weir__spare_watch();

    (void)arg;
    CHECK_EQUAL(weir__spare_wait(&seen, weir_in_ms(1)), -ETIME);
    CHECK_EQUAL(weir_close(memory_file()), 0);
    CHECK_EQUAL(weir_close(memory_file()), 0);
    CHECK_EQUAL(weir__spare_wait(&seen, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir__spare_wait(&seen, weir_in_ms(1)), -ETIME); /* it heard of both */
    weir__spare_unwatch();
    CHECK_EQUAL(weir_close(memory_file()), 0); /* nobody listens */
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    return 0;
}

static void test_none_is_missed(void **state)
{
    (void)state;
    assert_int_equal(test_run(missed_body, NULL, &one_loop), 0);
}

/* Closes on one loop, deadlines on the other: whoever wins, the list stays whole. */
static int race_body(void *arg)
{
    unsigned seed = 3;
    long woken = 0, expired = 0;

    (void)arg;
    for (long round = 0; round < test_rounds(2000, 100000, 500000); round++) {
        struct call call = call_of(wait_call, NULL);

        call.loop_index = 1;
        call.deadline_ns = weir_in_ns(rand_r(&seed) % 60000);
        call_start(&call);
        for (int yields = rand_r(&seed) % 16; yields--;)
            weir_yield();
        CHECK_EQUAL(weir_close(memory_file()), 0);
        woken += call_finish(&call) == 0;
        expired += call.result == -ETIME;
        CHECK(call.result == 0 || call.result == -ETIME);
    }
    CHECK(woken > 0);
    CHECK(expired > 0);
    CHECK_EQUAL(atomic_load(&weir__spare_watchers), 0);
    return 0;
}

static void test_closes_and_deadlines(void **state)
{
    (void)state;
    assert_int_equal(test_run(race_body, NULL, &two_loops), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_close_wakes),
        cmocka_unit_test(test_none_is_missed),
        cmocka_unit_test(test_closes_and_deadlines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
