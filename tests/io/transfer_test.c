/* SPDX-License-Identifier: MIT */
/* read, write and kin: on each kind of descriptor, at its end, cancelled, and without SIGPIPE. */
#include "fixture.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

/* --- each kind -------------------------------------------------------------------------------- */

/* A read that waits, in a task of its own; then `feed` lets it end. */
struct reading {
    int fd;
    char bytes[4096];
};

static int64_t read_call(void *arg, int64_t deadline_ns)
{
    struct reading *reading = arg;

    return weir_read(reading->fd, reading->bytes, sizeof reading->bytes, deadline_ns);
}

/* Threads that the kernel has made for requests it could not do without one. */
static int count_workers(void)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;

    while ((entry = readdir(folder))) {
        char path[300], name[32] = "";
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "r");
        if (file && fgets(name, sizeof name, file))
            count += strncmp(name, "iou-wrk", strlen("iou-wrk")) == 0;
        if (file)
            fclose(file);
    }
    closedir(folder);
    return count;
}

/* Waits, is fed, ends by deadline and by cancel, and never by a thread of the kernel's. */
static void check_reads(int fd, void (*feed)(int fd), int feed_fd, ssize_t wanted_bytes)
{
    struct reading reading = { .fd = fd };
    struct call call = call_of(read_call, &reading);

    CHECK_EQUAL(read_call(&reading, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(read_call(&reading, weir_in_ms(1)), -ETIME);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(call.result, 0);
    feed(feed_fd);
    CHECK_EQUAL(call_finish(&call), wanted_bytes);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(call.task), 0);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    call_start(&call);
    weir__sched_settle();
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(call_finish(&call), -EBADF);
    CHECK_EQUAL(count_workers(), 0);
}

static void feed_line(int fd)
{
    CHECK_EQUAL(write(fd, "hello\n", 6), 6);
}

static void feed_event(int fd)
{
    CHECK_EQUAL(eventfd_write(fd, 7), 0);
}

static void feed_timer(int fd)
{
    struct itimerspec soon = { .it_value = { 0, 1 } };

    CHECK_EQUAL(timerfd_settime(fd, 0, &soon, NULL), 0);
}

static void feed_signal(int fd)
{
    (void)fd;
    CHECK_EQUAL(kill(getpid(), SIGUSR1), 0);
}

static void feed_file(int fd)
{
    (void)fd;
    plain_close(plain_open("touched", O_CREAT | O_RDWR));
}

static int kinds_body(void *arg)
{
    sigset_t *signals = arg;
    int ends[2], master, slave, fd;

    make_pipe(ends);
    check_reads(ends[0], feed_line, ends[1], 6);
    CHECK_EQUAL(weir_close(ends[1]), 0);
    make_pair(ends);
    check_reads(ends[0], feed_line, ends[1], 6);
    CHECK_EQUAL(weir_close(ends[1]), 0);
    fd = known(eventfd(0, EFD_CLOEXEC));
    check_reads(fd, feed_event, fd, 8);
    fd = known(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    check_reads(fd, feed_timer, fd, 8);
    fd = known(signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK));
    check_reads(fd, feed_signal, -1, sizeof(struct signalfd_siginfo));
    fd = known(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    CHECK(inotify_add_watch(fd, ".", IN_CREATE) >= 0);
    check_reads(fd, feed_file, -1, sizeof(struct inotify_event) + 16);
    master = known(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    CHECK_EQUAL(grantpt(master), 0);
    CHECK_EQUAL(unlockpt(master), 0);
    slave = plain_open(ptsname(master), O_RDWR | O_NOCTTY);
    check_reads(slave, feed_line, master, 6);
    CHECK_EQUAL(weir_close(master), 0);
    return 0;
}

/* The signals are blocked before the loops' threads are made. */
static void test_each_kind_waits(void **state)
{
    sigset_t signals, saved;

    (void)state;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, &saved);
    assert_int_equal(test_run(kinds_body, &signals, &one_loop), 0);
    sigprocmask(SIG_SETMASK, &saved, NULL);
}

/* --- writing ---------------------------------------------------------------------------------- */

struct writing {
    int fd;
    char *bytes;
    size_t count;
};

static int64_t write_all_call(void *arg, int64_t deadline_ns)
{
    struct writing *writing = arg;
    ssize_t result = weir_write_all(writing->fd, writing->bytes, writing->count, NULL, deadline_ns);

    CHECK_EQUAL(weir_close(writing->fd), 0);
    return result;
}

/* More than a pipe holds goes through it in order, to its end, by single and by several buffers. */
static int stream_body(void *arg)
{
    char *copy = malloc(BIG_BYTES);
    struct writing writing = { .bytes = pattern_block(BIG_BYTES), .count = BIG_BYTES };
    struct call call = call_of(write_all_call, &writing);
    size_t done_bytes = 0;
    ssize_t got;
    int ends[2];

    if (arg)
        make_pair(ends);
    else
        make_pipe(ends);
    writing.fd = ends[1];
    call_start(&call);
    do {
        size_t left_bytes = BIG_BYTES - done_bytes, half_bytes = left_bytes < 2000 ? 0 : 1000;
        struct iovec parts[] = {
            { copy + done_bytes, half_bytes },
            { copy + done_bytes + half_bytes, left_bytes - half_bytes },
        };

        got = weir_readv(ends[0], parts, 2, WEIR_FOREVER);
        CHECK(got >= 0);
        done_bytes += (size_t)got;
    } while (got > 0 && done_bytes < BIG_BYTES);
    CHECK_EQUAL(done_bytes, BIG_BYTES);
    CHECK_EQUAL(memcmp(copy, writing.bytes, BIG_BYTES), 0);
    CHECK_EQUAL(call_finish(&call), BIG_BYTES);
    CHECK_EQUAL(weir_read(ends[0], copy, 1, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_close(ends[0]), 0);
    free(writing.bytes);
    free(copy);
    return 0;
}

static void test_a_stream_through_a_pipe(void **state)
{
    (void)state;
    assert_int_equal(test_run(stream_body, NULL, &one_loop), 0);
    assert_int_equal(test_run(stream_body, "a socket", &one_loop), 0);
}

/* A full pipe takes nothing by a deadline; then what it has room for. */
static int full_body(void *arg)
{
    char *block = pattern_block(BIG_BYTES);
    struct iovec vectors[2] = { { block, 10 }, { block + 10, 10 } };
    int ends[2];
    size_t filled_bytes;

    (void)arg;
    make_pipe(ends);
    filled_bytes = fill_pipe(ends[1]);
    CHECK_EQUAL(weir_write(ends[1], block, 1, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_write(ends[1], block, 1, weir_in_ms(1)), -ETIME);
    CHECK_EQUAL(weir_writev(ends[1], vectors, 2, weir_in_ms(1)), -ETIME);
    CHECK_EQUAL(read(ends[0], block, BLOCK_BYTES), BLOCK_BYTES);
    CHECK_EQUAL(weir_writev(ends[1], vectors, 2, WEIR_FOREVER), 20);
    CHECK_EQUAL(weir_read(ends[0], block, BIG_BYTES, WEIR_FOREVER),
                filled_bytes - BLOCK_BYTES + 20);
    CHECK_EQUAL(weir_read(ends[0], block, 1, WEIR_NOW), -EAGAIN);
    CHECK_EQUAL(weir_write(ends[1], block, BIG_BYTES, WEIR_FOREVER), filled_bytes);
    CHECK_EQUAL(weir_close(ends[0]), 0);
    CHECK_EQUAL(weir_close(ends[1]), 0);
    free(block);
    return 0;
}

static void test_a_full_pipe(void **state)
{
    (void)state;
    assert_int_equal(test_run(full_body, NULL, &one_loop), 0);
}

/* --- positions -------------------------------------------------------------------------------- */

/* A file's position is the open file's: shared with every duplicate, moved by each call. */
static int file_body(void *arg)
{
    int fd = pattern_file("file", O_RDWR), twin = known(dup(fd));
    char *pattern = pattern_block(BIG_BYTES), bytes[100];
    struct iovec vector = { bytes, 50 };

    (void)arg;
    CHECK_EQUAL(weir_read(fd, bytes, 50, WEIR_FOREVER), 50);
    CHECK_EQUAL(weir_readv(twin, &vector, 1, WEIR_FOREVER), 50);
    CHECK_EQUAL(memcmp(bytes, pattern + 50, 50), 0);
    CHECK_EQUAL(lseek(fd, 0, SEEK_CUR), 100);
    CHECK_EQUAL(weir_write(fd, "abc", 3, WEIR_FOREVER), 3);
    vector = (struct iovec){ "def", 3 };
    CHECK_EQUAL(weir_writev(twin, &vector, 1, WEIR_FOREVER), 3);
    CHECK_EQUAL(weir_pread(fd, bytes, 6, 100, WEIR_FOREVER), 6);
    CHECK_EQUAL(memcmp(bytes, "abcdef", 6), 0);
    CHECK_EQUAL(lseek(fd, 0, SEEK_END), BIG_BYTES);
    CHECK_EQUAL(weir_read(fd, bytes, 1, WEIR_FOREVER), 0);
    CHECK_EQUAL(routed(WEIR__OP_ID_READ, WEIR__ROUTE_POOL), 2);
    CHECK_EQUAL(routed(WEIR__OP_ID_READ, WEIR__ROUTE_RING), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(weir_close(twin), 0);
    free(pattern);
    return 0;
}

static void test_files_have_positions(void **state)
{
    (void)state;
    assert_int_equal(test_run(file_body, NULL, &one_loop), 0);
}

/* --- SIGPIPE ---------------------------------------------------------------------------------- */

static int broken_body(void *arg)
{
    struct iovec vector = { "x", 1 };
    int ends[2];

    (void)arg;
    for (int is_socket = 0; is_socket < 2; is_socket++) {
        if (is_socket)
            make_pair(ends);
        else
            make_pipe(ends);
        CHECK_EQUAL(weir_close(ends[0]), 0);
        CHECK_EQUAL(weir_write(ends[1], "x", 1, WEIR_FOREVER), -EPIPE);
        CHECK_EQUAL(weir_writev(ends[1], &vector, 1, WEIR_FOREVER), -EPIPE);
        CHECK_EQUAL(weir_write_all(ends[1], "x", 1, NULL, WEIR_FOREVER), -EPIPE);
        CHECK_EQUAL(weir_close(ends[1]), 0);
    }
    return 0;
}

static atomic_int caught;

static void count_signal(int number)
{
    (void)number;
    caught++;
}

static int run_here(int (*body)(void *arg), void *arg)
{
    int result = weir_run_on_this_thread(body, arg, &one_loop);

    test_carry_out();
    return result;
}

/* On threads of weir's own, and on this one; the program's own writes raise it as ever after. */
static void test_no_sigpipe(void **state)
{
    struct sigaction action = { .sa_handler = count_signal }, saved;
    sigset_t mask, before;
    int ends[2];

    (void)state;
    sigaction(SIGPIPE, &action, &saved);
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(test_run(broken_body, NULL, &one_loop), 0);
    assert_int_equal(run_here(broken_body, NULL), 0);
    assert_int_equal(caught, 0);
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGPIPE), sigismember(&before, SIGPIPE));
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(write(ends[1], "x", 1), -1);
    close(ends[1]);
    assert_int_equal(caught, 1);
    sigaction(SIGPIPE, &saved, NULL);
}

/* A SIGPIPE that waited for the caller before weir came still does. */
static void test_a_sigpipe_of_the_caller_stays(void **state)
{
    static const struct timespec at_once;
    sigset_t set, saved;

    (void)state;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, &saved);
    raise(SIGPIPE);
    assert_int_equal(run_here(broken_body, NULL), 0);
    assert_int_equal(sigtimedwait(&set, NULL, &at_once), SIGPIPE);
    assert_int_equal(sigtimedwait(&set, NULL, &at_once), -1);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

/* --- refusals --------------------------------------------------------------------------------- */

static int refusals_body(void *arg)
{
    struct iovec vector = { NULL, 1 }, huge = { NULL, (size_t)SSIZE_MAX + 1 };
    int folder = plain_open(".", O_RDONLY | O_DIRECTORY);
    int process = known((int)syscall(SYS_pidfd_open, getpid(), 0));
    char byte;
    int ends[2];

    (void)arg;
    make_pipe(ends);
    feed_line(ends[1]);
    CHECK_EQUAL(weir_read(ends[0], NULL, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_write(ends[1], NULL, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_read(ends[0], &byte, (size_t)SSIZE_MAX + 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_readv(ends[0], NULL, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_readv(ends[0], &vector, -1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_writev(ends[1], &vector, IOV_MAX + 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_readv(ends[0], &vector, 1, WEIR_FOREVER), -EFAULT);
    CHECK_EQUAL(weir_readv(ends[0], &huge, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_read(ends[0], NULL, 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_readv(ends[0], NULL, 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_write(ends[1], NULL, 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_read(ends[1], &byte, 1, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(weir_write(ends[0], &byte, 1, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(weir_read(folder, &byte, 1, WEIR_FOREVER), -EISDIR);
    CHECK_EQUAL(fcntl(process, F_SETFL, O_NONBLOCK), 0);
    CHECK_EQUAL(weir_read(process, &byte, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_read(-1, &byte, 1, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(weir_read(ends[0], &byte, 1, WEIR_FOREVER), 1); /* all of this took nothing */
    CHECK_EQUAL(byte, 'h');
    CHECK_EQUAL(weir_close(folder), 0);
    CHECK_EQUAL(weir_close(process), 0);
    CHECK_EQUAL(weir_close(ends[0]), 0);
    CHECK_EQUAL(weir_close(ends[1]), 0);
    CHECK_EQUAL(weir_read(ends[0], &byte, 1, WEIR_FOREVER), -EBADF);
    return 0;
}

static void test_refusals(void **state)
{
    char byte;

    (void)state;
    assert_int_equal(test_run(refusals_body, NULL, &one_loop), 0);
    assert_int_equal(weir_read(0, &byte, 1, WEIR_NOW), -ENXIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_each_kind_waits), IN_FOLDER(test_a_stream_through_a_pipe),
        IN_FOLDER(test_a_full_pipe),     IN_FOLDER(test_files_have_positions),
        IN_FOLDER(test_no_sigpipe),      IN_FOLDER(test_a_sigpipe_of_the_caller_stays),
        IN_FOLDER(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
