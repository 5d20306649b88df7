/* SPDX-License-Identifier: MIT */
/* Calls: over four hops, with each way to fail; by hand. Case 295. */
#include "flow/call_fixture.h"

/* --- Four hops --- */

CASE(case_295_call_returns_when_the_last_hop_has, EVERYWHERE, 0)
{
    struct line line;
    struct source source;

    line_open(scene, &line, look_and_wait_at_gate, -1);
    begin_call(scene, &source, line.hops[0].port, WEIR_FOREVER);
    await_receivers(line.gate, 1);
    for (int i = 0; i < HOPS; i++)
        CHECK_SAME(line.hops[i].entered - line.hops[i].left, 1);
    CHECK(!atomic_load(&source.actor.done));
    CHECK_SAME(line.deadline_ns, WEIR_FOREVER);
    CHECK(memcmp(&line.trace, &source.trace, sizeof line.trace) == 0);
    CHECK_SAME(try_send(line.gate, 7), 0);
    CHECK_SAME(end_call(&source), 7);
    CHECK_SAME(source.response, 100 + HOPS);
    for (int i = 0; i < HOPS; i++)
        CHECK_SAME(line.hops[i].left, 1);
    line_close(&line);
}

CASE(case_295_deepest_error_comes_back, EVERYWHERE, 0)
{
    struct line line;
    struct source source;

    line_open(scene, &line, break_down, -1);
    begin_call(scene, &source, line.hops[0].port, WEIR_FOREVER);
    CHECK_SAME(end_call(&source), -EDOM);
    check_failure(&source, HOPS, "port 4", "server 4");
    line_close(&line);
}

static int make_another_error(struct hop *hop)
{
    uint64_t number = 0;

    CHECK_SAME(weir_call(hop[1].port, &number, &number, NULL, WEIR_FOREVER), -EDOM);
    return -ERANGE;
}

CASE(error_that_a_hop_changes_begins_there, EVERYWHERE, 0)
{
    struct line line;
    struct source source;

    line_open(scene, &line, break_down, -1);
    line.hops[1].deed = make_another_error;
    begin_call(scene, &source, line.hops[0].port, WEIR_FOREVER);
    CHECK_SAME(end_call(&source), -ERANGE);
    check_failure(&source, 2, "port 2", "server 2");
    line_close(&line);
}

CASE(case_295_deadline_reaches_the_last_hop, EVERYWHERE, 0)
{
    struct line line;
    struct source source;
    int64_t deadline_ns = weir_in_ms(20);

    line_open(scene, &line, look_and_wait_at_gate, -1);
    begin_call(scene, &source, line.hops[0].port, deadline_ns);
    CHECK_SAME(end_call(&source), -ETIME);
    CHECK(weir_now_ns() >= deadline_ns);
    if (line.hops[HOPS - 1].entered)
        CHECK_SAME(line.deadline_ns, deadline_ns);
    line_close(&line);
}

CASE(case_295_cancel_of_the_source_reaches_the_last_hop, ON_TASKS, 0)
{
    struct line line;
    struct source source;

    line_open(scene, &line, wait_at_gate, -1);
    begin_call(scene, &source, line.hops[0].port, WEIR_FOREVER);
    await_receivers(line.gate, 1);
    CHECK_SAME(weir_task_cancel(source.actor.task), 0);
    CHECK_SAME(end_call(&source), -ECANCELED);
    for (int i = 0; i < HOPS; i++)
        CHECK_SAME(line.hops[i].left, 1);
    CHECK_SAME(look(line.gate).waiting_receivers, 0);
    line_close(&line);
}

static int finish_in_spite(struct hop *hop)
{
    int result;

    weir_shield_enter();
    result = wait_at_gate(hop);
    weir_shield_leave();
    return result;
}

CASE(handler_that_succeeds_after_all_is_a_success, ON_TASKS, 0)
{
    struct line line;
    struct source source;

    line_open(scene, &line, finish_in_spite, -1);
    begin_call(scene, &source, line.hops[0].port, WEIR_FOREVER);
    await_receivers(line.gate, 1);
    CHECK_SAME(weir_task_cancel(source.actor.task), 0);
    weir__sched_settle();
    CHECK(!atomic_load(&source.actor.done)); /* its memory is in use */
    CHECK_SAME(try_send(line.gate, 9), 0);
    CHECK_SAME(end_call(&source), 9);
    line_close(&line);
}

/* --- Hops that die --- */

CASE(case_295_hop_dies_while_handling, EVERYWHERE, 0)
{
    for (int index = 0; index < HOPS; index++) {
        struct line line;
        struct source source;
        char port[WEIR_NAME_BYTES], server[WEIR_NAME_BYTES];

        line_open(scene, &line, wait_at_gate, -1);
        begin_call(scene, &source, line.hops[0].port, WEIR_FOREVER);
        await_receivers(line.gate, 1);
        hop_die(&line.hops[index]);
        CHECK_SAME(end_call(&source), -EPIPE);
        snprintf(port, sizeof port, "port %d", index + 1);
        snprintf(server, sizeof server, "server %d", index + 1);
        check_failure(&source, (unsigned)index + 1, port, server);
        line_close(&line);
    }
}

CASE(case_295_hop_dies_with_the_call_in_its_queue, EVERYWHERE, 0)
{
    struct line line;
    struct source sources[3];

    line_open(scene, &line, wait_at_gate, -1);
    for (size_t i = 0; i < 3; i++)
        begin_call(scene, &sources[i], line.hops[HOPS - 1].port, WEIR_FOREVER);
    await_receivers(line.gate, 2); /* its parallelism */
    await_senders(line.hops[HOPS - 1].port, 1);
    hop_die(&line.hops[HOPS - 1]);
    for (size_t i = 0; i < 3; i++)
        CHECK_SAME(end_call(&sources[i]), -EPIPE);
    begin_call(scene, &sources[0], line.hops[0].port, WEIR_FOREVER);
    CHECK_SAME(end_call(&sources[0]), -EPIPE);
    check_failure(&sources[0], HOPS - 1, "port 4", "server 3");
    line_close(&line);
}

CASE(case_295_port_ends_with_the_call_in_its_queue, EVERYWHERE, 0)
{
    struct line line;
    struct source source;

    line_open(scene, &line, succeed, 2);
    begin_call(scene, &source, line.hops[0].port, WEIR_FOREVER);
    await_senders(line.hops[2].port, 1);
    CHECK_SAME(weir_chan_abort(line.hops[2].port, 0), 0);
    CHECK_SAME(end_call(&source), -EPIPE);
    check_failure(&source, 2, "port 3", "server 2");
    line_close(&line);
}

CASE(case_295_port_closes_while_handling, EVERYWHERE, 0)
{
    struct line line;
    struct source source, late;

    line_open(scene, &line, wait_at_gate, -1);
    begin_call(scene, &source, line.hops[0].port, WEIR_FOREVER);
    await_receivers(line.gate, 1);
    for (int i = 0; i < HOPS; i++)
        CHECK_SAME(weir_chan_close(line.hops[i].port, 0), 0);
    begin_call(scene, &late, line.hops[0].port, WEIR_FOREVER);
    CHECK_SAME(end_call(&late), -EPIPE);
    check_failure(&late, 0, "port 1", scene->setting == WITH_THREAD ? "no task" : "actor");
    CHECK_SAME(try_send(line.gate, 7), 0);
    CHECK_SAME(end_call(&source), 7); /* what is being handled is still replied to */
    line_close(&line);
}

/* --- Not taken: nothing happened --- */

CASE(call_that_no_server_takes_is_withdrawn, EVERYWHERE, 0)
{
    struct line line;
    struct source source;

    line_open(scene, &line, succeed, 0);
    begin_call(scene, &source, line.hops[0].port, WEIR_NOW);
    CHECK_SAME(end_call(&source), -EAGAIN);
    begin_call(scene, &source, line.hops[0].port, weir_in_us(500));
    CHECK_SAME(end_call(&source), -ETIME);
    check_failure(&source, 0, "port 1", scene->setting == WITH_THREAD ? "no task" : "actor");
    CHECK_SAME(look(line.hops[0].port).waiting_senders, 0);
    if (scene->setting != WITH_THREAD) {
        begin_call(scene, &source, line.hops[0].port, WEIR_FOREVER);
        await_senders(line.hops[0].port, 1);
        CHECK_SAME(weir_task_cancel(source.actor.task), 0);
        CHECK_SAME(end_call(&source), -ECANCELED);
        CHECK_SAME(source.failure.hops, 0);
    }
    hop_serve(scene, &line, 0);
    await_receivers(line.hops[0].port, 1);
    begin_call(scene, &source, line.hops[0].port, WEIR_NOW); /* a server is free */
    CHECK_SAME(end_call(&source), 7);
    CHECK_SAME(line.hops[0].entered, 1);
    line_close(&line);
}

static int deadlines_narrow(struct hop *hop)
{
    int64_t own_ns = weir_deadline_ns();
    uint64_t number = 0;

    CHECK_SAME(weir_call(hop[1].port, &number, &number, NULL, own_ns + 1000), 7);
    CHECK_SAME(hop->line->deadline_ns, own_ns);
    CHECK_SAME(weir_call(hop[1].port, &number, &number, NULL, own_ns - 1000), 7);
    CHECK_SAME(hop->line->deadline_ns, own_ns - 1000);
    return 0;
}

static int look_at_deadline(struct hop *hop)
{
    hop->line->deadline_ns = weir_deadline_ns();
    return 7;
}

CASE(earliest_deadline_on_the_way_holds, EVERYWHERE, 0)
{
    struct line line;
    struct source source;

    line_open(scene, &line, look_at_deadline, -1);
    line.hops[2].deed = deadlines_narrow;
    begin_call(scene, &source, line.hops[2].port, weir_in_seconds(100));
    CHECK_SAME(end_call(&source), 0);
    CHECK_SAME(weir_deadline_ns(), WEIR_FOREVER);
    line_close(&line);
}

CASE(calls_allocate_nothing, ALONE, 0)
{
    struct line line;
    uint64_t number = 0;
    unsigned long count = 0;

    line_open(scene, &line, succeed, -1);
    for (int i = 0; i < 100; i++) {
        if (i == 10) /* stacks and task structs are there */
            count = weir__memory_alloc_count();
        CHECK_SAME(weir_call(line.hops[0].port, &number, &number, NULL, weir_in_seconds(100)), 7);
    }
    CHECK_SAME(weir__memory_alloc_count(), count);
    line_close(&line);
}

/* --- By hand --- */

enum duty { REPLY, FORGET, FAIL, ADOPT_AND_FORGET, BE_CANCELLED };

struct clerk {
    struct actor actor;
    struct weir_chan *port;
    enum duty duty;
};

/* Receives one call. */
static int do_duty(void *arg)
{
    struct clerk *clerk = arg;
    struct weir_call *call;
    uint64_t nothing;

    CHECK_SAME(weir_call_recv(clerk->port, &call, WEIR_FOREVER), 0);
    CHECK_SAME(*(const uint64_t *)weir_call_request(call), 100);
    CHECK_SAME(weir_call_status(call), 0);
    switch (clerk->duty) {
    case REPLY:
        *(uint64_t *)weir_call_response(call) = 200;
        return weir_reply(call, 3);
    case ADOPT_AND_FORGET:
        CHECK_SAME(weir_call_adopt(call), 0);
        return 0;
    case FAIL:
        return -EIO;
    case BE_CANCELLED:
        return weir_chan_recv(clerk->port, &nothing, WEIR_FOREVER);
    default:
        return 0;
    }
}

static void start_clerk(struct scene *scene, struct clerk *clerk, struct weir_chan *port,
                        enum duty duty)
{
    struct weir_spawn_options options = { .name = "clerk", .task = &clerk->actor.task };

    clerk->port = port;
    clerk->duty = duty;
    CHECK_SAME(weir_spawn(scene->scope, do_duty, clerk, &options), 0);
}

CASE(case_295_receiver_that_ends_without_a_reply, EVERYWHERE, 0)
{
    for (enum duty duty = REPLY; duty <= BE_CANCELLED; duty++) {
        struct weir_chan *port = make_port();
        struct source source;
        struct clerk clerk;

        start_clerk(scene, &clerk, port, duty);
        begin_call(scene, &source, port, WEIR_FOREVER);
        if (duty == BE_CANCELLED) {
            AWAIT(look(port).received_total == 1 && look(port).waiting_receivers == 1);
            CHECK_SAME(weir_task_cancel(clerk.actor.task), 0);
        }
        CHECK_SAME(end_call(&source), duty == REPLY ? 3 : -EPIPE);
        if (duty == REPLY)
            CHECK_SAME(source.response, 200);
        else
            check_failure(&source, 1, "desk", "clerk");
        actor_join(&clerk.actor);
        CHECK_SAME(weir_chan_release(port), 0);
    }
}

static int reply_for_another(void *arg)
{
    return weir_reply(arg, 5);
}

struct deputy {
    struct actor actor;
    struct weir_call *call;
    atomic_bool adopted;
};

static int adopt_and_wait(void *arg)
{
    struct deputy *deputy = arg;
    struct weir_call *call = deputy->call;

    CHECK_SAME(weir_call_adopt(call), 0);
    deputy->adopted = true;
    CHECK_SAME(weir_sleep(WEIR_FOREVER), -ECANCELED);
    CHECK_SAME(weir_call_status(call), -ECANCELED);
    return weir_reply(call, -ECANCELED);
}

CASE(reply_may_come_from_anywhere, EVERYWHERE, 0)
{
    struct weir_chan *port = make_port();
    struct weir_call *call;
    struct source source;
    struct actor deputy;

    begin_call(scene, &source, port, WEIR_FOREVER);
    CHECK_SAME(weir_call_recv(port, &call, WEIR_FOREVER), 0);
    actor_start(scene, &deputy, reply_for_another, call);
    CHECK_SAME(end_call(&source), 5);
    actor_join(&deputy);
    CHECK_SAME(weir_chan_release(port), 0);
}

CASE(adopted_call_cancels_its_task, ON_TASKS, 0)
{
    struct weir_chan *port = make_port();
    struct deputy deputy = { .adopted = false };
    struct weir_clause clause = weir_clause_recv(port, &deputy.call);
    struct source source;

    begin_call(scene, &source, port, WEIR_FOREVER);
    CHECK_SAME(weir_select(&clause, 1, 0, WEIR_FOREVER), 0);
    actor_start(scene, &deputy.actor, adopt_and_wait, &deputy);
    AWAIT(deputy.adopted);
    CHECK_SAME(weir_task_cancel(source.actor.task), 0);
    CHECK_SAME(end_call(&source), -ECANCELED);
    CHECK_SAME(actor_join(&deputy.actor), 0);
    CHECK_SAME(weir_chan_release(port), 0);
}

CASE(call_given_up_before_it_is_adopted_says_so, ON_TASKS, 0)
{
    struct weir_chan *port = make_port();
    struct weir_call *call;
    struct source source;

    begin_call(scene, &source, port, WEIR_FOREVER);
    CHECK_SAME(weir_call_recv(port, &call, WEIR_FOREVER), 0);
    CHECK_SAME(weir_task_cancel(source.actor.task), 0);
    AWAIT(weir_call_status(call) == -ECANCELED);
    CHECK(!atomic_load(&source.actor.done));
    CHECK_SAME(weir_call_adopt(call), -ECANCELED);
    CHECK_SAME(weir_reply(call, 4), 0);
    CHECK_SAME(end_call(&source), 4);
    CHECK_SAME(weir_chan_release(port), 0);
}

CASE(call_received_into_nothing_is_refused, EVERYWHERE, 0)
{
    struct weir_chan *port = make_port();
    struct source source;

    begin_call(scene, &source, port, WEIR_FOREVER);
    CHECK_SAME(weir_chan_recv(port, NULL, WEIR_FOREVER), 0);
    CHECK_SAME(end_call(&source), -EPIPE);
    CHECK_SAME(weir_chan_release(port), 0);
}

/* --- Bad input --- */

CASE(bad_calls_and_servers_are_refused, ALONE, 0)
{
    struct weir_serve_options later = { .reserved = { 1 } }, unknown = { .size = 1 };
    struct weir_serve_options long_name = { .name = "a name of far more than 31 characters" };
    struct weir_chan *plain = make_chan(0, NULL), *port = make_port(), *made;
    struct weir_scope *scope = scene->scope;
    uint64_t number = 0;
    struct weir_call *call;

    CHECK_SAME(weir_port_create(NULL, NULL, 0, 0), -EINVAL);
    CHECK_SAME(weir_port_create(&made, NULL, (size_t)UINT32_MAX + 1, 0), -EOVERFLOW);
    CHECK_SAME(weir_port_create(&made, NULL, 0, (size_t)UINT32_MAX + 1), -EOVERFLOW);
    CHECK_SAME(weir_port_create(&made, long_name.name, 0, 0), -E2BIG);
    CHECK_SAME(weir_call(NULL, &number, &number, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_call(plain, &number, &number, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_call(port, NULL, &number, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_call(port, &number, NULL, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_call_recv(plain, &call, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_call_recv(port, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_call_recv(port, &call, WEIR_NOW), -EAGAIN);
    CHECK_SAME(weir_call_adopt(NULL), -EINVAL);
    CHECK_SAME(weir_call_status(NULL), -EINVAL);
    CHECK_SAME(weir_reply(NULL, 0), -EINVAL);
    CHECK_SAME(weir_serve(NULL, port, pass_on, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_serve(scope, NULL, pass_on, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_serve(scope, plain, pass_on, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_serve(scope, port, NULL, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_serve(scope, port, pass_on, NULL, &later), -EINVAL);
    CHECK_SAME(weir_serve(scope, port, pass_on, NULL, &unknown), -EINVAL);
    CHECK(!look(port).closed);
    CHECK_SAME(look(port).receivers, 0);
    weir_chan_release(plain);
    CHECK_SAME(weir_chan_close(port, 0), 0);
    CHECK_SAME(weir_serve(scope, port, pass_on, NULL, NULL), -EPIPE);
    CHECK_SAME(weir_chan_release(port), 0);
}

/* --- At the bound on tasks --- */

enum { TASK_LIMIT = 8 };

static int be_parked(void *arg)
{
    (void)arg;
    return weir_sleep(WEIR_FOREVER);
}

static int call_without_room(void *arg)
{
    struct weir_chan *port = make_port();
    struct hop hop = { .deed = succeed };
    struct weir_scope *servers, *crowd;
    struct weir_call_failure failure;
    uint64_t number = 0;

    (void)arg;
    CHECK_SAME(weir_scope_create(&servers, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_SAME(weir_scope_create(&crowd, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_SAME(weir_serve(servers, port, pass_on, &hop, NULL), 0);
    while (weir_spawn(crowd, be_parked, NULL, NULL) == 0)
        ;
    CHECK_SAME(weir_call(port, &number, &number, &failure, WEIR_FOREVER), -EAGAIN);
    CHECK_SAME(failure.hops, 1);
    CHECK_SAME(hop.entered, 0);
    CHECK_SAME(weir_scope_cancel(crowd), 0);
    weir_scope_join(crowd, end_of_patience());
    CHECK_SAME(weir_call(port, &number, &number, &failure, WEIR_FOREVER), 7);
    CHECK_SAME(weir_chan_close(port, 0), 0);
    CHECK_SAME(weir_scope_join(servers, end_of_patience()), 0);
    CHECK_SAME(weir_chan_release(port), 0);
    return 0;
}

static void call_without_room_for_a_handler_is_refused(void **state)
{
    struct weir_options options = { .loop_count = 1, .tasks_per_loop = TASK_LIMIT };

    (void)state;
    assert_int_equal(test_run(call_without_room, NULL, &options), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_295_call_returns_when_the_last_hop_has),
        cmocka_unit_test(case_295_deepest_error_comes_back),
        cmocka_unit_test(error_that_a_hop_changes_begins_there),
        cmocka_unit_test(case_295_deadline_reaches_the_last_hop),
        cmocka_unit_test(case_295_cancel_of_the_source_reaches_the_last_hop),
        cmocka_unit_test(handler_that_succeeds_after_all_is_a_success),
        cmocka_unit_test(case_295_hop_dies_while_handling),
        cmocka_unit_test(case_295_hop_dies_with_the_call_in_its_queue),
        cmocka_unit_test(case_295_port_ends_with_the_call_in_its_queue),
        cmocka_unit_test(case_295_port_closes_while_handling),
        cmocka_unit_test(call_that_no_server_takes_is_withdrawn),
        cmocka_unit_test(earliest_deadline_on_the_way_holds),
        cmocka_unit_test(calls_allocate_nothing),
        cmocka_unit_test(case_295_receiver_that_ends_without_a_reply),
        cmocka_unit_test(reply_may_come_from_anywhere),
        cmocka_unit_test(adopted_call_cancels_its_task),
        cmocka_unit_test(call_given_up_before_it_is_adopted_says_so),
        cmocka_unit_test(call_received_into_nothing_is_refused),
        cmocka_unit_test(bad_calls_and_servers_are_refused),
        cmocka_unit_test(call_without_room_for_a_handler_is_refused),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
