/* SPDX-License-Identifier: MIT */
/*
 * The stage for the conformance cases: one body runs in every setting. The body is the root task on
 * loop 0; its actors, the other side, are tasks on the same loop, tasks on a second loop, or plain
 * threads. That something has parked is read from the channel, never guessed from a time.
 */
#ifndef WEIR_TESTS_SYNC_FIXTURE_H
#define WEIR_TESTS_SYNC_FIXTURE_H

#include "base/clock.h"
#include "base/lock.h"
#include "core/sched.h"
#include "support/support.h"
#include "sync/chan.h"

#include <weir.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum setting { SAME_LOOP, TWO_LOOPS, WITH_THREAD, SETTING_COUNT };

/* Where a case runs. */
enum {
    ALONE = 1 << SAME_LOOP,
    ACROSS = 1 << TWO_LOOPS,
    ON_TASKS = ALONE | ACROSS,
    ON_THREAD = 1 << WITH_THREAD,
    EVERYWHERE = ON_TASKS | ON_THREAD,
};

/* The capacities of a case that leaves them open. */
#define ANY_CAPACITY 0, 1, 2, 7, 64

enum { PATIENCE_S = 60, LONG_PATIENCE_S = 1200, EAGER_ROUNDS = 1000, PAUSE_US = 20 };

struct scene {
    enum setting setting;
    size_t capacity;
    struct weir_scope *scope;
};

/* CHECK_EQUAL for any two integers. */
#define CHECK_SAME(left, right)                                                                    \
    test_check_equal((long long)(left), (long long)(right), __FILE__, __LINE__, #left, #right)

typedef void scene_fn(struct scene *scene);

/* Somebody who acts beside the root task. */
struct actor {
    weir_task_fn *fn;
    void *arg;
    struct weir_task *task; /* NULL: a plain thread */
    pthread_t thread;
    atomic_bool done;
};

/* One send or receive by an actor. */
struct op {
    struct actor actor;
    struct weir_chan *chan;
    uint64_t value;
    int64_t deadline_ns;
    int result;
};

/* --- Waiting for a state --- */

/* When a wait for a state is given up: something is broken. */
static inline int64_t end_of_patience(void)
{
    return weir_in_seconds(test_tier() == TEST_FAST ? PATIENCE_S : LONG_PATIENCE_S);
}

static inline void give_way(unsigned round)
{
    const struct timespec pause = { .tv_nsec = PAUSE_US * 1000 };
    bool eager = round < EAGER_ROUNDS;

    if (eager && round % 32 == 31)
        sched_yield(); /* whoever is waited for may need this very core */
    if (weir_task_self())
        (void)(eager ? weir_yield() : weir_sleep(weir_in_us(PAUSE_US)));
    else if (eager)
        weir__cpu_pause();
    else
        nanosleep(&pause, NULL);
}

/* Waits until `condition` holds; a case that waits in vain fails. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        int64_t await_end_ns = 0;                                                                  \
        for (unsigned await_round = 0; !(condition); await_round++) {                              \
            if (await_round == EAGER_ROUNDS)                                                       \
                await_end_ns = end_of_patience();                                                  \
            if (await_round > EAGER_ROUNDS && weir_now_ns() > await_end_ns) {                      \
                CHECK(condition);                                                                  \
                break;                                                                             \
            }                                                                                      \
            give_way(await_round);                                                                 \
        }                                                                                          \
    } while (0)

static inline struct weir_chan_stats look(struct weir_chan *chan)
{
    struct weir_chan_stats stats;

    CHECK_SAME(weir_chan_read_stats(chan, &stats), 0);
    return stats;
}

static inline void await_senders(struct weir_chan *chan, size_t count)
{
    AWAIT(look(chan).waiting_senders == count);
    weir__chan_verify(chan);
}

static inline void await_receivers(struct weir_chan *chan, size_t count)
{
    AWAIT(look(chan).waiting_receivers == count);
    weir__chan_verify(chan);
}

/* --- Actors --- */

static inline int actor_main(void *arg)
{
    struct actor *actor = arg;
    int result = actor->fn(actor->arg);

    atomic_store(&actor->done, true);
    return result;
}

static inline void *actor_thread(void *arg)
{
    return (void *)(intptr_t)actor_main(arg);
}

/* Starts an actor on a loop, or, with `loop` negative, on a thread of its own. */
static inline void actor_start_at(struct scene *scene, struct actor *actor, int loop,
                                  weir_task_fn *fn, void *arg)
{
    struct weir_spawn_options options = {
        .name = "actor",
        .task = &actor->task,
        .place = WEIR_PLACE_LOOP,
        .loop_index = (unsigned)loop,
        .wait_ns = INT64_MAX,
    };

    *actor = (struct actor){ .fn = fn, .arg = arg };
    if (loop < 0)
        CHECK_SAME(pthread_create(&actor->thread, NULL, actor_thread, actor), 0);
    else
        CHECK_SAME(weir_spawn(scene->scope, actor_main, actor, &options), 0);
}

/* On the other side. */
static inline void actor_start(struct scene *scene, struct actor *actor, weir_task_fn *fn,
                               void *arg)
{
    static const int loops[SETTING_COUNT] = { [TWO_LOOPS] = 1, [WITH_THREAD] = -1 };

    actor_start_at(scene, actor, loops[scene->setting], fn, arg);
}

/* The index-th of a crowd: on both sides in turn. */
static inline void actor_start_in_crowd(struct scene *scene, struct actor *actor, size_t index,
                                        weir_task_fn *fn, void *arg)
{
    if (index % 2)
        actor_start(scene, actor, fn, arg);
    else
        actor_start_at(scene, actor, 0, fn, arg);
}

/* Waits for its end; returns what its function returned. */
static inline int actor_join(struct actor *actor)
{
    void *thread_result;
    int result = -1;

    if (actor->task) {
        CHECK_SAME(weir_join(actor->task, &result, end_of_patience()), 0);
        return result;
    }
    AWAIT(atomic_load(&actor->done)); /* a join that blocks would stop the loop's other tasks */
    pthread_join(actor->thread, &thread_result);
    return (int)(intptr_t)thread_result;
}

static inline bool is_done(struct op *op)
{
    return atomic_load(&op->actor.done);
}

static inline int op_send(void *arg)
{
    struct op *op = arg;

    op->result = weir_chan_send(op->chan, &op->value, op->deadline_ns);
    return op->result;
}

static inline int op_recv(void *arg)
{
    struct op *op = arg;

    op->result = weir_chan_recv(op->chan, &op->value, op->deadline_ns);
    return 0;
}

/* Starts a send that must park, and returns when it has. */
static inline void begin_send(struct scene *scene, struct op *op, struct weir_chan *chan,
                              uint64_t value)
{
    size_t waiting = look(chan).waiting_senders;

    op->chan = chan;
    op->value = value;
    op->deadline_ns = WEIR_FOREVER;
    actor_start(scene, &op->actor, op_send, op);
    await_senders(chan, waiting + 1);
    CHECK(!is_done(op));
}

static inline void begin_recv(struct scene *scene, struct op *op, struct weir_chan *chan)
{
    size_t waiting = look(chan).waiting_receivers;

    op->chan = chan;
    op->value = UINT64_MAX;
    op->deadline_ns = WEIR_FOREVER;
    actor_start(scene, &op->actor, op_recv, op);
    await_receivers(chan, waiting + 1);
    CHECK(!is_done(op));
}

/* Waits for the op's end and returns its result. */
static inline int end_op(struct op *op)
{
    actor_join(&op->actor);
    return op->result;
}

/* A select by an actor. */
enum { PICK_MAX = 4 };

struct pick {
    struct actor actor;
    struct weir_clause clauses[PICK_MAX];
    size_t count;
    unsigned flags;
    int64_t deadline_ns;
    int won;
};

static inline int pick_once(void *arg)
{
    struct pick *pick = arg;

    pick->won = weir_select(pick->clauses, pick->count, pick->flags, pick->deadline_ns);
    return 0;
}

static inline size_t count_waiters(struct weir_chan *chan)
{
    struct weir_chan_stats stats = look(chan);

    return stats.waiting_senders + stats.waiting_receivers;
}

/* Starts a select over the given clauses, the first of a channel, that must park. */
static inline void begin_pick(struct scene *scene, struct pick *pick, size_t count,
                              const struct weir_clause *clauses)
{
    struct weir_chan *chan = clauses[0].object;
    size_t waiting = count_waiters(chan);

    *pick = (struct pick){ .count = count, .deadline_ns = WEIR_FOREVER };
    memcpy(pick->clauses, clauses, count * sizeof *clauses);
    actor_start(scene, &pick->actor, pick_once, pick);
    AWAIT(count_waiters(chan) > waiting);
    weir__chan_verify(chan);
    CHECK(!atomic_load(&pick->actor.done));
}

/* Its end: the index of the winner, or an error. */
static inline int end_pick(struct pick *pick)
{
    actor_join(&pick->actor);
    return pick->won;
}

/* --- Channels of numbers --- */

static inline struct weir_chan *make_chan(size_t capacity, const struct weir_chan_options *options)
{
    struct weir_chan *chan = NULL;

    CHECK_SAME(weir_chan_create(&chan, sizeof(uint64_t), capacity, options), 0);
    return chan;
}

static inline struct weir_chan *make_policy_chan(size_t capacity, enum weir_chan_policy policy)
{
    return make_chan(capacity, &(struct weir_chan_options){ .policy = policy });
}

static inline int try_send(struct weir_chan *chan, uint64_t value)
{
    int result = weir_chan_send(chan, &value, WEIR_NOW);

    weir__chan_verify(chan);
    return result;
}

static inline int try_recv(struct weir_chan *chan, uint64_t *value)
{
    int result = weir_chan_recv(chan, value, WEIR_NOW);

    weir__chan_verify(chan);
    return result;
}

/* Sends 1 .. count, none of which may park. */
static inline void fill(struct weir_chan *chan, size_t count)
{
    for (uint64_t value = 1; value <= count; value++)
        CHECK_SAME(try_send(chan, value), 0);
}

/* Receives a value that must be ready, and must be this one. */
static inline void take_value(struct weir_chan *chan, uint64_t expected)
{
    uint64_t value = UINT64_MAX;

    CHECK_SAME(try_recv(chan, &value), 0);
    CHECK_SAME(value, expected);
}

static inline void drain(struct weir_chan *chan, size_t count)
{
    for (uint64_t value = 1; value <= count; value++)
        take_value(chan, value);
}

/* Releases the last reference while standard error goes to `text`. */
static inline int release_overheard(struct weir_chan *chan, char *text, size_t bytes)
{
    int file = memfd_create("stderr", MFD_CLOEXEC);
    int saved = dup(STDERR_FILENO);
    ssize_t length;
    int result;

    dup2(file, STDERR_FILENO);
    result = weir_chan_release(chan);
    dup2(saved, STDERR_FILENO);
    length = pread(file, text, bytes - 1, 0);
    text[length > 0 ? length : 0] = 0;
    close(saved);
    close(file);
    return result;
}

/* --- Playing a case --- */

struct play {
    scene_fn *body;
    enum setting setting;
    const size_t *capacities;
    size_t count;
};

static inline int play_root(void *arg)
{
    const struct play *play = arg;

    for (size_t i = 0; i < play->count; i++) {
        struct scene scene = { .setting = play->setting, .capacity = play->capacities[i] };

        CHECK_SAME(weir_scope_create(&scene.scope, WEIR_SCOPE_SUPERVISE, NULL), 0);
        play->body(&scene);
        CHECK_SAME(weir_scope_join(scene.scope, end_of_patience()), 0);
    }
    return 0;
}

static inline void play_case(scene_fn *body, unsigned settings, const size_t *capacities,
                             size_t count)
{
    for (enum setting setting = 0; setting < SETTING_COUNT; setting++) {
        struct weir_options options = {
            .loop_count = setting == TWO_LOOPS ? 2 : 1,
            .cpu_threads = 8, /* so that computations can wait for each other on any machine */
        };
        struct play play = { body, setting, capacities, count };

        if (settings & 1u << setting)
            assert_int_equal(test_run(play_root, &play, &options), 0);
    }
}

/* A case: its name, where it runs, the capacities it runs with, and then its body. */
#define CASE(name, settings, ...)                                                                  \
    static scene_fn name##_body;                                                                   \
    static void name(void **state)                                                                 \
    {                                                                                              \
        static const size_t capacities[] = { __VA_ARGS__ };                                        \
                                                                                                   \
        (void)state;                                                                               \
        play_case(name##_body, settings, capacities, sizeof capacities / sizeof capacities[0]);    \
    }                                                                                              \
    static void name##_body(struct scene *scene)

/* --- Chance --- */

/* xorshift64; `state` must not be zero. */
static inline uint64_t roll(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Debug builds call this at each release of a lock. Only the thread gives way: a task that did, in
 * the middle of a call, would break the rule that nothing parks twice. */
static inline void yield_at_random(void)
{
    static __thread uint64_t state;

    if (!state)
        state = (uint64_t)(uintptr_t)&state;
    if (roll(&state) % 64 == 0)
        sched_yield();
}

/* A short pause of random length, so that two who race meet at every point in time. */
static inline void dawdle(uint64_t *state)
{
    for (uint64_t pauses = roll(state) % 128; pauses > 0; pauses--)
        weir__cpu_pause();
}

/* Where those who race through many rounds wait for each other: two, unless it says otherwise. */
struct barrier {
    unsigned parties;
    atomic_ulong arrivals;
};

static inline void meet(struct barrier *barrier)
{
    unsigned long parties = barrier->parties ? barrier->parties : 2;
    unsigned long complete = (atomic_fetch_add(&barrier->arrivals, 1) / parties + 1) * parties;

    AWAIT(atomic_load(&barrier->arrivals) >= complete);
}

/* The group's set-up. */
static inline int set_stage(void **state)
{
    (void)state;
    weir__lock_release_hook = yield_at_random;
    return 0;
}

#endif
