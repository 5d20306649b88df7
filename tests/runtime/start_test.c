/* SPDX-License-Identifier: MIT */
/*
 * Starts that the machine refuses, and programs that weir ends, each in a forked child. This
 * process runs no runtime itself: its children would be told to exec only.
 */
#include "base/memory.h"
#include "support/support.h"

#include <weir/runtime.h>
#include <weir/scope.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { OUTPUT_BYTES = 8192, NOT_POSSIBLE = 77, FDS_MAX = 32 };

static char output[OUTPUT_BYTES];

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

static void says(const char *text)
{
    if (!strstr(output, text))
        print_message("\"%s\" is not in: %s\n", text, output);
    assert_non_null(strstr(output, text));
}

static void exited(int status, int code)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
        print_message("status %x: %s\n", (unsigned)status, output);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

/* Starts a runtime, and ends the child with its error as exit code. */
static void start_and_exit(void)
{
    int error = weir_run(return_zero, NULL, &(struct weir_options){ .loop_count = 2 });

    if (error < 0 && !weir_last_error()[0])
        _exit(99);
    _exit(-error);
}

/* --- No io_uring. ----------------------------------------------------------------------------- */

/* As container runtimes do. */
static void forbid_io_uring(void *arg)
{
    unsigned error = *(unsigned *)arg;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(NOT_POSSIBLE);
    start_and_exit();
}

static void test_a_forbidden_io_uring_is_explained(void **state)
{
    static const struct {
        unsigned error;
        const char *name;
    } rows[] = { { EPERM, "EPERM" }, { ENOSYS, "ENOSYS" }, { EACCES, "EACCES" } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned error = rows[i].error;
        int status = test_fork(forbid_io_uring, &error, output, sizeof output);

        if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_POSSIBLE)
            skip();
        exited(status, (int)error);
        says("weir: cannot start: io_uring_setup: ");
        says(rows[i].name);
        if (!strstr(output, "sysctl kernel.io_uring_disabled is")) /* that would come first */
            says("seccomp");
        assert_ptr_equal(strchr(output, '\n'), output + strlen(output) - 1); /* one line */
    }
}

/* --- No descriptors. -------------------------------------------------------------------------- */

static void limit_descriptors(void *arg)
{
    struct rlimit limit = { .rlim_cur = *(rlim_t *)arg, .rlim_max = *(rlim_t *)arg };

    for (int fd = STDERR_FILENO + 1; fd < FDS_MAX; fd++)
        close(fd);
    if (weir__memory_init() < 0 || setrlimit(RLIMIT_NOFILE, &limit) != 0)
        _exit(NOT_POSSIBLE);
    start_and_exit();
}

static void test_a_lack_of_descriptors_is_explained(void **state)
{
    int status = 0;

    (void)state;
    for (rlim_t limit = STDERR_FILENO + 1; limit < FDS_MAX; limit++) {
        status = test_fork(limit_descriptors, &limit, output, sizeof output);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && limit > STDERR_FILENO + 2)
            break; /* as many as two rings need */
        exited(status, EMFILE);
        says("no descriptor is free");
        says("ulimit -n");
    }
    exited(status, 0);
}

/* --- Locked memory. --------------------------------------------------------------------------- */

static void run_locked(void *arg)
{
    struct weir_options options = { .loop_count = 2, .prefault_stacks = *(unsigned *)arg };

    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        _exit(NOT_POSSIBLE);
    _exit(-weir_run(return_zero, NULL, &options));
}

static void test_it_runs_in_locked_memory(void **state)
{
    (void)state;
    for (unsigned prefault = 0; prefault <= 8; prefault += 8) {
        int status = test_fork(run_locked, &prefault, output, sizeof output);

        if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_POSSIBLE) {
            print_message("skipped: mlockall is not permitted\n");
            skip();
        }
        exited(status, 0);
    }
}

/* --- Stack overflow. -------------------------------------------------------------------------- */

static __attribute__((noinline)) int eat(void *arg)
{
    volatile char room[256 * 1024];

    (void)arg;
    for (size_t i = sizeof room; i > 0; i -= 512)
        room[i - 1] = 1;
    return room[100];
}

static int spawn_glutton(void *arg)
{
    struct weir_spawn_options options = { .name = "glutton", .place = WEIR_PLACE_ANYWHERE };

    (void)arg;
    if (weir_spawn(weir_task_scope(), eat, NULL, &options) < 0)
        _exit(98);
    return weir_sleep(WEIR_FOREVER);
}

static void overflow(void *arg)
{
    struct weir_options options = { .loop_count = 2, .no_overflow_handler = *(bool *)arg };
    struct rlimit no_core = { 0 };

    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's would print a story of its own */
    weir_run(spawn_glutton, NULL, &options);
    _exit(0);
}

static void test_a_stack_overflow_is_told_by_name(void **state)
{
    bool no_handler = false;
    int status = test_fork(overflow, &no_handler, output, sizeof output);

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    says("stack overflow");
    says("\"glutton\"");
    says("65536 bytes");
    says("stack_bytes");
}

static void test_without_the_handler_it_is_a_plain_crash(void **state)
{
    bool no_handler = true;
    int status = test_fork(overflow, &no_handler, output, sizeof output);

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_string_equal(output, "");
}

/* --- A scope that nobody joins. --------------------------------------------------------------- */

static int sleep_forever(void *arg)
{
    (void)arg;
    return weir_sleep(WEIR_FOREVER);
}

struct forgotten {
    struct weir_scope_options options;
    bool has_child;
    bool is_of_child; /* the root task joins the one who forgets */
};

static int forget_a_scope(void *arg)
{
    const struct forgotten *forgotten = arg;
    struct weir_scope *scope;

    if (weir_scope_create(&scope, WEIR_SCOPE_COLLECT, &forgotten->options) < 0 ||
        (forgotten->has_child && weir_spawn(scope, sleep_forever, NULL, NULL) < 0))
        _exit(98);
    return weir_yield();
}

static int forget_in_a_child(void *arg)
{
    struct weir_scope *scope;

    if (weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL) < 0 ||
        weir_spawn(scope, forget_a_scope, arg, NULL) < 0)
        _exit(98);
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void run_forgetful(void *arg)
{
    const struct forgotten *forgotten = arg;
    struct rlimit no_core = { 0 };

    setrlimit(RLIMIT_CORE, &no_core);
    weir_run(forgotten->is_of_child ? forget_in_a_child : forget_a_scope, arg, NULL);
    _exit(0);
}

static void test_a_forgotten_scope_is_told(void **state)
{
    static const struct forgotten ways[] = {
        { .options = { .name = "clients" }, .has_child = true },
        { .options = { .name = "clients" } },
        { .options = { .name = "clients", .duration_ns = INT64_C(3600000000000) } },
        { .options = { .name = "clients", .cancel_at_join = true } },
        { .options = { .name = "clients" }, .is_of_child = true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct forgotten way = ways[i];
        int status = test_fork(run_forgetful, &way, output, sizeof output);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
        says("scope \"clients\", created at forget_a_scope+0x");
        says(way.has_child ? "was never joined (tasks in it: 1)"
                           : "was never joined (tasks in it: 0)");
        says("join it on every way out of what created it, before the root task returns");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_forbidden_io_uring_is_explained),
        cmocka_unit_test(test_a_lack_of_descriptors_is_explained),
        cmocka_unit_test(test_it_runs_in_locked_memory),
        cmocka_unit_test(test_a_stack_overflow_is_told_by_name),
        cmocka_unit_test(test_without_the_handler_it_is_a_plain_crash),
        cmocka_unit_test(test_a_forgotten_scope_is_told),
    };

    return cmocka_run_group_tests_name("runtime/start", tests, NULL, NULL);
}
