/* SPDX-License-Identifier: MIT */
/* The walk over all queues: each is there, and says so when it is full. */
#include "base/budget.h"
#include "base/gauge.h"
#include "base/memory.h"
#include "core/park.h"
#include "io/io.h"
#include "support/support.h"

#include <weir.h>

#include <arpa/inet.h>
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT_NS = 1000000 };

/* --- Finding one. ----------------------------------------------------------------------------- */

struct search {
    const char *name;
    const char *owner;
    int loop_index;
    int found_count;
    struct weir_queue_stats found;
};

static void look(const struct weir_queue_stats *queue, void *context)
{
    struct search *search = context;

    if (strcmp(queue->name, search->name) != 0 || strcmp(queue->owner, search->owner) != 0 ||
        queue->loop_index != search->loop_index)
        return;
    search->found_count++;
    search->found = *queue;
}

static struct weir_queue_stats find(const char *name, const char *owner, int loop_index)
{
    struct search search = { .name = name, .owner = owner, .loop_index = loop_index };

    CHECK(weir_queue_walk(look, &search) > 0);
    if (!CHECK_EQUAL(search.found_count, 1))
        fprintf(stderr, "looking for %s of %s, loop %d\n", name, owner, loop_index);
    return search.found;
}

/* What a full queue says after one was refused and one has waited in vain. */
static void check_full(const struct weir_queue_stats *queue, uint64_t limit)
{
    CHECK_EQUAL(queue->limit, limit);
    CHECK_EQUAL(queue->now, limit);
    CHECK_EQUAL(queue->now_max, limit);
    CHECK_EQUAL(queue->waiting, 0);
    CHECK_EQUAL(queue->refused_count, 1);
    CHECK_EQUAL(queue->expired_count, 1);
    CHECK_EQUAL(queue->waited_count, 1);
    CHECK(queue->wait_ns >= WAIT_NS);
}

static void run(weir_task_fn *body, struct weir_options options)
{
    assert_int_equal(test_run(body, &options, &options), 0);
}

/* --- All are there. --------------------------------------------------------------------------- */

static int all_body(void *arg)
{
    static const char *const of_loops[] = {
        "disk reads",    "disk writes",     "zero-copy sends", "tasks",
        "remote spawns", "receive buffers", "submissions",     "completions",
    };
    static const char *const of_runtime[] = { "memory", "stacks", "registered buffers" };
    static const char *const pools[] = { "pool", "cpu", "resolver" };

    (void)arg;
    for (int loop = 0; loop < 2; loop++)
        for (size_t i = 0; i < sizeof of_loops / sizeof of_loops[0]; i++)
            CHECK(find(of_loops[i], "loop", loop).limit > 0);
    for (size_t i = 0; i < sizeof of_runtime / sizeof of_runtime[0]; i++)
        CHECK(find(of_runtime[i], "runtime", -1).limit > 0);
    for (size_t i = 0; i < sizeof pools / sizeof pools[0]; i++)
        CHECK(find("jobs", pools[i], -1).limit > 0);
    CHECK(find("answers", "resolver", -1).limit > 0);
    CHECK_EQUAL(find("tasks", "loop", 0).now, 1);
    CHECK(find("stacks", "runtime", -1).now >= 64 << 10);
    CHECK(find("memory", "runtime", -1).now > find("stacks", "runtime", -1).now);
    return 0;
}

static void test_all_queues_are_seen(void **state)
{
    (void)state;
    run(all_body, (struct weir_options){ .loop_count = 2 });
}

/* --- Each is filled. -------------------------------------------------------------------------- */

static int recv_until_closed(void *arg)
{
    int error = weir_chan_recv(arg, NULL, WEIR_FOREVER);

    return error == -EPIPE ? 0 : error;
}

static struct weir_chan *make_chan(size_t capacity, const struct weir_chan_options *options)
{
    struct weir_chan *chan = NULL;

    CHECK_EQUAL(weir_chan_create(&chan, 0, capacity, options), 0);
    return chan;
}

static int tasks_body(void *arg)
{
    struct weir_spawn_options waiting = { .wait_ns = WAIT_NS };
    struct weir_chan *gate = make_chan(0, NULL);
    struct weir_queue_stats queue;

    (void)arg;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), recv_until_closed, gate, NULL), 0);
    CHECK_EQUAL(weir_spawn(weir_task_scope(), recv_until_closed, gate, NULL), -EAGAIN);
    CHECK_EQUAL(weir_spawn(weir_task_scope(), recv_until_closed, gate, &waiting), -ETIME);
    queue = find("tasks", "loop", 0);
    check_full(&queue, 2);
    CHECK(queue.wait_max_ns >= WAIT_NS);
    CHECK_EQUAL(queue.waiting_max, 1);
    CHECK_EQUAL(weir_chan_close(gate, 0), 0);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_chan_release(gate), 0);
    return 0;
}

/* One task on loop 1, and one on its way there: the place is only free again when that runs. */
static int spawns_body(void *arg)
{
    struct weir_spawn_options there = { .place = WEIR_PLACE_LOOP, .loop_index = 1 };
    struct weir_chan *gate = make_chan(0, NULL);
    struct weir_queue_stats queue;
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, recv_until_closed, gate, &there), 0);
    while (find("tasks", "loop", 1).now < 1 || find("remote spawns", "loop", 1).now > 0)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_spawn(scope, recv_until_closed, gate, &there), 0);
    CHECK_EQUAL(weir_spawn(scope, recv_until_closed, gate, &there), -EAGAIN);
    there.wait_ns = WAIT_NS;
    CHECK_EQUAL(weir_spawn(scope, recv_until_closed, gate, &there), -ETIME);
    queue = find("remote spawns", "loop", 1);
    check_full(&queue, 1);
    CHECK_EQUAL(weir_chan_close(gate, 0), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_chan_release(gate), 0);
    return 0;
}

static struct weir_stream *open_stream(int *peer)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct weir_stream *stream = NULL;
    socklen_t bytes = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQUAL(bind(listener, (struct sockaddr *)&address, bytes), 0);
    CHECK_EQUAL(listen(listener, 1), 0);
    CHECK_EQUAL(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    *peer = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQUAL(connect(*peer, (struct sockaddr *)&address, bytes), 0);
    CHECK_EQUAL(weir_stream_open(&stream, accept(listener, NULL, NULL), NULL), 0);
    close(listener);
    return stream;
}

/* The loop's only one holds what nobody reads; the next reader does without. */
static int buffers_body(void *arg)
{
    uint64_t limit = ((const struct weir_options *)arg)->receive_buffers_bytes;
    struct weir_stream *streams[2];
    struct weir_queue_stats queue;
    int peers[2];
    char byte;

    if (!(weir__loop_current->ring.features & WEIR_FEATURE_MULTISHOT_RECV))
        return 0;
    for (int i = 0; i < 2; i++)
        streams[i] = open_stream(&peers[i]);
    CHECK_EQUAL(weir_stream_read(streams[0], &byte, 1, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(send(peers[0], "unread", 6, 0), 6);
    while (find("receive buffers", "loop", 0).now < limit)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_stream_read(streams[1], &byte, 1, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(send(peers[1], "x", 1, 0), 1);
    CHECK_EQUAL(weir_stream_read(streams[1], &byte, 1, WEIR_FOREVER), 1);
    queue = find("receive buffers", "loop", 0);
    CHECK(queue.in_bytes);
    CHECK_EQUAL(queue.limit, limit);
    CHECK_EQUAL(queue.now, limit);
    CHECK_EQUAL(queue.now_max, limit);
    CHECK(queue.refused_count > 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(weir_stream_abort(streams[i]), 0);
        close(peers[i]);
    }
    CHECK_EQUAL(find("receive buffers", "loop", 0).now, 0);
    return 0;
}

/* One entry more than there are, and all complete together. */
static int ring_body(void *arg)
{
    unsigned entries = ((const struct weir_options *)arg)->ring_entries;
    struct weir_queue_stats queue = find("submissions", "loop", 0);
    uint64_t flushes = queue.waited_count;

    CHECK_EQUAL(queue.limit, entries);
    for (unsigned i = 0; i < entries + 1; i++) {
        struct io_uring_sqe *sqe = weir__ring_sqe(&weir__loop_current->ring);

        io_uring_prep_nop(sqe);
        weir__ring_complete_to(sqe, NULL);
    }
    queue = find("submissions", "loop", 0);
    CHECK_EQUAL(queue.now_max, entries);
    CHECK_EQUAL(queue.waited_count, flushes + 1);
    queue = find("completions", "loop", 0);
    CHECK(queue.now_max >= entries);
    CHECK(queue.now_max <= queue.limit);
    CHECK_EQUAL(queue.refused_count, 0);
    return 0;
}

/* Through calls it is filled in tests/io/submission_test.c. */
static int submissions_body(void *arg)
{
    static const struct {
        enum weir__op_class class;
        const char *name;
    } queues[] = {
        { WEIR__CLASS_DISK_READ, "disk reads" },
        { WEIR__CLASS_DISK_WRITE, "disk writes" },
        { WEIR__CLASS_ZERO_COPY, "zero-copy sends" },
    };

    (void)arg;
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++) {
        struct weir__credits *credits = &weir__loop_current->io->credits[queues[i].class];
        struct weir_queue_stats queue;

        for (int taken = 0; taken < 3; taken++)
            CHECK_EQUAL(weir__credits_take(credits, WEIR_NOW), 0);
        CHECK_EQUAL(weir__credits_take(credits, WEIR_NOW), -EAGAIN);
        CHECK_EQUAL(weir__credits_take(credits, weir_in_ns(WAIT_NS)), -ETIME);
        queue = find(queues[i].name, "loop", 0);
        check_full(&queue, 3);
        CHECK(queue.wait_max_ns >= WAIT_NS);
        CHECK_EQUAL(queue.waiting_max, 1);
        for (int taken = 0; taken < 3; taken++)
            weir__credits_give(credits);
        CHECK_EQUAL(find(queues[i].name, "loop", 0).now, 0);
    }
    return 0;
}

static int memory_body(void *arg)
{
    size_t limit = ((const struct weir_options *)arg)->memory_limit_bytes;
    size_t left = limit - find("memory", "runtime", -1).now;
    struct weir_spawn_options options = { .stack_bytes = 1 << 20 };
    struct weir_chan *big = NULL;
    struct weir_queue_stats queue;

    CHECK_EQUAL(weir_chan_create(&big, 1, left - 65536, NULL), 0);
    CHECK_EQUAL(weir_spawn(weir_task_scope(), recv_until_closed, big, &options), -EAGAIN);
    queue = find("memory", "runtime", -1);
    CHECK(queue.in_bytes);
    CHECK_EQUAL(queue.limit, limit);
    CHECK(queue.now > limit - 65536);
    CHECK_EQUAL(queue.now_max, queue.now);
    CHECK_EQUAL(queue.refused_count, 1);
    CHECK_EQUAL(find("stacks", "runtime", -1).refused_count, 1);
    options.wait_ns = WAIT_NS;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), recv_until_closed, big, &options), -ETIME);
    queue = find("memory", "runtime", -1);
    CHECK_EQUAL(queue.waiting, 0);
    CHECK_EQUAL(queue.waited_count, 1);
    CHECK_EQUAL(queue.expired_count, 1);
    CHECK(queue.wait_ns >= WAIT_NS);
    CHECK_EQUAL(queue.wait_max_ns, queue.wait_ns);
    CHECK_EQUAL(weir_chan_release(big), 0);
    return 0;
}

static int stacks_body(void *arg)
{
    struct weir_spawn_options waiting = { .wait_ns = WAIT_NS };
    struct weir_chan *gate = make_chan(0, NULL);
    struct weir_queue_stats queue;
    int count = 0;

    (void)arg;
    while (weir_spawn(weir_task_scope(), recv_until_closed, gate, NULL) == 0)
        count++;
    CHECK_EQUAL(weir_spawn(weir_task_scope(), recv_until_closed, gate, &waiting), -ETIME);
    queue = find("stacks", "runtime", -1);
    CHECK(queue.in_bytes);
    CHECK_EQUAL(queue.now, queue.limit);
    CHECK_EQUAL(queue.now_max, queue.limit);
    CHECK(queue.refused_count >= 2); /* and each time that the one who waited looked */
    CHECK_EQUAL(find("tasks", "loop", 0).waited_count, 1);
    CHECK_EQUAL(find("tasks", "loop", 0).expired_count, 1);
    CHECK_EQUAL(weir_chan_close(gate, 0), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_chan_release(gate), 0);
    return 0;
}

static sem_t gate;

static int wait_at_gate(void *arg)
{
    (void)arg;
    sem_wait(&gate);
    return 0;
}

static int run_job(void *arg)
{
    return weir_pool_run(wait_at_gate, arg, WEIR_FOREVER);
}

/* One runs, one is queued, the next is refused; the queued one's twin expires. */
static int jobs_body(void *arg)
{
    struct weir_scope *scope;
    struct weir_pool_stats pool = { 0 };

    (void)arg;
    sem_init(&gate, 0, 0);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, run_job, NULL, NULL), 0);
    while (pool.threads_busy < 1) {
        CHECK_EQUAL(weir_yield(), 0);
        CHECK_EQUAL(weir_pool_read_stats(&pool), 0);
    }
    CHECK_EQUAL(weir_pool_run(wait_at_gate, NULL, weir_in_ns(WAIT_NS)), -ETIME);
    CHECK_EQUAL(weir_spawn(scope, run_job, NULL, NULL), 0);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_pool_run(wait_at_gate, NULL, WEIR_FOREVER), -EBUSY);
    CHECK_EQUAL(find("jobs", "pool", -1).limit, 1);
    CHECK_EQUAL(find("jobs", "pool", -1).now, 1);
    CHECK_EQUAL(find("jobs", "pool", -1).now_max, 1);
    CHECK_EQUAL(find("jobs", "pool", -1).refused_count, 1);
    CHECK_EQUAL(find("jobs", "pool", -1).expired_count, 1);
    sem_post(&gate);
    sem_post(&gate);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(find("jobs", "pool", -1).waited_count, 2);
    CHECK(find("jobs", "pool", -1).wait_max_ns > 0);
    return 0;
}

/* One runs, one is queued, the third waits for its place. */
static int places_body(void *arg)
{
    struct weir_scope *scope;

    (void)arg;
    sem_init(&gate, 0, 0);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(weir_spawn(scope, run_job, NULL, NULL), 0);
    while (find("jobs", "pool", -1).waiting < 1)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(find("jobs", "pool", -1).now, 1);
    for (int i = 0; i < 3; i++)
        sem_post(&gate);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(find("jobs", "pool", -1).waiting, 0);
    CHECK_EQUAL(find("jobs", "pool", -1).waiting_max, 1);
    return 0;
}

static int chan_body(void *arg)
{
    struct weir_chan *orders = make_chan(2, &(struct weir_chan_options){ .name = "orders" });
    struct weir_chan *news = make_chan(
        1, &(struct weir_chan_options){ .name = "news", .policy = WEIR_CHAN_DROP_NEWEST });
    struct weir_queue_stats queue;

    (void)arg;
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(weir_chan_send(orders, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_chan_send(orders, NULL, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_chan_send(orders, NULL, weir_in_ns(20 * WAIT_NS)), -ETIME);
    queue = find("orders", "channel", -1);
    check_full(&queue, 2);
    CHECK_EQUAL(queue.wait_max_ns, queue.wait_ns);
    CHECK_EQUAL(weir_chan_send(orders, NULL, 1), -ETIME);
    CHECK_EQUAL(find("orders", "channel", -1).expired_count, 2);
    CHECK_EQUAL(weir_chan_send(news, NULL, WEIR_NOW), 0);
    CHECK_EQUAL(weir_chan_send(news, NULL, WEIR_NOW), WEIR_DROPPED);
    CHECK_EQUAL(find("news", "channel", -1).dropped_count, 1);
    CHECK_EQUAL(weir_chan_recv(news, NULL, WEIR_NOW), 0);
    CHECK_EQUAL(weir_chan_recv(news, NULL, WEIR_NOW), -EAGAIN); /* that is no refusal */
    CHECK_EQUAL(find("news", "channel", -1).refused_count, 0);
    CHECK_EQUAL(weir_chan_release(orders), 0);
    CHECK_EQUAL(weir_chan_release(news), 0);
    return 0;
}

static int never_called(const void *request, void *response, void *context)
{
    (void)request;
    (void)response;
    (void)context;
    return 0;
}

static int gauges_body(void *arg)
{
    struct weir_listener_options options = { .name = "front", .connections_max = 7 };
    struct weir_serve_options serving = { .name = "ledger", .parallelism = 5 };
    struct weir_chan *port = NULL;
    struct weir_listener *listener;
    struct weir_scope *scope;

    (void)arg;
    CHECK_EQUAL(weir_listener_open(&listener, "127.0.0.1:0", &options), 0);
    CHECK_EQUAL(find("front", "connections", -1).limit, 7);
    CHECK_EQUAL(weir_listener_close(listener), 0);
    CHECK_EQUAL(weir_port_create(&port, "ledger", sizeof(int), sizeof(int)), 0);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_serve(scope, port, never_called, NULL, &serving), 0);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(find("ledger", "handlers", -1).limit, 5);
    CHECK_EQUAL(find("ledger", "handlers", -1).now, 1); /* for the call that it waits for */
    CHECK_EQUAL(weir_chan_close(port, 0), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_chan_release(port), 0);
    return 0;
}

static void test_each_queue_is_filled(void **state)
{
    (void)state;
    run(tasks_body, (struct weir_options){ .loop_count = 1, .tasks_per_loop = 2 });
    run(spawns_body,
        (struct weir_options){ .loop_count = 2, .tasks_per_loop = 1, .remote_spawns = 1 });
    run(submissions_body, (struct weir_options){ .loop_count = 1, .submission_limit = 3 });
    run(buffers_body, (struct weir_options){ .loop_count = 1,
                                             .receive_buffer_bytes = 4096,
                                             .receive_buffers_bytes = 4096 });
    run(ring_body, (struct weir_options){ .loop_count = 1, .ring_entries = 16 });
    run(memory_body, (struct weir_options){ .loop_count = 1, .memory_limit_bytes = 4 << 20 });
    run(stacks_body, (struct weir_options){ .loop_count = 1, .stack_total_bytes = 8 * 65536 });
    run(jobs_body, (struct weir_options){ .loop_count = 1,
                                          .pool_threads_max = 1,
                                          .pool_queue_limit = 1,
                                          .pool_when_full = WEIR_WHEN_FULL_REFUSE });
    run(places_body,
        (struct weir_options){ .loop_count = 1, .pool_threads_max = 1, .pool_queue_limit = 1 });
    run(chan_body, (struct weir_options){ .loop_count = 1 });
    run(gauges_body, (struct weir_options){ .loop_count = 1 });
}

/* --- The walk itself. ------------------------------------------------------------------------- */

static void ignore(const struct weir_queue_stats *queue, void *context)
{
    (void)queue;
    (void)context;
}

/* A visit may park. */
static void sleep_there(const struct weir_queue_stats *queue, void *context)
{
    (void)queue;
    (void)context;
    CHECK_EQUAL(weir_yield(), 0);
}

static int misuse(void *arg)
{
    int count = weir_queue_walk(sleep_there, NULL);

    (void)arg;
    CHECK(count > 10);
    CHECK_EQUAL(weir_queue_walk(ignore, NULL), count);
    CHECK_EQUAL(weir_queue_walk(NULL, NULL), -EINVAL);
    weir__memory_fail_after(1);
    CHECK_EQUAL(weir_queue_walk(ignore, NULL), -ENOMEM);
    weir__memory_fail_after(-1);
    return 0;
}

static void read_long_name(struct weir__gauge *gauge, struct weir_queue_stats *stats)
{
    (void)gauge;
    weir__gauge_name(stats, "a name that is much longer than there is room for", "test");
}

static void test_the_walk_is_sound(void **state)
{
    struct weir__gauge gauges[40] = { 0 };
    struct weir_chan *chan;

    (void)state;
    run(misuse, (struct weir_options){ .loop_count = 1 });
    chan = make_chan(1, &(struct weir_chan_options){ .name = "plain" });
    assert_int_equal(find("plain", "channel", -1).limit, 1);
    assert_int_equal(weir_queue_walk(ignore, NULL), 1);
    for (size_t i = 0; i < 40; i++) {
        gauges[i].read = read_long_name;
        weir__gauge_add(&gauges[i]);
    }
    assert_int_equal(weir_queue_walk(ignore, NULL), 41);
    for (size_t i = 0; i < 39; i++)
        weir__gauge_remove(&gauges[i]);
    find("a name that is much longer than", "test", -1);
    weir__gauge_remove(&gauges[39]);
    assert_int_equal(weir_queue_walk(ignore, NULL), 1);
    assert_int_equal(weir_chan_release(chan), 0);
    test_carry_out();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_queues_are_seen),
        cmocka_unit_test(test_each_queue_is_filled),
        cmocka_unit_test(test_the_walk_is_sound),
    };

    return cmocka_run_group_tests_name("watch/queue", tests, NULL, NULL);
}
