/* SPDX-License-Identifier: MIT */
/* Options: defaults, ranges, what the machine allows; each refusal names the option. */
#include "runtime/options.h"

#include "support/support.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct weir__machine four_cpus = { .cpu_count = 4, .cpus = { 0, 1, 2, 3 } };

static int fill(struct weir_options *options, const struct weir_options *given, char *why)
{
    struct weir__machine machine = four_cpus;

    return weir__options_fill(options, given, &machine, false, why, 512);
}

static void test_zero_means_default(void **state)
{
    struct weir_options options;
    char why[512];

    (void)state;
    assert_int_equal(fill(&options, NULL, why), 0);
    assert_int_equal(options.loop_count, 4);
    assert_int_equal(options.ring_entries, 256);
    assert_int_equal(options.spin_max_ns, 30000);
    assert_int_equal(options.tasks_per_loop, 262144);
    assert_int_equal(options.remote_spawns, 1024);
    assert_int_equal(options.stack_bytes, 64 * 1024);
    assert_int_equal(options.stacks_kept, 1024);
    assert_int_equal(options.submission_limit, 64);
    assert_int_equal(options.pool_threads_min, 1);
    assert_int_equal(options.pool_threads_max, 64);
    assert_int_equal(options.pool_queue_limit, 1024);
    assert_int_equal(options.cpu_threads, 4);
    assert_int_equal(options.cpu_queue_limit, 1024);
    assert_int_equal(options.share_latency, 8);
    assert_int_equal(options.share_normal, 4);
    assert_int_equal(options.share_background, 1);
    assert_int_equal(options.background_percent, 25);
    assert_int_equal(options.resolve_threads_max, 8);
    assert_int_equal(options.resolve_answers, 1024);
    assert_true(options.resolve_ttl_ns == 60 * INT64_C(1000000000));
}

static void test_what_was_given_stays(void **state)
{
    struct weir_options given = {
        .size = sizeof given,
        .loop_count = 7,
        .ring_entries = 32,
        .spin_max_ns = -1,
        .tasks_per_loop = 1,
        .stack_bytes = 1 << 20,
        .submission_limit = 3,
        .pool_wait_ns = INT64_MAX,
        .context = &given,
    };
    struct weir_options options;
    char why[512];

    (void)state;
    assert_int_equal(fill(&options, &given, why), 0);
    assert_int_equal(options.loop_count, 7);
    assert_int_equal(options.ring_entries, 32);
    assert_true(options.spin_max_ns < 0);
    assert_int_equal(options.tasks_per_loop, 1);
    assert_int_equal(options.stack_bytes, 1 << 20);
    assert_int_equal(options.submission_limit, 3);
    assert_true(options.pool_wait_ns == INT64_MAX);
    assert_ptr_equal(options.context, &given);
}

static const struct {
    const char *name;
    struct weir_options given;
} bad[] = {
    { "size", { .size = 8 } },
    { "loop_count", { .loop_count = 257 } },
    { "ring_entries", { .ring_entries = 4 } },
    { "ring_entries", { .ring_entries = 100 } },
    { "ring_entries", { .ring_entries = 65536 } },
    { "spin_max_ns", { .spin_max_ns = INT64_C(2000000000) } },
    { "without_features", { .without_features = 1u << 31 } },
    { "tasks_per_loop", { .tasks_per_loop = (1 << 26) + 1 } },
    { "remote_spawns", { .remote_spawns = UINT32_MAX } },
    { "stack_bytes", { .stack_bytes = 4096 } },
    { "stack_bytes", { .stack_bytes = SIZE_MAX } },
    { "stack_total_bytes", { .stack_total_bytes = 1 } },
    { "stacks_kept", { .stacks_kept = UINT32_MAX } },
    { "submission_limit", { .submission_limit = (1 << 20) + 1 } },
    { "submission_when_full", { .submission_when_full = WEIR_WHEN_FULL_EXPIRE + 1 } },
    { "submission_wait_ns", { .submission_wait_ns = -1 } },
    { "pool_threads_min", { .pool_threads_min = 1025 } },
    { "pool_threads_min", { .pool_threads_min = 9, .pool_threads_max = 8 } },
    { "pool_threads_max", { .pool_threads_max = 1025 } },
    { "pool_queue_limit", { .pool_queue_limit = UINT32_MAX } },
    { "pool_when_full", { .pool_when_full = WEIR_WHEN_FULL_EXPIRE + 1 } },
    { "pool_wait_ns", { .pool_wait_ns = -1 } },
    { "pool_idle_ns", { .pool_idle_ns = -1 } },
    { "cpu_threads", { .cpu_threads = 1025 } },
    { "cpu_queue_limit", { .cpu_queue_limit = UINT32_MAX } },
    { "cpu_when_full", { .cpu_when_full = WEIR_WHEN_FULL_EXPIRE + 1 } },
    { "resolve_threads_max", { .resolve_threads_max = 1025 } },
    { "resolve_threads_min", { .resolve_threads_min = 9 } },
    { "resolve_when_full", { .resolve_when_full = WEIR_WHEN_FULL_EXPIRE + 1 } },
    { "resolve_wait_ns", { .resolve_wait_ns = -1 } },
    { "cpu_wait_ns", { .cpu_wait_ns = -1 } },
    { "loop_cpus", { .loop_cpus = "" } },
    { "loop_cpus", { .loop_cpus = "all" } },
    { "loop_cpus", { .loop_cpus = "0," } },
    { "loop_cpus", { .loop_cpus = "0-" } },
    { "loop_cpus", { .loop_cpus = "0 1" } },
    { "loop_cpus", { .loop_cpus = "3-1" } },
    { "loop_cpus", { .loop_cpus = "-1" } },
    { "loop_cpus", { .loop_cpus = "1024" } },
    { "loop_cpus", { .loop_cpus = "99999999999999999999" } },
    { "loop_cpus", { .loop_cpus = "0,1000" } }, /* not on this machine */
    { "napi_busy_poll_ns", { .napi_busy_poll_ns = -1 } },
    { "napi_busy_poll_ns", { .napi_busy_poll_ns = INT64_C(1000000001) } },
    { "prefault_stacks", { .prefault_stacks = (1 << 26) + 1 } },
    { "prefault_stacks", { .prefault_stacks = 9, .tasks_per_loop = 8 } },
    { "memory_limit_bytes", { .memory_limit_bytes = (1 << 20) - 1 } },
    { "share_latency", { .share_latency = 256 } },
    { "share_normal", { .share_normal = 256 } },
    { "share_background", { .share_background = 256 } },
    { "background_percent", { .background_percent = 101 } },
    { "reserved", { .reserved = { [4] = 1 } } },
};

static int never(void *arg)
{
    (void)arg;
    CHECK(false);
    return 0;
}

static void test_each_bad_option_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char name[64] = "weir_options.";
        struct weir_options options;
        char why[512] = "";

        strcat(name, bad[i].name);
        assert_int_equal(fill(&options, &bad[i].given, why), -EINVAL);
        assert_ptr_equal(strstr(why, name), why);
        assert_int_equal(test_run(never, NULL, &bad[i].given), -EINVAL);
        assert_string_equal(weir_last_error(), why);
        assert_int_equal(weir_run_on_this_thread(never, NULL, &bad[i].given), -EINVAL);
        test_carry_out();
    }
}

static void test_the_machine_bounds_loops_and_spinning(void **state)
{
    struct weir__machine quota = { .cpu_count = 4, .quota_cpus = 2 };
    struct weir__machine single = { .cpu_count = 1 };
    struct weir__machine four = four_cpus;
    struct weir_options options;
    char why[512];

    (void)state;
    assert_int_equal(weir__options_fill(&options, NULL, &quota, false, why, sizeof why), 0);
    assert_int_equal(options.loop_count, 2);
    assert_int_equal(options.cpu_threads, 2);
    assert_true(options.spin_max_ns <= 0);
    assert_int_equal(weir__options_fill(&options, NULL, &single, false, why, sizeof why), 0);
    assert_int_equal(options.loop_count, 1);
    assert_true(options.spin_max_ns <= 0);
    assert_int_equal(weir__options_fill(&options, NULL, &four, true, why, sizeof why), 0);
    assert_int_equal(options.loop_count, 1);
    assert_true(options.spin_max_ns > 0);
}

static void test_named_cpus_are_those_of_the_loops(void **state)
{
    struct weir_options given = { .loop_cpus = "1-2,3,2" };
    struct weir__machine machine = four_cpus;
    struct weir_options options;
    char why[512];

    (void)state;
    assert_int_equal(weir__options_fill(&options, &given, &machine, false, why, sizeof why), 0);
    assert_int_equal(options.loop_count, 3);
    assert_int_equal(options.cpu_threads, 4); /* the pools keep what the process has */
    assert_int_equal(machine.cpu_count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(machine.cpus[i], i + 1);
    assert_true(machine.restricted);
    assert_true(options.spin_max_ns > 0);

    given.loop_cpus = "2"; /* a CPU of its own may spin: the others have the rest */
    machine = four_cpus;
    assert_int_equal(weir__options_fill(&options, &given, &machine, false, why, sizeof why), 0);
    assert_int_equal(options.loop_count, 1);
    assert_true(options.spin_max_ns > 0);

    given.loop_cpus = "0-3"; /* all there are */
    machine = four_cpus;
    assert_int_equal(weir__options_fill(&options, &given, &machine, false, why, sizeof why), 0);
    assert_false(machine.restricted);

    given.loop_cpus = "2-4";
    machine = four_cpus;
    assert_int_equal(weir__options_fill(&options, &given, &machine, false, why, sizeof why),
                     -EINVAL);
    assert_non_null(strstr(why, "CPU 4"));
    assert_non_null(strstr(why, "affinity"));
    assert_int_equal(machine.cpu_count, 4);
}

static void test_this_machine_is_read(void **state)
{
    struct weir__machine machine;

    (void)state;
    weir__machine_read(&machine);
    assert_in_range(machine.cpu_count, 1, WEIR__LOOPS_MAX);
    for (unsigned i = 1; i < machine.cpu_count; i++)
        assert_true(machine.cpus[i - 1] < machine.cpus[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_means_default),
        cmocka_unit_test(test_what_was_given_stays),
        cmocka_unit_test(test_each_bad_option_is_refused_by_name),
        cmocka_unit_test(test_the_machine_bounds_loops_and_spinning),
        cmocka_unit_test(test_named_cpus_are_those_of_the_loops),
        cmocka_unit_test(test_this_machine_is_read),
    };

    return cmocka_run_group_tests_name("runtime/options", tests, NULL, NULL);
}
