/* SPDX-License-Identifier: MIT */
/* Traces: the header's value, character by character, and who begins with whose. */
#include "support/support.h"

#include <weir/pool.h>
#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/task.h>
#include <weir/trace.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN  "00f067aa0ba902b7"

static void header_values(void **state)
{
    static const struct {
        const char *text;
        int result;
        uint8_t flags;
    } rows[] = {
        { "00-" TRACE "-" SPAN "-01", 0, 1 },
        { "00-" TRACE "-" SPAN "-00", 0, 0 },
        { "00-" TRACE "-" SPAN "-ff", 0, 1 }, /* what is not defined is left out */
        { "01-" TRACE "-" SPAN "-01", 0, 1 }, /* later versions */
        { "fe-" TRACE "-" SPAN "-01-more", 0, 1 },
        { "01-" TRACE "-" SPAN "-01more", -EINVAL, 0 },
        { "ff-" TRACE "-" SPAN "-01", -EINVAL, 0 },
        { "00-" TRACE "-" SPAN "-01-", -EINVAL, 0 },
        { "00-" TRACE "-" SPAN "-01 ", -EINVAL, 0 },
        { " 00-" TRACE "-" SPAN "-0", -EINVAL, 0 },
        { "00-" TRACE "-" SPAN "-0", -EINVAL, 0 },
        { "00-" TRACE "-" SPAN, -EINVAL, 0 },
        { "", -EINVAL, 0 },
        { "00_" TRACE "-" SPAN "-01", -EINVAL, 0 },
        { "00-" TRACE "_" SPAN "-01", -EINVAL, 0 },
        { "00-" TRACE "-" SPAN "_01", -EINVAL, 0 },
        { "0g-" TRACE "-" SPAN "-01", -EINVAL, 0 },
        { "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01", -EINVAL, 0 },
        { "00-4bf92f3577b34da6a3ce929d0e0e473g-" SPAN "-01", -EINVAL, 0 },
        { "00-" TRACE "-00F067AA0BA902B7-01", -EINVAL, 0 },
        { "00-" TRACE "-" SPAN "-0G", -EINVAL, 0 },
        { "00-00000000000000000000000000000000-" SPAN "-01", -EINVAL, 0 },
        { "00-" TRACE "-0000000000000000-01", -EINVAL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_trace trace = { .flags = 0x55 };
        char text[WEIR_TRACEPARENT_LENGTH + 1];

        if (!CHECK_EQUAL(weir_trace_parse(rows[i].text, strlen(rows[i].text), &trace),
                         rows[i].result))
            print_error("row %zu\n", i);
        if (rows[i].result < 0) {
            CHECK_EQUAL(trace.flags, 0x55); /* untouched */
            continue;
        }
        CHECK_EQUAL(trace.flags, rows[i].flags);
        CHECK_EQUAL(trace.trace_id[0], 0x4b);
        CHECK_EQUAL(trace.span_id[7], 0xb7);
        CHECK_EQUAL(weir_trace_format(&trace, text), WEIR_TRACEPARENT_LENGTH);
        CHECK(memcmp(text, "00-" TRACE "-" SPAN "-", 53) == 0);
        CHECK(strcmp(text + 53, rows[i].flags ? "01" : "00") == 0);
    }
    test_carry_out();
}

static void a_final_zero_is_no_digit(void **state)
{
    char text[] = "00-" TRACE "-" SPAN "-01";
    struct weir_trace trace;

    (void)state;
    for (size_t i = 0; i < WEIR_TRACEPARENT_LENGTH; i++) {
        char kept = text[i];

        text[i] = 0;
        CHECK_EQUAL(weir_trace_parse(text, WEIR_TRACEPARENT_LENGTH, &trace), -EINVAL);
        text[i] = kept;
    }
    test_carry_out();
}

static void on_a_plain_thread(void **state)
{
    struct weir_trace first, second, third, none = { .flags = 1 };
    char text[WEIR_TRACEPARENT_LENGTH + 1];

    (void)state;
    CHECK_EQUAL(weir_trace_get(&first), -ENODATA);
    CHECK_EQUAL(weir_trace_child(), -ENODATA);
    CHECK_EQUAL(weir_trace_begin(2), -EINVAL);
    CHECK_EQUAL(weir_trace_begin(WEIR_TRACE_SAMPLED), 0);
    CHECK_EQUAL(weir_trace_get(&first), 0);
    CHECK_EQUAL(first.flags, WEIR_TRACE_SAMPLED);
    CHECK_EQUAL(weir_trace_child(), 0);
    CHECK_EQUAL(weir_trace_get(&second), 0);
    CHECK(memcmp(first.trace_id, second.trace_id, sizeof first.trace_id) == 0);
    CHECK(memcmp(first.span_id, second.span_id, sizeof first.span_id) != 0);
    CHECK_EQUAL(weir_trace_begin(0), 0);
    CHECK_EQUAL(weir_trace_get(&third), 0);
    CHECK(memcmp(first.trace_id, third.trace_id, sizeof first.trace_id) != 0);
    CHECK_EQUAL(weir_trace_set(&none), -EINVAL);
    CHECK_EQUAL(weir_trace_format(&none, text), -EINVAL);
    CHECK_EQUAL(weir_trace_set(&first), 0);
    CHECK_EQUAL(weir_trace_set(NULL), 0);
    CHECK_EQUAL(weir_trace_get(&third), -ENODATA);
    CHECK_EQUAL(weir_trace_get(NULL), -EINVAL);
    test_carry_out();
}

/* What a task or a job began with; then it goes its own way. */
static int look_and_change(void *arg)
{
    struct weir_trace *seen = arg;

    weir_trace_get(seen);
    return weir_trace_begin(0);
}

static int hand_on(void *arg)
{
    struct weir_trace own, of_task[2], of_job, after;
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_trace_get(&own), -ENODATA);
    CHECK_EQUAL(weir_trace_begin(0), 0);
    CHECK_EQUAL(weir_trace_get(&own), 0);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP, .loop_index = i };

        CHECK_EQUAL(weir_spawn(scope, look_and_change, &of_task[i], &options), 0);
    }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK(memcmp(&of_task[0], &own, sizeof own) == 0);
    CHECK(memcmp(&of_task[1], &own, sizeof own) == 0);
    CHECK_EQUAL(weir_pool_run(look_and_change, &of_job, WEIR_FOREVER), 0);
    CHECK(memcmp(&of_job, &own, sizeof own) == 0);
    CHECK_EQUAL(weir_trace_get(&after), 0);
    CHECK(memcmp(&after, &own, sizeof own) == 0);
    CHECK_EQUAL(weir_trace_set(NULL), 0);
    CHECK_EQUAL(weir_pool_run(look_and_change, &of_job, WEIR_FOREVER), 0);
    CHECK_EQUAL(of_job.trace_id[0] + of_job.span_id[0], 0); /* nothing stays on the thread */
    return 0;
}

static void tasks_and_jobs_begin_with_a_copy(void **state)
{
    struct weir_options options = { .loop_count = 2, .pool_threads_max = 1 };

    (void)state;
    assert_int_equal(test_run(hand_on, NULL, &options), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_values),
        cmocka_unit_test(a_final_zero_is_no_digit),
        cmocka_unit_test(on_a_plain_thread),
        cmocka_unit_test(tasks_and_jobs_begin_with_a_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
