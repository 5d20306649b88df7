/* SPDX-License-Identifier: MIT */
/* The watchdogs beside the one for deadlocks: each warns of what it is for, once, in words that
 * name cause and remedy, and is silent where all is well. */
#include "io/op.h"
#include "watch/watched.h"

#include <sys/socket.h>

static void await_warning(long count)
{
    AWAIT(atomic_load(&watched.warning_count) >= count);
}

/* Nothing was told, and nothing more is. */
static void check_told_once(void)
{
    long count = atomic_load(&watched.warning_count);

    await_looks(LOOKS);
    CHECK_SAME(atomic_load(&watched.warning_count), count);
}

static void end_scope(struct weir_scope *scope)
{
    weir_scope_cancel(scope);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
}

static int sleep_long(void *arg)
{
    (void)arg;
    return weir_sleep(weir_in_seconds(1000));
}

/* --- A mutex across a park. ------------------------------------------------------------------- */

struct held {
    struct weir_mutex *mutex;
    bool unlocks; /* before it parks */
};

static int hold_and_sleep(void *arg)
{
    struct held *held = arg;

    CHECK_SAME(weir_mutex_lock(held->mutex, WEIR_FOREVER), 0);
    if (held->unlocks)
        weir_mutex_unlock(held->mutex);
    CHECK_SAME(weir_sleep(weir_in_seconds(1000)), -ECANCELED);
    return held->unlocks ? 0 : weir_mutex_unlock(held->mutex);
}

static int lock_late(void *arg)
{
    struct held *held = arg;

    if (weir_mutex_lock(held->mutex, weir_in_seconds(1000)) < 0)
        return 0;
    return weir_mutex_unlock(held->mutex);
}

static bool was_locked(struct weir_mutex *mutex)
{
    struct weir_mutex_stats stats;

    CHECK_SAME(weir_mutex_read_stats(mutex, &stats), 0);
    return stats.locked_total > 0;
}

static struct weir_scope *begin_held(struct held *held)
{
    struct weir_scope *scope = make_scope("bank");

    CHECK_SAME(weir_mutex_create(&held->mutex, "ledger"), 0);
    weir_task_release(spawn_at(scope, 0, "holder", hold_and_sleep, held));
    AWAIT(was_locked(held->mutex));
    for (unsigned i = 0; i < 3; i++)
        weir_task_release(spawn_at(scope, i % 2, "clerk", lock_late, held));
    return scope;
}

static int hold_across(void *arg)
{
    struct held held = { .unlocks = false };
    struct weir_scope *scope = begin_held(&held);

    (void)arg;
    await_warning(1);
    CHECK_TOLD(&watched.told,
               "weir: mutex \"ledger\" is held across a long park: its owner "
               "\"holder\" of scope \"bank\", loop 0, spawned at spawn_at+0x",
               " is parked for ", " s in sleep, deadline in ",
               " wait for it. To do: unlock before");
    CHECK_SAME(read_counter(WEIR_MUTEXES_HELD_LONG), 1);
    check_told_once();
    end_scope(scope);
    CHECK_SAME(weir_mutex_destroy(held.mutex), 0);
    return 0;
}

static int hold_briefly(void *arg)
{
    struct held held = { .unlocks = true };
    struct weir_scope *scope = begin_held(&held);

    (void)arg;
    await_looks(LOOKS);
    CHECK_SAME(atomic_load(&watched.warning_count), 0);
    end_scope(scope);
    CHECK_SAME(weir_mutex_destroy(held.mutex), 0);
    return 0;
}

static void watch_mutexes(struct weir_options *options)
{
    options->mutex_limit_ns = 2 * MS;
}

static void a_mutex_held_across_a_park(void **state)
{
    (void)state;
    play(hold_across, watch_mutexes);
    play(hold_briefly, watch_mutexes);
}

/* --- A drain that stopped. -------------------------------------------------------------------- */

struct drain {
    struct weir_chan *chan;
    atomic_bool over;
    unsigned sleeps_after; /* elements; 0: ends there */
    unsigned takes;
};

static int produce(void *arg)
{
    struct drain *drain = arg;
    uint64_t value = 1;

    while (!atomic_load(&drain->over) && weir_chan_send(drain->chan, &value, WEIR_FOREVER) >= 0)
        weir_yield();
    return 0;
}

static int consume(void *arg)
{
    struct drain *drain = arg;
    uint64_t value;

    for (unsigned i = 0; i < drain->takes; i++)
        if (weir_chan_recv(drain->chan, &value, WEIR_FOREVER) < 0)
            return 0;
    return drain->sleeps_after ? sleep_long(NULL) : 0;
}

static struct weir_scope *begin_drain(struct drain *drain)
{
    struct weir_scope *scope = make_scope("line");

    drain->chan = make_chan(4, &(struct weir_chan_options){ .name = "orders" });
    if (drain->takes)
        weir_task_release(spawn_at(scope, 1, "consumer", consume, drain));
    weir_task_release(spawn_at(scope, 0, "producer", produce, drain));
    return scope;
}

static void end_drain(struct drain *drain, struct weir_scope *scope)
{
    atomic_store(&drain->over, true);
    end_scope(scope);
    weir_chan_release(drain->chan);
}

static int stop_drain(void *arg)
{
    struct drain drain = { .takes = 8, .sleeps_after = 1 };
    struct weir_scope *scope = begin_drain(&drain);

    (void)arg;
    await_warning(1);
    CHECK_TOLD(&watched.told,
               "weir: a drain has stopped: nothing was received from channel "
               "\"orders\" (4 of 4 buffered, 1 waiting to send) for ",
               "\"producer\" of scope \"line\", loop 0, spawned at ",
               " is parked in a send; its last "
               "receiver \"consumer\" of scope "
               "\"line\", loop 1",
               " in sleep, deadline in ", "To do: look at the receiver");
    CHECK_SAME(read_counter(WEIR_DRAINS_STOPPED), 1);
    check_told_once();
    end_drain(&drain, scope);
    return 0;
}

static int end_receiver(void *arg)
{
    struct drain drain = { .takes = 8 };
    struct weir_scope *scope = begin_drain(&drain);

    (void)arg;
    await_warning(1);
    CHECK_TOLD(&watched.told, "; its last receiver \"consumer\" has ended. To do: ");
    end_drain(&drain, scope);
    return 0;
}

static int without_receiver(void *arg)
{
    struct drain drain = { .takes = 0 };
    struct weir_scope *scope = begin_drain(&drain);

    (void)arg;
    await_warning(1);
    CHECK_TOLD(&watched.told, "; no task has ever received from it. To do: ");
    end_drain(&drain, scope);
    return 0;
}

static int without_users(void *arg)
{
    struct drain drain = { .takes = 8 };
    struct weir_scope *scope = begin_drain(&drain);

    (void)arg;
    await_warning(1);
    CHECK_TOLD(&watched.told, "; who receives is not noted (weir_options.channel_users). To do: ");
    end_drain(&drain, scope);
    return 0;
}

/* The receiver waits for more, or is slow: no sender waits longer than the receiver sleeps. */
static int keep_draining(void *arg)
{
    struct drain drain = { .takes = UINT32_MAX };
    struct weir_scope *scope = begin_drain(&drain);

    (void)arg;
    await_looks(LOOKS);
    CHECK_SAME(atomic_load(&watched.warning_count), 0);
    end_drain(&drain, scope);
    return 0;
}

static void watch_drains(struct weir_options *options)
{
    options->drain_limit_ns = 2 * MS;
    options->channel_users = true;
}

static void watch_drains_without_users(struct weir_options *options)
{
    options->drain_limit_ns = 2 * MS;
}

/* So long that a busy machine does not make it true. */
static void watch_drains_slowly(struct weir_options *options)
{
    options->drain_limit_ns = 20000 * (int64_t)MS;
    options->mutex_limit_ns = 2 * MS;
}

static void a_drain_that_stopped(void **state)
{
    (void)state;
    play(stop_drain, watch_drains);
    play(end_receiver, watch_drains);
    play(without_receiver, watch_drains);
    play(without_users, watch_drains_without_users);
    play(keep_draining, watch_drains_slowly);
}

/* --- Overdue operations. ---------------------------------------------------------------------- */

struct slow {
    int sockets[2];
    struct weir__op op;
    struct weir__wait *wait;
    atomic_bool is_parked;
};

/* A device that does not answer is not to be had: the same park, without a kernel behind it. */
static int read_slowly(void *arg)
{
    struct slow *slow = arg;

    slow->op = (struct weir__op){ .row = &weir__op_rows[WEIR__OP_ID_PREAD], .fd = 77 };
    slow->wait = &weir__loop_current->current->wait;
    weir__wait_begin(slow->wait, &weir__op_awaits_device, &slow->op);
    atomic_store(&slow->is_parked, true);
    return weir__wait_park(slow->wait, WEIR_FOREVER, WEIR__PARK_RELEASE);
}

static int receive_for_ever(void *arg)
{
    struct slow *slow = arg;
    char byte;

    return weir_recv(slow->sockets[0], &byte, 1, 0, WEIR_FOREVER) == -ECANCELED ? 0 : -1;
}

static int receive_in_time(void *arg)
{
    struct slow *slow = arg;
    char byte;

    return weir_recv(slow->sockets[0], &byte, 1, 0, weir_in_seconds(1000)) == -ECANCELED ? 0 : -1;
}

static int wait_for_device(void *arg)
{
    struct slow slow = { .is_parked = false };
    struct weir_scope *scope = make_scope("files");

    (void)arg;
    weir_task_release(spawn_at(scope, 1, "loader", read_slowly, &slow));
    await_warning(1);
    CHECK_TOLD(&watched.told,
               "weir: an operation is overdue: \"loader\" of scope \"files\", loop 1, "
               "spawned at spawn_at+0x",
               " s in file operation, pread of descriptor 77. The device does not answer. To do: ");
    CHECK_SAME(read_counter(WEIR_OPS_OVERDUE), 1);
    check_told_once();
    weir__wait_fire(slow.wait, 0);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    return 0;
}

static int begin_peers(struct slow *slow, struct weir_scope **scope, weir_task_fn *fn)
{
    *scope = make_scope("peers");
    CHECK_SAME(socketpair(AF_UNIX, SOCK_STREAM, 0, slow->sockets), 0);
    weir_task_release(spawn_at(*scope, 0, "reader", fn, slow));
    return 0;
}

static void end_peers(struct slow *slow, struct weir_scope *scope)
{
    end_scope(scope);
    weir_close(slow->sockets[0]);
    weir_close(slow->sockets[1]);
}

static int wait_for_peer(void *arg)
{
    struct slow slow = { .is_parked = false };
    struct weir_scope *scope;

    (void)arg;
    begin_peers(&slow, &scope, receive_for_ever);
    await_warning(1);
    CHECK_TOLD(&watched.told, "weir: an operation is overdue: \"reader\"",
               " s in operation, recv of descriptor ",
               ". The peer is silent. To do: a deadline on the call");
    end_peers(&slow, scope);
    return 0;
}

static int wait_for_peer_in_time(void *arg)
{
    struct slow slow = { .is_parked = false };
    struct weir_scope *scope;

    (void)arg;
    begin_peers(&slow, &scope, receive_in_time);
    await_looks(LOOKS);
    CHECK_SAME(atomic_load(&watched.warning_count), 0);
    end_peers(&slow, scope);
    return 0;
}

/* To wait for a peer is no fault, unless the options say so. */
static int wait_for_peer_by_default(void *arg)
{
    struct slow slow = { .is_parked = false };
    struct weir_scope *scope;

    (void)arg;
    begin_peers(&slow, &scope, receive_for_ever);
    await_looks(LOOKS);
    CHECK_SAME(atomic_load(&watched.warning_count), 0);
    end_peers(&slow, scope);
    return 0;
}

static void watch_devices(struct weir_options *options)
{
    options->device_limit_ns = 2 * MS;
}

static void watch_peers(struct weir_options *options)
{
    options->peer_limit_ns = 2 * MS;
}

static void operations_that_are_overdue(void **state)
{
    (void)state;
    play(wait_for_device, watch_devices);
    play(wait_for_peer, watch_peers);
    play(wait_for_peer_in_time, watch_peers);
    play(wait_for_peer_by_default, watch_devices);
}

/* --- Producers without a bound. --------------------------------------------------------------- */

static int end_at_once(void *arg)
{
    (void)arg;
    return 0;
}

static void spawn_some(struct weir_scope *scope, weir_task_fn *fn, int64_t pause_us)
{
    struct weir_spawn_options options = { .name = "handler" };

    for (int i = 0; i < 2; i++)
        CHECK_SAME(weir_spawn(scope, fn, NULL, &options), 0);
    CHECK_SAME(weir_sleep(weir_in_us(pause_us)), 0);
}

/* A look that finds nothing started ends the row, and where the thread does not run for long, that
 * happens: so it goes on until it is told of, and at a pace that leaves memory for all patience. */
static bool grow_till_told(struct weir_scope *scope)
{
    spawn_some(scope, sleep_long, 4000);
    return atomic_load(&watched.warning_count) > 0;
}

static int grow(void *arg)
{
    struct weir_scope *scope = make_scope("clients");

    (void)arg;
    AWAIT(grow_till_told(scope));
    CHECK_TOLD(&watched.told, "weir: a producer without bound: loop 0 has ", " tasks more than ",
               "started only ", " ended; ",
               " % of the newest are like \"handler\" of scope \"clients\", spawned at "
               "spawn_some+0x",
               ". At 262144 tasks spawn is refused, or waits (tasks_per_loop). To do: bound the");
    CHECK_SAME(read_counter(WEIR_TASKS_GROWING), 1);
    end_scope(scope);
    return 0;
}

struct hold {
    atomic_bool began, over;
};

static int hold_loop(void *arg)
{
    const struct timespec pause = { .tv_nsec = MS };
    struct hold *hold = arg;

    atomic_store(&hold->began, true);
    while (!atomic_load(&hold->over))
        nanosleep(&pause, NULL);
    return 0;
}

/* Beside a loop that answers nothing, no look at all tasks is complete. */
static int grow_beside_held(void *arg)
{
    struct weir_scope *scope = make_scope("others");
    struct hold hold = { .began = false };

    weir_task_release(spawn_at(scope, 1, "holder", hold_loop, &hold));
    AWAIT(atomic_load(&hold.began));
    grow(arg);
    atomic_store(&hold.over, true);
    end_scope(scope);
    return 0;
}

/* As many, but they end. */
static int come_and_go(void *arg)
{
    struct weir_scope *scope = make_scope("clients");

    (void)arg;
    for (int i = 0; i < 1000; i++)
        spawn_some(scope, end_at_once, 300);
    CHECK_SAME(atomic_load(&watched.warning_count), 0);
    end_scope(scope);
    return 0;
}

static void watch_growth(struct weir_options *options)
{
    options->growth_limit_ns = 250 * MS;
    options->growth_tasks = 50;
}

/* Looks at nothing else, for these would take as long as patience with the loop. */
static void watch_only_growth(struct weir_options *options)
{
    watch_growth(options);
    options->deadlock_limit_ns = -1;
}

static void watch_growth_closely(struct weir_options *options)
{
    watch_growth(options);
    options->growth_limit_ns = 25 * MS;
}

static void tasks_that_only_become_more(void **state)
{
    (void)state;
    play(grow, watch_growth);
    play(grow_beside_held, watch_only_growth);
    play(come_and_go, watch_growth_closely);
}

static struct weir_chan *make_dropping(void)
{
    return make_chan(8, &(struct weir_chan_options){
                            .name = "samples",
                            .policy = WEIR_CHAN_DROP_OLDEST,
                        });
}

/* Some are sent, and received or not. Whether there is a warning. */
static bool send_some(struct weir_chan *chan, bool is_received)
{
    uint64_t value = 0;

    for (int i = 0; i < 100; i++) {
        CHECK(weir_chan_send(chan, &value, WEIR_NOW) >= 0);
        if (is_received)
            CHECK_SAME(weir_chan_recv(chan, &value, WEIR_NOW), 0);
    }
    CHECK_SAME(weir_sleep(weir_in_us(300)), 0);
    return atomic_load(&watched.warning_count) > 0;
}

static int drop_all(void *arg)
{
    struct weir_chan *chan = make_dropping();

    (void)arg;
    AWAIT(send_some(chan, false));
    CHECK_TOLD(&watched.told, "weir: a producer without bound: channel \"samples\" has dropped ",
               " elements sent within ", " s (8 of 8 buffered, 0 waiting to receive). To do: ");
    CHECK_SAME(read_counter(WEIR_CHANS_DROPPING), 1);
    weir_chan_release(chan);
    return 0;
}

static int drop_nothing(void *arg)
{
    struct weir_chan *chan = make_dropping();

    (void)arg;
    for (int i = 0; i < 100; i++)
        CHECK(!send_some(chan, true));
    weir_chan_release(chan);
    return 0;
}

static void watch_drops(struct weir_options *options)
{
    options->drop_limit_ns = 250 * MS;
}

static void watch_drops_closely(struct weir_options *options)
{
    options->drop_limit_ns = 5 * MS;
}

static void channels_that_drop(void **state)
{
    (void)state;
    play(drop_all, watch_drops);
    play(drop_nothing, watch_drops_closely);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mutex_held_across_a_park),
        cmocka_unit_test(a_drain_that_stopped),
        cmocka_unit_test(operations_that_are_overdue),
        cmocka_unit_test(tasks_that_only_become_more),
        cmocka_unit_test(channels_that_drop),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
