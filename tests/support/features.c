/* SPDX-License-Identifier: MIT */
/*
 * The suite on a kernel that lacks things. WEIR_TEST_WITHOUT_FEATURES, a number of weir_feature
 * bits or `all`, is taken from every runtime that a test starts, on top of what the test itself
 * masks. The linker leads the tests' calls here (--wrap), so that no test has to know.
 *
 * Without stall detection, too, unless a test asks for it by its limit: on a machine that is busy
 * with other tests, and under sanitizers, loops stand still for longer than servers like.
 */
#include "support.h"

#include "runtime/report.h"

#include <weir/runtime.h>

#include <stdlib.h>
#include <string.h>

int __real_weir_run(weir_task_fn *fn, void *arg, const struct weir_options *options);
int __wrap_weir_run(weir_task_fn *fn, void *arg, const struct weir_options *options);
int __real_weir_run_on_this_thread(weir_task_fn *fn, void *arg, const struct weir_options *options);
int __wrap_weir_run_on_this_thread(weir_task_fn *fn, void *arg, const struct weir_options *options);

unsigned test_masked_features(void)
{
    const char *text = getenv("WEIR_TEST_WITHOUT_FEATURES");

    if (text && strcmp(text, "all") == 0)
        return weir__report_features();
    return text ? (unsigned)strtoul(text, NULL, 0) & weir__report_features() : 0;
}

/* Options of another version are about their size: passed on as they are. */
static const struct weir_options *mask(const struct weir_options *options,
                                       struct weir_options *masked)
{
    unsigned features = test_masked_features();

    if (options && options->size && options->size != sizeof *options)
        return options;
    *masked = options ? *options : (struct weir_options){ 0 };
    masked->without_features |= features;
    if (masked->stall_limit_ns == 0)
        masked->stall_limit_ns = -1;
    return masked;
}

int __wrap_weir_run(weir_task_fn *fn, void *arg, const struct weir_options *options)
{
    struct weir_options masked;

    return __real_weir_run(fn, arg, mask(options, &masked));
}

int __wrap_weir_run_on_this_thread(weir_task_fn *fn, void *arg, const struct weir_options *options)
{
    struct weir_options masked;

    return __real_weir_run_on_this_thread(fn, arg, mask(options, &masked));
}
