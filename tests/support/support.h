/* SPDX-License-Identifier: MIT */
/*
 * What tests share. cmocka's own assertions leave by longjmp, so they belong to the test's own
 * thread: tasks and other threads use CHECK, and the test's thread carries the failure out.
 */
#ifndef WEIR_TESTS_SUPPORT_H
#define WEIR_TESTS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>

struct weir_options;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

enum test_tier { TEST_FAST, TEST_FULL, TEST_SOAK };

/* By WEIR_TEST_TIER; fast when it is not set. */
int test_tier(void);

/* How often, by tier; a tenth of it in sanitizer builds. */
long test_rounds(long fast, long full, long soak);

/* In any task or thread: notes and prints a condition that does not hold. Returns the condition. */
#define CHECK(condition) test_check((condition) ? true : false, __FILE__, __LINE__, #condition)
#define CHECK_EQUAL(left, right)                                                                   \
    test_check_equal((long long)(left), (long long)(right), __FILE__, __LINE__, #left, #right)

bool test_check(bool holds, const char *file, int line, const char *text);
bool test_check_equal(long long left, long long right, const char *file, int line,
                      const char *left_text, const char *right_text);

/* In the test's own thread: fails the test when a check has failed since the last call. */
void test_carry_out(void);

/* weir_run(body, arg, options), then test_carry_out. Returns what weir_run returned. */
int test_run(int (*body)(void *arg), void *arg, const struct weir_options *options);

/* The enum weir_feature bits that all runtimes of this process do without: features.c. */
unsigned test_masked_features(void);

/* As the process stands now. */
int count_fds(void);
int count_threads(void);
size_t count_mappings(void);
size_t rss_bytes(void);

/* Waits until the process has at most `count` threads: the kernel forgets a joined one late. */
void test_await_threads(int count);

/* Waits until *word is at least `value`; meanwhile tasks yield, threads sleep a little. */
void test_await(const _Atomic long *word, long value);

/* In debug builds: threads yield now and then where a lock is released, for more orders. */
void test_inject_yields(bool on);

/* Runs body(arg) in a forked child whose standard error goes to `output`. Returns the wait status.
 * A child that hangs is killed by SIGALRM. */
int test_fork(void (*body)(void *arg), void *arg, char *output, size_t output_bytes);

#endif
