/* SPDX-License-Identifier: MIT */
/* Deadline and cancel go down: what of them reaches whom, when, and what a shield keeps away. */
#include "core/loop.h"
#include "support/support.h"

#include <weir/bucket.h>
#include <weir/call.h>
#include <weir/chan.h>
#include <weir/pool.h>
#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/task.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct weir_options two_loops = { .loop_count = 2 };
static _Atomic long parked_count, cancelled_count, gate, stage;

static int setup(void **state)
{
    (void)state;
    parked_count = cancelled_count = gate = stage = 0;
    return 0;
}

static struct weir_scope *create(enum weir_scope_kind kind)
{
    struct weir_scope *scope = NULL;

    CHECK_EQUAL(weir_scope_create(&scope, kind, NULL), 0);
    return scope;
}

static void spawn(struct weir_scope *scope, weir_task_fn *fn, void *arg, unsigned loop_index)
{
    struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP, .loop_index = loop_index };

    CHECK_EQUAL(weir_spawn(scope, fn, arg, &options), 0);
}

static int park(void *arg)
{
    int error;

    (void)arg;
    parked_count++;
    error = weir_sleep(WEIR_FOREVER);
    cancelled_count += error == -ECANCELED;
    return error;
}

static void await_cancelled(long count)
{
    test_await(&cancelled_count, count);
}

static uint64_t armed_timers(void)
{
    return weir__loop_current->wheel.count;
}

/* --- At the deadline. ------------------------------------------------------------------------- */

static int expire(void *arg)
{
    static const struct {
        enum weir_scope_kind kind;
        bool at_creation;
    } rows[] = {
        { WEIR_SCOPE_FAIL_FAST, true }, { WEIR_SCOPE_COLLECT, false },
        { WEIR_SCOPE_SUPERVISE, true }, { WEIR_SCOPE_RACE, false },
        { WEIR_SCOPE_ANY, true },
    };

    (void)arg;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_scope_options options = { .duration_ns = rows[i].at_creation ? 200000 : 0 };
        struct weir_scope *scope;

        parked_count = cancelled_count = 0;
        CHECK_EQUAL(weir_scope_create(&scope, rows[i].kind, &options), 0);
        if (!rows[i].at_creation)
            CHECK_EQUAL(weir_scope_set_deadline(scope, weir_in_seconds(1000)), 0);
        for (unsigned loop = 0; loop < 2; loop++)
            if (weir_spawn(scope, park, NULL,
                           &(struct weir_spawn_options){ .place = WEIR_PLACE_LOOP,
                                                         .loop_index = loop }) < 0)
                CHECK(rows[i].at_creation); /* the machine was so slow */
        if (!rows[i].at_creation) {
            test_await(&parked_count, 2);
            CHECK_EQUAL(weir_scope_set_deadline(scope, weir_in_us(100)), 0);
        }
        CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), -ETIME);
        CHECK_EQUAL(cancelled_count, parked_count);
        CHECK_EQUAL(armed_timers(), 0);
    }
    return 0;
}

static void test_a_scope_ends_at_its_deadline(void **state)
{
    (void)state;
    assert_int_equal(test_run(expire, NULL, &two_loops), 0);
}

static int take_back(void *arg)
{
    struct weir_scope *scope = create(WEIR_SCOPE_COLLECT);

    (void)arg;
    CHECK_EQUAL(weir_scope_set_deadline(scope, weir_in_seconds(1000)), 0);
    CHECK_EQUAL(armed_timers(), 1);
    CHECK_EQUAL(weir_scope_set_deadline(scope, weir_in_seconds(2000)), 0);
    CHECK_EQUAL(armed_timers(), 1);
    CHECK_EQUAL(weir_scope_set_deadline(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(armed_timers(), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    scope = create(WEIR_SCOPE_COLLECT);
    CHECK_EQUAL(weir_scope_set_deadline(scope, WEIR_NOW), 0);
    CHECK_EQUAL(weir_spawn(scope, park, NULL, NULL), -ECANCELED);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), -ETIME); /* somebody was refused */
    scope = create(WEIR_SCOPE_COLLECT);
    CHECK_EQUAL(weir_scope_set_deadline(scope, WEIR_NOW), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0); /* nobody was */
    CHECK_EQUAL(weir_scope_set_deadline(NULL, WEIR_NOW), -EINVAL);
    return 0;
}

static void test_a_deadline_moves_and_is_taken_back(void **state)
{
    struct weir_scope_options options = { .duration_ns = 1 };
    struct weir_scope *scope;

    (void)state;
    assert_int_equal(test_run(take_back, NULL, &two_loops), 0);
    assert_int_equal(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, &options), -ENXIO);
    assert_int_equal(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    assert_int_equal(weir_scope_set_deadline(scope, 1), -ENXIO);
    assert_int_equal(weir_scope_join(scope, WEIR_FOREVER), 0);
}

static struct weir_scope *shared;

static int set_and_leave(void *arg)
{
    return weir_scope_set_deadline(shared, *(int64_t *)arg);
}

/* Set on one loop, joined on the other, by the thousand: before, at and after the deadline. */
static int set_elsewhere(void *arg)
{
    long rounds = *(long *)arg;

    for (long i = 0; i < rounds; i++) {
        int64_t deadline_ns = i % 4 == 3 ? weir_in_seconds(1000) : weir_in_us(i % 4 * 10);
        struct weir_scope *setters = create(WEIR_SCOPE_COLLECT);
        int result;

        shared = create(WEIR_SCOPE_COLLECT);
        spawn(setters, set_and_leave, &deadline_ns, 1);
        CHECK_EQUAL(weir_scope_join(setters, WEIR_FOREVER), 0);
        if (i % 2 == 0) {
            int error = weir_spawn(shared, park, NULL, NULL);

            CHECK(error == 0 || error == -ECANCELED);
        }
        result = weir_scope_join(shared, i % 4 == 3 ? WEIR_FOREVER : weir_in_us(20));
        CHECK(result == -ETIME || (result == 0 && i % 2));
    }
    return 0;
}

static void test_an_alarm_elsewhere_meets_the_join(void **state)
{
    long rounds = test_rounds(1000, 20000, 200000);

    (void)state;
    assert_int_equal(test_run(set_elsewhere, &rounds, &two_loops), 0);
}

/* --- Seen below. ------------------------------------------------------------------------------ */

static int64_t seen_ns[4];

static int see_in_pool(void *arg)
{
    (void)arg;
    seen_ns[2] = weir_deadline_ns();
    return 0;
}

static int see_in_handler(const void *request, void *response, void *context)
{
    (void)request;
    (void)response;
    (void)context;
    seen_ns[3] = weir_deadline_ns();
    return 0;
}

static int see_below(void *arg)
{
    (void)arg;
    seen_ns[1] = weir_deadline_ns();
    return 0;
}

static int see(void *arg)
{
    struct weir_scope *inner = create(WEIR_SCOPE_COLLECT);

    seen_ns[0] = weir_deadline_ns();
    CHECK_EQUAL(weir_scope_set_deadline(inner, weir_in_seconds(100000)), 0); /* a later one */
    spawn(inner, see_below, NULL, 0);
    CHECK_EQUAL(weir_scope_join(inner, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_pool_run(see_in_pool, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_call(arg, NULL, NULL, NULL, WEIR_FOREVER), 0);
    return 0;
}

static int look(void *arg)
{
    struct weir_scope *servers = create(WEIR_SCOPE_COLLECT);
    struct weir_scope *scope = create(WEIR_SCOPE_COLLECT);
    int64_t deadline_ns = weir_in_seconds(1000);
    struct weir_chan *port;

    (void)arg;
    CHECK_EQUAL(weir_port_create(&port, NULL, 0, 0), 0);
    CHECK_EQUAL(weir_serve(servers, port, see_in_handler, NULL, NULL), 0);
    CHECK_EQUAL(weir_deadline_ns(), WEIR_FOREVER);
    CHECK_EQUAL(weir_scope_set_deadline(scope, deadline_ns), 0);
    spawn(scope, see, port, 1);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(seen_ns[i], deadline_ns);
    CHECK_EQUAL(weir_chan_close(port, 0), 0);
    CHECK_EQUAL(weir_scope_join(servers, WEIR_FOREVER), 0);
    weir_chan_release(port);
    return 0;
}

static void test_all_below_see_the_earliest_deadline(void **state)
{
    (void)state;
    assert_int_equal(test_run(look, NULL, &two_loops), 0);
}

static int recv_in_pool(void *arg)
{
    parked_count++;
    return weir_chan_recv(arg, NULL, WEIR_FOREVER);
}

static int run_in_pool(void *arg)
{
    return weir_pool_run(recv_in_pool, arg, WEIR_FOREVER);
}

static int expire_in_pool(void *arg)
{
    struct weir_scope *scope = create(WEIR_SCOPE_COLLECT);
    struct weir_chan *silent;

    (void)arg;
    CHECK_EQUAL(weir_chan_create(&silent, 0, 0, NULL), 0);
    CHECK_EQUAL(weir_scope_set_deadline(scope, weir_in_ms(20)), 0);
    spawn(scope, run_in_pool, silent, 1);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), -ETIME); /* it does end */
    weir_chan_release(silent);
    return 0;
}

static void test_a_job_does_not_wait_beyond_the_deadline(void **state)
{
    (void)state;
    assert_int_equal(test_run(expire_in_pool, NULL, &two_loops), 0);
}

/* What waits for a time ends then, or says that it did not. */
static int wait_in_job(void *arg)
{
    CHECK_EQUAL(weir_sleep(WEIR_FOREVER), -ETIME);
    CHECK_EQUAL(weir_sleep(weir_in_ms(1)), -ETIME);
    CHECK_EQUAL(weir_bucket_take(arg, 1, WEIR_FOREVER), -ETIME);
    CHECK_EQUAL(weir_sleep(1), 0); /* over before it begins */
    stage = 1;
    return 0;
}

static int wait_in_pool(void *arg)
{
    return weir_pool_run(wait_in_job, arg, WEIR_FOREVER);
}

/* Repeated with a later deadline until the job began in time. */
static int expire_asleep(void *arg)
{
    const struct weir_bucket_options slow = { .rate = 1, .period_ns = 3600 * 1000000000LL };
    struct weir_bucket *bucket;
    struct weir_bucket_stats stats;

    (void)arg;
    CHECK_EQUAL(weir_bucket_create(&bucket, &slow), 0);
    CHECK_EQUAL(weir_bucket_take(bucket, 1, WEIR_NOW), 0);
    for (int ms = 20; !stage && CHECK(ms < 20000); ms *= 2) {
        struct weir_scope *scope = create(WEIR_SCOPE_COLLECT);
        int result;

        CHECK_EQUAL(weir_scope_set_deadline(scope, weir_in_ms(ms)), 0);
        spawn(scope, wait_in_pool, bucket, 1);
        result = weir_scope_join(scope, WEIR_FOREVER);
        CHECK(result == -ETIME || (result == 0 && stage)); /* the job may end before the alarm */
    }
    CHECK_EQUAL(weir_bucket_read_stats(bucket, &stats), 0);
    CHECK_EQUAL(stats.passed_total, 1);
    CHECK_EQUAL(stats.expired_total, 1);
    weir_bucket_release(bucket);
    return 0;
}

static void test_a_job_that_was_to_wait_longer_hears_of_the_deadline(void **state)
{
    (void)state;
    assert_int_equal(test_run(expire_asleep, NULL, &two_loops), 0);
}

/* --- Cancelled as a whole. -------------------------------------------------------------------- */

static int hold_thread(void *arg)
{
    (void)arg;
    stage = 1;
    test_await(&gate, 1);
    return 0;
}

/* Owns a scope, and is where no cancel ends its wait: a job runs. */
static int own_and_wait(void *arg)
{
    const struct weir_scope_options options = { .cancel_at_join = *(bool *)arg };
    struct weir_scope *scope;
    int result;

    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, &options), 0);
    spawn(scope, park, NULL, 0);
    spawn(scope, park, NULL, 1);
    CHECK_EQUAL(weir_pool_run(hold_thread, NULL, WEIR_FOREVER), 0);
    result = weir_scope_join(scope, WEIR_FOREVER);
    CHECK_EQUAL(result, -ECANCELED);
    return result;
}

/* Until all that was posted to loop 1 before, and by that, has been delivered: mail is in order. */
static void let_mail_arrive(void)
{
    for (int i = 0; i < 3; i++) {
        struct weir_scope *probe = create(WEIR_SCOPE_COLLECT);

        spawn(probe, see_below, NULL, 1);
        CHECK_EQUAL(weir_scope_join(probe, WEIR_FOREVER), 0);
    }
}

static int cancel_owner(void *arg)
{
    bool at_join[] = { false, true };

    (void)arg;
    for (int i = 0; i < 2; i++) {
        struct weir_scope *scope = create(WEIR_SCOPE_COLLECT);

        parked_count = cancelled_count = gate = stage = 0;
        spawn(scope, own_and_wait, &at_join[i], 1);
        test_await(&parked_count, 2);
        test_await(&stage, 1);
        CHECK_EQUAL(weir_scope_cancel(scope), 0);
        if (at_join[i])
            let_mail_arrive();
        else
            await_cancelled(2);
        CHECK_EQUAL(cancelled_count, at_join[i] ? 0 : 2);
        gate = 1;
        CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
        CHECK_EQUAL(cancelled_count, 2);
    }
    return 0;
}

static void test_an_owners_cancel_reaches_its_scopes_at_once(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_owner, NULL, &two_loops), 0);
}

static int own_under_shield(void *arg)
{
    struct weir_scope *scope, *drained;

    (void)arg;
    weir_shield_enter();
    weir_shield_enter();
    CHECK_EQUAL(weir_deadline_ns(), WEIR_FOREVER);
    scope = create(WEIR_SCOPE_COLLECT);
    spawn(scope, park, NULL, 1);
    stage = 1;
    test_await(&gate, 1);
    while (!weir_cancelled())
        CHECK_EQUAL(weir_yield(), 0);
    weir_shield_leave();
    drained = create(WEIR_SCOPE_COLLECT);
    spawn(drained, see_below, NULL, 1);
    CHECK_EQUAL(weir_scope_join(drained, WEIR_FOREVER), 0); /* work under a shield is done */
    CHECK_EQUAL(seen_ns[1], WEIR_FOREVER);
    CHECK_EQUAL(cancelled_count, 0);
    weir_shield_leave();
    CHECK(weir_deadline_ns() < WEIR_FOREVER);
    await_cancelled(1); /* no join was needed */
    CHECK_EQUAL(weir_yield(), -ECANCELED);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), -ECANCELED);
    return 0;
}

static int cancel_shielded(void *arg)
{
    struct weir_scope *scope = create(WEIR_SCOPE_COLLECT);

    (void)arg;
    CHECK_EQUAL(weir_scope_set_deadline(scope, weir_in_seconds(1000)), 0);
    spawn(scope, own_under_shield, NULL, 0);
    test_await(&stage, 1);
    test_await(&parked_count, 1);
    CHECK_EQUAL(weir_scope_set_deadline(scope, 1), 0);
    CHECK_EQUAL(weir_yield(), 0);
    gate = 1;
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), -ETIME);
    return 0;
}

static void test_a_shield_keeps_cancel_and_deadline_away(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_shielded, NULL, &two_loops), 0);
}

/* The join of a scope under a shield: only its own deadline ends it. */
static int join_shielded(void *arg)
{
    struct weir_scope *scope;
    const struct weir_scope_options options = { .cancel_at_join = true };

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, &options), 0);
    spawn(scope, hold_thread, NULL, 1);
    CHECK_EQUAL(weir_sleep(WEIR_FOREVER), -ECANCELED);
    weir_shield_enter();
    parked_count = 1;
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    spawn(scope, park, NULL, 1);
    CHECK_EQUAL(weir_scope_join(scope, weir_in_us(100)), -ETIME);
    weir_shield_leave();
    return 0;
}

static int drain(void *arg)
{
    struct weir_scope *scope = create(WEIR_SCOPE_COLLECT);

    (void)arg;
    spawn(scope, join_shielded, NULL, 0);
    test_await(&stage, 1);
    CHECK_EQUAL(weir_scope_cancel(scope), 0);
    test_await(&parked_count, 1);
    gate = 1;
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    return 0;
}

static void test_a_join_under_a_shield_drains(void **state)
{
    (void)state;
    assert_int_equal(test_run(drain, NULL, &two_loops), 0);
}

/* --- Handed over. ----------------------------------------------------------------------------- */

/* Its creator ends, or is cancelled, while somebody else joins: any order will do. */
static int create_and_end(void *arg)
{
    (void)arg;
    shared = create(WEIR_SCOPE_COLLECT);
    stage = 1;
    while (!gate && weir_yield() >= 0)
        ;
    return 0;
}

static int hand_over(void *arg)
{
    long rounds = *(long *)arg;

    for (long i = 0; i < rounds; i++) {
        struct weir_scope *scope = create(WEIR_SCOPE_COLLECT);

        gate = stage = 0;
        spawn(scope, create_and_end, NULL, 1);
        test_await(&stage, 1);
        if (i % 2)
            CHECK_EQUAL(weir_scope_cancel(scope), 0);
        gate = 1;
        if (i % 3 == 0)
            CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_scope_join(shared, WEIR_FOREVER), 0);
        if (i % 3)
            CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    }
    return 0;
}

static void test_a_scope_outlives_its_creator(void **state)
{
    long rounds = test_rounds(2000, 50000, 500000);

    (void)state;
    assert_int_equal(test_run(hand_over, &rounds, &two_loops), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_scope_ends_at_its_deadline, setup),
        cmocka_unit_test_setup(test_a_deadline_moves_and_is_taken_back, setup),
        cmocka_unit_test_setup(test_an_alarm_elsewhere_meets_the_join, setup),
        cmocka_unit_test_setup(test_all_below_see_the_earliest_deadline, setup),
        cmocka_unit_test_setup(test_a_job_does_not_wait_beyond_the_deadline, setup),
        cmocka_unit_test_setup(test_a_job_that_was_to_wait_longer_hears_of_the_deadline, setup),
        cmocka_unit_test_setup(test_an_owners_cancel_reaches_its_scopes_at_once, setup),
        cmocka_unit_test_setup(test_a_shield_keeps_cancel_and_deadline_away, setup),
        cmocka_unit_test_setup(test_a_join_under_a_shield_drains, setup),
        cmocka_unit_test_setup(test_a_scope_outlives_its_creator, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
