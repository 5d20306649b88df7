/* SPDX-License-Identifier: MIT */
/* Select over I/O, beside every other kind of clause: who wins, and what a loser leaves. */
#include "fixture.h"

enum { MANY = 3000 };

/* Nothing of a select is left, in the kernel neither. */
static void check_no_trace(int fd, long long owed_before)
{
    check_let_go(fd);
    CHECK_EQUAL(owed(), owed_before);
}

static void take_byte(int fd)
{
    char byte;

    CHECK_EQUAL(weir_recv(fd, &byte, 1, 0, WEIR_NOW), 1);
}

/* --- who wins --------------------------------------------------------------------------------- */

static int return_seven(void *arg)
{
    uint64_t value;

    CHECK_EQUAL(weir_chan_recv(arg, &value, WEIR_FOREVER), 0);
    return 7;
}

/* A select over a channel, a task, a timer, a socket to read, one to write, and a watermark. */
struct things {
    struct weir_chan *chan, *task_chan, *level_chan;
    struct weir_scope *scope;
    struct weir_task *task;
    int pair[2], full[2];
    uint64_t value;
    int task_result;
    int64_t timer_ns;
};

enum { CHAN, TASK, TIMER, READ, WRITE, LEVEL, KIND_COUNT };

static void things_init(struct things *things)
{
    struct weir_spawn_options options = { .name = "seven", .task = &things->task };

    *things = (struct things){ .timer_ns = WEIR_FOREVER };
    CHECK_EQUAL(weir_chan_create(&things->chan, sizeof(uint64_t), 0, NULL), 0);
    CHECK_EQUAL(weir_chan_create(&things->task_chan, sizeof(uint64_t), 0, NULL), 0);
    CHECK_EQUAL(weir_chan_create(&things->level_chan, sizeof(uint64_t), 4, NULL), 0);
    CHECK_EQUAL(weir_scope_create(&things->scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(things->scope, return_seven, things->task_chan, &options), 0);
    make_pair(things->pair);
    make_pair(things->full);
    fill_socket(things->full[0]);
}

static void things_term(struct things *things)
{
    uint64_t value = 0;

    if (things->task_result == 0)
        CHECK_EQUAL(weir_chan_send(things->task_chan, &value, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_join(things->task, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_scope_join(things->scope, WEIR_FOREVER), 0);
    weir_chan_release(things->chan);
    weir_chan_release(things->task_chan);
    weir_chan_release(things->level_chan);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(weir_close(things->pair[i]), 0);
        CHECK_EQUAL(weir_close(things->full[i]), 0);
    }
}

static int64_t select_all(void *arg, int64_t deadline_ns)
{
    struct things *things = arg;
    struct weir_clause clauses[KIND_COUNT] = {
        [CHAN] = weir_clause_recv(things->chan, &things->value),
        [TASK] = weir_clause_join(things->task, &things->task_result),
        [TIMER] = weir_clause_timer(things->timer_ns),
        [READ] = weir_clause_readable(things->pair[0]),
        [WRITE] = weir_clause_writable(things->full[0]),
        [LEVEL] = weir_clause_above(things->level_chan, 1),
    };
    int won = weir_select(clauses, KIND_COUNT, 0, deadline_ns);

    if (won == READ)
        CHECK_EQUAL(clauses[READ].result, POLLIN);
    if (won == WRITE)
        CHECK_EQUAL(clauses[WRITE].result & POLLOUT, POLLOUT);
    CHECK(won < 0 || won == READ || won == WRITE || clauses[won].result == 0);
    return won;
}

static void make_ready(struct things *things, int kind)
{
    static char bytes[BLOCK_BYTES];
    uint64_t value = 5;

    switch (kind) {
    case CHAN:
        CHECK_EQUAL(weir_chan_send(things->chan, &value, WEIR_FOREVER), 0);
        break;
    case TASK:
        CHECK_EQUAL(weir_chan_send(things->task_chan, &value, WEIR_FOREVER), 0);
        break;
    case TIMER: /* set before */
        break;
    case READ:
        send_byte(things->pair[1]);
        break;
    case WRITE:
        while (recv(things->full[1], bytes, sizeof bytes, MSG_DONTWAIT) > 0)
            ;
        break;
    default:
        CHECK_EQUAL(weir_chan_send(things->level_chan, &value, WEIR_FOREVER), 0);
        break;
    }
}

/* Each kind wins, parked or at once, and the others are undone, also in the kernel. */
static int case_130_body(void *arg)
{
    long long owed_before = owed();

    (void)arg;
    for (int kind = 0; kind < 2 * KIND_COUNT; kind++) {
        bool parked = kind % 2;
        struct things things;
        struct call call = call_of(select_all, &things);

        things_init(&things);
        CHECK_EQUAL(select_all(&things, WEIR_NOW), -EAGAIN);
        CHECK_EQUAL(select_all(&things, weir_now_ns()), -ETIME);
        CHECK_EQUAL(select_all(&things, weir_in_ms(1)), -ETIME);
        check_no_trace(things.pair[0], owed_before);
        if (kind / 2 == TIMER)
            things.timer_ns = weir_in_ms(1);
        if (!parked && kind / 2 != CHAN)
            make_ready(&things, kind / 2);
        call_start(&call);
        if (parked || kind / 2 == CHAN) {
            weir__sched_settle();
            make_ready(&things, kind / 2);
        }
        CHECK_EQUAL(call_finish(&call), kind / 2);
        CHECK_EQUAL(things.task_result, kind / 2 == TASK ? 7 : 0);
        CHECK_EQUAL(things.value, kind / 2 == CHAN ? 5 : 0);
        check_no_trace(things.pair[0], owed_before);
        check_no_trace(things.full[0], owed_before);
        if (kind / 2 == READ)
            take_byte(things.pair[0]); /* readiness took nothing */
        CHECK_EQUAL(recv(things.pair[0], &things, 1, MSG_DONTWAIT), -1);
        things_term(&things);
    }
    return 0;
}

static void case_130_each_kind_wins(void **state)
{
    (void)state;
    assert_int_equal(test_run(case_130_body, NULL, &one_loop), 0);
}

/* --- 3000 at once ----------------------------------------------------------------------------- */

struct crowd {
    int pairs[MANY][2];
    int64_t deadline_ns;
    atomic_long expired, cancelled;
    bool by_select;
};

struct member {
    struct crowd *crowd;
    int index;
};

static int wait_for_byte(void *arg)
{
    struct member member = *(struct member *)arg;
    struct crowd *crowd = member.crowd;
    int fd = crowd->pairs[member.index][0];
    struct weir_clause clause = weir_clause_readable(fd);
    char byte;
    int64_t result;

    free(arg);
    if (crowd->by_select)
        result = weir_select(&clause, 1, 0, crowd->deadline_ns);
    else
        result = weir_recv(fd, &byte, 1, 0, crowd->deadline_ns);
    if (CHECK(result == -ETIME || result == -ECANCELED))
        *(result == -ETIME ? &crowd->expired : &crowd->cancelled) += 1;
    return 0;
}

/* All deadlines pass in one turn of a loop with 256 entries: all are undone, all tasks go on. */
static int case_147_body(void *arg)
{
    long long owed_before = owed();
    struct crowd *crowd = calloc(1, sizeof *crowd);
    int count = TEST_SANITIZED ? MANY / 4 : MANY;

    crowd->by_select = arg != NULL;
    for (int i = 0; i < count; i++)
        make_pair(crowd->pairs[i]);
    for (int round = 0; round < 2; round++) {
        struct weir_scope *scope;

        crowd->deadline_ns = round ? WEIR_FOREVER : weir_in_ms(200);
        CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
        for (int i = 0; i < count; i++) {
            struct member *member = malloc(sizeof *member);

            *member = (struct member){ crowd, i };
            CHECK_EQUAL(weir_spawn(scope, wait_for_byte, member, NULL), 0);
        }
        weir__sched_settle();
        if (round)
            weir_scope_cancel(scope);
        CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    }
    CHECK_EQUAL(crowd->expired, count);
    CHECK_EQUAL(crowd->cancelled, count);
    check_no_trace(crowd->pairs[0][0], owed_before);
    for (int i = 0; i < count; i++) {
        send_byte(crowd->pairs[i][1]);
        take_byte(crowd->pairs[i][0]);
        plain_close(crowd->pairs[i][0]);
        plain_close(crowd->pairs[i][1]);
    }
    free(crowd);
    return 0;
}

static void case_147_thousands_expire_in_one_tick(void **state)
{
    static const struct weir_options narrow = { .loop_count = 1, .ring_entries = 256 };

    (void)state;
    assert_int_equal(test_run(case_147_body, NULL, &narrow), 0);
    assert_int_equal(test_run(case_147_body, "select", &narrow), 0);
}

/* More clauses than the ring has entries; every one is undone. */
static int wide_body(void *arg)
{
    static struct weir_clause clauses[WEIR_SELECT_MAX];
    long long owed_before = owed();
    int pairs[4][2];

    (void)arg;
    for (int i = 0; i < 4; i++)
        make_pair(pairs[i]);
    for (int i = 0; i < WEIR_SELECT_MAX; i++)
        clauses[i] = weir_clause_readable(pairs[i % 4][0]);
    CHECK_EQUAL(weir_select(clauses, WEIR_SELECT_MAX, 0, weir_in_ms(1)), -ETIME);
    send_byte(pairs[2][1]);
    CHECK_EQUAL(weir_select(clauses, WEIR_SELECT_MAX, 0, WEIR_FOREVER) % 4, 2);
    CHECK_EQUAL(weir_select(clauses, WEIR_SELECT_MAX, 0, WEIR_NOW) % 4, 2);
    CHECK_EQUAL(weir_select(clauses, WEIR_SELECT_MAX, WEIR_SELECT_PRIORITY, WEIR_FOREVER), 2);
    for (int i = 0; i < 4; i++) {
        check_no_trace(pairs[i][0], owed_before);
        CHECK_EQUAL(weir_close(pairs[i][0]), 0);
        CHECK_EQUAL(weir_close(pairs[i][1]), 0);
    }
    return 0;
}

static void test_more_clauses_than_entries(void **state)
{
    static const struct weir_options narrow = { .loop_count = 1, .ring_entries = 16 };

    (void)state;
    assert_int_equal(test_run(wide_body, NULL, &narrow), 0);
}

/* --- fairness --------------------------------------------------------------------------------- */

/* Beside a channel that is always ready, the socket is looked at in one of sixteen selects, and has
 * then the chance of any ready clause. */
static int fair_body(void *arg)
{
    enum { ROUNDS = 1600 };
    long won[2] = { 0 };
    struct weir_chan *chan;
    uint64_t value = 0;
    int pair[2];

    (void)arg;
    make_pair(pair);
    send_byte(pair[1]);
    CHECK_EQUAL(weir_chan_create(&chan, sizeof value, ROUNDS, NULL), 0);
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQUAL(weir_chan_send(chan, &value, WEIR_NOW), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct weir_clause clauses[] = {
            weir_clause_recv(chan, &value),
            weir_clause_readable(pair[0]),
        };
        int index = weir_select(clauses, 2, 0, WEIR_FOREVER);

        if (CHECK(index >= 0))
            won[index]++;
        if (index == 0)
            CHECK_EQUAL(weir_chan_send(chan, &value, WEIR_NOW), 0);
    }
    CHECK(won[1] > ROUNDS / 16 / 4); /* a half of a sixteenth, twenty by chance to eighty */
    CHECK(won[1] < ROUNDS / 16);
    while (weir_chan_recv(chan, &value, WEIR_NOW) == 0)
        ;
    weir_chan_release(chan);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_ready_channels_leave_the_socket_its_chance(void **state)
{
    (void)state;
    assert_int_equal(test_run(fair_body, NULL, &one_loop), 0);
}

/* Two sockets that are ready share evenly, seen by a look and by the ring. */
static int even_body(void *arg)
{
    int64_t deadline_ns = arg ? WEIR_FOREVER : WEIR_NOW;
    int pairs[2][2];
    long won[2] = { 0 };

    for (int i = 0; i < 2; i++) {
        make_pair(pairs[i]);
        send_byte(pairs[i][1]);
    }
    for (int i = 0; i < 1000; i++) {
        struct weir_clause clauses[] = {
            weir_clause_readable(pairs[0][0]),
            weir_clause_readable(pairs[1][0]),
        };
        int index = weir_select(clauses, 2, 0, deadline_ns);

        if (CHECK(index >= 0))
            won[index]++;
    }
    CHECK(won[0] > 300);
    CHECK(won[1] > 300);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(weir_close(pairs[i][0]), 0);
        CHECK_EQUAL(weir_close(pairs[i][1]), 0);
    }
    return 0;
}

static void test_ready_sockets_share_evenly(void **state)
{
    (void)state;
    assert_int_equal(test_run(even_body, NULL, &one_loop), 0);
    assert_int_equal(test_run(even_body, "parked", &one_loop), 0);
}

/* --- ends ------------------------------------------------------------------------------------- */

static int64_t select_readable(void *arg, int64_t deadline_ns)
{
    struct weir_clause clauses[] = {
        weir_clause_timer(WEIR_FOREVER),
        weir_clause_readable(*(int *)arg),
    };
    int won = weir_select(clauses, 2, 0, deadline_ns);

    return won == 1 ? clauses[1].result : won;
}

/* Closed by another task, cancelled, the peer's end, another loop's, and what is no descriptor. */
static int ends_body(void *arg)
{
    struct call call;
    int pair[2], gone, none = -1;

    (void)arg;
    make_pair(pair);
    call = call_of(select_readable, &pair[0]);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    check_let_go(pair[0]);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(run_on_loop(1, select_readable, &pair[0]), -EBUSY);
    send_byte(pair[1]);
    CHECK_EQUAL(call_finish(&call), POLLIN);
    CHECK_EQUAL(run_on_loop(1, select_readable, &pair[0]), POLLIN); /* let go of at once */
    take_byte(pair[0]);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(call_finish(&call), -EBADF);
    gone = pair[0];
    CHECK_EQUAL(select_readable(&gone, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(select_readable(&gone, WEIR_NOW), -EBADF);
    CHECK_EQUAL(select_readable(&none, weir_in_ms(1)), -ETIME); /* disabled */
    CHECK_EQUAL(weir_close(pair[1]), 0);
    make_pair(pair);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_close(pair[1]), 0);
    CHECK_EQUAL(call_finish(&call), POLLIN | POLLHUP | POLLRDHUP);
    CHECK_EQUAL(select_readable(&pair[0], WEIR_NOW), POLLIN | POLLHUP | POLLRDHUP);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    return 0;
}

static void test_ends(void **state)
{
    int fd_count = count_fds();

    (void)state;
    assert_int_equal(test_run(ends_body, NULL, &two_loops), 0);
    assert_int_equal(count_fds(), fd_count);
}

/* A plain thread has no ring. */
static void test_plain_threads_are_refused(void **state)
{
    struct weir_clause clause = weir_clause_readable(0);

    (void)state;
    assert_int_equal(weir_select(&clause, 1, 0, WEIR_NOW), -ENXIO);
    assert_int_equal(weir_select(&clause, 1, 0, WEIR_FOREVER), -ENXIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_130_each_kind_wins),
        cmocka_unit_test(case_147_thousands_expire_in_one_tick),
        cmocka_unit_test(test_more_clauses_than_entries),
        cmocka_unit_test(test_ready_channels_leave_the_socket_its_chance),
        cmocka_unit_test(test_ready_sockets_share_evenly),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_plain_threads_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
