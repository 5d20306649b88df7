/* SPDX-License-Identifier: MIT */
/* Task-local values: who begins with whose, who sees what is set, and when values go. */
#include "support/support.h"

#include <weir/call.h>
#include <weir/chan.h>
#include <weir/local.h>
#include <weir/pool.h>
#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/task.h>
#include <weir/trace.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct weir_options two_loops = { .loop_count = 2 };
static int user, tag; /* keys; the second one has no destroy */
static _Atomic long destroyed_count, step;

/* A value that counts its end. */
static void count_end(void *value)
{
    CHECK(*(char *)value);
    destroyed_count++;
}

static int make_keys(void **state)
{
    (void)state;
    user = weir_local_create("user", count_end);
    tag = weir_local_create("tag", NULL);
    return user >= 0 && tag >= 0 ? 0 : -1;
}

static int setup(void **state)
{
    (void)state;
    destroyed_count = step = 0;
    return 0;
}

static bool user_is(const char *name)
{
    const char *is = weir_local_get(user);

    return name ? is && strcmp(is, name) == 0 : !is;
}

static struct weir_scope *create(void)
{
    struct weir_scope_options options = { .name = "locals", .limit = 100 };
    struct weir_scope *scope = NULL;

    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, &options), 0);
    return scope;
}

static void spawn(struct weir_scope *scope, weir_task_fn *fn, void *arg, unsigned loop_index)
{
    struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP, .loop_index = loop_index };

    CHECK_EQUAL(weir_spawn(scope, fn, arg, &options), 0);
}

/* --- Inherited. ------------------------------------------------------------------------------- */

/* In whoever inherits: it has the value and the trace, and then its own. */
static int look_and_change(void *arg)
{
    struct weir_trace trace;

    CHECK(user_is("ann"));
    CHECK(weir_local_get(tag) == arg);
    CHECK_EQUAL(weir_trace_get(&trace), 0);
    CHECK_EQUAL(trace.trace_id[0], 1);
    CHECK_EQUAL(weir_local_set(user, "bob"), 0);
    CHECK_EQUAL(weir_local_set(tag, NULL), 0);
    CHECK_EQUAL(weir_trace_begin(0), 0);
    CHECK(user_is("bob"));
    CHECK(weir_local_get(tag) == NULL);
    return 0;
}

static int handle_call(const void *request, void *response, void *context)
{
    (void)response;
    (void)context;
    return look_and_change((void *)request);
}

static void check_unchanged(void *arg)
{
    struct weir_trace trace;

    CHECK(user_is("ann"));
    CHECK(weir_local_get(tag) == arg);
    CHECK_EQUAL(weir_trace_get(&trace), 0);
    CHECK_EQUAL(trace.trace_id[0], 1);
}

static int hand_on(void *arg)
{
    const struct weir_trace trace = { .trace_id = { 1 }, .span_id = { 2 } };
    struct weir_scope *servers = create(), *scope;
    struct weir_chan *port;

    CHECK_EQUAL(weir_port_create(&port, NULL, 0, 0), 0);
    CHECK_EQUAL(weir_serve(servers, port, handle_call, NULL, NULL), 0);
    CHECK(user_is(NULL));
    CHECK_EQUAL(weir_trace_set(&trace), 0);
    CHECK_EQUAL(weir_local_set(user, "ann"), 0);
    CHECK_EQUAL(weir_local_set(tag, arg), 0);
    scope = create();
    for (unsigned loop = 0; loop < 2; loop++)
        for (int sibling = 0; sibling < 2; sibling++)
            spawn(scope, look_and_change, arg, loop);
    CHECK_EQUAL(weir_detach(scope, look_and_change, arg, NULL), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    check_unchanged(arg);
    for (int job = 0; job < 2; job++)
        CHECK_EQUAL(weir_pool_run(look_and_change, arg, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_cpu_run(look_and_change, arg, WEIR_FOREVER), 0);
    check_unchanged(arg);
    for (int call = 0; call < 2; call++)
        CHECK_EQUAL(weir_call(port, arg, NULL, NULL, WEIR_FOREVER), 0);
    check_unchanged(arg);
    CHECK_EQUAL(weir_chan_close(port, 0), 0);
    CHECK_EQUAL(weir_scope_join(servers, WEIR_FOREVER), 0);
    weir_chan_release(port);
    test_await(&destroyed_count, 10); /* each "bob" is gone */
    CHECK_EQUAL(destroyed_count, 10);
    return 0;
}

static void test_tasks_jobs_and_calls_inherit(void **state)
{
    int place;

    (void)state;
    assert_int_equal(test_run(hand_on, &place, &two_loops), 0);
    assert_int_equal(destroyed_count, 11); /* "ann" went with the root task */
}

static int see_nothing(void *arg)
{
    (void)arg;
    CHECK(user_is(NULL));
    return 0;
}

static int leave_nothing(void *arg)
{
    struct weir_options *options = arg;

    (void)options;
    CHECK_EQUAL(weir_local_set(user, "ann"), 0);
    CHECK_EQUAL(weir_pool_run(look_and_change, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_local_set(user, NULL), 0);
    CHECK(user_is(NULL));
    CHECK_EQUAL(weir_pool_run(see_nothing, NULL, WEIR_FOREVER), 0); /* on the same thread */
    return 0;
}

static int begin_trace(void *arg)
{
    const struct weir_trace trace = { .trace_id = { 1 }, .span_id = { 2 } };

    CHECK_EQUAL(weir_trace_set(&trace), 0);
    return leave_nothing(arg);
}

static void test_nothing_stays_on_a_pool_thread(void **state)
{
    struct weir_options options = { .loop_count = 1, .pool_threads_max = 1 };

    (void)state;
    assert_int_equal(test_run(begin_trace, &options, &options), 0);
    assert_int_equal(destroyed_count, 2);
}

static int outlive_the_task(void *arg)
{
    (void)arg;
    step = 1;
    test_await(&step, 2);
    CHECK(user_is("ann"));
    CHECK_EQUAL(destroyed_count, 0);
    step = 3;
    return 0;
}

static int abandon(void *arg)
{
    struct weir_job_options options = { .abandonable = true };
    bool abandoned = false;

    (void)arg;
    options.abandoned = &abandoned;
    CHECK_EQUAL(weir_local_set(user, "ann"), 0);
    CHECK_EQUAL(weir_pool_run_on(NULL, outlive_the_task, NULL, &options, WEIR_FOREVER), -ECANCELED);
    CHECK(abandoned);
    return 0;
}

static int leave_behind(void *arg)
{
    struct weir_scope *scope = create();

    (void)arg;
    spawn(scope, abandon, NULL, 0);
    test_await(&step, 1);
    CHECK_EQUAL(weir_scope_cancel(scope), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    step = 2;
    test_await(&destroyed_count, 1);
    CHECK_EQUAL(step, 3);
    return 0;
}

static void test_a_job_that_is_left_behind_keeps_its_values(void **state)
{
    (void)state;
    assert_int_equal(test_run(leave_behind, NULL, &two_loops), 0);
}

/* --- Set. ------------------------------------------------------------------------------------- */

static int see_the_old(void *arg)
{
    (void)arg;
    test_await(&step, 1);
    CHECK(user_is("ann"));
    step = 2;
    return 0;
}

static int set_again(void *arg)
{
    struct weir_scope *scope = create();

    (void)arg;
    CHECK_EQUAL(weir_local_set(user, "ann"), 0);
    spawn(scope, see_the_old, NULL, 1);
    CHECK_EQUAL(weir_local_set(user, "eve"), 0);
    CHECK(user_is("eve"));
    step = 1;
    test_await(&step, 2);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    test_await(&destroyed_count, 1);
    CHECK_EQUAL(weir_local_set(user, "zoe"), 0); /* in place: the table is ours alone */
    test_await(&destroyed_count, 2);
    CHECK(user_is("zoe"));
    CHECK_EQUAL(weir_local_set(user, NULL), 0);
    CHECK_EQUAL(weir_local_set(user, NULL), 0);
    test_await(&destroyed_count, 3);
    CHECK_EQUAL(weir_local_set(-1, "x"), -EINVAL);
    CHECK_EQUAL(weir_local_set(WEIR_LOCALS_MAX, "x"), -EINVAL);
    CHECK(weir_local_get(-1) == NULL);
    CHECK(weir_local_get(WEIR_LOCALS_MAX) == NULL);
    return 0;
}

static void test_what_is_set_later_is_seen_later(void **state)
{
    (void)state;
    assert_int_equal(test_run(set_again, NULL, &two_loops), 0);
    assert_int_equal(destroyed_count, 3);
}

/* Spawns that fail, here and on the other loop, give their references back. */
static int refuse_spawns(void *arg)
{
    struct weir_scope *scope = create();
    struct weir_spawn_options huge = { .place = WEIR_PLACE_LOOP, .loop_index = 1 };

    (void)arg;
    CHECK_EQUAL(weir_local_set(user, "ann"), 0);
    CHECK_EQUAL(weir_scope_cancel(scope), 0);
    for (unsigned loop = 0; loop < 2; loop++) {
        huge.loop_index = loop;
        CHECK_EQUAL(weir_spawn(scope, see_nothing, NULL, &huge), -ECANCELED);
    }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return 0;
}

static void test_a_refused_spawn_keeps_no_values(void **state)
{
    (void)state;
    assert_int_equal(test_run(refuse_spawns, NULL, &two_loops), 0);
    assert_int_equal(destroyed_count, 1);
}

static void *live_on_a_thread(void *arg)
{
    (void)arg;
    CHECK(user_is(NULL));
    CHECK_EQUAL(weir_local_set(user, "ann"), 0);
    CHECK(user_is("ann"));
    return NULL;
}

static void test_a_plain_thread_has_values_until_it_ends(void **state)
{
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, live_on_a_thread, NULL), 0);
    pthread_join(thread, NULL);
    test_carry_out();
    assert_int_equal(destroyed_count, 1);
    assert_true(user_is(NULL));
}

/* --- Many. ------------------------------------------------------------------------------------ */

static int grow(void *arg)
{
    long depth = (long)(intptr_t)arg;
    struct weir_scope *scope = create();

    CHECK(weir_local_get(user) != NULL);
    if (depth % 2)
        CHECK_EQUAL(weir_local_set(user, "leaf"), 0);
    for (unsigned i = 0; i < 2 && depth > 0; i++)
        spawn(scope, grow, (void *)(intptr_t)(depth - 1), i);
    return weir_scope_join(scope, WEIR_FOREVER);
}

static int grow_trees(void *arg)
{
    long count = *(long *)arg;

    for (long i = 0; i < count; i++) {
        CHECK_EQUAL(weir_local_set(user, "root"), 0);
        CHECK_EQUAL(grow((void *)6), 0);
    }
    return 0;
}

static void test_every_value_goes_once(void **state)
{
    long count = test_rounds(100, 1000, 10000);

    (void)state;
    assert_int_equal(test_run(grow_trees, &count, &two_loops), 0);
    assert_int_equal(destroyed_count, count * (1 + 2 + 8 + 32)); /* depths 5, 3 and 1 */
}

/* Last: no key is left afterwards. */
static void test_keys_are_bounded(void **state)
{
    int key = 0, count = 2;

    (void)state;
    assert_int_equal(weir_local_create(NULL, NULL), -EINVAL);
    assert_string_equal(weir_local_name(user), "user");
    assert_null(weir_local_name(count));
    while ((key = weir_local_create("more", NULL)) >= 0)
        assert_int_equal(key, count++);
    assert_int_equal(key, -ENOBUFS);
    assert_int_equal(count, WEIR_LOCALS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_tasks_jobs_and_calls_inherit, setup),
        cmocka_unit_test_setup(test_nothing_stays_on_a_pool_thread, setup),
        cmocka_unit_test_setup(test_a_job_that_is_left_behind_keeps_its_values, setup),
        cmocka_unit_test_setup(test_what_is_set_later_is_seen_later, setup),
        cmocka_unit_test_setup(test_a_refused_spawn_keeps_no_values, setup),
        cmocka_unit_test_setup(test_a_plain_thread_has_values_until_it_ends, setup),
        cmocka_unit_test_setup(test_every_value_goes_once, setup),
        cmocka_unit_test_setup(test_keys_are_bounded, setup),
    };

    return cmocka_run_group_tests(tests, make_keys, NULL);
}
