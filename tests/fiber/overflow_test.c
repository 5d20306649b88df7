/* SPDX-License-Identifier: MIT */
/* Overflow of a stack: what is said, and that everybody else's faults stay theirs. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fiber/fiber.h"
#include "fiber/overflow.h"

enum { OUTPUT_BYTES = 4096, CHAINED = 42, FRAME_BYTES = 512 };

static struct weir__stack_limits limits;
static struct weir__stack_pool pool;
static struct weir__fiber thread_fiber, task_fiber;
static struct weir__stack *task_stack;
static struct weir__overflow_thread alternate;
static bool task_runs;
static const char *task_name = "tree walker";

static bool current(struct weir__overflow_report *out)
{
    if (!task_runs)
        return false;
    *out = (struct weir__overflow_report){
        .task_name = task_name,
        .base = task_stack->base,
        .bytes = task_stack->bytes,
        .guard_bytes = weir__stack_guard_bytes(task_stack),
    };
    return true;
}

/* What a child did: its wait status, and what it wrote to standard error. */
struct outcome {
    int status;
    char output[OUTPUT_BYTES];
};

static void run_in_child(void (*body)(void), struct outcome *out)
{
    int ends[2];
    size_t length = 0;
    ssize_t count;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        dup2(ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(ends[1]);
    while ((count = read(ends[0], out->output + length, sizeof out->output - 1 - length)) > 0)
        length += (size_t)count;
    out->output[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &out->status, 0), child);
}

static void assert_killed_by(const struct outcome *outcome, int number)
{
    assert_true(WIFSIGNALED(outcome->status));
    assert_int_equal(WTERMSIG(outcome->status), number);
}

static void assert_exited(const struct outcome *outcome, int code)
{
    assert_true(WIFEXITED(outcome->status));
    assert_int_equal(WEXITSTATUS(outcome->status), code);
}

static void must(int result)
{
    if (result != 0)
        _exit(99);
}

/* A sanitizer's own handlers, and its alternate stack, would be in the way of what is tested. */
static void start_plain(void)
{
    stack_t none = { .ss_flags = SS_DISABLE };

    must(sigaltstack(&none, NULL));
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    signal(SIGABRT, SIG_DFL);
}

static void arm(void)
{
    must(weir__overflow_install(current));
    must(weir__overflow_thread_enter(&alternate));
}

/* Step by step down to the guard, as deep calls go; a thousand times deeper than any stack here. */
static __attribute__((noinline)) void descend(size_t steps)
{
    for (; steps > 0; steps--)
        *(volatile char *)__builtin_alloca(FRAME_BYTES) = 1;
}

static void overflow(void *arg)
{
    (void)arg;
    weir__fiber_begin();
    descend(1 << 20);
    weir__fiber_exit(&task_fiber, &thread_fiber);
}

static char *volatile nowhere = (char *)8;

static void touch_nowhere(void)
{
    *(volatile char *)nowhere = 1;
}

static void fault_elsewhere(void *arg)
{
    (void)arg;
    weir__fiber_begin();
    touch_nowhere();
    weir__fiber_exit(&task_fiber, &thread_fiber);
}

static void run_task(void (*entry)(void *), size_t stack_bytes)
{
    must(weir__stack_limits_init(&limits, NULL));
    must(weir__stack_pool_init(&pool, &limits));
    must(weir__stack_acquire(&pool, stack_bytes, &task_stack));
    weir__fiber_init_thread(&thread_fiber);
    weir__fiber_init(&task_fiber, task_stack, (char *)task_stack->base + task_stack->bytes, entry,
                     NULL);
    task_runs = true;
    weir__fiber_switch(&thread_fiber, &task_fiber);
    task_runs = false;
}

static void overflow_named(void)
{
    start_plain();
    arm();
    run_task(overflow, 0);
}

static void overflow_unnamed(void)
{
    task_name = NULL;
    start_plain();
    arm();
    run_task(overflow, 200000);
}

static void test_overflow_names_task_size_and_remedy(void **state)
{
    struct outcome outcome;

    (void)state;
    run_in_child(overflow_named, &outcome);
    assert_killed_by(&outcome, SIGABRT);
    assert_non_null(strstr(outcome.output, "\"tree walker\""));
    assert_non_null(strstr(outcome.output, " 65536 bytes"));
    assert_non_null(strstr(outcome.output, "stack_bytes"));
    assert_ptr_equal(strchr(outcome.output, '\n'), outcome.output + strlen(outcome.output) - 1);
}

static void test_overflow_of_a_nameless_task(void **state)
{
    struct outcome outcome;

    (void)state;
    run_in_child(overflow_unnamed, &outcome);
    assert_killed_by(&outcome, SIGABRT);
    assert_non_null(strstr(outcome.output, "\"(unnamed)\""));
    assert_non_null(strstr(outcome.output, " 262144 bytes"));
}

static void fault_by_default(void)
{
    start_plain();
    arm();
    run_task(fault_elsewhere, 0);
}

static void fault_without_task(void)
{
    start_plain();
    arm();
    touch_nowhere();
}

static void fault_though_ignored(void)
{
    start_plain();
    signal(SIGSEGV, SIG_IGN);
    arm();
    touch_nowhere();
}

static void send_to_default(void)
{
    start_plain();
    arm();
    raise(SIGSEGV);
}

static void test_other_faults_kill_as_ever(void **state)
{
    static void (*const bodies[])(void) = { fault_by_default, fault_without_task,
                                            fault_though_ignored, send_to_default };
    struct outcome outcome;

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        run_in_child(bodies[i], &outcome);
        assert_killed_by(&outcome, SIGSEGV);
        assert_string_equal(outcome.output, "");
    }
}

static void exit_if_informed(int number, siginfo_t *info, void *context)
{
    _exit(number == SIGSEGV && info->si_addr == (void *)8 && context != NULL ? CHAINED : 1);
}

static void exit_if_named(int number)
{
    _exit(number == SIGSEGV ? CHAINED : 1);
}

static void chain_with_information(void)
{
    struct sigaction action = { .sa_sigaction = exit_if_informed, .sa_flags = SA_SIGINFO };

    start_plain();
    must(sigaction(SIGSEGV, &action, NULL));
    arm();
    run_task(fault_elsewhere, 0);
}

static void chain_without_information(void)
{
    start_plain();
    signal(SIGSEGV, exit_if_named);
    arm();
    touch_nowhere();
}

static void overflow_before_a_handler(void)
{
    start_plain();
    signal(SIGSEGV, exit_if_named);
    signal(SIGABRT, exit_if_named);
    arm();
    run_task(overflow, 0);
}

static void test_the_handler_before_gets_the_rest(void **state)
{
    struct outcome outcome;

    (void)state;
    run_in_child(chain_with_information, &outcome);
    assert_exited(&outcome, CHAINED);
    run_in_child(chain_without_information, &outcome);
    assert_exited(&outcome, CHAINED);
    run_in_child(overflow_before_a_handler, &outcome);
    assert_killed_by(&outcome, SIGABRT);
}

static volatile sig_atomic_t resumed_count;
static void *volatile mended_page;

/* Makes the page accessible and returns, as a garbage collector does. */
static void mend(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    must(info->si_addr == mended_page ? 0 : -1);
    must(mprotect(mended_page, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE));
    errno = EDOM;
    resumed_count++;
}

static void chain_to_one_who_returns(void)
{
    struct sigaction action = { .sa_sigaction = mend, .sa_flags = SA_SIGINFO };
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

    start_plain();
    must(sigaction(SIGSEGV, &action, NULL));
    arm();
    for (int i = 0; i < 2; i++) {
        mended_page = mmap(NULL, page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        errno = EBADF;
        *(volatile char *)mended_page = 1;
        must(errno == EBADF ? 0 : -1);
    }
    _exit(resumed_count == 2 ? CHAINED : 1);
}

static void send_to_ignored(void)
{
    start_plain();
    signal(SIGSEGV, SIG_IGN);
    arm();
    raise(SIGSEGV);
    _exit(CHAINED);
}

static void test_faults_that_others_mend_go_on(void **state)
{
    struct outcome outcome;

    (void)state;
    run_in_child(chain_to_one_who_returns, &outcome);
    assert_exited(&outcome, CHAINED);
    run_in_child(send_to_ignored, &outcome);
    assert_exited(&outcome, CHAINED);
}

static bool handler_is(void (*handler)(int))
{
    struct sigaction now;

    must(sigaction(SIGSEGV, NULL, &now));
    return now.sa_handler == handler;
}

static void nest_installs(void)
{
    start_plain();
    signal(SIGSEGV, exit_if_named);
    must(weir__overflow_install(current));
    must(weir__overflow_install(current));
    weir__overflow_uninstall();
    must(!handler_is(exit_if_named) ? 0 : -1);
    weir__overflow_uninstall();
    must(handler_is(exit_if_named) ? 0 : -1);
    must(weir__overflow_install(current));
    must(!handler_is(exit_if_named) ? 0 : -1);
    weir__overflow_uninstall();
    must(handler_is(exit_if_named) ? 0 : -1);
    _exit(CHAINED);
}

static struct sigaction before_us;

static void pass_to_before(int number, siginfo_t *info, void *context)
{
    before_us.sa_sigaction(number, info, context);
}

/* Somebody chains to us, we are uninstalled and installed again: nobody calls in a circle. */
static void stay_behind_another(void)
{
    struct sigaction action = { .sa_sigaction = pass_to_before, .sa_flags = SA_SIGINFO };

    start_plain();
    signal(SIGSEGV, exit_if_named);
    must(weir__overflow_install(current));
    must(sigaction(SIGSEGV, &action, &before_us));
    weir__overflow_uninstall();
    must(handler_is(exit_if_named) ? -1 : 0);
    must(weir__overflow_install(current));
    touch_nowhere();
}

static void test_installs_nest_and_undo(void **state)
{
    struct outcome outcome;

    (void)state;
    run_in_child(nest_installs, &outcome);
    assert_exited(&outcome, CHAINED);
    run_in_child(stay_behind_another, &outcome);
    assert_exited(&outcome, CHAINED);
}

static void keep_an_alternate_stack(void)
{
    static char own[64 * 1024];
    stack_t mine = { .ss_sp = own, .ss_size = sizeof own };
    stack_t now;

    start_plain();
    must(sigaltstack(&mine, NULL));
    must(weir__overflow_thread_enter(&alternate));
    must(sigaltstack(NULL, &now));
    must(now.ss_sp == own ? 0 : -1);
    weir__overflow_thread_leave(&alternate);
    must(sigaltstack(NULL, &now));
    must(now.ss_sp == own ? 0 : -1);
    _exit(CHAINED);
}

static void remove_the_alternate_stack(void)
{
    stack_t now;

    start_plain();
    must(weir__overflow_thread_enter(&alternate));
    must(sigaltstack(NULL, &now));
    must(now.ss_flags == 0 ? 0 : -1);
    weir__overflow_thread_leave(&alternate);
    must(sigaltstack(NULL, &now));
    must(now.ss_flags == SS_DISABLE ? 0 : -1);
    must(alternate.mapping == NULL ? 0 : -1);
    _exit(CHAINED);
}

static void test_alternate_stacks_are_respected(void **state)
{
    struct outcome outcome;

    (void)state;
    run_in_child(keep_an_alternate_stack, &outcome);
    assert_exited(&outcome, CHAINED);
    run_in_child(remove_the_alternate_stack, &outcome);
    assert_exited(&outcome, CHAINED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overflow_names_task_size_and_remedy),
        cmocka_unit_test(test_overflow_of_a_nameless_task),
        cmocka_unit_test(test_other_faults_kill_as_ever),
        cmocka_unit_test(test_the_handler_before_gets_the_rest),
        cmocka_unit_test(test_faults_that_others_mend_go_on),
        cmocka_unit_test(test_installs_nest_and_undo),
        cmocka_unit_test(test_alternate_stacks_are_respected),
    };

    return cmocka_run_group_tests_name("fiber/overflow", tests, NULL, NULL);
}
