/* SPDX-License-Identifier: MIT */
/* The mutex: one owner at a time, in the order of arrival, from tasks and threads. */
#include "sync/fixture.h"
#include "sync/mutex.h"

enum { WAITERS = 5, RACERS = 4, ROUNDS = 2000 };

static struct weir_mutex *make_mutex(void)
{
    struct weir_mutex *mutex = NULL;

    CHECK_SAME(weir_mutex_create(&mutex, "ledger"), 0);
    return mutex;
}

static struct weir_mutex_stats read_mutex(struct weir_mutex *mutex)
{
    struct weir_mutex_stats stats;

    CHECK_SAME(weir_mutex_read_stats(mutex, &stats), 0);
    return stats;
}

/* One lock, its result, and an unlock when it was got. */
struct locker {
    struct actor actor;
    struct weir_mutex *mutex;
    int64_t deadline_ns;
    int result;
    size_t *next; /* ranks are given as they get it */
    size_t rank;
};

static int lock_once(void *arg)
{
    struct locker *locker = arg;

    locker->result = weir_mutex_lock(locker->mutex, locker->deadline_ns);
    if (locker->result < 0)
        return 0;
    locker->rank = (*locker->next)++;
    CHECK_SAME(weir_mutex_unlock(locker->mutex), 0);
    return 0;
}

/* Starts a lock that must park, and returns when it has. */
static void begin_lock(struct scene *scene, struct locker *locker, struct weir_mutex *mutex,
                       size_t *next)
{
    size_t waiting = read_mutex(mutex).waiting;

    *locker = (struct locker){ .mutex = mutex, .deadline_ns = WEIR_FOREVER, .next = next };
    actor_start(scene, &locker->actor, lock_once, locker);
    AWAIT(read_mutex(mutex).waiting == waiting + 1);
}

CASE(it_is_handed_over_in_order, EVERYWHERE, 0)
{
    struct weir_mutex *mutex = make_mutex();
    struct locker lockers[WAITERS];
    size_t next = 0;

    CHECK_SAME(weir_mutex_lock(mutex, WEIR_FOREVER), 0);
    CHECK_SAME(weir_mutex_lock(mutex, WEIR_FOREVER), -EDEADLK);
    CHECK(read_mutex(mutex).held);
    for (size_t i = 0; i < WAITERS; i++)
        begin_lock(scene, &lockers[i], mutex, &next);
    CHECK_SAME(weir_mutex_destroy(mutex), -EBUSY);
    CHECK_SAME(weir_mutex_unlock(mutex), 0);
    for (size_t i = 0; i < WAITERS; i++) {
        actor_join(&lockers[i].actor);
        CHECK_SAME(lockers[i].result, 0);
        CHECK_SAME(lockers[i].rank, i);
    }
    CHECK_SAME(weir_mutex_unlock(mutex), -EPERM);
    CHECK(!read_mutex(mutex).held);
    CHECK_SAME(read_mutex(mutex).locked_total, WAITERS + 1);
    CHECK_SAME(read_mutex(mutex).waited_total, WAITERS);
    CHECK_SAME(read_mutex(mutex).waiting_max, WAITERS);
    CHECK(read_mutex(mutex).wait_max_ns <= read_mutex(mutex).wait_ns);
    CHECK_SAME(weir_mutex_destroy(mutex), 0);
}

CASE(only_its_owner_unlocks_it, EVERYWHERE, 0)
{
    struct weir_mutex *mutex = make_mutex();
    struct locker locker;
    size_t next = 0;

    CHECK_SAME(weir_mutex_lock(mutex, WEIR_NOW), 0);
    locker = (struct locker){ .mutex = mutex, .deadline_ns = WEIR_NOW, .next = &next };
    actor_start(scene, &locker.actor, lock_once, &locker);
    actor_join(&locker.actor);
    CHECK_SAME(locker.result, -EAGAIN);
    locker.deadline_ns = weir_in_us(50);
    actor_start(scene, &locker.actor, lock_once, &locker);
    actor_join(&locker.actor);
    CHECK_SAME(locker.result, -ETIME);
    CHECK_SAME(read_mutex(mutex).waiting, 0);
    CHECK_SAME(read_mutex(mutex).refused_total, 1);
    CHECK_SAME(read_mutex(mutex).expired_total, 1);
    CHECK_SAME(weir_mutex_unlock(mutex), 0);
    CHECK_SAME(weir_mutex_destroy(mutex), 0);
}

CASE(a_cancelled_waiter_leaves_and_an_owner_unlocks, ON_TASKS, 0)
{
    struct weir_mutex *mutex = make_mutex();
    struct locker first, second;
    size_t next = 0;

    CHECK_SAME(weir_mutex_lock(mutex, WEIR_FOREVER), 0);
    begin_lock(scene, &first, mutex, &next);
    begin_lock(scene, &second, mutex, &next);
    CHECK_SAME(weir_task_cancel(first.actor.task), 0);
    actor_join(&first.actor);
    CHECK_SAME(first.result, -ECANCELED);
    CHECK_SAME(weir_mutex_unlock(mutex), 0);
    actor_join(&second.actor);
    CHECK_SAME(second.result, 0);
    CHECK_SAME(second.rank, 0);
    CHECK_SAME(weir_mutex_destroy(mutex), 0);
}

static int unlock_cancelled(void *arg)
{
    struct weir_mutex *mutex = arg;

    CHECK_SAME(weir_mutex_lock(mutex, WEIR_FOREVER), 0);
    CHECK_SAME(weir_sleep(WEIR_FOREVER), -ECANCELED);
    CHECK_SAME(weir_mutex_lock(mutex, WEIR_NOW), -ECANCELED);
    CHECK_SAME(weir_mutex_unlock(mutex), 0);
    CHECK_SAME(weir_mutex_lock(mutex, WEIR_NOW), -ECANCELED);
    return 0;
}

CASE(a_cancelled_task_unlocks, ON_TASKS, 0)
{
    struct weir_mutex *mutex = make_mutex();
    struct actor owner;

    actor_start(scene, &owner, unlock_cancelled, mutex);
    AWAIT(read_mutex(mutex).held);
    CHECK_SAME(weir_task_cancel(owner.task), 0);
    actor_join(&owner);
    CHECK(!read_mutex(mutex).held);
    CHECK_SAME(weir_mutex_destroy(mutex), 0);
}

/* --- An owner that ends. ---------------------------------------------------------------------- */

static int lock_and_end(void *arg)
{
    CHECK_SAME(weir_mutex_lock(arg, WEIR_FOREVER), 0);
    AWAIT(read_mutex(arg).waiting == 1);
    return 0;
}

static int abandon_one(void *arg)
{
    struct weir_mutex *mutex = make_mutex();
    struct weir_spawn_options options = { .name = "careless" };
    struct weir_scope *scope;
    struct locker waiter = { .mutex = mutex, .deadline_ns = WEIR_FOREVER };

    (void)arg;
    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    CHECK_SAME(weir_spawn(scope, lock_and_end, mutex, &options), 0);
    CHECK_SAME(weir_spawn(scope, lock_once, &waiter, NULL), 0);
    CHECK_SAME(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_SAME(waiter.result, -ENOTRECOVERABLE);
    CHECK_SAME(weir_mutex_lock(mutex, WEIR_FOREVER), -ENOTRECOVERABLE);
    CHECK_SAME(weir_mutex_destroy(mutex), 0);
    return 0;
}

static void abandon_in_child(void *arg)
{
    (void)arg;
    if (test_run(abandon_one, NULL, &(struct weir_options){ .loop_count = 1 }) < 0)
        _exit(1);
}

static void an_owner_that_ends_is_named(void **state)
{
    char output[1024];

    (void)state;
    if (test_fork(abandon_in_child, NULL, output, sizeof output))
        fail_msg("%s", output);
    assert_non_null(strstr(output, "task \"careless\" ended while it held mutex \"ledger\""));
}

/* --- Races. ----------------------------------------------------------------------------------- */

struct race {
    struct weir_mutex *mutex;
    long unguarded; /* what the mutex protects: plain, so that TSan sees a breach */
    atomic_long inside;
    atomic_long got;
};

struct racer {
    struct actor actor;
    struct race *race;
    uint64_t chance;
    long rounds;
};

static int race_for_it(void *arg)
{
    struct racer *racer = arg;
    struct race *race = racer->race;

    for (long i = 0; i < racer->rounds; i++) {
        uint64_t dice = roll(&racer->chance) % 4;
        int64_t deadline_ns = dice == 0   ? WEIR_NOW
                              : dice == 1 ? weir_in_ns((int64_t)(roll(&racer->chance) % 20000))
                                          : WEIR_FOREVER;

        if (weir_mutex_lock(race->mutex, deadline_ns) < 0)
            continue;
        CHECK_SAME(atomic_fetch_add(&race->inside, 1), 0);
        race->unguarded++;
        if (dice == 3 && weir_task_self())
            CHECK_SAME(weir_yield(), 0);
        atomic_fetch_sub(&race->inside, 1);
        atomic_fetch_add(&race->got, 1);
        CHECK_SAME(weir_mutex_unlock(race->mutex), 0);
    }
    return 0;
}

CASE(one_at_a_time_whoever_races, EVERYWHERE, 0)
{
    struct race race = { .mutex = make_mutex() };
    struct racer racers[RACERS];

    for (size_t i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){ .race = &race,
                                    .chance = i + 1,
                                    .rounds = test_rounds(ROUNDS, 20 * ROUNDS, 200 * ROUNDS) };
        actor_start_in_crowd(scene, &racers[i].actor, i, race_for_it, &racers[i]);
    }
    for (size_t i = 0; i < RACERS; i++)
        actor_join(&racers[i].actor);
    CHECK_SAME(race.unguarded, atomic_load(&race.got));
    CHECK_SAME(read_mutex(race.mutex).locked_total, atomic_load(&race.got));
    CHECK_SAME(read_mutex(race.mutex).waiting, 0);
    CHECK_SAME(weir_mutex_destroy(race.mutex), 0);
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct weir_mutex *mutex;

    (void)state;
    assert_int_equal(weir_mutex_create(NULL, NULL), -EINVAL);
    assert_int_equal(weir_mutex_create(&mutex, "a name of more than thirty-one bytes"), -E2BIG);
    assert_int_equal(weir_mutex_lock(NULL, WEIR_FOREVER), -EINVAL);
    assert_int_equal(weir_mutex_unlock(NULL), -EINVAL);
    assert_int_equal(weir_mutex_destroy(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_that_ends_is_named), /* forks: before any runtime */
        cmocka_unit_test(it_is_handed_over_in_order),
        cmocka_unit_test(only_its_owner_unlocks_it),
        cmocka_unit_test(a_cancelled_waiter_leaves_and_an_owner_unlocks),
        cmocka_unit_test(a_cancelled_task_unlocks),
        cmocka_unit_test(one_at_a_time_whoever_races),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
