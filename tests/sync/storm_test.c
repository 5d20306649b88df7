/* SPDX-License-Identifier: MIT */
/* A storm of selects, on more loops than cores. Of section O of the conformance cases. */
#include "sync/fixture.h"

/* --- A storm of selects --- */

enum { STORM_CHANS = 16, STORM_TASKS = 64, STORM_LOOPS = 8 };

struct storm {
    struct weir_chan *chans[STORM_CHANS];
    bool stirred; /* one task in ten is cancelled, and one select in ten has a deadline */
    atomic_long sent;
    atomic_long received; /* or dropped, in the end */
    atomic_ulong sent_sum;
    atomic_ulong received_sum;
    unsigned long served[STORM_TASKS]; /* each its task's own */
};

static struct storm storm;

static void note_received(uint64_t value)
{
    atomic_fetch_add(&storm.received, 1);
    atomic_fetch_add(&storm.received_sum, value);
}

static void drop_in_storm(void *elem, void *context, enum weir_drop_reason reason)
{
    uint64_t value;

    (void)context;
    CHECK_SAME(reason, WEIR_DROP_ABORT);
    memcpy(&value, elem, sizeof value);
    note_received(value);
}

/* One select over a random few of the channels, a put or a take in each. Whoever has put more than
 * taken only takes, and the other way round: so there is always somebody to meet. */
static int storm_round(uint64_t *random, long *balance)
{
    size_t count = 1 + roll(random) % 8, first = roll(random) % STORM_CHANS;
    uint64_t value = roll(random) >> 32, received = 0;
    struct weir_clause clauses[8];
    int64_t deadline_ns = WEIR_FOREVER;
    int won;

    for (size_t i = 0; i < count; i++) {
        struct weir_chan *chan = storm.chans[(first + i * 5) % STORM_CHANS];

        clauses[i] = *balance > 0 || (*balance == 0 && roll(random) % 2)
                         ? weir_clause_recv(chan, &received)
                         : weir_clause_send(chan, &value);
    }
    if (storm.stirred && roll(random) % 10 == 0)
        deadline_ns = weir_in_us((int64_t)(roll(random) % 1000));
    won = weir_select(clauses, count, 0, deadline_ns);
    if (won < 0)
        return won;
    if (clauses[won].result < 0)
        return clauses[won].result;
    if (clauses[won].elem == &value) {
        ++*balance;
        atomic_fetch_add(&storm.sent, 1);
        atomic_fetch_add(&storm.sent_sum, value);
    } else {
        --*balance;
        note_received(received);
    }
    return 0;
}

static int weather_the_storm(void *arg)
{
    uint64_t index = (uintptr_t)arg, random = index + 1;
    long balance = 0;
    int result;

    do {
        result = storm_round(&random, &balance);
        storm.served[index] += result == 0;
        CHECK(result == 0 || result == -ETIME || result == -EPIPE || result == -ECANCELED);
    } while (result == 0 || result == -ETIME);
    return result;
}

/* Blows until so much has been sent; whoever is parked then is woken by an abort. */
static int blow_storm(void *arg)
{
    static struct actor actors[STORM_TASKS];
    struct weir_chan_options options = { .drop = drop_in_storm };
    struct scene scene = { .setting = TWO_LOOPS };
    long goal = *(long *)arg;

    CHECK_SAME(weir_scope_create(&scene.scope, WEIR_SCOPE_SUPERVISE, NULL), 0);
    for (size_t i = 0; i < STORM_CHANS; i++)
        storm.chans[i] = make_chan(i % 4, &options);
    for (size_t i = 0; i < STORM_TASKS; i++)
        actor_start_at(&scene, &actors[i], (int)(i % STORM_LOOPS), weather_the_storm,
                       (void *)(uintptr_t)i);
    for (size_t i = 0; storm.stirred && i < STORM_TASKS; i += 10) {
        AWAIT(atomic_load(&storm.sent) >= goal * (long)i / STORM_TASKS);
        CHECK(weir_task_cancel(actors[i].task) >= 0);
    }
    AWAIT(atomic_load(&storm.sent) >= goal);
    for (size_t i = 0; i < STORM_CHANS; i++)
        CHECK_SAME(weir_chan_abort(storm.chans[i], 0), 0);
    for (size_t i = 0; i < STORM_TASKS; i++) {
        actor_join(&actors[i]);
        CHECK(storm.served[i] > 0 || storm.stirred);
    }
    for (size_t i = 0; i < STORM_CHANS; i++) {
        CHECK_SAME(count_waiters(storm.chans[i]), 0);
        weir_chan_release(storm.chans[i]);
    }
    CHECK_SAME(storm.sent, storm.received);
    CHECK_SAME(storm.sent_sum, storm.received_sum);
    return weir_scope_join(scene.scope, WEIR_FOREVER);
}

static void run_storm(bool stirred)
{
    long goal = test_rounds(20000, 5000000, 50000000);

    storm = (struct storm){ .stirred = stirred };
    assert_int_equal(
        test_run(blow_storm, &goal, &(struct weir_options){ .loop_count = STORM_LOOPS }), 0);
}

static void case_262_storm_of_selects(void **state)
{
    (void)state;
    run_storm(false);
}

static void case_263_storm_with_cancels_and_deadlines(void **state)
{
    (void)state;
    run_storm(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_262_storm_of_selects),
        cmocka_unit_test(case_263_storm_with_cancels_and_deadlines),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
