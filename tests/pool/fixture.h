/* SPDX-License-Identifier: MIT */
/* Jobs that the test holds and lets go, and tasks that call them. */
#ifndef WEIR_TESTS_POOL_FIXTURE_H
#define WEIR_TESTS_POOL_FIXTURE_H

#include "support/support.h"

#include <weir.h>

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { JOB_RESULT = 42, LOOKS_MAX = 100000, LOOK_PAUSE_US = 100 };

/* CHECK_EQUAL for any two integers. */
#define CHECK_SAME(left, right) CHECK_EQUAL((long long)(left), (long long)(right))

/* Where jobs wait, on their pool thread, until the test lets them through. */
struct gate {
    sem_t passes;
    _Atomic long entered;
    _Atomic long inside;
    _Atomic long inside_max;
};

static inline void gate_init(struct gate *gate)
{
    *gate = (struct gate){ 0 };
    sem_init(&gate->passes, 0, 0);
}

static inline void gate_pass(struct gate *gate, long count)
{
    while (count-- > 0)
        sem_post(&gate->passes);
}

/* A job: waits at its gate. */
static inline int wait_at_gate(void *arg)
{
    struct gate *gate = arg;
    long inside = atomic_fetch_add(&gate->inside, 1) + 1;
    long most = atomic_load(&gate->inside_max);

    while (most < inside && !atomic_compare_exchange_weak(&gate->inside_max, &most, inside))
        ;
    atomic_fetch_add(&gate->entered, 1);
    while (sem_wait(&gate->passes) < 0)
        ;
    atomic_fetch_sub(&gate->inside, 1);
    return JOB_RESULT;
}

/* A job: says that it was started. */
static inline int raise_flag(void *arg)
{
    atomic_fetch_add((_Atomic long *)arg, 1);
    return JOB_RESULT;
}

/* One call of the pool, made by a task of its own. */
struct call {
    int (*call)(struct call *call); /* NULL: weir_pool_run */
    weir_pool_fn *fn;
    void *arg;
    int64_t deadline_ns;
    struct weir_pool *pool;                 /* for call_run_on; NULL: the runtime's own */
    const struct weir_job_options *options; /* likewise */
    struct weir_task *task;
    int result;
};

static inline int call_run_on(struct call *call)
{
    return weir_pool_run_on(call->pool, call->fn, call->arg, call->options, call->deadline_ns);
}

static inline int call_body(void *arg)
{
    struct call *call = arg;

    call->result =
        call->call ? call->call(call) : weir_pool_run(call->fn, call->arg, call->deadline_ns);
    return 0;
}

/* Returns once the task was spawned; it calls when the caller parks or yields. */
static inline void call_start(struct call *call)
{
    struct weir_spawn_options options = { .name = "call", .task = &call->task };

    CHECK_EQUAL(weir_spawn(weir_task_scope(), call_body, call, &options), 0);
}

static inline int call_finish(struct call *call)
{
    CHECK_EQUAL(weir_join(call->task, NULL, WEIR_FOREVER), 0);
    return call->result;
}

static inline struct weir_pool_stats read_stats(void)
{
    struct weir_pool_stats stats;

    CHECK_EQUAL(weir_pool_read_stats(&stats), 0);
    return stats;
}

static inline struct weir_pool_stats read_stats_of(struct weir_pool *pool)
{
    struct weir_pool_stats stats;

    CHECK_EQUAL(weir_pool_read_stats_of(pool, &stats), 0);
    return stats;
}

/* Parks until the condition holds. */
#define AWAIT(condition)                                                                           \
    for (long look = 0; !(condition); look++) {                                                    \
        if (!CHECK(look < LOOKS_MAX))                                                              \
            break;                                                                                 \
        weir_sleep(weir_in_us(LOOK_PAUSE_US));                                                     \
    }

/* Parks until the condition on `stats`, a struct weir_pool_stats, holds. */
#define AWAIT_STATS(stats, condition)                                                              \
    for (long look = 0; stats = read_stats(), !(condition); look++) {                              \
        if (!CHECK(look < LOOKS_MAX))                                                              \
            break;                                                                                 \
        weir_sleep(weir_in_us(LOOK_PAUSE_US));                                                     \
    }

#endif
