/* SPDX-License-Identifier: MIT */
/* The unwinder and its names, against what is known, and against the C library's backtrace(). */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include <weir.h>

#include "core/loop.h"
#include "core/task.h"
#include "support/support.h"
#include "unwind/backtrace.h"
#include "unwind/symbol.h"

enum { DEPTH = 12, TEXT_BYTES = 8192 };

/* What print shows of a backtrace. */
static void print(void *const *addresses, size_t count, char *text)
{
    FILE *stream = fmemopen(text, TEXT_BYTES, "w");

    weir__symbol_print(stream, addresses, count);
    fclose(stream);
}

/* Whether the names come in this order, whatever is between them. */
static bool has_in_order(const char *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        text = strstr(text, names[i]);
        if (!text)
            return false;
        text += strlen(names[i]);
    }
    return true;
}

#define CHECK_ORDER(text, ...)                                                                     \
    do {                                                                                           \
        static const char *const names_[] = { __VA_ARGS__ };                                       \
        if (!CHECK(has_in_order(text, names_, sizeof names_ / sizeof names_[0])))                  \
            fprintf(stderr, "%s", text);                                                           \
    } while (0)

/* A task parked some calls deep. */
static int sink;

static __attribute__((noinline)) int park_inside(int depth)
{
    int result;

    if (depth > 0)
        result = park_inside(depth - 1);
    else
        result = weir_sleep(WEIR_FOREVER);
    sink += depth;
    return result;
}

static int parked(void *arg)
{
    (void)arg;
    return park_inside(DEPTH) == -ECANCELED ? 0 : -1;
}

static int look_at_parked(void *arg)
{
    struct weir_task *task = NULL;
    struct weir_scope *scope = NULL;
    struct weir_spawn_options options = { .name = "parked", .task = &task };
    void *addresses[WEIR__BACKTRACE_MAX];
    char text[TEXT_BYTES];
    size_t count, inside = 0;

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, parked, NULL, &options), 0);
    weir_yield();
    count = weir__backtrace_of_task(task, addresses, WEIR__BACKTRACE_MAX);
    print(addresses, count, text);
    CHECK_ORDER(text, "weir_sleep+", "park_inside+", "parked+", "task_main+",
                "weir__switch_start+"); /* what weir_sleep calls may be a jump */
    for (const char *at = text; (at = strstr(at, "park_inside+")); at++)
        inside++;
    CHECK_EQUAL(inside, DEPTH + 1);
    CHECK_EQUAL(weir__backtrace_of_task(task, addresses, 3), 3);
    weir_task_cancel(task);
    CHECK_EQUAL(weir_join(task, NULL, WEIR_FOREVER), 0);
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_parked_task(void **state)
{
    (void)state;
    weir__backtrace_enter();
    assert_int_equal(test_run(look_at_parked, NULL, NULL), 0);
}

/* A task that has not run yet has nothing on its stack. */
static int look_at_new(void *arg)
{
    struct weir_task *task = NULL;
    struct weir_scope *scope = NULL;
    struct weir_spawn_options options = { .name = "parked", .task = &task };
    void *addresses[WEIR__BACKTRACE_MAX];
    char text[WEIR__SYMBOL_BYTES];

    (void)arg;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, parked, NULL, &options), 0);
    CHECK_EQUAL(weir__backtrace_of_task(task, addresses, WEIR__BACKTRACE_MAX), 1);
    weir__symbol_format(addresses[0], false, text, sizeof text);
    CHECK(strncmp(text, "weir__switch_start+", 19) == 0);
    weir_task_cancel(task);
    CHECK_EQUAL(weir_join(task, NULL, WEIR_FOREVER), 0);
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void test_new_task(void **state)
{
    (void)state;
    assert_int_equal(test_run(look_at_new, NULL, NULL), 0);
}

/* A thread asleep, of which ip and sp are known. */
struct sleeper {
    int ends[2];
    struct weir__stack_bounds stack;
    _Atomic long tid;
};

/* Room of a size that only it knows: the compiler finds this frame by a frame pointer. */
static __attribute__((noinline)) ssize_t read_slowly(struct sleeper *sleeper, size_t bytes)
{
    volatile char *room = __builtin_alloca(bytes);
    char byte;
    ssize_t count;

    room[bytes / 2] = 0;
    count = read(sleeper->ends[0], &byte, 1);
    return count + room[bytes / 2];
}

/* Leaves frames behind that look like live ones. */
static __attribute__((noinline)) int leave_frames(int depth)
{
    volatile int *left = __builtin_alloca(sizeof *left * (unsigned)(depth + 1));

    left[depth] = depth;
    return depth == 0 ? 0 : leave_frames(depth - 1) + left[depth];
}

static void *sleep_in_read(void *arg)
{
    struct sleeper *sleeper = arg;

    weir__backtrace_enter();
    sleeper->stack = weir__backtrace_thread_stack();
    sink += leave_frames(20);
    atomic_store(&sleeper->tid, syscall(SYS_gettid));
    return read_slowly(sleeper, 300) == 1 ? sleeper : NULL;
}

/* ip and sp of a thread that sleeps in `number`; false: not yet. */
static bool read_place(long tid, long number, uintptr_t *ip, uintptr_t *sp)
{
    char path[64], line[256] = "";
    unsigned long words[9];
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%ld/syscall", tid);
    file = fopen(path, "r");
    if (!file)
        return false;
    line[fread(line, 1, sizeof line - 1, file)] = '\0';
    fclose(file);
    if (sscanf(line, "%lu %lx %lx %lx %lx %lx %lx %lx %lx", &words[0], &words[1], &words[2],
               &words[3], &words[4], &words[5], &words[6], &words[7], &words[8]) != 9)
        return false;
    *sp = words[7];
    *ip = words[8];
    return (long)words[0] == number;
}

static void test_sleeper(void **state)
{
    struct sleeper sleeper = { .tid = 0 };
    void *addresses[WEIR__BACKTRACE_MAX], *result;
    char text[TEXT_BYTES];
    uintptr_t ip, sp;
    size_t count, sure;
    pthread_t thread;

    (void)state;
    assert_int_equal(pipe(sleeper.ends), 0);
    assert_int_equal(pthread_create(&thread, NULL, sleep_in_read, &sleeper), 0);
    test_await(&sleeper.tid, 1);
    while (!read_place(atomic_load(&sleeper.tid), SYS_read, &ip, &sp))
        usleep(1000);
    count =
        weir__backtrace_of_sleeper(ip, sp, &sleeper.stack, addresses, WEIR__BACKTRACE_MAX, &sure);
    assert_int_equal(write(sleeper.ends[1], "x", 1), 1);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &sleeper);
    close(sleeper.ends[0]);
    close(sleeper.ends[1]);
    print(addresses, count, text);
    CHECK(strstr(text, "read+") != NULL);
    CHECK(sure >= 2);
    /* A sanitizer's read has a frame of its own that is searched for, and jumps. */
    if (!TEST_SANITIZED)
        CHECK_ORDER(text, "read+", "read_slowly+", "sleep_in_read+");
    if (!TEST_SANITIZED) /* long returned */
        CHECK(strstr(text, "leave_frames+") == NULL);
    test_carry_out();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parked_task),
        cmocka_unit_test(test_new_task),
        cmocka_unit_test(test_sleeper),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
