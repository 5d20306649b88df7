/* SPDX-License-Identifier: MIT */
/* The dump: every task, where it came from, what it waits for; from tasks and threads, and of loops
 * that do not answer. */
#include "base/memory.h"
#include "watch/fixture.h"

#include <sys/socket.h>

enum {
    TASKS = 11,
    /* those below, the root, two callback tasks */ CROWD = 400,
    DUMPS = TEST_SANITIZED ? 4 : 10
};

static const struct weir_options two_loops = { .loop_count = 2 };

/* Tasks that wait, each in another way. */
struct waiters {
    struct weir_scope *scope;
    struct weir_chan *orders, *full;
    struct weir_mutex *mutex;
    struct weir_semaphore *permits;
    struct weir_task *sleeper;
    int sockets[2];
    atomic_int ready;
};

static int receive(void *arg)
{
    struct waiters *waiters = arg;
    uint64_t value;

    return weir_chan_recv(waiters->orders, &value, WEIR_FOREVER);
}

static int send_to_full(void *arg)
{
    struct waiters *waiters = arg;
    uint64_t value = 1;

    return weir_chan_send(waiters->full, &value, WEIR_FOREVER);
}

static int lock(void *arg)
{
    return weir_mutex_lock(((struct waiters *)arg)->mutex, WEIR_FOREVER);
}

static int take(void *arg)
{
    return weir_semaphore_take(((struct waiters *)arg)->permits, WEIR_FOREVER);
}

static int join_sleeper(void *arg)
{
    struct waiters *waiters = arg;
    int error = weir_join(waiters->sleeper, NULL, WEIR_FOREVER);

    if (error == 0)
        waiters->sleeper = NULL;
    return error;
}

static int sleep_long(void *arg)
{
    (void)arg;
    return weir_sleep(weir_in_seconds(1000));
}

static int receive_bytes(void *arg)
{
    char bytes[8];

    return (int)weir_recv(((struct waiters *)arg)->sockets[0], bytes, sizeof bytes, 0,
                          WEIR_FOREVER);
}

static int pick(void *arg)
{
    struct waiters *waiters = arg;
    uint64_t value;
    struct weir_clause clauses[] = {
        weir_clause_recv(waiters->orders, &value),
        weir_clause_timer(weir_in_seconds(1000)),
    };

    return weir_select(clauses, 2, 0, WEIR_FOREVER);
}

static void set_waiters(struct waiters *waiters)
{
    CHECK_SAME(weir_scope_create(&waiters->scope, WEIR_SCOPE_COLLECT,
                                 &(struct weir_scope_options){ .name = "waiters" }),
               0);
    waiters->orders = make_chan(8, &(struct weir_chan_options){ .name = "orders" });
    waiters->full = make_chan(1, &(struct weir_chan_options){ .name = "full" });
    CHECK_SAME(try_send(waiters->full, 1), 0);
    CHECK_SAME(weir_mutex_create(&waiters->mutex, "ledger"), 0);
    CHECK_SAME(weir_mutex_lock(waiters->mutex, WEIR_FOREVER), 0);
    CHECK_SAME(weir_semaphore_create(&waiters->permits, "permits", 0, 3), 0);
    CHECK_SAME(socketpair(AF_UNIX, SOCK_STREAM, 0, waiters->sockets), 0);
    waiters->sleeper = spawn_at(waiters->scope, 1, "sleeper", sleep_long, NULL);
}

/* Those whose handle is of no use. */
static void spawn_waiters(struct waiters *waiters)
{
    static const struct {
        const char *name;
        weir_task_fn *fn;
    } rows[] = {
        { "receiver", receive },     { "sender", send_to_full }, { "locker", lock },
        { "taker", take },           { "joiner", join_sleeper }, { "picker", pick },
        { "reader", receive_bytes },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        weir_task_release(
            spawn_at(waiters->scope, (unsigned)i % 2, rows[i].name, rows[i].fn, waiters));
}

static void end_waiters(struct waiters *waiters)
{
    weir_scope_cancel(waiters->scope);
    CHECK_SAME(weir_scope_join(waiters->scope, WEIR_FOREVER), 0);
    weir_task_release(waiters->sleeper);
    CHECK_SAME(weir_mutex_unlock(waiters->mutex), 0);
    CHECK_SAME(weir_mutex_destroy(waiters->mutex), 0);
    CHECK_SAME(weir_semaphore_destroy(waiters->permits), 0);
    weir_chan_release(waiters->orders);
    weir_chan_release(waiters->full);
    weir_close(waiters->sockets[0]);
    weir_close(waiters->sockets[1]);
}

static const char *const is_ready[] = { "ready to run", NULL };

/* Dumps again until all of them have parked. */
static int dump_parked(struct told *told, unsigned flags)
{
    int count;

    for (;;) {
        memset(told, 0, sizeof *told);
        count = weir_dump(tell, told, flags, WEIR_FOREVER);
        if (count < 0 || (count == TASKS && !find_line(told, is_ready)))
            return count;
        weir_yield();
    }
}

static void check_lines(const struct told *told)
{
    CHECK_TOLD(told, "\"receiver\" of scope \"waiters\", loop 0, spawned at spawn_at+0x",
               "parked for ", " s in recv, channel \"orders\" (0 of 8 buffered");
    CHECK_TOLD(told, "\"sender\"",
               "in send, channel \"full\" (1 of 1 buffered, 1 waiting to send)");
    CHECK_TOLD(told, "\"locker\"", "in lock, mutex \"ledger\" held by task \"root\"");
    CHECK_TOLD(told, "\"taker\"", "in take, semaphore \"permits\" of 3 permits");
    CHECK_TOLD(told, "\"joiner\"", "in join, task \"sleeper\"");
    CHECK_TOLD(told, "\"sleeper\"", "loop 1", "in sleep, deadline in ");
    CHECK_TOLD(told, "\"picker\"", "in select, recv channel \"orders\"", ", timer");
    CHECK_TOLD(told, "\"reader\"", "in operation, recv of descriptor ");
    CHECK_TOLD(told, "loop 1: ", " tasks");
}

static int dump_in_task(void *arg)
{
    static struct told told;
    struct waiters waiters = { .ready = 0 };

    (void)arg;
    set_waiters(&waiters);
    spawn_waiters(&waiters);
    CHECK_SAME(dump_parked(&told, 0), TASKS);
    check_lines(&told);
    CHECK_SAME(weir_dump(NULL, NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_dump(tell, &told, 1 << 7, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(dump_parked(&told, WEIR_DUMP_BACKTRACES), TASKS);
    check_lines(&told);
    CHECK_TOLD(&told, "        send_to_full+0x");
    CHECK_TOLD(&told, "        receive_bytes+0x");
    end_waiters(&waiters);
    return 0;
}

/* The conformance case: each parked task with name, place of birth, what it is in, and how long. */
static void case_287_a_dump_lists_each_parked_task(void **state)
{
    (void)state;
    assert_int_equal(test_run(dump_in_task, NULL, &two_loops), 0);
}

/* --- From a plain thread. --------------------------------------------------------------------- */

static struct told thread_told;

static void *dump_on_thread(void *arg)
{
    *(int *)arg = dump_parked(&thread_told, 0);
    return NULL;
}

static int await_thread(void *arg)
{
    return pthread_join(*(pthread_t *)arg, NULL);
}

static int dump_beside(void *arg)
{
    struct waiters waiters = { .ready = 0 };
    pthread_t thread;
    int count = 0;

    (void)arg;
    set_waiters(&waiters);
    spawn_waiters(&waiters);
    CHECK_SAME(pthread_create(&thread, NULL, dump_on_thread, &count), 0);
    CHECK_SAME(weir_pool_run(await_thread, &thread, WEIR_FOREVER), 0);
    CHECK_SAME(count, TASKS);
    check_lines(&thread_told);
    end_waiters(&waiters);
    return 0;
}

static void a_thread_dumps_all_runtimes(void **state)
{
    static struct told told;

    (void)state;
    assert_int_equal(weir_dump(tell, &told, 0, WEIR_FOREVER), 0); /* there is none */
    assert_int_equal(told.lines, 0);
    assert_int_equal(test_run(dump_beside, NULL, &two_loops), 0);
}

/* --- A loop that does not answer. ------------------------------------------------------------- */

/* Blocks its loop. */
static int hold_loop(void *arg)
{
    char byte;

    return read(*(const int *)arg, &byte, 1) == 1 ? 0 : -1;
}

static const char *const is_held[] = {
    "loop 1: does not answer: a task holds it, or the kernel does, and stall reports say where; ",
    "its thread is now ", NULL
};

static int dump_stuck(void *arg)
{
    static struct told told;
    struct weir_scope *scope;
    int ends[2];

    (void)arg;
    CHECK_SAME(pipe(ends), 0);
    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    weir_task_release(spawn_at(scope, 1, "hog", hold_loop, &ends[0]));
    for (int tries = 0; !find_line(&told, is_held) && CHECK(tries < 5000); tries++) {
        int count;

        memset(&told, 0, sizeof told);
        count = weir_dump(tell, &told, 0, weir_in_ms(2));
        CHECK(count >= 2 || count == -ETIME); /* the watchdogs may be waiting for it, too */
    }
    CHECK_TOLD(&told, "\"root\"");
    CHECK_NOT_TOLD(&told, "\"hog\"");
    CHECK_SAME(write(ends[1], "x", 1), 1);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    memset(&told, 0, sizeof told);
    CHECK_SAME(weir_dump(tell, &told, 0, WEIR_FOREVER), 3);
    CHECK_NOT_TOLD(&told, "does not answer");
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static void a_loop_that_does_not_answer_is_named(void **state)
{
    unsigned long before;

    (void)state;
    assert_int_equal(test_run(dump_stuck, NULL, &two_loops), 0);
    before = weir__memory_live_count();
    assert_int_equal(test_run(dump_stuck, NULL, &two_loops), 0);
    assert_int_equal(weir__memory_live_count(), before);
}

/* --- While tasks come and go. ----------------------------------------------------------------- */

struct crowd {
    struct weir_chan *chan;
    atomic_bool over;
};

static int talk(void *arg)
{
    struct crowd *crowd = arg;
    uint64_t value = 7;

    for (int i = 0; i < 3; i++) {
        if (weir_chan_send(crowd->chan, &value, weir_in_us(300)) < 0 &&
            weir_chan_recv(crowd->chan, &value, WEIR_NOW) < 0)
            weir_yield();
    }
    return 0;
}

/* Channels that go with a receiver parked in them: the dump looks at them all the same. */
static int leave_channel(void *arg)
{
    uint64_t value;

    CHECK(weir_chan_recv(arg, &value, WEIR_FOREVER) < 0);
    return 0;
}

static int churn(void *arg)
{
    struct weir_spawn_options options = { .place = WEIR_PLACE_ANYWHERE, .wait_ns = INT64_MAX };
    struct crowd *crowd = arg;

    while (!atomic_load(&crowd->over)) {
        struct weir_chan *chan = make_chan(0, NULL);
        struct weir_scope *scope;

        CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
        CHECK_SAME(weir_spawn(scope, talk, crowd, &options), 0);
        CHECK_SAME(weir_spawn(scope, leave_channel, chan, &options), 0);
        AWAIT(look(chan).waiting_receivers == 1);
        CHECK_SAME(weir_chan_abort(chan, 0), 0);
        weir_chan_release(chan);
        CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    }
    return 0;
}

static int dump_crowd(void *arg)
{
    struct crowd crowd = { .chan = make_chan(2, NULL) };
    struct weir_task *churns[2];
    struct weir_scope *scope;
    static struct told told;

    (void)arg;
    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < CROWD; i++)
        weir_task_release(spawn_at(scope, (unsigned)i % 2, "sleeper", sleep_long, NULL));
    for (unsigned i = 0; i < 2; i++)
        churns[i] = spawn_at(scope, i, "churn", churn, &crowd);
    for (int i = 0; i < DUMPS; i++) {
        int64_t deadline_ns = i % 4 == 0 ? weir_in_us(100) : WEIR_FOREVER;
        int count;

        memset(&told, 0, sizeof told);
        count = weir_dump(tell, &told, WEIR_DUMP_BACKTRACES, deadline_ns);
        if (deadline_ns == WEIR_FOREVER)
            CHECK(count > CROWD);
        else
            CHECK(count >= 0 || count == -ETIME); /* the watchdogs may be looking */
    }
    atomic_store(&crowd.over, true);
    CHECK_SAME(weir_join(churns[0], NULL, WEIR_FOREVER), 0);
    CHECK_SAME(weir_join(churns[1], NULL, WEIR_FOREVER), 0);
    weir_scope_cancel(scope);
    weir_scope_join(scope, WEIR_FOREVER);
    weir_chan_release(crowd.chan);
    return 0;
}

static void a_crowd_that_comes_and_goes_is_dumped(void **state)
{
    (void)state;
    assert_int_equal(test_run(dump_crowd, NULL, &two_loops), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_287_a_dump_lists_each_parked_task),
        cmocka_unit_test(a_thread_dumps_all_runtimes),
        cmocka_unit_test(a_loop_that_does_not_answer_is_named),
        cmocka_unit_test(a_crowd_that_comes_and_goes_is_dumped),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
