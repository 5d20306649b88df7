/* SPDX-License-Identifier: MIT */
/* detach: into a named scope with a bound; what the task keeps of its parent, and what not. */
#include "flow/call_fixture.h"

enum { LIMIT = 3 };

struct errand {
    struct weir_scope *scope;
    struct weir_chan *gate;
    struct weir_trace trace;
    int64_t deadline_ns; /* as the detached task saw it */
    atomic_long begun;
    int result;
};

static struct weir_scope *make_scope(const char *name, size_t limit)
{
    struct weir_scope_options options = { .name = name, .limit = limit };
    struct weir_scope *scope = NULL;

    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE, &options), 0);
    return scope;
}

static int run_errand(void *arg)
{
    struct errand *errand = arg;
    uint64_t value;

    CHECK_SAME(weir_trace_get(&errand->trace), 0);
    errand->deadline_ns = weir_deadline_ns();
    errand->begun++;
    errand->result = weir_chan_recv(errand->gate, &value, WEIR_FOREVER);
    return 0;
}

/* The handler of a call with a deadline detaches a task, and is cancelled. */
static int detach_and_wait(struct hop *hop)
{
    struct errand *errand = hop->line->context;

    CHECK(weir_deadline_ns() != WEIR_FOREVER);
    CHECK_SAME(weir_detach(errand->scope, run_errand, errand, NULL), 0);
    CHECK(weir_deadline_ns() != WEIR_FOREVER);
    return weir_sleep(WEIR_FOREVER);
}

CASE(detached_keeps_the_trace_but_not_deadline_and_cancel, ON_TASKS, 0)
{
    struct errand errand = { .scope = make_scope("errands", LIMIT), .gate = make_chan(0, NULL) };
    struct line line;
    struct source source;

    line_open(scene, &line, detach_and_wait, -1);
    line.context = &errand;
    begin_call(scene, &source, line.hops[0].port, weir_in_seconds(100));
    AWAIT(errand.begun == 1);
    CHECK_SAME(weir_task_cancel(source.actor.task), 0);
    CHECK_SAME(end_call(&source), -ECANCELED);
    await_receivers(errand.gate, 1); /* it lives on */
    CHECK_SAME(errand.deadline_ns, WEIR_FOREVER);
    CHECK(memcmp(&errand.trace, &source.trace, sizeof errand.trace) == 0);
    CHECK_SAME(try_send(errand.gate, 1), 0);
    CHECK_SAME(weir_scope_join(errand.scope, end_of_patience()), 0);
    CHECK_SAME(errand.result, 0);
    line_close(&line);
    weir_chan_release(errand.gate);
}

static int detach_to_the_limit(void *arg)
{
    struct errand *errand = arg;

    CHECK_SAME(weir_trace_begin(0), 0);
    for (int i = 0; i < LIMIT; i++)
        CHECK_SAME(weir_detach(errand->scope, run_errand, errand, NULL), 0);
    CHECK_SAME(weir_detach(errand->scope, run_errand, errand, NULL), -EAGAIN);
    CHECK_SAME(weir_spawn(errand->scope, run_errand, errand, NULL), -EAGAIN);
    await_receivers(errand->gate, LIMIT);
    CHECK_SAME(try_send(errand->gate, 1), 0);
    AWAIT(weir_scope_count(errand->scope) == LIMIT - 1);
    CHECK_SAME(weir_detach(errand->scope, run_errand, errand, NULL), 0);
    CHECK_SAME(weir_scope_count(errand->scope), LIMIT);
    CHECK_SAME(weir_trace_set(NULL), 0);
    return 0;
}

CASE(detach_is_bounded, EVERYWHERE, 0)
{
    struct errand errand = { .scope = make_scope("errands", LIMIT), .gate = make_chan(0, NULL) };
    struct actor actor;

    actor_start(scene, &actor, detach_to_the_limit, &errand);
    actor_join(&actor);
    CHECK_SAME(weir_chan_close(errand.gate, 0), 0);
    CHECK_SAME(weir_scope_join(errand.scope, end_of_patience()), 0);
    CHECK_SAME(errand.begun, LIMIT + 1);
    weir_chan_release(errand.gate);
}

static int see_deadline(void *arg)
{
    struct errand *errand = arg;

    errand->deadline_ns = weir_deadline_ns();
    return 0;
}

/* Not the caller's deadline, but that of the scope. */
CASE(detached_lives_under_the_scope_it_goes_into, ALONE, 0)
{
    struct errand errand = { .scope = make_scope("errands", LIMIT) };
    int64_t deadline_ns = weir_in_seconds(1000);

    (void)scene;
    CHECK_SAME(weir_scope_set_deadline(errand.scope, deadline_ns), 0);
    CHECK_SAME(weir_detach(errand.scope, see_deadline, &errand, NULL), 0);
    CHECK_SAME(weir_scope_join(errand.scope, WEIR_FOREVER), 0);
    CHECK_SAME(errand.deadline_ns, deadline_ns);
}

CASE(detach_wants_a_name_and_a_bound, ALONE, 0)
{
    struct weir_scope *nameless = make_scope(NULL, LIMIT), *boundless = make_scope("errands", 0);
    struct weir_scope_options later = { .reserved = { 1 } };
    struct weir_scope *scope;

    (void)scene;
    CHECK_SAME(weir_detach(NULL, run_errand, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_detach(nameless, run_errand, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_detach(boundless, run_errand, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, &later), -EINVAL);
    CHECK_SAME(weir_scope_join(nameless, WEIR_FOREVER), 0);
    CHECK_SAME(weir_scope_join(boundless, WEIR_FOREVER), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detached_keeps_the_trace_but_not_deadline_and_cancel),
        cmocka_unit_test(detach_is_bounded),
        cmocka_unit_test(detached_lives_under_the_scope_it_goes_into),
        cmocka_unit_test(detach_wants_a_name_and_a_bound),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
