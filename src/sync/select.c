/* SPDX-License-Identifier: MIT */
/*
 * Select: see core/clause.h for the verbs and their order, core/wait.h for how one clause wins.
 *
 * All distinct locks are taken in the order of their addresses, so two selects never wait for each
 * other, and held over the whole scan and the arming: select acts on one instant. A parked select
 * is claimed by peers through its wait, each holding only its own channel's lock.
 */
#include "sync/select.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "core/clause.h"
#include "core/park.h"

#include <errno.h>

_Static_assert(sizeof(struct weir__clause_internal) <= sizeof((struct weir_clause *)0)->internal,
               "weir_clause.internal must hold what select needs");

enum { SMALL_COUNT = 64 }; /* clauses whose locks are sorted on the stack */

struct selection {
    struct weir_clause *clauses;
    size_t count;
    unsigned flags;
    bool careful;              /* some clause has a prepare or finish */
    struct weir__lock **locks; /* the caller's room for `count` of them, or NULL */
};

/* The locks of all clauses, distinct, by address. */
struct lock_set {
    struct weir__lock **locks;
    size_t count;
};

static struct weir__clause_internal *internal(struct weir_clause *clause)
{
    return (struct weir__clause_internal *)clause->internal;
}

static bool enabled(const struct weir_clause *clause)
{
    return clause->verbs != NULL;
}

/* Whether the call makes sense, one clause could win, and any clause has a prepare or finish. */
static int check(struct selection *selection, int64_t deadline_ns)
{
    bool any = false;

    if (WEIR_UNLIKELY((selection->count && !selection->clauses) ||
                      (selection->flags & ~(unsigned)WEIR_SELECT_PRIORITY)))
        return -EINVAL;
    for (size_t i = 0; i < selection->count; i++) {
        const struct weir_clause_verbs *verbs = selection->clauses[i].verbs;

        if (!verbs)
            continue;
        any = true;
        selection->careful |= verbs->prepare || verbs->finish;
    }
    return any || deadline_ns != WEIR_FOREVER ? 0 : -EINVAL;
}

static void finish(const struct selection *selection, size_t count, int won)
{
    for (size_t i = 0; i < count; i++) {
        struct weir_clause *clause = &selection->clauses[i];

        if (enabled(clause) && clause->verbs->finish)
            clause->verbs->finish(clause, (int)i == won);
    }
}

static int prepare(const struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++) {
        struct weir_clause *clause = &selection->clauses[i];
        int error = 0;

        if (enabled(clause) && clause->verbs->prepare)
            error = clause->verbs->prepare(clause);
        if (error < 0) {
            finish(selection, i, -1);
            return error;
        }
    }
    return 0;
}

/* Sorts in place by repeated insertion: few clauses, mostly in order already. */
static void add_lock(struct lock_set *set, struct weir__lock *lock)
{
    size_t place = set->count;

    while (place > 0 && set->locks[place - 1] > lock)
        place--;
    if (place > 0 && set->locks[place - 1] == lock)
        return;
    for (size_t i = set->count; i > place; i--)
        set->locks[i] = set->locks[i - 1];
    set->locks[place] = lock;
    set->count++;
}

static void collect_locks(struct lock_set *set, const struct selection *selection)
{
    for (size_t i = 0; i < selection->count; i++) {
        struct weir_clause *clause = &selection->clauses[i];

        if (enabled(clause) && clause->verbs->lock)
            add_lock(set, clause->verbs->lock(clause));
    }
}

static void lock_all(const struct lock_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        weir__lock_acquire(set->locks[i]);
}

static void unlock_all(const struct lock_set *set)
{
    for (size_t i = set->count; i > 0; i--)
        weir__lock_release(set->locks[i - 1]);
}

static uint32_t random_below(uint32_t bound)
{
    return weir__random_below(weir__loop_random(), bound);
}

/*
 * Under the locks: commits one ready clause and returns its index, or -EAGAIN. Without the priority
 * flag every ready clause has the same chance, whatever lies between them: the clauses are tried in
 * a random order, shuffled as far as it is needed.
 */
static int scan(const struct selection *selection, struct weir__wait **wake)
{
    struct weir_clause *clauses = selection->clauses;
    uint32_t count = (uint32_t)selection->count;
    bool in_order = selection->flags & WEIR_SELECT_PRIORITY;

    for (uint32_t i = 0; i < count; i++)
        clauses[i].order = i;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t pick = in_order || i + 1 == count ? i : i + random_below(count - i);
        uint32_t index = clauses[pick].order;

        clauses[pick].order = clauses[i].order;
        if (enabled(&clauses[index]) && clauses[index].verbs->try(&clauses[index], wake))
            return (int)index;
    }
    return -EAGAIN;
}

/* Under the locks. */
static void arm(const struct selection *selection, struct weir__wait *wait)
{
    for (size_t i = 0; i < selection->count; i++) {
        struct weir_clause *clause = &selection->clauses[i];
        struct weir__waiter *waiter = &internal(clause)->waiter;

        if (!enabled(clause))
            continue;
        waiter->wait = wait;
        waiter->index = (int)i;
        waiter->alone = false;
        waiter->is_async = false;
        weir__list_init(&waiter->link);
        clause->verbs->arm(clause, waiter);
    }
}

static void disarm(const struct selection *selection, int code)
{
    for (size_t i = 0; i < selection->count; i++) {
        struct weir_clause *clause = &selection->clauses[i];
        struct weir__waiter *waiter = &internal(clause)->waiter;

        if (!enabled(clause))
            continue;
        if ((int)i == code)
            clause->verbs->fired(clause, waiter);
        else
            clause->verbs->disarm(clause, waiter);
    }
}

/* All clauses at one instant: the index of the winner, or an error. */
static int choose_under(const struct lock_set *set, struct selection *selection,
                        int64_t deadline_ns)
{
    struct weir__wait *wake = NULL;
    int refusal, code;

    lock_all(set);
    code = scan(selection, &wake);
    refusal = code == -EAGAIN ? weir__wait_refuse(deadline_ns) : code;
    if (code == -EAGAIN && refusal >= 0) {
        struct weir__wait *wait = weir__wait_self();

        weir__wait_begin(wait);
        arm(selection, wait);
        unlock_all(set);
        code = weir__wait_park(wait, deadline_ns, WEIR__PARK_CANCELLABLE);
        disarm(selection, code);
        return code;
    }
    unlock_all(set);
    weir__wait_settle(wake);
    return refusal;
}

/* With room for the locks: the caller's, or on the stack while they are few. */
static __attribute__((noinline)) int choose(struct selection *selection, int64_t deadline_ns)
{
    struct weir__lock *few[SMALL_COUNT];
    struct lock_set set = { .locks = selection->locks ? selection->locks : few };
    int code;

    if (set.locks == few && selection->count > SMALL_COUNT)
        set.locks = weir__memory_alloc(NULL, selection->count * sizeof *set.locks);
    if (!set.locks)
        return -ENOBUFS;
    collect_locks(&set, selection);
    code = choose_under(&set, selection, deadline_ns);
    if (set.locks != few && set.locks != selection->locks)
        weir__memory_free(set.locks);
    return code;
}

/*
 * One clause alone, at random or the first in order. If it is ready it may win: with the priority
 * flag it comes first anyway, and without, every ready clause has the same chance to be drawn here,
 * as it has in the scan that follows when a clause is drawn that is not ready.
 */
static int try_one(const struct selection *selection)
{
    struct weir__wait *wake = NULL;
    uint32_t index = 0;
    struct weir_clause *clause;
    struct weir__lock *lock;
    bool ready;

    if (!(selection->flags & WEIR_SELECT_PRIORITY))
        index = random_below((uint32_t)selection->count);
    clause = &selection->clauses[index];
    if (!enabled(clause))
        return -EAGAIN;
    lock = clause->verbs->lock ? clause->verbs->lock(clause) : NULL;
    if (lock)
        weir__lock_acquire(lock);
    ready = clause->verbs->try(clause, &wake);
    if (lock)
        weir__lock_release(lock);
    if (!ready)
        return -EAGAIN;
    weir__wait_settle(wake);
    return (int)index;
}

static int run(struct selection *selection, int64_t deadline_ns)
{
    int code = selection->count ? try_one(selection) : -EAGAIN;

    return code == -EAGAIN ? choose(selection, deadline_ns) : code;
}

static __attribute__((noinline)) int run_carefully(struct selection *selection, int64_t deadline_ns)
{
    int code = prepare(selection);

    if (code < 0)
        return code;
    code = run(selection, deadline_ns);
    finish(selection, selection->count, code);
    return code;
}

int weir__select_with_room(struct weir_clause *clauses, size_t count, unsigned flags,
                           int64_t deadline_ns, struct weir__lock **locks)
{
    struct selection selection = {
        .clauses = clauses,
        .count = count,
        .flags = flags,
        .locks = locks,
    };
    int error = check(&selection, deadline_ns);

    if (WEIR_UNLIKELY(error < 0))
        return error;
    error = weir__wait_check();
    if (WEIR_UNLIKELY(error < 0))
        return error;
    return WEIR_UNLIKELY(selection.careful) ? run_carefully(&selection, deadline_ns)
                                            : run(&selection, deadline_ns);
}

int weir_select(struct weir_clause *clauses, size_t count, unsigned flags, int64_t deadline_ns)
{
    if (WEIR_UNLIKELY(count > WEIR_SELECT_MAX))
        return -EINVAL;
    return weir__select_with_room(clauses, count, flags, deadline_ns, NULL);
}

static bool timer_try(struct weir_clause *clause, struct weir__wait **wake)
{
    (void)wake;
    clause->result = 0;
    return clause->deadline_ns != INT64_MAX && clause->deadline_ns <= weir__clock_now();
}

static void timer_fire(struct weir__timer *timer)
{
    struct weir__clause_internal *state =
        WEIR_CONTAINER_OF(timer, struct weir__clause_internal, timer);

    weir__wait_fire(state->waiter.wait, state->waiter.index);
}

static void timer_arm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir__timer *timer = &internal(clause)->timer;

    weir__timer_init(timer, timer_fire);
    if (clause->deadline_ns != INT64_MAX)
        weir__wait_arm_timer(waiter->wait, timer, clause->deadline_ns);
}

static void timer_disarm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    weir__wait_disarm_timer(waiter->wait, &internal(clause)->timer);
}

static void timer_fired(struct weir_clause *clause, struct weir__waiter *waiter)
{
    (void)waiter;
    clause->result = 0;
}

static const struct weir_clause_verbs timer_verbs = {
    .name = "timer",
    .try = timer_try,
    .arm = timer_arm,
    .disarm = timer_disarm,
    .fired = timer_fired,
};

struct weir_clause weir_clause_timer(int64_t deadline_ns)
{
    return (struct weir_clause){ .verbs = &timer_verbs, .deadline_ns = deadline_ns };
}
