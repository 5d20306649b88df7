/* SPDX-License-Identifier: MIT */
/* Stalls in which no task is at fault: a long ready queue, a long turn, a thread without a CPU; and
 * a hog that looks like the last at first. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watch/stall_fixture.h"

static atomic_long sink;

static __attribute__((noinline)) void spin_here(int64_t until_ns)
{
    while (atomic_load(&caught.count) < 1 && weir_now_ns() < until_ns)
        sink++;
}

/* --- The ready queue -------------------------------------------------------------------------- */

/* Turns are short, but there are many; and the other way round: a turn is as long as its 64
 * switches, and meanwhile nobody looks for what has come. */
struct crowd {
    int tasks;
    int64_t slice_ns;
};

static int busy_in_slices(void *arg)
{
    const struct crowd *crowd = arg;

    while (atomic_load(&caught.count) < 1) {
        int64_t until_ns = weir_in_ns(crowd->slice_ns);

        while (weir_now_ns() < until_ns)
            sink++;
        weir_yield();
    }
    return 0;
}

static int crowd_root(void *arg)
{
    const struct crowd *crowd = arg;
    struct weir_scope *scope = NULL;

    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < crowd->tasks; i++)
        CHECK_EQUAL(weir_spawn(scope, busy_in_slices, arg, NULL), 0);
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_ready_queue(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_QUEUE);
    struct crowd crowd = { .tasks = 512, .slice_ns = 400000 };

    (void)state;
    options.stall_limit_ns = 2 * CAUGHT_LIMIT_NS;
    caught.needs_text = "a ready task";
    assert_int_equal(test_run(crowd_root, &crowd, &options), 0);
    CHECK_EQUAL(caught.stall.kind, WEIR_STALL_QUEUE);
    CHECK(caught.stall.task_name == NULL);
    CHECK_EQUAL(caught.stall.frame_count, 0);
    CHECK_TEXT(caught.text, "weir: loop 0 is overloaded: a ready task has waited for its turn for ",
               " ms; nobody holds the loop, ", " turns of others came first, ",
               " us each, and it has 513 tasks; ");
    test_carry_out();
}

/* The ready queue is two tasks long, and what comes from outside waits for 64 slices all the same.
 */
static void test_long_turn(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_QUEUE);
    struct crowd crowd = { .tasks = 2, .slice_ns = CAUGHT_LIMIT_NS / 4 };

    (void)state;
    caught.needs_text = "what has come";
    assert_int_equal(test_run(crowd_root, &crowd, &options), 0);
    CHECK_TEXT(caught.text,
               "weir: loop 0 is overloaded: what has come for it (I/O, timers, other loops) has "
               "waited for ",
               " ms; nobody holds the loop, ", " turns of others came first, ",
               " us each, and it has 3 tasks; they run long between two parks: call weir_yield "
               "more often, or move computation to weir_cpu_run\n");
    test_carry_out();
}

/* --- A machine that is too busy --------------------------------------------------------------- */

static void bind_to_one_cpu(void)
{
    cpu_set_t cpus;
    size_t cpu = 0;

    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    while (!CPU_ISSET(cpu, &cpus))
        cpu++;
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
    assert_int_equal(sched_setaffinity(0, sizeof cpus, &cpus), 0);
}

static void *take_the_cpu(void *arg)
{
    bind_to_one_cpu();
    atomic_fetch_add((atomic_long *)arg, 1);
    while (atomic_load(&caught.count) < 1)
        ;
    return NULL;
}

/* The loop's thread is the least of all on its CPU, and never gets it. */
static int starved(void *arg)
{
    struct sched_param param = { 0 };

    bind_to_one_cpu();
    test_await(arg, 1);
    CHECK_EQUAL(sched_setscheduler(0, SCHED_IDLE, &param), 0);
    spin_here(WEIR_FOREVER);
    return 0;
}

static void test_starved(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_STARVED);
    atomic_long is_taken = 0;
    pthread_t taker;

    (void)state;
    options.stall_limit_ns = 4 * CAUGHT_LIMIT_NS;
    assert_int_equal(pthread_create(&taker, NULL, take_the_cpu, &is_taken), 0);
    assert_int_equal(test_run(starved, &is_taken, &options), 0);
    assert_int_equal(pthread_join(taker, NULL), 0);
    CHECK_EQUAL(caught.stall.kind, WEIR_STALL_STARVED);
    CHECK_TEXT(caught.text, "weir: loop 0 is starved: it has not got on for ",
               " ms; its thread is ready, and had a CPU for ", " of the last ",
               " ms; the machine is overloaded: run fewer busy threads beside the loops, or fewer "
               "loops\n");
    test_carry_out();
}

/* A third of a CPU is starved at first; in the end it has used so much that it is a hog. */
static int hog_of_a_third(void *arg)
{
    bind_to_one_cpu();
    test_await(arg, 2);
    spin_here(WEIR_FOREVER);
    return 0;
}

static void test_hog_beside_others(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_HOG);
    atomic_long taken_count = 0;
    pthread_t takers[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&takers[i], NULL, take_the_cpu, &taken_count), 0);
    assert_int_equal(test_run(hog_of_a_third, &taken_count, &options), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(takers[i], NULL), 0);
    CHECK_TEXT(caught.text, "weir: loop 0 is hogged: task \"root\" has run for ");
    test_carry_out();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_queue),
        cmocka_unit_test(test_long_turn),
        cmocka_unit_test(test_starved),
        cmocka_unit_test(test_hog_beside_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
