/* SPDX-License-Identifier: MIT */
/* Limiters, in simulated time: who is let in, who waits and for how long, who is refused and why;
 * and that an adaptive one follows a service, with real tasks. */
#include "flow/simulated.h"
#include "sync/fixture.h"

#include <weir/limiter.h>

enum { TICK = 1 << WEIR__TIMER_TICK_BITS }; /* a timer is late by less */

static struct weir_limiter *make_limiter(const struct weir_limiter_options *options)
{
    struct weir_limiter *limiter = NULL;

    CHECK_SAME(weir_limiter_create(&limiter, options), 0);
    return limiter;
}

/* One at a time; patient for 5 ms when the line stands, for 100 ms before. */
static struct weir_limiter *make_narrow(void)
{
    return make_limiter(&(struct weir_limiter_options){ .limit = 1 });
}

static struct weir_limiter_stats look_at(struct weir_limiter *limiter)
{
    struct weir_limiter_stats stats;

    CHECK_SAME(weir_limiter_read_stats(limiter, &stats), 0);
    return stats;
}

static void enter(struct weir_limiter *limiter, struct weir_limiter_pass *pass)
{
    CHECK_SAME(weir_limiter_enter(limiter, pass, WEIR_NOW), 0);
}

/* Somebody who enters, and stays until told. */
struct guest {
    struct actor actor;
    struct weir_limiter *limiter;
    int64_t deadline_ns;
    struct weir_limiter_pass pass;
    int64_t end_ns; /* of the wait; 0: not yet */
    int result;
};

static int be_guest(void *arg)
{
    struct guest *guest = arg;

    guest->result = weir_limiter_enter(guest->limiter, &guest->pass, guest->deadline_ns);
    guest->end_ns = weir__clock_now();
    return 0;
}

static void begin_guest(struct scene *scene, struct guest *guest, struct weir_limiter *limiter,
                        int64_t deadline_ns)
{
    *guest = (struct guest){ .limiter = limiter, .deadline_ns = deadline_ns };
    actor_start(scene, &guest->actor, be_guest, guest);
    weir__sched_settle();
}

static bool is_waiting(const struct guest *guest)
{
    return guest->end_ns == 0;
}

/* Its wait has ended so. */
static void expect(struct guest *guest, int result)
{
    weir__sched_settle();
    CHECK(!is_waiting(guest));
    CHECK_SAME(guest->result, result);
    CHECK_SAME(actor_join(&guest->actor), 0);
}

static void leave(struct guest *guest)
{
    weir_limiter_leave(guest->limiter, &guest->pass, 0);
    weir__sched_settle();
}

/* --- Room --- */

CASE(so_many_and_no_more, ALONE, 0)
{
    struct weir_limiter *limiter = make_limiter(&(struct weir_limiter_options){ .limit = 3 });
    struct weir_limiter_pass passes[3];
    struct guest guest;

    for (int i = 0; i < 3; i++)
        enter(limiter, &passes[i]);
    CHECK_SAME(weir_limiter_enter(limiter, &guest.pass, WEIR_NOW), -EAGAIN);
    begin_guest(scene, &guest, limiter, WEIR_FOREVER);
    CHECK(is_waiting(&guest));
    CHECK_SAME(look_at(limiter).in_flight, 3);
    CHECK_SAME(look_at(limiter).waiting, 1);
    pass_time(10 * MS);
    weir_limiter_leave(limiter, &passes[0], 0);
    expect(&guest, 0);
    weir_limiter_leave(limiter, &passes[1], -EIO);
    weir_limiter_leave(limiter, &passes[2], -ECANCELED);
    CHECK_SAME(look_at(limiter).in_flight, 1);
    leave(&guest);
    CHECK_SAME(look_at(limiter).in_flight, 0);
    CHECK_SAME(look_at(limiter).in_flight_max, 3);
    CHECK_SAME(look_at(limiter).passed_total, 4);
    CHECK_SAME(look_at(limiter).waited_total, 1);
    CHECK_SAME(look_at(limiter).wait_ns_total, 10 * MS);
    CHECK_SAME(look_at(limiter).refused_total, 1);
    CHECK_SAME(look_at(limiter).succeeded_total, 2);
    CHECK_SAME(look_at(limiter).failed_total, 1);
    weir_limiter_release(limiter);
}

CASE(refuses_at_once, ALONE, 0)
{
    const struct weir_limiter_options options = { .limit = 1, .refuse_at_once = true };
    struct weir_limiter *limiter = make_limiter(&options);
    struct weir_limiter_pass pass, other;

    (void)scene;
    enter(limiter, &pass);
    CHECK_SAME(weir_limiter_enter(limiter, &other, WEIR_FOREVER), -EBUSY);
    CHECK_SAME(look_at(limiter).refused_total, 1);
    weir_limiter_leave(limiter, &pass, 0);
    CHECK_SAME(weir_limiter_enter(limiter, &other, WEIR_FOREVER), 0);
    weir_limiter_leave(limiter, &other, 0);
    weir_limiter_release(limiter);
}

CASE(the_line_is_bounded, ALONE, 0)
{
    const struct weir_limiter_options options = { .limit = 1, .waiters_max = 2 };
    struct weir_limiter *limiter = make_limiter(&options);
    struct weir_limiter_pass pass, other;
    struct guest guests[2];

    enter(limiter, &pass);
    begin_guest(scene, &guests[0], limiter, WEIR_FOREVER);
    begin_guest(scene, &guests[1], limiter, WEIR_FOREVER);
    CHECK_SAME(weir_limiter_enter(limiter, &other, WEIR_FOREVER), -EBUSY);
    CHECK_SAME(look_at(limiter).waiting_max, 2);
    weir_limiter_leave(limiter, &pass, 0);
    expect(&guests[0], 0);
    CHECK(is_waiting(&guests[1]));
    leave(&guests[0]);
    expect(&guests[1], 0);
    leave(&guests[1]);
    weir_limiter_release(limiter);
}

/* --- Patience --- */

/* While the line only evens out a burst: the oldest first, and an interval of patience. */
CASE(a_burst_waits_in_order, ALONE, 0)
{
    struct weir_limiter *limiter = make_narrow();
    struct weir_limiter_pass pass;
    struct guest guests[4];

    enter(limiter, &pass);
    for (int i = 0; i < 4; i++)
        begin_guest(scene, &guests[i], limiter, WEIR_FOREVER);
    pass_time(50 * MS);
    CHECK(!look_at(limiter).overloaded);
    weir_limiter_leave(limiter, &pass, 0);
    expect(&guests[0], 0);
    leave(&guests[0]);
    expect(&guests[1], 0);
    CHECK(is_waiting(&guests[2]));
    pass_time(50 * MS - 1);
    CHECK(is_waiting(&guests[2]));
    pass_time(1 + TICK);
    expect(&guests[2], -EBUSY);
    expect(&guests[3], -EBUSY);
    CHECK_SAME(look_at(limiter).late_total, 2);
    leave(&guests[1]);
    weir_limiter_release(limiter);
}

/* When it has not been empty for an interval: the newest first, and only the target of patience. */
CASE(a_standing_line_is_cut_short, ALONE, 0)
{
    struct weir_limiter *limiter = make_narrow();
    struct guest old[3], guests[3];
    struct weir_limiter_pass pass;

    enter(limiter, &pass);
    for (int i = 0; i < 3; i++) { /* it is never empty from here on */
        begin_guest(scene, &old[i], limiter, WEIR_FOREVER);
        pass_time(40 * MS);
    }
    CHECK(look_at(limiter).overloaded);
    expect(&old[0], -EBUSY);
    CHECK(is_waiting(&old[2]));
    for (int i = 0; i < 3; i++)
        begin_guest(scene, &guests[i], limiter, WEIR_FOREVER);
    weir_limiter_leave(limiter, &pass, 0);
    expect(&guests[2], 0);
    CHECK(is_waiting(&guests[0]));
    CHECK(is_waiting(&guests[1]));
    pass_time(5 * MS + TICK);
    expect(&guests[0], -EBUSY);
    expect(&guests[1], -EBUSY);
    leave(&guests[2]); /* those that came before it stood have their old patience */
    expect(&old[2], 0);
    leave(&old[2]);
    expect(&old[1], 0);
    CHECK(!look_at(limiter).overloaded);
    begin_guest(scene, &guests[0], limiter, WEIR_FOREVER); /* it was empty: all is forgotten */
    pass_time(50 * MS);
    CHECK(is_waiting(&guests[0]));
    leave(&old[1]);
    expect(&guests[0], 0);
    leave(&guests[0]);
    weir_limiter_release(limiter);
}

/* --- Deadlines --- */

CASE(what_cannot_be_done_in_time_is_not_let_in, ALONE, 0)
{
    struct weir_limiter *limiter = make_limiter(&(struct weir_limiter_options){ .limit = 2 });
    struct weir_limiter_pass pass, other;
    struct guest guest;

    CHECK_SAME(weir_limiter_enter(limiter, &pass, weir__clock_now()), -ETIME);
    CHECK_SAME(weir_limiter_enter(limiter, &pass, 1), -ETIME);
    enter(limiter, &pass);
    enter(limiter, &other);
    pass_time(20 * MS);
    weir_limiter_leave(limiter, &other, 0); /* so it takes 20 ms, these days */
    CHECK_SAME(look_at(limiter).latency_min_ns, 20 * MS);
    CHECK_SAME(weir_limiter_enter(limiter, &other, weir_in_ms(20)), -ETIME);
    CHECK_SAME(look_at(limiter).expired_total, 3);
    CHECK_SAME(weir_limiter_enter(limiter, &other, weir_in_ms(21)), 0);
    CHECK_SAME(weir_limiter_enter(limiter, &guest.pass, weir_in_ms(20)), -ETIME);
    begin_guest(scene, &guest, limiter, weir_in_ms(30));
    pass_time(10 * MS - TICK);
    CHECK(is_waiting(&guest));
    pass_time(2 * TICK);
    expect(&guest, -ETIME);
    CHECK_SAME(look_at(limiter).late_total, 0);
    weir_limiter_leave(limiter, &other, 0);
    weir_limiter_leave(limiter, &pass, 0);
    pass_time(3LL * SECOND); /* and what it took is forgotten */
    CHECK_SAME(look_at(limiter).latency_min_ns, 0);
    CHECK_SAME(weir_limiter_enter(limiter, &other, weir_in_ms(1)), 0);
    weir_limiter_leave(limiter, &other, 0);
    weir_limiter_release(limiter);
}

/* --- Cancel and close --- */

CASE(a_cancelled_one_leaves_the_line, ALONE, 0)
{
    struct weir_limiter *limiter = make_narrow();
    struct weir_limiter_pass pass;
    struct guest first, second;

    enter(limiter, &pass);
    begin_guest(scene, &first, limiter, WEIR_FOREVER);
    begin_guest(scene, &second, limiter, WEIR_FOREVER);
    CHECK_SAME(weir_task_cancel(first.actor.task), 0);
    expect(&first, -ECANCELED);
    CHECK_SAME(look_at(limiter).cancelled_total, 1);
    CHECK_SAME(look_at(limiter).waiting, 1);
    weir_limiter_leave(limiter, &pass, 0);
    expect(&second, 0);
    leave(&second);
    weir_limiter_release(limiter);
}

CASE(a_closed_one_lets_nobody_in, ALONE, 0)
{
    struct weir_limiter *limiter = make_narrow();
    struct weir_limiter_pass pass, other;
    struct guest first, second;

    enter(limiter, &pass);
    begin_guest(scene, &first, limiter, WEIR_FOREVER);
    begin_guest(scene, &second, limiter, WEIR_FOREVER);
    CHECK_SAME(weir_limiter_close(limiter), 0);
    expect(&first, -EPIPE);
    expect(&second, -EPIPE);
    CHECK_SAME(weir_limiter_enter(limiter, &other, WEIR_NOW), -EPIPE);
    CHECK_SAME(weir_limiter_close(limiter), WEIR_ALREADY);
    weir_limiter_leave(limiter, &pass, 0); /* what was let in goes on */
    CHECK_SAME(look_at(limiter).in_flight, 0);
    CHECK_SAME(look_at(limiter).waiting, 0);
    CHECK_SAME(weir_limiter_enter(limiter, &other, WEIR_NOW), -EPIPE);
    weir_limiter_release(limiter);
}

/* --- Running --- */

static int give_back(void *arg, int64_t deadline_ns)
{
    CHECK_SAME(deadline_ns, WEIR_FOREVER);
    pass_time(MS);
    return *(int *)arg;
}

CASE(runs_a_function, ALONE, 0)
{
    struct weir_limiter *limiter = make_narrow();
    struct weir_limiter_pass pass;
    int result = 7, failure = -EIO;

    (void)scene;
    CHECK_SAME(weir_limiter_run(limiter, give_back, &result, WEIR_FOREVER), 7);
    CHECK_SAME(weir_limiter_run(limiter, give_back, &failure, WEIR_FOREVER), -EIO);
    CHECK_SAME(look_at(limiter).succeeded_total, 1);
    CHECK_SAME(look_at(limiter).failed_total, 1);
    CHECK_SAME(look_at(limiter).latency_mean_ns, MS);
    enter(limiter, &pass);
    CHECK_SAME(weir_limiter_run(limiter, give_back, &result, WEIR_NOW), -EAGAIN);
    weir_limiter_leave(limiter, &pass, 0);
    CHECK_SAME(look_at(limiter).in_flight, 0);
    weir_limiter_release(limiter);
}

/* --- Adaptive: tasks that work at four desks, one each at a time --- */

enum { DESKS = 4, CLIENTS = 128, STEP_NS = 50 * US };

struct office {
    struct weir_limiter *limiter;
    struct weir_chan *desks; /* a token each */
    int64_t work_ns;
    bool closed;
    uint64_t finished;
    int64_t latency_ns; /* added up */
};

static int work(void *arg, int64_t deadline_ns)
{
    struct office *office = arg;
    uint64_t desk;

    CHECK_SAME(weir_chan_recv(office->desks, &desk, deadline_ns), 0);
    CHECK_SAME(weir_sleep(weir_in_ns(office->work_ns)), 0);
    CHECK_SAME(weir_chan_send(office->desks, &desk, WEIR_FOREVER), 0);
    return 0;
}

/* Comes again and again, whether it was let in or not. */
static int be_client(void *arg)
{
    struct office *office = arg;
    struct weir_limiter_pass pass;

    while (!office->closed) {
        if (weir_limiter_enter(office->limiter, &pass, WEIR_FOREVER) < 0) {
            CHECK_SAME(weir_sleep(weir_in_ns(MS)), 0);
            continue;
        }
        int64_t begun_ns = weir__clock_now();
        int result = work(office, WEIR_FOREVER);

        office->finished++;
        office->latency_ns += weir__clock_now() - begun_ns;
        weir_limiter_leave(office->limiter, &pass, result);
    }
    return 0;
}

/* Throughput / latency over so long; *limit is the limit on average. */
static double power_over(struct office *office, int64_t duration_ns, double *limit)
{
    int64_t steps = duration_ns / STEP_NS;

    office->finished = 0;
    office->latency_ns = 0;
    *limit = 0;
    for (int64_t i = 0; i < steps; i++) {
        pass_time(STEP_NS);
        *limit += (double)look_at(office->limiter).limit / (double)steps;
    }
    return (double)office->finished * (double)office->finished / (double)office->latency_ns;
}

static void follow(struct scene *scene, const struct weir_limiter_options *options, double *powers)
{
    struct office office = { .work_ns = 2 * MS, .desks = make_chan(DESKS, NULL) };
    struct actor clients[CLIENTS];
    double limit;

    office.limiter = make_limiter(options);
    fill(office.desks, DESKS);
    for (size_t i = 0; i < CLIENTS; i++)
        actor_start(scene, &clients[i], be_client, &office);
    power_over(&office, 3LL * SECOND, &limit);
    powers[0] = power_over(&office, 2LL * SECOND, &limit);
    office.work_ns *= 4;
    power_over(&office, 5LL * SECOND, &limit);
    powers[1] = power_over(&office, 3LL * SECOND, &limit);
    office.closed = true;
    while (look_at(office.limiter).in_flight > 0 || look_at(office.limiter).waiting > 0)
        pass_time(STEP_NS);
    pass_time(2 * MS);
    for (size_t i = 0; i < CLIENTS; i++)
        CHECK_SAME(actor_join(&clients[i]), 0);
    weir_limiter_release(office.limiter);
    weir_chan_release(office.desks);
}

/* Within 20 % of the best fixed limit, and again five seconds after the work takes four times as
 * long. */
CASE(follows_the_service, ALONE, 0)
{
    double best[2] = { 0 }, fixed[2], found[2];
    /* Sanitizers are for the way, not for the figures. */
    unsigned narrowest = TEST_SANITIZED ? DESKS : 1, widest = TEST_SANITIZED ? DESKS : 8;
    unsigned last_start = TEST_SANITIZED ? 1 : 64;

    for (unsigned limit = narrowest; limit <= widest; limit++) {
        follow(scene, &(struct weir_limiter_options){ .limit = limit }, fixed);
        for (int i = 0; i < 2; i++)
            best[i] = fixed[i] > best[i] ? fixed[i] : best[i];
    }
    for (unsigned start = 1; start <= last_start; start *= 8) {
        follow(scene, &(struct weir_limiter_options){ .adaptive = true, .limit = start }, found);
        printf("    from %u: %.2f of the best, then %.2f\n", start, found[0] / best[0],
               found[1] / best[1]);
        CHECK(found[0] > 0.8 * best[0]);
        CHECK(found[1] > 0.8 * best[1]);
    }
}

/* --- Options --- */

static int create_with(struct weir_limiter_options options)
{
    struct weir_limiter *limiter = NULL;
    int error = weir_limiter_create(&limiter, &options);

    weir_limiter_release(limiter);
    return error;
}

CASE(options_are_checked, ALONE, 0)
{
    struct weir_limiter *limiter = make_limiter(NULL);
    struct weir_limiter_pass pass;

    (void)scene;
    CHECK_SAME(look_at(limiter).limit, 16);
    CHECK_SAME(create_with((struct weir_limiter_options){ .limit_max = 4 }), -EINVAL);
    CHECK_SAME(create_with((struct weir_limiter_options){ .target_ns = -1 }), -EINVAL);
    CHECK_SAME(create_with((struct weir_limiter_options){ .target_ns = 2, .interval_ns = 1 }),
               -EINVAL);
    CHECK_SAME(
        create_with((struct weir_limiter_options){ .adaptive = true, .limit = 5, .limit_max = 4 }),
        -EINVAL);
    CHECK_SAME(
        create_with((struct weir_limiter_options){ .adaptive = true, .limit = 5, .limit_min = 6 }),
        -EINVAL);
    CHECK_SAME(create_with((struct weir_limiter_options){ .adaptive = true, .limit_max = 4 }), 0);
    CHECK_SAME(create_with((struct weir_limiter_options){ .adaptive = true, .limit_min = 40 }), 0);
    CHECK_SAME(create_with((struct weir_limiter_options){ .limit = UINT32_MAX }), -EINVAL);
    CHECK_SAME(create_with((struct weir_limiter_options){ .reserved = { 1 } }), -EINVAL);
    CHECK_SAME(create_with((struct weir_limiter_options){
                   .name = "a name of more than thirty-one letters" }),
               -E2BIG);
    CHECK_SAME(weir_limiter_create(NULL, NULL), -EINVAL);
    CHECK_SAME(weir_limiter_enter(NULL, &pass, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_limiter_enter(limiter, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_limiter_run(limiter, NULL, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_limiter_close(NULL), -EINVAL);
    CHECK_SAME(weir_limiter_read_stats(limiter, NULL), -EINVAL);
    CHECK(weir_limiter_retain(limiter) == limiter);
    weir_limiter_release(limiter);
    weir_limiter_release(limiter);
    weir_limiter_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(so_many_and_no_more, start_clock),
        cmocka_unit_test_setup(refuses_at_once, start_clock),
        cmocka_unit_test_setup(the_line_is_bounded, start_clock),
        cmocka_unit_test_setup(a_burst_waits_in_order, start_clock),
        cmocka_unit_test_setup(a_standing_line_is_cut_short, start_clock),
        cmocka_unit_test_setup(what_cannot_be_done_in_time_is_not_let_in, start_clock),
        cmocka_unit_test_setup(a_cancelled_one_leaves_the_line, start_clock),
        cmocka_unit_test_setup(a_closed_one_lets_nobody_in, start_clock),
        cmocka_unit_test_setup(runs_a_function, start_clock),
        cmocka_unit_test_setup(follows_the_service, start_clock),
        cmocka_unit_test_setup(options_are_checked, start_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
