/* SPDX-License-Identifier: MIT */
/* The submission queues: with a limit of 64, the 65th waits, is refused, or expires. */
#include "fixture.h"

enum { LIMIT = 64, READERS = 200 };

struct reader {
    int fd;
    int *order; /* where the order of the ends is noted; may be NULL */
    int number;
};

static char *block_of_this_task(void)
{
    return aligned_alloc(BLOCK_BYTES, BLOCK_BYTES);
}

static int64_t read_call(void *arg, int64_t deadline_ns)
{
    struct reader *reader = arg;
    char *block = block_of_this_task();
    int64_t result = weir_pread(reader->fd, block, BLOCK_BYTES, 0, deadline_ns);

    if (reader->order)
        reader->order[reader->order[0]++] = reader->number;
    free(block);
    return result;
}

static int64_t write_call(void *arg, int64_t deadline_ns)
{
    struct reader *writer = arg;
    char *block = block_of_this_task();
    int64_t result;

    memset(block, 'w', BLOCK_BYTES);
    result = weir_pwrite(writer->fd, block, BLOCK_BYTES, 0, deadline_ns);
    free(block);
    return result;
}

/* A file for direct I/O with one block in it; -1: the file system has none. */
static int direct_file(void)
{
    int fd = open("direct", O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
    struct reader writer = { .fd = fd };

    if (fd < 0)
        return -1;
    known(fd);
    CHECK_EQUAL(write_call(&writer, WEIR_FOREVER), BLOCK_BYTES);
    if (weir__descriptor_kind(fd) == WEIR__FD_DIRECT)
        return fd;
    CHECK_EQUAL(weir_close(fd), 0);
    return -1;
}

static struct weir__credits *read_credits(void)
{
    return &weir__loop_current->io->credits[WEIR__CLASS_DISK_READ];
}

static void take(int count)
{
    for (int i = 0; i < count; i++)
        CHECK_EQUAL(weir__credits_take(read_credits(), WEIR_FOREVER), 0);
}

static void give(int count)
{
    for (int i = 0; i < count; i++)
        weir__credits_give(read_credits());
}

/* Runs `body` on a file for direct I/O under the options. */
static void run_direct(int (*body)(void *arg), const struct weir_options *options)
{
    if (test_run(body, NULL, options) == NO_SUCH_DISK) {
        print_message("TMPDIR has no direct I/O\n");
        skip();
    }
}

/* 64 credits are taken: the next read parks, is counted, and goes on when one comes back. */
static int park_body(void *arg)
{
    struct reader reader = { .fd = direct_file() };
    struct call call = call_of(read_call, &reader);

    (void)arg;
    if (reader.fd < 0)
        return NO_SUCH_DISK;
    take(LIMIT);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_NOW), LIMIT);
    call_start(&call);
    weir__sched_settle();
    CHECK(op_on(reader.fd) != NULL);
    CHECK_EQUAL(routed(WEIR__OP_ID_PREAD, WEIR__ROUTE_RING), 0);
    CHECK_EQUAL(write_call(&reader, WEIR_FOREVER),
                BLOCK_BYTES); /* writes have a queue of their own */
    give(1);
    CHECK_EQUAL(call_finish(&call), BLOCK_BYTES);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_WAITED), 1);
    CHECK(counter(WEIR_SUBMISSION_WAIT_NS) > 0);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_NOW), LIMIT - 1);
    take(1);
    CHECK_EQUAL(read_call(&reader, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(read_call(&reader, weir_in_ms(1)), -ETIME);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_NOW), LIMIT);
    give(LIMIT);
    CHECK_EQUAL(read_call(&reader, WEIR_FOREVER), BLOCK_BYTES);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_NOW), 0);
    CHECK_EQUAL(weir_close(reader.fd), 0);
    return 0;
}

static void test_the_65th_parks(void **state)
{
    (void)state;
    run_direct(park_body, &(struct weir_options){ .loop_count = 1 });
}

static int refuse_body(void *arg)
{
    struct reader reader = { .fd = direct_file() };

    (void)arg;
    if (reader.fd < 0)
        return NO_SUCH_DISK;
    take(LIMIT - 1);
    CHECK_EQUAL(read_call(&reader, WEIR_FOREVER), BLOCK_BYTES);
    take(1);
    CHECK_EQUAL(read_call(&reader, WEIR_FOREVER), -EBUSY);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_REFUSED), 1);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_WAITED), 0);
    give(LIMIT);
    CHECK_EQUAL(weir_close(reader.fd), 0);
    return 0;
}

static void test_the_65th_is_refused(void **state)
{
    const struct weir_options options = {
        .loop_count = 1,
        .submission_limit = LIMIT,
        .submission_when_full = WEIR_WHEN_FULL_REFUSE,
    };

    (void)state;
    run_direct(refuse_body, &options);
}

static int expire_body(void *arg)
{
    struct reader reader = { .fd = direct_file() };

    (void)arg;
    if (reader.fd < 0)
        return NO_SUCH_DISK;
    take(LIMIT);
    CHECK_EQUAL(read_call(&reader, WEIR_FOREVER), -ETIME);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_EXPIRED), 1);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_WAITED), 1);
    give(LIMIT);
    CHECK_EQUAL(read_call(&reader, WEIR_FOREVER), BLOCK_BYTES);
    CHECK_EQUAL(weir_close(reader.fd), 0);
    return 0;
}

static void test_the_65th_expires(void **state)
{
    const struct weir_options options = {
        .loop_count = 1,
        .submission_limit = LIMIT,
        .submission_when_full = WEIR_WHEN_FULL_EXPIRE,
        .submission_wait_ns = 1000000,
    };

    (void)state;
    run_direct(expire_body, &options);
}

/* Through calls alone: two reads, one credit, and no turn of the loop between them. */
static int narrow_body(void *arg)
{
    struct reader reader = { .fd = direct_file() };
    struct call first = call_of(read_call, &reader), second = call_of(read_call, &reader);

    (void)arg;
    if (reader.fd < 0)
        return NO_SUCH_DISK;
    call_start(&first);
    call_start(&second);
    CHECK_EQUAL(call_finish(&first), BLOCK_BYTES);
    CHECK_EQUAL(call_finish(&second), arg ? -EBUSY : BLOCK_BYTES);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_WAITED), arg ? 0 : 1);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_REFUSED), arg ? 1 : 0);
    CHECK_EQUAL(weir_close(reader.fd), 0);
    return 0;
}

static void test_one_credit_for_two(void **state)
{
    struct weir_options options = { .loop_count = 1, .submission_limit = 1 };

    (void)state;
    run_direct(narrow_body, &options);
    options.submission_when_full = WEIR_WHEN_FULL_REFUSE;
    if (test_run(narrow_body, &options, &options) == NO_SUCH_DISK)
        skip();
}

static int order_body(void *arg)
{
    int order[READERS + 1] = { 1 };
    struct reader readers[READERS];
    struct call calls[READERS];
    int fd = direct_file();

    (void)arg;
    if (fd < 0)
        return NO_SUCH_DISK;
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){ .fd = fd, .order = order, .number = i };
        calls[i] = call_of(read_call, &readers[i]);
        call_start(&calls[i]);
    }
    for (int i = 0; i < READERS; i++)
        CHECK_EQUAL(call_finish(&calls[i]), BLOCK_BYTES);
    for (int i = 0; i < READERS; i++)
        CHECK_EQUAL(order[i + 1], i);
    CHECK_EQUAL(read_credits()->used_max, 1);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_NOW), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    return 0;
}

/* Who waits longest is next. */
static void test_order(void **state)
{
    (void)state;
    run_direct(order_body, &(struct weir_options){ .loop_count = 1, .submission_limit = 1 });
}

/* A burst of background reads has its part of the credits, and a line of its own. */
static int burst_body(void *arg)
{
    struct reader reader = { .fd = direct_file() };
    struct call calls[READERS];

    (void)arg;
    if (reader.fd < 0)
        return NO_SUCH_DISK;
    for (int i = 0; i < LIMIT / 4; i++)
        CHECK_EQUAL(weir__credits_take_as(read_credits(), WEIR_PRIORITY_BACKGROUND, WEIR_NOW), 0);
    CHECK_EQUAL(weir_set_priority(WEIR_PRIORITY_BACKGROUND), 0);
    for (int i = 0; i < READERS; i++) {
        calls[i] = call_of(read_call, &reader);
        call_start(&calls[i]);
    }
    while (read_credits()->waiting < READERS)
        CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(read_call(&reader, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_set_priority(WEIR_PRIORITY_LATENCY), 0);
    CHECK_EQUAL(read_call(&reader, WEIR_FOREVER), BLOCK_BYTES);
    CHECK_EQUAL(weir_set_priority(WEIR_PRIORITY_NORMAL), 0);
    CHECK_EQUAL(read_call(&reader, WEIR_FOREVER), BLOCK_BYTES);
    CHECK_EQUAL(read_credits()->waiting, READERS);
    for (int i = 0; i < LIMIT / 4; i++)
        weir__credits_give_as(read_credits(), WEIR_PRIORITY_BACKGROUND);
    for (int i = 0; i < READERS; i++)
        CHECK_EQUAL(call_finish(&calls[i]), BLOCK_BYTES);
    CHECK(read_credits()->used_max <= LIMIT / 4 + 1);
    CHECK_EQUAL(read_credits()->used, 0);
    CHECK_EQUAL(weir_close(reader.fd), 0);
    return 0;
}

static void test_a_background_burst_leaves_room(void **state)
{
    (void)state;
    run_direct(burst_body, &(struct weir_options){ .loop_count = 1 });
}

/* What waits for a peer takes no credit: silent clients never stop the one that speaks. */
static int silent_body(void *arg)
{
    int pair[2];
    char byte;

    (void)arg;
    make_pair(pair);
    take(LIMIT);
    CHECK_EQUAL(weir_send(pair[1], "x", 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_recv(pair[0], &byte, 1, 0, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    give(LIMIT);
    return 0;
}

static void test_peers_need_no_credit(void **state)
{
    (void)state;
    assert_int_equal(test_run(silent_body, NULL, &(struct weir_options){ .loop_count = 1 }), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_the_65th_parks),
        IN_FOLDER(test_the_65th_is_refused),
        IN_FOLDER(test_the_65th_expires),
        IN_FOLDER(test_one_credit_for_two),
        IN_FOLDER(test_order),
        IN_FOLDER(test_a_background_burst_leaves_room),
        IN_FOLDER(test_peers_need_no_credit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
