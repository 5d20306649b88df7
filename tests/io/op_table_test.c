/* SPDX-License-Identifier: MIT */
/*
 * Every row of the table: success, error, deadline, cancel, and that the figures say where it ran.
 * A row waits for a peer, for its credit or for a thread of the pool; the test holds the only
 * credit and the only thread. A row that never waits is checked to answer in spite of it.
 */
#include "op_trial.h"

static uint64_t started_count(enum weir__op_id id)
{
    struct weir_op_stats stats = stats_of(id);

    return stats.inline_count + stats.ring_count + stats.pool_count;
}

static void check_success(struct trial *trial)
{
    struct weir_op_stats before = stats_of(trial->id), after;
    enum weir__route route = fixtures[trial->id].route;
    int64_t result;

    trial->how = SUCCEED;
    result = trial_result(trial, WEIR_FOREVER);
    expect(trial, "success", result < 0 ? result : 0, 0);
    after = stats_of(trial->id);
    expect(trial, "on the ring", (int64_t)(after.ring_count - before.ring_count),
           route == WEIR__ROUTE_RING);
    expect(trial, "on the pool", (int64_t)(after.pool_count - before.pool_count),
           route == WEIR__ROUTE_POOL);
    expect(trial, "inline", (int64_t)(after.inline_count - before.inline_count),
           route == WEIR__ROUTE_INLINE);
    expect(trial, "failures", (int64_t)(after.failed_count - before.failed_count), 0);
}

static void check_error(struct trial *trial)
{
    struct weir_op_stats before = stats_of(trial->id);

    trial->how = FAIL;
    expect(trial, "error", trial_result(trial, WEIR_FOREVER), fixtures[trial->id].fail_error);
    expect(trial, "failures", (int64_t)(stats_of(trial->id).failed_count - before.failed_count), 1);
}

/* Cancelled before it began: no effect, unless it is a release call, which is always done. */
static void check_cancelled_before(struct trial *trial)
{
    struct weir_op_stats before = stats_of(trial->id);
    uint64_t started = started_count(trial->id);
    bool is_release = weir__op_rows[trial->id].is_release;

    trial->how = SUCCEED;
    trial->await_cancel = true;
    trial_start(trial, WEIR_FOREVER);
    CHECK_EQUAL(weir_task_cancel(trial->call.task), 0);
    expect(trial, "cancelled before", call_finish(&trial->call), is_release ? 0 : -ECANCELED);
    expect(trial, "started", (int64_t)(started_count(trial->id) - started), is_release);
    expect(trial, "cancelled",
           (int64_t)(stats_of(trial->id).cancelled_count - before.cancelled_count), !is_release);
}

static void check_cancelled_in_wait(struct trial *trial)
{
    trial_start(trial, WEIR_FOREVER);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(trial->call.task), 0);
    expect(trial, "cancelled in wait", call_finish(&trial->call), -ECANCELED);
}

/* A row that waits: for its peer, or for what the test holds. */
static void check_wait(struct trial *trial)
{
    struct weir_op_stats before = stats_of(trial->id), after;

    trial->how = how_it_waits(trial->id);
    expect(trial, "try", trial_result(trial, WEIR_NOW), -EAGAIN);
    expect(trial, "deadline passed", trial_result(trial, weir_now_ns()), -ETIME);
    expect(trial, "deadline to come", trial_result(trial, weir_in_ms(2)), -ETIME);
    check_cancelled_in_wait(trial);
    after = stats_of(trial->id);
    expect(trial, "expired", (int64_t)(after.expired_count - before.expired_count), 3);
    expect(trial, "cancelled", (int64_t)(after.cancelled_count - before.cancelled_count), 1);
    expect(trial, "pool jobs", (int64_t)(after.pool_count - before.pool_count), 0);
}

/* A row that never waits: whatever the deadline. */
static void check_no_wait(struct trial *trial)
{
    trial->how = SUCCEED;
    expect(trial, "try", trial_result(trial, WEIR_NOW), 0);
    expect(trial, "deadline passed", trial_result(trial, weir_now_ns()), 0);
}

/* A release call waits in spite of a cancel; done when `let_go` gives it what it needs. */
static void check_release(struct trial *trial, void (*let_go)(void))
{
    trial->how = SUCCEED;
    trial_start(trial, WEIR_FOREVER);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(trial->call.task), 0);
    weir__sched_settle();
    CHECK_EQUAL(trial->call.result, 0);
    let_go();
    expect(trial, "release", call_finish(&trial->call), 0);
}

static void open_gate(void)
{
    CHECK_EQUAL(sem_post(&gate), 0);
}

static int free_body(void *arg)
{
    struct world world = { 0 };

    (void)arg;
    world_init(&world);
    for (enum weir__op_id id = 0; id < WEIR__OP_ID_COUNT; id++) {
        struct trial trial = { .world = &world, .id = id };

        if (left_out(&world, id))
            continue;
        check_success(&trial);
        check_error(&trial);
        check_cancelled_before(&trial);
    }
    world_term(&world);
    return 0;
}

static int held_body(void *arg)
{
    struct call holder;
    struct world world = { 0 };

    (void)arg;
    world_init(&world);
    for (enum weir__op_id id = 0; id < WEIR__OP_ID_COUNT; id++) /* kinds are learned on the pool */
        if (weir__op_rows[id].holds == WEIR__HOLDS_FILE && !left_out(&world, id))
            CHECK(fixtures[id].call(&world, SUCCEED, WEIR_FOREVER) >= 0);
    hold_pool(&holder);
    hold_credits();
    for (enum weir__op_id id = 0; id < WEIR__OP_ID_COUNT; id++) {
        struct trial trial = { .world = &world, .id = id };

        if (left_out(&world, id) || fixtures[id].no_deadline)
            continue;
        if (fixtures[id].route == WEIR__ROUTE_INLINE)
            check_no_wait(&trial);
        else
            check_wait(&trial);
    }
    give_credits();
    check_release(&(struct trial){ .world = &world, .id = WEIR__OP_ID_CLOSE }, open_gate);
    CHECK_EQUAL(call_finish(&holder), 0);
    world_term(&world);
    return 0;
}

static const struct weir_options narrow = {
    .loop_count = 1,
    .submission_limit = 1,
    .pool_threads_max = 1,
};

static void test_success_error_and_cancel(void **state)
{
    int fd_count = count_fds();

    (void)state;
    assert_int_equal(test_run(free_body, NULL, &narrow), 0);
    assert_int_equal(count_fds(), fd_count);
}

static void test_deadline_and_cancel_in_wait(void **state)
{
    int fd_count = count_fds();

    (void)state;
    assert_int_equal(test_run(held_body, NULL, &narrow), 0);
    assert_int_equal(count_fds(), fd_count);
}

/* A row has what its routes need; and this test knows it. */
static void test_rows_are_complete(void **state)
{
    (void)state;
    for (enum weir__op_id id = 0; id < WEIR__OP_ID_COUNT; id++) {
        const struct weir__op_row *row = &weir__op_rows[id];

        assert_non_null(row->name);
        assert_non_null(row->why);
        assert_non_null(fixtures[id].call);
        assert_true(row->prep || row->call);
        assert_true((row->prep != NULL) == (row->since != 0));
        assert_true(row->since <= 601); /* the oldest kernel that weir runs on has it */
        assert_true(row->route == WEIR__ROUTE_RING ? row->prep != NULL : row->call != NULL);
        assert_true(row->choose || !row->prep || !row->call);
        for (enum weir__op_id other = 0; other < id; other++)
            assert_string_not_equal(row->name, weir__op_rows[other].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_complete),
        IN_FOLDER(test_success_error_and_cancel),
        IN_FOLDER(test_deadline_and_cancel_in_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
