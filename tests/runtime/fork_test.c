/* SPDX-License-Identifier: MIT */
/* A fork inside of a task: the child may only exec, the parent goes on as if nothing was. */
#include "support/support.h"

#include <weir/async.h>
#include <weir/chan.h>
#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/select.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { EXECED = 7 };

static struct weir_chan *chan;
static struct weir_task *sleeper;
static struct weir_scope *scope;

static int sleep_forever(void *arg)
{
    (void)arg;
    return weir_sleep(WEIR_FOREVER);
}

static int never(void *arg)
{
    (void)arg;
    _exit(99);
}

static int complete_never(struct weir_async *async, int result)
{
    (void)async;
    _exit(result);
}

static void visit_none(struct weir_chan *visited, const struct weir_chan_stats *stats,
                       void *context)
{
    (void)visited;
    (void)stats;
    (void)context;
    _exit(97);
}

/* In the child: the number of the first call that did not refuse, or 0. */
static int call_all(void)
{
    struct weir_clause clause = weir_clause_timer(WEIR_FOREVER);
    struct weir_async async = { .done = complete_never };
    struct weir_scope *made;
    struct weir_report report;
    int elem = 0;
    int results[] = {
        weir_run(never, NULL, NULL),
        weir_run_on_this_thread(never, NULL, NULL),
        weir_spawn(scope, never, NULL, NULL),
        weir_join(sleeper, NULL, WEIR_FOREVER),
        weir_task_cancel(sleeper),
        weir_yield(),
        weir_sleep(WEIR_FOREVER),
        weir_scope_create(&made, WEIR_SCOPE_COLLECT, NULL),
        weir_scope_cancel(scope),
        weir_scope_join(scope, WEIR_FOREVER),
        weir_chan_send(chan, &elem, WEIR_FOREVER),
        weir_chan_recv(chan, &elem, WEIR_FOREVER),
        weir_chan_close(chan, 0),
        weir_chan_abort(chan, 0),
        weir_chan_open_sender(chan),
        weir_chan_open_receiver(chan),
        weir_chan_close_sender(chan),
        weir_chan_close_receiver(chan),
        weir_chan_send_async(chan, &elem, &async, WEIR_FOREVER),
        weir_chan_recv_async(chan, &elem, &async, WEIR_FOREVER),
        weir_async_cancel(&async),
        weir_chan_walk(visit_none, NULL),
        weir_select(&clause, 1, 0, weir_in_ms(1)),
        weir_runtime_report(&report),
    };

    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        if (results[i] != -EOWNERDEAD)
            return (int)i + 1;
    return weir_task_self() == NULL ? 0 : 98;
}

static int await_child(pid_t child)
{
    int status = 0;

    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int fork_twice(void *arg)
{
    struct weir_spawn_options options = {
        .task = &sleeper,
        .place = WEIR_PLACE_LOOP,
        .loop_index = 1,
    };
    pid_t child;

    (void)arg;
    CHECK_EQUAL(weir_chan_create(&chan, sizeof(int), 0, NULL), 0);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, sleep_forever, NULL, &options), 0);
    child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        alarm(20);
        _exit(call_all());
    }
    CHECK_EQUAL(await_child(child), 0);
    child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
        _exit(1);
    }
    CHECK_EQUAL(await_child(child), EXECED);
    CHECK_EQUAL(weir_sleep(weir_in_us(100)), 0); /* our ring and our timers are as they were */
    CHECK_EQUAL(weir_task_cancel(sleeper), 0);
    CHECK_EQUAL(weir_join(sleeper, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return weir_chan_release(chan);
}

static void test_a_forked_child_may_only_exec(void **state)
{
    struct weir_options options = { .loop_count = 2 };

    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(test_run(fork_twice, NULL, &options), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_forked_child_may_only_exec),
    };

    return cmocka_run_group_tests_name("runtime/fork", tests, NULL, NULL);
}
