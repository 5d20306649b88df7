/* SPDX-License-Identifier: MIT */
/* Runtimes: one, many after another, two at once; on threads of their own or on the caller's. */
#include "core/loop.h"
#include "core/task.h"
#include "runtime/report.h"
#include "support/support.h"

#include <weir/chan.h>
#include <weir/pool.h>
#include <weir/runtime.h>
#include <weir/scope.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { SLACK_MAPPINGS = 16, SLACK_BYTES = 8 << 20 };

static int return_code(void *arg)
{
    return *(int *)arg;
}

/* --- What weir_run returns. ------------------------------------------------------------------- */

static int run_inside(void *arg)
{
    int error = weir_run(return_code, arg, NULL);

    CHECK(strstr(weir_last_error(), "from a task") != NULL);
    CHECK_EQUAL(weir_run_on_this_thread(return_code, arg, NULL), error);
    return error;
}

static void test_it_returns_what_the_root_returned(void **state)
{
    static const int codes[] = { 0, 42, -EIO, -ECANCELED };

    (void)state;
    assert_int_equal(weir_run(NULL, NULL, NULL), -EINVAL);
    assert_string_equal(weir_last_error(), "weir_run was given no function");
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        int code = codes[i];

        assert_int_equal(test_run(return_code, &code, NULL), code);
        assert_int_equal(weir_run_on_this_thread(return_code, &code, NULL), code);
    }
    assert_int_equal(test_run(run_inside, NULL, NULL), -EDEADLK);
}

static long reported_count;

static void note_report(void *context, const struct weir_failure *failure)
{
    (void)context, (void)failure;
    reported_count++;
}

static void test_the_roots_failure_is_not_reported_again(void **state)
{
    struct weir_options options = { .on_failure = note_report };
    int code = -EIO;

    (void)state;
    assert_int_equal(test_run(return_code, &code, &options), -EIO);
    assert_int_equal(reported_count, 0);
}

/* --- Threads. --------------------------------------------------------------------------------- */

static pthread_t caller;

static int see_own_thread(void *arg)
{
    bool same = *(bool *)arg;
    char name[16] = "";
    sigset_t mask;

    CHECK_EQUAL(pthread_equal(caller, pthread_self()) != 0, same);
    CHECK_EQUAL(weir_loop_index(), 0);
    CHECK_EQUAL(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    CHECK_EQUAL(sigismember(&mask, SIGTERM), !same);
    CHECK_EQUAL(sigismember(&mask, SIGSEGV), 0);
    CHECK_EQUAL(pthread_getname_np(pthread_self(), name, sizeof name), 0);
    CHECK_EQUAL(strcmp(name, "weir-loop-0") == 0, !same);
    return 0;
}

static void test_loop_zero_is_where_it_was_asked_for(void **state)
{
    struct weir_options two = { .loop_count = 2 };
    bool same = false;

    (void)state;
    caller = pthread_self();
    assert_int_equal(test_run(see_own_thread, &same, NULL), 0);
    same = true;
    assert_int_equal(weir_run_on_this_thread(see_own_thread, &same, NULL), 0);
    assert_int_equal(weir_run_on_this_thread(see_own_thread, &same, &two), 0);
    test_carry_out();
}

static int count_cpus(void *arg)
{
    struct weir_report report;
    cpu_set_t cpus;

    (void)arg;
    CHECK_EQUAL(weir_runtime_report(&report), 0);
    CHECK_EQUAL(pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus), 0);
    if (report.pinned)
        CHECK_EQUAL(CPU_COUNT(&cpus), 1);
    return report.pinned;
}

static void test_pinning_gives_the_caller_its_cpus_back(void **state)
{
    struct weir_options options = { .pin_loops = true };
    cpu_set_t before, after;

    (void)state;
    assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof before, &before), 0);
    assert_int_equal(weir_run_on_this_thread(count_cpus, NULL, &options), CPU_COUNT(&before) > 1);
    test_carry_out();
    assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
    assert_int_equal(test_run(count_cpus, NULL, &options), 0); /* only the first one pins */
}

static int see_named_cpu(void *arg)
{
    struct weir_report report;
    cpu_set_t cpus;

    CHECK_EQUAL(weir_runtime_report(&report), 0);
    CHECK_EQUAL(report.loop_count, 1);
    CHECK_EQUAL(pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus), 0);
    CHECK_EQUAL(CPU_COUNT(&cpus), 1);
    CHECK(CPU_ISSET(*(size_t *)arg, &cpus));
    return 0;
}

static int see_all_cpus(void *arg)
{
    cpu_set_t cpus;

    CHECK_EQUAL(pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus), 0);
    CHECK(CPU_EQUAL(&cpus, (cpu_set_t *)arg));
    return 0;
}

struct naming {
    size_t cpu;
    cpu_set_t all;
};

/* The pool keeps what the process has. */
static int see_named_cpu_and_pool(void *arg)
{
    struct naming *naming = arg;

    CHECK_EQUAL(weir_pool_run(see_all_cpus, &naming->all, WEIR_FOREVER), 0);
    return see_named_cpu(&naming->cpu);
}

static void test_loops_run_on_the_named_cpus(void **state)
{
    struct naming naming = { 0 };
    char list[16];
    struct weir_options options = { .loop_cpus = list };
    cpu_set_t after;

    (void)state;
    assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof naming.all, &naming.all), 0);
    for (naming.cpu = 0; naming.cpu < CPU_SETSIZE; naming.cpu++) {
        if (!CPU_ISSET(naming.cpu, &naming.all))
            continue;
        snprintf(list, sizeof list, "%zu", naming.cpu);
        assert_int_equal(test_run(see_named_cpu_and_pool, &naming, &options), 0);
        assert_int_equal(weir_run_on_this_thread(see_named_cpu_and_pool, &naming, &options), 0);
        test_carry_out();
        assert_int_equal(pthread_getaffinity_np(pthread_self(), sizeof after, &after), 0);
        assert_true(CPU_EQUAL(&after, &naming.all));
    }
}

/* --- Stacks made in advance. ------------------------------------------------------------------ */

enum { PREFAULTED = 20 };

/* Touches nothing that a task has not: all pages of its stack are there. */
static int see_resident_stack(void *arg)
{
    const struct weir__stack *stack = weir__loop_current->current->stack;
    unsigned char resident[64];
    size_t pages = stack->bytes / (size_t)sysconf(_SC_PAGESIZE);

    CHECK(pages <= sizeof resident);
    CHECK_EQUAL(mincore(stack->base, stack->bytes, resident), 0);
    for (size_t i = 0; i < pages; i++)
        if (!(resident[i] & 1))
            return *(int *)arg;
    return 0;
}

static int spawn_upon_prefaulted(void *arg)
{
    const struct weir__loop *loop = weir__loop_current;
    size_t made = loop->stacks.standard->made_count;

    for (int i = 0; i < PREFAULTED - 2; i++) /* two have the callback task and the root task */
        CHECK_EQUAL(weir_spawn(weir_task_scope(), see_resident_stack, arg, NULL), 0);
    CHECK_EQUAL(loop->stacks.standard->made_count, made);
    CHECK_EQUAL(weir_spawn(weir_task_scope(), see_resident_stack, arg, NULL), 0);
    CHECK_EQUAL(loop->stacks.standard->made_count, made + 1);
    return see_resident_stack(arg);
}

static int see_untouched_stack(void *arg)
{
    return see_resident_stack(arg) ? 0 : -1;
}

static void test_stacks_are_made_in_advance(void **state)
{
    struct weir_options options = { .loop_count = 2, .prefault_stacks = PREFAULTED };
    int missing = -EFAULT;

    (void)state;
    assert_int_equal(test_run(spawn_upon_prefaulted, &missing, &options), 0);
    assert_int_equal(test_run(see_untouched_stack, &missing, NULL), 0);
    options.stack_total_bytes = PREFAULTED / 2 * 64 * 1024;
    assert_int_equal(test_run(see_untouched_stack, &missing, &options), -EAGAIN);
    assert_non_null(strstr(weir_last_error(), "prefault_stacks: stacks hold as many bytes"));
}

/* --- The report. ------------------------------------------------------------------------------ */

static int check_report(void *arg)
{
    const struct weir_options *options = arg;
    struct weir_report report;

    CHECK_EQUAL(weir_runtime_report(NULL), -EINVAL);
    CHECK_EQUAL(weir_runtime_report(&report), 0);
    CHECK_EQUAL(report.features & options->without_features, 0);
    CHECK_EQUAL(report.loop_count, 1);
    CHECK_EQUAL(report.ring_entries, 64);
    CHECK(report.completion_entries >= 256);
    CHECK(strstr(report.text, "1 loops, ring 64/") == report.text);
    CHECK_EQUAL(strstr(report.text, "defer-taskrun") != NULL,
                !!(report.features & WEIR_FEATURE_DEFER_TASKRUN));
    CHECK_EQUAL(strstr(report.text, " napi") != NULL, !!(report.features & WEIR_FEATURE_NAPI));
    CHECK_EQUAL(strstr(report.text, " eventfd") != NULL,
                !(report.features & WEIR_FEATURE_SYNC_MSG_RING));
    return 0;
}

static void test_the_report_tells_what_was_obtained(void **state)
{
    struct weir_report report;

    (void)state;
    assert_int_equal(weir_runtime_report(&report), -ENXIO);
    for (unsigned feature = 1; feature; feature <<= 1) {
        struct weir_options options = {
            .loop_count = 1,
            .ring_entries = 64,
            .without_features = feature & weir__report_features(),
            .napi_busy_poll_ns = 1,
        };

        assert_int_equal(test_run(check_report, &options, &options), 0);
    }
}

/* --- Again and again. ------------------------------------------------------------------------- */

static int spawn_some(void *arg)
{
    struct weir_spawn_options anywhere = { .place = WEIR_PLACE_ANYWHERE };
    static int zero = 0;

    (void)arg;
    for (int i = 0; i < 50; i++)
        CHECK_EQUAL(weir_spawn(weir_task_scope(), return_code, &zero, &anywhere), 0);
    return 0;
}

static void test_many_after_another_leave_nothing(void **state)
{
    struct weir_options options = { .loop_count = 2 };
    size_t mappings, bytes;
    int fds, threads;

    (void)state;
    for (int i = 0; i < 10; i++) /* until allocator and C library have what they keep */
        assert_int_equal(test_run(spawn_some, NULL, &options), 0);
    fds = count_fds();
    threads = count_threads();
    mappings = count_mappings();
    bytes = rss_bytes();
    for (long i = 0; i < test_rounds(100, 1000, 10000); i++) {
        assert_int_equal(test_run(spawn_some, NULL, &options), 0);
        assert_int_equal(count_fds(), fds);
        test_await_threads(threads);
    }
    assert_true(count_mappings() <= mappings + SLACK_MAPPINGS);
    assert_true(TEST_SANITIZED || rss_bytes() <= bytes + SLACK_BYTES);
}

/* --- Two at once. ----------------------------------------------------------------------------- */

static struct weir_chan *chan_between;

static int send_all(void *arg)
{
    long count = *(long *)arg;

    for (long i = 0; i < count; i++)
        if (!CHECK_EQUAL(weir_chan_send(chan_between, &i, WEIR_FOREVER), 0))
            break;
    return weir_chan_close(chan_between, 0);
}

static int receive_all(void *arg)
{
    long count = *(long *)arg;
    long elem = -1;

    for (long i = 0; i < count; i++) {
        if (!CHECK_EQUAL(weir_chan_recv(chan_between, &elem, WEIR_FOREVER), 0))
            break;
        CHECK_EQUAL(elem, i);
    }
    CHECK_EQUAL(weir_chan_recv(chan_between, &elem, WEIR_FOREVER), -EPIPE);
    return 0;
}

static void *run_receiver(void *arg)
{
    CHECK_EQUAL(weir_run(receive_all, arg, NULL), 0);
    return NULL;
}

static void test_two_runtimes_exchange_messages(void **state)
{
    long count = test_rounds(20000, 1000000, 10000000);

    (void)state;
    for (size_t capacity = 0; capacity < 20; capacity += 19) {
        pthread_t thread;

        assert_int_equal(weir_chan_create(&chan_between, sizeof(long), capacity, NULL), 0);
        assert_int_equal(pthread_create(&thread, NULL, run_receiver, &count), 0);
        assert_int_equal(test_run(send_all, &count, NULL), 0);
        pthread_join(thread, NULL);
        test_carry_out();
        assert_int_equal(weir_chan_release(chan_between), 0);
    }
}

static _Atomic(struct weir_scope *) foreign_scope;

static int lend_scope(void *arg)
{
    (void)arg;
    atomic_store(&foreign_scope, weir_task_scope());
    while (atomic_load(&foreign_scope))
        CHECK_EQUAL(weir_yield(), 0);
    return 0;
}

static void *run_lender(void *arg)
{
    CHECK_EQUAL(weir_run(lend_scope, arg, NULL), 0);
    return NULL;
}

/* A task of one runtime spawns into a scope that belongs to another: it lives in its own. */
static int spawn_into_foreign(void *arg)
{
    struct weir_task *task;
    struct weir_scope *scope;
    int code = 9;
    int result = 0;

    (void)arg;
    while (!(scope = atomic_load(&foreign_scope)))
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(
        weir_spawn(scope, return_code, &code, &(struct weir_spawn_options){ .task = &task }), 0);
    CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
    CHECK_EQUAL(result, 9);
    atomic_store(&foreign_scope, NULL);
    return 0;
}

static void test_a_scope_may_hold_tasks_of_two_runtimes(void **state)
{
    pthread_t thread;

    (void)state;
    for (long i = 0; i < test_rounds(20, 500, 5000); i++) {
        assert_int_equal(pthread_create(&thread, NULL, run_lender, NULL), 0);
        assert_int_equal(test_run(spawn_into_foreign, NULL, NULL), 0);
        pthread_join(thread, NULL);
        test_carry_out();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_returns_what_the_root_returned),
        cmocka_unit_test(test_the_roots_failure_is_not_reported_again),
        cmocka_unit_test(test_loop_zero_is_where_it_was_asked_for),
        cmocka_unit_test(test_pinning_gives_the_caller_its_cpus_back),
        cmocka_unit_test(test_loops_run_on_the_named_cpus),
        cmocka_unit_test(test_stacks_are_made_in_advance),
        cmocka_unit_test(test_the_report_tells_what_was_obtained),
        cmocka_unit_test(test_many_after_another_leave_nothing),
        cmocka_unit_test(test_two_runtimes_exchange_messages),
        cmocka_unit_test(test_a_scope_may_hold_tasks_of_two_runtimes),
    };

    return cmocka_run_group_tests_name("runtime/runtime", tests, NULL, NULL);
}
