/* SPDX-License-Identifier: MIT */
/* The watcher beside runtimes of all sorts: its signal, its sleep, its reports' number and way. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/loop.h"
#include "watch/stall.h"
#include "watch/stall_fixture.h"

int __real_weir_run(weir_task_fn *fn, void *arg, const struct weir_options *options);

static atomic_long sink;

/* Holds the loop until `count` says so, with another chance each time that another kind was
 * reported. */
static void hold_until(atomic_long *count, long value)
{
    while (atomic_load(count) < value) {
        int64_t until_ns = weir_in_ns(5 * CAUGHT_LIMIT_NS);

        while (atomic_load(count) < value && weir_now_ns() < until_ns)
            sink++;
        weir_yield();
    }
}

static uint64_t counter(enum weir_counter id)
{
    uint64_t counters[WEIR_COUNTER_COUNT] = { 0 };

    CHECK(weir_stats_read(counters, WEIR_COUNTER_COUNT) > 0);
    return counters[id];
}

static int hog(void *arg)
{
    (void)arg;
    hold_until(&caught.count, 1);
    return 0;
}

/* --- Reports ---------------------------------------------------------------------------------- */

/* One stall: reported at the limit and at ten times that, counted once, with its whole time. */
static int long_stall(void *arg)
{
    uint64_t stalls, time_ns;

    (void)arg;
    while (atomic_load(&caught.count) < 2)
        sink++;
    stalls = counter(WEIR_STALLS);
    time_ns = counter(WEIR_STALL_NS);
    CHECK_EQUAL(stalls, 1);
    CHECK_EQUAL(time_ns, 0);
    while (counter(WEIR_STALL_NS) == 0)
        CHECK_EQUAL(weir_sleep(weir_in_ms(1)), 0);
    CHECK(counter(WEIR_STALL_NS) >= 10 * (uint64_t)CAUGHT_LIMIT_NS);
    CHECK_EQUAL(counter(WEIR_STALLS_UNREPORTED), 0);
    return 0;
}

static void test_again_at_ten_times(void **state)
{
    struct weir_options options = catching_options(-1);

    (void)state;
    assert_int_equal(test_run(long_stall, NULL, &options), 0);
    CHECK_EQUAL(atomic_load(&caught.count), 2);
    CHECK_EQUAL(caught.stall.report, 2);
    CHECK(caught.stall.held_ns >= 10 * CAUGHT_LIMIT_NS);
    test_carry_out();
}

/* All threads stood still in the middle of one: only that is left out of its time. */
static void test_a_gap_is_left_out(void **state)
{
    const int64_t second_ns = 1000000000;
    static struct weir__runtime runtime = { .loop_count = 1 };
    static struct weir__loop loop;
    struct weir__stall *stall = calloc(1, sizeof *stall + sizeof stall->helds[0]);
    struct weir__held *held = &stall->helds[0];
    int64_t now_ns = weir_now_ns();
    uint64_t time_ns;

    (void)state;
    stall->runtime = &runtime;
    weir__stall_begin(held, &loop);
    held->stalled = true;
    held->still_since_ns = now_ns - 1000 * second_ns;
    stall->looked_ns = now_ns - 400 * second_ns;
    weir__stall_forgive(stall, now_ns);
    weir__stall_end(stall, held);
    time_ns = weir__counter_get(&loop.counters, WEIR_STALL_NS);
    assert_in_range(time_ns, 600 * second_ns, 900 * second_ns);
    free(stall);
}

/* Within the interval the second stall is only counted, and the next report says so. */
static int two_stalls(void *arg)
{
    (void)arg;
    while (atomic_load(&caught.count) < 1)
        sink++;
    CHECK_EQUAL(weir_sleep(weir_in_ms(1)), 0);
    while (counter(WEIR_STALLS) < 2)
        sink++;
    while (counter(WEIR_STALLS_UNREPORTED) < 1)
        CHECK_EQUAL(weir_sleep(weir_in_ms(1)), 0);
    CHECK_EQUAL(atomic_load(&caught.count), 1);
    return 0;
}

static void test_interval(void **state)
{
    struct weir_options options = catching_options(-1);

    (void)state;
    options.stall_interval_ns = INT64_C(3600000000000);
    assert_int_equal(test_run(two_stalls, NULL, &options), 0);
    test_carry_out();
}

/* Without a callback the report goes to standard error: here to a pipe that the child reads. */
static int await_text(void *arg)
{
    struct pollfd poll_for = { .fd = *(int *)arg, .events = POLLIN };

    while (poll(&poll_for, 1, 0) == 0)
        sink++;
    return 0;
}

static void stall_to_stderr(void *arg)
{
    struct weir_options options = { .loop_count = 1, .stall_limit_ns = CAUGHT_LIMIT_NS };
    int ends[2], terminal = dup(STDERR_FILENO);
    char text[4096];
    ssize_t count;

    (void)arg;
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0 ||
        weir_run(await_text, &ends[0], &options) != 0)
        _exit(1);
    count = read(ends[0], text, sizeof text);
    if (count <= 0 || write(terminal, text, (size_t)count) != count)
        _exit(2);
    _exit(0);
}

static void test_standard_error(void **state)
{
    char output[8192] = "";

    (void)state;
    assert_int_equal(test_fork(stall_to_stderr, NULL, output, sizeof output), 0);
    CHECK_TEXT(output, "weir: loop 0 is ", " ms");
    test_carry_out();
}

/* --- The ready queue's delays ----------------------------------------------------------------- */

static int yielder(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5000; i++)
        weir_yield();
    return 0;
}

static int read_delays(void *arg)
{
    struct weir_ready_delay delay, none;
    uint64_t sum = 0;

    (void)arg;
    run_named("one", yielder, NULL);
    CHECK_EQUAL(weir_ready_delay_read(-1, &delay), 0);
    for (int i = 0; i < WEIR_DELAY_BUCKETS; i++)
        sum += delay.counts[i];
    CHECK(sum > 0);
    CHECK_EQUAL(weir_ready_delay_read(0, &none), 0);
    CHECK_EQUAL(weir_ready_delay_read(1, &none), -EINVAL);
    CHECK_EQUAL(weir_ready_delay_read(-1, NULL), -EINVAL);
    return 0;
}

static int read_nothing(void *arg)
{
    struct weir_ready_delay delay;

    (void)arg;
    CHECK_EQUAL(weir_ready_delay_read(-1, &delay), -EOPNOTSUPP);
    return 0;
}

static void test_ready_delays(void **state)
{
    struct weir_options options = catching_options(-1);
    struct weir_options off = { .loop_count = 1, .stall_limit_ns = -1 };
    struct weir_ready_delay delay;

    (void)state;
    options.stall_limit_ns = INT64_C(3600000000000);
    assert_int_equal(weir_ready_delay_read(-1, &delay), -ENXIO);
    assert_int_equal(test_run(read_delays, NULL, &options), 0);
    assert_int_equal(test_run(read_nothing, NULL, &off), 0);
}

/* A task that waits behind a hog within one turn is seen, and how long it waited. */
static int wait_behind(void *arg)
{
    (void)arg;
    for (int i = 0; i < 64; i++)
        weir_yield();
    return 0;
}

static int slow_turn(void *arg)
{
    struct weir_scope *scope = NULL;
    struct weir_ready_delay delay = { 0 };
    uint64_t long_waits = 0;

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    while (long_waits == 0) {
        int64_t until_ns;

        CHECK_EQUAL(weir_spawn(scope, wait_behind, NULL, NULL), 0);
        weir_yield();
        until_ns = weir_in_ms(8);
        while (weir_now_ns() < until_ns)
            sink++;
        CHECK_EQUAL(weir_ready_delay_read(0, &delay), 0);
        for (int i = 22; i < WEIR_DELAY_BUCKETS; i++) /* from 4 ms on */
            long_waits += delay.counts[i];
    }
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_delay_behind_hog(void **state)
{
    struct weir_options options = catching_options(-1);

    (void)state;
    options.stall_limit_ns = INT64_C(3600000000000);
    assert_int_equal(test_run(slow_turn, NULL, &options), 0);
}

/* --- The watcher's sleep ---------------------------------------------------------------------- */

struct idler {
    struct weir_chan *wake;
    struct weir__runtime *runtime;
    atomic_long ready;
};

static void *wake_when_watcher_sleeps(void *arg)
{
    struct idler *idler = arg;

    test_await(&idler->ready, 1);
    while (atomic_load(&idler->runtime->watcher_sleeps) != 1)
        usleep(1000);
    CHECK_EQUAL(weir_chan_send(idler->wake, NULL, WEIR_FOREVER), 0);
    return NULL;
}

/* All is idle, nobody watches; then somebody wakes up and holds the loop, and that is seen. */
static int idle_then_hog(void *arg)
{
    struct idler *idler = arg;

    idler->runtime = weir__loop_current->runtime;
    atomic_store(&idler->ready, 1);
    CHECK_EQUAL(weir_chan_recv(idler->wake, NULL, WEIR_FOREVER), 0);
    hold_until(&caught.count, atomic_load(&caught.count) + 1);
    return 0;
}

static void test_sleeps_with_loops(void **state)
{
    struct weir_options options = catching_options(-1);
    struct idler idler = { .ready = 0 };
    pthread_t waker;

    (void)state;
    /* Nothing else lets the watcher look. */
    options.deadlock_limit_ns = -1;
    options.mutex_limit_ns = -1;
    options.drain_limit_ns = -1;
    options.device_limit_ns = -1;
    options.growth_limit_ns = -1;
    assert_int_equal(weir_chan_create(&idler.wake, 0, 0, NULL), 0);
    assert_int_equal(pthread_create(&waker, NULL, wake_when_watcher_sleeps, &idler), 0);
    assert_int_equal(test_run(idle_then_hog, &idler, &options), 0);
    assert_int_equal(pthread_join(waker, NULL), 0);
    weir_chan_release(idler.wake);
    test_carry_out();
}

/* --- The signal ------------------------------------------------------------------------------- */

static atomic_long chained;

static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&chained, 1);
}

static int probe_and_signal(void *arg)
{
    int number = *(int *)arg;

    hold_until(&caught.count, 1);
    CHECK_EQUAL(pthread_kill(pthread_self(), number), 0);
    CHECK_EQUAL(atomic_load(&chained), 1);
    return 0;
}

/* What is no probe goes to the handler that was there, and that one is put back. */
static void test_chained_handler(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_HOG);
    struct sigaction action = { .sa_handler = count_signal }, after;
    int number = SIGRTMIN + 5;

    (void)state;
    caught.needs_frames = PROBES_ANSWERED;
    options.stall_signal = (unsigned)number;
    assert_int_equal(sigaction(number, &action, NULL), 0);
    assert_int_equal(test_run(probe_and_signal, &number, &options), 0);
    assert_int_equal(sigaction(number, NULL, &after), 0);
    assert_ptr_equal(after.sa_handler, count_signal);
    signal(number, SIG_DFL);
    if (PROBES_ANSWERED)
        CHECK_TEXT(caught.text, "probe_and_signal+");
    test_carry_out();
}

static int reset_and_hog(void *arg)
{
    (void)arg;
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        signal(number, SIG_DFL);
    hold_until(&caught.count, 1);
    return 0;
}

/* Of a program that resets all signals the thread is not asked, since that would end it. */
static void test_handler_taken_away(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_HOG);

    (void)state;
    assert_int_equal(test_run(reset_and_hog, NULL, &options), 0);
    CHECK_EQUAL(caught.stall.frame_count, 0);
    CHECK(strcmp(caught.task_name, "root") == 0);
    test_carry_out();
}

static void test_signal_options(void **state)
{
    struct weir_options options = catching_options(-1);

    (void)state;
    options.stall_signal = SIGUSR1;
    assert_int_equal(weir_run(hog, NULL, &options), -EINVAL);
    assert_non_null(strstr(weir_last_error(), "stall_signal"));
    options.stall_signal = 0;
    options.stall_limit_ns = 999999;
    assert_int_equal(weir_run(hog, NULL, &options), -EINVAL);
}

/* A thread of the caller's that blocks the signal is asked all the same, and gets its mask back. */
static void test_on_this_thread(void **state)
{
    struct weir_options options = catching_options(WEIR_STALL_HOG);
    sigset_t all, before, after;

    (void)state;
    caught.needs_frames = PROBES_ANSWERED;
    sigfillset(&all);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
    assert_int_equal(weir_run_on_this_thread(hog, NULL, &options), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, &after), 0);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        assert_int_equal(sigismember(&after, number), 1);
    if (PROBES_ANSWERED)
        CHECK_TEXT(caught.text, "hold_until+", "hog+", "task_main+");
    test_carry_out();
}

/* --- Other runtimes, other processes ---------------------------------------------------------- */

static void *run_another(void *arg)
{
    assert_int_equal(weir_run(hog, NULL, arg), 0);
    return NULL;
}

static void test_two_runtimes(void **state)
{
    struct weir_options options = catching_options(-1);
    pthread_t other;

    (void)state;
    assert_int_equal(pthread_create(&other, NULL, run_another, &options), 0);
    assert_int_equal(weir_run(hog, NULL, &options), 0);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_true(atomic_load(&caught.count) >= 1);
}

/* Between two turns the thread is its foreign loop's: it may sleep there for as long as it likes.
 * Within one it is the loop's. */
static int yield_until_told(void *arg)
{
    while (!atomic_load((atomic_long *)arg))
        weir_yield();
    return 0;
}

static void test_embed(void **state)
{
    atomic_long told = 0;
    struct weir_options options = catching_options(-1);
    struct weir_embed *embed = NULL;
    struct timespec pause = { .tv_nsec = 3 * CAUGHT_LIMIT_NS };

    (void)state;
    assert_int_equal(weir_embed_open(&embed, &options), 0);
    nanosleep(&pause, NULL);
    assert_int_equal(weir_spawn(weir_embed_scope(embed), yield_until_told, &told, NULL), 0);
    assert_int_equal(weir_embed_turn(embed), 1); /* it has more to do */
    nanosleep(&pause, NULL);
    assert_int_equal(atomic_load(&caught.count), 0);
    atomic_store(&told, 1);
    assert_int_equal(weir_spawn(weir_embed_scope(embed), hog, NULL, NULL), 0);
    while (weir_scope_count(weir_embed_scope(embed)) > 0)
        assert_true(weir_embed_turn(embed) >= 0);
    assert_int_equal(weir_embed_close(embed, WEIR_FOREVER), 0);
    assert_true(atomic_load(&caught.count) >= 1);
}

/* A child of a watched task has no watcher, and no loop to be watched. */
static int fork_and_hog(void *arg)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0)
        _exit(weir_run(hog, NULL, arg) == -EOWNERDEAD ? 7 : 8);
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQUAL(WEXITSTATUS(status), 7);
    hold_until(&caught.count, 1);
    return 0;
}

static void test_fork_in_task(void **state)
{
    struct weir_options options = catching_options(-1);

    (void)state;
    assert_int_equal(test_run(fork_and_hog, &options, &options), 0);
}

/* By default it is there. */
static int look_for_watcher(void *arg)
{
    struct weir_ready_delay delay;

    (void)arg;
    CHECK(weir__loop_current->runtime->stall != NULL);
    CHECK_EQUAL(weir__loop_current->runtime->options.stall_limit_ns, 100000000);
    CHECK_EQUAL(weir_ready_delay_read(-1, &delay), 0);
    return 0;
}

static void test_default(void **state)
{
    int threads = count_threads(), fds = count_fds();

    (void)state;
    assert_int_equal(__real_weir_run(look_for_watcher, NULL, NULL), 0);
    test_await_threads(threads);
    assert_int_equal(count_fds(), fds);
    test_carry_out();
}

static void test_kind_names(void **state)
{
    (void)state;
    for (int kind = 0; kind < WEIR_STALL_KIND_COUNT; kind++)
        assert_non_null(weir_stall_kind_name(kind));
    assert_null(weir_stall_kind_name(WEIR_STALL_KIND_COUNT));
    assert_null(weir_stall_kind_name(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standard_error), /* first: its child starts a runtime */
        cmocka_unit_test(test_again_at_ten_times), cmocka_unit_test(test_a_gap_is_left_out),
        cmocka_unit_test(test_interval),           cmocka_unit_test(test_ready_delays),
        cmocka_unit_test(test_delay_behind_hog),   cmocka_unit_test(test_sleeps_with_loops),
        cmocka_unit_test(test_chained_handler),    cmocka_unit_test(test_handler_taken_away),
        cmocka_unit_test(test_signal_options),     cmocka_unit_test(test_on_this_thread),
        cmocka_unit_test(test_two_runtimes),       cmocka_unit_test(test_embed),
        cmocka_unit_test(test_fork_in_task),       cmocka_unit_test(test_default),
        cmocka_unit_test(test_kind_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
