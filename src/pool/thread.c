/* SPDX-License-Identifier: MIT */
/*
 * The threads of a pool: how they start, take jobs, rest and end; see thread.h for what holds.
 *
 * A thread that ends joins the one that ended before it, so at most one is unjoined, and joining
 * the last joins all.
 */
#include "pool/thread.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/exempt.h"
#include "base/memory.h"
#include "base/thread.h"
#include "core/local.h"
#include "core/park.h"
#include "pool/stats.h"
#include "pool/watch.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    NS_PER_SECOND = 1000000000,
    RETRY_NS = 10000000, /* a thread that could not be had is asked for again after so long */
    LATE_NS = 200000,    /* a thread that has been coming for longer is not waited for */
    FULL_NS = 10000000,  /* between two looks at a pool in which all are at work that may be */
    NAME_COUNT = 100000, /* "weir-pool-" has room for five digits */
    SPIN_MIN_NS = 1000,
    SHORT_NS = 1000, /* a job that runs for less is quicker than its way here and back */
    SPIN_CHECK = 16, /* looks per look at the clock */
};

/* weir__pool_thread.word: its thread goes from AWAKE to ASLEEP and back, others to WOKEN. */
enum { AWAKE, ASLEEP, WOKEN };

struct weir__pool_thread {
    struct weir__list link; /* in weir_pool.idle or busy, under its mutex; else at itself */
    struct weir_pool *pool;
    pthread_t handle;
    unsigned number;
    bool coming;                        /* under the mutex: counted in coming_count */
    bool is_new;                        /* under the mutex: counted in starting_count */
    bool ended;                         /* its own */
    bool is_last;                       /* its own: of a pool that was left to it */
    atomic_uint word;                   /* see above */
    int64_t called_ns;                  /* by who sets it to WOKEN, before */
    int64_t spin_ns;                    /* its own: what has paid of late; 0: sleep at once */
    bool spins;                         /* its own: before it sleeps */
    int64_t began_ns;                   /* under the mutex: when it took its job */
    bool curious;                       /* its own: whether the next job sleeps matters */
    enum weir__growth_sleep sleep;      /* its own: whether the last job did */
    int64_t idle_end_ns;                /* its own: when it ends if it is still idle */
    struct weir__pool_thread *previous; /* its own: the one that ended before it, to be joined */
};

/* Under the mutex: takes an idle thread off the list; whether it must be woken in the kernel. */
static bool call_idle(struct weir_pool *pool, struct weir__pool_thread *thread, int64_t now_ns)
{
    thread->called_ns = now_ns;
    if (pool->spinner == thread)
        pool->spinner = NULL;
    weir__list_unlink(&thread->link);
    thread->coming = true;
    pool->coming_count++;
    /* release; pairs with the acquire in is_woken */
    return atomic_exchange_explicit(&thread->word, WOKEN, memory_order_release) == ASLEEP;
}

/* The thread may have ended meanwhile: waking an address nobody waits on is harmless. */
static void wake(struct weir__pool_thread *thread)
{
    weir__exempt_open();
    syscall(SYS_futex, &thread->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    weir__exempt_shut();
}

/* Under the mutex: whether a thread is coming, and not late: it will look itself, and
 * ask a loop to. */
static bool is_awaited(const struct weir_pool *pool, int64_t now_ns)
{
    return pool->coming_count > 0 && now_ns - pool->called_ns < LATE_NS;
}

/* Under the mutex: how many threads work, those that are stuck aside, up to one more than can at
 * once; and come, if they are not late. */
static unsigned count_working(const struct weir_pool *pool, int64_t now_ns)
{
    unsigned count = is_awaited(pool, now_ns) ? pool->coming_count : 0;
    unsigned most = count + pool->growth.parallel + 1;

    for (const struct weir__list *link = pool->busy.prev; link != &pool->busy && count < most;
         link = link->prev, count++) {
        const struct weir__pool_thread *thread =
            WEIR_CONTAINER_OF(link, const struct weir__pool_thread, link);

        if (now_ns - thread->began_ns >= pool->growth.after_ns)
            break; /* and all before it */
    }
    return count;
}

/* Under the mutex: whether a thread more is wanted, see growth.h. One on its way is waited for: it
 * looks itself when it is there. */
static enum weir__growth_answer ask(const struct weir_pool *pool, int64_t now_ns)
{
    struct weir__growth_look look = { .ready_count = weir__job_queue_ready(&pool->jobs) };

    if (look.ready_count <= pool->coming_count)
        return WEIR__GROWTH_NONE;
    if (is_awaited(pool, now_ns))
        return WEIR__GROWTH_NONE;
    look.working_count = count_working(pool, now_ns);
    look.waited_ns = now_ns - weir__job_queue_oldest(&pool->jobs)->queued_ns;
    return weir__growth_ask(&pool->growth, &look);
}

/* Under the mutex. */
static struct weir__pool_help find_help(struct weir_pool *pool, int64_t now_ns)
{
    struct weir__pool_help help = { 0 };
    enum weir__growth_answer answer = pool->jobs.count ? ask(pool, now_ns) : WEIR__GROWTH_NONE;

    if (answer == WEIR__GROWTH_NONE)
        return help;
    if (!weir__list_empty(&pool->idle)) {
        struct weir__pool_thread *hottest =
            WEIR_CONTAINER_OF(pool->idle.prev, struct weir__pool_thread, link);

        pool->called_ns = now_ns;
        help.asleep = call_idle(pool, hottest, now_ns) ? hottest : NULL;
    } else if (answer == WEIR__GROWTH_NEW && pool->stats.threads < pool->threads_max &&
               pool->retry_ns <= now_ns) {
        pool->called_ns = now_ns;
        help.start = true;
        pool->coming_count++;
        pool->starting_count++;
        pool->stats.threads++;
    }
    return help;
}

/* Under the mutex. */
static void publish_hints(struct weir_pool *pool)
{
    bool at_rest =
        weir__list_empty(&pool->busy) && pool->coming_count == 0 && pool->spinner == NULL;

    /* relaxed, both: hints */
    atomic_store_explicit(&pool->crowded, weir__pool_waiting(pool) > 0, memory_order_relaxed);
    atomic_store_explicit(&pool->at_rest, at_rest, memory_order_relaxed);
}

struct weir__pool_help weir__pool_find_help(struct weir_pool *pool, int64_t now_ns)
{
    struct weir__pool_help help = find_help(pool, now_ns);

    publish_hints(pool);
    return help;
}

/* Under the mutex: whether there could be a thread for a job that may run. */
static bool has_thread_left(const struct weir_pool *pool)
{
    return !weir__list_empty(&pool->idle) || pool->stats.threads < pool->threads_max ||
           pool->starting_count > 0;
}

/* In a full pool it is the threads' business who takes the next job. But one that finds enough
 * others at work rests, and they may be stuck later. */
int64_t weir__pool_next_look(const struct weir_pool *pool, int64_t now_ns)
{
    int64_t after_ns = pool->growth.after_ns > 0 ? pool->growth.after_ns : LATE_NS;
    unsigned woken_count = pool->coming_count - pool->starting_count;

    if (pool->jobs.count <= woken_count)
        return INT64_MAX;
    if (weir__job_queue_ready(&pool->jobs) <= woken_count || !has_thread_left(pool) ||
        is_awaited(pool, now_ns))
        after_ns = after_ns > FULL_NS ? after_ns : FULL_NS;
    return weir__clock_add(now_ns, after_ns);
}

/* How often the thread has slept in the kernel since it began. */
static long count_sleeps(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

static bool is_woken(struct weir__pool_thread *self)
{
    /* acquire; pairs with the release in call_idle */
    return atomic_load_explicit(&self->word, memory_order_acquire) == WOKEN;
}

/* Busy-waits for a call, for as long as has paid of late, as loops do. */
static bool spin(struct weir__pool_thread *self, int64_t start_ns)
{
    struct weir_pool *pool = self->pool;
    bool woken = false;

    do {
        for (int look = 0; look < SPIN_CHECK && !woken; look++) {
            woken = is_woken(self);
            weir__cpu_pause();
        }
    } while (!woken && weir__clock_now() - start_ns < self->spin_ns);
    if (woken)
        return true;
    self->spin_ns = self->spin_ns > SPIN_MIN_NS ? self->spin_ns / 2 : 0;
    weir__exempt_lock(&pool->mutex);
    if (pool->spinner == self)
        pool->spinner = NULL;
    publish_hints(pool);
    pthread_mutex_unlock(&pool->mutex);
    return is_woken(self);
}

/* Returns true once woken, false when the time to be idle is over. */
static bool doze(struct weir__pool_thread *self)
{
    int64_t start_ns = weir__clock_now();
    int64_t end_ns = self->idle_end_ns;
    struct timespec until = {
        .tv_sec = (time_t)(end_ns / NS_PER_SECOND),
        .tv_nsec = (long)(end_ns % NS_PER_SECOND),
    };
    unsigned awake = AWAKE;

    if (self->spins && spin(self, start_ns))
        return true;
    self->spins = false;
    /* relaxed: is_woken acquires. A failure means WOKEN, or still ASLEEP from the last time. */
    atomic_compare_exchange_strong_explicit(&self->word, &awake, ASLEEP, memory_order_relaxed,
                                            memory_order_relaxed);
    while (!is_woken(self)) {
        syscall(SYS_futex, &self->word, FUTEX_WAIT_BITSET_PRIVATE, ASLEEP,
                end_ns == INT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
        if (end_ns != INT64_MAX && !is_woken(self) && weir__clock_now() >= end_ns)
            return false;
    }
    if (self->called_ns - start_ns <= self->pool->spin_max_ns)
        self->spin_ns = self->pool->spin_max_ns;
    return true;
}

/* Under the mutex: the thread counts no more, and has no use for the pool once it let go. */
static void end(struct weir__pool_thread *self)
{
    struct weir_pool *pool = self->pool;

    weir__list_unlink(&self->link);
    self->ended = true;
    self->previous = pool->ended;
    pool->ended = self;
    self->is_last = --pool->stats.threads == 0 && pool->left;
    pthread_cond_signal(&pool->all_ended);
}

/* Under the mutex: the thread, once among the idle, ends at this time. */
static int64_t idle_end(const struct weir_pool *pool, int64_t now_ns)
{
    if (pool->stats.threads <= pool->threads_min)
        return INT64_MAX;
    return weir__clock_add(now_ns, pool->idle_ns);
}

/* Under the mutex. A thread on its way does not count yet: starting it may fail. */
static void end_or_stay(struct weir__pool_thread *self)
{
    struct weir_pool *pool = self->pool;

    if (pool->stats.threads - pool->coming_count > pool->threads_min)
        end(self);
    else
        self->idle_end_ns = idle_end(pool, weir__clock_now());
}

/* Until the thread is woken or has ended. */
static void rest(struct weir__pool_thread *self)
{
    struct weir_pool *pool = self->pool;

    while (!self->ended && !doze(self)) {
        weir__exempt_lock(&pool->mutex);
        if (!weir__list_empty(&self->link)) /* else somebody has just called it */
            end_or_stay(self);
        pthread_mutex_unlock(&pool->mutex);
    }
}

/* Under the mutex: whether a thread without work is to spin. With many callers of short jobs it
 * would take them as they come, one meeting each; asleep it finds many. */
static bool may_spin(const struct weir__pool_thread *self)
{
    const struct weir_pool *pool = self->pool;

    return self->spin_ns > 0 && !pool->spinner &&
           (pool->caller_is_alone || pool->growth.run_ns >= SHORT_NS) &&
           sched_getcpu() != pool->caller_cpu;
}

/* Under the mutex: no job is left for the thread. */
static void go_idle(struct weir__pool_thread *self, int64_t now_ns)
{
    struct weir_pool *pool = self->pool;

    if (pool->stopping) {
        end(self);
        return;
    }
    self->idle_end_ns = idle_end(pool, now_ns);
    /* relaxed: who calls the thread has the mutex after it */
    atomic_store_explicit(&self->word, AWAKE, memory_order_relaxed);
    self->spins = may_spin(self);
    /* the one that spins is the next to be called */
    weir__list_append(pool->spinner ? &pool->spinner->link : &pool->idle, &self->link);
    if (self->spins)
        pool->spinner = self;
}

/* Under the mutex: the job whose turn it is, or NULL when there is none. One who was called takes
 * it in any case: that is what the others rely on. Else NULL also when enough others work. */
static struct weir__job *take(struct weir__pool_thread *self, bool was_called, int64_t now_ns)
{
    struct weir_pool *pool = self->pool;
    struct weir__job *job;

    if (pool->jobs.count == 0)
        return NULL;
    if (!was_called && weir__growth_is_crowd(&pool->growth, count_working(pool, now_ns) + 1))
        return NULL;
    job = weir__job_queue_take(&pool->jobs);
    if (!job)
        return NULL;
    job->started_ns = now_ns;
    if (job->deadline_ns <= now_ns) { /* its loop was too busy to take it back: it never starts */
        job->state = WEIR__JOB_DONE;
        job->code = -ETIME;
    }
    self->began_ns = now_ns;
    weir__list_append(&pool->busy, &self->link);
    pool->stats.threads_busy++;
    return job;
}

/* Under the mutex: the job is over. */
static void finish(struct weir__pool_thread *self, struct weir__job *job, int64_t now_ns)
{
    struct weir_pool *pool = self->pool;

    weir__list_unlink(&self->link);
    job->state = WEIR__JOB_DONE;
    /* relaxed: whoever still finds false takes the mutex */
    atomic_store_explicit(&job->over, true, memory_order_relaxed);
    pool->stats.threads_busy--;
    pool->stats.abandoned_now -= job->abandoned;
    weir__job_queue_end(&pool->jobs, job);
    weir__pool_count_run(pool, job, now_ns);
    if (job->code >= 0)
        weir__growth_note(&pool->growth, now_ns - job->started_ns, self->sleep);
}

/* Under the mutex: the thread was woken or started, and is here. */
static void arrive(struct weir__pool_thread *self)
{
    struct weir_pool *pool = self->pool;

    self->coming = false;
    pool->coming_count--;
    pool->starting_count -= self->is_new;
    self->is_new = false;
    if (pool->stats.threads_max < pool->stats.threads)
        pool->stats.threads_max = pool->stats.threads;
}

/* On the loop of the task that waits. */
static void deliver(struct weir__loop *loop, struct weir__mail *mail)
{
    struct weir__job *job = WEIR_CONTAINER_OF(mail, struct weir__job, mail);
    bool fired = weir__wait_fire(job->wait, job->code);

    (void)loop;
    WEIR_ASSERT(fired);
}

/* Outside of the mutex: back to whom it belongs. The credit first: the task that goes on may need
 * it for its next job. Returns whether that may have taken longer than a job. */
static bool hand_back(struct weir_pool *pool, struct weir__job *job)
{
    struct weir__loop *home;

    if (!job->is_release)
        weir__credits_give_as(&pool->credits, job->priority);
    if (job->done) {
        job->done(job);
    } else if (job->abandoned) {
        if (job->cleanup)
            job->cleanup(job->arg);
        weir__job_free_own(WEIR_CONTAINER_OF(job, struct weir__own_job, job));
    } else {
        job->mail.deliver = deliver;
        home = job->wait->loop;
        if (!weir__loop_push(home, &job->mail)) /* the job is gone from here on */
            return false;
        weir__loop_ring(home);
    }
    return true;
}

/*
 * One meeting with the others: what was done is counted, the next job is taken, or the thread is
 * idle before the result is handed back: a task that calls again at once finds it.
 */
static struct weir__job *next_job(struct weir__pool_thread *self, struct weir__job *done)
{
    struct weir_pool *pool = self->pool;
    int64_t now_ns = weir__clock_now();
    struct weir__loop *watcher = NULL;
    struct weir__pool_help help;
    struct weir__job *job;
    bool was_called, slow;

    weir__exempt_lock(&pool->mutex);
    was_called = self->coming;
    if (was_called)
        arrive(self);
    if (done)
        finish(self, done, now_ns);
    job = take(self, was_called, now_ns);
    if (!job)
        go_idle(self, now_ns);
    else if (was_called && pool->jobs.count > 0)
        watcher = weir__pool_watch_ask(pool);
    self->curious = weir__growth_is_curious(&pool->growth, pool->jobs.count);
    help = weir__pool_find_help(pool, now_ns);
    pthread_mutex_unlock(&pool->mutex);
    slow = done && hand_back(pool, done);
    slow |= weir__pool_call_help(pool, help);
    if (watcher) {
        weir__loop_ring(watcher);
        slow = true;
    }
    if (slow && job) /* that is not the job's time */
        job->started_ns = weir__clock_now();
    return job;
}

static void run(struct weir__pool_thread *self, struct weir__job *job)
{
    bool curious = self->curious;
    long before;

    self->sleep = WEIR__GROWTH_UNASKED;
    if (job->state == WEIR__JOB_DONE)
        return;
    weir__inherited_replace(&weir__inherited_of_thread, job->inherited);
    before = curious ? count_sleeps() : 0;
    job->result = job->fn(job->arg);
    if (curious)
        self->sleep = count_sleeps() == before ? WEIR__GROWTH_AWAKE : WEIR__GROWTH_SLEPT;
    weir__inherited_replace(&weir__inherited_of_thread, &weir__inherited_nothing);
}

static void join(struct weir__pool_thread *thread)
{
    if (!thread)
        return;
    pthread_join(thread->handle, NULL);
    weir__memory_free(thread);
}

static void *work(void *arg)
{
    struct weir__pool_thread *self = arg;
    struct weir__job *job = NULL;
    char name[16];

    self->handle = pthread_self();
    snprintf(name, sizeof name, "%s-%u", self->pool->thread_name, self->number % NAME_COUNT);
    pthread_setname_np(self->handle, name);
    if (self->pool->has_cpus)
        pthread_setaffinity_np(self->handle, sizeof self->pool->cpus, &self->pool->cpus);
    while (!self->ended) {
        job = next_job(self, job);
        if (job)
            run(self, job);
        else if (!self->ended)
            rest(self);
    }
    join(self->previous);
    if (self->is_last) { /* nobody will join it */
        struct weir_pool *pool = self->pool;

        pthread_detach(self->handle);
        weir__memory_free(self);
        weir__pool_free(pool);
    }
    return NULL;
}

/* A thread that is counted already. */
static int start_thread(struct weir_pool *pool)
{
    struct weir__pool_thread *thread = weir__memory_alloc(NULL, sizeof *thread);
    pthread_t handle;
    int error;

    if (!thread)
        return -ENOMEM;
    *thread = (struct weir__pool_thread){
        .pool = pool,
        /* relaxed: it only names the thread */
        .number = atomic_fetch_add_explicit(&pool->started_count, 1, memory_order_relaxed),
        .coming = true,
        .is_new = true,
    };
    weir__list_init(&thread->link);
    error = weir__thread_create(&handle, work, thread);
    if (error < 0)
        weir__memory_free(thread);
    return error;
}

bool weir__pool_call_help(struct weir_pool *pool, struct weir__pool_help help)
{
    if (!help.start && !help.asleep)
        return false;
    if (help.start && start_thread(pool) < 0) {
        /* The threads there are must do; one that became idle meanwhile is called instead. */
        weir__exempt_lock(&pool->mutex);
        pool->retry_ns = weir__clock_add(weir__clock_now(), RETRY_NS);
        pool->coming_count--;
        pool->starting_count--;
        pool->stats.threads--;
        pthread_cond_signal(&pool->all_ended); /* a runtime that ends may wait for this one, too */
        if (!weir__list_empty(&pool->idle))
            help = weir__pool_find_help(pool, weir__clock_now());
        pthread_mutex_unlock(&pool->mutex);
    }
    if (help.asleep)
        wake(help.asleep);
    return true;
}

int weir__pool_start(struct weir_pool *pool)
{
    bool first;
    int error = 0;

    weir__exempt_lock(&pool->mutex);
    first = pool->stats.threads == 0;
    if (first)
        error = start_thread(pool); /* it waits for the mutex before it looks at what follows */
    if (first && error >= 0) {
        pool->coming_count = 1;
        pool->starting_count = 1;
        pool->stats.threads = 1;
    }
    pthread_mutex_unlock(&pool->mutex);
    return error;
}

bool weir__pool_stop(struct weir_pool *pool)
{
    struct weir__list *link;
    bool left;

    weir__exempt_lock(&pool->mutex);
    WEIR_ASSERT(pool->jobs.count == 0);
    pool->stopping = true;
    while ((link = pool->idle.next) != &pool->idle) {
        struct weir__pool_thread *thread = WEIR_CONTAINER_OF(link, struct weir__pool_thread, link);

        if (call_idle(pool, thread, weir__clock_now()))
            wake(thread);
    }
    while (pool->stats.threads > pool->stats.threads_busy)
        pthread_cond_wait(&pool->all_ended, &pool->mutex);
    left = pool->left = pool->stats.threads > 0;
    pthread_mutex_unlock(&pool->mutex);
    if (!left)
        join(pool->ended);
    return !left;
}
