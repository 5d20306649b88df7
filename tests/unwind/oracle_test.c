/* SPDX-License-Identifier: MIT */
/*
 * The unwinder against the C library's backtrace(): a program is interrupted at arbitrary
 * instructions, on tasks' stacks and the thread's own, and both say who called whom.
 */
#include <execinfo.h>
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
#include <sys/time.h>

#include <cmocka.h>

#include <weir.h>

#include "core/loop.h"
#include "core/task.h"
#include "support/support.h"
#include "unwind/backtrace.h"
#include "unwind/symbol.h"
#include "watch/sanitizer.h"

enum { FRAMES_MAX = WEIR__BACKTRACE_MAX, HANDLER_FRAMES = 8, SORTED = 60 };

static atomic_long signal_count; /* only the handler writes these */
static atomic_long other_count;
static long same_count, short_count, wrong_count;
static volatile sig_atomic_t in_work; /* the root task is: not between two stacks */
static void *wrong_ours[FRAMES_MAX], *wrong_theirs[FRAMES_MAX + HANDLER_FRAMES];
static size_t wrong_our_count, wrong_their_count;
static long wanted_count;
static void *signal_return; /* where handlers return to */

/* Where the interrupted frame is among theirs: behind the handler's, which may return to the very
 * instruction that was interrupted. */
static size_t find_interrupted(void *const *theirs, size_t count)
{
    size_t i = 0;

    while (i < count && i < HANDLER_FRAMES && theirs[i] != signal_return)
        i++;
    return i + 1;
}

/* The few instructions to which handlers return may be interrupted themselves. */
static bool is_signal_return(const void *place)
{
    enum { RETURN_BYTES = 12 }; /* a move and a system call, on each machine */
    uintptr_t offset = (uintptr_t)place - (uintptr_t)signal_return;

    return offset < RETURN_BYTES;
}

/* Between two tasks the loop's is one already, and the stack still the other's: nothing is read. */
static bool on_known_stack(const void *context)
{
    uintptr_t registers[WEIR__REGISTER_COUNT], sp;
    struct weir__stack_bounds own = weir__backtrace_thread_stack();
    const struct weir_task *task = weir__loop_current ? weir__loop_current->current : NULL;

    weir__registers_of_context(context, registers);
    sp = registers[WEIR__REGISTER_STACK];
    return in_work || (sp >= own.low && sp <= own.high) ||
           (task && task->stack && sp - (uintptr_t)task->stack->base <= task->stack->bytes);
}

static void judge(void *const *ours, size_t our_count, void *const *theirs, size_t their_count,
                  bool known)
{
    size_t first = find_interrupted(theirs, their_count);
    size_t i = 0;

    /* Behind a call ours is the place of the call; behind a handler, what was interrupted. */
    while (i < our_count && first + i < their_count &&
           (char *)ours[i] + !is_signal_return(theirs[first + i - 1]) == (char *)theirs[first + i])
        i++;
    if (i == our_count && (first + i == their_count || i == FRAMES_MAX)) {
        same_count++;
        return;
    }
    if (i == our_count && !known) {
        short_count++;
        return;
    }
    if (wrong_count++ == 0) {
        memcpy(wrong_ours, ours, our_count * sizeof *ours);
        memcpy(wrong_theirs, theirs, their_count * sizeof *theirs);
        wrong_our_count = our_count;
        wrong_their_count = their_count;
    }
}

static int work(unsigned seed);

/* Once, after a while that is never the same: the program gets on between two signals. */
static void arm(void)
{
    static unsigned seed;
    struct itimerval timer = { 0 };

    seed = seed * 1103515245u + 12345u;
    timer.it_value.tv_usec = 15 + (long)(seed >> 16) % 32;
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void on_tick(int number, siginfo_t *info, void *context)
{
    void *ours[FRAMES_MAX], *theirs[FRAMES_MAX + HANDLER_FRAMES];
    size_t our_count = weir__backtrace_of_context(context, ours, FRAMES_MAX);
    int their_count = backtrace(theirs, FRAMES_MAX + HANDLER_FRAMES);

    (void)number;
    (void)info;
    signal_return = __builtin_return_address(0);
    judge(ours, our_count, theirs, (size_t)their_count, on_known_stack(context));
    atomic_fetch_add(&signal_count, 1);
    arm();
}

/* Another signal's handler, long enough to be interrupted itself. */
static void on_other(int number)
{
    (void)number;
    atomic_fetch_add(&other_count, work((unsigned)atomic_load(&signal_count)) > 0);
}

static bool goes_on(void)
{
    return atomic_load(&signal_count) < wanted_count || atomic_load(&other_count) == 0;
}

/* What is interrupted: code of this program, of the library, of the C library. */
static int compare(const void *left, const void *right)
{
    return *(const int *)left - *(const int *)right;
}

static __attribute__((noinline)) int descend(int depth, size_t bytes)
{
    volatile char *room = __builtin_alloca(bytes); /* a frame that has a frame pointer */

    room[bytes - 1] = (char)depth;
    return depth == 0 ? 0 : descend(depth - 1, bytes + 16) + room[bytes - 1];
}

/* Some hundreds of calls, no two rounds alike. */
static int work(unsigned seed)
{
    int numbers[SORTED], sum = 0;
    char text[64];

    for (int i = 0; i < SORTED; i++) {
        seed = seed * 1103515245u + 12345u;
        numbers[i] = (int)(seed >> 16);
    }
    qsort(numbers, SORTED, sizeof numbers[0], compare);
    for (int i = 1; i < SORTED; i++)
        sum += numbers[i - 1] <= numbers[i];
    snprintf(text, sizeof text, "%d %f", numbers[0], (double)numbers[1] / 3.0);
    sum += strtod(text, NULL) >= 0.0;
    return sum + descend((int)(seed >> 24) % 24, 16 + (seed >> 16) % 64) % 2;
}

static int echo(void *arg)
{
    struct weir_chan **ends = arg;
    int number;

    while (weir_chan_recv(ends[0], &number, WEIR_FOREVER) == 0)
        if (weir_chan_send(ends[1], &number, WEIR_FOREVER) < 0)
            break;
    return 0;
}

/* When all objects have been loaded: code that was not there when it looked ends its walks. */
static void start_ticks(void)
{
    struct sigaction action = { .sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART };
    struct sigaction other = { .sa_handler = on_other, .sa_flags = SA_RESTART };
    struct itimerval often = { .it_interval.tv_usec = 1000, .it_value.tv_usec = 1000 };
    void *first[1];

    backtrace(first, 1); /* it loads a library when it is first called */
    weir__backtrace_enter();
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGPROF, &other, NULL);
    setitimer(ITIMER_PROF, &often, NULL);
    arm();
}

static int root(void *arg)
{
    struct weir_chan *ends[2];
    struct weir_scope *scope = NULL;
    unsigned round = 0;
    int number = 0;

    (void)arg;
    start_ticks();
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_EQUAL(weir_chan_create(&ends[0], sizeof number, 0, NULL), 0);
    CHECK_EQUAL(weir_chan_create(&ends[1], sizeof number, 0, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, echo, ends, NULL), 0);
    while (goes_on()) {
        CHECK_EQUAL(weir_chan_send(ends[0], &number, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_chan_recv(ends[1], &number, WEIR_FOREVER), 0);
        in_work = true;
        number += work(round++) > SORTED + 1;
        in_work = false;
        weir_yield();
    }
    weir_chan_close(ends[0], 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    weir_chan_release(ends[0]);
    weir_chan_release(ends[1]);
    return 0;
}

static void stop_ticks(void)
{
    struct itimerval never = { 0 };

    signal(SIGALRM, SIG_IGN);
    setitimer(ITIMER_PROF, &never, NULL);
}

static void show_wrong(void)
{
    if (wrong_count == 0)
        return;
    fprintf(stderr, "ours:\n");
    weir__symbol_print(stderr, wrong_ours, wrong_our_count);
    fprintf(stderr, "theirs:\n");
    weir__symbol_print(stderr, wrong_theirs, wrong_their_count);
}

static void test_against_backtrace(void **state)
{
    (void)state;
    if (!PROBES_ANSWERED)
        skip();
    wanted_count = test_rounds(20000, 1000000, 2000000);
    assert_int_equal(weir_run_on_this_thread(root, NULL, NULL), 0);
    stop_ticks();
    printf("%ld signals: %ld the same, %ld shorter, %ld different\n", atomic_load(&signal_count),
           same_count, short_count, wrong_count);
    show_wrong();
    test_carry_out();
    assert_int_equal(wrong_count, 0);
    assert_true(same_count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_backtrace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
