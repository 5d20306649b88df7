/* SPDX-License-Identifier: MIT */
/* The bound on memory for tasks and buffers: reached, refused, waited for, given back. */
#include "base/budget.h"
#include "core/park.h"
#include "core/task.h"
#include "support/support.h"

#include <weir.h>

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIMIT_BYTES = 4 << 20, STACK_BYTES = 64 << 10, FOR_LONG_NS = 2000000000, TASKS_MAX = 256 };

static const struct weir_options tight = { .loop_count = 2, .memory_limit_bytes = LIMIT_BYTES };

static struct weir__budget *memory(void)
{
    return weir__loop_current->runtime->memory;
}

static size_t used(void)
{
    return atomic_load(&memory()->used);
}

static long long counter(enum weir_counter id)
{
    uint64_t counters[WEIR_COUNTER_COUNT];

    CHECK_EQUAL(weir_stats_read(counters, WEIR_COUNTER_COUNT), WEIR_COUNTER_COUNT);
    return (long long)counters[id];
}

static int recv_one(void *arg)
{
    int error = weir_chan_recv(arg, NULL, WEIR_FOREVER);

    return error == -EPIPE ? 0 : error;
}

/* Tasks that wait at the gate, until there is no room for one more. */
static int fill_with_tasks(struct weir_scope *scope, struct weir_chan *gate)
{
    int error, count = 0;

    while ((error = weir_spawn(scope, recv_one, gate, NULL)) >= 0 && count < TASKS_MAX)
        count++;
    CHECK_EQUAL(error, -EAGAIN);
    CHECK_EQUAL(weir_yield(), 0);
    return count;
}

static struct weir_chan *make_chan(size_t bytes)
{
    struct weir_chan *chan = NULL;

    CHECK_EQUAL(weir_chan_create(&chan, 1, bytes, NULL), 0);
    return chan;
}

static struct weir_chan *make_gate(void)
{
    struct weir_chan *chan = NULL;

    CHECK_EQUAL(weir_chan_create(&chan, 0, 0, NULL), 0);
    return chan;
}

/* Leaves less room than a stack or a block needs. */
static struct weir_chan *fill_with_a_chan(void)
{
    return make_chan(LIMIT_BYTES - used() - 4096);
}

/* --- Tasks. ----------------------------------------------------------------------------------- */

static int tasks_body(void *arg)
{
    struct weir_spawn_options waiting = { .wait_ns = 1000000 };
    struct weir_chan *gate = make_gate();
    struct weir_scope *scope;
    int count;

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    count = fill_with_tasks(scope, gate);
    CHECK(count > LIMIT_BYTES / 2 / STACK_BYTES);
    CHECK(used() <= LIMIT_BYTES);
    CHECK(used() >= (size_t)count * STACK_BYTES);
    CHECK(used() > LIMIT_BYTES - STACK_BYTES - sizeof(struct weir_task));
    CHECK_EQUAL(counter(WEIR_SPAWNS_REFUSED), 1);
    CHECK(atomic_load(&memory()->refused_count) >= 1);
    CHECK_EQUAL(weir_spawn(scope, recv_one, gate, &waiting), -ETIME);
    CHECK_EQUAL(weir_expired_phase(), WEIR_PHASE_SPAWN_QUEUE);
    CHECK_EQUAL(counter(WEIR_SPAWNS_EXPIRED), 1);
    CHECK_EQUAL(counter(WEIR_SPAWNS_WAITED), 1);
    CHECK(counter(WEIR_SPAWN_WAIT_MAX_NS) >= 1000000);
    CHECK_EQUAL(atomic_load(&memory()->waiting_count), 0);
    CHECK_EQUAL(weir_chan_close(gate, 0), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_chan_release(gate), 0);
    return 0;
}

static int send_one(void *arg)
{
    return weir_chan_send(arg, NULL, WEIR_FOREVER);
}

/* A task of the loop ends: its stack is the one that is waited for. */
static int end_body(void *arg)
{
    struct weir_spawn_options waiting = { .wait_ns = FOR_LONG_NS };
    struct weir_chan *gate = make_gate();
    struct weir_scope *scope;
    struct weir_task *sender;
    struct weir_spawn_options options = { .task = &sender };

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, send_one, gate, &options), 0);
    fill_with_tasks(scope, gate); /* the sender has sent, and will end */
    CHECK_EQUAL(weir_spawn(scope, recv_one, gate, &waiting), 0);
    CHECK_EQUAL(weir_join(sender, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_chan_close(gate, 0), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_chan_release(gate), 0);
    return 0;
}

static int release_chan(void *arg)
{
    while (atomic_load(&memory()->waiting_count) == 0)
        CHECK_EQUAL(weir_yield(), 0);
    return weir_chan_release(arg);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Another loop gives bytes back. */
static int give_body(void *arg)
{
    struct weir_spawn_options waiting = { .wait_ns = FOR_LONG_NS, .stack_bytes = 1 << 20 };
    struct weir_spawn_options there = { .place = WEIR_PLACE_LOOP, .loop_index = 1 };
    struct weir_chan *big = make_chan(LIMIT_BYTES - used() - 2 * (STACK_BYTES + 4096));
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, release_chan, big, &there), 0);
    CHECK_EQUAL(weir_spawn(scope, nothing, NULL, &waiting), 0);
    CHECK_EQUAL(counter(WEIR_SPAWNS_WAITED), 1);
    return weir_scope_join(scope, WEIR_FOREVER);
}

/* A cancel ends the wait, and so does the end of the scope. */
static int wait_for_memory(void *arg)
{
    struct weir_spawn_options waiting = { .wait_ns = FOR_LONG_NS, .stack_bytes = 1 << 20 };

    CHECK_EQUAL(weir_spawn(arg, nothing, NULL, &waiting), -ECANCELED);
    return -ECANCELED;
}

static int cancel_body(void *arg)
{
    struct weir_chan *big = make_chan(LIMIT_BYTES - used() - (1 << 20));
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, wait_for_memory, weir_task_scope(), NULL), 0);
    while (atomic_load(&memory()->waiting_count) == 0)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_scope_cancel(scope), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(atomic_load(&memory()->waiting_count), 0);
    CHECK(weir__list_empty(&memory()->waiters));
    CHECK_EQUAL(weir_chan_release(big), 0);
    return 0;
}

/* --- One spawn that waits for all there is to wait for. --------------------------------------- */

enum { TASKS = 4 }; /* the root task, who spawns, who holds the scope's place, who takes the room */

static struct line {
    struct weir_scope *bounded, *others;
    struct weir_chan *place_gate, *room_gate;
} line;

static int spawn_into_all(void *arg)
{
    struct weir_spawn_options options = { .wait_ns = FOR_LONG_NS, .stack_bytes = 1 << 20 };

    (void)arg;
    CHECK_EQUAL(weir_spawn(line.bounded, nothing, NULL, &options), 0);
    return 0;
}

static int take_the_room(void *arg)
{
    struct weir_spawn_options options = { .wait_ns = FOR_LONG_NS };

    (void)arg;
    CHECK_EQUAL(weir_spawn(line.others, recv_one, line.room_gate, &options), 0);
    return recv_one(line.room_gate);
}

static size_t guests(void)
{
    struct weir_scope_stats stats;

    CHECK_EQUAL(weir_scope_read_stats(line.bounded, &stats), 0);
    return stats.waiting;
}

static void await_counter(enum weir_counter id, long long value)
{
    while (counter(id) != value)
        CHECK_EQUAL(weir_yield(), 0);
}

/* A place in the scope, then room among the tasks, then memory: wait_ns is for all of them, and
 * for the loop it is one wait. */
static int line_body(void *arg)
{
    struct weir_scope_options one = { .limit = 1 };
    struct weir_task *spawner;
    struct weir_spawn_options options = { .task = &spawner };
    struct weir_chan *big;
    int64_t deadline_ns;

    (void)arg;
    line.place_gate = make_gate();
    line.room_gate = make_gate();
    CHECK_EQUAL(weir_scope_create(&line.bounded, WEIR_SCOPE_COLLECT, &one), 0);
    CHECK_EQUAL(weir_scope_create(&line.others, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(line.bounded, recv_one, line.place_gate, NULL), 0);
    CHECK_EQUAL(weir_spawn(line.others, spawn_into_all, NULL, &options), 0);
    while (guests() == 0)
        CHECK_EQUAL(weir_yield(), 0);
    deadline_ns = spawner->deadline_ns;
    CHECK_EQUAL(weir_spawn(line.others, take_the_room, NULL, NULL), 0);
    await_counter(WEIR_SPAWNS_WAITING_NOW, 1);
    big = fill_with_a_chan();

    CHECK_EQUAL(weir_chan_close(line.place_gate, 0), 0); /* the room goes to who waits for it */
    await_counter(WEIR_SPAWNS_WAITED, 1);
    await_counter(WEIR_SPAWNS_WAITING_NOW, 1);
    CHECK_EQUAL(guests(), 0);
    CHECK_EQUAL(spawner->deadline_ns, deadline_ns);
    CHECK_EQUAL(weir_chan_close(line.room_gate, 0), 0);
    while (atomic_load(&memory()->waiting_count) == 0)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(spawner->deadline_ns, deadline_ns);
    CHECK_EQUAL(weir_chan_release(big), 0);
    CHECK_EQUAL(weir_join(spawner, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(counter(WEIR_SPAWNS_WAITED), 2);
    CHECK_EQUAL(counter(WEIR_SPAWNS_WAITING_NOW), 0);
    CHECK_EQUAL(weir_scope_join(line.bounded, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_scope_join(line.others, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_chan_release(line.place_gate), 0);
    CHECK_EQUAL(weir_chan_release(line.room_gate), 0);
    return 0;
}

static void test_one_wait_for_all(void **state)
{
    const struct weir_options few = {
        .loop_count = 1,
        .tasks_per_loop = TASKS,
        .memory_limit_bytes = LIMIT_BYTES,
    };

    (void)state;
    assert_int_equal(test_run(line_body, NULL, &few), 0);
}

static void test_spawns_at_the_limit(void **state)
{
    weir_task_fn *const bodies[] = { tasks_body, end_body, give_body, cancel_body };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        assert_int_equal(test_run(bodies[i], NULL, &tight), 0);
}

/* --- Channels. -------------------------------------------------------------------------------- */

static struct weir_chan *survivor;

static int chans_body(void *arg)
{
    size_t before = used();
    struct weir_chan *big = fill_with_a_chan(), *more;

    (void)arg;
    CHECK_EQUAL(weir_chan_create(&more, 1, 8192, NULL), -ENOMEM);
    CHECK(strstr(weir_last_error(), "memory_limit_bytes") != NULL);
    CHECK(used() <= LIMIT_BYTES);
    CHECK_EQUAL(weir_chan_release(big), 0);
    CHECK_EQUAL(used(), before);
    CHECK(atomic_load(&memory()->used_max) > LIMIT_BYTES - 8192);
    survivor = make_chan(100);
    return 0;
}

static void test_channels_count(void **state)
{
    (void)state;
    assert_int_equal(test_run(chans_body, NULL, &tight), 0);
    assert_int_equal(weir_chan_release(survivor), 0); /* it has outlived its runtime */
}

/* --- Streams. --------------------------------------------------------------------------------- */

static void make_tcp_pair(int pair[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t bytes = sizeof address;
    int listener = weir_socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQUAL(weir_bind(listener, (struct sockaddr *)&address, bytes, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_listen(listener, 1), 0);
    CHECK_EQUAL(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    pair[0] = weir_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQUAL(weir_connect(pair[0], (struct sockaddr *)&address, bytes, WEIR_FOREVER), 0);
    pair[1] = weir_accept(listener, NULL, NULL, 0, WEIR_FOREVER);
    CHECK(pair[1] >= 0);
    CHECK_EQUAL(weir_close(listener), 0);
}

/* Without room for a buffer, reads and writes use their caller's memory. */
static int streams_body(void *arg)
{
    static const char text[] = "through a tight place";
    struct weir_chan *big;
    struct weir_stream *left, *right;
    char seen[sizeof text];
    int pair[2];

    (void)arg;
    make_tcp_pair(pair);
    big = fill_with_a_chan();
    CHECK_EQUAL(weir_stream_open(&left, pair[0], NULL), 0);
    CHECK_EQUAL(weir_stream_open(&right, pair[1], NULL), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(weir_stream_write(left, text, sizeof text, WEIR_FOREVER), sizeof text);
        CHECK_EQUAL(weir_stream_flush(left, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_stream_read_exactly(right, seen, sizeof text, WEIR_FOREVER), sizeof text);
        CHECK_EQUAL(memcmp(seen, text, sizeof text), 0);
    }
    CHECK(used() <= LIMIT_BYTES);
    CHECK_EQUAL(counter(WEIR_RECEIVE_BUFFERS_MAX), 0);
    CHECK_EQUAL(weir_chan_release(big), 0);
    CHECK_EQUAL(weir_stream_abort(left), 0);
    CHECK_EQUAL(weir_stream_abort(right), 0);
    return 0;
}

static void test_streams_do_without(void **state)
{
    (void)state;
    assert_int_equal(test_run(streams_body, NULL, &tight), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spawns_at_the_limit),
        cmocka_unit_test(test_one_wait_for_all),
        cmocka_unit_test(test_channels_count),
        cmocka_unit_test(test_streams_do_without),
    };

    return cmocka_run_group_tests_name("runtime/memory_limit", tests, NULL, NULL);
}
