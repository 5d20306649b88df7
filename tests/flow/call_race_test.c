/* SPDX-License-Identifier: MIT */
/* Calls against deadlines, cancels and the end of servers: what a handler did is what its caller
 * hears. */
#include "flow/call_fixture.h"

struct ledger {
    struct weir_chan *port;
    atomic_long done; /* handlers that succeeded */
    uint64_t random;
};

static int reply_in_time_or_not(void *arg)
{
    struct ledger *ledger = arg;
    struct weir_call *call;

    while (weir_call_recv(ledger->port, &call, WEIR_FOREVER) == 0) {
        dawdle(&ledger->random);
        weir_reply(call, 1);
        ledger->done++;
    }
    return 0;
}

/* By hand, nobody hears of the deadline: who was taken is replied to, who was not expires. */
CASE(deadline_against_reply, EVERYWHERE, 0)
{
    struct ledger ledger = { .port = make_port(), .random = 1 };
    uint64_t random = 2, number = 0;
    struct actor actor;
    long done = 0;

    actor_start(scene, &actor, reply_in_time_or_not, &ledger);
    for (long round = test_rounds(3000, 300000, 3000000); round > 0; round--) {
        struct weir_call_failure failure;
        int64_t deadline_ns = weir_now_ns() + (int64_t)(roll(&random) % 4000);
        int result = weir_call(ledger.port, &number, &number, &failure, deadline_ns);

        if (result < 0) {
            CHECK_SAME(result, -ETIME);
            CHECK_SAME(failure.hops, 0);
        }
        done += result == 1;
    }
    CHECK_SAME(weir_chan_close(ledger.port, 0), 0);
    actor_join(&actor);
    CHECK_SAME(done, ledger.done);
    CHECK_SAME(weir_chan_release(ledger.port), 0);
}

static int dawdle_over_it(const void *request, void *response, void *context)
{
    struct ledger *ledger = context;
    int error = 0;

    (void)request;
    for (unsigned i = 0; error >= 0 && i < roll(&ledger->random) % 4; i++)
        error = weir_yield();
    if (error >= 0 && roll(&ledger->random) % 2)
        error = weir_sleep(roll(&ledger->random) % 2 ? weir_in_us(1) : WEIR_FOREVER);
    *(uint64_t *)response = 1;
    ledger->done += error >= 0;
    return error;
}

static int call_in_rounds(void *arg)
{
    struct ledger *ledger = arg;
    uint64_t random = (uintptr_t)&random, number = 0;
    long done = 0;

    for (long round = test_rounds(1500, 150000, 1500000); round > 0; round--) {
        int64_t deadline_ns = weir_now_ns() + (int64_t)(roll(&random) % 20000);
        int result = weir_call(ledger->port, &number, &number, NULL, deadline_ns);

        CHECK(result == 0 || result == -ETIME);
        done += result == 0;
    }
    return (int)done;
}

/* A handler is cancelled just when it ends: its success, and only that, is the call's. */
CASE(deadline_against_handler, EVERYWHERE, 0)
{
    struct ledger ledger = { .port = make_port(), .random = 1 };
    struct weir_serve_options options = { .parallelism = 2 };
    struct actor callers[3];
    long done = 0;

    serve_at(scene, 0,
             (struct serving){ scene->scope, ledger.port, dawdle_over_it, &ledger, &options });
    for (size_t i = 0; i < 3; i++)
        actor_start(scene, &callers[i], call_in_rounds, &ledger);
    for (size_t i = 0; i < 3; i++)
        done += actor_join(&callers[i]);
    CHECK_SAME(done, ledger.done);
    CHECK_SAME(weir_chan_close(ledger.port, 0), 0);
    CHECK_SAME(weir_chan_release(ledger.port), 0);
}

CASE(cancel_against_handler, ON_TASKS, 0)
{
    struct ledger ledger = { .port = make_port(), .random = 1 };
    uint64_t random = 2;
    long done = 0;

    serve_at(scene, 0,
             (struct serving){ scene->scope, ledger.port, dawdle_over_it, &ledger, NULL });
    for (long round = test_rounds(1000, 100000, 1000000); round > 0; round--) {
        struct source source;
        int result;

        begin_call(scene, &source, ledger.port, WEIR_FOREVER);
        for (uint64_t i = roll(&random) % 4; i > 0; i--)
            CHECK_SAME(weir_yield(), 0);
        dawdle(&random);
        weir_task_cancel(source.actor.task);
        result = end_call(&source);
        CHECK(result == 0 || result == -ECANCELED);
        done += result == 0;
    }
    CHECK_SAME(done, ledger.done);
    CHECK_SAME(weir_chan_close(ledger.port, 0), 0);
    CHECK_SAME(weir_chan_release(ledger.port), 0);
}

/* Servers come and go under callers: each call ends, with its own result or as a dead hop. */
CASE(server_that_dies_against_calls, EVERYWHERE, 0)
{
    for (long round = test_rounds(100, 5000, 50000); round > 0; round--) {
        struct ledger ledger = { .port = make_port(), .random = 1 };
        struct weir_scope *scope;
        struct source sources[4];
        uint64_t random = (uint64_t)round;
        long done = 0;

        CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
        serve_at(scene, 0, (struct serving){ scope, ledger.port, dawdle_over_it, &ledger, NULL });
        for (size_t i = 0; i < 4; i++)
            begin_call(scene, &sources[i], ledger.port, WEIR_FOREVER);
        for (uint64_t i = roll(&random) % 8; i > 0; i--)
            CHECK_SAME(weir_yield(), 0);
        weir_scope_cancel(scope);
        for (size_t i = 0; i < 4; i++) {
            int result = end_call(&sources[i]);

            CHECK(result == 0 || result == -EPIPE);
            done += result == 0;
        }
        CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
        CHECK_SAME(done, ledger.done);
        CHECK_SAME(weir_chan_release(ledger.port), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadline_against_reply),
        cmocka_unit_test(deadline_against_handler),
        cmocka_unit_test(cancel_against_handler),
        cmocka_unit_test(server_that_dies_against_calls),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
