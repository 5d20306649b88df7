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
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct weir__clause_internal) <= sizeof((struct weir_clause *)0)->internal,
               "weir_clause.internal must hold what select needs");

/* The way through a select is compiled twice, so that plain clauses do not pay for careful ones. */
#define TWICE static inline __attribute__((always_inline))

enum {
    SMALL_COUNT = 64, /* clauses whose locks are sorted on the stack */
    LOOK_EVERY = 16,  /* selects of a loop, of which one looks at its clauses on I/O */
};

/* The locks of all clauses, distinct, by address. */
struct lock_set {
    struct weir__lock **locks;
    size_t count;
};

static bool enabled(const struct weir_clause *clause)
{
    return clause->verbs != NULL;
}

/* Whether the call makes sense and one clause could win: 0, 1 when a clause has a prepare or
 * finish, or -EINVAL. */
static inline int check(const struct weir_clause *clauses, size_t count, unsigned flags,
                        int64_t deadline_ns)
{
    bool any = deadline_ns != WEIR_FOREVER;
    int is_careful = 0;

    if (WEIR_UNLIKELY((count && !clauses) || (flags & ~(unsigned)WEIR_SELECT_PRIORITY)))
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        const struct weir_clause_verbs *verbs = clauses[i].verbs;

        if (WEIR_UNLIKELY(!verbs))
            continue;
        any = true;
        is_careful |= verbs->is_careful;
    }
    return any ? is_careful : -EINVAL;
}

static void finish(const struct weir__selection *selection, size_t count, int won)
{
    for (size_t i = 0; i < count; i++) {
        struct weir_clause *clause = &selection->clauses[i];

        if (enabled(clause) && clause->verbs->finish)
            clause->verbs->finish(clause, (int)i == won);
    }
}

static int prepare(const struct weir__selection *selection)
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
TWICE void add_lock(struct lock_set *set, struct weir__lock *lock)
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

TWICE void collect_locks(struct lock_set *set, const struct weir__selection *selection)
{
    for (size_t i = 0; i < selection->count; i++) {
        struct weir_clause *clause = &selection->clauses[i];

        if (enabled(clause) && weir__clause_internal(clause)->lock)
            add_lock(set, weir__clause_internal(clause)->lock);
    }
}

TWICE void lock_all(const struct lock_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        weir__lock_acquire(set->locks[i]);
}

TWICE void unlock_all(const struct lock_set *set)
{
    for (size_t i = set->count; i > 0; i--)
        weir__lock_release(set->locks[i - 1]);
}

static uint32_t random_below(uint32_t bound)
{
    return weir__random_below(weir__wait_random(), bound);
}

/*
 * Under the locks: commits one ready clause and returns its index, or -EAGAIN. Without the priority
 * flag every ready clause has the same chance, whatever lies between them: those that are ready are
 * tried in a random order, shuffled as far as it is needed. A try may still fail, since a waiting
 * peer may have been decided elsewhere.
 */
TWICE int scan(const struct weir__selection *selection, struct weir__wait **wake)
{
    struct weir_clause *clauses = selection->clauses;
    bool in_order = selection->flags & WEIR_SELECT_PRIORITY;
    uint32_t ready_count = 0;

    for (uint32_t i = 0; i < selection->count; i++)
        if (enabled(&clauses[i]) && clauses[i].verbs->ready(&clauses[i]))
            clauses[ready_count++].order = i;
    for (uint32_t i = 0; i < ready_count; i++) {
        uint32_t rest = ready_count - i;
        uint32_t pick = in_order || rest == 1 ? i : i + random_below(rest);
        uint32_t index = clauses[pick].order;

        clauses[pick].order = clauses[i].order;
        if (clauses[index].verbs->try(&clauses[index], wake))
            return (int)index;
    }
    return -EAGAIN;
}

/* Under the locks. */
TWICE void arm(const struct weir__selection *selection, struct weir__wait *wait)
{
    for (size_t i = 0; i < selection->count; i++) {
        struct weir_clause *clause = &selection->clauses[i];
        struct weir__waiter *waiter = &weir__clause_internal(clause)->waiter;

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

TWICE void disarm(const struct weir__selection *selection, int code)
{
    for (size_t i = 0; i < selection->count; i++) {
        struct weir_clause *clause = &selection->clauses[i];
        struct weir__waiter *waiter = &weir__clause_internal(clause)->waiter;

        if (!enabled(clause))
            continue;
        if ((int)i == code)
            clause->verbs->fired(clause, waiter);
        else
            clause->verbs->disarm(clause, waiter);
    }
}

/*
 * Armed, and without the locks: others may have claimed the wait already. In a random order, since
 * the first that turns out to be ready wins.
 */
static void launch(const struct weir__selection *selection, const struct weir__wait *wait)
{
    struct weir_clause *clauses = selection->clauses;
    uint32_t count = 0;

    for (uint32_t i = 0; i < selection->count; i++)
        if (enabled(&clauses[i]) && clauses[i].verbs->launch)
            clauses[count++].order = i;
    for (uint32_t i = 0; i < count && weir__wait_is_open(wait); i++) {
        uint32_t pick = i + random_below(count - i);
        struct weir_clause *clause = &clauses[clauses[pick].order];

        clauses[pick].order = clauses[i].order;
        clause->verbs->launch(clause, &weir__clause_internal(clause)->waiter);
    }
}

/* The kinds of the clauses, and what they are about where that is known. */
static void describe_selection(const void *object, char *text, size_t bytes)
{
    const struct weir__selection *selection = object;
    size_t used = 0;

    text[0] = 0;
    for (size_t i = 0; i < selection->count && used + 1 < bytes; i++) {
        const struct weir_clause *clause = &selection->clauses[i];
        const struct weir__reason *reason = clause->verbs ? clause->verbs->reason : NULL;

        if (!clause->verbs)
            continue;
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", used ? ", " : "",
                                 clause->verbs->name);
        if (!reason || !reason->describe || used + 2 >= bytes)
            continue;
        text[used++] = ' ';
        reason->describe(clause->object, text + used, bytes - used);
        used += strlen(text + used);
    }
}

const struct weir__reason weir__select_awaits = { "select", WEIR_PHASE_TASK, describe_selection };

/* All clauses at one instant: the index of the winner, or an error. */
TWICE int choose_under(const struct lock_set *set, const struct weir__selection *selection,
                       bool is_careful, int64_t deadline_ns)
{
    struct weir__wait *wake = NULL;
    int refusal, code;

    lock_all(set);
    code = scan(selection, &wake);
    refusal = code == -EAGAIN ? weir__wait_refuse(deadline_ns) : code;
    if (code == -EAGAIN && refusal >= 0) {
        struct weir__wait *wait = weir__wait_self();

        weir__wait_begin(wait, &weir__select_awaits, selection);
        arm(selection, wait);
        unlock_all(set);
        if (is_careful)
            launch(selection, wait);
        code = weir__wait_park(wait, deadline_ns, WEIR__PARK_CANCELLABLE);
        disarm(selection, code);
        return code;
    }
    unlock_all(set);
    weir__wait_settle(wake);
    return refusal;
}

/* With room for the locks: the caller's, or on the stack while they are few. */
TWICE int choose(const struct weir__selection *selection, bool is_careful, int64_t deadline_ns)
{
    struct weir__lock *few[SMALL_COUNT];
    struct lock_set set = { .locks = selection->locks ? selection->locks : few };
    int code;

    if (set.locks == few && selection->count > SMALL_COUNT)
        set.locks = weir__memory_alloc(NULL, selection->count * sizeof *set.locks);
    if (!set.locks)
        return -ENOBUFS;
    collect_locks(&set, selection);
    code = choose_under(&set, selection, is_careful, deadline_ns);
    if (set.locks != few && set.locks != selection->locks)
        weir__memory_free(set.locks);
    return code;
}

static __attribute__((noinline)) int choose_quickly(const struct weir__selection *selection,
                                                    int64_t deadline_ns)
{
    return choose(selection, false, deadline_ns);
}

/* Once in every sixteen, at a place drawn anew each time, so that tasks that take turns do not
 * share the looks unevenly. */
static bool look_is_due(struct weir__loop *loop)
{
    if (loop->looks_left == 0) {
        loop->looks_left = LOOK_EVERY;
        loop->looks_at = (uint8_t)random_below(LOOK_EVERY);
    }
    return --loop->looks_left == loop->looks_at;
}

static bool has_looks(const struct weir__selection *selection)
{
    bool any = false;

    for (size_t i = 0; i < selection->count; i++)
        any |= enabled(&selection->clauses[i]) && selection->clauses[i].verbs->look;
    return any;
}

/* Asks the kernel about the clauses on I/O, where the answer is needed before the select parks. */
static void look(const struct weir__selection *selection, int64_t deadline_ns)
{
    if (!has_looks(selection) ||
        !(look_is_due(weir__loop_current) || (selection->flags & WEIR_SELECT_PRIORITY) ||
          (deadline_ns != WEIR_FOREVER && weir__wait_refusal(deadline_ns) < 0)))
        return;
    for (size_t i = 0; i < selection->count; i++) {
        struct weir_clause *clause = &selection->clauses[i];

        if (enabled(clause) && clause->verbs->look)
            clause->verbs->look(clause);
    }
}

static __attribute__((noinline)) int choose_carefully(const struct weir__selection *selection,
                                                      int64_t deadline_ns)
{
    int code = prepare(selection);

    if (code < 0)
        return code;
    look(selection, deadline_ns);
    code = choose(selection, true, deadline_ns);
    finish(selection, selection->count, code);
    return code;
}

/*
 * One clause alone, drawn at random. If it is ready it may win: every ready clause has the same
 * chance to be drawn here, as it has in the scan that follows when the one drawn is not ready.
 */
static inline int try_one(struct weir_clause *clauses, size_t count)
{
    uint32_t index = random_below((uint32_t)count);

    return WEIR_LIKELY(clauses[index].verbs->try_alone(&clauses[index])) ? (int)index : -EAGAIN;
}

/* Whether every clause is enabled and can be tried alone. */
static inline bool all_plain(const struct weir_clause *clauses, size_t count)
{
    bool plain = true;

    for (size_t i = 0; i < count; i++)
        plain &= clauses[i].verbs && clauses[i].verbs->try_alone;
    return plain;
}

int weir__select_with_room(struct weir_clause *clauses, size_t count, unsigned flags,
                           int64_t deadline_ns, struct weir__lock **locks)
{
    const struct weir__selection selection = {
        .clauses = clauses,
        .count = count,
        .flags = flags,
        .locks = locks,
    };
    int is_careful = check(clauses, count, flags, deadline_ns);
    int code = is_careful < 0 ? is_careful : weir__wait_check();

    if (code < 0)
        return code;
    if (count && !flags && all_plain(clauses, count)) {
        code = try_one(clauses, count);
        if (code >= 0)
            return code;
    }
    return is_careful ? choose_carefully(&selection, deadline_ns)
                      : choose_quickly(&selection, deadline_ns);
}

/* Whatever is not plain, or not right. */
static __attribute__((noinline)) int select_carefully(struct weir_clause *clauses, size_t count,
                                                      unsigned flags, int64_t deadline_ns)
{
    if (count > WEIR_SELECT_MAX)
        return -EINVAL;
    return weir__select_with_room(clauses, count, flags, deadline_ns, NULL);
}

static __attribute__((noinline)) int choose_plain(struct weir_clause *clauses, size_t count,
                                                  int64_t deadline_ns)
{
    const struct weir__selection selection = { .clauses = clauses, .count = count };

    return choose_quickly(&selection, deadline_ns);
}

int weir_select(struct weir_clause *clauses, size_t count, unsigned flags, int64_t deadline_ns)
{
    int code;

    if (WEIR_UNLIKELY(count - 1 >= WEIR_SELECT_MAX || !clauses || flags ||
                      !all_plain(clauses, count) || weir__wait_check() < 0))
        return select_carefully(clauses, count, flags, deadline_ns);
    code = try_one(clauses, count);
    return WEIR_LIKELY(code >= 0) ? code : choose_plain(clauses, count, deadline_ns);
}

static bool timer_ready(const struct weir_clause *clause)
{
    if (clause->deadline_ns == INT64_MAX)
        return false;
    /* The loop's reading is never ahead of the clock: what it calls due is. */
    return clause->deadline_ns <= weir__wait_now() || clause->deadline_ns <= weir__clock_now();
}

static bool timer_try(struct weir_clause *clause, struct weir__wait **wake)
{
    (void)wake;
    clause->result = 0;
    return timer_ready(clause);
}

static bool timer_try_alone(struct weir_clause *clause)
{
    if (!timer_try(clause, NULL))
        return false;
    weir__wait_settle(NULL);
    return true;
}

static void timer_fire(struct weir__timer *timer)
{
    struct weir__clause_internal *state =
        WEIR_CONTAINER_OF(timer, struct weir__clause_internal, timer);

    weir__wait_fire(state->waiter.wait, state->waiter.index);
}

static void timer_arm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    struct weir__timer *timer = &weir__clause_internal(clause)->timer;

    weir__timer_init(timer, timer_fire);
    if (clause->deadline_ns != INT64_MAX)
        weir__wait_arm_timer(waiter->wait, timer, clause->deadline_ns);
}

static void timer_disarm(struct weir_clause *clause, struct weir__waiter *waiter)
{
    weir__wait_disarm_timer(waiter->wait, &weir__clause_internal(clause)->timer);
}

static void timer_fired(struct weir_clause *clause, struct weir__waiter *waiter)
{
    (void)waiter;
    clause->result = 0;
}

static const struct weir_clause_verbs timer_verbs = {
    .name = "timer",
    .ready = timer_ready,
    .try = timer_try,
    .try_alone = timer_try_alone,
    .arm = timer_arm,
    .disarm = timer_disarm,
    .fired = timer_fired,
};

struct weir_clause weir_clause_timer(int64_t deadline_ns)
{
    return (struct weir_clause){ .verbs = &timer_verbs, .deadline_ns = deadline_ns };
}
