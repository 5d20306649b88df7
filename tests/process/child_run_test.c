/* SPDX-License-Identifier: MIT */
/* Children run to their end: input, outputs, and their bounds. */
#include "fixture.h"

enum { BIG_BYTES = 1 << 20 };

static int run(const char *script, struct weir_child_capture *capture, int *status,
               int64_t deadline_ns)
{
    const char *const argv[] = { "sh", "-c", script, NULL };
    struct weir_child_options options = { .argv = argv, .group = WEIR_CHILD_OWN_GROUP };

    return weir_child_run(&options, capture, status, deadline_ns);
}

static int round_trip(void *arg)
{
    struct weir_child_capture capture = { .input_bytes = BIG_BYTES, .output_room = BIG_BYTES };
    char *input = malloc(BIG_BYTES), *output = malloc(BIG_BYTES), errors[32];
    int status = -1;

    (void)arg;
    for (size_t i = 0; i < BIG_BYTES; i++)
        input[i] = (char)(i * 31 + i / 251);
    capture.input = input;
    capture.output = output;
    capture.error = errors;
    capture.error_room = sizeof errors;
    CHECK_EQUAL(run("cat; echo done >&2; exit 6", &capture, &status, weir_in_ms(60000)), 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 6);
    CHECK_EQUAL(capture.output_bytes, BIG_BYTES);
    CHECK_EQUAL(memcmp(input, output, BIG_BYTES), 0);
    CHECK_EQUAL(capture.error_bytes, 5);
    CHECK_EQUAL(memcmp(errors, "done\n", 5), 0);
    /* Who does not read is not at fault. */
    capture = (struct weir_child_capture){ .input = input, .input_bytes = BIG_BYTES };
    CHECK_EQUAL(run("exit 0", &capture, &status, weir_in_ms(60000)), 0);
    CHECK_EQUAL(status, 0);
    free(input);
    free(output);
    return 0;
}

static void test_a_megabyte_there_and_back(void **state)
{
    (void)state;
    run_clean(round_trip, &two_loops);
}

static int bounds(void *arg)
{
    char output[64];
    struct weir_child_capture capture = { .output = output, .output_room = sizeof output };
    int status = -1;

    (void)arg;
    CHECK_EQUAL(run("yes", &capture, &status, weir_in_ms(60000)), -EMSGSIZE);
    CHECK_EQUAL(capture.output_bytes, sizeof output);
    CHECK_EQUAL(status, -1);
    CHECK_EQUAL(run("head -c 64 /dev/zero", &capture, &status, weir_in_ms(60000)), 0);
    CHECK_EQUAL(capture.output_bytes, sizeof output);
    CHECK_EQUAL(run("echo so far; exec sleep 60", &capture, &status, weir_in_ms(100)), -ETIME);
    CHECK_EQUAL(run("sleep 60 & exit 0", &capture, &status, weir_in_ms(100)), -ETIME);
    CHECK_EQUAL(run("exit 0", &capture, &status, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(run("exit 0", NULL, NULL, WEIR_FOREVER), 0);
    return 0;
}

static void test_output_and_time_are_bounded(void **state)
{
    (void)state;
    run_clean(bounds, &one_loop);
}

/* Whom the child has left its output is of its group, and ends with the run. */
static int outlive(void *arg)
{
    char output[8], byte;
    struct weir_child_capture capture = { .output = output, .output_room = sizeof output };
    const char *const argv[] = { "sh", "-c", "(echo so far; exec sleep 60) & exit 0", NULL };
    struct weir_child_options options = { .argv = argv, .group = WEIR_CHILD_OWN_GROUP };
    int ends[2], status = -1;

    (void)arg;
    CHECK_EQUAL(weir_pipe2(ends, O_CLOEXEC), 0);
    options.error = (struct weir_child_io){ .kind = WEIR_CHILD_FD, .fd = ends[1] };
    CHECK_EQUAL(weir_child_run(&options, &capture, &status, weir_in_ms(300)), -ETIME);
    CHECK_EQUAL(weir_close(ends[1]), 0);
    CHECK_EQUAL(weir_read(ends[0], &byte, 1, weir_in_ms(20000)), 0); /* nobody has it any more */
    CHECK_EQUAL(weir_close(ends[0]), 0);
    return 0;
}

static void test_what_outlives_the_child_ends_with_the_run(void **state)
{
    (void)state;
    run_clean(outlive, &one_loop);
}

static int run_for_long(void *arg)
{
    (void)arg;
    return run("exec sleep 60", NULL, NULL, WEIR_FOREVER);
}

static int cancel_run(void *arg)
{
    struct weir_scope *scope = make_scope(WEIR_SCOPE_COLLECT);
    struct weir_task *task;
    struct weir_spawn_options options = { .task = &task };
    int result = 0;

    (void)arg;
    CHECK_EQUAL(weir_spawn(scope, run_for_long, NULL, &options), 0);
    while (!has_children())
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_task_cancel(task), 0);
    CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
    CHECK_EQUAL(result, -ECANCELED);
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_a_cancel_ends_the_child(void **state)
{
    (void)state;
    run_clean(cancel_run, &one_loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_megabyte_there_and_back),
        cmocka_unit_test(test_output_and_time_are_bounded),
        cmocka_unit_test(test_what_outlives_the_child_ends_with_the_run),
        cmocka_unit_test(test_a_cancel_ends_the_child),
    };

    return cmocka_run_group_tests_name("process/child_run", tests, NULL, NULL);
}
