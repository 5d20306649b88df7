/* SPDX-License-Identifier: MIT */
/*
 * Failures where weir talks to the kernel. Each row's call is made again and again, and each time
 * one system call later fails, until none is left to fail; likewise for each allocation. Whatever
 * fails: the call says so or does without it, nothing stays in flight, no descriptor is lost.
 *
 * The build wraps every function of base/kernel.h (kernel_calls.inc lists them). They take and give
 * machine words, at most six.
 */
#include "op_trial.h"

#include "base/memory.h"

enum { CALLS_MAX = 64, INJECTED = -EXDEV }; /* an error that no fixture meets by itself */

static atomic_long calls_left = -1; /* until one fails; below zero: none does */
static atomic_long injected_count;

static bool fails_now(void)
{
    if (atomic_load(&calls_left) < 0 || atomic_fetch_sub(&calls_left, 1) != 0)
        return false;
    atomic_fetch_add(&injected_count, 1);
    return true;
}

/* A close that fails has closed all the same, as in the kernel; a mapping is memory, not a word. */
#define KERNEL_CALL(name)                                                                          \
    long __real_##name(long a, long b, long c, long d, long e, long f);                            \
    long __wrap_##name(long a, long b, long c, long d, long e, long f);                            \
    long __wrap_##name(long a, long b, long c, long d, long e, long f)                             \
    {                                                                                              \
        bool fails = strcmp(#name, "weir__kernel_map") != 0 && fails_now();                        \
        bool skips = fails && strcmp(#name, "weir__kernel_close") != 0;                            \
        long result = skips ? 0 : __real_##name(a, b, c, d, e, f);                                 \
                                                                                                   \
        return fails ? INJECTED : result;                                                          \
    }
#include "kernel_calls.inc"

static void check_idle(struct trial *trial)
{
    const struct weir__io *io = weir__loop_current->io;

    expect(trial, "ops in flight", any_op() == NULL, true);
    for (int class = WEIR__CLASS_UNBOUNDED + 1; class < WEIR__CLASS_COUNT; class ++)
        expect(trial, "credits", (int64_t)io->credits[class].used, 0);
}

/* The call with its nth system call failing. False: it does not make that many. */
static bool check_nth(struct trial *trial, long nth)
{
    int fd_count = count_fds();
    int64_t result;

    atomic_store(&injected_count, 0);
    atomic_store(&calls_left, nth);
    result = trial_result(trial, weir_in_ms(60000));
    atomic_store(&calls_left, -1);
    if (result < 0)
        expect(trial, "failed system call", result, INJECTED);
    expect(trial, "descriptors", count_fds(), fd_count);
    check_idle(trial);
    return atomic_load(&injected_count) > 0;
}

static int kernel_body(void *arg)
{
    struct world world = { 0 };
    long sum = 0;

    (void)arg;
    world_init(&world);
    for (enum weir__op_id id = 0; id < WEIR__OP_ID_COUNT; id++) {
        struct trial trial = { .world = &world, .id = id, .how = SUCCEED };
        long nth = 0;

        while (!left_out(&world, id) && check_nth(&trial, nth))
            CHECK(++nth < CALLS_MAX);
        sum += nth;
    }
    print_message("%ld system calls failed\n", sum);
    CHECK(sum > 0);
    world_term(&world);
    return 0;
}

static void test_every_system_call_may_fail(void **state)
{
    int fd_count = count_fds();

    (void)state;
    assert_int_equal(test_run(kernel_body, NULL, &one_loop), 0);
    assert_int_equal(count_fds(), fd_count);
}

/* The descriptor table grows with the numbers: where it cannot, the call says so. */
static int memory_body(void *arg)
{
    int low[2], high;
    char byte = 0;

    (void)arg;
    make_pair(low);
    high = fcntl(low[0], F_DUPFD_CLOEXEC, 9000);
    CHECK(high >= 0);
    weir__memory_fail_after(1);
    CHECK_EQUAL(weir_recv(high, &byte, 1, 0, WEIR_NOW), -ENOMEM);
    weir__memory_fail_after(1);
    CHECK_EQUAL(weir_close(high), 0); /* a release call is always done */
    weir__memory_fail_after(-1);
    CHECK_EQUAL(fcntl(high, F_GETFD), -1);
    high = fcntl(low[0], F_DUPFD_CLOEXEC, 9000);
    CHECK_EQUAL(weir_send(low[1], "x", 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_recv(high, &byte, 1, 0, WEIR_NOW), 1);
    CHECK_EQUAL(weir_close(high), 0);
    CHECK_EQUAL(weir_close(low[0]), 0);
    CHECK_EQUAL(weir_close(low[1]), 0);
    return 0;
}

static void test_no_memory_for_the_table(void **state)
{
    int fd_count = count_fds();

    (void)state;
    assert_int_equal(test_run(memory_body, NULL, &one_loop), 0);
    assert_int_equal(count_fds(), fd_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_every_system_call_may_fail),
        cmocka_unit_test(test_no_memory_for_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
