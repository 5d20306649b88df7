/* SPDX-License-Identifier: MIT */
/* What the tests of the process room share. */
#ifndef WEIR_TESTS_PROCESS_FIXTURE_H
#define WEIR_TESTS_PROCESS_FIXTURE_H

#include "support/support.h"

#include <weir.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A test program uses what it needs of these. */
#define HELPER __attribute__((unused)) static

enum { TEXT_BYTES = 4096, SECOND_NS = 1000000000 };

HELPER const struct weir_options one_loop = { .loop_count = 1 };
HELPER const struct weir_options two_loops = { .loop_count = 2 };

/* Whether the process has a child left, ended or not. */
HELPER bool has_children(void)
{
    siginfo_t info;

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* The body as the root task, twice: nothing that it opened or started is left. */
HELPER void run_clean(int (*body)(void *arg), const struct weir_options *options)
{
    int fds = 0, threads = 0;

    for (int i = 0; i < 3; i++) {
        if (i == 1) { /* until the C library has what it keeps */
            fds = count_fds();
            threads = count_threads();
        }
        assert_int_equal(test_run(body, NULL, options), 0);
        assert_false(has_children());
    }
    assert_int_equal(count_fds(), fds);
    test_await_threads(threads);
}

HELPER struct weir_scope *make_scope(enum weir_scope_kind kind)
{
    struct weir_scope *scope = NULL;

    CHECK_EQUAL(weir_scope_create(&scope, kind, NULL), 0);
    return scope;
}

/* A shell with a script, as a child of the scope. */
HELPER struct weir_child *start_shell(struct weir_scope *scope, const char *script,
                                      struct weir_child_options options)
{
    const char *const argv[] = { "sh", "-c", script, NULL };
    struct weir_child *child = NULL;

    options.argv = argv;
    CHECK_EQUAL(weir_child_spawn(&child, scope, &options, WEIR_FOREVER), 0);
    return child;
}

/* What a script writes to its output, until the end of it. */
HELPER int run_shell(const char *script, struct weir_child_options options, char *text)
{
    const char *const argv[] = { "sh", "-c", script, NULL };
    struct weir_child_capture capture = { .output = text, .output_room = TEXT_BYTES - 1 };
    int status = -1;

    options.argv = argv;
    CHECK_EQUAL(weir_child_run(&options, &capture, &status, weir_in_ms(20000)), 0);
    text[capture.output_bytes] = '\0';
    return status;
}

/* Until the child says a line. */
HELPER void await_line(int fd)
{
    char byte = 0;

    while (byte != '\n')
        if (!CHECK_EQUAL(weir_read(fd, &byte, 1, weir_in_ms(20000)), 1))
            return;
}

#endif
