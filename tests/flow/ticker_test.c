/* SPDX-License-Identifier: MIT */
/* Tickers: order, counts, and never too early; how late a tick comes is the machine's business. */
#include "core/sched.h"
#include "sync/fixture.h"

#include <weir/ticker.h>

enum { PERIOD_NS = 200 * 1000, TICKS = 20, LONG_NS = 1000 * 1000 * 1000 };

static int64_t handle_until(int64_t deadline_ns)
{
    CHECK_SAME(weir_sleep(deadline_ns), 0);
    return weir_now_ns();
}

/* --- Pulled --- */

static int pull_delayed(void *arg)
{
    int64_t handled_ns = weir_now_ns();
    struct weir_ticker ticker;
    struct weir_tick tick;

    (void)arg;
    CHECK_SAME(weir_ticker_init(&ticker, PERIOD_NS, WEIR_TICK_DELAY), 0);
    for (uint64_t number = 1; number <= TICKS; number++) {
        CHECK_SAME(weir_ticker_wait(&ticker, &tick, WEIR_FOREVER), 0);
        CHECK(weir_now_ns() >= tick.scheduled_ns);
        CHECK(tick.scheduled_ns >= handled_ns + PERIOD_NS);
        CHECK_SAME(tick.number, number);
        CHECK_SAME(tick.missed, 0);
        handled_ns =
            handle_until(number % 4 ? tick.scheduled_ns : tick.scheduled_ns + 3 * PERIOD_NS);
    }
    return 0;
}

CASE(delay_counts_from_the_end_of_the_handling, EVERYWHERE, 0)
{
    struct actor actor;

    actor_start(scene, &actor, pull_delayed, NULL);
    actor_join(&actor);
}

static int pull_fixed(void *arg)
{
    struct weir_tick tick, last = { 0 };
    struct weir_ticker ticker;
    int64_t start_ns, taken_ns = 0;

    (void)arg;
    CHECK_SAME(weir_ticker_init(&ticker, PERIOD_NS, WEIR_TICK_FIXED), 0);
    start_ns = weir_ticker_next_ns(&ticker) - PERIOD_NS;
    for (int i = 0; i < TICKS; i++) {
        bool slow = i % 4 == 3;

        CHECK_SAME(weir_ticker_wait(&ticker, &tick, WEIR_FOREVER), 0);
        CHECK(weir_now_ns() >= tick.scheduled_ns);
        CHECK_SAME(tick.scheduled_ns, start_ns + (int64_t)tick.number * PERIOD_NS);
        CHECK_SAME(tick.number, last.number + 1 + tick.missed);
        CHECK(tick.scheduled_ns > taken_ns - PERIOD_NS); /* the latest: no burst follows */
        CHECK(weir_ticker_next_ns(&ticker) > taken_ns);
        last = tick;
        taken_ns = handle_until(slow ? tick.scheduled_ns + 3 * PERIOD_NS : tick.scheduled_ns);
        if (slow) {
            CHECK_SAME(weir_ticker_take(&ticker, &tick), 0);
            CHECK(tick.missed >= 2);
            last = tick;
        }
    }
    return 0;
}

CASE(fixed_keeps_the_schedule_and_counts_the_missed, EVERYWHERE, 0)
{
    struct actor actor;

    actor_start(scene, &actor, pull_fixed, NULL);
    actor_join(&actor);
}

CASE(failed_wait_changes_nothing, ALONE, 0)
{
    (void)scene;
    for (enum weir_tick_mode mode = WEIR_TICK_DELAY; mode <= WEIR_TICK_FIXED; mode++) {
        struct weir_ticker ticker;
        struct weir_tick tick;
        int64_t next_ns;

        CHECK_SAME(weir_ticker_init(&ticker, LONG_NS, mode), 0);
        next_ns = weir_ticker_next_ns(&ticker);
        CHECK_SAME(weir_ticker_take(&ticker, &tick), -EAGAIN);
        CHECK_SAME(weir_ticker_wait(&ticker, &tick, WEIR_NOW), -EAGAIN);
        CHECK_SAME(weir_ticker_wait(&ticker, &tick, weir_in_us(50)), -ETIME);
        CHECK_SAME(weir_ticker_next_ns(&ticker), next_ns);
        ticker.next_ns = weir_in_us(10);
        handle_until(ticker.next_ns);
        CHECK_SAME(weir_ticker_wait(&ticker, &tick, WEIR_NOW), 0);
        CHECK_SAME(tick.number, 1);
    }
}

static int wait_long(void *arg)
{
    return weir_ticker_wait(arg, NULL, WEIR_FOREVER);
}

CASE(cancelled_wait, ALONE, 0)
{
    struct weir_ticker ticker;
    struct actor actor;

    CHECK_SAME(weir_ticker_init(&ticker, WEIR_FOREVER, WEIR_TICK_FIXED), 0);
    actor_start(scene, &actor, wait_long, &ticker);
    weir__sched_settle();
    CHECK_SAME(weir_task_cancel(actor.task), 0);
    CHECK_SAME(actor_join(&actor), -ECANCELED);
}

CASE(as_a_clause, ALONE, 0)
{
    struct weir_chan *chan = make_chan(1, NULL);
    struct weir_ticker ticker;
    struct weir_tick tick;
    uint64_t value;

    (void)scene;
    CHECK_SAME(weir_ticker_init(&ticker, PERIOD_NS, WEIR_TICK_FIXED), 0);
    for (uint64_t last = 0; last < TICKS; last = tick.number) {
        struct weir_clause clauses[] = {
            weir_clause_recv(chan, &value),
            weir_clause_timer(weir_ticker_next_ns(&ticker)),
        };

        CHECK_SAME(weir_select(clauses, 2, 0, WEIR_FOREVER), 1);
        CHECK_SAME(weir_ticker_take(&ticker, &tick), 0);
        CHECK_SAME(tick.number, last + 1 + tick.missed);
    }
    weir_chan_release(chan);
}

/* --- As a task --- */

static struct weir_chan *make_tick_chan(size_t capacity)
{
    struct weir_chan *chan = NULL;

    CHECK_SAME(weir_chan_create(&chan, sizeof(struct weir_tick), capacity, NULL), 0);
    return chan;
}

static int receive_ticks(void *arg)
{
    struct weir_tick tick, last = { 0 };

    for (int i = 0; i < TICKS; i++) {
        CHECK_SAME(weir_chan_recv(arg, &tick, end_of_patience()), 0);
        CHECK(weir_now_ns() >= tick.scheduled_ns);
        CHECK(tick.scheduled_ns > last.scheduled_ns);
        CHECK_SAME(tick.number, last.number + 1 + tick.missed);
        last = tick;
    }
    return 0;
}

CASE(task_sends_ticks, EVERYWHERE, 0)
{
    for (enum weir_tick_mode mode = WEIR_TICK_DELAY; mode <= WEIR_TICK_FIXED; mode++) {
        struct weir_chan *chan = make_tick_chan(0);
        struct actor actor;

        CHECK_SAME(weir_ticker_run(scene->scope, PERIOD_NS, mode, chan, NULL), 0);
        actor_start(scene, &actor, receive_ticks, chan);
        actor_join(&actor);
        CHECK_SAME(weir_chan_close(chan, 0), 0);
        AWAIT(weir_scope_count(scene->scope) == 0);
        weir_chan_release(chan);
    }
}

/* A receiver who comes late gets one tick, the latest, and is told of the others. */
CASE(task_misses_ticks_that_nobody_receives, ALONE, 0)
{
    struct weir_chan *chan = make_tick_chan(0);
    struct weir_tick tick, next;

    CHECK_SAME(weir_ticker_run(scene->scope, PERIOD_NS, WEIR_TICK_FIXED, chan, NULL), 0);
    handle_until(weir_in_ns(10 * PERIOD_NS));
    AWAIT(look(chan).waiting_senders == 1);
    CHECK_SAME(weir_chan_recv(chan, &tick, end_of_patience()), 0);
    CHECK(tick.number >= 9);
    CHECK_SAME(tick.missed, tick.number - 1);
    CHECK_SAME(weir_chan_recv(chan, &next, end_of_patience()), 0);
    CHECK(weir_now_ns() >= next.scheduled_ns);
    CHECK_SAME(next.number, tick.number + 1 + next.missed);
    CHECK_SAME(weir_chan_close(chan, 0), 0);
    AWAIT(weir_scope_count(scene->scope) == 0);
    weir_chan_release(chan);
}

CASE(cancelled_task_closes_its_output, ALONE, 0)
{
    struct weir_chan *chan = make_tick_chan(0);
    struct weir_scope *scope;
    struct weir_tick tick;

    (void)scene;
    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    CHECK_SAME(weir_ticker_run(scope, LONG_NS, WEIR_TICK_DELAY, chan, NULL), 0);
    weir_scope_cancel(scope);
    CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
    CHECK_SAME(weir_chan_recv(chan, &tick, WEIR_NOW), -ECANCELED);
    weir_chan_release(chan);
}

CASE(refuses_what_makes_no_sense, ALONE, 0)
{
    struct weir_ticker_options options = { .reserved = { 1 } };
    struct weir_chan *numbers = make_chan(0, NULL);
    struct weir_chan *buffered = make_tick_chan(1);
    struct weir_chan *chan = make_tick_chan(0);
    struct weir_scope *scope = scene->scope;
    struct weir_ticker ticker;

    CHECK_SAME(weir_ticker_init(&ticker, 0, WEIR_TICK_FIXED), -EINVAL);
    CHECK_SAME(weir_ticker_init(&ticker, 1, (enum weir_tick_mode)2), -EINVAL);
    CHECK_SAME(weir_ticker_init(NULL, 1, WEIR_TICK_FIXED), -EINVAL);
    CHECK_SAME(weir_ticker_wait(NULL, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_ticker_run(scope, 1, WEIR_TICK_FIXED, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_ticker_run(scope, 1, WEIR_TICK_FIXED, numbers, NULL), -EINVAL);
    CHECK_SAME(weir_ticker_run(scope, 1, WEIR_TICK_FIXED, buffered, NULL), -EINVAL);
    CHECK_SAME(weir_ticker_run(scope, 0, WEIR_TICK_FIXED, chan, NULL), -EINVAL);
    CHECK_SAME(weir_ticker_run(NULL, 1, WEIR_TICK_FIXED, chan, NULL), -EINVAL);
    CHECK_SAME(weir_ticker_run(scope, 1, WEIR_TICK_FIXED, chan, &options), -EINVAL);
    weir_chan_release(numbers);
    weir_chan_release(buffered);
    weir_chan_release(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delay_counts_from_the_end_of_the_handling),
        cmocka_unit_test(fixed_keeps_the_schedule_and_counts_the_missed),
        cmocka_unit_test(failed_wait_changes_nothing),
        cmocka_unit_test(cancelled_wait),
        cmocka_unit_test(as_a_clause),
        cmocka_unit_test(task_sends_ticks),
        cmocka_unit_test(task_misses_ticks_that_nobody_receives),
        cmocka_unit_test(cancelled_task_closes_its_output),
        cmocka_unit_test(refuses_what_makes_no_sense),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
