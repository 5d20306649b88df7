/* SPDX-License-Identifier: MIT */
/*
 * A loop: one thread, one ring, one core. Read loop.c first of all: it is one screen.
 *
 * There is no scheduler stack. Whoever parks takes the next ready task and switches to it; when
 * nobody is ready, or the turn's budget is spent, whoever parks turns the loop itself.
 *
 * All fields belong to the loop's thread, except `mailbox`, `arrivals_credits`, and the counters,
 * which anybody reads.
 */
#ifndef WEIR_CORE_LOOP_H
#define WEIR_CORE_LOOP_H

#include "base/budget.h"
#include "base/counter.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/random.h"
#include "core/credit.h"
#include "core/delay.h"
#include "core/mailbox.h"
#include "core/priority.h"
#include "core/timer.h"
#include "fiber/stack.h"
#include "ring/ring.h"

#include <weir/runtime.h>

#include <pthread.h>

struct weir_task;
struct weir__io;
struct weir__net;
struct weir_pool;
struct weir__resolver;
struct weir__runtime;
struct weir__stall;
struct weir__watch;
struct weir__waiter;

/* Switches, and calls that did not need to park, before the loop must be turned; and as many at
 * most once a background task has run: those who come meanwhile are soon seen. */
enum { WEIR__LOOP_BUDGET = 64, WEIR__LOOP_BACKGROUND_BUDGET = 4 };

/* Turns between two readings of the clock while no timer is armed. */
enum { WEIR__LOOP_CLOCK_TURNS = 4 };

/* Two neighbouring cache lines, which the prefetcher treats as one. */
enum { WEIR__CACHE_PAIR_BYTES = 128 };

/* A queue of mail in the order of its pushes: ready tasks, callbacks. */
struct weir__queue {
    struct weir__mail *head;
    struct weir__mail **tail;
};

struct weir__loop {
    /* Who runs. */
    struct weir_task *current;
    int budget; /* of this turn; 0 while other than normal tasks are ready: see classed_budget */
    struct weir__queue ready; /* tasks of normal priority */
    unsigned classed_count;   /* ready tasks of other priorities: those in `classed` */
    int classed_budget; /* of this turn, while there are any: so the way without is as it was */
    int budget_cut;     /* what background tasks took from this turn's budget */
    struct weir__queue classed[WEIR_PRIORITY_COUNT]; /* of these priorities; never of normal */
    struct weir__shares shares;
    struct weir__delay delay; /* of ready tasks */
    int64_t now_ns;    /* read once a turn, or every few without timers; never ahead of the clock */
    int64_t looked_ns; /* when it last had looked at mail and timers, or slept: busy from then on */
    struct weir__random random;

    /* Tasks: their memory, stacks and bound. */
    struct weir_task *main_task; /* the thread's own stack */
    struct weir__mail *free_tasks;
    unsigned free_count;
    unsigned task_count;
    unsigned task_limit;
    struct weir__stack_pool stacks;
    struct weir__list tasks; /* weir_task.neighbours: all that have a stack */
    struct weir__list room_waiters[WEIR_PRIORITY_COUNT]; /* of this loop: weir__waiter.link */
    struct weir__queue arrivals[WEIR_PRIORITY_COUNT];    /* from elsewhere: weir_task.wait.mail */
    unsigned room_wanted;                  /* by spawns that are in these, or have just left them */
    struct weir__shares room_shares;       /* of the classes in them */
    unsigned memory_waiting;               /* spawns of this loop that wait for memory */
    struct weir__credits arrivals_credits; /* remote spawns on their way in; any thread */

    /* Callbacks, run by one task. */
    struct weir__queue callbacks;
    struct weir_task *callback_task;
    bool callback_idle;

    /* For how long. */
    struct weir__wheel wheel;
    int64_t spin_max_ns; /* 0: never spins */
    int64_t spin_ns;     /* what has paid of late; 0: sleep at once */

    /* Async operations that were started here and are not done: links of the sync room. */
    struct weir__list asyncs;
    struct weir__waiter *asyncs_done; /* the runtime ends, and waits for the last of them */
    bool asyncs_refused;

    /* Selects over I/O: how many are left of sixteen, and which one looks. */
    uint8_t looks_left;
    uint8_t looks_at;

    /* Jobs of tasks of this loop that pools have; pool/watch.h. */
    unsigned pool_job_count;
    struct weir__timer pool_watch;

    struct weir__list settling; /* tests: woken when nothing else is ready */
    struct weir__ring ring;
    struct weir__io *io;   /* the io room's part */
    struct weir__net *net; /* the net room's part */
    struct weir__heap *heap;
    struct weir__runtime *runtime;
    void *surveyor; /* the watch room's: whose cursor lies among `tasks`; NULL: nobody's */
    unsigned index;
    struct weir__counters counters;

    atomic_bool away; /* its thread is its foreign loop's: between two turns of an embed */

    /* What others write, apart from what the loop writes all the time. */
    char padding[WEIR__CACHE_PAIR_BYTES];
    struct weir__mailbox mailbox;
};

/* What the loops of one weir_run share. Built before they start, constant while they run. */
struct weir__runtime {
    struct weir__loop **loops;
    unsigned loop_count;
    bool is_driven;        /* loop 0, by a foreign loop */
    atomic_uint outsiders; /* posts by threads that this runtime does not join, under way */
    atomic_uint
        place_next; /* where the last search for the fewest tasks began; any loop, relaxed */
    struct weir_options options;
    struct weir__budget *memory; /* for tasks and buffers */
    pthread_mutex_t pools_mutex;
    struct weir__list pools;    /* weir_pool.link, under the mutex */
    struct weir_pool *pool;     /* for what blocks */
    struct weir_pool *cpu_pool; /* for long computations */
    struct weir__resolver *resolver;
    struct weir__lock loose_lock;
    struct weir__list loose_scopes; /* weir_scope.owned, of those that belong to no task */
    struct weir__stall *stall;      /* the watch room's part; NULL: no stall detection */
    /* 1 while the thread that watches the loops sleeps: whoever wakes up rouses it. */
    atomic_uint watcher_sleeps;
    struct weir__watch *watch; /* the watch room's part */
    struct weir_report report;
};

/* The loop that runs on the calling thread; NULL on a plain thread. */
extern __thread struct weir__loop *weir__loop_current __attribute__((tls_model("initial-exec")));

/* Whether this is a forked child, where weir may not be used. */
extern __thread bool weir__loop_forked __attribute__((tls_model("initial-exec")));

static inline void weir__queue_init(struct weir__queue *queue)
{
    queue->head = NULL;
    queue->tail = &queue->head;
}

static inline void weir__queue_push(struct weir__queue *queue, struct weir__mail *mail)
{
    mail->next = NULL;
    *queue->tail = mail;
    queue->tail = &mail->next;
}

static inline struct weir__mail *weir__queue_pop(struct weir__queue *queue)
{
    struct weir__mail *mail = queue->head;

    if (mail) {
        queue->head = mail->next;
        if (!queue->head)
            queue->tail = &queue->head;
    }
    return mail;
}

/* How much of the turn's budget is left. */
static inline int weir__loop_budget(const struct weir__loop *loop)
{
    return loop->classed_count ? loop->classed_budget : loop->budget;
}

/* Whether any task could run. */
static inline bool weir__loop_has_ready(const struct weir__loop *loop)
{
    return loop->ready.head != NULL || loop->classed_count > 0;
}

/* On the loop's own thread. On failure -errno, and `why` says why; nothing is left behind. */
int weir__loop_init(struct weir__loop *loop, struct weir__runtime *runtime, unsigned index,
                    struct weir__stack_limits *limits, char *why, size_t why_bytes);
void weir__loop_term(struct weir__loop *loop);

/* One turn: mail, timers, submit and reap; sleeps if nobody is ready. On whoever's stack. */
void weir__loop_turn(struct weir__loop *loop);

/* For who drives the loop from outside: a turn that does not sleep; and what is to be done before
 * a sleep: returns when to look again at the latest, INT64_MAX for never. */
void weir__loop_look(struct weir__loop *loop);
int64_t weir__loop_rest(struct weir__loop *loop);

/* The loop is awake after a sleep: so is whoever watches it. */
void weir__loop_rouse_watcher(struct weir__runtime *runtime);

static inline void weir__loop_woke(struct weir__loop *loop)
{
    weir__mailbox_wake(&loop->mailbox);
    /* seq_cst; pairs with the watcher, which says that it sleeps and then looks at the mailbox */
    if (WEIR_UNLIKELY(atomic_load(&loop->runtime->watcher_sleeps)))
        weir__loop_rouse_watcher(loop->runtime);
}

/* Puts mail into a loop, from any thread, and wakes it if it sleeps. */
void weir__loop_post(struct weir__loop *loop, struct weir__mail *mail);

/* For those who hold a lock: as post, but returns whether the caller must still ring, for which the
 * loop's runtime waits before it ends. */
bool weir__loop_push(struct weir__loop *loop, struct weir__mail *mail);

/* Wakes a loop when weir__loop_push said so. */
void weir__loop_ring(struct weir__loop *loop);

#endif
