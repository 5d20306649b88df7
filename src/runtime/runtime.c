/* SPDX-License-Identifier: MIT */
/*
 * Starting and joining the loops.
 *
 *   weir_run            main thread waits; threads run loops 0 .. n-1
 *   ..._on_this_thread  the caller is loop 0
 *
 * Each loop's thread: init its loop -> meet the others -> (loop 0: run the root task, then its
 * scope to the end, then stop everybody) -> park until stopped -> meet the others -> term.
 *
 * The first meeting lets all start or none; at the second no loop can post to another any more, so
 * rings may go.
 */
#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/thread.h"
#include "core/park.h"
#include "core/scope.h"
#include "core/task.h"
#include "fiber/overflow.h"
#include "io/io.h"
#include "net/net.h"
#include "net/resolve.h"
#include "pool/pool.h"
#include "runtime/options.h"
#include "runtime/report.h"
#include "sync/async.h"

#include <weir/runtime.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum {
    WHY_BYTES = 512,
    OUTSIDER_PAUSE_NS = 10000,
    EXTRA_STACKS = 2, /* per loop: the callback task's, and a task's that ends as the next begins */
};

/* Where all loops wait for each other; whoever could not start is excused. */
struct meeting {
    pthread_mutex_t mutex;
    pthread_cond_t complete;
    unsigned expected;
    unsigned arrived;
    unsigned round;
};

/* One weir_run. */
struct run {
    struct weir__runtime runtime;
    struct weir__stack_limits limits;
    struct weir__loop *loops[WEIR__LOOPS_MAX];
    pthread_t threads[WEIR__LOOPS_MAX];
    struct meeting meeting;
    bool own_thread_zero; /* loop 0 runs on a thread of its own */
    struct weir__machine machine;
    weir_task_fn *fn;
    void *arg;
    int result;       /* the root task's, or why there is none; written by loop 0 */
    atomic_int error; /* the first loop that could not start */
    pthread_mutex_t why_mutex;
    char why[WHY_BYTES];
};

static int explain(int error, const char *why)
{
    fprintf(stderr, "weir: cannot start: %s\n", why);
    return weir__error_explain(error, "%s", why);
}

/* Under the mutex. */
static void close_round(struct meeting *meeting)
{
    meeting->arrived = 0;
    meeting->round++;
    pthread_cond_broadcast(&meeting->complete);
}

static void meet(struct meeting *meeting)
{
    unsigned round;

    pthread_mutex_lock(&meeting->mutex);
    round = meeting->round;
    if (++meeting->arrived == meeting->expected)
        close_round(meeting);
    while (round == meeting->round)
        pthread_cond_wait(&meeting->complete, &meeting->mutex);
    pthread_mutex_unlock(&meeting->mutex);
}

static void excuse(struct meeting *meeting, unsigned count)
{
    pthread_mutex_lock(&meeting->mutex);
    meeting->expected -= count;
    if (meeting->expected && meeting->arrived == meeting->expected)
        close_round(meeting);
    pthread_mutex_unlock(&meeting->mutex);
}

static void note_failure(struct run *run, int error, const char *why)
{
    pthread_mutex_lock(&run->why_mutex);
    if (!atomic_load(&run->error)) {
        atomic_store(&run->error, error);
        snprintf(run->why, sizeof run->why, "%s", why);
    }
    pthread_mutex_unlock(&run->why_mutex);
}

static const char *current_task_name(void)
{
    struct weir__loop *loop = weir__loop_current;

    return loop && loop->current ? loop->current->name : NULL;
}

/* For the overflow handler: async-signal-safe. */
static bool current_stack(struct weir__overflow_report *report)
{
    struct weir__loop *loop = weir__loop_current;
    struct weir_task *task = loop ? loop->current : NULL;

    if (!task || !task->stack)
        return false;
    report->base = task->stack->base;
    report->bytes = task->stack->bytes;
    report->guard_bytes = weir__stack_guard_bytes(task->stack);
    report->task_name = task->name;
    return true;
}

static void forked_child(void)
{
    weir__loop_current = NULL;
    weir__loop_forked = true;
}

static void prepare_process(void)
{
    weir__die_task_name = current_task_name;
    pthread_atfork(NULL, NULL, forked_child);
}

/* The root task and all it has spawned; on loop 0's main task. */
static void run_root(struct run *run)
{
    struct weir_task *root = NULL;
    struct weir_spawn_options options = { .name = "root", .task = &root };
    struct weir_scope *scope = NULL;
    int error = weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE,
                                  &(struct weir_scope_options){ .name = "root" });

    if (error >= 0)
        error = weir_spawn(scope, run->fn, run->arg, &options);
    if (error >= 0)
        error = weir_join(root, &run->result, WEIR_FOREVER);
    if (error < 0) {
        run->result = error;
        snprintf(run->why, sizeof run->why, "no memory or no stack for the root task: %s",
                 weir_error_name(error));
    }
    if (scope) {
        weir_scope_cancel(scope);
        weir_scope_join(scope, WEIR_FOREVER);
    }
}

static void stop_loops(struct run *run)
{
    for (unsigned i = 1; i < run->runtime.loop_count; i++)
        weir__wait_fire(&run->loops[i]->main_task->wait, 0);
}

static void wait_for_outsiders(struct weir__runtime *runtime)
{
    /* acquire; pairs with the release of those who posted */
    while (atomic_load_explicit(&runtime->outsiders, memory_order_acquire))
        weir__clock_sleep(OUTSIDER_PAUSE_NS);
}

static void serve(struct run *run, unsigned index)
{
    struct weir__loop *loop = run->loops[index];

    if (index == 0) {
        run_root(run);
        stop_loops(run);
    } else {
        weir__wait_park(&loop->main_task->wait, INT64_MAX, WEIR__PARK_RELEASE);
    }
    weir__async_stop(loop);
    weir__io_stop(loop);
    meet(&run->meeting);
    wait_for_outsiders(&run->runtime);
    weir__net_term(loop);
    weir__io_term(loop);
    weir__loop_term(loop);
}

static int start_loop(struct run *run, unsigned index, char *why)
{
    struct weir__loop *loop = run->loops[index];
    int error;

    if (run->runtime.report.pinned || run->machine.restricted)
        weir__machine_bind(&run->machine, run->runtime.report.pinned ? (int)index : -1);
    error = weir__loop_init(loop, &run->runtime, index, &run->limits, why, WHY_BYTES);
    if (error < 0)
        return error;
    error = weir__io_init(loop);
    if (error >= 0) {
        error = weir__net_init(loop);
        if (error < 0)
            weir__io_term(loop);
    }
    if (error < 0) {
        snprintf(why, WHY_BYTES, "out of memory for a loop's own structures");
        weir__loop_term(loop);
        return error;
    }
    weir__wait_begin(&loop->main_task->wait);
    return 0;
}

static void run_loop(struct run *run, unsigned index)
{
    struct weir__overflow_thread overflow = { 0 };
    bool handles_overflow = !run->runtime.options.no_overflow_handler;
    char why[WHY_BYTES];
    int error;

    if (handles_overflow)
        weir__overflow_thread_enter(&overflow);
    error = start_loop(run, index, why);
    if (error < 0)
        note_failure(run, error, why);
    meet(&run->meeting);
    if (!atomic_load(&run->error)) {
        serve(run, index);
    } else if (error >= 0) {
        weir__net_term(run->loops[index]);
        weir__io_term(run->loops[index]);
        weir__loop_term(run->loops[index]);
    }
    if (handles_overflow)
        weir__overflow_thread_leave(&overflow);
}

/* Loop 0 on the caller's thread, which gets its CPUs and signals back. */
static void run_loop_here(struct run *run)
{
    struct weir__pipe_shield shield;
    cpu_set_t cpus;
    bool bound = run->runtime.report.pinned || run->machine.restricted;

    if (bound)
        bound = pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus) == 0;
    weir__thread_shield_pipe(&shield);
    run_loop(run, 0);
    weir__thread_unshield_pipe(&shield);
    if (bound)
        pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
}

struct thread_arg {
    struct run *run;
    unsigned index;
};

static void *loop_thread(void *arg)
{
    struct thread_arg thread = *(struct thread_arg *)arg;
    char name[16];

    weir__memory_free(arg);
    snprintf(name, sizeof name, "weir-loop-%u", thread.index);
    pthread_setname_np(pthread_self(), name);
    run_loop(thread.run, thread.index);
    return NULL;
}

static int start_thread(struct run *run, unsigned index)
{
    struct thread_arg *arg = weir__memory_alloc(NULL, sizeof *arg);
    int error;

    if (!arg)
        return -ENOMEM;
    *arg = (struct thread_arg){ .run = run, .index = index };
    error = weir__thread_create(&run->threads[index], loop_thread, arg);
    if (error < 0)
        weir__memory_free(arg);
    return error;
}

static void run_loops(struct run *run)
{
    unsigned first = run->own_thread_zero ? 0 : 1;
    unsigned count = run->runtime.loop_count;
    unsigned started = first;
    int error = 0;

    while (started < count && error >= 0) {
        error = start_thread(run, started);
        started += error >= 0;
    }
    if (error < 0) {
        note_failure(run, error, "pthread_create: no thread for a loop; raise ulimit -u");
        excuse(&run->meeting, count - started);
    }
    if (!run->own_thread_zero)
        run_loop_here(run);
    for (unsigned i = first; i < started; i++)
        pthread_join(run->threads[i], NULL);
}

static atomic_bool pinned_once; /* some runtime of this process has its loops pinned */

static void fill_report(struct run *run)
{
    const struct weir_options *options = &run->runtime.options;
    bool *pinned = &run->runtime.report.pinned;

    if (options->pin_loops && run->machine.cpu_count > 1)
        *pinned = !atomic_exchange(&pinned_once, true);
    run->runtime.report.loop_count = options->loop_count;
    run->runtime.report.spinning = options->spin_max_ns > 0;
}

int weir_runtime_report(struct weir_report *report)
{
    struct weir__loop *loop = weir__loop_current;

    if (!report)
        return -EINVAL;
    if (!loop)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    *report = loop->runtime->report;
    weir__report_fill(report, loop);
    return 0;
}

static int create_loops(struct run *run)
{
    struct weir__stack_options stacks = {
        .stack_bytes = run->runtime.options.stack_bytes,
        .count_max =
            ((size_t)run->runtime.options.tasks_per_loop + EXTRA_STACKS) * run->runtime.loop_count,
        .bytes_max = run->runtime.options.stack_total_bytes * run->runtime.loop_count,
        .warm_count = run->runtime.options.stacks_kept,
        .guard_by_mprotect = run->runtime.options.without_features & WEIR_FEATURE_MADV_GUARD,
        .prefault = run->runtime.options.prefault_stacks > 0,
    };
    int error = weir__stack_limits_init(&run->limits, &stacks);

    for (unsigned i = 0; i < run->runtime.loop_count && error >= 0; i++) {
        run->loops[i] = weir__memory_zalloc(NULL, sizeof *run->loops[i]);
        if (!run->loops[i])
            error = -ENOMEM;
    }
    return error;
}

static void destroy_loops(struct run *run)
{
    for (unsigned i = 0; i < run->runtime.loop_count; i++)
        weir__memory_free(run->loops[i]);
}

/* From valid options to the end of all loops. */
static int run_all(struct run *run)
{
    bool handles_overflow = !run->runtime.options.no_overflow_handler;
    int error = create_loops(run);

    if (error < 0)
        goto destroy_loops;
    error = weir__pool_create(&run->runtime.pool, &run->runtime.options);
    if (error < 0)
        goto destroy_loops;
    error = weir__pool_create_cpu(&run->runtime.cpu_pool, &run->runtime.options);
    if (error < 0)
        goto destroy_pool;
    error = weir__resolver_create(&run->runtime.resolver, &run->runtime.options);
    if (error < 0)
        goto destroy_cpu_pool;
    if (handles_overflow)
        error = weir__overflow_install(current_stack);
    if (error < 0)
        goto destroy_resolver;
    run_loops(run);
    if (handles_overflow)
        weir__overflow_uninstall();
    weir__resolver_destroy(run->runtime.resolver);
    weir__pool_destroy(run->runtime.cpu_pool);
    weir__pool_destroy(run->runtime.pool);
    destroy_loops(run);
    error = atomic_load(&run->error);
    if (error >= 0)
        error = run->result;
    return run->why[0] ? explain(error, run->why) : error;

destroy_resolver:
    weir__resolver_destroy(run->runtime.resolver);
destroy_cpu_pool:
    weir__pool_destroy(run->runtime.cpu_pool);
destroy_pool:
    weir__pool_destroy(run->runtime.pool);
destroy_loops:
    destroy_loops(run);
    return explain(error, error == -EAGAIN
                              ? "pthread_create: no thread for the pool; raise ulimit -u"
                              : "out of memory for the loops' and the pool's structures");
}

static int start(weir_task_fn *fn, void *arg, const struct weir_options *options, bool own_thread)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char why[WHY_BYTES];
    struct run *run;
    int error;

    if (!fn)
        return explain(-EINVAL, "weir_run was given no function");
    if (weir__loop_current)
        return explain(-EDEADLK, "weir_run was called from a task; spawn a task instead");
    if (weir__loop_forked)
        return explain(-EOWNERDEAD, "weir_run was called in a forked child, which may only exec");
    error = weir__memory_init();
    if (error < 0)
        return explain(error, weir__memory_error());
    pthread_once(&once, prepare_process);
    run = weir__memory_zalloc(NULL, sizeof *run);
    if (!run)
        return explain(-ENOMEM, "out of memory for the runtime's own structures");
    run->fn = fn;
    run->arg = arg;
    run->own_thread_zero = own_thread;
    pthread_mutex_init(&run->why_mutex, NULL);
    pthread_mutex_init(&run->meeting.mutex, NULL);
    pthread_cond_init(&run->meeting.complete, NULL);
    weir__machine_read(&run->machine);
    error = weir__options_fill(&run->runtime.options, options, &run->machine, !own_thread, why,
                               sizeof why);
    if (error < 0) {
        explain(error, why);
    } else {
        run->runtime.loops = run->loops;
        run->runtime.loop_count = run->runtime.options.loop_count;
        run->meeting.expected = run->runtime.loop_count;
        fill_report(run);
        error = run_all(run);
    }
    weir__memory_free(run);
    return error;
}

int weir_run(weir_task_fn *fn, void *arg, const struct weir_options *options)
{
    return start(fn, arg, options, true);
}

int weir_run_on_this_thread(weir_task_fn *fn, void *arg, const struct weir_options *options)
{
    return start(fn, arg, options, false);
}
