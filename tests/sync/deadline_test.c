/* SPDX-License-Identifier: MIT */
/* Deadlines and timer clauses. Section F of the conformance cases. */
#include "sync/fixture.h"

#include "base/memory.h"
#include "core/timer.h"

enum { LONG_US = 10000000 };

/* How many timers the calling task's loop holds. */
static uint64_t timers_armed(void)
{
    const struct weir__wheel *wheel = &weir__loop_current->wheel;

    weir__wheel_verify(wheel);
    return wheel->count;
}

static int take_until(void *arg)
{
    struct op *op = arg;

    op->result = weir_chan_recv(op->chan, &op->value, op->deadline_ns);
    CHECK(weir_now_ns() >= op->deadline_ns);
    return 0;
}

CASE(case_131_never_before_the_deadline, EVERYWHERE, 0, 1)
{
    static const int64_t waits_us[] = { 1, 10, 16, 17, 100, 999, 1024, 2500, 30000 };
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    for (size_t i = 0; i < sizeof waits_us / sizeof waits_us[0]; i++) {
        struct op op = { .chan = chan, .deadline_ns = weir_in_us(waits_us[i]) };
        uint64_t value;

        actor_start(scene, &op.actor, take_until, &op);
        CHECK_SAME(weir_chan_recv(chan, &value, op.deadline_ns), -ETIME);
        CHECK(weir_now_ns() >= op.deadline_ns);
        CHECK_SAME(end_op(&op), -ETIME);
    }
    CHECK_SAME(count_waiters(chan), 0);
    weir_chan_release(chan);
}

CASE(case_133_past_deadline_tries_first, EVERYWHERE, 0, 1)
{
    static const int64_t deadlines_ns[] = { WEIR_NOW, 1, -1, INT64_MIN };
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    for (size_t i = 0; i < sizeof deadlines_ns / sizeof deadlines_ns[0]; i++) {
        int refusal = deadlines_ns[i] == WEIR_NOW ? -EAGAIN : -ETIME;
        uint64_t value = 3;
        struct weir_clause clause = weir_clause_recv(chan, &value);
        struct op take;

        CHECK_SAME(weir_chan_recv(chan, &value, deadlines_ns[i]), refusal);
        CHECK_SAME(weir_select(&clause, 1, 0, deadlines_ns[i]), refusal);
        begin_recv(scene, &take, chan);
        CHECK_SAME(weir_chan_send(chan, &value, deadlines_ns[i]), 0);
        CHECK_SAME(end_op(&take), 0);
        fill(chan, scene->capacity);
        CHECK_SAME(weir_chan_send(chan, &value, deadlines_ns[i]), refusal);
        if (scene->capacity)
            CHECK_SAME(weir_chan_recv(chan, &value, deadlines_ns[i]), 0);
    }
    CHECK_SAME(count_waiters(chan), 0);
    weir_chan_release(chan);
}

CASE(case_134_value_in_time_takes_the_timer_away, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    uint64_t armed = timers_armed();

    for (int round = 0; round < 20; round++) {
        struct op put = { .chan = chan, .value = 5, .deadline_ns = WEIR_FOREVER };
        uint64_t value = 0;

        actor_start(scene, &put.actor, op_send, &put);
        CHECK_SAME(weir_chan_recv(chan, &value, weir_in_us(LONG_US)), 0);
        CHECK_SAME(timers_armed(), armed);
        CHECK_SAME(value, 5);
        CHECK_SAME(end_op(&put), 0);
    }
    weir_chan_release(chan);
}

CASE(case_136_for_ever_is_for_ever, EVERYWHERE, ANY_CAPACITY)
{
    static const int64_t deadlines_ns[] = { WEIR_FOREVER, INT64_MAX - 1, INT64_MAX / 2 };
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    CHECK_SAME(weir_in_ns(INT64_MAX), WEIR_FOREVER);
    CHECK_SAME(weir_in_ms(INT64_MAX), WEIR_FOREVER);
    CHECK_SAME(weir_in_seconds(INT64_MAX / 2), WEIR_FOREVER);
    CHECK(weir_in_ns(-5) != WEIR_NOW);
    CHECK(weir_in_seconds(INT64_MIN) != WEIR_NOW);
    for (size_t i = 0; i < sizeof deadlines_ns / sizeof deadlines_ns[0]; i++) {
        struct op take = { .chan = chan, .deadline_ns = deadlines_ns[i] };

        actor_start(scene, &take.actor, op_recv, &take);
        await_receivers(chan, 1);
        (void)weir_sleep(weir_in_us(100)); /* timers run meanwhile */
        CHECK(!is_done(&take));
        CHECK_SAME(try_send(chan, 1), 0);
        CHECK_SAME(end_op(&take), 0);
    }
    weir_chan_release(chan);
}

struct crowd {
    struct weir_chan *chan;
    int64_t deadline_ns;
    atomic_ulong expired;
};

static int expire_in_crowd(void *arg)
{
    struct crowd *crowd = arg;
    uint64_t value;

    if (CHECK_SAME(weir_chan_recv(crowd->chan, &value, crowd->deadline_ns), -ETIME))
        atomic_fetch_add(&crowd->expired, 1);
    return 0;
}

CASE(case_137_equal_deadlines_all_fire, ON_TASKS, 0)
{
    unsigned long count = (unsigned long)test_rounds(10000, 100000, 100000);
    struct crowd crowd = {
        .chan = make_chan(scene->capacity, NULL),
        .deadline_ns = weir_in_ms((int64_t)count / 50),
    };

    for (unsigned long i = 0; i < count; i++) {
        struct weir_spawn_options options = {
            .place = WEIR_PLACE_LOOP,
            .loop_index = scene->setting == TWO_LOOPS ? i % 2 : 0,
            .wait_ns = INT64_MAX,
        };

        CHECK_SAME(weir_spawn(scene->scope, expire_in_crowd, &crowd, &options), 0);
    }
    AWAIT(atomic_load(&crowd.expired) == count);
    AWAIT(count_waiters(crowd.chan) == 0);
    AWAIT(weir_scope_count(scene->scope) == 0);
    weir_chan_release(crowd.chan);
}

/* Each value comes in time; then the old deadline passes while the next wait, with a far one or
 * none, goes on: it must not end by the old one. */
CASE(case_139_no_stale_fire_after_a_rearm, EVERYWHERE, 0)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    for (int round = 0; round < 20; round++) {
        int64_t soon_ns = weir_in_us(300);
        uint64_t value = 0;
        struct weir_clause clauses[] = {
            weir_clause_recv(chan, &value),
            weir_clause_timer(weir_in_us(LONG_US)),
        };
        struct op first = { .chan = chan, .value = 1, .deadline_ns = WEIR_FOREVER };
        struct op second = { .chan = chan, .value = 2, .deadline_ns = WEIR_FOREVER };
        int result;

        actor_start(scene, &first.actor, op_send, &first);
        result = weir_chan_recv(chan, &value, soon_ns);
        if (result == -ETIME) /* a slow machine: there is nothing stale to see this time */
            CHECK_SAME(weir_chan_recv(chan, &value, WEIR_FOREVER), 0);
        CHECK_SAME(end_op(&first), 0);
        (void)weir_sleep(soon_ns);
        actor_start(scene, &second.actor, op_send, &second);
        if (round % 2)
            CHECK_SAME(weir_select(clauses, 2, 0, WEIR_FOREVER), 0);
        else
            CHECK_SAME(weir_chan_recv(chan, &value, WEIR_FOREVER), 0);
        CHECK_SAME(value, 2);
        CHECK_SAME(end_op(&second), 0);
    }
    weir_chan_release(chan);
}

/* --- The wheel --- */

enum { WHEEL_TIMERS = 512 };

struct model {
    struct weir__timer timers[WHEEL_TIMERS];
    int64_t now_ns;
    uint64_t armed;
};

static struct model model;

static void model_fire(struct weir__timer *timer)
{
    CHECK(timer->deadline_ns <= model.now_ns); /* never early */
    model.armed--;
}

/* Nothing that was due a whole tick ago is left. */
static void check_wheel(struct weir__wheel *wheel)
{
    weir__wheel_verify(wheel);
    CHECK_SAME(wheel->count, model.armed);
    for (size_t i = 0; i < WHEEL_TIMERS; i++)
        if (weir__timer_armed(&model.timers[i]))
            CHECK(model.timers[i].deadline_ns > model.now_ns - (1 << WEIR__TIMER_TICK_BITS));
    CHECK(model.armed == 0 || weir__wheel_next(wheel) < INT64_MAX);
}

CASE(case_140_wheel_under_random_use, ALONE, 0)
{
    struct weir__wheel wheel;
    uint64_t random = 7;

    (void)scene;
    model = (struct model){ .now_ns = 123456789012345 };
    weir__wheel_init(&wheel, model.now_ns);
    for (size_t i = 0; i < WHEEL_TIMERS; i++)
        weir__timer_init(&model.timers[i], model_fire);
    weir__timer_disarm(&wheel, &model.timers[0]); /* from an empty wheel */
    for (long round = 0; round < test_rounds(200000, 1000000, 10000000); round++) {
        struct weir__timer *timer = &model.timers[roll(&random) % WHEEL_TIMERS];
        int64_t span_ns = (int64_t)(roll(&random) >> (roll(&random) % 50 + 10));

        if (roll(&random) % 8 == 0) {
            model.now_ns += span_ns >> 12;
            weir__wheel_expire(&wheel, model.now_ns);
        } else if (weir__timer_armed(timer)) {
            weir__timer_disarm(&wheel, timer);
            model.armed--;
        } else {
            weir__timer_arm(&wheel, timer, model.now_ns + span_ns - 1000);
            model.armed++;
        }
        if (round % 256 == 0)
            check_wheel(&wheel);
    }
    for (size_t i = 0; i < WHEEL_TIMERS; i++)
        model.armed -= weir__timer_armed(&model.timers[i]);
    CHECK_SAME(model.armed, 0);
}

/* --- Conservation --- */

struct flow {
    struct weir_chan *chan;
    uint64_t count;
    atomic_ulong expired;
};

/* Sends 0, 1, ... each with a short deadline, and again until it is accepted. */
static int send_with_retries(void *arg)
{
    struct flow *flow = arg;
    uint64_t random = 1;

    for (uint64_t value = 0; value < flow->count; value++) {
        int result;

        while ((result = weir_chan_send(flow->chan, &value,
                                        weir_in_ns((int64_t)(roll(&random) % 20000)))) == -ETIME)
            atomic_fetch_add(&flow->expired, 1);
        CHECK_SAME(result, 0);
    }
    return 0;
}

CASE(case_142_expired_put_was_not_delivered, EVERYWHERE, 0, 1)
{
    struct flow flow = {
        .chan = make_chan(scene->capacity, NULL),
        .count = (uint64_t)test_rounds(10000, 200000, 200000),
    };
    struct actor sender;
    uint64_t random = 2;

    actor_start(scene, &sender, send_with_retries, &flow);
    for (uint64_t expected = 0, value; expected < flow.count; expected++) {
        unsigned long expired = atomic_load(&flow.expired);

        if (expected % 1000 == 0) /* whoever is faster: now and then, one expires */
            AWAIT(atomic_load(&flow.expired) > expired);
        if (roll(&random) % 8 == 0)
            (void)weir_sleep(weir_in_ns((int64_t)(roll(&random) % 20000)));
        CHECK_SAME(weir_chan_recv(flow.chan, &value, WEIR_FOREVER), 0);
        CHECK_SAME(value, expected);
    }
    actor_join(&sender);
    CHECK(atomic_load(&flow.expired) >= flow.count / 1000);
    CHECK_SAME(look(flow.chan).sent_total, flow.count);
    weir_chan_release(flow.chan);
}

static int send_with_pauses(void *arg)
{
    struct flow *flow = arg;
    uint64_t random = 3;

    for (uint64_t value = 0; value < flow->count; value++) {
        if (roll(&random) % 16 == 0)
            (void)weir_sleep(weir_in_us((int64_t)(roll(&random) % 400)));
        CHECK_SAME(weir_chan_send(flow->chan, &value, WEIR_FOREVER), 0);
    }
    return 0;
}

CASE(case_143_take_with_timeout_loses_nothing, EVERYWHERE, 1, 7)
{
    struct flow flow = {
        .chan = make_chan(scene->capacity, NULL),
        .count = (uint64_t)test_rounds(1000, 200000, 200000),
    };
    struct actor sender;
    uint64_t random = 4, expected = 0;

    actor_start(scene, &sender, send_with_pauses, &flow);
    while (expected < flow.count) {
        uint64_t value;
        int result =
            weir_chan_recv(flow.chan, &value, weir_in_us(100 + (int64_t)(roll(&random) % 900) / 4));

        if (result == 0)
            CHECK_SAME(value, expected++);
        else
            CHECK_SAME(result, -ETIME);
    }
    actor_join(&sender);
    weir_chan_release(flow.chan);
}

/* --- Timer clauses --- */

CASE(case_145_timer_clauses_leave_nothing, ALONE, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_chan *never = make_chan(0, NULL);
    uint64_t armed = timers_armed();
    unsigned long allocated = weir__memory_alloc_count();
    uint64_t value = 0;

    for (long round = test_rounds(100000, 1000000, 1000000); round > 0; round--) {
        bool parks = round % 100 == 0;
        struct weir_clause clauses[] = {
            weir_clause_recv(parks ? never : chan, &value),
            weir_clause_timer(weir_in_us(parks ? 1 : LONG_US)),
            weir_clause_timer(weir_in_us(LONG_US)),
        };

        if (!parks)
            CHECK_SAME(weir_chan_send(chan, &value, WEIR_NOW), 0);
        CHECK_SAME(weir_select(clauses, 3, 0, weir_in_us(LONG_US)), parks ? 1 : 0);
    }
    CHECK_SAME(timers_armed(), armed);
    CHECK_SAME(weir__memory_alloc_count(), allocated);
    weir_chan_release(chan);
    weir_chan_release(never);
}

CASE(case_146_ready_timer_takes_its_chance, ALONE, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    unsigned wins[2] = { 0, 0 };
    uint64_t value;

    fill(chan, 1);
    for (int round = 0; round < 2000; round++) {
        struct weir_clause clauses[] = {
            weir_clause_timer(1),
            weir_clause_recv(chan, &value),
        };
        struct weir_clause reversed[] = { clauses[1], clauses[0] };
        int won = weir_select(clauses, 2, 0, WEIR_FOREVER);

        if (CHECK(won == 0 || won == 1))
            wins[won]++;
        if (won == 1)
            fill(chan, 1);
        CHECK_SAME(weir_select(clauses, 2, WEIR_SELECT_PRIORITY, WEIR_FOREVER), 0);
        CHECK_SAME(weir_select(reversed, 2, WEIR_SELECT_PRIORITY, WEIR_FOREVER), 0);
        fill(chan, 1);
        CHECK_SAME(weir_select(&clauses[1], 1, 0, 1), 0); /* the argument loses */
        fill(chan, 1);
    }
    CHECK(wins[0] > 800);
    CHECK(wins[1] > 800);
    weir_chan_release(chan);
}

CASE(case_148_fresh_timer_against_steady_work, EVERYWHERE, 0, 1)
{
    struct flow flow = {
        .chan = make_chan(scene->capacity, NULL),
        .count = (uint64_t)test_rounds(1000, 200000, 200000),
    };
    struct actor sender;
    uint64_t expected = 0;

    actor_start(scene, &sender, send_with_pauses, &flow);
    while (expected < flow.count) {
        uint64_t value;
        struct weir_clause clauses[] = {
            weir_clause_recv(flow.chan, &value),
            weir_clause_timer(weir_in_us(150)),
        };
        int won = weir_select(clauses, 2, 0, WEIR_FOREVER);

        if (won == 0)
            CHECK_SAME(value, expected++);
        else
            CHECK_SAME(won, 1);
    }
    actor_join(&sender);
    CHECK_SAME(count_waiters(flow.chan), 0);
    weir_chan_release(flow.chan);
}

/* The loop's clock goes on also where nobody sleeps and no timer is armed. */
CASE(timer_clause_comes_due_on_a_busy_loop, ALONE, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    int64_t end_ns = end_of_patience();
    uint64_t value = 0;
    struct weir_clause clauses[] = {
        weir_clause_recv(chan, &value),
        weir_clause_timer(weir_in_us(100)),
    };
    int won = 0;

    while (won == 0 && weir_now_ns() < end_ns) {
        CHECK_SAME(weir_chan_send(chan, &value, WEIR_NOW), 0);
        won = weir_select(clauses, 2, 0, WEIR_NOW);
    }
    CHECK_SAME(won, 1);
    weir_chan_release(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_131_never_before_the_deadline),
        cmocka_unit_test(case_133_past_deadline_tries_first),
        cmocka_unit_test(case_134_value_in_time_takes_the_timer_away),
        cmocka_unit_test(case_136_for_ever_is_for_ever),
        cmocka_unit_test(case_137_equal_deadlines_all_fire),
        cmocka_unit_test(case_139_no_stale_fire_after_a_rearm),
        cmocka_unit_test(case_140_wheel_under_random_use),
        cmocka_unit_test(case_142_expired_put_was_not_delivered),
        cmocka_unit_test(case_143_take_with_timeout_loses_nothing),
        cmocka_unit_test(case_145_timer_clauses_leave_nothing),
        cmocka_unit_test(case_146_ready_timer_takes_its_chance),
        cmocka_unit_test(case_148_fresh_timer_against_steady_work),
        cmocka_unit_test(timer_clause_comes_due_on_a_busy_loop),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
