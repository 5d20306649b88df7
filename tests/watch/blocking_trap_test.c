/* SPDX-License-Identifier: MIT */
/*
 * What a trapped thread must not notice: signals and their masks, handlers of SIGSYS, threads,
 * children and programs that are started from tasks, calls without the C library. Each works as it
 * does unchecked, and the check goes on afterwards.
 */
#include "blocking.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { CODE_BYTES = 16, SITES = 1100, SITES_MAX = 1024, ANSWER = 4711 };

static struct notes notes;
static atomic_int handled, returned;

/* The check still works on this thread: exactly one more report, at `place` of two. */
static NOINLINE void block_here(int place)
{
    if (place == 0) {
        usleep(1);
        KEEP_PLACE();
    } else {
        usleep(2);
        KEEP_PLACE();
        KEEP_PLACE();
    }
}

/* --- Signals ---------------------------------------------------------------------------------- */

/* Makes calls of its own, one of which could block. */
static void on_user_signal(int number)
{
    atomic_fetch_add(&handled, number == SIGUSR1);
    syscall(SYS_getppid);
    block_here(0);
}

static void install(int number, void (*handler)(int number), int flags)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

    sigfillset(&action.sa_mask); /* SIGSYS too, which would end the process */
    assert_int_equal(sigaction(number, &action, NULL), 0);
}

static int raise_in_task(void *arg)
{
    struct sigaction action;

    (void)arg;
    for (int i = 0; i < 3; i++)
        CHECK(raise(SIGUSR1) == 0);
    CHECK(sigaction(SIGUSR1, NULL, &action) == 0);
    CHECK_EQUAL(action.sa_handler == on_user_signal, 1);
    block_here(1);
    return 0;
}

static void test_handlers_run_and_return(void **state)
{
    struct weir_options options = checked_options(&notes);

    (void)state;
    need_traps();
    atomic_store(&handled, 0);
    install(SIGUSR1, on_user_signal, 0);
    assert_int_equal(weir_run_on_this_thread(raise_in_task, NULL, &options), 0);
    install(SIGUSR1, on_user_signal, SA_ONSTACK);
    assert_int_equal(weir_run_on_this_thread(raise_in_task, NULL, &options), 0);
    test_carry_out();
    assert_int_equal(atomic_load(&handled), 6);
    assert_int_equal(notes.count, 4);
    signal(SIGUSR1, SIG_DFL);
}

static int install_in_task(void *arg)
{
    struct sigaction action = { .sa_handler = on_user_signal }, before;

    (void)arg;
    sigfillset(&action.sa_mask);
    CHECK(sigaction(SIGUSR2, &action, &before) == 0);
    CHECK(raise(SIGUSR2) == 0);
    CHECK(sigaction(SIGUSR2, &before, &action) == 0);
    CHECK_EQUAL(action.sa_handler == on_user_signal, 1);
    CHECK_EQUAL(before.sa_handler == SIG_DFL, 1);
    CHECK(sigaction(SIGUSR2, NULL, &action) == 0);
    CHECK_EQUAL(action.sa_handler == SIG_DFL, 1);
    return 0;
}

static void test_a_task_may_install_handlers(void **state)
{
    struct weir_options options = checked_options(&notes);

    (void)state;
    need_traps();
    assert_int_equal(weir_run_on_this_thread(install_in_task, NULL, &options), 0);
    test_carry_out();
    assert_int_equal(notes.count, 1);
}

static int change_masks(void *arg)
{
    sigset_t all, before, now;

    (void)arg;
    sigfillset(&all);
    CHECK(sigprocmask(SIG_BLOCK, &all, &before) == 0);
    CHECK(getppid() > 0); /* or the process ends here */
    block_here(0);
    CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0);
    CHECK(sigismember(&now, SIGUSR1) == 1);
    CHECK(sigismember(&now, SIGKILL) == 0);
    CHECK(sigismember(&now, SIGSYS) == 0);
    CHECK(sigprocmask(SIG_UNBLOCK, &all, NULL) == 0);
    CHECK(sigprocmask(SIG_SETMASK, &before, &now) == 0);
    CHECK(sigismember(&now, SIGUSR1) == 0);
    CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0);
    CHECK(memcmp(&before, &now, 8) == 0);
    CHECK(syscall(SYS_rt_sigprocmask, 77, &all, NULL, 8) < 0 && errno == EINVAL);
    CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 5) < 0 && errno == EINVAL);
    return 0;
}

static void test_masks_are_changed_but_for_sigsys(void **state)
{
    (void)state;
    need_traps();
    run_checked(change_masks, NULL, &notes);
    assert_int_equal(notes.count, 1);
}

/* Until it has been, since nobody can see from outside that it is in its call by now. */
static void *interrupt(void *arg)
{
    while (!atomic_load(&returned)) {
        pthread_kill(*(pthread_t *)arg, SIGUSR1);
        usleep(1000);
    }
    return NULL;
}

static int be_interrupted(void *arg)
{
    pthread_t self = pthread_self(), other;
    int ends[2];
    char byte;

    (void)arg;
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    CHECK(pthread_create(&other, NULL, interrupt, &self) == 0);
    errno = 0;
    CHECK(read(ends[0], &byte, 1) < 0);
    CHECK_EQUAL(errno, EINTR);
    atomic_store(&returned, 1);
    CHECK(pthread_join(other, NULL) == 0);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static void test_a_blocked_call_can_be_interrupted(void **state)
{
    struct weir_options options = checked_options(&notes);

    (void)state;
    need_traps();
    atomic_store(&returned, 0);
    install(SIGUSR1, on_user_signal, 0);
    assert_int_equal(weir_run_on_this_thread(be_interrupted, NULL, &options), 0);
    signal(SIGUSR1, SIG_DFL);
    test_carry_out();
    assert_int_equal(count_of(&notes, "read"), 1);
}

static void on_stall(void *context, const struct weir_stall *stall)
{
    (void)context;
    (void)stall;
    atomic_store(&handled, 1);
}

/* The stall detector's signal comes, and its end is stopped as others are. */
static int compute_until_probed(void *arg)
{
    while (!atomic_load(&handled))
        ;
    block_here(0);
    return arg != NULL;
}

static void test_a_stalled_task_is_probed(void **state)
{
    struct weir_options options = checked_options(&notes);

    (void)state;
    need_traps();
    atomic_store(&handled, 0);
    options.stall_limit_ns = 1000000;
    options.on_stall = on_stall;
    assert_int_equal(test_run(compute_until_probed, NULL, &options), 0);
    assert_int_equal(notes.count, 1);
}

/* --- Who else has SIGSYS ---------------------------------------------------------------------- */

static void on_sigsys(int number, siginfo_t *info, void *context)
{
    (void)context;
    atomic_fetch_add(&handled, number == SIGSYS && info->si_code <= 0);
}

static int raise_sigsys(void *arg)
{
    (void)arg;
    CHECK(raise(SIGSYS) == 0);
    block_here(0);
    return 0;
}

static void test_sigsys_of_others_is_theirs(void **state)
{
    struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO }, now;

    (void)state;
    need_traps();
    atomic_store(&handled, 0);
    assert_int_equal(sigaction(SIGSYS, &action, NULL), 0);
    run_checked(raise_sigsys, NULL, &notes);
    assert_int_equal(atomic_load(&handled), 1);
    assert_int_equal(notes.count, 1);
    assert_int_equal(sigaction(SIGSYS, NULL, &now), 0);
    assert_true(now.sa_sigaction == on_sigsys);
    signal(SIGSYS, SIG_DFL);
}

static int take_sigsys(void *arg)
{
    struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO }, before;
    const struct sigaction *of_process = arg;

    CHECK(sigaction(SIGSYS, &action, &before) == 0);
    CHECK_EQUAL(before.sa_handler == of_process->sa_handler, 1);
    CHECK(raise(SIGSYS) == 0);
    block_here(0);
    return 0;
}

static void test_a_task_that_takes_sigsys_is_next_in_line(void **state)
{
    struct sigaction now;

    (void)state;
    need_traps();
    atomic_store(&handled, 0);
    assert_int_equal(sigaction(SIGSYS, NULL, &now), 0);
    run_checked(take_sigsys, &now, &notes);
    assert_int_equal(atomic_load(&handled), 1);
    assert_int_equal(notes.count, 1);
    assert_int_equal(sigaction(SIGSYS, NULL, &now), 0);
    assert_true(now.sa_sigaction == on_sigsys);
    signal(SIGSYS, SIG_DFL);
}

/* As those do who emulate calls that a filter forbids. */
static void on_filtered(int number, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;

    (void)number;
    if (info->si_code == 1 /* SYS_SECCOMP */ && info->si_syscall == SYS_getpriority)
        interrupted->uc_mcontext.gregs[REG_RAX] = ANSWER;
}

static void forbid_getpriority(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof code[0], code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(77);
}

static int call_filtered(void *arg)
{
    (void)arg;
    if (syscall(SYS_getpriority, 0, 0) != ANSWER)
        return -EPROTO;
    usleep(1);
    return syscall(SYS_getpriority, 0, 0) == ANSWER ? 0 : -EPROTO;
}

static void run_filtered(void *arg)
{
    struct sigaction action = { .sa_sigaction = on_filtered, .sa_flags = SA_SIGINFO };
    struct weir_options options = checked_options(&notes);

    (void)arg;
    sigaction(SIGSYS, &action, NULL);
    forbid_getpriority();
    if (weir_run(call_filtered, NULL, &options) < 0)
        _exit(1);
    _exit(notes.count == 1 ? 0 : 2);
}

static void test_seccomp_goes_on(void **state)
{
    char output[256];
    int status;

    (void)state;
    need_traps();
    status = test_fork(run_filtered, NULL, output, sizeof output);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

/* --- What a task starts ----------------------------------------------------------------------- */

static void *block_unseen(void *arg)
{
    for (int i = 0; i < 3; i++)
        usleep(1);
    return arg;
}

static NOINLINE void start_thread(void *arg)
{
    void *result = NULL;
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, block_unseen, arg) == 0);
    block_here(0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK_EQUAL(result == arg, 1);
}

static int start_threads(void *arg)
{
    for (int i = 0; i < 3; i++)
        start_thread(arg);
    return 0;
}

static void test_threads_of_a_task_are_not_checked(void **state)
{
    (void)state;
    need_traps();
    run_checked(start_threads, &notes, &notes);
    assert_int_equal(count_of(&notes, "clock_nanosleep"), 1);
    assert_int_equal(count_of(&notes, "futex"), 1);
    assert_int_equal(notes.count, 2);
}

static NOINLINE int exit_status_of(pid_t child)
{
    int status = -1;

    CHECK(child > 0);
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int start_children(void *arg)
{
    pid_t child = fork();

    (void)arg;
    if (child == 0) {
        block_unseen(NULL);
        _exit(11);
    }
    CHECK_EQUAL(exit_status_of(child), 11);
    child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exit 12", NULL);
        _exit(1);
    }
    CHECK_EQUAL(exit_status_of(child), 12);
    child = vfork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exit 13", NULL);
        _exit(1);
    }
    CHECK_EQUAL(exit_status_of(child), 13);
    block_here(0);
    return 0;
}

static void test_children_of_a_task_are_not_checked(void **state)
{
    (void)state;
    need_traps();
    run_checked(start_children, NULL, &notes);
    assert_int_equal(count_of(&notes, "vfork"), 1);
    assert_int_equal(count_of(&notes, "wait4"), 1);
    assert_int_equal(count_of(&notes, "clock_nanosleep"), 1);
    assert_int_equal(notes.count, 3);
}

static int become_program(void *arg)
{
    (void)arg;
    CHECK(execl("/there is no such program", "none", NULL) < 0);
    execl("/bin/sh", "sh", "-c", "exit 14", NULL);
    return 0;
}

static void run_program(void *arg)
{
    struct weir_options options = checked_options(&notes);

    (void)arg;
    _exit(weir_run_on_this_thread(become_program, NULL, &options));
}

static void test_a_task_can_become_a_program(void **state)
{
    char output[256];
    int status;

    (void)state;
    need_traps();
    status = test_fork(run_program, NULL, output, sizeof output);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 14);
}

/* --- Calls without the C library, and more places than there is room for ---------------------- */

/* Each a function that makes wait4(2), which is answered at once: there is no child. */
static int call_from_everywhere(void *arg)
{
    static const unsigned char code[CODE_BYTES] = { 0xb8, SYS_wait4, 0, 0, 0, 0x0f, 0x05, 0xc3 };
    unsigned char *memory = mmap(NULL, SITES * CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t counters[WEIR_COUNTER_COUNT];

    (void)arg;
    if (!CHECK(memory != MAP_FAILED))
        return 0;
    for (int i = 0; i < SITES; i++) {
        long (*wait)(long pid, void *status, long options, void *usage);
        unsigned char *place = memory + i * CODE_BYTES;

        memcpy(place, code, CODE_BYTES);
        memcpy(&wait, &place, sizeof wait);
        CHECK_EQUAL(wait(-1, NULL, 0, NULL), -ECHILD);
    }
    munmap(memory, SITES * CODE_BYTES);
    CHECK(weir_stats_read(counters, WEIR_COUNTER_COUNT) > 0);
    CHECK_EQUAL((long long)counters[WEIR_BLOCKING_CALLS], SITES);
    CHECK_EQUAL((long long)counters[WEIR_BLOCKING_SITES], SITES_MAX);
    CHECK_EQUAL((long long)counters[WEIR_BLOCKING_UNNAMED], SITES - SITES_MAX);
    return 0;
}

static void test_a_full_table_counts(void **state)
{
    (void)state;
    need_traps();
    run_checked(call_from_everywhere, NULL, &notes);
    assert_int_equal(notes.count, SITES_MAX);
    assert_string_equal(notes.at[0].call, "wait4");
}

/* --- Threads of the runtime ------------------------------------------------------------------- */

static int block_in_task(void *arg)
{
    (void)arg;
    block_here(0);
    return 0;
}

static void *run_another(void *arg)
{
    run_checked(block_in_task, NULL, arg);
    return NULL;
}

static void test_two_runtimes_are_checked_apart(void **state)
{
    static struct notes others;
    pthread_t thread;

    (void)state;
    need_traps();
    assert_int_equal(pthread_create(&thread, NULL, run_another, &others), 0);
    run_checked(block_in_task, NULL, &notes);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(notes.count, 1);
    assert_int_equal(others.count, 1);
}

static void test_without_the_overflow_handler(void **state)
{
    struct weir_options options = checked_options(&notes);

    (void)state;
    need_traps();
    options.no_overflow_handler = true;
    options.stack_bytes = 16 * 1024;
    assert_int_equal(test_run(block_in_task, NULL, &options), 0);
    assert_int_equal(notes.count, 1);
}

/* Its thread is a plain one again. */
static void test_afterwards_nothing_is_stopped(void **state)
{
    struct weir_options options = checked_options(&notes);
    struct sigaction first, now;
    sigset_t sigsys, before;

    (void)state;
    need_traps();
    assert_int_equal(sigaction(SIGSYS, NULL, &first), 0);
    sigemptyset(&sigsys);
    sigaddset(&sigsys, SIGSYS);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &sigsys, &before), 0);
    assert_int_equal(weir_run_on_this_thread(block_in_task, NULL, &options), 0);
    usleep(1);
    assert_int_equal(notes.count, 1);
    assert_int_equal(sigaction(SIGSYS, NULL, &now), 0);
    assert_true(now.sa_handler == first.sa_handler);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, &sigsys), 0);
    assert_int_equal(sigismember(&sigsys, SIGSYS), 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        /* These fork, which a process that has run weir may not. */
        cmocka_unit_test(test_seccomp_goes_on),
        cmocka_unit_test(test_a_task_can_become_a_program),
        cmocka_unit_test(test_handlers_run_and_return),
        cmocka_unit_test(test_a_task_may_install_handlers),
        cmocka_unit_test(test_masks_are_changed_but_for_sigsys),
        cmocka_unit_test(test_a_blocked_call_can_be_interrupted),
        cmocka_unit_test(test_a_stalled_task_is_probed),
        cmocka_unit_test(test_sigsys_of_others_is_theirs),
        cmocka_unit_test(test_a_task_that_takes_sigsys_is_next_in_line),
        cmocka_unit_test(test_threads_of_a_task_are_not_checked),
        cmocka_unit_test(test_children_of_a_task_are_not_checked),
        cmocka_unit_test(test_a_full_table_counts),
        cmocka_unit_test(test_two_runtimes_are_checked_apart),
        cmocka_unit_test(test_without_the_overflow_handler),
        cmocka_unit_test(test_afterwards_nothing_is_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
