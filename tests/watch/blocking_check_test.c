/* SPDX-License-Identifier: MIT */
/* What the blocking-call check says, and when it keeps silent; which calls it is about is in
 * blocking_call_test.c. Everything runs twice, the second time by the interposer. */
#include "blocking.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>

enum { STACK_BYTES = 64 * 1024 };

static struct notes notes;
static char buffer[64];
static int ends[2]; /* a pipe with something in it */

static int open_pipe(void **state)
{
    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], buffer, sizeof buffer), sizeof buffer);
    return 0;
}

/* --- What a report says ----------------------------------------------------------------------- */

static NOINLINE int read_in_task(void *arg)
{
    (void)arg;
    CHECK(read(ends[0], buffer, 1) == 1);
    return 0;
}

static int read_and_join(void *arg)
{
    struct weir_spawn_options options = { .name = "reader" };
    struct weir_scope *scope;

    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, read_in_task, arg, &options), 0);
    return weir_scope_join(scope, WEIR_FOREVER);
}

/* The debug detector of the conformance list: a plain blocking call in a loop's thread is reported
 * with the task's name and the place. */
static void case_173_blocking_call_is_named(void **state)
{
    char head[256];

    (void)state;
    need_check();
    run_checked(read_and_join, NULL, &notes);
    assert_int_equal(notes.count, 1);
    assert_string_equal(notes.at[0].task, "reader");
    assert_string_equal(notes.at[0].call, "read");
    assert_int_equal(notes.at[0].fd, ends[0]);
    snprintf(head, sizeof head,
             "weir: blocking call: task \"reader\" on loop 0 calls read on descriptor %d (pipe), "
             "which waits until something is there to be read; the loop's other tasks wait too\n",
             ends[0]);
    assert_memory_equal(notes.at[0].text, head, strlen(head));
    assert_non_null(strstr(notes.at[0].text, "\n    read_in_task+0x"));
    assert_non_null(strstr(notes.at[0].text, " (test_watch_blocking_check)\n"));
    assert_non_null(strstr(notes.at[0].text, "\n  instead: weir_read\n"));
}

/* --- Libraries that are loaded while the loops run -------------------------------------------- */

typedef int late_fn(void);
typedef int late_call_fn(late_fn *body);

static int load(void *arg)
{
    void **library = arg;

    *library = dlopen(LATE_LIBRARY, RTLD_NOW);
    return *library ? 0 : -ENOENT;
}

static NOINLINE int call_late(void *library)
{
    late_call_fn *call = (late_call_fn *)(uintptr_t)dlsym(library, "late_call");
    late_fn *nap = (late_fn *)(uintptr_t)dlsym(library, "late_nap");
    int result = call(nap);

    KEEP_PLACE();
    return result;
}

static int load_and_call(void *arg)
{
    void *library = NULL;
    int result;

    (void)arg;
    CHECK_EQUAL(weir_pool_run(load, &library, WEIR_FOREVER), 0);
    result = call_late(library);
    CHECK_EQUAL(dlclose(library), 0);
    return result;
}

/* The first call out of such a library is walked through to its end, too. */
static void test_a_library_loaded_late(void **state)
{
    const char *text;

    (void)state;
    need_check();
    run_checked(load_and_call, NULL, &notes);
    assert_int_equal(notes.count, 1);
    text = notes.at[0].text;
    for (const char *const *name =
             (const char *const[]){ "late_nap+0x", "late_call+0x", "call_late+0x", NULL };
         *name; name++) {
        text = strstr(text, *name);
        assert_non_null(text);
    }
}

/* --- Once for each place ---------------------------------------------------------------------- */

static NOINLINE void nap(void)
{
    usleep(1);
    KEEP_PLACE();
}

static int sleep_often(void *arg)
{
    uint64_t counters[WEIR_COUNTER_COUNT];

    (void)arg;
    for (int i = 0; i < 10; i++)
        nap();
    usleep(1);
    CHECK(weir_stats_read(counters, WEIR_COUNTER_COUNT) > 0);
    CHECK_EQUAL((long long)counters[WEIR_BLOCKING_CALLS], 11);
    CHECK_EQUAL((long long)counters[WEIR_BLOCKING_SITES], 2);
    CHECK_EQUAL((long long)counters[WEIR_BLOCKING_UNNAMED], 0);
    return 0;
}

static void test_once_for_each_place(void **state)
{
    (void)state;
    need_check();
    run_checked(sleep_often, NULL, &notes);
    assert_int_equal(notes.count, 2);
}

/* --- What is let pass, and what is asked for -------------------------------------------------- */

static int read_below(void *arg)
{
    int result = read_in_task(arg);

    KEEP_PLACE();
    return result;
}

static void check_allowed(const char *list, int expected)
{
    struct weir_options options = checked_options(&notes);

    options.blocking_allow = list;
    assert_int_equal(test_run(read_below, NULL, &options), 0);
    assert_int_equal(notes.count, expected);
}

static void test_names_of_functions_and_libraries_are_allowed(void **state)
{
    (void)state;
    need_check();
    check_allowed("read_below", 0);
    check_allowed("other,read_in_task", 0);
    check_allowed("test_watch_blocking_check", 0);
    check_allowed("libother.so,other", 1);
    check_allowed("read_belo", 1);
    check_allowed("read_below_it", 1);
    check_allowed("", 1);
    check_allowed(",,", 1);
}

static void test_the_environment_allows_and_prevails(void **state)
{
    struct weir_options options = checked_options(&notes);

    (void)state;
    need_check();
    setenv("WEIR_BLOCKING_ALLOW", "read_below", 1);
    check_allowed("other", 0);
    unsetenv("WEIR_BLOCKING_ALLOW");
    setenv("WEIR_BLOCKING_CHECK", "off", 1);
    check_allowed("other", 0);
    setenv("WEIR_BLOCKING_CHECK", "warn", 1);
    options.blocking_check = WEIR_BLOCKING_CHECK_OFF;
    assert_int_equal(test_run(read_below, NULL, &options), 0);
    assert_int_equal(notes.count, 1);
    unsetenv("WEIR_BLOCKING_CHECK");
}

static void test_off_reports_nothing(void **state)
{
    struct weir_options options = checked_options(&notes);

    (void)state;
    options.blocking_check = WEIR_BLOCKING_CHECK_OFF;
    assert_int_equal(test_run(read_below, NULL, &options), 0);
    assert_int_equal(notes.count, 0);
}

static int return_zero(void *arg)
{
    (void)arg;
    return 0;
}

static void test_what_is_wrongly_asked_for_is_refused(void **state)
{
    struct weir_options options = checked_options(&notes);

    (void)state;
    setenv("WEIR_BLOCKING_CHECK", "loud", 1);
    assert_int_equal(weir_run(return_zero, NULL, &options), -EINVAL);
    assert_string_equal(weir_last_error(),
                        "WEIR_BLOCKING_CHECK is \"loud\"; it must be off, warn or abort");
    unsetenv("WEIR_BLOCKING_CHECK");
    options.blocking_check = (enum weir_blocking_check)3;
    assert_int_equal(weir_run(return_zero, NULL, &options), -EINVAL);
    assert_non_null(strstr(weir_last_error(), "blocking_check is no enum weir_blocking_check"));
}

/* Neither traps nor an interposer: said, and not run unchecked. */
static void test_without_means_it_is_refused(void **state)
{
    struct weir_options options = checked_options(&notes);

    (void)state;
    if (interposed())
        skip();
    setenv("WEIR_BLOCKING_CHECK_BY", "interposer", 1);
    assert_int_equal(weir_run(return_zero, NULL, &options), -EOPNOTSUPP);
    assert_non_null(strstr(weir_last_error(), "libweir-interpose.so is not loaded"));
    assert_non_null(strstr(weir_last_error(), "run the program by weir-check"));
    setenv("WEIR_BLOCKING_CHECK_BY", "magic", 1);
    assert_int_equal(weir_run(return_zero, NULL, &options), -EINVAL);
    unsetenv("WEIR_BLOCKING_CHECK_BY");
    if (weir__check_trap_refusal()) {
        assert_int_equal(weir_run(return_zero, NULL, &options), -EOPNOTSUPP);
        assert_non_null(strstr(weir_last_error(), weir__check_trap_refusal()));
    }
}

/* --- Where reports go ------------------------------------------------------------------------- */

static void run_loudly(void *arg)
{
    struct weir_options options = { .loop_count = 1, .blocking_check = *(unsigned *)arg };

    if (weir_run(read_below, NULL, &options) < 0)
        _exit(1);
}

static void test_reports_go_to_standard_error(void **state)
{
    unsigned mode = WEIR_BLOCKING_CHECK_WARN;
    char output[NOTE_TEXT_BYTES];

    (void)state;
    need_check();
    assert_int_equal(test_fork(run_loudly, &mode, output, sizeof output), 0);
    assert_memory_equal(output, "weir: blocking call: task \"root\" on loop 0 calls read ", 54);
    assert_non_null(strstr(output, "instead: weir_read\n"));
}

static void test_abort_says_why_first(void **state)
{
    unsigned mode = WEIR_BLOCKING_CHECK_ABORT;
    char output[NOTE_TEXT_BYTES];
    int status;

    (void)state;
    need_check();
    status = test_fork(run_loudly, &mode, output, sizeof output);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_memory_equal(output, "weir: blocking call: task \"root\" on loop 0 calls read ", 54);
    assert_non_null(strstr(output, "instead: weir_read\n"));
}

/* What is allowed is no reason. */
static void test_abort_lets_pass_what_is_allowed(void **state)
{
    struct weir_options options = checked_options(&notes);

    (void)state;
    need_check();
    options.blocking_check = WEIR_BLOCKING_CHECK_ABORT;
    options.blocking_allow = "read_below";
    assert_int_equal(test_run(read_below, NULL, &options), 0);
    assert_int_equal(notes.count, 0);
}

static int overflow_stack(void *arg)
{
    volatile char bytes[STACK_BYTES];

    (void)arg;
    for (size_t i = sizeof bytes; i > 0; i--)
        bytes[i - 1] = 1;
    return bytes[0];
}

static void run_over(void *arg)
{
    struct weir_options options = {
        .loop_count = 1,
        .stack_bytes = STACK_BYTES,
        .blocking_check = WEIR_BLOCKING_CHECK_WARN,
    };

    (void)arg;
    _exit(weir_run(overflow_stack, NULL, &options));
}

/* The message is the runtime's own, and no blocking call of the task. */
static void test_an_overflow_is_said_as_ever(void **state)
{
    char output[NOTE_TEXT_BYTES];
    int status;

    (void)state;
    need_check();
    if (TEST_SANITIZED)
        skip();
    status = test_fork(run_over, NULL, output, sizeof output);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_memory_equal(output, "weir: stack overflow: task \"root\"", 33);
    assert_null(strstr(output, "blocking call"));
}

/* --- Whose threads ---------------------------------------------------------------------------- */

/* On the same thread before, between and after: only what tasks call is reported. */
static void test_the_foreign_loop_of_an_embed_may_block(void **state)
{
    struct weir_options options = checked_options(&notes);
    struct weir_embed *embed;

    (void)state;
    need_check();
    assert_int_equal(weir_embed_open(&embed, &options), 0);
    usleep(1);
    assert_int_equal(weir_spawn(weir_embed_scope(embed), read_in_task, NULL, NULL), 0);
    while (weir_embed_turn(embed) == 1)
        usleep(1);
    usleep(1);
    assert_int_equal(weir_embed_close(embed, WEIR_FOREVER), 0);
    usleep(1);
    test_carry_out();
    assert_int_equal(notes.count, 1);
    assert_string_equal(notes.at[0].call, "read");
}

static int sleep_on_pool(void *arg)
{
    (void)arg;
    return usleep(1);
}

static int use_pool(void *arg)
{
    (void)arg;
    return weir_pool_run(sleep_on_pool, NULL, WEIR_FOREVER);
}

static void test_the_pool_may_block(void **state)
{
    (void)state;
    need_check();
    run_checked(use_pool, NULL, &notes);
    assert_int_equal(notes.count, 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        /* These fork, which a process that has run weir may not. */
        cmocka_unit_test(test_reports_go_to_standard_error),
        cmocka_unit_test(test_abort_says_why_first),
        cmocka_unit_test(test_an_overflow_is_said_as_ever),
        cmocka_unit_test(case_173_blocking_call_is_named),
        cmocka_unit_test(test_a_library_loaded_late),
        cmocka_unit_test(test_once_for_each_place),
        cmocka_unit_test(test_names_of_functions_and_libraries_are_allowed),
        cmocka_unit_test(test_the_environment_allows_and_prevails),
        cmocka_unit_test(test_off_reports_nothing),
        cmocka_unit_test(test_what_is_wrongly_asked_for_is_refused),
        cmocka_unit_test(test_without_means_it_is_refused),
        cmocka_unit_test(test_abort_lets_pass_what_is_allowed),
        cmocka_unit_test(test_the_foreign_loop_of_an_embed_may_block),
        cmocka_unit_test(test_the_pool_may_block),
    };

    (void)argc;
    return run_both_ways(cmocka_run_group_tests(tests, open_pipe, NULL), argv[0]);
}
