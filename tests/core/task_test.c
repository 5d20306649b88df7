/* SPDX-License-Identifier: MIT */
/* Tasks: where they run, what they are called, how a cancel reaches them. */
#include "core/task.h"

#include "core/sched.h"
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

/* --- Places and names. ------------------------------------------------------------------------ */

static int tell_loop(void *arg)
{
    (void)arg;
    return weir_loop_index();
}

/* Runs fn(arg) as a child of the calling task's scope, and returns its result. */
static int spawn_and_join(weir_task_fn *fn, void *arg, struct weir_spawn_options options)
{
    struct weir_task *task;
    int result = 0;

    options.task = &task;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), fn, arg, &options), 0);
    CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
    return result;
}

static int spawn_everywhere(void *arg)
{
    int loops_seen[2] = { 0 };
    struct weir_spawn_options elsewhere = { .place = WEIR_PLACE_LOOP, .loop_index = 2 };

    (void)arg;
    CHECK_EQUAL(weir_loop_index(), 0);
    CHECK_EQUAL(spawn_and_join(tell_loop, NULL, (struct weir_spawn_options){ .name = "here" }), 0);
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQUAL(spawn_and_join(
                        tell_loop, NULL,
                        (struct weir_spawn_options){ .place = WEIR_PLACE_LOOP, .loop_index = i }),
                    i);
    for (int i = 0; i < 100; i++)
        loops_seen[spawn_and_join(tell_loop, NULL,
                                  (struct weir_spawn_options){ .place = WEIR_PLACE_ANYWHERE })]++;
    CHECK(loops_seen[1] > 0); /* loop 0 has the root task, loop 1 has none */
    CHECK_EQUAL(weir_spawn(weir_task_scope(), tell_loop, NULL, &elsewhere), -EINVAL);
    return 0;
}

static void test_a_task_lives_where_it_was_placed(void **state)
{
    (void)state;
    assert_int_equal(test_run(spawn_everywhere, NULL, &two_loops), 0);
    assert_int_equal(weir_loop_index(), -ENXIO);
}

static int has_name(void *arg)
{
    CHECK(strcmp(weir_task_name(NULL), arg) == 0);
    CHECK(strcmp(weir_task_name(weir_task_self()), arg) == 0);
    return 0;
}

static int name_tasks(void *arg)
{
    char longest[WEIR_NAME_BYTES + 1];

    (void)arg;
    memset(longest, 'n', sizeof longest);
    longest[WEIR_NAME_BYTES - 1] = 0;
    spawn_and_join(has_name, (void *)(uintptr_t) "task",
                   (struct weir_spawn_options){ .name = NULL });
    spawn_and_join(has_name, longest, (struct weir_spawn_options){ .name = longest });
    longest[WEIR_NAME_BYTES - 1] = 'n';
    longest[WEIR_NAME_BYTES] = 0;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), has_name, NULL,
                           &(struct weir_spawn_options){ .name = longest }),
                -E2BIG);
    return has_name((void *)(uintptr_t) "root");
}

static void test_tasks_have_names(void **state)
{
    (void)state;
    assert_int_equal(test_run(name_tasks, NULL, NULL), 0);
    assert_string_equal(weir_task_name(NULL), "no task");
}

static int misuse(void *arg)
{
    struct weir_scope *scope = weir_task_scope();
    struct weir_spawn_options cases[] = {
        { .size = 3 },     { .place = WEIR_PLACE_LOOP + 1 }, { .stack_bytes = SIZE_MAX },
        { .wait_ns = -1 }, { .reserved = { [2] = 1 } },
    };

    (void)arg;
    CHECK_EQUAL(weir_spawn(NULL, tell_loop, NULL, NULL), -EINVAL);
    CHECK_EQUAL(weir_spawn(scope, NULL, NULL, NULL), -EINVAL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_EQUAL(weir_spawn(scope, tell_loop, NULL, &cases[i]), -EINVAL);
    CHECK_EQUAL(weir_task_cancel(NULL), -EINVAL);
    weir_task_release(NULL);
    return 0;
}

static void test_bad_options_are_refused(void **state)
{
    (void)state;
    assert_int_equal(test_run(misuse, NULL, NULL), 0);
}

/* --- Stacks. ---------------------------------------------------------------------------------- */

static __attribute__((noinline)) int use_stack(void *arg)
{
    volatile char room[200 * 1024];

    (void)arg;
    for (size_t i = 0; i < sizeof room; i += 1024)
        room[i] = 1;
    return room[1024];
}

static int take_stacks(void *arg)
{
    (void)arg;
    for (size_t bytes = 1; bytes <= 4 << 20; bytes *= 4)
        CHECK_EQUAL(
            spawn_and_join(tell_loop, NULL, (struct weir_spawn_options){ .stack_bytes = bytes }),
            0);
    CHECK_EQUAL(
        spawn_and_join(use_stack, NULL, (struct weir_spawn_options){ .stack_bytes = 512 * 1024 }),
        1);
    return 0;
}

static void test_a_task_has_the_stack_it_asked_for(void **state)
{
    (void)state;
    assert_int_equal(test_run(take_stacks, NULL, NULL), 0);
}

/* --- Cancel. ---------------------------------------------------------------------------------- */

static struct {
    _Atomic long stage; /* how far the victim has come */
    struct weir_chan *chan;
    int seen; /* what the interrupted call returned */
    int after;
    bool told;
} victim;

static int park_in_sleep(void *arg)
{
    (void)arg;
    victim.stage = 1;
    victim.seen = weir_sleep(WEIR_FOREVER);
    victim.after = weir_yield();
    victim.told = weir_cancelled();
    return victim.seen;
}

static int park_in_recv(void *arg)
{
    (void)arg;
    victim.stage = 1;
    victim.seen = weir_chan_recv(victim.chan, NULL, WEIR_FOREVER);
    victim.after = weir_chan_send(victim.chan, NULL, WEIR_NOW);
    victim.told = weir_cancelled();
    return victim.seen;
}

/* Never parks before it is cancelled: it is ready, or has not even begun. */
static int stay_ready(void *arg)
{
    (void)arg;
    victim.stage = 1;
    while ((victim.seen = weir_yield()) >= 0)
        ;
    victim.after = weir_sleep(WEIR_FOREVER);
    victim.told = weir_cancelled();
    return victim.seen;
}

/* The cancel comes while parked under a shield: it waits for the last leave. */
static int park_shielded(void *arg)
{
    int received;

    (void)arg;
    weir_shield_enter();
    weir_shield_enter();
    victim.stage = 1;
    received = weir_chan_recv(victim.chan, NULL, WEIR_FOREVER);
    CHECK_EQUAL(received, 0);
    while (!weir_cancelled()) /* it is on its way */
        CHECK_EQUAL(weir_yield(), 0);
    weir_shield_leave();
    CHECK_EQUAL(weir_yield(), 0);
    weir_shield_leave();
    victim.seen = weir_sleep(WEIR_FOREVER);
    victim.after = weir_yield();
    victim.told = weir_cancelled();
    return victim.seen;
}

struct cancel_case {
    weir_task_fn *fn;
    bool at_once;  /* before the victim had a chance to run */
    bool shielded; /* it needs a message to come out of its shield */
};

static int cancel_one(void *arg)
{
    const struct cancel_case *one = arg;
    struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP };

    victim.chan = NULL;
    CHECK_EQUAL(weir_chan_create(&victim.chan, 0, 0, NULL), 0);
    for (unsigned loop = 0; loop < 2; loop++) {
        struct weir_task *task;
        int result = 0;

        victim.stage = victim.seen = victim.after = 0;
        victim.told = false;
        options.loop_index = loop;
        options.task = &task;
        CHECK_EQUAL(weir_spawn(weir_task_scope(), one->fn, NULL, &options), 0);
        if (!one->at_once)
            test_await(&victim.stage, 1);
        CHECK_EQUAL(weir_task_cancel(task), 0);
        CHECK_EQUAL(weir_task_cancel(task), WEIR_ALREADY);
        if (one->shielded)
            CHECK_EQUAL(weir_chan_send(victim.chan, NULL, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
        CHECK_EQUAL(result, -ECANCELED);
        CHECK_EQUAL(victim.seen, -ECANCELED);
        CHECK_EQUAL(victim.after, -ECANCELED);
        CHECK(victim.told);
    }
    return weir_chan_release(victim.chan);
}

static void test_a_cancel_reaches_a_task_in_any_state(void **state)
{
    struct cancel_case cases[] = {
        { .fn = park_in_sleep },
        { .fn = park_in_sleep, .at_once = true },
        { .fn = park_in_recv },
        { .fn = park_in_recv, .at_once = true },
        { .fn = stay_ready },
        { .fn = stay_ready, .at_once = true },
        { .fn = park_shielded, .shielded = true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(test_run(cancel_one, &cases[i], &two_loops), 0);
}

static int end_early(void *arg)
{
    (void)arg;
    return 5;
}

static int cancel_too_late(void *arg)
{
    struct weir_task *task;
    int result = 0;

    (void)arg;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), end_early, NULL,
                           &(struct weir_spawn_options){ .task = &task }),
                0);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_task_cancel(task), WEIR_ALREADY);
    CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
    CHECK_EQUAL(result, 5);
    return 0;
}

static void test_a_cancel_after_the_end_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_too_late, NULL, NULL), 0);
}

/* --- Release calls are done, cancelled or not. ------------------------------------------------ */

static _Atomic long dropped_count;
static _Atomic long child_stage;

static void drop(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)elem, (void)context, (void)reason;
    dropped_count++;
}

static int end_when_told(void *arg)
{
    (void)arg;
    weir_shield_enter();
    while (child_stage == 0)
        CHECK_EQUAL(weir_yield(), 0);
    weir_shield_leave();
    child_stage = 2;
    return 0;
}

static int release_cancelled(void *arg)
{
    struct weir_chan_options options = { .drop = drop };
    struct weir_scope *scope;
    struct weir_chan *chan;
    int elem = 1;

    (void)arg;
    dropped_count = child_stage = 0;
    CHECK_EQUAL(weir_chan_create(&chan, sizeof elem, 1, &options), 0);
    CHECK_EQUAL(weir_chan_send(chan, &elem, WEIR_NOW), 0);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, end_when_told, NULL, NULL), 0);
    CHECK_EQUAL(weir_yield(), 0);
    victim.stage = 1;
    CHECK_EQUAL(weir_sleep(WEIR_FOREVER), -ECANCELED);
    CHECK_EQUAL(weir_chan_release(chan), 0); /* its drop callback is waited for */
    CHECK_EQUAL(dropped_count, 1);
    child_stage = 1;
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), -ECANCELED); /* and so is the child */
    CHECK_EQUAL(child_stage, 2);
    return 0;
}

static int cancel_the_releaser(void *arg)
{
    struct weir_task *task;

    (void)arg;
    victim.stage = 0;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), release_cancelled, NULL,
                           &(struct weir_spawn_options){ .task = &task }),
                0);
    test_await(&victim.stage, 1);
    CHECK_EQUAL(weir_task_cancel(task), 0);
    return weir_join(task, NULL, WEIR_FOREVER);
}

static void test_release_calls_ignore_a_cancel(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_the_releaser, NULL, NULL), 0);
}

/* --- Handles on plain threads. ---------------------------------------------------------------- */

static struct weir_scope *_Atomic shared_scope;

static void *use_from_thread(void *arg)
{
    struct weir_task *task;
    int result = 0;

    (void)arg;
    victim.stage = 0;
    CHECK(weir_task_self() == NULL);
    CHECK(weir_task_scope() == NULL);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK(!weir_cancelled());
    for (int place = WEIR_PLACE_HERE; place <= WEIR_PLACE_LOOP; place++) {
        struct weir_spawn_options options = { .task = &task, .place = (enum weir_place)place };

        CHECK_EQUAL(weir_spawn(shared_scope, end_early, NULL, &options), 0);
        CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
        CHECK_EQUAL(result, 5);
        CHECK_EQUAL(weir_spawn(shared_scope, park_in_sleep, NULL, &options), 0);
        CHECK_EQUAL(weir_join(task, &result, WEIR_NOW), -EAGAIN);
        CHECK_EQUAL(weir_join(task, &result, weir_in_us(10)), -ETIME);
        CHECK_EQUAL(weir_task_cancel(task), 0);
        CHECK_EQUAL(weir_join(task, &result, WEIR_FOREVER), 0);
        CHECK_EQUAL(result, -ECANCELED);
        CHECK_EQUAL(weir_spawn(shared_scope, end_early, NULL, &options), 0);
        weir_task_release(task);
    }
    child_stage = 1;
    return NULL;
}

static int serve_thread(void *arg)
{
    pthread_t *thread = arg;

    shared_scope = weir_task_scope();
    child_stage = 0;
    CHECK_EQUAL(pthread_create(thread, NULL, use_from_thread, NULL), 0);
    test_await(&child_stage, 1);
    return 0;
}

static void test_handles_work_on_plain_threads(void **state)
{
    pthread_t thread;

    (void)state;
    assert_int_equal(test_run(serve_thread, &thread, &two_loops), 0);
    pthread_join(thread, NULL);
    test_carry_out();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_task_lives_where_it_was_placed),
        cmocka_unit_test(test_tasks_have_names),
        cmocka_unit_test(test_bad_options_are_refused),
        cmocka_unit_test(test_a_task_has_the_stack_it_asked_for),
        cmocka_unit_test(test_a_cancel_reaches_a_task_in_any_state),
        cmocka_unit_test(test_a_cancel_after_the_end_changes_nothing),
        cmocka_unit_test(test_release_calls_ignore_a_cancel),
        cmocka_unit_test(test_handles_work_on_plain_threads),
    };

    return cmocka_run_group_tests_name("core/task", tests, NULL, NULL);
}
