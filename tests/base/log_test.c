/* SPDX-License-Identifier: MIT */
/* Reports on a standard error that is full: nobody waits, and what is missing is said. */
#include "base/log.h"
#include "support/support.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { LINES_MAX = 100000, READ_BYTES = 1 << 20, LONG_BYTES = 5 * PIPE_BUF };

/* Both ends of what stands in for standard error. */
struct target {
    int write_fd, read_fd;
};

static bool is_nonblocking(int fd)
{
    return fcntl(fd, F_GETFL) & O_NONBLOCK;
}

/* All that is there now, without what a terminal puts before the end of a line. */
static size_t read_all(int fd, char *text, size_t bytes)
{
    size_t length = 0;
    char byte;

    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (length < bytes - 1 && read(fd, &byte, 1) == 1)
        if (byte != '\r')
            text[length++] = byte;
    text[length] = 0;
    return length;
}

static uint64_t count_lines(const char *text)
{
    uint64_t count = 0;

    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/* Lines until one is dropped; returns how many were written. */
static uint64_t fill(void)
{
    uint64_t before = weir__log_dropped();
    uint64_t count = 0;

    while (count < LINES_MAX && weir__log_dropped() == before)
        weir__log_line("line %llu", (unsigned long long)++count);
    return count - 1;
}

/* Fills it up, drops some, reads, and writes again. */
static void fill_and_drain(struct target target)
{
    static char text[READ_BYTES];
    int saved = dup(STDERR_FILENO);
    uint64_t written, dropped;
    bool is_whole;

    dup2(target.write_fd, STDERR_FILENO);
    written = fill();
    dropped = weir__log_dropped();
    for (int i = 0; i < 9; i++)
        weir__log_line("nobody reads this");
    dropped = weir__log_dropped() - dropped;
    read_all(target.read_fd, text, sizeof text);
    is_whole = weir__log_text("one\ntwo\n");
    dup2(saved, STDERR_FILENO);
    close(saved);

    assert_true(written > 10);
    assert_true(written < LINES_MAX);
    assert_int_equal(dropped, 9);
    assert_true(is_whole);
    assert_false(is_nonblocking(target.write_fd));
    assert_int_equal(count_lines(text), written);
    read_all(target.read_fd, text, sizeof text);
    assert_string_equal(text, "weir: 10 lines of reports are missing here: standard error was "
                              "full, and nobody read it\none\ntwo\n");
    close(target.write_fd);
    close(target.read_fd);
}

static void a_full_pipe(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    fill_and_drain((struct target){ .write_fd = ends[1], .read_fd = ends[0] });
}

static void a_full_socket(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    fill_and_drain((struct target){ .write_fd = ends[1], .read_fd = ends[0] });
}

/* A terminal whose window reads nothing; it says that there is room when there is for less. */
static void a_full_terminal(void **state)
{
    int window = posix_openpt(O_RDWR | O_NOCTTY);
    struct target target = { .read_fd = window };

    (void)state;
    if (window < 0)
        skip(); /* no /dev/pts */
    assert_int_equal(grantpt(window), 0);
    assert_int_equal(unlockpt(window), 0);
    target.write_fd = open(ptsname(window), O_RDWR | O_NOCTTY);
    fill_and_drain(target);
}

/* What is longer than a pipe takes at once comes whole if there is room, else up to some line. */
static void a_long_report(void **state)
{
    static char report[LONG_BYTES + 1], text[READ_BYTES];
    int saved = dup(STDERR_FILENO);
    bool fits, fits_not;
    int ends[2];

    (void)state;
    for (size_t i = 0; i < LONG_BYTES; i++)
        report[i] = i % 100 == 99 ? '\n' : 'x';
    assert_int_equal(pipe(ends), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 8 * PIPE_BUF) >= 8 * PIPE_BUF);
    dup2(ends[1], STDERR_FILENO);
    fits = weir__log_text(report);
    fits_not = weir__log_text(report);
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_true(fits);
    assert_false(fits_not);
    assert_true(read_all(ends[0], text, sizeof text) > LONG_BYTES);
    assert_memory_equal(text, report, LONG_BYTES);
    assert_int_equal(text[strlen(text) - 1], '\n');
    close(ends[0]);
    close(ends[1]);
}

/* What came before is kept, and nothing is ever dropped. */
static void a_file(void **state)
{
    int file = memfd_create("stderr", MFD_CLOEXEC), saved = dup(STDERR_FILENO);
    char text[500] = "";
    bool is_whole;

    (void)state;
    dup2(file, STDERR_FILENO);
    dprintf(STDERR_FILENO, "before ");
    is_whole = weir__log_text("one\n");
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_true(is_whole);
    assert_true(pread(file, text, sizeof text - 1, 0) > 0);
    assert_non_null(strstr(text, "one\n"));
    assert_int_equal(strncmp(text, "before ", 7), 0);
    close(file);
}

/* An abort does not wait for ever either. */
static void die_at_full_stderr(void *arg)
{
    int ends[2];

    (void)arg;
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0)
        _exit(1);
    fill();
    weir__log_last("the end\n", strlen("the end\n"));
    _exit(3);
}

static void last_words(void **state)
{
    char output[100];

    (void)state;
    assert_int_equal(test_fork(die_at_full_stderr, NULL, output, sizeof output), 3 << 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_pipe),     cmocka_unit_test(a_full_socket),
        cmocka_unit_test(a_full_terminal), cmocka_unit_test(a_long_report),
        cmocka_unit_test(a_file),          cmocka_unit_test(last_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
