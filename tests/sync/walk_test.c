/* SPDX-License-Identifier: MIT */
/* What is read of channels: a walk over all that have a name, and the figures of one (case 286). */
#include "base/memory.h"
#include "sync/fixture.h"

enum { NAMED = 5, WALK_MAX = 64 };

/* The channels that a walk came by, of those whose name begins with "walk". */
struct walk {
    char names[WALK_MAX][WEIR__CHAN_NAME_BYTES];
    struct weir_chan_stats stats[WALK_MAX];
    size_t count;
};

static void note_chan(struct weir_chan *chan, const struct weir_chan_stats *stats, void *context)
{
    struct walk *walk = context;

    if (strncmp(weir_chan_name(chan), "walk", 4) || walk->count == WALK_MAX)
        return;
    strcpy(walk->names[walk->count], weir_chan_name(chan));
    walk->stats[walk->count++] = *stats;
}

static struct weir_chan *make_named(const char *name, size_t capacity)
{
    return make_chan(capacity, &(struct weir_chan_options){ .name = name });
}

static int walk_once(void *arg)
{
    return weir_chan_walk(note_chan, arg);
}

CASE(walk_visits_the_named_in_order, EVERYWHERE, 7)
{
    static const char *const names[NAMED] = { "walk e", "walk a", "walk c", "walk b", "walk d" };
    struct weir_chan *chans[NAMED], *nameless = make_chan(scene->capacity, NULL);
    static struct walk walk;
    struct actor walker;

    for (size_t i = 0; i < NAMED; i++) {
        chans[i] = make_named(names[i], scene->capacity);
        fill(chans[i], i);
    }
    walk.count = 0;
    actor_start(scene, &walker, walk_once, &walk);
    CHECK_SAME(actor_join(&walker), NAMED);
    CHECK_SAME(walk.count, NAMED);
    for (size_t i = 0; i < NAMED; i++) {
        CHECK_SAME(strcmp(walk.names[i], names[i]), 0);
        CHECK_SAME(walk.stats[i].count, i);
        CHECK_SAME(walk.stats[i].sent_total, i);
        CHECK_SAME(walk.stats[i].capacity, scene->capacity);
    }
    CHECK_SAME(weir_chan_release(chans[1]), 0);
    CHECK_SAME(weir_chan_release(chans[4]), 0);
    walk.count = 0;
    CHECK_SAME(weir_chan_walk(note_chan, &walk), NAMED - 2);
    CHECK_SAME(strcmp(walk.names[1], names[2]), 0);
    CHECK_SAME(strcmp(walk.names[2], names[3]), 0);
    for (size_t i = 0; i < NAMED; i++)
        if (i != 1 && i != 4)
            weir_chan_release(chans[i]);
    CHECK_SAME(weir_chan_walk(note_chan, &walk), 0);
    weir_chan_release(nameless);
}

/* A visitor may use the channel, make others and walk again. */
static void use_visited(struct weir_chan *chan, const struct weir_chan_stats *stats, void *context)
{
    struct weir_chan *another = make_named("another", 1);
    static struct walk inner;
    uint64_t value = 1;

    CHECK_SAME(stats->count, 0);
    CHECK_SAME(weir_chan_send(chan, &value, WEIR_NOW), 0);
    CHECK_SAME(weir_chan_recv(chan, &value, WEIR_NOW), 0);
    inner.count = 0;
    CHECK_SAME(weir_chan_walk(note_chan, &inner), 2);
    CHECK_SAME(weir_chan_release(another), 0);
    weir_chan_release(*(struct weir_chan **)context); /* the case's own: the walk has one more */
    CHECK_SAME(weir_chan_close(chan, 0), 0);
}

CASE(visitor_may_do_anything, EVERYWHERE, 1)
{
    struct weir_chan *chan = make_named("walk one", scene->capacity);

    CHECK_SAME(weir_chan_walk(use_visited, &chan), 1);
    CHECK_SAME(weir_chan_walk(use_visited, &chan), 0);
}

CASE(bad_walks_are_refused, ALONE, 1)
{
    struct weir_chan *chan = make_named("walk one", scene->capacity);
    static struct walk walk;

    walk.count = 0;
    CHECK_SAME(weir_chan_walk(NULL, NULL), -EINVAL);
    weir__memory_fail_after(1);
    CHECK_SAME(weir_chan_walk(note_chan, &walk), -ENOMEM);
    weir__memory_fail_after(-1);
    CHECK_SAME(walk.count, 0);
    CHECK_SAME(weir_chan_walk(note_chan, &walk), 1);
    CHECK_SAME(weir_chan_read_stats(NULL, &walk.stats[0]), -EINVAL);
    CHECK_SAME(weir_chan_read_stats(chan, NULL), -EINVAL);
    weir_chan_release(chan);
}

/* --- Walks against comings and goings --- */

struct coming {
    size_t capacity;
    long rounds;
    atomic_int running;
    atomic_long dropped, sent;
};

static void count_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    struct coming *coming = context;

    (void)elem;
    (void)reason;
    atomic_fetch_add(&coming->dropped, 1);
}

static int come_and_go(void *arg)
{
    struct coming *coming = arg;
    uint64_t random = (uintptr_t)&random;

    for (long round = 0; round < coming->rounds; round++) {
        struct weir_chan_options options = {
            .name = "walk by",
            .drop = count_drop,
            .context = coming,
        };
        struct weir_chan *chan = make_chan(coming->capacity, &options);

        if (round % 2)
            atomic_fetch_add(&coming->sent, try_send(chan, 1) == 0);
        dawdle(&random);
        CHECK_SAME(weir_chan_release(chan), 0);
        if (round % 64 == 0)
            give_way(0);
    }
    atomic_fetch_sub(&coming->running, 1);
    return 0;
}

static void check_visited(struct weir_chan *chan, const struct weir_chan_stats *stats,
                          void *context)
{
    uint64_t value;

    (void)context;
    CHECK_SAME(stats->sent_total - stats->received_total - stats->dropped_total, stats->count);
    (void)!weir_chan_recv(chan, &value, WEIR_NOW); /* it is alive */
}

CASE(walk_against_create_and_release, EVERYWHERE, 1)
{
    struct coming coming = {
        .capacity = scene->capacity,
        .rounds = test_rounds(5000, 500000, 1000000),
        .running = 2,
    };
    struct actor actors[2];

    for (size_t i = 0; i < 2; i++)
        actor_start(scene, &actors[i], come_and_go, &coming);
    while (atomic_load(&coming.running)) {
        CHECK(weir_chan_walk(check_visited, NULL) >= 0);
        (void)weir_yield();
    }
    for (size_t i = 0; i < 2; i++)
        actor_join(&actors[i]);
    CHECK_SAME(weir_chan_walk(check_visited, NULL), 0);
    CHECK(coming.dropped <= coming.sent); /* the walk took the others */
}

/* --- The figures --- */

enum { TRADERS = 4 };

struct load {
    struct weir_chan *chan;
    long rounds;
    atomic_int running;
};

static int send_load(void *arg)
{
    struct load *load = arg;

    for (uint64_t i = 0; i < (uint64_t)load->rounds; i++)
        CHECK(weir_chan_send(load->chan, &i, WEIR_FOREVER) >= 0);
    if (atomic_fetch_sub(&load->running, 1) == 1)
        CHECK_SAME(weir_chan_close(load->chan, 0), 0);
    return 0;
}

static int recv_load(void *arg)
{
    struct load *load = arg;
    uint64_t value;
    long count = 0;

    while (weir_chan_recv(load->chan, count % 3 ? &value : NULL, WEIR_FOREVER) == 0)
        count++;
    return 0;
}

/* Every reading is of one instant: what was sent and not received or dropped is there. */
static void watch_load(struct load *load)
{
    struct weir_chan_stats last = { 0 };

    while (!last.closed || last.count) {
        struct weir_chan_stats stats = look(load->chan);

        CHECK_SAME(stats.sent_total - stats.received_total - stats.dropped_total, stats.count);
        CHECK(stats.count <= stats.capacity);
        CHECK(stats.count <= stats.count_max);
        CHECK(stats.waiting_senders == 0 || stats.waiting_receivers == 0);
        CHECK(stats.sent_total >= last.sent_total);
        CHECK(stats.parked_senders_total >= last.parked_senders_total);
        CHECK(stats.parked_receivers_total >= last.parked_receivers_total);
        last = stats;
        give_way(0);
    }
}

CASE(case_286_figures_agree_under_load, EVERYWHERE, ANY_CAPACITY)
{
    for (int policy = WEIR_CHAN_PARK; policy <= WEIR_CHAN_DROP_OLDEST; policy++) {
        struct load load = { .rounds = test_rounds(500, 50000, 500000), .running = TRADERS / 2 };
        struct actor actors[TRADERS];

        if (policy != WEIR_CHAN_PARK && scene->capacity == 0)
            continue;
        load.chan = make_policy_chan(scene->capacity, (enum weir_chan_policy)policy);
        for (size_t i = 0; i < TRADERS; i++)
            actor_start_in_crowd(scene, &actors[i], i / 2, i % 2 ? recv_load : send_load, &load);
        watch_load(&load);
        for (size_t i = 0; i < TRADERS; i++)
            actor_join(&actors[i]);
        CHECK_SAME(look(load.chan).sent_total, load.rounds * TRADERS / 2);
        weir_chan_release(load.chan);
    }
}

/* Keeps the loop busy, without a timer, until the clock, and after it the loop, have moved on. */
static void stay_busy(int64_t duration_ns)
{
    int64_t end_ns = weir_now_ns() + duration_ns;

    while (weir_now_ns() < end_ns)
        CHECK_SAME(weir_yield(), 0);
    for (int i = 0; i <= WEIR__LOOP_CLOCK_TURNS * WEIR__LOOP_BUDGET; i++)
        CHECK_SAME(weir_yield(), 0);
}

/* A wait is measured from about its begin, on a busy loop as on an idle one. */
CASE(parked_times_are_plausible, EVERYWHERE, 1)
{
    enum { BUSY_NS = 20000000, WAIT_NS = 2000000 };
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_chan_stats stats;
    struct op put, take;
    int64_t start_ns;

    CHECK_SAME(try_send(chan, 1), 0);
    CHECK_SAME(look(chan).parked_senders_total, 0);
    stay_busy(BUSY_NS);
    start_ns = weir_now_ns();
    stay_busy(WAIT_NS);
    begin_send(scene, &put, chan, 2);
    stay_busy(WAIT_NS);
    CHECK_SAME(look(chan).parked_senders_total, 0); /* it has not ended */
    drain(chan, 2);
    CHECK_SAME(end_op(&put), 0);
    stats = look(chan);
    CHECK_SAME(stats.parked_senders_total, 1);
    CHECK(stats.parked_senders_ns <= (uint64_t)(weir_now_ns() - start_ns));
    CHECK(stats.parked_senders_ns >= WAIT_NS);
    CHECK_SAME(stats.parked_receivers_total, 0);

    begin_recv(scene, &take, chan);
    CHECK_SAME(try_send(chan, 3), 0);
    CHECK_SAME(end_op(&take), 0);
    CHECK_SAME(look(chan).parked_receivers_total, 1);
    CHECK_SAME(look(chan).parked_senders_total, 1);
    weir_chan_release(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walk_visits_the_named_in_order),
        cmocka_unit_test(visitor_may_do_anything),
        cmocka_unit_test(bad_walks_are_refused),
        cmocka_unit_test(walk_against_create_and_release),
        cmocka_unit_test(case_286_figures_agree_under_load),
        cmocka_unit_test(parked_times_are_plausible),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
