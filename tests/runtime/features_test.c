/* SPDX-License-Identifier: MIT */
/* What the suite is told to do without (support/features.c) is not there, and the rest is. */
#include "support/support.h"

#include "runtime/report.h"

#include <weir/runtime.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int report_body(void *arg)
{
    return weir_runtime_report(arg);
}

static void test_masked_features_are_missing(void **state)
{
    struct weir_report report;

    (void)state;
    assert_int_equal(test_run(report_body, &report, NULL), 0);
    assert_int_equal(report.features & test_masked_features(), 0);
    if (test_masked_features() != weir__report_features())
        assert_true(report.features != 0);
}

/* Each runtime without one more feature than the others starts, and works as they do. */
static void test_each_feature_may_be_missing(void **state)
{
    unsigned features = weir__report_features();

    (void)state;
    for (unsigned feature = 1; feature && feature <= features; feature <<= 1) {
        struct weir_options options = { .without_features = feature & features };
        struct weir_report report;

        assert_int_equal(test_run(report_body, &report, &options), 0);
        assert_int_equal(report.features & feature, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masked_features_are_missing),
        cmocka_unit_test(test_each_feature_may_be_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
