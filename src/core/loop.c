/* SPDX-License-Identifier: MIT */
/*
 * The heart: one turn of the loop, run by whoever parks when nobody is ready or the budget is
 * spent.
 *
 *     drain the mailbox -> fire timers -> submit and reap -> (nobody ready: spin, then sleep)
 */
#include "core/loop.h"

#include "base/clock.h"
#include "base/exempt.h"
#include "core/callback.h"
#include "core/local.h"
#include "core/park.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SPIN_MIN_NS = 1000,
    SPIN_CHECK = 16, /* looks at the flags per look at the clock */
    TRIM_BUDGET = 8, /* stacks whose pages are given back per sleep */
    SETTLE_LOOKS = 8,
    STALE_TURNS = 16, /* turns between two enters on suspicion: 200 ns each */
};

__thread struct weir__loop *weir__loop_current __attribute__((tls_model("initial-exec")));
__thread bool weir__loop_forked __attribute__((tls_model("initial-exec")));

static void drain(struct weir__loop *loop)
{
    struct weir__mail *mail = weir__mailbox_take(&loop->mailbox);

    while (mail) {
        struct weir__mail *next = mail->next;

        mail->deliver(loop, mail);
        weir__counter_add(&loop->counters, WEIR_MAIL_RECEIVED, 1);
        mail = next;
    }
}

/* Without a timer the clock is there only for those who measure: it is read now and then. */
static void expire(struct weir__loop *loop)
{
    uint64_t turn = weir__counter_get(&loop->counters, WEIR_TURNS);

    if (!loop->wheel.count && turn % WEIR__LOOP_CLOCK_TURNS)
        return;
    loop->now_ns = weir__clock_now();
    weir__wheel_expire(&loop->wheel, loop->now_ns);
    loop->looked_ns = loop->now_ns;
}

/*
 * Busy-waits for an event. How long is learned: a sleep that turned out short says that spinning
 * would have won, a spin in vain that it does not pay.
 */
static bool spin(struct weir__loop *loop, int64_t until_ns)
{
    int64_t spin_end_ns = loop->now_ns + loop->spin_ns;
    int64_t end_ns = spin_end_ns < until_ns ? spin_end_ns : until_ns;
    bool won = false;

    weir__counter_add(&loop->counters, WEIR_SPINS, 1);
    do {
        for (int look = 0; look < SPIN_CHECK && !won; look++) {
            won = weir__mailbox_has_mail(&loop->mailbox) || weir__ring_has_work(&loop->ring);
            weir__cpu_pause();
        }
        loop->now_ns = weir__clock_now();
    } while (!won && loop->now_ns < end_ns);
    loop->looked_ns = loop->now_ns;
    if (won)
        weir__counter_add(&loop->counters, WEIR_SPINS_WON, 1);
    else
        loop->spin_ns = loop->spin_ns > SPIN_MIN_NS ? loop->spin_ns / 2 : 0;
    return won;
}

static void sleep_in_ring(struct weir__loop *loop, int64_t until_ns)
{
    int64_t start_ns = loop->now_ns;
    int64_t timeout_ns = INT64_MAX;

    if (until_ns != INT64_MAX)
        timeout_ns = until_ns > start_ns ? until_ns - start_ns : 0;
    if (!weir__mailbox_sleep(&loop->mailbox))
        return;
    weir__counter_add(&loop->counters, WEIR_SLEEPS, 1);
    weir__ring_wait(&loop->ring, timeout_ns);
    weir__loop_woke(loop);
    loop->now_ns = weir__clock_now();
    loop->looked_ns = loop->now_ns;
    if (loop->spin_max_ns && loop->now_ns - start_ns <= loop->spin_max_ns)
        loop->spin_ns = loop->spin_max_ns;
}

/* Levels that others read, as of the last time this loop had nothing to do. */
static void publish_levels(struct weir__loop *loop)
{
    size_t used_count, kept_count;

    weir__stack_pool_levels(&loop->stacks, &used_count, &kept_count);
    weir__counter_set(&loop->counters, WEIR_STACKS_NOW, used_count);
    weir__counter_set(&loop->counters, WEIR_STACKS_KEPT_NOW, kept_count);
    weir__counter_set(&loop->counters, WEIR_STACK_BYTES_NOW, loop->stacks.mapped_bytes);
    weir__counter_set(&loop->counters, WEIR_TIMERS_NOW, loop->wheel.count);
}

/* For tests: somebody waits until there is nothing else to do. True: look again. Work may come in
 * stages, each an enter that brings nothing and leaves the flag set. */
static bool settle(struct weir__loop *loop)
{
    struct weir__waiter *waiter;

    if (WEIR_LIKELY(weir__list_empty(&loop->settling)))
        return false;
    for (int look = 0; look < SETTLE_LOOKS; look++) {
        if (!weir__ring_has_work(&loop->ring) && !loop->ring.stale_flags)
            break;
        weir__ring_poll(&loop->ring);
        if (weir__loop_has_ready(loop))
            return true;
    }
    waiter = weir__waiter_claim_first(&loop->settling);
    if (waiter)
        weir__wait_wake(waiter->wait);
    return waiter != NULL;
}

int64_t weir__loop_rest(struct weir__loop *loop)
{
    int64_t timer_ns = weir__wheel_next(&loop->wheel);
    int64_t trim_ns;

    publish_levels(loop);
    trim_ns = weir__stack_pool_trim(&loop->stacks, TRIM_BUDGET, loop->now_ns);
    return trim_ns < timer_ns ? trim_ns : timer_ns;
}

/* Nobody is ready: what is prepared goes to the kernel, and the loop waits for the outside. */
static void idle(struct weir__loop *loop)
{
    if (settle(loop))
        return;
    if (loop->spin_ns && weir__ring_has_work(&loop->ring)) {
        weir__ring_poll(&loop->ring);
        return;
    }
    loop->now_ns = weir__clock_now();
    if (loop->spin_ns && !loop->ring.stale_flags && spin(loop, weir__wheel_next(&loop->wheel)))
        return;
    sleep_in_ring(loop, weir__loop_rest(loop));
}

/* A stale flag hides new work: those who never idle would never see it. */
static bool must_look(const struct weir__loop *loop)
{
    return WEIR_UNLIKELY(loop->ring.stale_flags) &&
           weir__counter_get(&loop->counters, WEIR_TURNS) % STALE_TURNS == 0;
}

/* The turn that ends has left so much of its budget; the next one has all of it. */
static inline void renew(struct weir__loop *loop, int left)
{
    weir__counter_add(&loop->counters, WEIR_SWITCHES, (uint64_t)(WEIR__LOOP_BUDGET - left));
    loop->budget = WEIR__LOOP_BUDGET;
}

/* The same with other than normal tasks, now or in the turn that ends. */
static __attribute__((noinline)) void renew_classed(struct weir__loop *loop)
{
    renew(loop, weir__loop_budget(loop) + loop->budget_cut);
    loop->classed_budget = WEIR__LOOP_BUDGET;
    loop->budget_cut = 0;
    if (loop->classed_count)
        loop->budget = 0;
}

/* Mail and timers. */
static inline void begin_turn(struct weir__loop *loop)
{
    weir__counter_add(&loop->counters, WEIR_TURNS, 1);
    if (WEIR_UNLIKELY(loop->classed_count || loop->budget_cut))
        renew_classed(loop);
    else
        renew(loop, loop->budget);
    if (weir__mailbox_has_mail(&loop->mailbox))
        drain(loop);
    expire(loop);
}

/* Measures how long the last of those who are ready waits from now on. */
static inline void mark_ready(struct weir__loop *loop)
{
    struct weir__queue *queue = &loop->ready;

    if (!loop->delay.on || loop->delay.marked ||
        weir__counter_get(&loop->counters, WEIR_TURNS) % WEIR__DELAY_TURNS)
        return;
    for (unsigned i = 0; !queue->head; i++) {
        if (i == WEIR_PRIORITY_COUNT)
            return;
        queue = &loop->classed[i];
    }
    weir__delay_mark(&loop->delay, WEIR_CONTAINER_OF(queue->tail, struct weir__mail, next));
}

void weir__loop_turn(struct weir__loop *loop)
{
    begin_turn(loop);
    if (!weir__loop_has_ready(loop))
        idle(loop);
    else if (weir__ring_has_work(&loop->ring) || must_look(loop))
        weir__ring_poll(&loop->ring);
    mark_ready(loop);
}

void weir__loop_look(struct weir__loop *loop)
{
    begin_turn(loop);
    if (weir__ring_has_work(&loop->ring) || loop->ring.stale_flags)
        weir__ring_poll(&loop->ring);
    mark_ready(loop);
}

void weir__loop_rouse_watcher(struct weir__runtime *runtime)
{
    unsigned sleeps = 1;

    if (!atomic_compare_exchange_strong(&runtime->watcher_sleeps, &sleeps, 0))
        return;
    weir__exempt_open();
    syscall(SYS_futex, &runtime->watcher_sleeps, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    weir__exempt_shut();
}

/*
 * Between the push and the ring the loop may run what it was sent, and end: its own runtime's loops
 * are waited for before rings are closed, others are counted. The count is up before the push,
 * while whoever is to be woken still keeps the runtime alive.
 */
static bool is_outsider(const struct weir__runtime *runtime)
{
    return !weir__loop_current || weir__loop_current->runtime != runtime;
}

static void outsider_done(struct weir__runtime *runtime)
{
    /* release; pairs with the acquire in weir_run's end */
    atomic_fetch_sub_explicit(&runtime->outsiders, 1, memory_order_release);
}

bool weir__loop_push(struct weir__loop *loop, struct weir__mail *mail)
{
    struct weir__runtime *runtime = loop->runtime;
    bool outsider = is_outsider(runtime);

    if (WEIR_UNLIKELY(outsider))
        /* relaxed; the push releases it */
        atomic_fetch_add_explicit(&runtime->outsiders, 1, memory_order_relaxed);
    if (weir__mailbox_push(&loop->mailbox, mail))
        return true;
    if (WEIR_UNLIKELY(outsider))
        outsider_done(runtime);
    return false;
}

void weir__loop_ring(struct weir__loop *loop)
{
    struct weir__runtime *runtime = loop->runtime;

    if (weir__loop_current)
        weir__counter_add(&weir__loop_current->counters, WEIR_DOORBELLS_RUNG, 1);
    weir__ring_doorbell(&loop->ring);
    if (is_outsider(runtime))
        outsider_done(runtime);
}

void weir__loop_post(struct weir__loop *loop, struct weir__mail *mail)
{
    if (weir__loop_push(loop, mail))
        weir__loop_ring(loop);
}

static const struct weir__reason awaits_arrival = { "room for a spawn to another loop",
                                                    WEIR_PHASE_SPAWN_QUEUE, NULL };

static void configure(struct weir__loop *loop, struct weir__runtime *runtime, unsigned index)
{
    const struct weir_options *options = &runtime->options;

    *loop = (struct weir__loop){
        .budget = WEIR__LOOP_BUDGET,
        .runtime = runtime,
        .index = index,
        .task_limit = options->tasks_per_loop,
        .spin_max_ns = options->spin_max_ns > 0 ? options->spin_max_ns : 0,
        .now_ns = weir__clock_now(),
        .delay.on = options->stall_limit_ns > 0,
        .looked_ns = weir__clock_now(),
        .shares = weir__shares_of(options),
        .room_shares = weir__shares_of(options),
    };
    weir__queue_init(&loop->ready);
    for (int i = 0; i < WEIR_PRIORITY_COUNT; i++) {
        weir__queue_init(&loop->classed[i]);
        weir__queue_init(&loop->arrivals[i]);
        weir__list_init(&loop->room_waiters[i]);
    }
    weir__queue_init(&loop->callbacks);
    weir__credits_init(&loop->arrivals_credits, &awaits_arrival, options->remote_spawns,
                       WEIR_WHEN_FULL_PARK, 0);
    weir__credits_share(&loop->arrivals_credits, &loop->shares, options->remote_spawns);
    weir__list_init(&loop->tasks);
    weir__list_init(&loop->settling);
    weir__list_init(&loop->asyncs);
    weir__mailbox_init(&loop->mailbox);
    weir__wheel_init(&loop->wheel, loop->now_ns);
    weir__random_seed(&loop->random);
}

int weir__loop_init(struct weir__loop *loop, struct weir__runtime *runtime, unsigned index,
                    struct weir__stack_limits *limits, char *why, size_t why_bytes)
{
    bool is_driven = runtime->is_driven && index == 0; /* see drive.h */
    struct weir__ring_options ring_options = {
        .entries = runtime->options.ring_entries,
        .without_features =
            runtime->options.without_features | (is_driven ? WEIR_FEATURE_DEFER_TASKRUN : 0),
        .napi_busy_poll_us = (unsigned)((runtime->options.napi_busy_poll_ns + 999) / 1000),
        .napi_prefer = runtime->options.napi_prefer,
        .counters = &loop->counters,
    };
    int error = -ENOMEM;

    configure(loop, runtime, index);
    snprintf(why, why_bytes, "out of memory for a loop's own structures");
    loop->heap = weir__heap_create();
    if (!loop->heap)
        return error;
    error = weir__stack_pool_init(&loop->stacks, limits);
    if (error < 0)
        goto destroy_heap;
    error = weir__stack_pool_fill(&loop->stacks, runtime->options.prefault_stacks);
    if (error < 0) {
        snprintf(why, why_bytes, "weir_options.prefault_stacks: %s",
                 weir__stack_refusal_text(loop->stacks.refusal));
        goto term_stacks;
    }
    error = weir__ring_init(&loop->ring, &ring_options, why, why_bytes);
    if (error < 0)
        goto term_stacks;
    weir__loop_current = loop;
    error = -ENOMEM;
    loop->main_task = weir__task_create_main(loop, "main");
    if (!loop->main_task)
        goto term_ring;
    loop->current = loop->main_task;
    error = weir__callback_start(loop);
    if (error < 0)
        goto unref_main;
    return 0;

unref_main:
    weir__loop_current = NULL;
    weir__task_unref(loop->main_task);
    weir__task_drop_cache(loop);
term_ring:
    weir__loop_current = NULL;
    weir__ring_term(&loop->ring);
term_stacks:
    weir__stack_pool_term(&loop->stacks);
destroy_heap:
    weir__heap_destroy(loop->heap);
    return error;
}

void weir__loop_term(struct weir__loop *loop)
{
    if (loop->task_count)
        WEIR_DIE("%u tasks of loop %u have not ended; join each scope before the root task returns",
                 loop->task_count, loop->index);
    weir__callback_stop(loop);
    WEIR_ASSERT(!weir__loop_has_ready(loop));
    WEIR_ASSERT(loop->wheel.count == 0);
    weir__loop_current = NULL; /* before: handlers of signals ask what its task is */
    weir__task_unref(loop->main_task);
    weir__task_drop_cache(loop);
    weir__ring_term(&loop->ring);
    weir__stack_pool_term(&loop->stacks);
    weir__heap_destroy(loop->heap);
}
