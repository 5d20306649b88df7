/* SPDX-License-Identifier: MIT */
/*
 * What the library's events cost in instructions, for cost_test.sh, which runs this under
 * callgrind: of each event a round to warm up, one of COUNT and one of twice that, each between two
 * calls of cost_mark, at which callgrind notes what it has counted. The difference of the last two
 * rounds is COUNT events, and nothing else.
 *
 *     cost off|default|all     which detectors are on; prints the events' names in order
 */
#include <weir/chan.h>
#include <weir/descriptor.h>
#include <weir/file.h>
#include <weir/pool.h>
#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/socket.h>
#include <weir/task.h>
#include <weir/unix.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Whole cycles of the loop's turns, and of what happens every so many turns. */
enum { COUNT = 4096, CAPACITY = 64 };

#define FAR_NS INT64_C(3600000000000)

struct round {
    uint64_t count;
    struct weir_chan *chan;
    int64_t deadline_ns; /* of receives */
    int fds[2];
    int file;
    bool is_ready;
};

static void check(int64_t result, const char *call)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s: %s\n", call, weir_error_name((int)result));
    abort();
}

#define CHECK(call) check((int64_t)(call), #call)

/* Callgrind stops here (--dump-before). */
void cost_mark(void);

__attribute__((noinline)) void cost_mark(void)
{
    __asm__ volatile("" ::: "memory");
}

static void run_two(weir_task_fn *first, weir_task_fn *second, struct round *round)
{
    struct weir_scope *scope;

    CHECK(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL));
    CHECK(weir_spawn(scope, first, round, NULL));
    CHECK(weir_spawn(scope, second, round, NULL));
    CHECK(weir_scope_join(scope, WEIR_FOREVER));
}

/* --- The events. ------------------------------------------------------------------------------ */

static int yield_half(void *arg)
{
    const struct round *round = arg;

    for (uint64_t i = 0; i < round->count / 2; i++)
        CHECK(weir_yield());
    return 0;
}

static void yields(struct round *round)
{
    run_two(yield_half, yield_half, round);
}

static int send_all(void *arg)
{
    const struct round *round = arg;

    for (uint64_t i = 0; i < round->count; i++)
        CHECK(weir_chan_send(round->chan, &i, WEIR_FOREVER));
    return 0;
}

static int receive_all(void *arg)
{
    const struct round *round = arg;
    uint64_t value;

    for (uint64_t i = 0; i < round->count; i++)
        CHECK(weir_chan_recv(round->chan, &value, round->deadline_ns));
    return 0;
}

static void send_through(struct round *round, size_t capacity)
{
    CHECK(weir_chan_create(&round->chan, sizeof(uint64_t), capacity, NULL));
    run_two(receive_all, send_all, round);
    CHECK(weir_chan_release(round->chan));
}

static void rendezvous(struct round *round)
{
    send_through(round, 0);
}

static void deadlines(struct round *round)
{
    round->deadline_ns = weir_in_ns(FAR_NS);
    send_through(round, 0);
}

static void messages(struct round *round)
{
    send_through(round, CAPACITY);
}

/* Each round trip is four calls; one of the four parks. */
static int ask(void *arg)
{
    const struct round *round = arg;
    char byte = 1;

    for (uint64_t i = 0; i < round->count / 4; i++) {
        CHECK(weir_send(round->fds[0], &byte, 1, 0, WEIR_FOREVER));
        CHECK(weir_recv(round->fds[0], &byte, 1, 0, WEIR_FOREVER));
    }
    return 0;
}

static int answer(void *arg)
{
    const struct round *round = arg;
    char byte;

    for (uint64_t i = 0; i < round->count / 4; i++) {
        CHECK(weir_recv(round->fds[1], &byte, 1, 0, WEIR_FOREVER));
        CHECK(weir_send(round->fds[1], &byte, 1, 0, WEIR_FOREVER));
    }
    return 0;
}

static void socket_calls(struct round *round)
{
    CHECK(weir_socketpair(AF_UNIX, SOCK_STREAM, 0, round->fds));
    run_two(ask, answer, round);
    CHECK(weir_close(round->fds[0]));
    CHECK(weir_close(round->fds[1]));
}

/* Opens a file, and learns its kind, on the pool. */
static int open_file(void *arg)
{
    struct round *round = arg;
    char byte;

    round->file = weir_openat(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0, WEIR_FOREVER);
    CHECK(round->file);
    CHECK(weir_pread(round->file, &byte, 1, 0, WEIR_FOREVER));
    round->is_ready = true;
    return 0;
}

/* Valgrind lets no other thread run while a loop sleeps in io_uring_enter. */
static int keep_awake(void *arg)
{
    const struct round *round = arg;

    while (!round->is_ready)
        CHECK(weir_yield());
    return 0;
}

static void file_reads(struct round *round)
{
    char byte;

    for (uint64_t i = 0; i < round->count; i++)
        CHECK(weir_pread(round->file, &byte, 1, 0, WEIR_FOREVER));
}

static int end(void *arg)
{
    (void)arg;
    return 0;
}

static void spawns(struct round *round)
{
    struct weir_task *task;
    const struct weir_spawn_options options = { .size = sizeof options, .task = &task };

    for (uint64_t i = 0; i < round->count; i++) {
        CHECK(weir_spawn(weir_task_scope(), end, NULL, &options));
        CHECK(weir_join(task, NULL, WEIR_FOREVER));
    }
}

static void scopes(struct round *round)
{
    struct weir_scope *scope;

    for (uint64_t i = 0; i < round->count; i++) {
        CHECK(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL));
        CHECK(weir_scope_join(scope, WEIR_FOREVER));
    }
}

static void channels(struct round *round)
{
    for (uint64_t i = 0; i < round->count; i++) {
        CHECK(weir_chan_create(&round->chan, sizeof(uint64_t), 1, NULL));
        CHECK(weir_chan_release(round->chan));
    }
}

static const struct {
    const char *name;
    void (*run)(struct round *round);
} events[] = {
    { "yield", yields },
    { "rendezvous", rendezvous },
    { "rendezvous with a deadline", deadlines },
    { "buffered message", messages },
    { "socket call", socket_calls },
    { "file read", file_reads },
    { "spawn and join", spawns },
    { "scope create and join", scopes },
    { "channel create and release", channels },
};

/* --- Running them. ---------------------------------------------------------------------------- */

static void run_round(unsigned event, struct round *round, uint64_t count)
{
    round->count = count;
    round->deadline_ns = WEIR_FOREVER;
    cost_mark();
    events[event].run(round);
}

static int run_all(void *arg)
{
    struct round round = { .is_ready = false };

    (void)arg;
    run_two(open_file, keep_awake, &round);
    for (unsigned event = 0; event < sizeof events / sizeof events[0]; event++) {
        puts(events[event].name);
        run_round(event, &round, COUNT);
        run_round(event, &round, COUNT);
        run_round(event, &round, 2 * (uint64_t)COUNT);
        cost_mark();
    }
    return 0;
}

static void switch_off(struct weir_options *options)
{
    options->stall_limit_ns = -1;
    options->deadlock_limit_ns = options->mutex_limit_ns = options->drain_limit_ns = -1;
    options->device_limit_ns = options->growth_limit_ns = -1;
}

/* Detectors that are on find nothing here, however slow the machine: what they do then is not what
 * an event costs. */
static void find_nothing(struct weir_options *options)
{
    options->stall_limit_ns = FAR_NS;
}

static void switch_on(struct weir_options *options)
{
    options->peer_limit_ns = options->drop_limit_ns = FAR_NS;
    options->channel_users = true;
}

int main(int argc, char **argv)
{
    struct weir_options options = { .size = sizeof options, .loop_count = 1, .spin_max_ns = -1 };
    const char *mode = argc > 1 ? argv[1] : "off";

    find_nothing(&options);
    if (strcmp(mode, "off") == 0)
        switch_off(&options);
    else if (strcmp(mode, "all") == 0)
        switch_on(&options);
    return weir_run_on_this_thread(run_all, NULL, &options) < 0;
}
