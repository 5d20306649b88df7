/* SPDX-License-Identifier: MIT */
/* The semaphore: never more inside than it has permits, in order, from tasks and threads. */
#include "sync/fixture.h"

enum { PERMITS = 3, WAITERS = 5, RACERS = 6, ROUNDS = 2000 };

static struct weir_semaphore *make_semaphore(size_t count)
{
    struct weir_semaphore *semaphore = NULL;

    CHECK_SAME(weir_semaphore_create(&semaphore, "queries", count, PERMITS), 0);
    return semaphore;
}

static struct weir_semaphore_stats read_semaphore(struct weir_semaphore *semaphore)
{
    struct weir_semaphore_stats stats;

    CHECK_SAME(weir_semaphore_read_stats(semaphore, &stats), 0);
    return stats;
}

struct taker {
    struct actor actor;
    struct weir_semaphore *semaphore;
    int64_t deadline_ns;
    int result;
    atomic_size_t *next; /* ranks are given as they get it */
    size_t rank;
};

static int take_once(void *arg)
{
    struct taker *taker = arg;

    taker->result = weir_semaphore_take(taker->semaphore, taker->deadline_ns);
    if (taker->result >= 0)
        taker->rank = atomic_fetch_add(taker->next, 1);
    return 0;
}

static void begin_take(struct scene *scene, struct taker *taker, struct weir_semaphore *semaphore,
                       atomic_size_t *next)
{
    size_t waiting = read_semaphore(semaphore).waiting;

    *taker = (struct taker){ .semaphore = semaphore, .deadline_ns = WEIR_FOREVER, .next = next };
    actor_start(scene, &taker->actor, take_once, taker);
    AWAIT(read_semaphore(semaphore).waiting == waiting + 1);
}

CASE(permits_are_handed_over_in_order, EVERYWHERE, 0)
{
    struct weir_semaphore *semaphore = make_semaphore(PERMITS);
    struct taker takers[WAITERS];
    atomic_size_t next = 0;
    uint64_t waited_before;

    for (int i = 0; i < PERMITS; i++)
        CHECK_SAME(weir_semaphore_take(semaphore, WEIR_NOW), 0);
    CHECK_SAME(weir_semaphore_take(semaphore, WEIR_NOW), -EAGAIN);
    CHECK_SAME(weir_semaphore_take(semaphore, weir_in_us(50)), -ETIME);
    CHECK_SAME(read_semaphore(semaphore).refused_total, 1);
    CHECK_SAME(read_semaphore(semaphore).expired_total, 1);
    waited_before = read_semaphore(semaphore).waited_total; /* 0 if it came too late to wait */
    for (size_t i = 0; i < WAITERS; i++)
        begin_take(scene, &takers[i], semaphore, &next);
    CHECK_SAME(weir_semaphore_destroy(semaphore), -EBUSY);
    for (size_t i = 0; i < WAITERS; i++) {
        CHECK_SAME(weir_semaphore_give(semaphore), 0);
        actor_join(&takers[i].actor);
        CHECK_SAME(takers[i].result, 0);
        CHECK_SAME(takers[i].rank, i);
    }
    for (int i = 0; i < PERMITS; i++)
        CHECK_SAME(weir_semaphore_give(semaphore), 0);
    CHECK_SAME(weir_semaphore_give(semaphore), -EOVERFLOW);
    CHECK_SAME(read_semaphore(semaphore).count, PERMITS);
    CHECK_SAME(read_semaphore(semaphore).waited_total, waited_before + WAITERS);
    CHECK_SAME(read_semaphore(semaphore).waiting_max, WAITERS);
    CHECK(read_semaphore(semaphore).wait_max_ns <= read_semaphore(semaphore).wait_ns);
    CHECK_SAME(weir_semaphore_destroy(semaphore), 0);
}

CASE(a_cancelled_taker_takes_nothing, ON_TASKS, 0)
{
    struct weir_semaphore *semaphore = make_semaphore(0);
    struct taker first, second;
    atomic_size_t next = 0;

    begin_take(scene, &first, semaphore, &next);
    begin_take(scene, &second, semaphore, &next);
    CHECK_SAME(weir_task_cancel(first.actor.task), 0);
    actor_join(&first.actor);
    CHECK_SAME(first.result, -ECANCELED);
    CHECK_SAME(weir_semaphore_give(semaphore), 0);
    actor_join(&second.actor);
    CHECK_SAME(second.result, 0);
    CHECK_SAME(read_semaphore(semaphore).count, 0);
    CHECK_SAME(weir_semaphore_destroy(semaphore), 0);
}

struct race {
    struct weir_semaphore *semaphore;
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

        if (weir_semaphore_take(race->semaphore, deadline_ns) < 0)
            continue;
        CHECK(atomic_fetch_add(&race->inside, 1) < PERMITS);
        if (dice == 3 && weir_task_self())
            CHECK_SAME(weir_yield(), 0);
        atomic_fetch_sub(&race->inside, 1);
        atomic_fetch_add(&race->got, 1);
        CHECK_SAME(weir_semaphore_give(race->semaphore), 0);
    }
    return 0;
}

CASE(never_more_than_permits_inside, EVERYWHERE, 0)
{
    struct race race = { .semaphore = make_semaphore(PERMITS) };
    struct racer racers[RACERS];

    for (size_t i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){ .race = &race,
                                    .chance = i + 1,
                                    .rounds = test_rounds(ROUNDS, 20 * ROUNDS, 200 * ROUNDS) };
        actor_start_in_crowd(scene, &racers[i].actor, i, race_for_it, &racers[i]);
    }
    for (size_t i = 0; i < RACERS; i++)
        actor_join(&racers[i].actor);
    CHECK_SAME(read_semaphore(race.semaphore).taken_total, atomic_load(&race.got));
    CHECK_SAME(read_semaphore(race.semaphore).count, PERMITS);
    CHECK_SAME(weir_semaphore_destroy(race.semaphore), 0);
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct weir_semaphore *semaphore;

    (void)state;
    assert_int_equal(weir_semaphore_create(NULL, NULL, 0, 1), -EINVAL);
    assert_int_equal(weir_semaphore_create(&semaphore, NULL, 0, 0), -EINVAL);
    assert_int_equal(weir_semaphore_create(&semaphore, NULL, 2, 1), -EINVAL);
    assert_int_equal(
        weir_semaphore_create(&semaphore, "a name of more than thirty-one bytes", 0, 1), -E2BIG);
    assert_int_equal(weir_semaphore_take(NULL, WEIR_FOREVER), -EINVAL);
    assert_int_equal(weir_semaphore_give(NULL), -EINVAL);
    assert_int_equal(weir_semaphore_destroy(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permits_are_handed_over_in_order),
        cmocka_unit_test(a_cancelled_taker_takes_nothing),
        cmocka_unit_test(never_more_than_permits_inside),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
