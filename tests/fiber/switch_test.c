/* SPDX-License-Identifier: MIT */
/* The switch: what it preserves, how a context begins and ends, what travels with it. */
#include <execinfo.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fiber/fiber.h"
#include "fiber/registers.h"

enum { ROUNDS = 100, LIVES = 3000, FRAMES_MAX = 64 };

extern const char weir__switch_start[];

static struct weir__stack_limits limits;
static struct weir__stack_pool pool;
static struct weir__fiber thread_fiber;
static struct weir__fiber task_fiber;
static struct weir__stack *task_stack;

/* The C++ runtime's, as far as the library can tell. */
static struct weir__cxx_globals cxx_globals;
struct weir__cxx_globals *__cxa_get_globals(void);

struct weir__cxx_globals *__cxa_get_globals(void)
{
    return &cxx_globals;
}

static int set_up(void **state)
{
    (void)state;
    weir__stack_limits_init(&limits, NULL);
    weir__stack_pool_init(&pool, &limits);
    weir__fiber_init_thread(&thread_fiber);
    return weir__stack_acquire(&pool, 0, &task_stack);
}

static int tear_down(void **state)
{
    (void)state;
    weir__stack_release(&pool, task_stack);
    weir__stack_pool_verify(&pool);
    weir__stack_pool_term(&pool);
    return 0;
}

static char *stack_top(const struct weir__stack *stack)
{
    return (char *)stack->base + stack->bytes;
}

/* Begins a task on task_stack and runs it until it first switches back. */
static void start(void (*entry)(void *), void *arg)
{
    weir__fiber_init(&task_fiber, task_stack, stack_top(task_stack), entry, arg);
    weir__fiber_switch(&thread_fiber, &task_fiber);
}

static void resume_task(void)
{
    weir__fiber_switch(&thread_fiber, &task_fiber);
}

static void resume_thread(void)
{
    weir__fiber_switch(&task_fiber, &thread_fiber);
}

static unsigned long switch_checked(struct weir__fiber *from, struct weir__fiber *to,
                                    unsigned long seed)
{
    void *load_sp = to->sp;
    unsigned long changed;

    weir__annotate_leave(&from->annotate, &to->annotate);
    changed = registers_across_switch(&from->sp, load_sp, seed);
    weir__annotate_arrive(&from->annotate);
    return changed;
}

static void check_registers(void *arg)
{
    unsigned long *changed = arg;

    weir__fiber_begin();
    for (unsigned long i = 0; i < ROUNDS; i++)
        *changed += switch_checked(&task_fiber, &thread_fiber, 77777 + 1000 * i);
    weir__fiber_exit(&task_fiber, &thread_fiber);
}

static void test_registers_survive(void **state)
{
    unsigned long changed_by_task = 0;
    unsigned long changed_by_thread = 0;

    (void)state;
    start(check_registers, &changed_by_task);
    for (unsigned long i = 0; i < ROUNDS; i++)
        changed_by_thread += switch_checked(&thread_fiber, &task_fiber, 33333 + 1000 * i);
    assert_int_equal(changed_by_thread, 0);
    assert_int_equal(changed_by_task, 0);
}

static void round_differently(void *arg)
{
    unsigned *seen = arg;

    weir__fiber_begin();
    seen[0] = rounding_get();
    rounding_set(2);
    resume_thread();
    seen[1] = rounding_get();
    weir__fiber_exit(&task_fiber, &thread_fiber);
}

static void test_control_words_survive(void **state)
{
    unsigned seen[2];
    unsigned after_start, after_resume;

    (void)state;
    rounding_set(1);
    weir__fiber_init_thread(&thread_fiber);
    start(round_differently, seen);
    after_start = rounding_get();
    rounding_set(3);
    resume_task();
    after_resume = rounding_get();
    rounding_set(0);
    assert_int_equal(seen[0], 11);
    assert_int_equal(seen[1], 22);
    assert_int_equal(after_start, 11);
    assert_int_equal(after_resume, 33);
}

struct beginning {
    uintptr_t frame;
    void *arg;
};

static void look_around(void *arg)
{
    struct beginning *beginning = arg;
    _Alignas(16) volatile char aligned[16] = { 0 };

    weir__fiber_begin();
    beginning->frame = (uintptr_t)__builtin_frame_address(0);
    beginning->arg = (char *)arg + ((uintptr_t)aligned % 16);
    weir__fiber_exit(&task_fiber, &thread_fiber);
}

static void test_any_aligned_top_will_do(void **state)
{
    (void)state;
    for (size_t colour = 0; colour <= 4096; colour += 16) {
        struct beginning beginning = { 0 };
        char *top = stack_top(task_stack) - colour;

        weir__fiber_init(&task_fiber, task_stack, top, look_around, &beginning);
        weir__fiber_switch(&thread_fiber, &task_fiber);
        assert_ptr_equal(beginning.arg, &beginning);
        assert_in_range(beginning.frame, (uintptr_t)top - 1024, (uintptr_t)top);
        assert_int_equal(beginning.frame % 16, 0);
    }
}

static void *frames[FRAMES_MAX];
static int frame_count;

static __attribute__((noinline)) void trace_back(void)
{
    frame_count = backtrace(frames, FRAMES_MAX);
    __asm__ volatile("");
}

static void trace_from_task(void *arg)
{
    (void)arg;
    weir__fiber_begin();
    trace_back();
    weir__fiber_exit(&task_fiber, &thread_fiber);
}

static void test_backtrace_ends_at_entry(void **state)
{
    const char *last;

    (void)state;
    start(trace_from_task, NULL);
    assert_in_range(frame_count, 2, 8);
    last = frames[frame_count - 1];
    assert_in_range((uintptr_t)last, (uintptr_t)weir__switch_start,
                    (uintptr_t)weir__switch_start + 32);
}

static void throw_and_park(void *arg)
{
    struct weir__cxx_globals *seen = arg;

    weir__fiber_begin();
    seen[0] = cxx_globals;
    cxx_globals = (struct weir__cxx_globals){ .caught_exceptions = arg, .uncaught_count = 3 };
    resume_thread();
    seen[1] = cxx_globals;
    weir__fiber_exit(&task_fiber, &thread_fiber);
}

static void test_exceptions_travel_with_their_task(void **state)
{
    struct weir__cxx_globals seen[2];

    (void)state;
    cxx_globals = (struct weir__cxx_globals){ .caught_exceptions = state, .uncaught_count = 1 };
    start(throw_and_park, seen);
    assert_ptr_equal(cxx_globals.caught_exceptions, state);
    assert_int_equal(cxx_globals.uncaught_count, 1);
    cxx_globals = (struct weir__cxx_globals){ .caught_exceptions = NULL, .uncaught_count = 7 };
    resume_task();
    assert_null(cxx_globals.caught_exceptions);
    assert_int_equal(cxx_globals.uncaught_count, 7);
    assert_null(seen[0].caught_exceptions);
    assert_int_equal(seen[0].uncaught_count, 0);
    assert_ptr_equal(seen[1].caught_exceptions, seen);
    assert_int_equal(seen[1].uncaught_count, 3);
    cxx_globals = (struct weir__cxx_globals){ 0 };
}

static void plain_round_trip(void *arg)
{
    int *steps = arg;

    weir__fiber_begin();
    ++*steps;
    resume_thread();
    ++*steps;
    weir__fiber_exit(&task_fiber, &thread_fiber);
}

static void test_switch_without_cxx_runtime(void **state)
{
    struct weir__cxx_globals *runtime = weir__fiber_cxx;
    int steps = 0;

    (void)state;
    weir__fiber_cxx = NULL;
    start(plain_round_trip, &steps);
    assert_int_equal(steps, 1);
    resume_task();
    assert_int_equal(steps, 2);
    weir__fiber_cxx = runtime;
}

/* Frames of one life are red zones in the next one's way, if nobody clears them. */
static __attribute__((noinline)) void leave_a_mess(volatile char *outside)
{
    volatile char buffer[3000];

    for (size_t i = 0; i < sizeof buffer; i += 100)
        buffer[i] = *outside;
    weir__fiber_exit(&task_fiber, &thread_fiber);
    (void)buffer;
}

static void end_deep(void *arg)
{
    weir__fiber_begin();
    leave_a_mess(arg);
}

static void sweep(void *arg)
{
    volatile char buffer[20000];

    (void)arg;
    weir__fiber_begin();
    for (size_t i = 0; i < sizeof buffer; i++)
        buffer[i] = 1;
    (void)buffer[5];
    weir__fiber_exit(&task_fiber, &thread_fiber);
}

static void test_a_stack_serves_many_lives(void **state)
{
    char outside = 1;

    (void)state;
    for (int i = 0; i < LIVES; i++)
        start(i % 2 == 0 ? end_deep : sweep, &outside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_registers_survive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_words_survive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_any_aligned_top_will_do, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_backtrace_ends_at_entry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_exceptions_travel_with_their_task, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_switch_without_cxx_runtime, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_stack_serves_many_lives, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("fiber/switch", tests, NULL, NULL);
}
