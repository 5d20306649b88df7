/* SPDX-License-Identifier: MIT */
/* Breakers: each arrow of the state machine, and what holds under many callers. */
#include "core/sched.h"
#include "sync/fixture.h"

#include <weir/breaker.h>

enum { US = 1000, MS = 1000 * US, CALLERS = 8, FAILING = -EIO };

#define LONG_NS (INT64_MAX / 2) /* longer than any test */

/* --- What is called --- */

static int give_back(void *arg, int64_t deadline_ns)
{
    (void)deadline_ns;
    return *(int *)arg;
}

static int run(struct weir_breaker *breaker, int result)
{
    return weir_breaker_run(breaker, give_back, &result, WEIR_FOREVER);
}

/* So many calls that pass, with this result. */
static void run_all(struct weir_breaker *breaker, unsigned count, int result)
{
    for (unsigned i = 0; i < count; i++)
        CHECK_SAME(run(breaker, result), result);
}

/* A call that waits at a gate for its result. */
struct gated {
    struct weir_breaker *breaker;
    struct weir_chan *gate;
    struct actor actor;
};

static int wait_at_the_gate(void *arg, int64_t deadline_ns)
{
    struct gated *gated = arg;
    uint64_t result = 0;
    int error = weir_chan_recv(gated->gate, &result, deadline_ns);

    return error < 0 ? error : (int)(int64_t)result;
}

static int run_gated(void *arg)
{
    struct gated *gated = arg;

    return weir_breaker_run(gated->breaker, wait_at_the_gate, gated, WEIR_FOREVER);
}

/* Returns when the call is under way. */
static void begin_gated(struct scene *scene, struct gated *gated, struct weir_breaker *breaker)
{
    *gated = (struct gated){ .breaker = breaker, .gate = make_chan(0, NULL) };
    actor_start(scene, &gated->actor, run_gated, gated);
    await_receivers(gated->gate, 1);
}

static void end_gated(struct gated *gated, int result)
{
    uint64_t value = (uint64_t)(int64_t)result;

    CHECK_SAME(weir_chan_send(gated->gate, &value, end_of_patience()), 0);
    CHECK_SAME(actor_join(&gated->actor), result);
    weir_chan_release(gated->gate);
}

static struct weir_breaker *make_breaker(const struct weir_breaker_options *options)
{
    struct weir_breaker *breaker = NULL;

    CHECK_SAME(weir_breaker_create(&breaker, options), 0);
    return breaker;
}

static struct weir_breaker_stats look_at(struct weir_breaker *breaker)
{
    struct weir_breaker_stats stats;

    CHECK_SAME(weir_breaker_read_stats(breaker, &stats), 0);
    return stats;
}

/* One that a single failure opens, for so long. */
static struct weir_breaker *make_touchy(int64_t open_ns, unsigned probes, unsigned successes)
{
    struct weir_breaker_options options = {
        .calls_min = 1,
        .failure_percent = 1,
        .open_ns = open_ns,
        .probes = probes,
        .successes = successes,
    };

    return make_breaker(&options);
}

/* --- Closed and open --- */

CASE(opens_at_its_share_of_enough_calls, ALONE, 0)
{
    struct weir_breaker_options options = {
        .calls_min = 10,
        .failure_percent = 50,
        .open_ns = LONG_NS,
    };
    struct weir_breaker *breaker = make_breaker(&options);

    (void)scene;
    run_all(breaker, 5, 3);
    run_all(breaker, 4, FAILING);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_CLOSED);
    CHECK_SAME(look_at(breaker).window_calls, 9);
    CHECK_SAME(look_at(breaker).window_failures, 4);
    run_all(breaker, 1, FAILING);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_OPEN);
    for (int i = 0; i < 3; i++)
        CHECK_SAME(run(breaker, 0), -EHOSTDOWN);
    CHECK_SAME(look_at(breaker).passed_total, 10);
    CHECK_SAME(look_at(breaker).failed_total, 5);
    CHECK_SAME(look_at(breaker).refused_total, 3);
    CHECK_SAME(look_at(breaker).changes_total, 1);
    weir_breaker_release(breaker);
    breaker = make_breaker(&options);
    run_all(breaker, 1, 0);
    for (int i = 0; i < 50; i++) { /* one call better than its share, throughout */
        run_all(breaker, 1, 0);
        run_all(breaker, 1, FAILING);
    }
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_CLOSED);
    weir_breaker_release(breaker);
}

CASE(window_of_calls_forgets, ALONE, 0)
{
    struct weir_breaker_options options = {
        .calls_min = 20,
        .failure_percent = 50,
        .window_calls = 100,
        .open_ns = LONG_NS,
    };
    struct weir_breaker *breaker = make_breaker(&options);

    (void)scene;
    run_all(breaker, 19, FAILING);
    run_all(breaker, 1000, 0);
    CHECK_SAME(look_at(breaker).window_failures, 0);
    CHECK(look_at(breaker).window_calls >= 90);
    CHECK(look_at(breaker).window_calls <= 100);
    run_all(breaker, 45, FAILING);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_CLOSED);
    for (int i = 0; i < 6; i++)
        (void)!run(breaker, FAILING);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_OPEN);
    weir_breaker_release(breaker);
}

CASE(window_of_time_forgets, ALONE, 0)
{
    struct weir_breaker_options options = {
        .calls_min = 2,
        .failure_percent = 100,
        .window_ns = 1 * MS,
    };
    struct weir_breaker *breaker = make_breaker(&options);

    (void)scene;
    for (int i = 0; i < 5; i++) {
        run_all(breaker, 1, FAILING);
        AWAIT(look_at(breaker).window_calls == 0);
    }
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_CLOSED);
    weir_breaker_release(breaker);
}

static bool only_ebusy(int result, void *context)
{
    ++*(int *)context;
    return result == -EBUSY;
}

CASE(what_counts_as_a_failure, ALONE, 0)
{
    struct weir_breaker_options options = {
        .calls_min = 1,
        .failure_percent = 100,
        .open_ns = LONG_NS,
        .is_failure = only_ebusy,
    };
    struct weir_breaker *breaker = make_touchy(LONG_NS, 0, 0);
    int asked = 0;

    (void)scene;
    run_all(breaker, 5, -ECANCELED);
    CHECK_SAME(look_at(breaker).window_calls, 0);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_CLOSED);
    run_all(breaker, 1, -1);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_OPEN);
    weir_breaker_release(breaker);
    options.context = &asked;
    breaker = make_breaker(&options);
    run_all(breaker, 3, -ECANCELED);
    CHECK_SAME(asked, 0);
    run_all(breaker, 3, FAILING);
    run_all(breaker, 1, 0);
    CHECK_SAME(look_at(breaker).failed_total, 0);
    CHECK_SAME(asked, 4);
    weir_breaker_release(breaker);
}

/* --- Half-open --- */

CASE(half_open_lets_few_probes_through, EVERYWHERE, 0)
{
    struct weir_breaker *breaker = make_touchy(1, 2, 3);
    struct gated probes[2];

    run_all(breaker, 1, FAILING);
    for (size_t i = 0; i < 2; i++)
        begin_gated(scene, &probes[i], breaker);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_HALF_OPEN);
    CHECK_SAME(look_at(breaker).probes, 2);
    CHECK_SAME(run(breaker, 0), -EHOSTDOWN);
    end_gated(&probes[0], 0);
    CHECK_SAME(look_at(breaker).probes, 1);
    begin_gated(scene, &probes[0], breaker); /* its place is taken */
    CHECK_SAME(run(breaker, 0), -EHOSTDOWN);
    end_gated(&probes[0], 0);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_HALF_OPEN);
    end_gated(&probes[1], 0);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_CLOSED);
    CHECK_SAME(look_at(breaker).window_calls, 0);
    run_all(breaker, 10, 0);
    CHECK_SAME(look_at(breaker).changes_total, 3);
    weir_breaker_release(breaker);
}

CASE(failed_probe_opens_again, EVERYWHERE, 0)
{
    struct weir_breaker *breaker = make_touchy(1 * MS, 1, 2);
    int64_t opened_ns = 0;

    (void)scene;
    run_all(breaker, 1, FAILING);
    for (int round = 0; round < 3; round++) {
        int result;

        AWAIT((result = run(breaker, 0)) != -EHOSTDOWN);
        CHECK_SAME(result, 0);
        CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_HALF_OPEN);
        opened_ns = weir_now_ns();
        run_all(breaker, 1, FAILING);
        CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_OPEN);
    }
    AWAIT(run(breaker, 0) == 0);
    CHECK(weir_now_ns() >= opened_ns + 1 * MS);
    run_all(breaker, 1, 0);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_CLOSED);
    CHECK_SAME(look_at(breaker).changes_total, 9);
    weir_breaker_release(breaker);
}

CASE(cancelled_probe_frees_its_place, ALONE, 0)
{
    struct weir_breaker *breaker = make_touchy(1, 1, 1);
    struct gated probe;

    run_all(breaker, 1, FAILING);
    begin_gated(scene, &probe, breaker);
    CHECK_SAME(weir_task_cancel(probe.actor.task), 0);
    CHECK_SAME(actor_join(&probe.actor), -ECANCELED);
    weir_chan_release(probe.gate);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_HALF_OPEN);
    CHECK_SAME(look_at(breaker).probes, 0);
    run_all(breaker, 1, 0);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_CLOSED);
    weir_breaker_release(breaker);
}

/* What was begun before the last change says nothing about now. */
CASE(old_news_change_nothing, EVERYWHERE, 0)
{
    struct weir_breaker *breaker = make_touchy(1, 2, 1);
    struct gated slow[2], probe;

    for (size_t i = 0; i < 2; i++)
        begin_gated(scene, &slow[i], breaker);
    run_all(breaker, 1, FAILING);
    begin_gated(scene, &probe, breaker);
    end_gated(&slow[0], 0); /* no success of a probe */
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_HALF_OPEN);
    CHECK_SAME(look_at(breaker).probes, 1);
    end_gated(&slow[1], FAILING); /* no failure of one */
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_HALF_OPEN);
    CHECK_SAME(look_at(breaker).probes, 1);
    end_gated(&probe, 0);
    CHECK_SAME(look_at(breaker).state, WEIR_BREAKER_CLOSED);
    CHECK_SAME(look_at(breaker).failed_total, 2);
    weir_breaker_release(breaker);
}

/* --- Reports --- */

struct chronicle {
    struct weir_breaker *breaker;
    struct weir_task *caller;
    uint64_t count;
    enum weir_breaker_state states[8];
};

static void write_down(const struct weir_breaker_change *change, void *context)
{
    struct chronicle *chronicle = context;

    CHECK_SAME(strcmp(change->name, "backend"), 0);
    CHECK(weir_task_self() != chronicle->caller);
    CHECK_SAME(look_at(chronicle->breaker).changes_total, change->number); /* no lock is held */
    CHECK_SAME(change->number, ++chronicle->count);
    CHECK_SAME(change->source, chronicle->states[chronicle->count - 1]);
    chronicle->states[chronicle->count] = change->target;
}

CASE(changes_are_reported_in_the_callback_task, ALONE, 0)
{
    struct chronicle chronicle = { .caller = weir_task_self() };
    struct weir_breaker_options options = {
        .name = "backend",
        .calls_min = 1,
        .open_ns = 1,
        .on_change = write_down,
        .context = &chronicle,
    };
    struct weir_breaker *breaker = make_breaker(&options);

    (void)scene;
    chronicle.breaker = breaker;
    run_all(breaker, 1, FAILING);
    run_all(breaker, 1, FAILING);
    run_all(breaker, 1, 0);
    CHECK_SAME(chronicle.count, 5);
    CHECK_SAME(chronicle.states[1], WEIR_BREAKER_OPEN);
    CHECK_SAME(chronicle.states[2], WEIR_BREAKER_HALF_OPEN);
    CHECK_SAME(chronicle.states[3], WEIR_BREAKER_OPEN);
    CHECK_SAME(chronicle.states[4], WEIR_BREAKER_HALF_OPEN);
    CHECK_SAME(chronicle.states[5], WEIR_BREAKER_CLOSED);
    weir_breaker_release(breaker);
}

/* --- Many callers --- */

struct crowd {
    struct weir_breaker *breaker;
    long rounds;
    atomic_ulong made;
    atomic_long under_way;
    atomic_long under_way_max;
};

static int fail_after_a_yield(void *arg, int64_t deadline_ns)
{
    struct crowd *crowd = arg;
    long now = atomic_fetch_add(&crowd->under_way, 1) + 1;
    long most = atomic_load(&crowd->under_way_max);

    (void)deadline_ns;
    while (now > most && !atomic_compare_exchange_weak(&crowd->under_way_max, &most, now))
        ;
    atomic_fetch_add(&crowd->made, 1);
    (void)weir_yield();
    atomic_fetch_sub(&crowd->under_way, 1);
    return FAILING;
}

static int call_in_rounds(void *arg)
{
    struct crowd *crowd = arg;

    for (long i = 0; i < crowd->rounds; i++) {
        int result = weir_breaker_run(crowd->breaker, fail_after_a_yield, crowd, WEIR_FOREVER);

        CHECK(result == FAILING || result == -EHOSTDOWN);
        (void)weir_yield();
    }
    return 0;
}

static void run_crowd(struct scene *scene, struct crowd *crowd)
{
    struct actor actors[CALLERS];

    for (size_t i = 0; i < CALLERS; i++)
        actor_start_in_crowd(scene, &actors[i], i, call_in_rounds, crowd);
    for (size_t i = 0; i < CALLERS; i++)
        actor_join(&actors[i]);
}

CASE(open_breaker_spares_what_is_down, EVERYWHERE, 0)
{
    struct weir_breaker_options options = { .calls_min = 10, .open_ns = LONG_NS };
    struct crowd crowd = { .breaker = make_breaker(&options) };
    struct weir_breaker_stats stats;

    crowd.rounds = test_rounds(1000, 100000, 100000);
    run_crowd(scene, &crowd);
    stats = look_at(crowd.breaker);
    CHECK_SAME(stats.state, WEIR_BREAKER_OPEN);
    CHECK_SAME(stats.passed_total, crowd.made);
    CHECK_SAME(stats.passed_total + stats.refused_total, crowd.rounds * CALLERS);
    CHECK(crowd.made >= 10);
    CHECK(crowd.made < 10 + CALLERS); /* those under way when it opened */
    weir_breaker_release(crowd.breaker);
}

CASE(half_open_is_bounded_under_many_callers, EVERYWHERE, 0)
{
    struct crowd crowd = { .breaker = make_touchy(1, 2, 1) };

    run_all(crowd.breaker, 1, FAILING);
    crowd.rounds = test_rounds(500, 50000, 50000);
    run_crowd(scene, &crowd);
    CHECK(crowd.under_way_max <= 2);
    CHECK_SAME(look_at(crowd.breaker).passed_total, crowd.made + 1);
    CHECK_SAME(look_at(crowd.breaker).probes, 0);
    weir_breaker_release(crowd.breaker);
}

CASE(refuses_what_makes_no_sense, ALONE, 0)
{
    static const struct weir_breaker_options bad[] = {
        { .size = 1 },
        { .reserved = { [2] = 1 } },
        { .failure_percent = 101 },
        { .window_ns = -1 },
        { .open_ns = -1 },
        { .window_ns = 1, .window_calls = 1 },
        { .window_calls = 100, .calls_min = 91 },
    };
    struct weir_breaker_options options = { .name = "a name of thirty-two characters!" };
    struct weir_breaker *breaker;

    (void)scene;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_SAME(weir_breaker_create(&breaker, &bad[i]), -EINVAL);
    CHECK_SAME(weir_breaker_create(&breaker, &options), -E2BIG);
    CHECK_SAME(weir_breaker_create(NULL, NULL), -EINVAL);
    breaker = make_breaker(NULL);
    CHECK_SAME(weir_breaker_run(NULL, give_back, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_breaker_run(breaker, NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_breaker_read_stats(breaker, NULL), -EINVAL);
    weir_breaker_release(weir_breaker_retain(breaker));
    weir_breaker_release(breaker);
    weir_breaker_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_at_its_share_of_enough_calls),
        cmocka_unit_test(window_of_calls_forgets),
        cmocka_unit_test(window_of_time_forgets),
        cmocka_unit_test(what_counts_as_a_failure),
        cmocka_unit_test(half_open_lets_few_probes_through),
        cmocka_unit_test(failed_probe_opens_again),
        cmocka_unit_test(cancelled_probe_frees_its_place),
        cmocka_unit_test(old_news_change_nothing),
        cmocka_unit_test(changes_are_reported_in_the_callback_task),
        cmocka_unit_test(open_breaker_spares_what_is_down),
        cmocka_unit_test(half_open_is_bounded_under_many_callers),
        cmocka_unit_test(refuses_what_makes_no_sense),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
