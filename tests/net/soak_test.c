/* SPDX-License-Identifier: MIT */
/*
 * Many connections for a long time: echoes with random pauses, ends of all kinds (closes, half
 * closes, resets, cancels, deadlines), and nothing may grow: not memory, not descriptors, not
 * credits, not what was allocated.
 *
 * 200 connections and some thousand visits in the fast tier; 10,000 connections for a minute in the
 * full one, for ten minutes in the soak tier, or as many as descriptors allow.
 */
#include "base/memory.h"
#include "base/random.h"
#include "support/support.h"

#include <weir.h>

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum {
    MESSAGE_BYTES = 2048,
    /* Per connection, before anything is measured. A heap that makes and frees streams in any order
     * needs some time to reach its size: 2,000 connections stayed at it from 15 visits each on. */
    WARM_UP_VISITS = 3,
    WARM_UP_STREAM_VISITS = 15,
    SOURCES = 64, /* addresses to connect from: each has its own ports */
    SPARE_FDS = 200,
    SAMPLE_MS = 100,
    PATIENCE_S = 120, /* nothing takes so long, or it hangs */
    SLACK_PERCENT = 5,
    STACKS_EACH = 4,          /* per connection: three tasks, in slabs that double */
    STACK_BYTES = 128 * 1024, /* with its guard: address space */
    SLACK_STACK_BYTES = 64 << 20,
    SLACK_BYTES = 4 << 20,
};

/* How a visit ends. */
enum ending { CLOSE, HALF_CLOSE, RESET, CANCEL, EXPIRE, ENDINGS };

static struct {
    struct sockaddr_in address;
    long connection_count;
    int64_t seconds; /* how long after warm-up; 0: until `visits_wanted` */
    long visits_wanted;
    bool by_stream;        /* the server reads and writes by weir_stream */
    uint32_t pause_us;     /* at most, between two messages */
    _Atomic long open_now; /* connections of visitors */
    _Atomic long arrived;  /* visitors that have connected for the first time */
    _Atomic long visits;
    _Atomic long by_ending[ENDINGS];
    _Atomic long messages;
    atomic_bool over;
} soak;

/* --- The server. ------------------------------------------------------------------------------ */

static int echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char bytes[MESSAGE_BYTES];
    ssize_t count;

    while ((count = weir_recv(fd, bytes, sizeof bytes, 0, weir_in_seconds(PATIENCE_S))) > 0)
        if (weir_send_all(fd, bytes, (size_t)count, 0, NULL, weir_in_seconds(PATIENCE_S)) < 0)
            break;
    CHECK(count != -ETIME);
    CHECK_EQUAL(weir_close(fd), 0);
    return 0;
}

static int echo_by_stream(void *arg)
{
    int fd = (int)(intptr_t)arg;
    struct weir_stream *stream;
    char bytes[MESSAGE_BYTES];
    ssize_t count;

    if (!CHECK_EQUAL(weir_stream_open(&stream, fd, NULL), 0))
        return weir_close(fd);
    while ((count = weir_stream_read(stream, bytes, sizeof bytes, weir_in_seconds(PATIENCE_S))) > 0)
        if (weir_stream_write(stream, bytes, (size_t)count, weir_in_seconds(PATIENCE_S)) < 0)
            break;
    CHECK(count != -ETIME);
    CHECK(weir_stream_close(stream, weir_in_seconds(PATIENCE_S)) != -ETIME);
    return 0;
}

static int serve(void *arg)
{
    int listener = *(int *)arg, fd;
    weir_task_fn *serve_client = soak.by_stream ? echo_by_stream : echo;
    struct weir_scope *clients;

    CHECK_EQUAL(weir_scope_create(&clients, WEIR_SCOPE_SUPERVISE, NULL), 0);
    while ((fd = weir_accept(listener, NULL, NULL, 0, WEIR_FOREVER)) != -ECANCELED)
        if (CHECK(fd >= 0))
            CHECK_EQUAL(weir_spawn(clients, serve_client, (void *)(intptr_t)fd, NULL), 0);
    weir_shield_enter();
    CHECK_EQUAL(weir_scope_join(clients, weir_in_seconds(PATIENCE_S)), 0);
    weir_shield_leave();
    return 0;
}

/* --- The visitors. ---------------------------------------------------------------------------- */

struct visitor {
    unsigned index;
    unsigned visits;
    enum ending ending;
    struct weir__random random;
    struct weir_scope *scope; /* of visits that are cancelled */
};

static uint32_t below(struct visitor *visitor, uint32_t bound)
{
    return weir__random_below(&visitor->random, bound);
}

/* A cancelled visit ends wherever it is. Anything else that goes wrong is an error. */
static bool is_fine(struct visitor *visitor, int64_t result)
{
    return (result == -ECANCELED && visitor->ending == CANCEL) ||
           CHECK_EQUAL(result < 0 ? result : 0, 0);
}

static int enter(struct visitor *visitor)
{
    struct sockaddr_in source = { .sin_family = AF_INET };
    int fd = weir_socket(AF_INET, SOCK_STREAM, 0);
    int on = 1, error;

    if (fd < 0)
        return fd;
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + visitor->index % SOURCES);
    CHECK_EQUAL(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on), 0);
    error = weir_bind(fd, (struct sockaddr *)&source, sizeof source, WEIR_FOREVER);
    if (error >= 0)
        error = weir_connect(fd, (struct sockaddr *)&soak.address, sizeof soak.address,
                             weir_in_seconds(PATIENCE_S));
    if (error >= 0)
        return fd;
    CHECK_EQUAL(weir_close(fd), 0);
    return error;
}

/* One message there and back. */
static int64_t exchange(struct visitor *visitor, int fd)
{
    char sent[MESSAGE_BYTES], got[MESSAGE_BYTES];
    size_t bytes = 1 + below(visitor, below(visitor, 8) ? 128 : MESSAGE_BYTES);
    int64_t count;

    memset(sent, (int)(visitor->index * 31 + visitor->visits), bytes);
    sent[0] = (char)below(visitor, 256);
    count = weir_send_all(fd, sent, bytes, 0, NULL, weir_in_seconds(PATIENCE_S));
    if (count < 0)
        return count;
    if (visitor->ending == HALF_CLOSE) /* the rest of the visit is what comes back, and its end */
        CHECK_EQUAL(weir_shutdown(fd, SHUT_WR), 0);
    count = weir_recv_all(fd, got, visitor->ending == HALF_CLOSE ? sizeof got : bytes, 0, NULL,
                          weir_in_seconds(PATIENCE_S));
    if (count < 0)
        return count;
    CHECK_EQUAL(count, bytes);
    CHECK_EQUAL(memcmp(sent, got, bytes), 0);
    atomic_fetch_add(&soak.messages, 1);
    return 0;
}

static int64_t talk(struct visitor *visitor, int fd)
{
    uint32_t messages = visitor->ending == HALF_CLOSE ? 1 : 1 + below(visitor, 4);
    int64_t result = 0;
    char byte;

    for (uint32_t i = 0; i < messages && result >= 0; i++) {
        result = weir_sleep(weir_in_us(below(visitor, soak.pause_us)));
        if (result >= 0)
            result = exchange(visitor, fd);
    }
    if (result >= 0 && visitor->ending == EXPIRE) {
        result = weir_recv(fd, &byte, 1, 0, weir_in_us(below(visitor, 1000)));
        result = CHECK(result == -ETIME || result == -ECANCELED) ? 0 : -EPROTO;
    }
    return result;
}

static int visit(void *arg)
{
    struct visitor *visitor = arg;
    struct linger at_once = { .l_onoff = 1 };
    int fd = enter(visitor);

    if (fd < 0)
        return is_fine(visitor, fd) ? 0 : fd;
    atomic_fetch_add(&soak.open_now, 1);
    if (visitor->visits == 0) { /* all are there before the first speaks */
        atomic_fetch_add(&soak.arrived, 1);
        while (atomic_load(&soak.arrived) < soak.connection_count && !atomic_load(&soak.over))
            weir_sleep(weir_in_ms(50));
    }
    is_fine(visitor, talk(visitor, fd));
    if (visitor->ending == RESET)
        CHECK_EQUAL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    atomic_fetch_sub(&soak.open_now, 1);
    return 0;
}

static void visit_and_be_cancelled(struct visitor *visitor)
{
    struct weir_task *task;
    struct weir_spawn_options options = { .name = "cancelled", .task = &task };

    CHECK_EQUAL(weir_spawn(visitor->scope, visit, visitor, &options), 0);
    weir_sleep(weir_in_us(below(visitor, soak.pause_us)));
    weir_task_cancel(task);
    CHECK_EQUAL(weir_join(task, NULL, weir_in_seconds(PATIENCE_S)), 0);
}

static int visit_again_and_again(void *arg)
{
    struct visitor *visitor = arg;

    CHECK_EQUAL(weir_scope_create(&visitor->scope, WEIR_SCOPE_SUPERVISE, NULL), 0);
    for (; !atomic_load(&soak.over); visitor->visits++) {
        visitor->ending = visitor->visits ? (enum ending)below(visitor, ENDINGS) : CLOSE;
        if (visitor->ending == CANCEL)
            visit_and_be_cancelled(visitor);
        else
            visit(visitor);
        atomic_fetch_add(&soak.by_ending[visitor->ending], 1);
        atomic_fetch_add(&soak.visits, 1);
    }
    CHECK_EQUAL(weir_scope_join(visitor->scope, WEIR_FOREVER), 0);
    return 0;
}

/* --- The watcher. ----------------------------------------------------------------------------- */

struct sample {
    uint64_t counters[WEIR_COUNTER_COUNT];
    size_t rss;
    unsigned long blocks; /* of memory, in use */
    long messages;
    int64_t now_ns;
};

static void take_sample(struct sample *sample)
{
    CHECK_EQUAL(weir_stats_read(sample->counters, WEIR_COUNTER_COUNT), WEIR_COUNTER_COUNT);
    sample->rss = rss_bytes();
    sample->blocks = weir__memory_live_count();
    sample->messages = atomic_load(&soak.messages);
    sample->now_ns = weir_now_ns();
}

/* What must hold at any time. */
static void check_levels(const struct sample *sample)
{
    const uint64_t *counters = sample->counters;

    CHECK(counters[WEIR_TASKS_NOW] <= (uint64_t)soak.connection_count * 3 + 16);
    CHECK(counters[WEIR_STACK_BYTES_NOW] <=
          (uint64_t)soak.connection_count * STACKS_EACH * STACK_BYTES + SLACK_STACK_BYTES);
    CHECK_EQUAL(counters[WEIR_SUBMISSIONS_NOW], 0); /* sockets take no credit */
    CHECK_EQUAL(counters[WEIR_RING_OVERFLOWS], 0);
    CHECK_EQUAL(counters[WEIR_TASKS_FAILED], 0);
    CHECK_EQUAL(counters[WEIR_SPAWNS_REFUSED], 0);
}

static void check_growth(const struct sample *first, const struct sample *last)
{
    size_t slack_bytes = first->rss / 100 * SLACK_PERCENT + SLACK_BYTES;
    double seconds = (double)(last->now_ns - first->now_ns) / 1e9;

    print_message("%ld connections, %ld messages in %.1f s; resident %zu, then %zu KiB; "
                  "blocks %lu, then %lu; stacks %llu KiB\n",
                  soak.connection_count, last->messages - first->messages, seconds,
                  first->rss / 1024, last->rss / 1024, first->blocks, last->blocks,
                  (unsigned long long)last->counters[WEIR_STACK_BYTES_NOW] / 1024);
    CHECK(TEST_SANITIZED || last->rss <= first->rss + slack_bytes);
    /* How many connections are between two visits goes up and down, and each that is not has a
     * stream and its block at most: what is in use does not go with the visits. (Allocations alone
     * are no growth: beyond its cache a loop frees the task of an ended connection, and makes one
     * for the next.) */
    CHECK(last->blocks <= first->blocks + (unsigned long)soak.connection_count * 2 + 10);
}

static void watch(void)
{
    long warm_visits =
        soak.connection_count * (soak.by_stream ? WARM_UP_STREAM_VISITS : WARM_UP_VISITS);
    struct sample first, sample;
    bool done = false;

    while (atomic_load(&soak.visits) < warm_visits)
        weir_sleep(weir_in_ms(SAMPLE_MS));
    take_sample(&first);
    while (!done) {
        weir_sleep(weir_in_ms(SAMPLE_MS));
        take_sample(&sample);
        check_levels(&sample);
        done = soak.seconds ? sample.now_ns - first.now_ns > soak.seconds * 1000000000
                            : atomic_load(&soak.visits) > warm_visits + soak.visits_wanted;
    }
    check_growth(&first, &sample);
}

static int run_soak(void *arg)
{
    struct weir_spawn_options visiting = { .place = WEIR_PLACE_LOOP, .loop_index = 1 };
    struct visitor *visitors = calloc((size_t)soak.connection_count, sizeof *visitors);
    socklen_t bytes = sizeof soak.address;
    struct weir_scope *visits;
    struct weir_task *server;
    struct sample end;
    int listener = weir_listen_at("127.0.0.1:0", NULL);

    (void)arg;
    CHECK(listener >= 0);
    CHECK_EQUAL(getsockname(listener, (struct sockaddr *)&soak.address, &bytes), 0);
    CHECK_EQUAL(weir_spawn(weir_task_scope(), serve, &listener,
                           &(struct weir_spawn_options){ .task = &server }),
                0);
    CHECK_EQUAL(weir_scope_create(&visits, WEIR_SCOPE_COLLECT, NULL), 0);
    for (long i = 0; i < soak.connection_count; i++) {
        visitors[i].index = (unsigned)i;
        visitors[i].random.state = (uint64_t)i * 0x9e3779b97f4a7c15;
        visiting.wait_ns = INT64_C(1000000000) * PATIENCE_S;
        CHECK_EQUAL(weir_spawn(visits, visit_again_and_again, &visitors[i], &visiting), 0);
    }
    watch();
    atomic_store(&soak.over, true);
    CHECK_EQUAL(weir_scope_join(visits, weir_in_seconds(PATIENCE_S)), 0);
    CHECK_EQUAL(atomic_load(&soak.open_now), 0);
    weir_task_cancel(server);
    CHECK_EQUAL(weir_join(server, NULL, weir_in_seconds(PATIENCE_S)), 0);
    take_sample(&end);
    CHECK_EQUAL(end.counters[WEIR_RECEIVE_BUFFERS_NOW], 0);
    CHECK_EQUAL(weir_close(listener), 0);
    free(visitors);
    return 0;
}

/* Both ends of a connection are ours. */
static long connections_that_fit(long wanted)
{
    struct rlimit limit;
    rlim_t fds = (rlim_t)wanted * 2 + SPARE_FDS;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < fds) {
        struct rlimit more = { fds, limit.rlim_max > fds ? limit.rlim_max : fds };

        if (setrlimit(RLIMIT_NOFILE, &more) != 0)
            setrlimit(RLIMIT_NOFILE, &(struct rlimit){ limit.rlim_max, limit.rlim_max });
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    if (limit.rlim_cur >= fds)
        return wanted;
    print_message("ulimit -n allows %llu descriptors only\n", (unsigned long long)limit.rlim_cur);
    return ((long)limit.rlim_cur - SPARE_FDS) / 2;
}

static void run(bool by_stream)
{
    struct weir_options options = { .loop_count = 2 };
    int tier = test_tier(), fds;

    memset(&soak, 0, sizeof soak);
    soak.by_stream = by_stream;
    soak.connection_count = connections_that_fit(test_rounds(200, 10000, 10000));
    soak.seconds = (const int[]){ 0, 60, 600 }[tier];
    soak.visits_wanted = test_rounds(5000, 0, 0);
    soak.pause_us = tier == TEST_FAST ? 2000 : 1000000;
    fds = count_fds();
    assert_int_equal(test_run(run_soak, NULL, &options), 0);
    assert_int_equal(count_fds(), fds);
    for (int i = 0; i < ENDINGS; i++)
        assert_true(atomic_load(&soak.by_ending[i]) > 0);
}

static void test_nothing_grows(void **state)
{
    (void)state;
    run(false);
}

static void test_nothing_grows_with_streams(void **state)
{
    (void)state;
    run(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_grows),
        cmocka_unit_test(test_nothing_grows_with_streams),
    };

    return cmocka_run_group_tests_name("net/soak", tests, NULL, NULL);
}
