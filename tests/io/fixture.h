/* SPDX-License-Identifier: MIT */
/* What the tests of the io room share: folders, sockets, tasks that wait in a call. */
#ifndef WEIR_TESTS_IO_FIXTURE_H
#define WEIR_TESTS_IO_FIXTURE_H

#include "core/sched.h"
#include "io/descriptor.h"
#include "io/io.h"
#include "io/op.h"
#include "support/support.h"

#include <weir.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

/* A test program uses what it needs of these. */
#define HELPER __attribute__((unused)) static

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

enum {
    NO_SUCH_DISK = 77, /* the file system in TMPDIR cannot do what the test is about */
    BLOCK_BYTES = 4096,
    BIG_BYTES = 1024 * 1024 + 17,
};

HELPER const struct weir_options one_loop = { .loop_count = 1 };
HELPER const struct weir_options two_loops = { .loop_count = 2 };
HELPER const struct weir_options one_thread = { .loop_count = 1, .pool_threads_max = 1 };

/* A call that runs in a task of its own, so that it can be cancelled. */
struct call {
    int64_t (*run)(void *arg, int64_t deadline_ns);
    void *arg;
    int64_t deadline_ns;
    int64_t result;
    unsigned loop_index;
    struct weir_scope *scope;
    struct weir_task *task;
};

HELPER struct call call_of(int64_t (*run)(void *arg, int64_t deadline_ns), void *arg)
{
    return (struct call){ .run = run, .arg = arg, .deadline_ns = WEIR_FOREVER };
}

static int call_body(void *arg)
{
    struct call *call = arg;

    call->result = call->run(call->arg, call->deadline_ns);
    return 0;
}

HELPER void call_start(struct call *call)
{
    struct weir_spawn_options options = {
        .name = "call",
        .place = WEIR_PLACE_LOOP,
        .loop_index = call->loop_index,
        .task = &call->task,
    };

    CHECK_EQUAL(weir_scope_create(&call->scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(call->scope, call_body, call, &options), 0);
}

HELPER int64_t call_finish(struct call *call)
{
    CHECK_EQUAL(weir_join(call->task, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_scope_join(call->scope, WEIR_FOREVER), 0);
    return call->result;
}

/* A whole call in a task on another loop. */
HELPER int64_t run_on_loop(unsigned loop_index, int64_t (*run)(void *, int64_t), void *arg)
{
    struct call call = call_of(run, arg);

    call.loop_index = loop_index;
    call_start(&call);
    return call_finish(&call);
}

/* The op that a started call waits in; NULL when there is none on this loop. */
HELPER struct weir__op *op_on(int fd)
{
    struct weir__list *ops = weir__io_ops(weir__loop_current->io, fd);

    for (struct weir__list *link = ops->next; link != ops; link = link->next)
        if (WEIR_CONTAINER_OF(link, struct weir__op, link)->fd == fd)
            return WEIR_CONTAINER_OF(link, struct weir__op, link);
    return NULL;
}

HELPER struct weir_op_stats stats_of(enum weir__op_id id)
{
    struct weir_op_stats stats;

    CHECK_EQUAL(weir_stats_read_op(id, &stats), 0);
    return stats;
}

/* How often the kind of operation ran on a route. */
HELPER long long routed(enum weir__op_id id, enum weir__route route)
{
    struct weir_op_stats stats = stats_of(id);
    const uint64_t counts[WEIR__ROUTE_COUNT] = {
        [WEIR__ROUTE_INLINE] = stats.inline_count,
        [WEIR__ROUTE_RING] = stats.ring_count,
        [WEIR__ROUTE_POOL] = stats.pool_count,
    };

    return (long long)counts[route];
}

HELPER long long counter(enum weir_counter id)
{
    uint64_t counters[WEIR_COUNTER_COUNT];

    CHECK_EQUAL(weir_stats_read(counters, WEIR_COUNTER_COUNT), WEIR_COUNTER_COUNT);
    return (long long)counters[id];
}

/* Of this loop: events that the kernel owes, and as many as it has rung; but for the read that an
 * eventfd for a doorbell keeps in flight. */
HELPER long long owed(void)
{
    weir__sched_settle();
    return counter(WEIR_RING_SUBMITTED) - counter(WEIR_RING_COMPLETED) -
           weir__loop_current->ring.doorbell_armed;
}

/* No op holds the descriptor. */
HELPER void check_let_go(int fd)
{
    CHECK(op_on(fd) == NULL);
    CHECK_EQUAL(weir__descriptor_begin_close(fd, 0), 0);
    weir__descriptor_forget(fd);
}

/* A folder in TMPDIR (or /tmp), made the current one; left and removed by remove_folder. */
HELPER int make_folder(void **state)
{
    const char *parent = getenv("TMPDIR");
    char path[256];

    (void)state;
    snprintf(path, sizeof path, "%s/weir-test-XXXXXX", parent && *parent ? parent : "/tmp");
    return mkdtemp(path) && chdir(path) == 0 ? 0 : -1;
}

HELPER int remove_folder(void **state)
{
    char path[256], command[300];

    (void)state;
    if (!getcwd(path, sizeof path) || !strstr(path, "/weir-test-") || chdir("/") < 0)
        return -1;
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    return system(command);
}

/* Descriptors made by plain calls, new to weir. */
HELPER int known(int fd)
{
    CHECK(fd >= 0);
    weir_forget(fd);
    return fd;
}

HELPER int plain_open(const char *path, int flags)
{
    return known(open(path, flags | O_CLOEXEC, 0600));
}

HELPER void plain_close(int fd)
{
    CHECK_EQUAL(close(fd), 0);
    weir_forget(fd);
}

HELPER void make_pair(int pair[2])
{
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    known(pair[0]);
    known(pair[1]);
}

HELPER void send_byte(int fd)
{
    CHECK_EQUAL(send(fd, "x", 1, MSG_NOSIGNAL), 1);
}

HELPER void make_pipe(int ends[2])
{
    CHECK_EQUAL(pipe2(ends, O_CLOEXEC), 0);
    known(ends[0]);
    known(ends[1]);
}

/* Writes until a pipe or tty takes no more. Returns the bytes. */
HELPER size_t fill_pipe(int fd)
{
    static const char bytes[BLOCK_BYTES];
    int flags = fcntl(fd, F_GETFL);
    size_t sum = 0;
    ssize_t put;

    CHECK_EQUAL(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    while ((put = write(fd, bytes, sizeof bytes)) > 0)
        sum += (size_t)put;
    CHECK_EQUAL(fcntl(fd, F_SETFL, flags), 0);
    return sum;
}

/* Sends until the socket takes no more. Returns the bytes. */
HELPER size_t fill_socket(int fd)
{
    static const char bytes[BLOCK_BYTES];
    size_t sum = 0;
    ssize_t put;

    while ((put = send(fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
        sum += (size_t)put;
    return sum;
}

/* A TCP socket on a free port of the loopback; listens if backlog >= 0. */
HELPER int loopback_socket(int backlog, struct sockaddr_in *address)
{
    socklen_t bytes = sizeof *address;
    int fd = known(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

    *address = (struct sockaddr_in){ .sin_family = AF_INET };
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQUAL(bind(fd, (struct sockaddr *)address, bytes), 0);
    CHECK_EQUAL(getsockname(fd, (struct sockaddr *)address, &bytes), 0);
    if (backlog >= 0)
        CHECK_EQUAL(listen(fd, backlog), 0);
    return fd;
}

HELPER int plain_connect(const struct sockaddr_in *address)
{
    int fd = known(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

    CHECK_EQUAL(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
    return fd;
}

HELPER char *pattern_block(size_t bytes)
{
    char *block = aligned_alloc(BLOCK_BYTES, (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES);

    for (size_t i = 0; i < bytes; i++)
        block[i] = (char)(i * 31 + i / 251);
    return block;
}

HELPER int memory_file(void)
{
    return known(memfd_create("weir-test", MFD_CLOEXEC));
}

/* A file of BIG_BYTES with the pattern. */
HELPER int pattern_file(const char *path, int flags)
{
    char *block = pattern_block(BIG_BYTES);
    int fd = plain_open(path, O_CREAT | O_RDWR | O_TRUNC);

    CHECK_EQUAL(write(fd, block, BIG_BYTES), BIG_BYTES);
    CHECK_EQUAL(fsync(fd), 0);
    plain_close(fd);
    free(block);
    return plain_open(path, flags);
}

/* Learns the kind by a call that needs it. */
HELPER enum weir__fd_kind kind_of(int fd)
{
    CHECK_EQUAL(weir_fdatasync(fd, WEIR_FOREVER), 0);
    return weir__descriptor_kind(fd);
}

HELPER int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t bytes = sizeof value;

    CHECK_EQUAL(getsockopt(fd, level, name, &value, &bytes), 0);
    return value;
}

/* Connects to where a listener is. */
HELPER int connect_to(int listener, int64_t deadline_ns)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof address;
    int fd, error;

    CHECK_EQUAL(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    fd = weir_socket(address.ss_family, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    error = weir_connect(fd, (struct sockaddr *)&address, bytes, deadline_ns);
    if (error >= 0)
        return fd;
    CHECK_EQUAL(weir_close(fd), 0);
    return error;
}

HELPER int64_t connect_call(void *arg, int64_t deadline_ns)
{
    return connect_to(*(int *)arg, deadline_ns);
}

/* What holds the pool's only thread. */
HELPER sem_t gate;

HELPER int wait_at_gate(void *arg)
{
    while (sem_wait(arg) < 0)
        ;
    return 0;
}

HELPER int64_t gate_call(void *arg, int64_t deadline_ns)
{
    return weir_pool_run(wait_at_gate, arg, deadline_ns);
}

/* Occupies the pool's only thread. */
HELPER void hold_pool(struct call *holder)
{
    struct weir_pool_stats stats;

    CHECK_EQUAL(sem_init(&gate, 0, 0), 0);
    *holder = call_of(gate_call, &gate);
    call_start(holder);
    do {
        CHECK_EQUAL(weir_yield(), 0);
        CHECK_EQUAL(weir_pool_read_stats(&stats), 0);
    } while (stats.threads_busy == 0);
}

HELPER void let_pool_go(struct call *holder)
{
    CHECK_EQUAL(sem_post(&gate), 0);
    CHECK_EQUAL(call_finish(holder), 0);
    CHECK_EQUAL(sem_destroy(&gate), 0);
}

#endif
