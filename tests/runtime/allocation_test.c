/* SPDX-License-Identifier: MIT */
/*
 * After warm-up nothing is allocated: not by the runtime (its own count), not by malloc (its arena
 * and mmap figures), on park, spawn, send, recv, select, async, read, write, timers and the pool.
 */
#include "base/memory.h"
#include "support/support.h"

#include <weir.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { WARM_UP_ROUNDS = 200, ROUNDS = 2000, CLAUSES = 64 };

/* Two tasks, on one loop or two, a socket pair and a file between them. */
struct scene {
    struct weir_chan *there;
    struct weir_chan *back;
    struct weir_chan *idle[CLAUSES];
    struct weir_scope *scope;
    struct weir_async async;
    uint64_t answered; /* by its callbacks */
    int sockets[2];
    int file;
    long rounds;
};

static int do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Answers every element and every byte until its channel is closed. */
static int answer(void *arg)
{
    struct scene *scene = arg;
    uint64_t value;
    char byte;

    while (weir_chan_recv(scene->there, &value, WEIR_FOREVER) == 0) {
        CHECK_EQUAL(weir_recv(scene->sockets[1], &byte, 1, 0, WEIR_FOREVER), 1);
        CHECK_EQUAL(weir_send_all(scene->sockets[1], &byte, 1, 0, NULL, WEIR_FOREVER), 1);
        CHECK_EQUAL(weir_chan_send(scene->back, &value, WEIR_FOREVER), 0);
    }
    return weir_close(scene->sockets[1]);
}

static int count_answer(struct weir_async *async, int result)
{
    struct scene *scene = async->context;

    CHECK_EQUAL(result, 0);
    scene->answered++;
    return 0;
}

/* The answer comes to an async receive, started before the question is sent by an async send. */
static void do_async_round(struct scene *scene, uint64_t round)
{
    struct weir_async question = { .done = count_answer, .context = scene };
    uint64_t value = 0, before = scene->answered;
    char byte = 'y';

    scene->async = (struct weir_async){ .done = count_answer, .context = scene };
    CHECK_EQUAL(weir_chan_recv_async(scene->back, &value, &scene->async, weir_in_seconds(60)), 0);
    CHECK_EQUAL(weir_chan_send_async(scene->there, &round, &question, weir_in_seconds(60)), 0);
    CHECK_EQUAL(weir_send_all(scene->sockets[0], &byte, 1, 0, NULL, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_recv(scene->sockets[0], &byte, 1, 0, weir_in_seconds(60)), 1);
    while (scene->answered < before + 2)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(value, round);
}

/* Waits for the answer among 63 channels on which nothing comes. */
static void await_answer(struct scene *scene, uint64_t sent)
{
    struct weir_clause clauses[CLAUSES];
    uint64_t value = 0, other;

    clauses[0] = weir_clause_recv(scene->back, &value);
    for (int i = 1; i < CLAUSES; i++)
        clauses[i] = weir_clause_recv(scene->idle[i], &other);
    CHECK_EQUAL(weir_select(clauses, CLAUSES, 0, weir_in_seconds(60)), 0);
    CHECK_EQUAL(value, sent);
}

static void do_round(struct scene *scene, uint64_t round)
{
    struct weir_task *task;
    struct weir_spawn_options options = { .task = &task };
    char block[4096] = { (char)round };
    char byte = 'x';

    CHECK_EQUAL(weir_chan_send(scene->there, &round, weir_in_seconds(60)), 0);
    CHECK_EQUAL(weir_send_all(scene->sockets[0], &byte, 1, 0, NULL, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_recv(scene->sockets[0], &byte, 1, 0, weir_in_seconds(60)), 1);
    await_answer(scene, round);
    CHECK_EQUAL(weir_spawn(scene->scope, do_nothing, NULL, &options), 0);
    CHECK_EQUAL(weir_join(task, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_pwrite(scene->file, block, sizeof block, 0, WEIR_FOREVER), sizeof block);
    CHECK_EQUAL(weir_pread(scene->file, block, sizeof block, 0, WEIR_FOREVER), sizeof block);
    CHECK_EQUAL(weir_pool_run(do_nothing, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_sleep(weir_in_us(1)), 0);
    do_async_round(scene, round);
}

static void open_scene(struct scene *scene)
{
    CHECK_EQUAL(weir_chan_create(&scene->there, sizeof(uint64_t), 0, NULL), 0);
    CHECK_EQUAL(weir_chan_create(&scene->back, sizeof(uint64_t), 8, NULL), 0);
    for (int i = 1; i < CLAUSES; i++)
        CHECK_EQUAL(weir_chan_create(&scene->idle[i], sizeof(uint64_t), 0, NULL), 0);
    CHECK_EQUAL(weir_scope_create(&scene->scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, scene->sockets), 0);
    scene->file = weir_openat(AT_FDCWD, ".", O_TMPFILE | O_RDWR, 0600, WEIR_FOREVER);
    CHECK(scene->file >= 0);
}

static void close_scene(struct scene *scene)
{
    weir_chan_close(scene->there, 0);
    CHECK_EQUAL(weir_scope_join(scene->scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_close(scene->sockets[0]), 0);
    CHECK_EQUAL(weir_close(scene->file), 0);
    CHECK_EQUAL(weir_chan_release(scene->there), 0);
    CHECK_EQUAL(weir_chan_release(scene->back), 0);
    for (int i = 1; i < CLAUSES; i++)
        CHECK_EQUAL(weir_chan_release(scene->idle[i]), 0);
}

static int play(void *arg)
{
    unsigned other_loop = *(unsigned *)arg;
    struct scene scene = { 0 };
    struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP, .loop_index = other_loop };
    struct mallinfo2 before, after;
    unsigned long count;
    uint64_t round = 0;

    open_scene(&scene);
    CHECK_EQUAL(weir_spawn(scene.scope, answer, &scene, &options), 0);
    while (round < WARM_UP_ROUNDS)
        do_round(&scene, round++);
    count = weir__memory_alloc_count();
    before = mallinfo2();
    while (round < WARM_UP_ROUNDS + ROUNDS)
        do_round(&scene, round++);
    CHECK_EQUAL(weir__memory_alloc_count(), count);
    after = mallinfo2();
    CHECK_EQUAL(after.uordblks, before.uordblks);
    CHECK_EQUAL(after.hblks, before.hblks);
    close_scene(&scene);
    return 0;
}

static void nothing_is_allocated_on_one_loop(void **state)
{
    struct weir_options options = { .loop_count = 1 };
    unsigned other_loop = 0;

    (void)state;
    assert_int_equal(test_run(play, &other_loop, &options), 0);
}

static void nothing_is_allocated_on_two_loops(void **state)
{
    struct weir_options options = { .loop_count = 2 };
    unsigned other_loop = 1;

    (void)state;
    assert_int_equal(test_run(play, &other_loop, &options), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_allocated_on_one_loop),
        cmocka_unit_test(nothing_is_allocated_on_two_loops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
