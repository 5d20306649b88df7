/* SPDX-License-Identifier: MIT */
/* The callback task: one after the other, on the right loop, and waited for. */
#include "core/callback.h"

#include "core/park.h"
#include "core/task.h"
#include "support/support.h"

#include <weir/chan.h>
#include <weir/runtime.h>
#include <weir/scope.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct weir_options two_loops = { .loop_count = 2 };

static _Atomic long call_count;
static bool inside;
static struct weir_chan *chan;

static void note_call(void *arg)
{
    CHECK(strcmp(weir_task_name(NULL), "callbacks") == 0);
    CHECK_EQUAL(weir_loop_index(), *(int *)arg);
    call_count++;
}

static int call_from_task(void *arg)
{
    int index = weir_loop_index();

    (void)arg;
    for (long i = 0; i < 100; i++) {
        long before = call_count;

        weir__callback_call(note_call, &index);
        CHECK(call_count > before); /* it has returned */
    }
    return 0;
}

static int call_from_both_loops(void *arg)
{
    struct weir_spawn_options there = { .place = WEIR_PLACE_LOOP, .loop_index = 1 };
    struct weir_scope *scope;

    (void)arg;
    call_count = 0;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQUAL(weir_spawn(scope, call_from_task, NULL, NULL), 0);
        CHECK_EQUAL(weir_spawn(scope, call_from_task, NULL, &there), 0);
    }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(call_count, 2000);
    return 0;
}

static void test_a_call_runs_in_the_callback_task_of_its_loop(void **state)
{
    (void)state;
    assert_int_equal(test_run(call_from_both_loops, NULL, &two_loops), 0);
}

/* Parks inside of a callback, and calls another one from there. */
static void call_deeply(void *arg)
{
    int index = weir_loop_index();

    (void)arg;
    CHECK(!inside); /* one after the other */
    inside = true;
    weir__callback_call(note_call, &index); /* in place */
    CHECK_EQUAL(weir_chan_send(chan, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_sleep(weir_in_us(20)), 0);
    inside = false;
}

static int call_parking(void *arg)
{
    (void)arg;
    weir__callback_call(call_deeply, NULL);
    return 0;
}

static int call_and_receive(void *arg)
{
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_chan_create(&chan, 0, 0, NULL), 0);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(weir_spawn(scope, call_parking, NULL, NULL), 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQUAL(weir_chan_recv(chan, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return weir_chan_release(chan);
}

static void test_a_callback_may_park(void **state)
{
    (void)state;
    assert_int_equal(test_run(call_and_receive, NULL, &two_loops), 0);
}

/* A cancel does not reach the caller before its callback has returned: its frame is in use. */
static int call_cancelled(void *arg)
{
    int index = weir_loop_index();

    (void)arg;
    CHECK_EQUAL(weir_sleep(WEIR_FOREVER), -ECANCELED);
    weir__callback_call(note_call, &index);
    return 0;
}

static int cancel_the_caller(void *arg)
{
    struct weir_task *task;
    struct weir_spawn_options options = { .task = &task };

    (void)arg;
    call_count = 0;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), call_cancelled, NULL, &options), 0);
    CHECK_EQUAL(weir_task_cancel(task), 0);
    CHECK_EQUAL(weir_join(task, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(call_count, 1);
    return 0;
}

static void test_a_call_is_a_release_call(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_the_caller, NULL, &two_loops), 0);
}

static void note_thread(void *arg)
{
    assert_true(pthread_equal(*(pthread_t *)arg, pthread_self()));
    call_count++;
}

static void test_a_plain_thread_runs_it_in_place(void **state)
{
    pthread_t self = pthread_self();

    (void)state;
    call_count = 0;
    weir__callback_call(note_thread, &self);
    assert_int_equal(call_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call_runs_in_the_callback_task_of_its_loop),
        cmocka_unit_test(test_a_callback_may_park),
        cmocka_unit_test(test_a_call_is_a_release_call),
        cmocka_unit_test(test_a_plain_thread_runs_it_in_place),
    };

    return cmocka_run_group_tests_name("core/callback", tests, NULL, NULL);
}
