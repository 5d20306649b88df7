/* SPDX-License-Identifier: MIT */
/* See support.h. */
#include "support.h"

#include "base/lock.h"

#include <weir/runtime.h>
#include <weir/task.h>

#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { SANITIZED_SHARE = 10, PAUSE_NS = 20000, CHILD_SECONDS = 60, INJECT_PERIOD = 5 };

int test_tier(void)
{
    const char *tier = getenv("WEIR_TEST_TIER");

    if (tier && strcmp(tier, "full") == 0)
        return TEST_FULL;
    return tier && strcmp(tier, "soak") == 0 ? TEST_SOAK : TEST_FAST;
}

long test_rounds(long fast, long full, long soak)
{
    long rounds = (const long[]){ fast, full, soak }[test_tier()];

    if (TEST_SANITIZED)
        rounds /= SANITIZED_SHARE;
    return rounds ? rounds : 1;
}

static atomic_int failed_count; /* relaxed; read once all others are joined */

bool test_check(bool holds, const char *file, int line, const char *text)
{
    if (holds)
        return true;
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
    atomic_fetch_add_explicit(&failed_count, 1, memory_order_relaxed);
    return false;
}

bool test_check_equal(long long left, long long right, const char *file, int line,
                      const char *left_text, const char *right_text)
{
    if (left == right)
        return true;
    fprintf(stderr, "%s:%d: %s is %lld, %s is %lld\n", file, line, left_text, left, right_text,
            right);
    atomic_fetch_add_explicit(&failed_count, 1, memory_order_relaxed);
    return false;
}

void test_carry_out(void)
{
    assert_int_equal(atomic_exchange(&failed_count, 0), 0);
}

int test_run(int (*body)(void *arg), void *arg, const struct weir_options *options)
{
    int result = weir_run(body, arg, options);

    test_carry_out();
    return result;
}

/* Entries of a folder, those that begin with a dot aside. */
static int count_entries(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int count = 0;

    assert_non_null(folder);
    while ((entry = readdir(folder)))
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

int count_fds(void)
{
    return count_entries("/proc/self/fd") - 1; /* the folder's own */
}

int count_threads(void)
{
    return count_entries("/proc/self/task");
}

size_t count_mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    size_t count = 0;

    assert_non_null(file);
    for (int byte; (byte = fgetc(file)) != EOF;)
        count += byte == '\n';
    fclose(file);
    return count;
}

size_t rss_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*s %lu", &pages), 1);
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

void test_await_threads(int count)
{
    while (count_threads() > count)
        nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
}

void test_await(const _Atomic long *word, long value)
{
    weir_shield_enter(); /* a cancelled task yields no more */
    while (atomic_load(word) < value) {
        if (!weir_task_self())
            nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
        else if (weir_yield() < 0)
            abort();
    }
    weir_shield_leave();
}

static void yield_sometimes(void)
{
    static _Thread_local unsigned releases;

    if (++releases % INJECT_PERIOD == 0)
        sched_yield();
}

void test_inject_yields(bool on)
{
    weir__lock_release_hook = on ? yield_sometimes : NULL;
}

int test_fork(void (*body)(void *arg), void *arg, char *output, size_t output_bytes)
{
    size_t length = 0;
    ssize_t count;
    int ends[2];
    int status;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        alarm(CHILD_SECONDS);
        body(arg);
        _exit(0);
    }
    close(ends[1]);
    while (length + 1 < output_bytes &&
           (count = read(ends[0], output + length, output_bytes - 1 - length)) > 0)
        length += (size_t)count;
    output[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}
