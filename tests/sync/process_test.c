/* SPDX-License-Identifier: MIT */
/* Tasks and threads that work together over channels. Section H of the conformance cases. */
#include "sync/fixture.h"

/* --- Results --- */

static int return_argument(void *arg)
{
    return (int)(intptr_t)arg;
}

static int park_for_ever(void *arg)
{
    uint64_t value;

    return weir_chan_recv(arg, &value, WEIR_FOREVER);
}

CASE(case_166_nothing_differs_from_failure_and_cancel, ON_TASKS, 0)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct actor nothing, value, failure, cancelled;

    actor_start(scene, &nothing, return_argument, NULL);
    actor_start(scene, &value, return_argument, (void *)(intptr_t)7);
    actor_start(scene, &failure, return_argument, (void *)(intptr_t)-EIO);
    actor_start(scene, &cancelled, park_for_ever, chan);
    await_receivers(chan, 1);
    CHECK_SAME(weir_task_cancel(cancelled.task), 0);
    CHECK_SAME(actor_join(&nothing), 0);
    CHECK_SAME(actor_join(&value), 7);
    CHECK_SAME(actor_join(&failure), -EIO);
    CHECK_SAME(actor_join(&cancelled), -ECANCELED);
    weir_chan_release(chan);
}

struct reports {
    atomic_uint count;
    atomic_int error;
};

static void note_failure(void *context, const struct weir_failure *failure)
{
    struct reports *reports = context;

    atomic_fetch_add(&reports->count, 1);
    atomic_store(&reports->error, failure->error);
    CHECK_SAME(strcmp(failure->task_name, "fails"), 0);
}

static int fail_joined_and_not(void *arg)
{
    struct reports *reports = arg;
    struct weir_task *task;
    struct weir_spawn_options joined = { .name = "fails", .task = &task };
    struct weir_spawn_options alone = { .name = "fails" };
    struct weir_scope *scope;
    int result = 0;

    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE, NULL), 0);
    CHECK_SAME(weir_spawn(scope, return_argument, (void *)(intptr_t)-EIO, &joined), 0);
    CHECK_SAME(weir_join(task, &result, WEIR_FOREVER), 0);
    CHECK_SAME(result, -EIO);
    CHECK_SAME(reports->count, 0); /* the joiner has heard it */
    CHECK_SAME(weir_spawn(scope, return_argument, (void *)(intptr_t)-ENXIO, &alone), 0);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_SAME(reports->count, 1);
    CHECK_SAME(reports->error, -ENXIO);
    return 0;
}

static void case_167_failure_is_heard_once(void **state)
{
    struct reports reports = { 0 };
    struct weir_options options = { .on_failure = note_failure, .context = &reports };

    (void)state;
    assert_int_equal(test_run(fail_joined_and_not, &reports, &options), 0);
    assert_int_equal(reports.count, 1);
}

/* --- Parking and waking --- */

struct table {
    struct weir_chan *there;
    struct weir_chan *back;
    uint64_t rounds;
};

static int return_balls(void *arg)
{
    struct table *table = arg;
    uint64_t ball;

    for (uint64_t round = 0; round < table->rounds; round++) {
        CHECK_SAME(weir_chan_recv(table->there, &ball, WEIR_FOREVER), 0);
        CHECK_SAME(weir_chan_send(table->back, &ball, WEIR_FOREVER), 0);
    }
    return 0;
}

CASE(case_176_ping_pong, EVERYWHERE, 0, 1)
{
    struct table table = {
        .there = make_chan(scene->capacity, NULL),
        .back = make_chan(scene->capacity, NULL),
        .rounds = (uint64_t)test_rounds(10000, 1000000, 10000000),
    };
    struct actor actor;

    actor_start(scene, &actor, return_balls, &table);
    for (uint64_t ball = 0, answer; ball < table.rounds; ball++) {
        CHECK_SAME(weir_chan_send(table.there, &ball, WEIR_FOREVER), 0);
        CHECK_SAME(weir_chan_recv(table.back, &answer, WEIR_FOREVER), 0);
        CHECK_SAME(answer, ball);
    }
    actor_join(&actor);
    weir_chan_release(table.there);
    weir_chan_release(table.back);
}

/* --- A thousand channels, one thread --- */

enum { GREETERS = TEST_SANITIZED ? 100 : 1000 };

struct greetings {
    struct weir_chan *chans[GREETERS];
    bool heard[GREETERS];
    char words[GREETERS][3];
};

static struct greetings greetings;

static int say_hi(void *arg)
{
    return weir_chan_send(arg, "hi", WEIR_FOREVER);
}

static int hear_all(void *arg)
{
    static struct weir_clause clauses[GREETERS];

    (void)arg;
    for (size_t i = 0; i < GREETERS; i++)
        clauses[i] = weir_clause_recv(greetings.chans[i], greetings.words[i]);
    for (size_t round = 0; round < GREETERS; round++) {
        int won = weir_select(clauses, GREETERS, 0, WEIR_FOREVER);

        if (!CHECK(won >= 0))
            break;
        CHECK_SAME(clauses[won].result, 0);
        CHECK(!greetings.heard[won]);
        CHECK_SAME(strcmp(greetings.words[won], "hi"), 0);
        greetings.heard[won] = true;
    }
    return 0;
}

CASE(case_178_one_thread_hears_a_thousand, EVERYWHERE, 0, 1)
{
    struct actor listener;

    memset(&greetings, 0, sizeof greetings);
    for (size_t i = 0; i < GREETERS; i++)
        CHECK_SAME(weir_chan_create(&greetings.chans[i], 3, scene->capacity, NULL), 0);
    actor_start(scene, &listener, hear_all, NULL);
    for (size_t i = 0; i < GREETERS; i++)
        CHECK_SAME(weir_spawn(scene->scope, say_hi, greetings.chans[i], NULL), 0);
    actor_join(&listener);
    AWAIT(weir_scope_count(scene->scope) == 0);
    for (size_t i = 0; i < GREETERS; i++) {
        CHECK(greetings.heard[i]);
        weir_chan_release(greetings.chans[i]);
    }
}

/* --- What has arrived by then --- */

struct search {
    struct weir_chan *results;
    struct weir_chan *backend; /* answers, or never does */
    int64_t deadline_ns;
};

static int search_backend(void *arg)
{
    struct search *search = arg;
    uint64_t answer;
    int error = weir_chan_recv(search->backend, &answer, search->deadline_ns);

    return error < 0 ? error : weir_chan_send(search->results, &answer, search->deadline_ns);
}

CASE(case_179_fan_in_returns_what_arrived, EVERYWHERE, 0, 7)
{
    int64_t deadline_ns = weir_in_ms(20);
    struct weir_chan *results = make_chan(scene->capacity, NULL);
    struct actor actors[3];
    struct search searches[3];
    uint64_t value, sum = 0;
    int count = 0;

    for (size_t i = 0; i < 3; i++) {
        searches[i] = (struct search){ results, make_chan(1, NULL), deadline_ns };
        if (i != 1)
            CHECK_SAME(try_send(searches[i].backend, 10 + i), 0);
        actor_start(scene, &actors[i], search_backend, &searches[i]);
    }
    while (weir_chan_recv(results, &value, deadline_ns) == 0) {
        sum += value;
        count++;
    }
    CHECK(weir_now_ns() >= deadline_ns);
    CHECK_SAME(count, 2);
    CHECK_SAME(sum, 22);
    for (size_t i = 0; i < 3; i++) {
        CHECK_SAME(actor_join(&actors[i]), i == 1 ? -ETIME : 0);
        weir_chan_release(searches[i].backend);
    }
    weir_chan_release(results);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_166_nothing_differs_from_failure_and_cancel),
        cmocka_unit_test(case_167_failure_is_heard_once),
        cmocka_unit_test(case_176_ping_pong),
        cmocka_unit_test(case_178_one_thread_hears_a_thousand),
        cmocka_unit_test(case_179_fan_in_returns_what_arrived),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
