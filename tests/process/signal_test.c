/* SPDX-License-Identifier: MIT */
/* Signals as records in a channel and as clauses. */
#include "fixture.h"

#include <pthread.h>
#include <sys/resource.h>

static sigset_t set_of(int signo)
{
    sigset_t set;

    sigemptyset(&set);
    if (signo)
        sigaddset(&set, signo);
    return set;
}

static struct weir_chan *make_output(size_t capacity, enum weir_chan_policy policy)
{
    struct weir_chan_options options = { .policy = policy };
    struct weir_chan *chan = NULL;

    CHECK_EQUAL(weir_chan_create(&chan, sizeof(struct weir_signal), capacity, &options), 0);
    return chan;
}

static int open_signal(struct weir_chan *output, struct weir_scope *scope, int signo)
{
    const sigset_t set = set_of(signo);

    return weir_signals_to(output, scope, &set);
}

static void queue(int signo, int number)
{
    CHECK_EQUAL(sigqueue(getpid(), signo, (union sigval){ .sival_int = number }), 0);
}

static bool is_pending(int signo)
{
    sigset_t set;

    sigpending(&set);
    return sigismember(&set, signo) == 1;
}

/* --- Channels --- */

static int records(void *arg)
{
    struct weir_chan *output = make_output(8, WEIR_CHAN_PARK);
    struct weir_scope *scope = make_scope(WEIR_SCOPE_SUPERVISE);
    struct weir_signal signal;

    (void)arg;
    queue(SIGUSR1, 41); /* before anybody wanted it */
    CHECK_EQUAL(open_signal(output, scope, SIGUSR1), 0);
    CHECK_EQUAL(weir_chan_recv(output, &signal, weir_in_ms(20000)), 0);
    CHECK_EQUAL(signal.signo, SIGUSR1);
    CHECK_EQUAL(signal.code, SI_QUEUE);
    CHECK_EQUAL(signal.pid, getpid());
    CHECK_EQUAL(signal.uid, getuid());
    CHECK_EQUAL(signal.number, 41);
    CHECK_EQUAL(kill(getpid(), SIGUSR1), 0);
    CHECK_EQUAL(weir_chan_recv(output, &signal, weir_in_ms(20000)), 0);
    CHECK_EQUAL(signal.code, SI_USER);
    CHECK_EQUAL(weir_scope_cancel(scope), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_chan_recv(output, &signal, WEIR_FOREVER), -ECANCELED);
    CHECK_EQUAL(weir_chan_release(output), 0);
    return 0;
}

static void test_signals_come_as_records(void **state)
{
    (void)state;
    run_clean(records, &two_loops);
}

static int leave(void *arg)
{
    struct weir_chan *output = make_output(1, WEIR_CHAN_PARK);
    struct weir_scope *scope = make_scope(WEIR_SCOPE_FAIL_FAST);

    (void)arg;
    CHECK_EQUAL(open_signal(output, scope, SIGUSR1), 0);
    CHECK_EQUAL(weir_chan_close(output, 0), 0);
    CHECK_EQUAL(weir_scope_join(scope, weir_in_ms(20000)), 0); /* its task has left by itself */
    CHECK_EQUAL(weir_chan_release(output), 0);
    return 0;
}

static void test_a_closed_output_ends_the_task(void **state)
{
    (void)state;
    run_clean(leave, &one_loop);
}

enum { BURST = 20 };

static int fill(void *arg)
{
    struct weir_chan *output = make_output(1, WEIR_CHAN_PARK);
    struct weir_chan *dropping = make_output(1, WEIR_CHAN_DROP_NEWEST);
    struct weir_scope *scope = make_scope(WEIR_SCOPE_SUPERVISE);
    struct weir_chan_stats stats = { 0 };
    struct weir_signal signal;

    (void)arg;
    CHECK_EQUAL(open_signal(output, scope, SIGRTMIN), 0);
    for (int i = 0; i < BURST; i++)
        queue(SIGRTMIN, i);
    for (int i = 0; i < BURST; i++) { /* all are there, and in order */
        CHECK_EQUAL(weir_chan_recv(output, &signal, weir_in_ms(20000)), 0);
        CHECK_EQUAL(signal.number, i);
    }
    CHECK_EQUAL(open_signal(dropping, scope, SIGRTMIN + 1), 0);
    for (int i = 0; i < BURST; i++)
        queue(SIGRTMIN + 1, i);
    while (stats.dropped_total < BURST - 1) {
        CHECK_EQUAL(weir_yield(), 0);
        CHECK_EQUAL(weir_chan_read_stats(dropping, &stats), 0);
    }
    CHECK_EQUAL(weir_chan_recv(dropping, &signal, WEIR_NOW), 0);
    CHECK_EQUAL(signal.number, 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_NOW), -ETIME);
    CHECK_EQUAL(weir_chan_release(output), 0);
    CHECK_EQUAL(weir_chan_release(dropping), 0);
    return 0;
}

static void test_a_full_channel_does_as_its_policy_says(void **state)
{
    (void)state;
    run_clean(fill, &one_loop);
}

/* --- Clauses --- */

static int wait_signal(int signo, int64_t deadline_ns)
{
    struct weir_clause clause = weir_clause_signal(signo);
    int won = weir_select(&clause, 1, 0, deadline_ns);

    return won < 0 ? won : clause.result;
}

static int wait_term(void *arg)
{
    (void)arg;
    return wait_signal(SIGTERM, WEIR_FOREVER);
}

static int clauses(void *arg)
{
    struct weir_chan *chan = make_output(1, WEIR_CHAN_PARK);
    struct weir_signal signal = { 0 };
    struct weir_clause wait_for[] = {
        weir_clause_signal(SIGTERM),
        weir_clause_recv(chan, &signal),
        weir_clause_signal(SIGUSR2),
    };
    struct weir_scope *scope = make_scope(WEIR_SCOPE_COLLECT);
    struct weir_task *task;
    struct weir_spawn_options options = { .task = &task };
    int result = -1;

    (void)arg;
    CHECK_EQUAL(wait_signal(SIGTERM, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(wait_signal(SIGTERM, weir_in_us(100)), -ETIME);
    CHECK_EQUAL(kill(getpid(), SIGTERM), 0); /* while nobody waits */
    CHECK_EQUAL(weir_chan_send(chan, &signal, WEIR_NOW), 0);
    for (int i = 0; i < 2; i++) { /* a signal that lost stays */
        int won = weir_select(wait_for, 3, 0, weir_in_ms(20000));

        CHECK(won == 0 || won == 1);
        CHECK_EQUAL(wait_for[won].result, 0);
    }
    CHECK(!is_pending(SIGTERM));
    CHECK_EQUAL(kill(getpid(), SIGUSR2), 0);
    CHECK_EQUAL(weir_select(wait_for, 3, 0, weir_in_ms(20000)), 2);
    CHECK_EQUAL(weir_spawn(scope, wait_term, NULL, &options), 0);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(wait_signal(SIGTERM, WEIR_NOW), -EBUSY); /* the task has it */
    CHECK_EQUAL(kill(getpid(), SIGTERM), 0);
    CHECK_EQUAL(weir_join(task, &result, weir_in_ms(20000)), 0);
    CHECK_EQUAL(result, 0);
    CHECK_EQUAL(weir_spawn(scope, wait_term, NULL, &options), 0);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_task_cancel(task), 0);
    CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
    CHECK_EQUAL(result, -ECANCELED);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_chan_release(chan), 0);
    return 0;
}

static void test_a_clause_takes_a_signal_or_leaves_it(void **state)
{
    (void)state;
    run_clean(clauses, &two_loops);
}

/* --- What is refused --- */

static pthread_barrier_t unblocked;

static void *unblock(void *arg)
{
    sigset_t set = set_of(SIGUSR2);

    (void)arg;
    pthread_setname_np(pthread_self(), "careless");
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    pthread_barrier_wait(&unblocked);
    pthread_barrier_wait(&unblocked);
    return NULL;
}

static int refusals(void *arg)
{
    struct weir_chan *output = make_output(1, WEIR_CHAN_PARK), *narrow;
    struct weir_scope *scope = make_scope(WEIR_SCOPE_SUPERVISE);
    static const int forbidden[] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                                     SIGILL,  SIGTRAP, SIGABRT, SIGSYS };
    pthread_t thread;

    (void)arg;
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
        CHECK_EQUAL(open_signal(output, scope, forbidden[i]), -EINVAL);
        CHECK_EQUAL(wait_signal(forbidden[i], WEIR_NOW), -EINVAL);
    }
    CHECK_EQUAL(open_signal(output, scope, 0), -EINVAL);
    CHECK_EQUAL(wait_signal(0, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(wait_signal(65, WEIR_NOW), -EINVAL);
    CHECK_EQUAL(wait_signal(33, WEIR_NOW), -EINVAL); /* the C library's own */
    CHECK_EQUAL(weir_chan_create(&narrow, 4, 1, NULL), 0);
    CHECK_EQUAL(open_signal(narrow, scope, SIGUSR1), -EINVAL);
    CHECK_EQUAL(open_signal(output, scope, SIGWINCH), -EPERM); /* main does not block it */
    CHECK_EQUAL(wait_signal(SIGWINCH, WEIR_NOW), -EPERM);
    CHECK_EQUAL(pthread_barrier_init(&unblocked, NULL, 2), 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, unblock, NULL), 0);
    pthread_barrier_wait(&unblocked);
    CHECK_EQUAL(open_signal(output, scope, SIGUSR2), -EPERM);
    CHECK(strstr(weir_last_error(), "SIGUSR2") && strstr(weir_last_error(), "careless"));
    pthread_barrier_wait(&unblocked);
    pthread_join(thread, NULL);
    CHECK_EQUAL(open_signal(output, scope, SIGUSR2), 0);
    CHECK_EQUAL(open_signal(output, scope, SIGUSR2), -EBUSY);
    CHECK_EQUAL(wait_signal(SIGUSR2, WEIR_NOW), -EBUSY);
    CHECK(strstr(weir_last_error(), "mult") != NULL);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_NOW), -ETIME);
    CHECK_EQUAL(wait_signal(SIGUSR2, WEIR_NOW), -EAGAIN); /* free again */
    CHECK_EQUAL(weir_chan_release(output), 0);
    CHECK_EQUAL(weir_chan_release(narrow), 0);
    return 0;
}

static void test_what_cannot_work_is_refused(void **state)
{
    (void)state;
    run_clean(refusals, &one_loop);
    assert_int_equal(weir_signals_block(NULL), -EINVAL);
}

/* The first thing that a runtime does: the threads that it starts have all begun by then, and main,
 * which blocks all signals while it starts them, has its own mask again. */
static int claim_at_once(void *arg)
{
    struct weir_chan *output = make_output(8, WEIR_CHAN_PARK);
    struct weir_scope *scope = make_scope(WEIR_SCOPE_SUPERVISE);

    (void)arg;
    CHECK_EQUAL(open_signal(output, scope, SIGWINCH), -EPERM);
    weir_scope_join(scope, WEIR_NOW);
    CHECK_EQUAL(weir_chan_release(output), 0);
    return 0;
}

static void test_the_start_of_a_runtime_hides_no_mask(void **state)
{
    (void)state;
    for (long i = 0; i < test_rounds(200, 1000, 1000); i++)
        assert_int_equal(test_run(claim_at_once, NULL, i % 2 ? &one_loop : &two_loops), 0);
}

/* One descriptor is free: enough for the signals, too few to look at the threads' masks. */
static int unseen(void *arg)
{
    struct weir_chan *output = make_output(8, WEIR_CHAN_PARK);
    struct weir_scope *scope = make_scope(WEIR_SCOPE_SUPERVISE);
    struct rlimit limit, narrow;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the lowest number */

    (void)arg;
    CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    narrow = (struct rlimit){ (rlim_t)fd + 1, limit.rlim_max };
    CHECK_EQUAL(close(fd), 0);
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &narrow), 0);
    CHECK_EQUAL(open_signal(output, scope, SIGWINCH), -EMFILE); /* main does not block it */
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQUAL(wait_signal(SIGWINCH, WEIR_NOW), -EPERM);
    weir_scope_join(scope, WEIR_NOW);
    CHECK_EQUAL(weir_chan_release(output), 0);
    return 0;
}

static void test_masks_that_cannot_be_read_are_not_taken_for_blocked(void **state)
{
    (void)state;
    run_clean(unseen, &one_loop);
}

/* --- Many signals --- */

static long storm_count(void)
{
    return test_rounds(500, 20000, 200000);
}

/* More than the kernel queues are refused by it. */
static void *send_storm(void *arg)
{
    (void)arg;
    for (int i = 0; i < storm_count(); i++)
        while (sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = i }) < 0)
            usleep(100);
    return NULL;
}

static int storm(void *arg)
{
    struct weir_chan *output = make_output(4, WEIR_CHAN_PARK);
    struct weir_scope *scope = make_scope(WEIR_SCOPE_SUPERVISE);
    struct weir_signal signal;
    pthread_t thread;

    (void)arg;
    CHECK_EQUAL(open_signal(output, scope, SIGRTMIN), 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, send_storm, NULL), 0);
    for (int i = 0; i < storm_count(); i++) {
        CHECK_EQUAL(weir_chan_recv(output, &signal, weir_in_ms(20000)), 0);
        if (!CHECK_EQUAL(signal.number, i))
            break;
    }
    pthread_join(thread, NULL); /* it has sent all */
    CHECK_EQUAL(weir_scope_join(scope, WEIR_NOW), -ETIME);
    CHECK_EQUAL(weir_chan_release(output), 0);
    return 0;
}

static void test_a_storm_is_received_whole_and_in_order(void **state)
{
    (void)state;
    run_clean(storm, &two_loops);
}

/* Main's own mask and the dispositions are as they were. */
static int check_untouched(void **state)
{
    struct sigaction action;
    sigset_t set;

    (void)state;
    if (pthread_sigmask(SIG_SETMASK, NULL, &set) != 0 || sigismember(&set, SIGWINCH))
        return -1;
    for (int signo = 1; signo < SIGRTMAX; signo++)
        if (sigaction(signo, NULL, &action) == 0 && signo != SIGSEGV && signo != SIGUSR1 &&
            sigismember(&set, signo) && action.sa_handler != SIG_DFL)
            return -1;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_signals_come_as_records, check_untouched),
        cmocka_unit_test_teardown(test_a_closed_output_ends_the_task, check_untouched),
        cmocka_unit_test_teardown(test_a_full_channel_does_as_its_policy_says, check_untouched),
        cmocka_unit_test_teardown(test_a_clause_takes_a_signal_or_leaves_it, check_untouched),
        cmocka_unit_test_teardown(test_what_cannot_work_is_refused, check_untouched),
        cmocka_unit_test_teardown(test_the_start_of_a_runtime_hides_no_mask, check_untouched),
        cmocka_unit_test_teardown(test_masks_that_cannot_be_read_are_not_taken_for_blocked,
                                  check_untouched),
        cmocka_unit_test_teardown(test_a_storm_is_received_whole_and_in_order, check_untouched),
    };
    sigset_t set = set_of(SIGUSR1);

    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGRTMIN + 1);
    if (weir_signals_block(&set) < 0)
        return 1;
    return cmocka_run_group_tests_name("process/signal", tests, NULL, NULL);
}
