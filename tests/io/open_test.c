/* SPDX-License-Identifier: MIT */
/* Opening: where it runs, what is set, and that a look at a path has no effect on what is there. */
#include "fixture.h"

#include <sys/sysmacros.h>

static int open_flags(int fd)
{
    return fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND | O_DIRECT);
}

static void check_cached_open(int flags)
{
    long long before = routed(WEIR__OP_ID_OPENAT, WEIR__ROUTE_INLINE);
    int fd = weir_openat(AT_FDCWD, "file", flags, 0, WEIR_NOW);

    CHECK(fd >= 0);
    CHECK_EQUAL(open_flags(fd), flags);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK(weir__descriptor_kind(fd) != WEIR__FD_UNKNOWN);
    CHECK_EQUAL(routed(WEIR__OP_ID_OPENAT, WEIR__ROUTE_INLINE) - before, 1);
    CHECK_EQUAL(weir_close(fd), 0);
}

static int open_body(void *arg)
{
    int fd = weir_openat(AT_FDCWD, "file", O_CREAT | O_RDWR, 0640, WEIR_FOREVER);
    struct stat file;

    (void)arg;
    CHECK(fd >= 0);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQUAL(fstat(fd, &file), 0);
    CHECK((file.st_mode & 07777) == 0640);
    CHECK_EQUAL(routed(WEIR__OP_ID_OPENAT, WEIR__ROUTE_POOL), 1);
    CHECK(weir__descriptor_kind(fd) != WEIR__FD_UNKNOWN); /* learned where it was opened */
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(weir_openat(AT_FDCWD, "file", O_CREAT | O_EXCL, 0600, WEIR_FOREVER), -EEXIST);
    CHECK_EQUAL(weir_openat(AT_FDCWD, "file/x", O_RDONLY, 0, WEIR_FOREVER), -ENOTDIR);
    CHECK_EQUAL(weir_openat(AT_FDCWD, NULL, O_RDONLY, 0, WEIR_FOREVER), -EINVAL);
    if (major(file.st_dev) == 0)
        return NO_SUCH_DISK;
    check_cached_open(O_RDONLY);
    check_cached_open(O_RDWR | O_APPEND);
    check_cached_open(O_RDONLY | O_NONBLOCK);
    return 0;
}

static void test_open(void **state)
{
    (void)state;
    umask(0);
    if (test_run(open_body, NULL, NULL) == NO_SUCH_DISK)
        print_message("[  SKIPPED ] cached opens: TMPDIR is not on a local disk\n");
}

static int64_t open_fifo(void *arg, int64_t deadline_ns)
{
    return weir_openat(AT_FDCWD, "fifo", *(int *)arg, 0, deadline_ns);
}

/* An open that waits for its other end waits on the pool, and no try of it shows there. */
static int fifo_body(void *arg)
{
    int read_only = O_RDONLY, write_only = O_WRONLY;
    struct call reader = { .run = open_fifo, .arg = &read_only, .deadline_ns = WEIR_FOREVER };
    struct call writer = { .run = open_fifo, .arg = &write_only, .deadline_ns = WEIR_FOREVER };

    (void)arg;
    CHECK_EQUAL(mkfifo("fifo", 0600), 0);
    call_start(&writer);
    weir__sched_settle();
    for (int i = 0; i < 100; i++) {
        CHECK_EQUAL(open_fifo(&read_only, WEIR_NOW), -EAGAIN);
        CHECK_EQUAL(weir_yield(), 0);
    }
    CHECK_EQUAL(writer.result, 0); /* still waits: no reader came and went */
    call_start(&reader);
    CHECK(call_finish(&reader) >= 0);
    CHECK(call_finish(&writer) >= 0);
    CHECK_EQUAL(open_flags((int)reader.result), O_RDONLY);
    CHECK_EQUAL(routed(WEIR__OP_ID_OPENAT, WEIR__ROUTE_POOL), 2);
    CHECK_EQUAL(routed(WEIR__OP_ID_OPENAT, WEIR__ROUTE_INLINE), 0);
    CHECK_EQUAL(weir_close((int)reader.result), 0);
    CHECK_EQUAL(weir_close((int)writer.result), 0);
    return 0;
}

static void test_open_of_a_fifo(void **state)
{
    (void)state;
    assert_int_equal(test_run(fifo_body, NULL, NULL), 0);
}

enum { MANY = 8 };

static int64_t look(void *arg, int64_t deadline_ns)
{
    struct statx file;

    return weir_statx(AT_FDCWD, arg, 0, STATX_SIZE, &file, deadline_ns);
}

/* From as many tasks as make a loop busy. */
static void look_from_many(void)
{
    struct call calls[MANY];

    for (int i = 0; i < MANY; i++) {
        calls[i] = call_of(look, "file");
        call_start(&calls[i]);
    }
    for (int i = 0; i < MANY; i++)
        CHECK_EQUAL(call_finish(&calls[i]), 0);
}

/* What is at hand is looked at by a task that is alone, and when the pool has no thread to spare;
 * with others ready the pool is given it. */
static int at_hand_body(void *arg)
{
    struct call holder, queued = call_of(gate_call, &gate);
    int fd = plain_open("file", O_CREAT | O_RDWR);
    struct stat file;
    long long inline_count, pool_count;

    (void)arg;
    CHECK_EQUAL(fstat(fd, &file), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    if (major(file.st_dev) == 0)
        return NO_SUCH_DISK;
    CHECK_EQUAL(look("file", WEIR_FOREVER), 0); /* and learns that the disk is a local one */
    inline_count = routed(WEIR__OP_ID_STATX, WEIR__ROUTE_INLINE);
    CHECK_EQUAL(look("file", WEIR_FOREVER), 0);
    CHECK_EQUAL(routed(WEIR__OP_ID_STATX, WEIR__ROUTE_INLINE), inline_count + 1);
    CHECK_EQUAL(look("nowhere", WEIR_FOREVER), -ENOENT);
    look_from_many();
    pool_count = routed(WEIR__OP_ID_STATX, WEIR__ROUTE_POOL);
    CHECK(pool_count > 0);
    hold_pool(&holder);
    call_start(&queued);
    weir__sched_settle();
    look_from_many();
    CHECK_EQUAL(routed(WEIR__OP_ID_STATX, WEIR__ROUTE_POOL), pool_count);
    CHECK_EQUAL(sem_post(&gate), 0);
    CHECK_EQUAL(sem_post(&gate), 0);
    CHECK_EQUAL(call_finish(&queued), 0);
    let_pool_go(&holder);
    return 0;
}

static void test_what_is_at_hand(void **state)
{
    struct weir_options options = { .pool_threads_max = 1 };

    (void)state;
    if (test_run(at_hand_body, NULL, &options) == NO_SUCH_DISK)
        print_message("[  SKIPPED ] TMPDIR is not on a local disk\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_open),
        IN_FOLDER(test_open_of_a_fifo),
        IN_FOLDER(test_what_is_at_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
