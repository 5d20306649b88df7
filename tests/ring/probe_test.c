/* SPDX-License-Identifier: MIT */
/* Why a ring could not be had, in words: cause, evidence, remedy. */
#include "ring/probe.h"

#include "support/support.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <cmocka.h>

static char why[512];

static void explain(int error)
{
    memset(why, 'x', sizeof why);
    weir__probe_explain(error, 4096, why, sizeof why);
    assert_true(strlen(why) < sizeof why - 1); /* nothing was cut off */
    assert_null(strchr(why, '\n'));
    assert_ptr_equal(strstr(why, "io_uring_setup: "), why);
}

static void says(const char *text)
{
    if (!strstr(why, text))
        print_message("\"%s\" is not in: %s\n", text, why);
    assert_non_null(strstr(why, text));
}

static void test_refusals_name_who_may_have_refused(void **state)
{
    static const struct {
        int error;
        const char *name;
    } rows[] = { { -EPERM, "EPERM" }, { -EACCES, "EACCES" }, { -ENOSYS, "ENOSYS" } };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        explain(rows[i].error);
        says(rows[i].name);
        /* One of the three stories, by what /proc says here. */
        if (!strstr(why, "seccomp filter"))
            says("io_uring_disabled");
    }
}

static void test_no_memory_names_the_limit_and_the_option(void **state)
{
    struct rlimit limit;
    char kib[64];

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    snprintf(kib, sizeof kib, "limit is %lu KiB", (unsigned long)(limit.rlim_cur / 1024));
    explain(-ENOMEM);
    says("ENOMEM");
    if (limit.rlim_cur != RLIM_INFINITY)
        says(kib);
    says("ulimit -l");
    says("ring_entries");
    says("4096");
}

static void test_bad_flags_name_the_kernel(void **state)
{
    struct utsname kernel;

    (void)state;
    assert_int_equal(uname(&kernel), 0);
    explain(-EINVAL);
    says("EINVAL");
    says(kernel.release);
    says("6.1 or later");
    says("4096");
}

static void test_no_descriptor_names_the_limit(void **state)
{
    (void)state;
    explain(-EMFILE);
    says("EMFILE");
    says("ulimit -n");
    explain(-ENFILE);
    says("ENFILE");
}

static void test_any_other_error_is_named(void **state)
{
    (void)state;
    explain(-EIO);
    says(strerror(EIO));
}

static void test_a_short_buffer_is_not_overrun(void **state)
{
    static const int errors[] = { -EPERM, -ENOSYS, -ENOMEM, -EMFILE, -EINVAL, -EIO };

    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        memset(why, 'x', sizeof why);
        weir__probe_explain(errors[i], 256, why, 20);
        assert_int_equal(strlen(why), 19);
        assert_int_equal(why[20], 'x');
    }
}

static void test_a_setup_that_fails_says_why_and_leaves_nothing(void **state)
{
    struct weir__counters counters = { 0 };
    struct weir__ring_options options = { .entries = 0, .counters = &counters };
    struct weir__ring ring;
    int fds = count_fds();

    (void)state;
    assert_int_equal(weir__ring_init(&ring, &options, why, sizeof why), -EINVAL);
    says("EINVAL");
    assert_int_equal(count_fds(), fds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals_name_who_may_have_refused),
        cmocka_unit_test(test_no_memory_names_the_limit_and_the_option),
        cmocka_unit_test(test_bad_flags_name_the_kernel),
        cmocka_unit_test(test_no_descriptor_names_the_limit),
        cmocka_unit_test(test_any_other_error_is_named),
        cmocka_unit_test(test_a_short_buffer_is_not_overrun),
        cmocka_unit_test(test_a_setup_that_fails_says_why_and_leaves_nothing),
    };

    return cmocka_run_group_tests_name("ring/probe", tests, NULL, NULL);
}
