/* SPDX-License-Identifier: MIT */
/* The timer wheel against a plain list of deadlines, with a clock of the test's own. */
#include "core/timer.h"

#include "base/random.h"
#include "support/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TIMER_COUNT = 4096, CROWD = 100000, TICK_NS = 1 << WEIR__TIMER_TICK_BITS };
static const int64_t END_NS = INT64_C(1) << 62; /* as good as never */
static const int64_t START_NS = INT64_C(1234567890123456);

/* A timer and what is known of it from outside. */
struct probe {
    struct weir__timer timer;
    int64_t deadline_ns; /* while armed */
    bool armed;
    long fired_count;
    struct probe *victim; /* disarmed when this one fires */
    int64_t again_ns;     /* armed again with this deadline when it fires; 0: not */
};

static struct weir__wheel wheel;
static struct probe probes[TIMER_COUNT];
static int64_t now_ns;
static long fired_count;

static void fire(struct weir__timer *timer)
{
    struct probe *probe = WEIR_CONTAINER_OF(timer, struct probe, timer);

    assert_true(probe->armed);
    assert_false(weir__timer_armed(timer));
    assert_true(probe->deadline_ns <= now_ns); /* never early */
    probe->armed = false;
    probe->fired_count++;
    fired_count++;
    if (probe->victim) {
        weir__timer_disarm(&wheel, &probe->victim->timer);
        probe->victim->armed = false;
    }
    if (probe->again_ns) {
        probe->deadline_ns = probe->again_ns;
        probe->again_ns = 0;
        probe->armed = true;
        weir__timer_arm(&wheel, timer, probe->deadline_ns);
    }
}

static void init_probe(struct probe *probe)
{
    *probe = (struct probe){ .armed = false };
    weir__timer_init(&probe->timer, fire);
}

static void arm(struct probe *probe, int64_t deadline_ns)
{
    probe->deadline_ns = deadline_ns;
    probe->armed = true;
    weir__timer_arm(&wheel, &probe->timer, deadline_ns);
}

static void disarm(struct probe *probe)
{
    probe->armed = false;
    weir__timer_disarm(&wheel, &probe->timer);
}

static void advance(int64_t to_ns)
{
    now_ns = to_ns;
    weir__wheel_expire(&wheel, now_ns);
}

static int start(void **state)
{
    (void)state;
    now_ns = START_NS;
    fired_count = 0;
    weir__wheel_init(&wheel, now_ns);
    for (size_t i = 0; i < TIMER_COUNT; i++)
        init_probe(&probes[i]);
    return 0;
}

/* What is due has fired, a tick's rounding aside; what is not is armed; next is not too late. */
static void compare(void)
{
    int64_t earliest_ns = INT64_MAX;
    uint64_t armed_count = 0;

    advance(now_ns);
    for (size_t i = 0; i < TIMER_COUNT; i++) {
        assert_int_equal(weir__timer_armed(&probes[i].timer), probes[i].armed);
        if (!probes[i].armed)
            continue;
        armed_count++;
        assert_true(probes[i].deadline_ns > now_ns - TICK_NS);
        if (probes[i].deadline_ns < earliest_ns)
            earliest_ns = probes[i].deadline_ns;
    }
    assert_int_equal(wheel.count, armed_count);
    if (armed_count)
        assert_true(weir__wheel_next(&wheel) < earliest_ns + TICK_NS);
    else
        assert_true(weir__wheel_next(&wheel) == INT64_MAX);
    weir__wheel_verify(&wheel);
}

/* A duration of any magnitude the levels know: from nanoseconds to 70 years. */
static int64_t any_duration(struct weir__random *random)
{
    return (int64_t)(weir__random_next(random) >> (2 + weir__random_next(random) % 61));
}

static void test_random_against_a_list(void **state)
{
    long rounds = test_rounds(1000000, 1000000, 20000000);
    struct weir__random random = { .state = 1 };

    (void)state;
    for (long round = 0; round < rounds; round++) {
        struct probe *probe = &probes[weir__random_next(&random) % TIMER_COUNT];
        unsigned choice = (unsigned)(weir__random_next(&random) % 8);

        if (choice == 0 && round % 4 == 0)
            advance(now_ns + any_duration(&random) / 4096);
        else if (probe->armed)
            disarm(probe);
        else
            arm(probe,
                now_ns + (choice == 1 ? -any_duration(&random) / 4096 : any_duration(&random)));
        if (round % 4096 == 0)
            compare();
    }
    compare();
    assert_true(fired_count > rounds / 100);
}

static void test_each_level_cascades_to_its_deadline(void **state)
{
    int64_t span_ns = TICK_NS;

    (void)state;
    for (unsigned level = 0; level < WEIR__TIMER_LEVELS; level++) {
        for (int64_t part = 1; part < WEIR__TIMER_SLOTS - 1; part += 20) {
            int64_t deadline_ns = now_ns + span_ns * part + span_ns / 3;
            int64_t next_ns;

            if (deadline_ns > END_NS)
                break;
            arm(&probes[0], deadline_ns);
            fired_count = 0;
            while ((next_ns = weir__wheel_next(&wheel)) < deadline_ns) {
                assert_true(next_ns > now_ns); /* or a loop would spin */
                advance(next_ns);
                assert_int_equal(fired_count, 0);
                weir__wheel_verify(&wheel);
            }
            advance(deadline_ns + TICK_NS);
            assert_int_equal(fired_count, 1);
            assert_int_equal(wheel.count, 0);
        }
        if (level + 1 < WEIR__TIMER_LEVELS)
            span_ns *= WEIR__TIMER_SLOTS;
    }
}

static void test_one_leap_over_all_levels(void **state)
{
    int64_t span_ns = TICK_NS;

    (void)state;
    for (size_t i = 0; i < WEIR__TIMER_LEVELS; i++, span_ns *= WEIR__TIMER_SLOTS)
        arm(&probes[i], now_ns + span_ns);
    advance(now_ns + span_ns / WEIR__TIMER_SLOTS + TICK_NS);
    assert_int_equal(fired_count, WEIR__TIMER_LEVELS);
    compare();
}

static void test_the_ends_of_time(void **state)
{
    (void)state;
    arm(&probes[0], INT64_MAX);
    arm(&probes[1], INT64_MIN);
    arm(&probes[2], 0);
    arm(&probes[3], now_ns);
    advance(now_ns + TICK_NS);
    assert_int_equal(fired_count, 3);
    assert_true(probes[0].armed);
    weir__wheel_verify(&wheel);
    disarm(&probes[0]);
    compare();
}

static void test_a_crowd_with_one_deadline(void **state)
{
    struct probe *crowd = calloc(CROWD, sizeof *crowd);

    (void)state;
    assert_non_null(crowd);
    for (size_t i = 0; i < CROWD; i++) {
        init_probe(&crowd[i]);
        arm(&crowd[i], now_ns + 5 * INT64_C(1000000000));
    }
    for (size_t i = 0; i < CROWD; i += 2)
        disarm(&crowd[i]);
    advance(now_ns + INT64_C(4999999999));
    assert_int_equal(fired_count, 0);
    advance(now_ns + TICK_NS + 1);
    assert_int_equal(fired_count, CROWD / 2);
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(crowd[i].fired_count, i % 2);
    weir__wheel_verify(&wheel);
    free(crowd);
}

static void test_disarm_inside_fire(void **state)
{
    (void)state;
    arm(&probes[0], now_ns + 1000);
    arm(&probes[1], now_ns + 1000);
    arm(&probes[2], now_ns + 1000);
    arm(&probes[3], now_ns + 1000 + 64 * TICK_NS);
    probes[0].victim = &probes[1];
    probes[2].victim = &probes[3];
    advance(now_ns + TICK_NS);
    assert_int_equal(fired_count, 2);
    assert_int_equal(probes[1].fired_count, 0);
    assert_int_equal(wheel.count, 0);
    compare();
}

static void test_arm_inside_fire(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        arm(&probes[i], now_ns + 1000);
    probes[0].again_ns = now_ns; /* has passed: fires in the same expiry */
    probes[1].again_ns = now_ns + 100 * TICK_NS;
    probes[2].victim = &probes[1];
    advance(now_ns + 2 * TICK_NS);
    assert_int_equal(fired_count, 4);
    assert_int_equal(probes[0].fired_count, 2);
    assert_int_equal(probes[1].fired_count, 1);
    compare();
}

static void test_disarm_twice_is_harmless(void **state)
{
    (void)state;
    disarm(&probes[0]);
    arm(&probes[0], now_ns + 1);
    disarm(&probes[0]);
    disarm(&probes[0]);
    assert_int_equal(wheel.count, 0);
    compare();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_random_against_a_list, start),
        cmocka_unit_test_setup(test_each_level_cascades_to_its_deadline, start),
        cmocka_unit_test_setup(test_one_leap_over_all_levels, start),
        cmocka_unit_test_setup(test_the_ends_of_time, start),
        cmocka_unit_test_setup(test_a_crowd_with_one_deadline, start),
        cmocka_unit_test_setup(test_disarm_inside_fire, start),
        cmocka_unit_test_setup(test_arm_inside_fire, start),
        cmocka_unit_test_setup(test_disarm_twice_is_harmless, start),
    };

    return cmocka_run_group_tests_name("core/timer", tests, NULL, NULL);
}
