/* SPDX-License-Identifier: MIT */
/* Deadlocks are found, named and told of once (calm_test.c: who is left in peace). */
#include "watch/watched.h"

/* --- Two locks in two orders. ----------------------------------------------------------------- */

struct locks {
    struct weir_mutex *mutexes[2];
    atomic_int held_count;
    bool in_order;          /* both take them in the same order */
    int64_t deadline_ns;    /* of the second lock; 0: none */
    atomic_bool holds_back; /* the one on the right has not begun */
};

static int lock_both(struct locks *locks, int first)
{
    CHECK_SAME(weir_mutex_lock(locks->mutexes[first], WEIR_FOREVER), 0);
    atomic_fetch_add(&locks->held_count, 1);
    if (!locks->in_order)
        AWAIT(atomic_load(&locks->held_count) == 2);
    if (weir_mutex_lock(locks->mutexes[1 - first],
                        locks->deadline_ns ? locks->deadline_ns : WEIR_FOREVER) >= 0)
        weir_mutex_unlock(locks->mutexes[1 - first]);
    weir_mutex_unlock(locks->mutexes[first]);
    return 0;
}

static int lock_left(void *arg)
{
    return lock_both(arg, 0);
}

static int lock_right(void *arg)
{
    struct locks *locks = arg;

    AWAIT(!atomic_load(&locks->holds_back));
    return lock_both(locks, locks->in_order ? 0 : 1);
}

static void make_locks(struct locks *locks)
{
    CHECK_SAME(weir_mutex_create(&locks->mutexes[0], "left"), 0);
    CHECK_SAME(weir_mutex_create(&locks->mutexes[1], "right"), 0);
}

static void destroy_locks(struct locks *locks)
{
    CHECK_SAME(weir_mutex_destroy(locks->mutexes[0]), 0);
    CHECK_SAME(weir_mutex_destroy(locks->mutexes[1]), 0);
}

static int cross_locks(void *arg)
{
    struct locks locks = { .held_count = 0 };
    struct weir_scope *scope = make_scope("transfers");

    (void)arg;
    make_locks(&locks);
    weir_task_release(spawn_at(scope, 0, "debit", lock_left, &locks));
    weir_task_release(spawn_at(scope, 1, "credit", lock_right, &locks));
    AWAIT(atomic_load(&watched.deadlock_count) == 1);
    CHECK(watched.last.is_certain);
    CHECK_SAME(watched.last.task_count, 2);
    CHECK_SAME(watched.last.line_count, 2);
    CHECK_TOLD(&watched.told, "weir: deadlock: tasks are parked on each other, and nothing in "
                              "this runtime can wake them: 2 in all; a cycle of them first");
    CHECK_TOLD(&watched.told, "\"debit\" of scope \"transfers\", loop 0, spawned at spawn_at+0x",
               "in lock, mutex \"right\" held by task \"credit\"; waits for \"credit\"");
    CHECK_TOLD(&watched.told, "\"credit\" of scope \"transfers\", loop 1, spawned at spawn_at+0x",
               "in lock, mutex \"left\" held by task \"debit\"; waits for \"debit\"");
    CHECK_TOLD(&watched.told, "To do: ");
    await_looks(LOOKS); /* once is enough */
    CHECK_SAME(atomic_load(&watched.deadlock_count), 1);
    CHECK_SAME(read_counter(WEIR_DEADLOCKS), 1);
    weir_scope_cancel(scope);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    destroy_locks(&locks);
    return 0;
}

static int ordered_locks(void *arg)
{
    struct locks locks = { .in_order = true };
    struct weir_scope *scope = make_scope("transfers");

    (void)arg;
    make_locks(&locks);
    CHECK_SAME(weir_mutex_lock(locks.mutexes[0], WEIR_FOREVER),
               0); /* both wait, for one that moves */
    weir_task_release(spawn_at(scope, 0, "debit", lock_left, &locks));
    weir_task_release(spawn_at(scope, 1, "credit", lock_right, &locks));
    await_looks(LOOKS);
    CHECK_SAME(weir_mutex_unlock(locks.mutexes[0]), 0);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 0);
    destroy_locks(&locks);
    return 0;
}

/* A deadline will end it. */
static int cross_for_a_while(void *arg)
{
    struct locks locks = { .deadline_ns = weir_in_seconds(1000) };
    struct weir_scope *scope = make_scope("transfers");

    (void)arg;
    make_locks(&locks);
    weir_task_release(spawn_at(scope, 0, "debit", lock_left, &locks));
    weir_task_release(spawn_at(scope, 1, "credit", lock_right, &locks));
    AWAIT(atomic_load(&locks.held_count) == 2);
    await_looks(LOOKS);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 0);
    weir_scope_cancel(scope);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    destroy_locks(&locks);
    return 0;
}

static int sleep_long(void *arg)
{
    (void)arg;
    return weir_sleep(weir_in_seconds(1000));
}

static int join_scope(void *arg)
{
    return weir_scope_join(arg, WEIR_FOREVER);
}

/* Whoever joins a scope in which somebody moves is not part of it. */
static int cross_beside_a_sleeper(void *arg)
{
    struct locks locks = { .holds_back = true };
    struct weir_scope *scope = make_scope("transfers"), *outer = make_scope("outer");

    (void)arg;
    make_locks(&locks);
    weir_task_release(spawn_at(scope, 1, "sleeper", sleep_long, NULL));
    weir_task_release(spawn_at(scope, 0, "debit", lock_left, &locks));
    weir_task_release(spawn_at(scope, 1, "credit", lock_right, &locks));
    weir_task_release(spawn_at(outer, 0, "parent", join_scope, scope));
    AWAIT(atomic_load(&locks.held_count) == 1);
    await_looks(LOOKS); /* the parent is parked for long enough */
    atomic_store(&locks.holds_back, false);
    AWAIT(atomic_load(&watched.deadlock_count) == 1);
    CHECK_SAME(watched.last.task_count, 2);
    CHECK_NOT_TOLD(&watched.told, "\"parent\"");
    weir_scope_cancel(scope);
    CHECK_SAME(weir_scope_join(outer, WEIR_FOREVER), 0);
    destroy_locks(&locks);
    return 0;
}

static void two_locks_in_two_orders(void **state)
{
    (void)state;
    play(cross_locks, NULL);
    play(ordered_locks, NULL);
    play(cross_for_a_while, NULL);
    play(cross_beside_a_sleeper, NULL);
}

/* --- Joins, and who is stuck behind them. ----------------------------------------------------- */

struct joins {
    struct weir_task *tasks[2];
    atomic_bool both;
    struct weir_scope *inner;
};

/* Its end comes by a cancel, of itself or of the other one. */
static int join_one(struct joins *joins, int index)
{
    int error;

    AWAIT(atomic_load(&joins->both));
    error = weir_join(joins->tasks[index], NULL, WEIR_FOREVER);
    if (error == 0)
        joins->tasks[index] = NULL;
    return error == -ECANCELED ? 0 : error;
}

static int join_right(void *arg)
{
    return join_one(arg, 1);
}

static int join_left(void *arg)
{
    return join_one(arg, 0);
}

/* Its children wait for each other, and so it waits for ever. */
static int join_children(void *arg)
{
    struct joins *joins = arg;

    joins->inner = make_scope("inner");
    joins->tasks[0] = spawn_at(joins->inner, 0, "left", join_right, joins);
    joins->tasks[1] = spawn_at(joins->inner, 1, "right", join_left, joins);
    atomic_store(&joins->both, true);
    return weir_scope_join(joins->inner, WEIR_FOREVER);
}

static int join_each_other(void *arg)
{
    struct joins joins = { .both = false };
    struct weir_scope *scope = make_scope("outer");

    (void)arg;
    weir_task_release(spawn_at(scope, 1, "parent", join_children, &joins));
    AWAIT(atomic_load(&watched.deadlock_count) == 1);
    CHECK(watched.last.is_certain);
    CHECK_SAME(watched.last.task_count, 3);
    CHECK_TOLD(&watched.told, "\"left\" of scope \"inner\"",
               "in join, task \"right\"; waits for \"right\"");
    CHECK_TOLD(&watched.told, "\"right\" of scope \"inner\"",
               "in join, task \"left\"; waits for \"left\"");
    CHECK_TOLD(&watched.told, "\"parent\" of scope \"outer\"",
               "in scope join, scope \"inner\"; waits for ");
    CHECK(strstr(watched.told.text, "\"parent\" of") > strstr(watched.told.text, "\"left\" of"));
    CHECK(strstr(watched.told.text, "\"parent\" of") > strstr(watched.told.text, "\"right\" of"));
    weir_scope_cancel(joins.inner);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    weir_task_release(joins.tasks[0]);
    weir_task_release(joins.tasks[1]);
    return 0;
}

static void joins_of_each_other(void **state)
{
    (void)state;
    play(join_each_other, NULL);
}

/* --- A pipeline that feeds itself. ------------------------------------------------------------ */

struct feed {
    struct weir_chan *from, *to;
    uint64_t children; /* that each element has */
};

/* The function sends what it finds back to the input, which has no room. */
static int crawl(const void *elem, struct weir_emit *emit, void *context)
{
    struct feed *feed = context;
    uint64_t depth = *(const uint64_t *)elem;

    for (uint64_t i = 0; i < feed->children; i++) {
        uint64_t child = depth + 1;
        int error = weir_chan_send(feed->from, &child, WEIR_FOREVER);

        if (error < 0)
            return error;
    }
    return weir_emit(emit, elem);
}

static int feed_itself(void *arg)
{
    struct feed feed = { .from = make_chan(2, &(struct weir_chan_options){ .name = "from" }),
                         .to = make_chan(64, &(struct weir_chan_options){ .name = "to" }),
                         .children = 3 };
    struct weir_pipeline_options options = { .name = "crawl", .parallelism = 2 };
    struct weir_scope *scope = make_scope("crawler");

    (void)arg;
    CHECK_SAME(weir_pipeline(scope, feed.from, feed.to, WEIR_PIPELINE_TASK, crawl, &feed, &options),
               0);
    CHECK_SAME(try_send(feed.from, 1), 0);
    AWAIT(atomic_load(&watched.deadlock_count) == 1);
    CHECK(!watched.last.is_certain);
    CHECK_TOLD(&watched.told,
               "weir: probable deadlock: tasks are parked on each other, and nobody "
               "else has used their channels so far: ",
               " in all; a cycle of them first");
    CHECK_TOLD(
        &watched.told, "\"crawl\" of scope ", "loop 0, spawned at ",
        "in send, channel \"from\" (2 of 2 buffered, 2 waiting to send); waits for \"crawl\"");
    weir_scope_cancel(scope);
    weir_scope_join(scope, WEIR_FOREVER);
    weir_chan_release(feed.from);
    weir_chan_release(feed.to);
    return 0;
}

static int feed_with_room(void *arg)
{
    struct feed feed = { .from = make_chan(64, NULL), .to = make_chan(64, NULL), .children = 0 };
    struct weir_pipeline_options options = { .name = "crawl", .parallelism = 2 };
    struct weir_scope *scope = make_scope("crawler");

    (void)arg;
    CHECK_SAME(weir_pipeline(scope, feed.from, feed.to, WEIR_PIPELINE_TASK, crawl, &feed, &options),
               0);
    for (uint64_t value = 0; value < 10; value++) { /* it waits for the root, which is slow */
        await_looks(2);
        CHECK_SAME(try_send(feed.from, value), 0);
    }
    weir_chan_close(feed.from, 0);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 0);
    weir_chan_release(feed.from);
    weir_chan_release(feed.to);
    return 0;
}

static void case_223_a_pipeline_that_feeds_itself(void **state)
{
    (void)state;
    play(feed_itself, note_users);
    play(feed_with_room, note_users);
}

/* --- Channels, with users and without. -------------------------------------------------------- */

struct pair {
    struct weir_chan *there, *back;
    bool first_speaks;
    atomic_int turns;
};

/* Each waits for the other to speak first, after a talk in which the channels became known. */
static int talk(struct weir_chan *to, struct weir_chan *from, bool speaks_first)
{
    uint64_t value = 1;
    int error = 0;

    for (int turn = 0; turn < 3 && error >= 0; turn++) {
        if (speaks_first)
            error = weir_chan_send(to, &value, WEIR_FOREVER);
        if (error >= 0)
            error = weir_chan_recv(from, &value, WEIR_FOREVER);
        if (!speaks_first && error >= 0)
            error = weir_chan_send(to, &value, WEIR_FOREVER);
    }
    return error < 0 ? error : weir_chan_recv(from, &value, WEIR_FOREVER);
}

static int talk_there(void *arg)
{
    struct pair *pair = arg;

    return talk(pair->there, pair->back, true) < 0 ? 0 : -1;
}

static int talk_back(void *arg)
{
    struct pair *pair = arg;

    return talk(pair->back, pair->there, false) < 0 ? 0 : -1;
}

static void begin_pair(struct pair *pair, struct weir_scope *scope)
{
    pair->there = make_chan(0, &(struct weir_chan_options){ .name = "there" });
    pair->back = make_chan(0, &(struct weir_chan_options){ .name = "back" });
    weir_task_release(spawn_at(scope, 0, "alice", talk_there, pair));
    weir_task_release(spawn_at(scope, 1, "bob", talk_back, pair));
    AWAIT(look(pair->there).waiting_receivers == 1 && look(pair->there).sent_total == 3);
    AWAIT(look(pair->back).waiting_receivers == 1 && look(pair->back).sent_total == 3);
}

static void end_pair(struct pair *pair, struct weir_scope *scope)
{
    weir_scope_cancel(scope);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    weir_chan_release(pair->there);
    weir_chan_release(pair->back);
}

static int wait_for_each_other(void *arg)
{
    struct weir_scope *scope = make_scope("talk");
    struct pair pair = { .turns = 0 };

    (void)arg;
    begin_pair(&pair, scope);
    AWAIT(atomic_load(&watched.deadlock_count) == 1);
    CHECK(!watched.last.is_certain);
    CHECK_SAME(watched.last.task_count, 2);
    CHECK_TOLD(&watched.told, "\"alice\"", "in recv, channel \"back\"", "; waits for \"bob\"");
    CHECK_TOLD(&watched.told, "\"bob\"", "in recv, channel \"there\"", "; waits for \"alice\"");
    end_pair(&pair, scope);
    return 0;
}

/* As far as is known the root may send. */
static int wait_for_anybody(void *arg)
{
    struct weir_scope *scope = make_scope("talk");
    struct pair pair = { .turns = 0 };

    (void)arg;
    begin_pair(&pair, scope);
    await_looks(LOOKS);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 0);
    end_pair(&pair, scope);
    return 0;
}

static void *send_on_thread(void *arg)
{
    uint64_t value = 7;

    CHECK_SAME(weir_chan_send(arg, &value, WEIR_FOREVER), 0);
    return NULL;
}

static int await_thread(void *arg)
{
    return pthread_join(*(pthread_t *)arg, NULL);
}

/* A plain thread has sent before, so it may again. */
static int wait_for_a_thread(void *arg)
{
    struct weir_scope *scope = make_scope("talk");
    struct pair pair = { .turns = 0 };
    pthread_t thread;
    uint64_t value;

    (void)arg;
    pair.there = make_chan(0, &(struct weir_chan_options){ .name = "there" });
    pair.back = make_chan(0, &(struct weir_chan_options){ .name = "back" });
    CHECK_SAME(pthread_create(&thread, NULL, send_on_thread, pair.there), 0);
    CHECK_SAME(weir_chan_recv(pair.there, &value, WEIR_FOREVER), 0);
    CHECK_SAME(weir_pool_run(await_thread, &thread, WEIR_FOREVER), 0);
    weir_task_release(spawn_at(scope, 0, "alice", talk_there, &pair));
    weir_task_release(spawn_at(scope, 1, "bob", talk_back, &pair));
    AWAIT(look(pair.there).waiting_receivers == 1 && look(pair.there).sent_total == 4);
    await_looks(LOOKS);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 0);
    end_pair(&pair, scope);
    return 0;
}

static void tasks_wait_over_channels(void **state)
{
    (void)state;
    play(wait_for_each_other, note_users);
    play(wait_for_anybody, NULL);
    play(wait_for_a_thread, note_users);
}

/* --- All of a runtime. ------------------------------------------------------------------------ */

static int receive(void *arg)
{
    uint64_t value;

    return weir_chan_recv(arg, &value, WEIR_FOREVER) == -EPIPE ? 0 : -1;
}

/* The root waits for its children, and they for elements that nobody will send. */
static int all_wait(void *arg)
{
    struct weir_scope *scope = make_scope("receivers");
    struct weir_chan *chan = make_chan(4, &(struct weir_chan_options){ .name = "orders" });

    (void)arg;
    watched.rescued = chan;
    for (unsigned i = 0; i < 4; i++)
        weir_task_release(spawn_at(scope, i % 2, "receiver", receive, chan));
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 1);
    CHECK(watched.last.is_certain);
    CHECK_SAME(watched.last.task_count, 5);
    CHECK_TOLD(&watched.told,
               "weir: deadlock: ", "nothing in this runtime can wake them: 5 in all");
    CHECK_TOLD(&watched.told, "\"receiver\" of scope \"receivers\"",
               "in recv, channel \"orders\" (0 of 4 buffered, 4 waiting to receive)");
    CHECK_TOLD(&watched.told, "\"root\" of scope \"root\"", "in scope join, scope \"receivers\"");
    weir_chan_release(chan);
    return 0;
}

/* The last one of a runtime is an orphan. */
static int one_waits(void *arg)
{
    struct weir_semaphore *semaphore;

    (void)arg;
    watched.rescue = weir_task_scope();
    CHECK_SAME(weir_semaphore_create(&semaphore, "permits", 0, 1), 0);
    CHECK_SAME(weir_semaphore_take(semaphore, WEIR_FOREVER), -ECANCELED);
    CHECK_TOLD(&watched.told, "weir: deadlock: a task is parked, and nobody is left who could wake "
                              "it: 1 in all");
    CHECK_TOLD(&watched.told, "\"root\"", "in take, semaphore \"permits\" of 1 permits");
    CHECK_SAME(weir_semaphore_destroy(semaphore), 0);
    return 0;
}

static void all_of_a_runtime_waits(void **state)
{
    (void)state;
    play(all_wait, NULL);
    play(one_waits, NULL);
}

/* --- One after the other. --------------------------------------------------------------------- */

static int lock_one(void *arg)
{
    struct locks *locks = arg;
    int error = weir_mutex_lock(locks->mutexes[0], WEIR_FOREVER);

    return error == -ECANCELED ? 0 : weir_mutex_unlock(locks->mutexes[0]);
}

/* Whoever joins those that were told of is not told of; another group is. */
static int tell_once(void *arg)
{
    struct locks first = { .held_count = 0 }, second = { .held_count = 0 };
    struct weir_scope *scope = make_scope("transfers");

    (void)arg;
    make_locks(&first);
    make_locks(&second);
    weir_task_release(spawn_at(scope, 0, "debit", lock_left, &first));
    weir_task_release(spawn_at(scope, 1, "credit", lock_right, &first));
    AWAIT(atomic_load(&watched.deadlock_count) == 1);
    weir_task_release(spawn_at(scope, 1, "late", lock_one, &first));
    await_looks(LOOKS);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 1);
    weir_task_release(spawn_at(scope, 0, "other debit", lock_left, &second));
    weir_task_release(spawn_at(scope, 1, "other credit", lock_right, &second));
    AWAIT(atomic_load(&watched.deadlock_count) == 2);
    CHECK_SAME(watched.last.task_count, 2);
    CHECK_TOLD(&watched.told, "\"other debit\"");
    CHECK_NOT_TOLD(&watched.told, "\"late\"");
    weir_scope_cancel(scope);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    destroy_locks(&first);
    destroy_locks(&second);
    return 0;
}

/* Those who are stuck behind a cycle are told of with it, after it. */
static int tell_the_stuck(void *arg)
{
    struct locks locks = { .held_count = 0 };
    struct weir_scope *scope = make_scope("transfers");

    (void)arg;
    make_locks(&locks);
    weir_task_release(spawn_at(scope, 0, "debit", lock_left, &locks));
    AWAIT(atomic_load(&locks.held_count) == 1);
    for (unsigned i = 0; i < 40; i++)
        weir_task_release(spawn_at(scope, i % 2, "queued", lock_one, &locks));
    AWAIT(weir_scope_count(scope) == 41);
    await_looks(LOOKS); /* they wait for one who moves */
    CHECK_SAME(atomic_load(&watched.deadlock_count), 0);
    weir_task_release(spawn_at(scope, 1, "credit", lock_right, &locks));
    AWAIT(atomic_load(&watched.deadlock_count) == 1);
    CHECK_SAME(watched.last.task_count, 42);
    CHECK_SAME(watched.last.line_count, 32);
    CHECK(strstr(watched.told.text, "\"debit\" of") < strstr(watched.told.text, "\"queued\" of"));
    CHECK(strstr(watched.told.text, "\"credit\" of") < strstr(watched.told.text, "\"queued\" of"));
    CHECK_TOLD(&watched.told, "    and 10 more");
    weir_scope_cancel(scope);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    destroy_locks(&locks);
    return 0;
}

static void each_state_is_told_of_once(void **state)
{
    (void)state;
    play(tell_once, NULL);
    play(tell_the_stuck, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_locks_in_two_orders),
        cmocka_unit_test(joins_of_each_other),
        cmocka_unit_test(case_223_a_pipeline_that_feeds_itself),
        cmocka_unit_test(tasks_wait_over_channels),
        cmocka_unit_test(all_of_a_runtime_waits),
        cmocka_unit_test(each_state_is_told_of_once),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
