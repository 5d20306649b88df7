/* SPDX-License-Identifier: MIT */
/*
 * Examining a loop that is still: who holds it, and in what. Its thread is asked (probe.h) if it
 * runs, and read about (sleeper.h) if it sleeps: that one is neither stopped nor woken.
 */
#include "base/clock.h"
#include "base/kernel.h"
#include "core/task.h"
#include "io/op.h"
#include "watch/check_call.h"
#include "watch/stall.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

enum { PENDING_MAX = 3 };

static const int64_t patience_ns = 50000000;

/* In less the kernel, which counts by ticks, may not have counted that a thread runs. */
static const int64_t starved_least_ns = 15000000;

/* The running task and the bounds of the stack that `sp` is on, by copies. */
static void read_task(const struct weir__held *held, uintptr_t sp, struct weir__finding *finding,
                      struct weir__stack_bounds *bounds)
{
    struct weir_task task;
    struct weir__stack stack;

    if (sp >= held->probe.stack.low && sp < held->probe.stack.high)
        *bounds = held->probe.stack;
    if (!weir__sleeper_copy(&task, held->sign.current, sizeof task))
        return;
    memcpy(finding->task_name, task.name, sizeof finding->task_name);
    finding->task_name[sizeof finding->task_name - 1] = '\0';
    if (!task.stack || !weir__sleeper_copy(&stack, task.stack, sizeof stack))
        return;
    if (sp >= (uintptr_t)stack.base && sp < (uintptr_t)stack.base + stack.bytes)
        *bounds = (struct weir__stack_bounds){
            .low = (uintptr_t)stack.base,
            .high = (uintptr_t)stack.base + stack.bytes,
        };
}

static bool is_row(const struct weir__op_row *row)
{
    for (unsigned i = 0; i < WEIR__OP_ID_COUNT; i++)
        if (row == &weir__op_rows[i])
            return true;
    return false;
}

/* An entry's name is its row's, if its completion is an op's. */
static void name_pending(const struct weir__ring_pending *pending, char *text, size_t bytes)
{
    struct weir__op op;
    int length;

    if (pending->completion && weir__sleeper_copy(&op, pending->completion, sizeof op) &&
        is_row(op.row))
        length = snprintf(text, bytes, "%s", op.row->name);
    else
        length = snprintf(text, bytes, "operation %u of io_uring", pending->opcode);
    if (pending->fd >= 0 && length > 0 && (size_t)length < bytes)
        snprintf(text + length, bytes - (size_t)length, " on fd %d", pending->fd);
}

static void name_all_pending(const struct weir__ring *ring, struct weir__finding *finding)
{
    struct weir__ring_pending pending[PENDING_MAX];
    unsigned count = weir__ring_read_pending(ring, pending, PENDING_MAX);
    size_t length = 0;

    for (unsigned i = 0; i < count && i < PENDING_MAX; i++) {
        char name[64];
        int written;

        name_pending(&pending[i], name, sizeof name);
        written = snprintf(finding->op + length, sizeof finding->op - length, "%s%s", i ? ", " : "",
                           name);
        length += written > 0 ? (size_t)written : 0;
        if (length >= sizeof finding->op)
            return;
    }
    if (count > PENDING_MAX)
        snprintf(finding->op + length, sizeof finding->op - length, " and %u more",
                 count - PENDING_MAX);
}

static bool has_pending(const struct weir__ring *ring)
{
    struct weir__ring_pending pending;

    return weir__ring_read_pending(ring, &pending, 1) > 0;
}

/* Whether a call of io_uring_enter is about the loop's own ring. */
static bool is_own_enter(const struct weir__held *held, const struct weir__sleeper *sleeper)
{
    const struct weir__ring *ring = &held->loop->ring;

    return sleeper->in_call && sleeper->number == SYS_io_uring_enter &&
           (int)sleeper->args[0] == ring->uring.enter_ring_fd &&
           (sleeper->args[3] & ring->enter_flags) == ring->enter_flags;
}

static void judge_call(const struct weir__held *held, const struct weir__sleeper *sleeper,
                       struct weir__finding *finding)
{
    struct weir__check_description call;

    finding->number = sleeper->number;
    if (weir__check_describe(sleeper->number, &call)) {
        finding->stall.call = call.name;
        if (call.has_fd)
            finding->stall.call_fd = (int)sleeper->args[0];
    }
    if (is_own_enter(held, sleeper)) {
        finding->stall.kind = WEIR_STALL_SUBMISSION;
        finding->stall.call_fd = -1;
        name_all_pending(&held->loop->ring, finding);
    } else if (sleeper->number == SYS_futex || sleeper->number == SYS_futex_waitv) {
        finding->stall.kind = WEIR_STALL_LOCK;
    }
}

static void examine_sleeper(const struct weir__held *held, const struct weir__sleeper *sleeper,
                            struct weir__finding *finding)
{
    struct weir__stack_bounds bounds = { 0 };
    size_t sure_count = 0;

    finding->stall.kind = sleeper->in_fault ? WEIR_STALL_FAULT : WEIR_STALL_BLOCKED;
    if (sleeper->in_call)
        judge_call(held, sleeper, finding);
    read_task(held, sleeper->sp, finding, &bounds);
    if (sleeper->ip)
        finding->stall.frame_count = (unsigned)weir__backtrace_of_sleeper(
            sleeper->ip, sleeper->sp, &bounds, finding->frames, WEIR__BACKTRACE_MAX, &sure_count);
    finding->stall.sure_count = (unsigned)sure_count;
}

/*
 * Who has used a limit's worth of CPU is a hog, however little of the time that is. The others
 * waited for a CPU, or slept: what they waited is told once they have one, so only of those who
 * have `answered` it is known.
 */
static void judge_runner(const struct weir__held *held, bool answered,
                         struct weir__finding *finding)
{
    int64_t passed_ns = held->suspected_ns ? weir__clock_now() - held->suspected_ns : 0;
    int64_t ran_ns, slept_ns;
    struct weir__sleeper now;

    weir__sleeper_look(held->probe.tid, &now);
    ran_ns = (int64_t)(now.run_ns - held->before.run_ns);
    slept_ns = answered ? passed_ns - ran_ns - (int64_t)(now.wait_ns - held->before.wait_ns) : 0;
    finding->stall.kind = WEIR_STALL_HOG;
    if (passed_ns < starved_least_ns || ran_ns >= passed_ns / 2 ||
        ran_ns >= held->loop->runtime->options.stall_limit_ns)
        return;
    finding->watched_ns = passed_ns;
    if (slept_ns > passed_ns / 2) {
        finding->stall.kind = WEIR_STALL_BLOCKED;
        finding->slept_ns = slept_ns;
    } else {
        finding->stall.kind = WEIR_STALL_STARVED;
        finding->run_ns = ran_ns;
    }
}

/* It runs, or is ready to. */
static void examine_runner(struct weir__held *held, struct weir__finding *finding)
{
    struct weir__probe *probe = &held->probe;
    struct weir__stack_bounds unused;
    bool answered = weir__probe_ask(probe, patience_ns);

    judge_runner(held, answered, finding);
    if (answered) {
        memcpy(finding->task_name, probe->task_name, sizeof finding->task_name);
        memcpy(finding->frames, probe->frames, probe->frame_count * sizeof probe->frames[0]);
        finding->stall.frame_count = (unsigned)probe->frame_count;
        finding->stall.sure_count = finding->stall.frame_count;
        return;
    }
    read_task(held, 0, finding, &unused);
    if (has_pending(&held->loop->ring)) {
        finding->stall.kind = WEIR_STALL_SUBMISSION;
        finding->stall.call = "io_uring_enter";
        name_all_pending(&held->loop->ring, finding);
    }
}

/* Names of descriptors, while they still stand for the same. */
static void name_descriptor(struct weir__finding *finding)
{
    char path[64];
    int64_t length;

    if (finding->stall.call_fd < 0)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", finding->stall.call_fd);
    length = weir__kernel_readlinkat(AT_FDCWD, path, finding->fd_name, sizeof finding->fd_name - 1);
    finding->fd_name[length > 0 ? length : 0] = '\0';
}

bool weir__stall_examine(struct weir__held *held, struct weir__finding *finding)
{
    struct weir__sleeper before, after;
    int64_t now_ns = weir__clock_now();
    bool runs;

    *finding = (struct weir__finding){ .number = -1 };
    finding->stall.call_fd = -1;
    finding->stall.loop_index = held->loop->index;
    finding->stall.held_ns = now_ns - held->still_since_ns;
    weir__sleeper_look_closely(held->probe.tid, &before);
    runs = before.state == 'R';
    finding->error = before.error;
    if (before.state == 'T' || before.state == 't') /* so is everybody, and that is no stall */
        return false;
    if (runs)
        examine_runner(held, finding);
    else
        examine_sleeper(held, &before, finding);
    name_descriptor(finding);
    finding->stall.task_name = finding->task_name[0] ? finding->task_name : NULL;
    finding->stall.op = finding->op[0] ? finding->op : NULL;
    finding->stall.frames = finding->frames;
    if (runs)
        return true;
    /* Who had no CPU in between was where we think, and what was read is one picture. */
    weir__sleeper_look(held->probe.tid, &after);
    return after.slices == before.slices;
}
