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
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "core/join.h"
#include "core/park.h"
#include "core/room.h"
#include "core/scope.h"
#include "core/task.h"
#include "fiber/overflow.h"
#include "io/io.h"
#include "net/net.h"
#include "net/resolve.h"
#include "pool/pool.h"
#include "runtime/options.h"
#include "runtime/report.h"
#include "runtime/run.h"
#include "sync/async.h"
#include "unwind/symbol.h"
#include "watch/check.h"
#include "watch/stall.h"
#include "watch/watch.h"

#include <weir/runtime.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum {
    OUTSIDER_PAUSE_NS = 10000,
    EXTRA_STACKS = 2, /* per loop: the callback task's, and a task's that ends as the next begins */
};

int weir__run_explain(int error, const char *why)
{
    weir__log_line("weir: cannot start: %s", why);
    return weir__error_explain(error, "%s", why);
}

/* Under the mutex. */
static void close_round(struct weir__meeting *meeting)
{
    meeting->arrived = 0;
    meeting->round++;
    pthread_cond_broadcast(&meeting->complete);
}

static void meet(struct weir__meeting *meeting)
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

static void excuse(struct weir__meeting *meeting, unsigned count)
{
    pthread_mutex_lock(&meeting->mutex);
    meeting->expected -= count;
    if (meeting->expected && meeting->arrived == meeting->expected)
        close_round(meeting);
    pthread_mutex_unlock(&meeting->mutex);
}

static void note_failure(struct weir__run *run, int error, const char *why)
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

/* Where a task that failed was spawned. */
static void format_place(const void *return_address, char *text, size_t bytes)
{
    weir__symbol_format((void *)return_address, true, text, bytes);
}

static void prepare_process(void)
{
    atomic_store(&weir__join_format_place, format_place);
    weir__die_task_name = current_task_name;
    pthread_atfork(NULL, NULL, forked_child);
}

/* The root task and all it has spawned; on loop 0's main task. */
static void run_root(struct weir__run *run)
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

void weir__run_stop_loops(struct weir__run *run)
{
    weir__watch_stop(&run->runtime);
    for (unsigned i = 1; i < run->runtime.loop_count; i++)
        weir__wait_fire(&run->loops[i]->main_task->wait, 0);
}

static void wait_for_outsiders(struct weir__runtime *runtime)
{
    /* acquire; pairs with the release of those who posted */
    while (atomic_load_explicit(&runtime->outsiders, memory_order_acquire))
        weir__clock_sleep(OUTSIDER_PAUSE_NS);
}

static const struct weir__reason awaits_end = { "end of the runtime", WEIR_PHASE_TASK, NULL };

static int start_loop(struct weir__run *run, unsigned index, char *why)
{
    struct weir__loop *loop = run->loops[index];
    int error;

    if (run->runtime.report.pinned || run->machine.restricted)
        weir__machine_bind(&run->machine, run->runtime.report.pinned ? (int)index : -1);
    error = weir__loop_init(loop, &run->runtime, index, &run->limits, why, WEIR__WHY_BYTES);
    if (error < 0)
        return error;
    error = weir__io_init(loop);
    if (error >= 0) {
        error = weir__net_init(loop);
        if (error < 0)
            weir__io_term(loop);
    }
    if (error < 0) {
        snprintf(why, WEIR__WHY_BYTES, "out of memory for a loop's own structures");
        weir__loop_term(loop);
        return error;
    }
    if (index > 0) /* until it is told to stop, maybe before it parks for that */
        weir__wait_begin(&loop->main_task->wait, &awaits_end, NULL);
    return 0;
}

/* Handlers run on it: of stack overflows, of the blocking-call check, of the stall probe. */
static bool needs_alternate_stack(const struct weir__run *run)
{
    return !run->runtime.options.no_overflow_handler || run->check || run->runtime.stall;
}

/* Whoever cannot start comes too: all start, or none. */
int weir__run_enter(struct weir__run *run, unsigned index, struct weir__overflow_thread *overflow)
{
    char why[WEIR__WHY_BYTES];
    int error;

    if (needs_alternate_stack(run))
        weir__overflow_thread_enter(overflow);
    error = weir__check_enter(run->check, why, sizeof why);
    if (error >= 0)
        error = start_loop(run, index, why);
    if (error < 0)
        note_failure(run, error, why);
    meet(&run->meeting);
    if (!atomic_load(&run->error)) {
        weir__stall_enter(run->loops[index]);
        if (index == 0)
            weir__watch_start(&run->runtime);
        return 0;
    }
    if (error >= 0) {
        weir__net_term(run->loops[index]);
        weir__io_term(run->loops[index]);
        weir__loop_term(run->loops[index]);
    }
    weir__check_leave(run->check);
    if (needs_alternate_stack(run))
        weir__overflow_thread_leave(overflow);
    return atomic_load(&run->error);
}

void weir__run_leave(struct weir__run *run, unsigned index, struct weir__overflow_thread *overflow)
{
    struct weir__loop *loop = run->loops[index];

    weir__stall_leave(loop);
    weir__async_stop(loop);
    weir__io_stop(loop);
    meet(&run->meeting);
    wait_for_outsiders(&run->runtime);
    weir__scope_check_joined(loop);
    weir__net_term(loop);
    weir__io_term(loop);
    weir__loop_term(loop);
    weir__check_leave(run->check);
    if (needs_alternate_stack(run))
        weir__overflow_thread_leave(overflow);
}

/* The thread gets its CPUs and signals back. */
static void restore_guest(const struct weir__run_guest *guest)
{
    weir__thread_unshield_pipe(&guest->shield);
    if (guest->bound)
        pthread_setaffinity_np(pthread_self(), sizeof guest->cpus, &guest->cpus);
}

int weir__run_enter_guest(struct weir__run *run, struct weir__run_guest *guest)
{
    int error;

    *guest = (struct weir__run_guest){ 0 };
    if (run->runtime.report.pinned || run->machine.restricted)
        guest->bound =
            pthread_getaffinity_np(pthread_self(), sizeof guest->cpus, &guest->cpus) == 0;
    weir__thread_shield_pipe(&guest->shield);
    error = weir__run_enter(run, 0, &guest->overflow);
    if (error < 0)
        restore_guest(guest);
    return error;
}

void weir__run_leave_guest(struct weir__run *run, struct weir__run_guest *guest)
{
    weir__run_leave(run, 0, &guest->overflow);
    restore_guest(guest);
}

/* What a loop does between its start and its end. */
static void serve(struct weir__run *run, unsigned index)
{
    if (index == 0) {
        run_root(run);
        weir__run_stop_loops(run);
    } else {
        weir__wait_park(&run->loops[index]->main_task->wait, INT64_MAX, WEIR__PARK_RELEASE);
    }
}

static void run_loop(struct weir__run *run, unsigned index)
{
    struct weir__overflow_thread overflow = { 0 };

    if (weir__run_enter(run, index, &overflow) < 0)
        return;
    serve(run, index);
    weir__run_leave(run, index, &overflow);
}

static void run_loop_here(struct weir__run *run)
{
    struct weir__run_guest guest;

    if (weir__run_enter_guest(run, &guest) < 0)
        return;
    serve(run, 0);
    weir__run_leave_guest(run, &guest);
}

struct thread_arg {
    struct weir__run *run;
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

static int start_thread(struct weir__run *run, unsigned index)
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

void weir__run_start_threads(struct weir__run *run)
{
    unsigned count = run->runtime.loop_count;
    int error = 0;

    run->thread_end = run->thread_first;
    while (run->thread_end < count && error >= 0) {
        error = start_thread(run, run->thread_end);
        run->thread_end += error >= 0;
    }
    if (error < 0) {
        note_failure(run, error, "pthread_create: no thread for a loop; raise ulimit -u");
        excuse(&run->meeting, count - run->thread_end);
    }
    excuse(&run->meeting, 1);
}

void weir__run_join_threads(struct weir__run *run)
{
    for (unsigned i = run->thread_first; i < run->thread_end; i++)
        pthread_join(run->threads[i], NULL);
}

static atomic_bool pinned_once; /* some runtime of this process has its loops pinned */

static void fill_report(struct weir__run *run)
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

static int create_loops(struct weir__run *run)
{
    struct weir__stack_options stacks = {
        .stack_bytes = run->runtime.options.stack_bytes,
        .count_max =
            ((size_t)run->runtime.options.tasks_per_loop + EXTRA_STACKS) * run->runtime.loop_count,
        .bytes_max = run->runtime.options.stack_total_bytes * run->runtime.loop_count,
        .warm_count = run->runtime.options.stacks_kept,
        .guard_by_mprotect = run->runtime.options.without_features & WEIR_FEATURE_MADV_GUARD,
        .prefault = run->runtime.options.prefault_stacks > 0,
        .companion_bytes = sizeof(struct weir_task),
    };
    int error = -ENOMEM;

    run->runtime.memory =
        weir__budget_create(run->runtime.options.memory_limit_bytes, weir__room_notify);
    if (!run->runtime.memory)
        return error;
    stacks.budget = run->runtime.memory;
    error = weir__stack_limits_init(&run->limits, &stacks);

    for (unsigned i = 0; i < run->runtime.loop_count && error >= 0; i++) {
        run->loops[i] = weir__memory_zalloc(NULL, sizeof *run->loops[i]);
        if (!run->loops[i])
            error = -ENOMEM;
    }
    return error;
}

static void destroy_loops(struct weir__run *run)
{
    for (unsigned i = 0; i < run->runtime.loop_count; i++)
        weir__memory_free(run->loops[i]);
    if (run->runtime.memory)
        weir__budget_leave(run->runtime.memory);
}

/* Memory, pools, handlers: what the loops need. */
static int prepare(struct weir__run *run)
{
    int error = create_loops(run);

    weir__pools_init(&run->runtime);
    if (error < 0)
        goto destroy_loops;
    error = weir__pool_create(&run->runtime);
    if (error < 0)
        goto destroy_loops;
    error = weir__pool_create_cpu(&run->runtime);
    if (error < 0)
        goto destroy_pool;
    error = weir__resolver_create(&run->runtime.resolver, &run->runtime);
    if (error < 0)
        goto destroy_cpu_pool;
    error = weir__watch_create(&run->runtime);
    if (error < 0)
        goto destroy_resolver;
    if (!run->runtime.options.no_overflow_handler)
        error = weir__overflow_install(current_stack);
    if (error >= 0)
        return 0;

    weir__watch_destroy(&run->runtime);
destroy_resolver:
    weir__resolver_destroy(run->runtime.resolver);
destroy_cpu_pool:
    weir__pool_leave(run->runtime.cpu_pool, NULL, NULL);
destroy_pool:
    weir__pool_leave(run->runtime.pool, NULL, NULL);
destroy_loops:
    weir__pools_term(&run->runtime);
    destroy_loops(run);
    return weir__run_explain(error, error == -EAGAIN
                                        ? "pthread_create: no thread for the pool; raise ulimit -u"
                                        : "out of memory for the loops' and the pool's structures");
}

static void configure(struct weir__run *run, bool own_thread)
{
    run->thread_first = own_thread ? 0 : 1;
    run->runtime.loops = run->loops;
    run->runtime.loop_count = run->runtime.options.loop_count;
    weir__list_init(&run->runtime.loose_scopes);
    /* The one more is the thread that starts the others: it has its own signals again before any
     * task looks at them. */
    run->meeting.expected = run->runtime.loop_count + 1;
    pthread_mutex_init(&run->why_mutex, NULL);
    pthread_mutex_init(&run->meeting.mutex, NULL);
    pthread_cond_init(&run->meeting.complete, NULL);
    fill_report(run);
}

int weir__run_create(struct weir__run **out, const struct weir_options *options, bool own_thread)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char why[WEIR__WHY_BYTES];
    struct weir__run *run;
    int error;

    if (weir__loop_current)
        return weir__run_explain(-EDEADLK, "weir_run was called from a task; spawn a task instead");
    if (weir__loop_forked)
        return weir__run_explain(-EOWNERDEAD,
                                 "weir_run was called in a forked child, which may only exec");
    error = weir__memory_init();
    if (error < 0)
        return weir__run_explain(error, weir__memory_error());
    pthread_once(&once, prepare_process);
    run = weir__memory_zalloc(NULL, sizeof *run);
    if (!run)
        return weir__run_explain(-ENOMEM, "out of memory for the runtime's own structures");
    weir__machine_read(&run->machine);
    error = weir__options_fill(&run->runtime.options, options, &run->machine, !own_thread, why,
                               sizeof why);
    if (error >= 0)
        error = weir__check_create(&run->check, &run->runtime.options, why, sizeof why);
    if (error < 0) {
        weir__run_explain(error, why);
    } else {
        configure(run, own_thread);
        error = prepare(run);
    }
    if (error < 0) {
        weir__check_destroy(run->check);
        weir__memory_free(run);
        return error;
    }
    error = weir__stall_start(&run->runtime, why, sizeof why);
    if (error < 0) {
        weir__run_destroy(run);
        return weir__run_explain(error, why);
    }
    *out = run;
    return 0;
}

int weir__run_destroy(struct weir__run *run)
{
    int error = atomic_load(&run->error);

    weir__stall_stop(&run->runtime);
    if (!run->runtime.options.no_overflow_handler)
        weir__overflow_uninstall();
    weir__watch_destroy(&run->runtime);
    weir__pools_leave_owned(&run->runtime);
    weir__resolver_destroy(run->runtime.resolver);
    weir__pool_leave(run->runtime.cpu_pool, NULL, NULL);
    weir__pool_leave(run->runtime.pool, NULL, NULL);
    weir__pools_term(&run->runtime);
    destroy_loops(run);
    weir__check_destroy(run->check);
    if (error >= 0)
        error = run->result;
    if (run->why[0])
        weir__run_explain(error, run->why);
    weir__memory_free(run);
    return error;
}

static int run_all(weir_task_fn *fn, void *arg, const struct weir_options *options, bool own_thread)
{
    struct weir__run *run;
    int error;

    if (!fn)
        return weir__run_explain(-EINVAL, "weir_run was given no function");
    error = weir__run_create(&run, options, own_thread);
    if (error < 0)
        return error;
    run->fn = fn;
    run->arg = arg;
    weir__run_start_threads(run);
    if (!own_thread)
        run_loop_here(run);
    weir__run_join_threads(run);
    return weir__run_destroy(run);
}

int weir_run(weir_task_fn *fn, void *arg, const struct weir_options *options)
{
    return run_all(fn, arg, options, true);
}

int weir_run_on_this_thread(weir_task_fn *fn, void *arg, const struct weir_options *options)
{
    return run_all(fn, arg, options, false);
}
