/* SPDX-License-Identifier: MIT */
/* What the blocking-call check says, and when it keeps silent; which calls it is about is in
 * blocking_call_test.c. Everything runs twice, the second time by the interposer. */
#include "blocking.h"

#include <fcntl.h>

static struct notes notes;
static char buffer[64];
static int ends[2]; /* a pipe with something in it */

static int open_pipe(void **state)
{
    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], "abcdefgh", 8), 8);
    return 0;
}

/* --- What a report says ----------------------------------------------------------------------- */

static int read_in_task(void *arg)
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

/* --- Once for each place ---------------------------------------------------------------------- */

static int sleep_often(void *arg)
{
    uint64_t counters[WEIR_COUNTER_COUNT];

    (void)arg;
    for (int i = 0; i < 10; i++)
        usleep(1);
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

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_173_blocking_call_is_named),
        cmocka_unit_test(test_once_for_each_place),
    };

    (void)argc;
    return run_both_ways(cmocka_run_group_tests(tests, open_pipe, NULL), argv[0]);
}
