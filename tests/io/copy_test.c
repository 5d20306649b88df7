/* SPDX-License-Identifier: MIT */
/* Copying: byte for byte by every way, an exact count whatever ends it, and refusals. */
#include "fixture.h"

enum { COPY_BYTES = 3 * 1024 * 1024 + 11 };

static const struct weir_copy_options by_kernel = { .step_bytes = 256 * 1024 };
static const struct weir_copy_options by_hand = { .plain = true };

/* A file of COPY_BYTES with a pattern; its content. */
static char *make_source(int *fd)
{
    char *content = pattern_block(COPY_BYTES);

    *fd = plain_open("source", O_CREAT | O_RDWR);
    CHECK_EQUAL(pwrite(*fd, content, COPY_BYTES, 0), COPY_BYTES);
    return content;
}

static void check_target(int fd, off_t offset, const char *content, size_t bytes)
{
    char *copy = malloc(bytes + 1);

    CHECK_EQUAL(pread(fd, copy, bytes + 1, offset), bytes);
    CHECK_EQUAL(memcmp(copy, content, bytes), 0);
    free(copy);
}

static int ways_body(void *arg)
{
    const struct weir_copy_options *ways[] = { NULL, &by_kernel, &by_hand };
    uint64_t copied;
    int source, target;
    char *content = make_source(&source);

    (void)arg;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        target = plain_open("target", O_CREAT | O_TRUNC | O_RDWR);
        CHECK_EQUAL(weir_copy(source, 0, target, 0, WEIR_COPY_ALL, ways[i], &copied, WEIR_FOREVER),
                    0);
        CHECK_EQUAL(copied, COPY_BYTES);
        check_target(target, 0, content, COPY_BYTES);
        CHECK_EQUAL(ftruncate(target, 0), 0);
        CHECK_EQUAL(weir_copy(source, 77, target, 5, 100000, ways[i], &copied, WEIR_FOREVER), 0);
        CHECK_EQUAL(copied, 100000);
        check_target(target, 5, content + 77, 100000);
        CHECK_EQUAL(weir_copy(source, COPY_BYTES, target, 0, 1, ways[i], NULL, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_copy(source, 0, target, 0, 0, ways[i], &copied, WEIR_FOREVER), 0);
        CHECK_EQUAL(copied, 0);
        plain_close(target);
    }
    CHECK(routed(WEIR__OP_ID_COPY_FILE_RANGE, WEIR__ROUTE_POOL) >= COPY_BYTES / (256 * 1024));
    target = memory_file(); /* another file system: by hand, of itself */
    CHECK_EQUAL(weir_copy(source, 0, target, 0, WEIR_COPY_ALL, NULL, &copied, WEIR_FOREVER), 0);
    CHECK_EQUAL(copied, COPY_BYTES);
    check_target(target, 0, content, COPY_BYTES);
    plain_close(target);
    plain_close(source);
    free(content);
    return 0;
}

static void test_every_way(void **state)
{
    (void)state;
    assert_int_equal(test_run(ways_body, NULL, NULL), 0);
}

/* Files of /proc claim to be empty. */
static int proc_body(void *arg)
{
    int source = plain_open("/proc/self/status", O_RDONLY), target = memory_file();
    char text[8];

    (void)arg;
    CHECK_EQUAL(weir_copy(source, 0, target, 0, WEIR_COPY_ALL, NULL, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(pread(target, text, 5, 0), 5);
    CHECK_EQUAL(memcmp(text, "Name:", 5), 0);
    plain_close(source);
    plain_close(target);
    return 0;
}

static void test_of_proc(void **state)
{
    (void)state;
    assert_int_equal(test_run(proc_body, NULL, NULL), 0);
}

struct long_copy {
    int source;
    int target;
    const struct weir_copy_options *options;
    uint64_t copied;
};

static int64_t copy_call(void *arg, int64_t deadline_ns)
{
    struct long_copy *copy = arg;

    return weir_copy(copy->source, 0, copy->target, 0, WEIR_COPY_ALL, copy->options, &copy->copied,
                     deadline_ns);
}

/* Cancelled in the middle: as many bytes as it says are there, and no more. */
static void cut_short(struct long_copy *copy, const char *content)
{
    struct call call = call_of(copy_call, copy);
    struct stat file = { 0 };

    CHECK_EQUAL(ftruncate(copy->target, 0), 0);
    call_start(&call);
    while (file.st_size == 0 && weir_yield() == 0)
        CHECK_EQUAL(fstat(copy->target, &file), 0);
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    if (call_finish(&call) == 0)
        CHECK_EQUAL(copy->copied, COPY_BYTES);
    else
        CHECK_EQUAL(call.result, -ECANCELED);
    CHECK(copy->copied > 0);
    check_target(copy->target, 0, content, copy->copied);
}

static int cut_body(void *arg)
{
    const struct weir_copy_options small = { .step_bytes = 4096 };
    struct long_copy copies[] = { { .options = &small }, { .options = &by_hand } };
    int source, target = plain_open("target", O_CREAT | O_RDWR);
    char *content = make_source(&source);

    (void)arg;
    for (size_t i = 0; i < sizeof copies / sizeof copies[0]; i++) {
        copies[i].source = source;
        copies[i].target = target;
        for (int round = 0; round < 10; round++)
            cut_short(&copies[i], content);
        CHECK_EQUAL(
            weir_copy(source, 0, target, 0, 1, copies[i].options, &copies[i].copied, weir_now_ns()),
            -ETIME);
        CHECK_EQUAL(copies[i].copied, 0);
    }
    plain_close(source);
    plain_close(target);
    free(content);
    return 0;
}

static void test_cut_short(void **state)
{
    (void)state;
    assert_int_equal(test_run(cut_body, NULL, NULL), 0);
}

static int refusals_body(void *arg)
{
    const struct weir_copy_options wrong_size = { .size = 1 }, wrong = { .reserved = { 1 } };
    int fd = plain_open("file", O_CREAT | O_RDWR), reader = plain_open("file", O_RDONLY);
    int pair[2];

    (void)arg;
    CHECK_EQUAL(pipe2(pair, O_CLOEXEC), 0);
    known(pair[0]);
    known(pair[1]);
    CHECK_EQUAL(ftruncate(fd, 10000), 0);
    CHECK_EQUAL(weir_copy(fd, 0, fd, 0, 1, &wrong_size, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_copy(fd, 0, fd, 0, 1, &wrong, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_copy(fd, -1, fd, 0, 1, NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_copy(fd, 0, fd, 5, 10, NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_copy(fd, 0, reader, 5, 10, &by_hand, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_copy(fd, 0, fd, 5000, 10, &by_hand, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_copy(fd, 0, reader, 5000, 10, NULL, NULL, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(weir_copy(pair[0], 0, fd, 0, 1, &by_hand, NULL, WEIR_FOREVER), -ESPIPE);
    CHECK(weir_copy(pair[0], 0, fd, 0, 1, NULL, NULL, WEIR_FOREVER) < 0);
    CHECK_EQUAL(weir_copy(-1, 0, fd, 0, 1, NULL, NULL, WEIR_FOREVER), -EBADF);
    plain_close(fd);
    plain_close(reader);
    plain_close(pair[0]);
    plain_close(pair[1]);
    return 0;
}

static void test_refusals(void **state)
{
    (void)state;
    assert_int_equal(test_run(refusals_body, NULL, NULL), 0);
}

struct splicer {
    int source;
    int target;
};

static int64_t splice_call(void *arg, int64_t deadline_ns)
{
    struct splicer *splicer = arg;

    return weir_splice(splicer->source, NULL, splicer->target, NULL, 100, 0, deadline_ns);
}

/* From a file to a pipe to a socket; a wait for either side holds no thread. */
static int splice_body(void *arg)
{
    int fd = plain_open("file", O_CREAT | O_RDWR), pair[2], ends[2];
    struct splicer splicer;
    struct call call = call_of(splice_call, &splicer);
    off_t offset = 2;
    char text[8];

    (void)arg;
    make_pair(pair);
    CHECK_EQUAL(pipe2(ends, O_CLOEXEC), 0);
    known(ends[0]);
    known(ends[1]);
    splicer = (struct splicer){ ends[0], pair[0] };
    CHECK_EQUAL(write(fd, "0123456789", 10), 10);
    CHECK_EQUAL(splice_call(&splicer, weir_in_ms(5)), -ETIME);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_fsync(fd, weir_in_ms(10000)), 0); /* the only thread is free */
    CHECK_EQUAL(weir_splice(fd, &offset, ends[1], NULL, 5, 0, WEIR_FOREVER), 5);
    CHECK_EQUAL(offset, 7);
    CHECK_EQUAL(call_finish(&call), 5);
    CHECK_EQUAL(recv(pair[1], text, sizeof text, 0), 5);
    CHECK_EQUAL(memcmp(text, "23456", 5), 0);
    fill_socket(pair[0]);
    CHECK_EQUAL(weir_splice(fd, &offset, ends[1], NULL, 3, 0, WEIR_FOREVER), 3);
    CHECK_EQUAL(splice_call(&splicer, weir_in_ms(5)), -ETIME); /* a full socket */
    plain_close(ends[0]);
    plain_close(ends[1]);
    plain_close(pair[0]);
    plain_close(pair[1]);
    plain_close(fd);
    return 0;
}

/* Up to its own end, which goes away from it. */
static int behind_itself_body(void *arg)
{
    int fd = plain_open("file", O_CREAT | O_RDWR);
    struct stat file;

    (void)arg;
    CHECK_EQUAL(ftruncate(fd, 10000), 0);
    CHECK_EQUAL(weir_copy(fd, 0, fd, 20000, WEIR_COPY_ALL, NULL, NULL, weir_in_ms(100)), -EINVAL);
    CHECK_EQUAL(weir_copy(fd, 0, fd, 20000, 20001, NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(fstat(fd, &file), 0);
    CHECK_EQUAL(file.st_size, 10000);
    plain_close(fd);
    return 0;
}

static void test_no_file_is_copied_behind_itself(void **state)
{
    (void)state;
    assert_int_equal(test_run(behind_itself_body, NULL, NULL), 0);
}

static void test_splice_waits_on_the_ring(void **state)
{
    const struct weir_options options = { .loop_count = 1, .pool_threads_max = 1 };

    (void)state;
    assert_int_equal(test_run(splice_body, NULL, &options), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_every_way),
        IN_FOLDER(test_of_proc),
        IN_FOLDER(test_cut_short),
        IN_FOLDER(test_refusals),
        IN_FOLDER(test_no_file_is_copied_behind_itself),
        IN_FOLDER(test_splice_waits_on_the_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
