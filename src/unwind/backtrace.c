/* SPDX-License-Identifier: MIT */
/* Walking a stack; see backtrace.h. */
#include "unwind/backtrace.h"

#include "core/loop.h"
#include "core/task.h"
#include "unwind/cfi.h"
#include "unwind/object.h"

#include <pthread.h>

enum {
    SEARCH_MAX = 1 << 16, /* words of a stack that are searched for a frame pointer */
    CALL_LEADS_HERE = 3,
    FITNESS_MAX = 4,
};

static __thread struct weir__stack_bounds own_stack __attribute__((tls_model("initial-exec")));

void weir__backtrace_enter(void)
{
    pthread_attr_t attributes;
    void *base;
    size_t bytes;

    weir__object_refresh();
    if (own_stack.high || pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    if (pthread_attr_getstack(&attributes, &base, &bytes) == 0)
        own_stack =
            (struct weir__stack_bounds){ .low = (uintptr_t)base, .high = (uintptr_t)base + bytes };
    pthread_attr_destroy(&attributes);
}

struct weir__stack_bounds weir__backtrace_thread_stack(void)
{
    return own_stack;
}

/* How well a call fits the function that runs in the frame which it made: it leads to it; or to
 * where that is decided as the program runs; or to another function, which may have jumped here
 * with its last instruction, or which returned long ago. */
static int call_fitness(uintptr_t target, uintptr_t function)
{
    if (target == function)
        return CALL_LEADS_HERE;
    return target == 0 || weir__cfi_function(target) != target ? 2 : 1;
}

/*
 * Whether a frame of `function` may begin here, and how well that fits: a saved frame pointer, and
 * above it an address that some call returns to. What was saved leads upwards; only where the call
 * says enough may it be anything, as of a caller that has another use for the register.
 */
static int frame_fitness(uintptr_t place, uintptr_t function,
                         const struct weir__stack_bounds *bounds)
{
    uintptr_t saved = 0, back = 0, target;
    struct weir__object object;
    bool leads_up;
    int fitness;

    if (!weir__frame_read(bounds, place, &saved) ||
        !weir__frame_read(bounds, place + sizeof saved, &back))
        return 0;
    back = weir__registers_strip(back);
    if (!weir__object_find(back - 1, &object) || back - WEIR__CALL_BYTES_MAX < object.code_low ||
        !weir__registers_call_before((const uint8_t *)back - WEIR__CALL_BYTES_MAX, back, &target))
        return 0;
    leads_up = saved > place && saved < bounds->high && saved % sizeof saved == 0;
    fitness = call_fitness(target, function);
    if (fitness == CALL_LEADS_HERE)
        return leads_up ? FITNESS_MAX : fitness;
    return leads_up ? fitness : 0;
}

/*
 * The frame pointer of a frame that has one, though nobody knows it. Leftovers of earlier calls
 * look like frames, too: the first of those that fit best is taken.
 */
static bool search_frame_pointer(struct weir__frame_state *frame,
                                 const struct weir__stack_bounds *bounds)
{
    uintptr_t sp = frame->registers[WEIR__REGISTER_STACK], best = 0;
    uintptr_t function = weir__cfi_function(weir__frame_place(frame));
    int best_fitness = 0;

    for (uintptr_t word = 0; word < SEARCH_MAX && best_fitness < FITNESS_MAX; word++) {
        uintptr_t place = sp + word * sizeof word;
        int fitness;

        if (place >= bounds->high)
            break;
        fitness = frame_fitness(place, function, bounds);
        if (fitness > best_fitness) {
            best = place;
            best_fitness = fitness;
        }
    }
    if (best)
        weir__frame_set(frame, WEIR__REGISTER_FRAME, best);
    return best != 0;
}

/* Where the return address was never saved either, the one beside the frame pointer is the caller's
 * caller: one frame is left out. */
static enum weir__cfi_end step_over(struct weir__frame_state *frame,
                                    const struct weir__stack_bounds *bounds)
{
    struct weir__frame_state caller = { .returned = true };
    uintptr_t place = frame->registers[WEIR__REGISTER_FRAME], saved, back;

    if (!weir__frame_read(bounds, place, &saved) ||
        !weir__frame_read(bounds, place + sizeof saved, &back))
        return WEIR__CFI_LOST;
    caller.ip = weir__registers_strip(back);
    weir__frame_set(&caller, WEIR__REGISTER_FRAME, saved);
    weir__frame_set(&caller, WEIR__REGISTER_STACK, place + 2 * sizeof saved);
    *frame = caller;
    return WEIR__CFI_STEPPED;
}

static enum weir__cfi_end step_by_guess(struct weir__frame_state *frame,
                                        const struct weir__stack_bounds *bounds)
{
    enum weir__cfi_end end = WEIR__CFI_LOST;

    if (search_frame_pointer(frame, bounds))
        end = weir__cfi_step(frame, bounds);
    return end == WEIR__CFI_UNKNOWN ? step_over(frame, bounds) : end;
}

/* `sure_count` NULL: no guesses. */
static size_t walk(struct weir__frame_state frame, const struct weir__stack_bounds *bounds,
                   void **addresses, size_t max, size_t *sure_count)
{
    enum weir__cfi_end end = WEIR__CFI_STEPPED;
    size_t count = 0, sure = max;

    while (count < max) {
        uintptr_t sp = frame.registers[WEIR__REGISTER_STACK];

        addresses[count++] = (void *)weir__frame_place(&frame);
        end = weir__cfi_step(&frame, bounds);
        if (end == WEIR__CFI_UNKNOWN && sure_count) {
            sure = sure < count ? sure : count;
            end = step_by_guess(&frame, bounds);
        }
        /* Callers lie higher; of the first frame, a leaf's, as high. */
        if (end != WEIR__CFI_STEPPED || frame.registers[WEIR__REGISTER_STACK] < sp + (count > 1))
            break;
    }
    if (sure_count)
        *sure_count = sure < count ? sure : count;
    return count;
}

size_t weir__backtrace_walk(const struct weir__frame_state *start,
                            const struct weir__stack_bounds *bounds, void **addresses, size_t max)
{
    return walk(*start, bounds, addresses, max, NULL);
}

static struct weir__stack_bounds bounds_of_task(const struct weir_task *task)
{
    uintptr_t low = (uintptr_t)task->stack->base;

    return (struct weir__stack_bounds){ .low = low, .high = low + task->stack->bytes };
}

/* The stack that `sp` is on: the running task's, or the thread's own; empty when it is neither. */
static struct weir__stack_bounds bounds_of(uintptr_t sp)
{
    const struct weir__loop *loop = weir__loop_current;
    const struct weir_task *task = loop ? loop->current : NULL;

    if (task && task->stack) {
        struct weir__stack_bounds bounds = bounds_of_task(task);

        if (sp >= bounds.low && sp <= bounds.high)
            return bounds;
    }
    if (sp >= own_stack.low && sp <= own_stack.high)
        return own_stack;
    return (struct weir__stack_bounds){ 0 };
}

size_t weir__backtrace_of_context(const void *ucontext, void **addresses, size_t max)
{
    struct weir__frame_state frame = { .known = WEIR__REGISTERS_ALL };
    struct weir__stack_bounds bounds;

    frame.ip = weir__registers_of_context(ucontext, frame.registers);
    bounds = bounds_of(frame.registers[WEIR__REGISTER_STACK]);
    return walk(frame, &bounds, addresses, max, NULL);
}

size_t weir__backtrace_of_task(const struct weir_task *parked, void **addresses, size_t max)
{
    struct weir__frame_state frame = { .returned = true, .known = WEIR__REGISTERS_KEPT };
    struct weir__stack_bounds bounds;

    if (!parked->stack || parked == parked->wait.loop->current)
        return 0;
    bounds = bounds_of_task(parked);
    frame.ip = weir__registers_of_fiber(parked->fiber.sp, frame.registers);
    return walk(frame, &bounds, addresses, max, NULL);
}

size_t weir__backtrace_of_sleeper(uintptr_t ip, uintptr_t sp,
                                  const struct weir__stack_bounds *bounds, void **addresses,
                                  size_t max, size_t *sure_count)
{
    struct weir__frame_state frame = { .ip = ip };

    weir__frame_set(&frame, WEIR__REGISTER_STACK, sp);
    return walk(frame, bounds, addresses, max, sure_count);
}
