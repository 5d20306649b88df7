/* SPDX-License-Identifier: MIT */
/*
 * The aarch64 switch, run by aarch64_test.sh under an emulator: what a switch preserves, how a
 * context begins, and that unwinding ends at its entry. No cmocka and no library, since a
 * cross-compiler comes without them. Exits 0, or 1 after a line for each check that failed.
 */
#include <stdint.h>
#include <stdio.h>
#include <unwind.h>

#include "fiber/registers.h"
#include "fiber/switch.h"

enum { ROUNDS = 100, STACK_BYTES = 64 * 1024 };

extern const char weir__switch_start[];

static _Alignas(16) char stack[STACK_BYTES];
static void *thread_sp, *task_sp;
static int failed_count;

static void check(int holds, const char *what)
{
    printf("%s %s\n", holds ? "ok    " : "FAILED", what);
    failed_count += !holds;
}

static void start(void *top, void (*entry)(void *), void *arg)
{
    task_sp = weir__switch_prepare(top, entry, arg, weir__switch_control());
    weir__switch(&thread_sp, task_sp);
}

static void resume_task(void)
{
    weir__switch(&thread_sp, task_sp);
}

static void resume_thread(void)
{
    weir__switch(&task_sp, thread_sp);
}

static void keep_registers(void *arg)
{
    unsigned long *changed = arg;

    for (unsigned long i = 0; i < ROUNDS; i++)
        *changed += registers_across_switch(&task_sp, thread_sp, 77777 + 1000 * i);
    resume_thread();
}

static void check_registers(void)
{
    unsigned long by_task = 0;
    unsigned long by_thread = 0;

    start(stack + sizeof stack, keep_registers, &by_task);
    for (unsigned long i = 0; i < ROUNDS; i++)
        by_thread += registers_across_switch(&thread_sp, task_sp, 33333 + 1000 * i);
    check(by_thread == 0, "the thread's x19-x29 and d8-d15 survive");
    check(by_task == 0, "the task's x19-x29 and d8-d15 survive");
}

static void round_differently(void *arg)
{
    unsigned *seen = arg;

    seen[0] = rounding_get();
    rounding_set(2);
    resume_thread();
    seen[1] = rounding_get();
    weir__switch_finally(thread_sp);
}

static void check_control_word(void)
{
    unsigned seen[2];
    unsigned after_start, after_resume;

    rounding_set(1);
    start(stack + sizeof stack, round_differently, seen);
    after_start = rounding_get();
    rounding_set(3);
    resume_task();
    after_resume = rounding_get();
    rounding_set(0);
    check(seen[0] == 11, "a task begins with the fpcr it was given");
    check(seen[1] == 22, "the task's fpcr survives");
    check(after_start == 11 && after_resume == 33, "the thread's fpcr survives");
}

struct beginning {
    uintptr_t frame;
    void *arg;
};

static void look_around(void *arg)
{
    struct beginning *beginning = arg;

    beginning->frame = (uintptr_t)__builtin_frame_address(0);
    beginning->arg = arg;
    resume_thread();
}

static void check_beginning(void)
{
    int wrong_count = 0;

    for (size_t colour = 0; colour <= 4096; colour += 16) {
        struct beginning beginning = { 0 };
        char *top = stack + sizeof stack - colour;

        start(top, look_around, &beginning);
        wrong_count += beginning.arg != &beginning || beginning.frame % 16 != 0 ||
                       beginning.frame > (uintptr_t)top || beginning.frame + 512 < (uintptr_t)top;
    }
    check(wrong_count == 0, "entry gets its argument on any aligned top");
}

struct trace {
    int count;
    uintptr_t last;
};

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *arg)
{
    struct trace *trace = arg;
    uintptr_t address = _Unwind_GetIP(context);

    /* Zero stands for the end. */
    trace->last = address != 0 ? address : trace->last;
    return ++trace->count < 64 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

static void trace_back(void *arg)
{
    _Unwind_Backtrace(count_frame, arg);
    resume_thread();
}

static void check_backtrace(void)
{
    struct trace trace = { 0 };
    uintptr_t start_address = (uintptr_t)weir__switch_start;

    start(stack + sizeof stack, trace_back, &trace);
    check(trace.count >= 2 && trace.count <= 5, "unwinding a task ends");
    check(trace.last > start_address && trace.last < start_address + 32,
          "the last frame is the caller of entry");
}

int main(void)
{
    check_registers();
    check_control_word();
    check_beginning();
    check_backtrace();
    return failed_count == 0 ? 0 : 1;
}
