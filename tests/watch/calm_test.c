/* SPDX-License-Identifier: MIT */
/* Who may still move is no deadlock, and where nothing happens nobody is woken. */
#include "watch/sleeper.h"
#include "watch/watched.h"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* --- Who may still move. ---------------------------------------------------------------------- */

struct calm {
    struct weir_scope *scope;
    struct weir_chan *chan;
    int sockets[2];
    atomic_bool over;
    struct weir_async async;
    uint64_t value;
};

static int receive_bytes(void *arg)
{
    struct calm *calm = arg;
    char byte;

    return weir_recv(calm->sockets[0], &byte, 1, 0, WEIR_FOREVER) == 1 ? 0 : -1;
}

static int receive_late(void *arg)
{
    struct calm *calm = arg;
    uint64_t value;

    return weir_chan_recv(calm->chan, &value, weir_in_seconds(1000)) == 0 ? 0 : -1;
}

static int pick_with_timer(void *arg)
{
    struct calm *calm = arg;
    uint64_t value;
    struct weir_clause clauses[] = { weir_clause_recv(calm->chan, &value),
                                     weir_clause_timer(weir_in_seconds(1000)) };

    return weir_select(clauses, 2, 0, WEIR_FOREVER) == 0 ? 0 : -1;
}

static int receive_one(void *arg)
{
    struct calm *calm = arg;
    uint64_t value;

    return weir_chan_recv(calm->chan, &value, WEIR_FOREVER);
}

static int async_done(struct weir_async *async, int result)
{
    (void)async;
    return result;
}

/* A plain thread, of the program's own: keeps looks coming, and ends it all after some. */
static void *end_after_looks(void *arg)
{
    struct calm *calm = arg;
    struct weir__watch *watch = weir__watch_use(0);
    uint64_t looks = 0;

    atomic_store(&watch->dog->is_restless, true);

    while (looks < LOOKS) {
        looks = weir__counter_get(&watch->dog->counters, WEIR_WATCHDOG_LOOKS);
        usleep(200);
    }
    weir__watch_leave(watch);
    atomic_store(&calm->over, true);
    for (uint64_t i = 0; i < 4; i++)
        CHECK_SAME(weir_chan_send(calm->chan, &i, WEIR_FOREVER), 0);
    CHECK_SAME(send(calm->sockets[1], "x", 1, 0), 1);
    return NULL;
}

/* One who waits for a peer, one with a deadline, one with a timer, one for anybody, and an async
 * operation: the root parks, too. */
static int all_is_well(void *arg)
{
    struct calm calm = { .chan = make_chan(0, NULL), .async = { .done = async_done } };
    pthread_t thread;

    (void)arg;
    calm.scope = make_scope("calm");
    CHECK_SAME(socketpair(AF_UNIX, SOCK_STREAM, 0, calm.sockets), 0);
    weir_task_release(spawn_at(calm.scope, 0, "reader", receive_bytes, &calm));
    weir_task_release(spawn_at(calm.scope, 1, "late", receive_late, &calm));
    weir_task_release(spawn_at(calm.scope, 1, "picker", pick_with_timer, &calm));
    weir_task_release(spawn_at(calm.scope, 0, "any", receive_one, &calm));
    CHECK_SAME(weir_chan_recv_async(calm.chan, &calm.value, &calm.async, WEIR_FOREVER), 0);
    CHECK_SAME(pthread_create(&thread, NULL, end_after_looks, &calm), 0);
    CHECK_SAME(weir_scope_join(calm.scope, WEIR_FOREVER), 0);
    CHECK_SAME(pthread_join(thread, NULL), 0);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 0);
    weir_chan_release(calm.chan);
    weir_close(calm.sockets[0]);
    weir_close(calm.sockets[1]);
    return 0;
}

/* The root alone, for a thread that has not sent yet. */
static int wait_for_program(void *arg)
{
    struct calm calm = { .chan = make_chan(0, NULL) };
    pthread_t thread;
    uint64_t value;

    (void)arg;
    CHECK_SAME(socketpair(AF_UNIX, SOCK_STREAM, 0, calm.sockets), 0);
    CHECK_SAME(pthread_create(&thread, NULL, end_after_looks, &calm), 0);
    for (int i = 0; i < 4; i++)
        CHECK_SAME(weir_chan_recv(calm.chan, &value, WEIR_FOREVER), 0);
    CHECK_SAME(pthread_join(thread, NULL), 0);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 0);
    weir_chan_release(calm.chan);
    weir_close(calm.sockets[0]);
    weir_close(calm.sockets[1]);
    return 0;
}

/* Nothing but an async operation, whose callback sends in the end. */
struct pending {
    struct weir_async async;
    struct weir_chan *never, *chan;
    uint64_t value;
};

static int wait_on(struct weir_async *async, int result)
{
    struct pending *pending = async->context;

    CHECK_SAME(result, -ETIME);
    if (read_counter(WEIR_WATCHDOG_LOOKS) >= LOOKS)
        return weir_chan_send(pending->chan, &pending->value, WEIR_FOREVER);
    return weir_chan_recv_async(pending->never, &pending->value, async, weir_in_ms(20));
}

static int wait_for_async(void *arg)
{
    struct pending pending = { .async = { .done = wait_on, .context = &pending },
                               .never = make_chan(0, NULL),
                               .chan = make_chan(0, NULL) };
    uint64_t value;

    (void)arg;
    atomic_store(&weir__loop_current->runtime->watch->dog->is_restless, true);
    CHECK_SAME(weir_chan_recv_async(pending.never, &pending.value, &pending.async, weir_in_ms(20)),
               0);
    CHECK_SAME(weir_chan_recv(pending.chan, &value, WEIR_FOREVER), 0);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 0);
    weir_chan_release(pending.never);
    weir_chan_release(pending.chan);
    return 0;
}

/* Two on each other's account, in a scope that will be over in time; its deadline is younger than
 * the first of them. */
struct timed {
    struct weir_scope *scope;
    struct weir_mutex *mutex;
};

static int lock_in_vain(void *arg)
{
    struct timed *timed = arg;

    if (weir_mutex_lock(timed->mutex, WEIR_FOREVER) >= 0)
        weir_mutex_unlock(timed->mutex);
    return 0;
}

static int hold_and_join(void *arg)
{
    struct timed *timed = arg;
    struct weir_task *other;
    int error;

    CHECK_SAME(weir_mutex_lock(timed->mutex, WEIR_FOREVER), 0);
    CHECK_SAME(weir_scope_set_deadline(timed->scope, weir_in_seconds(1000)), 0);
    other = spawn_at(timed->scope, 1, "other", lock_in_vain, timed);
    error = weir_join(other, NULL, WEIR_FOREVER);
    weir_mutex_unlock(timed->mutex);
    CHECK_SAME(error == 0 || error == -ECANCELED, true); /* the other may end first */
    if (error < 0)
        weir_task_release(other);
    return 0;
}

static int wait_in_a_timed_scope(void *arg)
{
    struct timed timed = { .scope = make_scope("request") };

    (void)arg;
    CHECK_SAME(weir_mutex_create(&timed.mutex, "account"), 0);
    weir_task_release(spawn_at(timed.scope, 0, "holder", hold_and_join, &timed));
    await_looks(LOOKS);
    CHECK_SAME(atomic_load(&watched.deadlock_count), 0);
    CHECK_SAME(weir_scope_set_deadline(timed.scope, WEIR_NOW), 0);
    CHECK_SAME(weir_scope_join(timed.scope, WEIR_FOREVER), -ETIME);
    CHECK_SAME(weir_mutex_destroy(timed.mutex), 0);
    return 0;
}

static void who_may_move_is_left_in_peace(void **state)
{
    (void)state;
    play(all_is_well, NULL);
    play(wait_for_program, NULL);
    play(wait_for_async, NULL);
    play(wait_in_a_timed_scope, NULL);
}

/* --- Off, and at rest. ------------------------------------------------------------------------ */

static void switch_off(struct weir_options *options)
{
    options->deadlock_limit_ns = -1;
}

static int cross_unseen(void *arg)
{
    struct weir__runtime *runtime = weir__loop_current->runtime;

    (void)arg;
    CHECK(weir__watchdog_is_off(runtime));
    CHECK_SAME(weir__watchdog_tick(runtime, weir_now_ns()), INT64_MAX);
    CHECK_SAME(read_counter(WEIR_WATCHDOG_LOOKS), 0);
    return 0;
}

/* The watcher sleeps, and nothing but a loop that wakes up will rouse it. */
static bool is_watcher_at_rest(struct weir__runtime *runtime)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    bool found = false;

    while (folder && (entry = readdir(folder))) {
        struct weir__sleeper sleeper;

        weir__sleeper_look_closely(atoi(entry->d_name), &sleeper);
        found |= sleeper.in_call && sleeper.number == SYS_futex &&
                 sleeper.args[0] == (uintptr_t)&runtime->watcher_sleeps && sleeper.args[3] == 0;
    }
    closedir(folder);
    return found;
}

struct resting {
    struct weir__runtime *runtime;
    struct weir_chan *chan;
};

static void *end_at_rest(void *arg)
{
    const struct resting *resting = arg;
    uint64_t value = 0;

    AWAIT(is_watcher_at_rest(resting->runtime));
    CHECK_SAME(weir_chan_send(resting->chan, &value, WEIR_FOREVER), 0);
    return NULL;
}

/* Once nothing has happened for long enough nobody is woken any more. */
static int rest(void *arg)
{
    struct resting resting = { weir__loop_current->runtime, make_chan(0, NULL) };
    pthread_t thread;
    uint64_t value;

    (void)arg;
    CHECK_SAME(pthread_create(&thread, NULL, end_at_rest, &resting), 0);
    CHECK_SAME(weir_chan_recv(resting.chan, &value, WEIR_FOREVER), 0);
    CHECK_SAME(pthread_join(thread, NULL), 0);
    CHECK(read_counter(WEIR_WATCHDOG_LOOKS) > 0); /* they did look, as long as it was not enough */
    weir_chan_release(resting.chan);
    return 0;
}

static void nobody_is_woken_for_nothing(void **state)
{
    (void)state;
    play(cross_unseen, switch_off);
    play(rest, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_may_move_is_left_in_peace),
        cmocka_unit_test(nobody_is_woken_for_nothing),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
