/* SPDX-License-Identifier: MIT */
/*
 * Registered buffers under a limit on locked memory, each in a forked child: this process runs no
 * runtime itself, since its children would be told to exec only.
 */
#include "fixture.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { REGION_BYTES = 256 * BLOCK_BYTES, OUTPUT_BYTES = 2048 };

/* With and without the kernel's help in sharing what is pinned. */
static const struct weir_options masks[] = {
    { .loop_count = 2 },
    { .loop_count = 2, .without_features = WEIR_FEATURE_CLONE_BUFFERS },
    { .loop_count = 1 },
};
enum { MASKS = sizeof masks / sizeof masks[0] };

static bool drop_privileges(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { 0 };
    struct rlimit limit = { REGION_BYTES * 3 / 2, REGION_BYTES * 3 / 2 };

    return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && syscall(SYS_capset, &header, none) == 0;
}

/* 0, or which step went wrong. */
static int limited_body(void *arg)
{
    const struct weir_options *options = arg;
    char *region = pattern_block(REGION_BYTES * 2);
    struct weir_report report;
    bool sharing;
    int error;

    if (weir_runtime_report(&report) < 0)
        return 1;
    sharing = options->loop_count == 1 || (report.features & WEIR_FEATURE_CLONE_BUFFERS);
    if (weir_buffer_register(region, REGION_BYTES * 2) != -ENOMEM)
        return 2;
    fprintf(stderr, "%s\n", weir_last_error());
    error = weir_buffer_register(region, REGION_BYTES);
    if (error != (sharing ? 0 : -ENOMEM))
        return 3;
    if (!sharing) { /* loop 0 has given back what it had */
        fprintf(stderr, "%s\n", weir_last_error());
        if (weir_buffer_register(region, REGION_BYTES / 2) != 0)
            return 4;
    }
    if (weir_buffer_unregister(region) != 0)
        return 5;
    free(region);
    return 0;
}

static void run_limited(void *arg)
{
    if (!drop_privileges())
        _exit(77);
    _exit(weir_run(limited_body, arg, arg));
}

static void test_the_memlock_limit_is_named(void **state)
{
    char output[OUTPUT_BYTES];

    (void)state;
    if (test_masked_features()) {
        print_message("skipped: it masks what it is about, one by one\n");
        skip();
    }
    for (size_t i = 0; i < MASKS; i++) {
        struct weir_options options = masks[i];
        int status = test_fork(run_limited, &options, output, sizeof output);

        if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
            skip();
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            print_message("status %x: %s\n", (unsigned)status, output);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_non_null(strstr(output, "2048 KiB are to be pinned"));
        assert_non_null(strstr(output, "limit of its user is 1536 KiB"));
        assert_non_null(strstr(output, "ulimit -l"));
        assert_int_equal(strstr(output, "for each loop") != NULL, i == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_memlock_limit_is_named),
    };

    return cmocka_run_group_tests_name("io/memlock", tests, NULL, NULL);
}
