/* SPDX-License-Identifier: MIT */
/* What a deadline that passed was spent on: one test for each phase, and its counter. */
#include "fixture.h"

#include "core/expiry.h"
#include "watch/stall.h"

enum {
    FILLERS = (WEIR__LOOP_CLOCK_TURNS + 2) * WEIR__LOOP_BUDGET, /* the clock is read meanwhile */
    SOON_MS = 20, /* far enough that a loop that has nothing to do is not late */
};

/* A call that has returned -ETIME: where its time went, and that it was counted there, once. */
static void expect(int64_t result, enum weir_phase phase, enum weir_counter id)
{
    CHECK_EQUAL(result, -ETIME);
    CHECK_EQUAL(weir_expired_phase(), phase);
    CHECK_EQUAL(counter(id), 1);
    for (enum weir_counter other = WEIR_EXPIRED_BEFORE; other <= WEIR_EXPIRED_PEER; other++)
        CHECK_EQUAL(counter(other), other == id);
}

static struct weir_chan *make_chan(void)
{
    struct weir_chan *chan = NULL;

    CHECK_EQUAL(weir_chan_create(&chan, 0, 0, NULL), 0);
    return chan;
}

/* --- Tasks. ----------------------------------------------------------------------------------- */

static int before_body(void *arg)
{
    struct weir_chan *chan = make_chan();

    (void)arg;
    CHECK_EQUAL(weir_expired_phase(), WEIR_PHASE_NONE);
    expect(weir_chan_recv(chan, NULL, 1), WEIR_PHASE_NONE, WEIR_EXPIRED_BEFORE);
    weir_chan_release(chan);
    return 0;
}

static int task_body(void *arg)
{
    struct weir_chan *chan = make_chan();

    (void)arg;
    expect(weir_chan_recv(chan, NULL, weir_in_ms(SOON_MS)), WEIR_PHASE_TASK, WEIR_EXPIRED_TASK);
    weir_chan_release(chan);
    return 0;
}

/* Neither does a sleep expire, nor a call that succeeds all the same. */
static int timer_body(void *arg)
{
    struct weir_chan *chan = make_chan();
    int64_t deadline_ns = weir_in_ms(1);
    int pair[2];
    char byte;

    (void)arg;
    make_pair(pair);
    CHECK_EQUAL(weir_send(pair[1], "x", 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_sleep(weir_in_ms(2)), 0);
    CHECK_EQUAL(weir_recv(pair[0], &byte, 1, 0, deadline_ns), 1);
    CHECK_EQUAL(weir_sleep(deadline_ns), 0);
    deadline_ns = weir_in_ms(1);
    CHECK_EQUAL(weir_sleep(weir_in_ms(2)), 0);
    expect(weir_chan_recv(chan, NULL, deadline_ns), WEIR_PHASE_TIMER, WEIR_EXPIRED_TIMER);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    weir_chan_release(chan);
    return 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Holds the loop until the deadline has passed, and the tick of the wheel that it is in. */
static int hog(void *arg)
{
    while (weir_now_ns() >> WEIR__TIMER_TICK_BITS <=
           (*(const int64_t *)arg >> WEIR__TIMER_TICK_BITS) + 1)
        ;
    return 0;
}

/* The loop is busy from before the park until after the deadline. */
static int busy_body(void *arg)
{
    struct weir_chan *chan = make_chan();
    int64_t deadline_ns = weir_in_ms(1);

    (void)arg;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), hog, &deadline_ns, NULL), 0);
    expect(weir_chan_recv(chan, NULL, deadline_ns), WEIR_PHASE_READY_QUEUE,
           WEIR_EXPIRED_READY_QUEUE);
    weir_chan_release(chan);
    return 0;
}

/* It was woken in time, but others ran past the deadline of its next call. */
static int late_body(void *arg)
{
    struct weir_chan *chan = make_chan();
    int64_t deadline_ns = weir_in_ms(1);

    (void)arg;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), hog, &deadline_ns, NULL), 0);
    for (int i = 0; i < FILLERS; i++)
        CHECK_EQUAL(weir_spawn(weir_task_scope(), nothing, NULL, NULL), 0);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK(weir__loop_current->now_ns > deadline_ns);
    expect(weir_chan_recv(chan, NULL, deadline_ns), WEIR_PHASE_READY_QUEUE,
           WEIR_EXPIRED_READY_QUEUE);
    weir_chan_release(chan);
    return 0;
}

/* --- Queues. ---------------------------------------------------------------------------------- */

static int recv_one(void *arg)
{
    return weir_chan_recv(arg, NULL, WEIR_FOREVER);
}

static int spawn_body(void *arg)
{
    struct weir_spawn_options options = { .wait_ns = SOON_MS * 1000000 };
    struct weir_chan *chan = make_chan();

    (void)arg;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), recv_one, chan, NULL), 0);
    expect(weir_spawn(weir_task_scope(), nothing, NULL, &options), WEIR_PHASE_SPAWN_QUEUE,
           WEIR_EXPIRED_SPAWN_QUEUE);
    CHECK_EQUAL(weir_chan_send(chan, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_chan_release(chan), 0);
    return 0;
}

struct arrival {
    struct weir_chan *chan;
    int64_t deadline_ns;
};

static int arrive_late(void *arg)
{
    const struct arrival *arrival = arg;

    expect(weir_chan_recv(arrival->chan, NULL, arrival->deadline_ns), WEIR_PHASE_SPAWN_QUEUE,
           WEIR_EXPIRED_SPAWN_QUEUE);
    return 0;
}

/* Has heard of all that it was sent, and sleeps. */
static void await_sleep(struct weir__loop *loop, uint64_t received)
{
    while (weir__counter_get(&loop->counters, WEIR_MAIL_RECEIVED) < received ||
           !weir__stall_is_idle(loop))
        CHECK_EQUAL(weir_yield(), 0);
}

/* Spawned in time, from another loop, on one that had no room until the deadline had passed. */
static int arrival_body(void *arg)
{
    struct weir_spawn_options there = { .place = WEIR_PLACE_LOOP, .loop_index = 1 };
    struct weir__loop *other = weir__loop_current->runtime->loops[1];
    struct weir_chan *chan = make_chan();
    struct arrival arrival = { .chan = make_chan() };
    struct weir_scope *scope;
    uint64_t received = weir__counter_get(&other->counters, WEIR_MAIL_RECEIVED);

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, recv_one, chan, &there), 0);
    CHECK_EQUAL(weir_spawn(scope, arrive_late, &arrival, &there), 0);
    await_sleep(other, received + 2);
    arrival.deadline_ns = weir_in_ms(1);
    CHECK_EQUAL(weir_sleep(weir_in_ms(2)), 0);
    CHECK_EQUAL(weir_chan_send(chan, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    weir_chan_release(arrival.chan);
    weir_chan_release(chan);
    return 0;
}

static int pool_body(void *arg)
{
    struct call holder;

    (void)arg;
    hold_pool(&holder);
    expect(weir_pool_run(nothing, NULL, weir_in_ms(SOON_MS)), WEIR_PHASE_POOL_QUEUE,
           WEIR_EXPIRED_POOL_QUEUE);
    let_pool_go(&holder);
    return 0;
}

/* A job for which a thread has to be found in time. */
struct running {
    int64_t soon_ms;
    _Atomic int64_t begun_ns; /* 0: not yet */
    _Atomic long ended;
    bool in_time, abandoned;
};

static int begin(void *arg)
{
    struct running *running = arg;

    atomic_store(&running->begun_ns, weir_now_ns());
    wait_at_gate(&gate);
    atomic_store(&running->ended, 1);
    return 0;
}

/* Left running, as it may be, if it ran when the deadline passed. */
static int running_body(void *arg)
{
    struct weir_job_options options = { .abandonable = true };
    struct running *running = arg;
    int64_t deadline_ns = weir_in_ms(running->soon_ms), begun_ns;
    int result;

    options.abandoned = &running->abandoned;
    sem_init(&gate, 0, 0);
    result = weir_pool_run_on(NULL, begin, running, &options, deadline_ns);
    begun_ns = atomic_load(&running->begun_ns);
    running->in_time = begun_ns > 0 && begun_ns < deadline_ns;
    if (running->in_time) {
        expect(result, WEIR_PHASE_POOL, WEIR_EXPIRED_POOL);
        CHECK(running->abandoned);
    }
    CHECK_EQUAL(sem_post(&gate), 0);
    return 0;
}

/* With as much time as the machine takes to find a thread. The end of a runtime does not wait for a
 * job that was left: it must not speak for the next one. */
static void run_until_running(void)
{
    struct running running = { .soon_ms = SOON_MS };

    for (; !running.in_time; running.soon_ms *= 2) {
        atomic_store(&running.begun_ns, 0);
        atomic_store(&running.ended, 0);
        assert_int_equal(test_run(running_body, &running, &one_loop), 0);
        if (running.abandoned)
            test_await(&running.ended, 1);
    }
}

static void test_in_queues(void **state)
{
    const struct weir_options two_tasks = { .loop_count = 1, .tasks_per_loop = 2 };
    const struct weir_options one_task_each = { .loop_count = 2, .tasks_per_loop = 1 };

    (void)state;
    assert_int_equal(test_run(arrival_body, NULL, &one_task_each), 0);
    assert_int_equal(test_run(spawn_body, NULL, &two_tasks), 0);
    assert_int_equal(test_run(pool_body, NULL, &one_thread), 0);
    run_until_running();
}

/* --- In the kernel. --------------------------------------------------------------------------- */

/* Reads of files that take for ever: no device is so slow, and none lets go of a read. */
static void prep_for_ever(struct weir__op *op, struct io_uring_sqe *sqe)
{
    io_uring_prep_poll_add(sqe, *(const int *)op->address, POLLIN);
}

static const struct weir__op_row slow_read = {
    .name = "slow read",
    .why = "test",
    .route = WEIR__ROUTE_RING,
    .class = WEIR__CLASS_DISK_READ,
    .holds = WEIR__HOLDS_FILE,
    .prep = prep_for_ever,
};

static struct weir__op_row true_read;

/* The compiler must not know what is written to: it may leave out what changes a constant. */
static void change_row(const struct weir__op_row *row)
{
    const struct weir__op_row *volatile constant = &weir__op_rows[WEIR__OP_ID_PREAD];
    struct weir__op_row *place = (struct weir__op_row *)(uintptr_t)constant;
    uintptr_t first = (uintptr_t)place & ~(uintptr_t)4095;
    uintptr_t end = ((uintptr_t)(place + 1) + 4095) & ~(uintptr_t)4095;

    CHECK_EQUAL(mprotect((void *)first, end - first, PROT_READ | PROT_WRITE), 0);
    *place = *row;
    CHECK_EQUAL(mprotect((void *)first, end - first, PROT_READ), 0);
}

static struct weir__credits *read_credits(void)
{
    return &weir__loop_current->io->credits[WEIR__CLASS_DISK_READ];
}

static int read_body(void *arg)
{
    bool is_queued = arg != NULL;
    int file = memory_file();
    int ends[2];

    make_pipe(ends);
    CHECK_EQUAL(weir_fsync(file, WEIR_FOREVER), 0); /* what it is has been found out, on the pool */
    if (is_queued)
        CHECK_EQUAL(weir__credits_take(read_credits(), WEIR_FOREVER), 0);
    expect(weir_pread(file, &ends[0], sizeof ends[0], 0, weir_in_ms(SOON_MS)),
           is_queued ? WEIR_PHASE_SUBMISSION_QUEUE : WEIR_PHASE_DEVICE,
           is_queued ? WEIR_EXPIRED_SUBMISSION_QUEUE : WEIR_EXPIRED_DEVICE);
    CHECK_EQUAL(stats_of(WEIR__OP_ID_PREAD).expired_count, 1);
    CHECK_EQUAL(stats_of(WEIR__OP_ID_PREAD).expired_queued_count, is_queued);
    CHECK_EQUAL(stats_of(WEIR__OP_ID_PREAD).expired_ready_count, 0);
    if (is_queued)
        weir__credits_give(read_credits());
    plain_close(file);
    plain_close(ends[0]);
    plain_close(ends[1]);
    return 0;
}

static void test_at_the_device(void **state)
{
    const struct weir_options one_credit = { .loop_count = 1, .submission_limit = 1 };
    int once = 1;

    (void)state;
    true_read = weir__op_rows[WEIR__OP_ID_PREAD];
    change_row(&slow_read);
    assert_int_equal(test_run(read_body, NULL, &one_credit), 0);
    assert_int_equal(test_run(read_body, &once, &one_credit), 0);
    change_row(&true_read);
    test_carry_out();
}

static int peer_body(void *arg)
{
    bool is_busy = arg != NULL;
    int64_t deadline_ns = weir_in_ms(is_busy ? 1 : SOON_MS);
    int pair[2];
    char byte;

    make_pair(pair);
    if (is_busy)
        CHECK_EQUAL(weir_spawn(weir_task_scope(), hog, &deadline_ns, NULL), 0);
    expect(weir_recv(pair[0], &byte, 1, 0, deadline_ns),
           is_busy ? WEIR_PHASE_READY_QUEUE : WEIR_PHASE_PEER,
           is_busy ? WEIR_EXPIRED_READY_QUEUE : WEIR_EXPIRED_PEER);
    CHECK_EQUAL(stats_of(WEIR__OP_ID_RECV).expired_count, 1);
    CHECK_EQUAL(stats_of(WEIR__OP_ID_RECV).expired_ready_count, is_busy);
    plain_close(pair[0]);
    plain_close(pair[1]);
    return 0;
}

/* The call begins too late, and tries all the same: it was not the peer that took the time. */
static int overslept_body(void *arg)
{
    int64_t deadline_ns = weir_in_ms(1);
    int pair[2];
    char byte;

    (void)arg;
    make_pair(pair);
    CHECK_EQUAL(weir_sleep(weir_in_ms(2)), 0);
    expect(weir_recv(pair[0], &byte, 1, 0, deadline_ns), WEIR_PHASE_TIMER, WEIR_EXPIRED_TIMER);
    plain_close(pair[0]);
    plain_close(pair[1]);
    return 0;
}

static void test_at_the_peer(void **state)
{
    int busy = 1;

    (void)state;
    assert_int_equal(test_run(overslept_body, NULL, &one_loop), 0);
    assert_int_equal(test_run(peer_body, NULL, &one_loop), 0);
    assert_int_equal(test_run(peer_body, &busy, &one_loop), 0);
}

static void test_phases_have_names(void **state)
{
    (void)state;
    for (int phase = 0; phase < WEIR_PHASE_COUNT; phase++)
        assert_non_null(weir_phase_name((enum weir_phase)phase));
    assert_null(weir_phase_name(WEIR_PHASE_COUNT));
    assert_string_equal(weir_phase_name(WEIR_PHASE_PEER), "peer");
}

static void test_in_tasks(void **state)
{
    weir_task_fn *const bodies[] = { before_body, task_body, timer_body, busy_body, late_body };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        assert_int_equal(test_run(bodies[i], NULL, &one_loop), 0);
    assert_int_equal(weir_expired_phase(), WEIR_PHASE_NONE); /* a plain thread */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_tasks),          cmocka_unit_test(test_in_queues),
        cmocka_unit_test(test_at_the_device),     cmocka_unit_test(test_at_the_peer),
        cmocka_unit_test(test_phases_have_names),
    };

    return cmocka_run_group_tests_name("io/expiry", tests, NULL, NULL);
}
