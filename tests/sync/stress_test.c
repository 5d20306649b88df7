/* SPDX-License-Identifier: MIT */
/* Crowds on channels. Section O of the conformance cases: a second in the fast tier, more later. */
#include "sync/fixture.h"

enum { CROWD_MAX = 64 };

/* --- Producers and consumers --- */

struct market {
    struct weir_chan *chan;
    uint64_t per_producer;
    size_t producers;
    atomic_ulong received;
    atomic_ulong sum;
};

struct producer {
    struct market *market;
    uint64_t number;
};

static int produce(void *arg)
{
    struct producer *producer = arg;
    struct market *market = producer->market;

    for (uint64_t i = 0; i < market->per_producer; i++) {
        uint64_t tagged = producer->number << 32 | i;

        CHECK_SAME(weir_chan_send(market->chan, &tagged, WEIR_FOREVER), 0);
    }
    return 0;
}

/* Of each producer, a consumer sees growing numbers only. */
static int consume(void *arg)
{
    struct market *market = arg;
    uint64_t next[CROWD_MAX] = { 0 };
    uint64_t tagged;

    while (weir_chan_recv(market->chan, &tagged, WEIR_FOREVER) == 0) {
        uint64_t producer = tagged >> 32, i = tagged & UINT32_MAX;

        if (CHECK(producer < market->producers && i >= next[producer]))
            next[producer] = i + 1;
        atomic_fetch_add(&market->received, 1);
        atomic_fetch_add(&market->sum, tagged);
    }
    return 0;
}

static void trade(struct scene *scene, size_t producers, size_t consumers, uint64_t total)
{
    struct market market = {
        .chan = make_chan(scene->capacity, NULL),
        .per_producer = total / producers + 1,
        .producers = producers,
    };
    struct producer numbered[CROWD_MAX];
    struct actor sellers[CROWD_MAX], buyers[CROWD_MAX];
    uint64_t sum = 0;

    for (size_t i = 0; i < consumers; i++)
        actor_start_in_crowd(scene, &buyers[i], i, consume, &market);
    for (size_t i = 0; i < producers; i++) {
        numbered[i] = (struct producer){ &market, i };
        sum += (i << 32) * market.per_producer;
        sum += market.per_producer * (market.per_producer - 1) / 2;
        actor_start_in_crowd(scene, &sellers[i], i + 1, produce, &numbered[i]);
    }
    for (size_t i = 0; i < producers; i++)
        actor_join(&sellers[i]);
    CHECK_SAME(weir_chan_close(market.chan, 0), 0);
    for (size_t i = 0; i < consumers; i++)
        actor_join(&buyers[i]);
    CHECK_SAME(market.received, producers * market.per_producer);
    CHECK_SAME(market.sum, sum);
    CHECK_SAME(look(market.chan).sent_total, look(market.chan).received_total);
    weir__chan_verify(market.chan);
    weir_chan_release(market.chan);
}

CASE(case_259_producers_and_consumers, EVERYWHERE, 0, 7)
{
    static const size_t crowds[] = { 1, 2, 7, 32 };
    uint64_t total = (uint64_t)test_rounds(2000, 50000, 500000);

    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++)
            trade(scene, crowds[i], crowds[j], total);
}

/* --- A chain of workers --- */

struct worker {
    struct weir_chan *source;
    struct weir_chan *target;
    atomic_uint *working; /* the last one out closes the target */
    uint64_t random;
};

static int pass_on(void *arg)
{
    struct worker *worker = arg;
    uint64_t value;

    while (weir_chan_recv(worker->source, &value, WEIR_FOREVER) == 0) {
        if (roll(&worker->random) % 8 == 0)
            (void)weir_yield();
        CHECK_SAME(weir_chan_send(worker->target, &value, WEIR_FOREVER), 0);
    }
    if (atomic_fetch_sub(worker->working, 1) == 1)
        CHECK_SAME(weir_chan_close(worker->target, 0), 0);
    return 0;
}

CASE(case_260_close_propagates_through_workers, EVERYWHERE, 0, 7)
{
    enum { WORKERS = 23 };
    uint64_t count = (uint64_t)test_rounds(10000, 271828, 2718280), sum = 0, received = 0;
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_chan *target = make_chan(scene->capacity, NULL);
    struct market market = { .chan = source, .per_producer = count };
    struct producer producer = { &market, 0 };
    atomic_uint working = WORKERS;
    struct worker workers[WORKERS];
    struct actor actors[WORKERS + 1];

    actor_start(scene, &actors[WORKERS], produce, &producer);
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){ source, target, &working, i + 1 };
        actor_start_in_crowd(scene, &actors[i], i, pass_on, &workers[i]);
    }
    for (uint64_t value; weir_chan_recv(target, &value, WEIR_FOREVER) == 0; received++) {
        sum += value;
        if (received + 1 == count)
            CHECK_SAME(weir_chan_close(source, 0), 0);
    }
    CHECK_SAME(received, count);
    CHECK_SAME(sum, count * (count - 1) / 2);
    for (size_t i = 0; i <= WORKERS; i++)
        actor_join(&actors[i]);
    weir_chan_release(source);
    weir_chan_release(target);
}

/* --- Three selecting senders, three selecting receivers --- */

struct bitmap {
    struct weir_chan *chan;
    uint64_t count;
    atomic_ulong next;
    atomic_uchar *seen;
};

static int send_numbers(void *arg)
{
    struct bitmap *bitmap = arg;
    uint64_t number;

    while ((number = atomic_fetch_add(&bitmap->next, 1)) < bitmap->count) {
        struct weir_clause clause = weir_clause_send(bitmap->chan, &number);

        CHECK_SAME(weir_select(&clause, 1, 0, WEIR_FOREVER), 0);
        CHECK_SAME(clause.result, 0);
    }
    return 0;
}

static int mark_numbers(void *arg)
{
    struct bitmap *bitmap = arg;

    for (;;) {
        uint64_t number;
        struct weir_clause clause = weir_clause_recv(bitmap->chan, &number);

        CHECK_SAME(weir_select(&clause, 1, 0, WEIR_FOREVER), 0);
        if (clause.result < 0)
            return 0;
        if (CHECK(number < bitmap->count))
            CHECK_SAME(atomic_fetch_add(&bitmap->seen[number], 1), 0);
    }
}

CASE(case_265_selecting_senders_and_receivers, EVERYWHERE, 0)
{
    struct bitmap bitmap = {
        .chan = make_chan(scene->capacity, NULL),
        .count = (uint64_t)test_rounds(20000, 1280000, 1280000),
    };
    struct actor senders[3], receivers[3];
    uint64_t missing = 0;

    bitmap.seen = calloc(bitmap.count, sizeof *bitmap.seen);
    for (size_t i = 0; i < 3; i++) {
        actor_start_in_crowd(scene, &senders[i], i, send_numbers, &bitmap);
        actor_start_in_crowd(scene, &receivers[i], i + 1, mark_numbers, &bitmap);
    }
    for (size_t i = 0; i < 3; i++)
        actor_join(&senders[i]);
    CHECK_SAME(weir_chan_close(bitmap.chan, 0), 0);
    for (size_t i = 0; i < 3; i++)
        actor_join(&receivers[i]);
    for (uint64_t i = 0; i < bitmap.count; i++)
        missing += atomic_load(&bitmap.seen[i]) != 1;
    CHECK_SAME(missing, 0);
    free(bitmap.seen);
    weir_chan_release(bitmap.chan);
}

/* --- Two sends against a receive and an abort --- */

struct brawl {
    struct barrier barrier;
    struct weir_chan *chan;
    long rounds;
    atomic_uint sent;
};

static int send_in_brawl(void *arg)
{
    struct brawl *brawl = arg;
    uint64_t random = 1;

    for (long round = 0; round < brawl->rounds; round++) {
        uint64_t value = 1;
        unsigned sent = 0;

        meet(&brawl->barrier);
        dawdle(&random);
        sent += weir_chan_send(brawl->chan, &value, WEIR_FOREVER) == 0;
        sent += weir_chan_send(brawl->chan, &value, WEIR_FOREVER) == 0;
        atomic_store(&brawl->sent, sent);
        meet(&brawl->barrier);
    }
    return 0;
}

static void count_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)elem;
    CHECK_SAME(reason, WEIR_DROP_ABORT);
    atomic_fetch_add((atomic_uint *)context, 1);
}

CASE(case_266_sends_against_receive_and_abort, EVERYWHERE, 1)
{
    struct brawl brawl = { .rounds = test_rounds(5000, 100000, 1000000) };
    atomic_uint dropped = 0;
    struct weir_chan_options options = { .drop = count_drop, .context = &dropped };
    struct actor sender;
    uint64_t random = 2;

    actor_start(scene, &sender, send_in_brawl, &brawl);
    for (long round = 0; round < brawl.rounds; round++) {
        unsigned received;
        uint64_t value;

        atomic_store(&dropped, 0);
        brawl.chan = make_chan(scene->capacity, &options);
        meet(&brawl.barrier);
        dawdle(&random);
        received = weir_chan_recv(brawl.chan, &value, round % 2 ? WEIR_NOW : WEIR_FOREVER) == 0;
        dawdle(&random);
        CHECK_SAME(weir_chan_abort(brawl.chan, 0), 0);
        meet(&brawl.barrier);
        CHECK_SAME(brawl.sent, received + dropped);
        CHECK_SAME(weir_chan_release(brawl.chan), 0);
    }
    actor_join(&sender);
}

/* --- Rings and sieves --- */

enum { RING = 128 };

static int pass_ball(void *arg)
{
    struct weir_chan **chans = arg; /* its own, and its neighbour's */
    uint64_t ball;

    while (weir_chan_recv(chans[0], &ball, WEIR_FOREVER) == 0) {
        ball--;
        if (ball == 0 || weir_chan_send(chans[1], &ball, WEIR_FOREVER) < 0)
            break;
    }
    CHECK(weir_chan_close(chans[0], 0) >= 0);
    CHECK(weir_chan_close(chans[1], 0) >= 0);
    return 0;
}

struct sieve {
    struct weir_chan *source;
    struct weir_chan *target;
    uint64_t prime;
};

static int count_up(void *arg)
{
    struct weir_chan *target = arg;

    for (uint64_t value = 2; weir_chan_send(target, &value, WEIR_FOREVER) == 0; value++)
        ;
    return 0;
}

static int filter(void *arg)
{
    struct sieve *sieve = arg;
    uint64_t value;

    while (weir_chan_recv(sieve->source, &value, WEIR_FOREVER) == 0)
        if (value % sieve->prime && weir_chan_send(sieve->target, &value, WEIR_FOREVER) < 0)
            break;
    (void)weir_chan_abort(sieve->source, 0);
    return 0;
}

/* The primes up to `limit`, by a chain of tasks in contiguous runs per loop; their number. */
static unsigned sift(struct scene *scene, uint64_t limit, unsigned loop_count)
{
    enum { SIEVES_MAX = 2300 };
    static struct sieve sieves[SIEVES_MAX];
    static struct actor actors[SIEVES_MAX + 1];
    struct weir_chan *last = make_chan(16, NULL);
    unsigned count = 0, expected = (unsigned)limit / 7;
    uint64_t prime = 0;

    actor_start_at(scene, &actors[SIEVES_MAX], 0, count_up, last);
    while (weir_chan_recv(last, &prime, WEIR_FOREVER) == 0 && prime <= limit &&
           count < SIEVES_MAX) {
        unsigned loop = count * loop_count / expected;

        sieves[count] = (struct sieve){ last, make_chan(16, NULL), prime };
        actor_start_at(scene, &actors[count], (int)(loop < loop_count ? loop : loop_count - 1),
                       filter, &sieves[count]);
        last = sieves[count++].target;
    }
    CHECK_SAME(weir_chan_abort(last, 0), 0);
    actor_join(&actors[SIEVES_MAX]);
    for (unsigned i = 0; i < count; i++) {
        actor_join(&actors[i]);
        weir_chan_release(sieves[i].source);
    }
    weir_chan_release(last);
    return count;
}

static int run_ring(void *arg)
{
    const unsigned *loop_count = arg;
    struct scene scene = { .setting = TWO_LOOPS };
    static struct weir_chan *chans[RING + 1];
    static struct actor actors[RING];
    uint64_t hops = (uint64_t)test_rounds(20000, 500000, 5000000);
    bool full = test_tier() != TEST_FAST;

    CHECK_SAME(weir_scope_create(&scene.scope, WEIR_SCOPE_SUPERVISE, NULL), 0);
    for (size_t i = 0; i < RING; i++)
        chans[i] = make_chan(0, NULL);
    chans[RING] = chans[0];
    for (size_t i = 0; i < RING; i++)
        actor_start_at(&scene, &actors[i], (int)(i * *loop_count / RING), pass_ball, &chans[i]);
    CHECK_SAME(weir_chan_send(chans[0], &hops, WEIR_FOREVER), 0);
    for (size_t i = 0; i < RING; i++)
        actor_join(&actors[i]);
    for (size_t i = 0; i < RING; i++)
        weir_chan_release(chans[i]);
    if (full)
        CHECK_SAME(sift(&scene, 20000, *loop_count), 2262);
    else
        CHECK_SAME(sift(&scene, 1000, *loop_count), 168);
    return weir_scope_join(scene.scope, WEIR_FOREVER);
}

static void case_268_ring_and_sieve(void **state)
{
    static const unsigned loop_counts[] = { 1, 2, 8 };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        unsigned loop_count = loop_counts[i];

        assert_int_equal(
            test_run(run_ring, &loop_count, &(struct weir_options){ .loop_count = loop_count }), 0);
    }
}

/* --- Many parked --- */

struct gathering {
    struct weir_chan *chan;
    atomic_ulong ended;
};

static int wait_for_the_end(void *arg)
{
    struct gathering *gathering = arg;
    uint64_t value;
    int result = weir_chan_recv(gathering->chan, &value, WEIR_FOREVER);

    if (CHECK(result == 0 || result == -EPIPE))
        atomic_fetch_add(&gathering->ended, 1);
    return 0;
}

/* Puts to the head of a long queue, then ends it (86, 269). */
CASE(case_269_two_hundred_thousand_parked, ON_TASKS, 0)
{
    size_t count = (size_t)test_rounds(20000, 200000, 200000);
    struct gathering gathering = { .chan = make_chan(scene->capacity, NULL) };
    uint64_t puts = count / 2;

    for (size_t i = 0; i < count; i++) {
        struct weir_spawn_options options = {
            .place = WEIR_PLACE_LOOP,
            .loop_index = scene->setting == TWO_LOOPS ? i % 2 : 0,
            .wait_ns = INT64_MAX,
        };

        CHECK_SAME(weir_spawn(scene->scope, wait_for_the_end, &gathering, &options), 0);
    }
    AWAIT(look(gathering.chan).waiting_receivers == count);
    for (uint64_t value = 0; value < puts; value++)
        CHECK_SAME(weir_chan_send(gathering.chan, &value, WEIR_NOW), 0);
    CHECK_SAME(weir_chan_close(gathering.chan, 0), 0);
    AWAIT(weir_scope_count(scene->scope) == 0);
    CHECK_SAME(gathering.ended, count);
    CHECK_SAME(look(gathering.chan).received_total, puts);
    weir_chan_release(gathering.chan);
}

/* --- Fairness --- */

struct hog {
    struct weir_chan *chan; /* always ready */
    atomic_ulong calls;
    atomic_bool enough;
};

static int hog_the_loop(void *arg)
{
    struct hog *hog = arg;
    uint64_t value = 0;

    while (!atomic_load(&hog->enough) && atomic_fetch_add(&hog->calls, 1) < 200000000) {
        CHECK_SAME(weir_chan_send(hog->chan, &value, WEIR_FOREVER), 0);
        CHECK_SAME(weir_chan_recv(hog->chan, &value, WEIR_FOREVER), 0);
    }
    return 0;
}

/* The hog never parks; timers, mail from elsewhere and its neighbours are served all the same. */
CASE(case_271_endless_ready_calls_starve_nobody, EVERYWHERE, 1)
{
    struct hog hog = { .chan = make_chan(scene->capacity, NULL) };
    struct weir_chan *there = make_chan(0, NULL), *back = make_chan(0, NULL);
    struct weir_chan *chans[2] = { there, back };
    struct actor hogger, echo;
    uint64_t value;

    actor_start_at(scene, &hogger, 0, hog_the_loop, &hog);
    actor_start(scene, &echo, pass_ball, chans);
    for (uint64_t round = 100; round > 1; round--) {
        unsigned long calls;

        CHECK_SAME(weir_chan_send(there, &round, WEIR_FOREVER), 0);
        CHECK_SAME(weir_chan_recv(back, &value, WEIR_FOREVER), 0);
        CHECK_SAME(value, round - 1);
        CHECK_SAME(weir_sleep(weir_in_us(20)), 0);
        calls = atomic_load(&hog.calls);
        CHECK_SAME(weir_yield(), 0);
        CHECK(atomic_load(&hog.calls) - calls <= 2 * WEIR__LOOP_BUDGET);
    }
    atomic_store(&hog.enough, true);
    CHECK_SAME(weir_chan_close(there, 0), 0);
    actor_join(&hogger);
    actor_join(&echo);
    CHECK(hog.calls < 200000000);
    weir_chan_release(there);
    weir_chan_release(back);
    weir_chan_release(hog.chan);
}

/* --- Locks --- */

struct pair {
    struct weir_chan *first;
    struct weir_chan *second;
    long rounds;
};

static int select_both(void *arg)
{
    struct pair *pair = arg;
    uint64_t value = 0;

    for (long round = 0; round < pair->rounds; round++) {
        struct weir_clause clauses[] = {
            weir_clause_recv(pair->first, &value),
            weir_clause_recv(pair->second, &value),
            weir_clause_send(pair->second, &value),
            weir_clause_send(pair->first, &value),
        };

        CHECK(weir_select(clauses, 4, 0, round % 4 ? WEIR_NOW : WEIR_FOREVER) >= 0);
    }
    return 0;
}

CASE(case_272_locks_in_either_order, EVERYWHERE, 1)
{
    struct pair here = {
        .first = make_chan(scene->capacity, NULL),
        .second = make_chan(scene->capacity, NULL),
        .rounds = test_rounds(50000, 5000000, 50000000),
    };
    struct pair there = { here.second, here.first, here.rounds };
    struct actor actor;

    actor_start(scene, &actor, select_both, &there);
    select_both(&here);
    actor_join(&actor);
    CHECK_SAME(look(here.first).sent_total + look(here.second).sent_total,
               look(here.first).received_total + look(here.second).received_total +
                   look(here.first).count + look(here.second).count);
    weir_chan_release(here.first);
    weir_chan_release(here.second);
}

/* --- Delays --- */

struct delayed {
    struct weir_chan *chan;
    uint64_t delay_us;
    bool puts;
};

static int act_after_delay(void *arg)
{
    struct delayed *delayed = arg;
    uint64_t value = delayed->delay_us;

    (void)weir_sleep(weir_in_us((int64_t)delayed->delay_us));
    return delayed->puts ? weir_chan_send(delayed->chan, &value, WEIR_FOREVER)
                         : weir_chan_recv(delayed->chan, &value, WEIR_FOREVER);
}

/* At each moment what is buffered is what was put less what was taken; nobody waits in vain. */
static void check_available(struct weir_chan *chan)
{
    struct weir_chan_stats stats = look(chan);

    CHECK_SAME(stats.count, stats.sent_total - stats.received_total);
    weir__chan_verify(chan);
}

CASE(case_275_delayed_puts_and_takes, ON_TASKS, ANY_CAPACITY)
{
    enum { DELAYED = 200 };
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct delayed delayed[DELAYED];
    struct actor actors[DELAYED];
    uint64_t random = 5;

    for (size_t i = 0; i < DELAYED; i++) {
        delayed[i] = (struct delayed){ chan, roll(&random) % 3000, i / 2 % 2 };
        actor_start_in_crowd(scene, &actors[i], i, act_after_delay, &delayed[i]);
    }
    while (weir_scope_count(scene->scope) > 0) {
        check_available(chan);
        (void)weir_sleep(weir_in_us(50));
    }
    for (size_t i = 0; i < DELAYED; i++)
        CHECK_SAME(actor_join(&actors[i]), 0);
    CHECK_SAME(look(chan).sent_total, DELAYED / 2);
    CHECK_SAME(look(chan).received_total, DELAYED / 2);
    weir_chan_release(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_259_producers_and_consumers),
        cmocka_unit_test(case_260_close_propagates_through_workers),
        cmocka_unit_test(case_265_selecting_senders_and_receivers),
        cmocka_unit_test(case_266_sends_against_receive_and_abort),
        cmocka_unit_test(case_268_ring_and_sieve),
        cmocka_unit_test(case_269_two_hundred_thousand_parked),
        cmocka_unit_test(case_271_endless_ready_calls_starve_nobody),
        cmocka_unit_test(case_272_locks_in_either_order),
        cmocka_unit_test(case_275_delayed_puts_and_takes),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
