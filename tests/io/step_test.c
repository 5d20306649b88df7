/* SPDX-License-Identifier: MIT */
/* Copying in steps: all of it arrives, others run in between, and it can end between two steps. */
#include "fixture.h"

#include <sys/uio.h>

enum { STEP_BYTES = 64 * 1024, HUGE_BYTES = 256 * STEP_BYTES, VECTORS = 40 };

/* A neighbour on the same loop, which counts how often it gets to run. */
struct neighbour {
    struct weir_scope *scope;
    struct weir_task *task;
    int turns;
    bool stop;
};

static int neighbour_body(void *arg)
{
    struct neighbour *neighbour = arg;

    while (!neighbour->stop && weir_yield() == 0)
        neighbour->turns++;
    return 0;
}

static void neighbour_start(struct neighbour *neighbour)
{
    *neighbour = (struct neighbour){ 0 };
    CHECK_EQUAL(weir_scope_create(&neighbour->scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(neighbour->scope, neighbour_body, neighbour, NULL), 0);
}

static int neighbour_stop(struct neighbour *neighbour)
{
    neighbour->stop = true;
    CHECK_EQUAL(weir_scope_join(neighbour->scope, WEIR_FOREVER), 0);
    return neighbour->turns;
}

static int memory_body(void *arg)
{
    char *block = pattern_block(BIG_BYTES), *copy = calloc(1, BIG_BYTES);
    struct neighbour neighbour;
    int fd = memory_file();

    (void)arg;
    CHECK_EQUAL(kind_of(fd), WEIR__FD_MEMORY);
    neighbour_start(&neighbour);
    CHECK_EQUAL(weir_pwrite(fd, block, BIG_BYTES, 5, WEIR_NOW), BIG_BYTES);
    CHECK(neighbour_stop(&neighbour) >= BIG_BYTES / STEP_BYTES);
    neighbour_start(&neighbour);
    CHECK_EQUAL(weir_pread(fd, copy, BIG_BYTES, 5, WEIR_FOREVER), BIG_BYTES);
    CHECK(neighbour_stop(&neighbour) >= BIG_BYTES / STEP_BYTES);
    CHECK_EQUAL(memcmp(block, copy, BIG_BYTES), 0);
    CHECK_EQUAL(weir_pread(fd, copy, BIG_BYTES, BIG_BYTES, WEIR_NOW), 5); /* the end of the file */
    CHECK_EQUAL(weir_pread(fd, copy, 1, BIG_BYTES + 5, WEIR_NOW), 0);
    CHECK_EQUAL(weir_pread(fd, copy, 0, 0, WEIR_NOW), 0);
    CHECK_EQUAL(routed(WEIR__OP_ID_PREAD, WEIR__ROUTE_INLINE), 4);
    CHECK_EQUAL(routed(WEIR__OP_ID_PWRITE, WEIR__ROUTE_INLINE), 1);
    CHECK_EQUAL(weir_close(fd), 0);
    free(block);
    free(copy);
    return 0;
}

static void test_memory_goes_in_steps(void **state)
{
    (void)state;
    assert_int_equal(test_run(memory_body, NULL, NULL), 0);
}

/* Cuts `block` into unequal parts, empty ones among them. */
static void cut(struct iovec *vectors, char *block)
{
    size_t at = 0;

    for (size_t i = 0; i < VECTORS; i++) {
        size_t bytes = i % 5 == 0 ? 0 : i * 700;

        vectors[i] = (struct iovec){ block + at, bytes };
        at += bytes;
    }
    vectors[VECTORS - 1].iov_len =
        BIG_BYTES - (size_t)((char *)vectors[VECTORS - 1].iov_base - block);
}

static int vector_body(void *arg)
{
    char *block = pattern_block(BIG_BYTES), *copy = calloc(1, BIG_BYTES);
    struct iovec vectors[VECTORS];
    const int fds[] = { memory_file(), plain_open("vectors", O_CREAT | O_RDWR) };

    (void)arg;
    for (size_t i = 0; i < 2; i++) {
        cut(vectors, block);
        CHECK_EQUAL(weir_pwritev(fds[i], vectors, VECTORS, 3, WEIR_FOREVER), BIG_BYTES);
        cut(vectors, copy);
        memset(copy, 0, BIG_BYTES);
        CHECK_EQUAL(weir_preadv(fds[i], vectors, VECTORS, 3, WEIR_FOREVER), BIG_BYTES);
        CHECK_EQUAL(memcmp(block, copy, BIG_BYTES), 0);
        CHECK_EQUAL(weir_preadv(fds[i], vectors, VECTORS, BIG_BYTES, WEIR_FOREVER), 3);
        CHECK_EQUAL(weir_preadv(fds[i], vectors, 0, 0, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_close(fds[i]), 0);
    }
    free(block);
    free(copy);
    return 0;
}

static void test_vectors(void **state)
{
    (void)state;
    assert_int_equal(test_run(vector_body, NULL, NULL), 0);
}

struct huge {
    int fd;
    char *buffer;
    int pair[2]; /* to wait on, before */
};

static int64_t read_huge(void *arg, int64_t deadline_ns)
{
    struct huge *huge = arg;
    char byte;

    CHECK_EQUAL(weir_recv(huge->pair[0], &byte, 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_fdatasync(huge->fd, WEIR_FOREVER), 0); /* its wait is over, and not to end */
    return weir_pread(huge->fd, huge->buffer, HUGE_BYTES, 0, deadline_ns);
}

/* A task that reads in steps, and is between two of them. */
static void start_huge(struct call *call, struct huge *huge)
{
    *call = (struct call){ .run = read_huge, .arg = huge, .deadline_ns = WEIR_FOREVER };
    call_start(call);
    weir__sched_settle();
    CHECK_EQUAL(send(huge->pair[1], "x", 1, 0), 1);
    while (!op_on(huge->fd) || op_on(huge->fd)->row != &weir__op_rows[WEIR__OP_ID_PREAD])
        CHECK_EQUAL(weir_yield(), 0);
}

static int between_body(void *arg)
{
    struct huge huge = { memory_file(), malloc(HUGE_BYTES), { -1, -1 } };
    struct call call;

    (void)arg;
    make_pair(huge.pair);
    CHECK_EQUAL(ftruncate(huge.fd, HUGE_BYTES), 0);
    CHECK_EQUAL(kind_of(huge.fd), WEIR__FD_MEMORY);
    /* a deadline that has passed leaves the first step */
    CHECK_EQUAL(weir_pread(huge.fd, huge.buffer, HUGE_BYTES, 0, weir_now_ns()), STEP_BYTES);
    CHECK_EQUAL(weir_pread(huge.fd, huge.buffer, HUGE_BYTES, 0, WEIR_NOW), HUGE_BYTES);
    start_huge(&call, &huge);
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK(call_finish(&call) >= STEP_BYTES);
    CHECK(call.result < HUGE_BYTES);
    start_huge(&call, &huge);
    CHECK_EQUAL(weir_close(huge.fd), 0); /* waits for the step, not for the whole */
    CHECK(call_finish(&call) >= STEP_BYTES);
    CHECK(call.result < HUGE_BYTES);
    plain_close(huge.pair[0]);
    plain_close(huge.pair[1]);
    free(huge.buffer);
    return 0;
}

/* A deadline, a cancel and a close each take effect between two steps; what was read counts. */
static void test_ends_between_steps(void **state)
{
    (void)state;
    assert_int_equal(test_run(between_body, NULL, &(struct weir_options){ .loop_count = 1 }), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_memory_goes_in_steps),
        IN_FOLDER(test_vectors),
        IN_FOLDER(test_ends_between_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
