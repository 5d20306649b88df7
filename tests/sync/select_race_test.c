/* SPDX-License-Identifier: MIT */
/* Select against select, and against puts and takes that come meanwhile: the races of section E. */
#include "sync/fixture.h"

/* Several who act in rounds, each round on the same two channels. */
struct arena {
    struct barrier barrier;
    struct weir_chan *left;
    struct weir_chan *right;
    long rounds;
    uint64_t sent; /* one actor's value, and its result; valid after the round */
    int result;
    uint64_t received; /* another's */
    int won;
};

static void open_arena(struct arena *arena, size_t capacity, unsigned parties, long rounds)
{
    *arena = (struct arena){
        .barrier = { .parties = parties },
        .left = make_chan(capacity, NULL),
        .right = make_chan(capacity, NULL),
        .rounds = rounds,
    };
}

static void close_arena(struct arena *arena)
{
    CHECK_SAME(count_waiters(arena->left), 0);
    CHECK_SAME(count_waiters(arena->right), 0);
    weir_chan_release(arena->left);
    weir_chan_release(arena->right);
}

/* --- Select against select --- */

static int send_by_select(void *arg)
{
    struct arena *arena = arg;
    uint64_t random = 1;

    for (long round = 0; round < arena->rounds; round++) {
        uint64_t value = 2 * (uint64_t)round;
        uint64_t other = value + 1;
        struct weir_clause clauses[] = {
            weir_clause_send(arena->left, &value),
            weir_clause_send(arena->right, &other),
        };

        meet(&arena->barrier);
        dawdle(&random);
        arena->won = weir_select(clauses, 2, 0, WEIR_FOREVER);
        meet(&arena->barrier);
    }
    return 0;
}

/* Sender and receiver select, over one channel (111) or two (122): one rendezvous a round. */
static void select_against_select(struct scene *scene, bool one_channel)
{
    struct arena arena;
    struct actor actor;
    uint64_t random = 2;

    open_arena(&arena, scene->capacity, 2, test_rounds(4000, 400000, 400000));
    if (one_channel) {
        weir_chan_release(arena.right);
        arena.right = weir_chan_retain(arena.left);
    }
    actor_start(scene, &actor, send_by_select, &arena);
    for (long round = 0; round < arena.rounds; round++) {
        uint64_t values[2] = { UINT64_MAX, UINT64_MAX };
        struct weir_clause clauses[] = {
            weir_clause_recv(arena.right, &values[1]),
            weir_clause_recv(arena.left, &values[0]),
        };
        int won;

        meet(&arena.barrier);
        dawdle(&random);
        won = weir_select(clauses, 2, 0, WEIR_FOREVER);
        meet(&arena.barrier);
        if (!one_channel)
            CHECK_SAME(won, 1 - arena.won);
        CHECK_SAME(values[1 - won], 2 * round + arena.won);
        CHECK_SAME(values[won], -1);
    }
    actor_join(&actor);
    CHECK_SAME(look(arena.left).sent_total + (one_channel ? 0 : look(arena.right).sent_total),
               arena.rounds);
    close_arena(&arena);
}

CASE(case_111_put_select_meets_take_select, EVERYWHERE, 0)
{
    select_against_select(scene, true);
}

CASE(case_122_two_selects_commit_once, EVERYWHERE, 0)
{
    select_against_select(scene, false);
}

/* Sends its numbers to one channel and receives the other's from the other, in whatever order. */
static void exchange_numbers(struct weir_chan *target, struct weir_chan *source, uint64_t count)
{
    uint64_t sent = 0, received = 0;

    while (sent < count || received < count) {
        uint64_t value = UINT64_MAX;
        struct weir_clause clauses[] = {
            weir_clause_send(sent < count ? target : NULL, &sent),
            weir_clause_recv(received < count ? source : NULL, &value),
        };
        int won = weir_select(clauses, 2, 0, WEIR_FOREVER);

        if (won == 0)
            sent++;
        else if (CHECK_SAME(won, 1))
            CHECK_SAME(value, received++);
    }
}

static int exchange_other_way(void *arg)
{
    struct arena *arena = arg;

    exchange_numbers(arena->right, arena->left, (uint64_t)arena->rounds);
    return 0;
}

CASE(case_112_opposite_pairs, EVERYWHERE, 0, 1)
{
    struct arena arena;
    struct actor actor;

    open_arena(&arena, scene->capacity, 2, test_rounds(10000, 2000000, 10000000));
    actor_start(scene, &actor, exchange_other_way, &arena);
    exchange_numbers(arena.left, arena.right, (uint64_t)arena.rounds);
    actor_join(&actor);
    close_arena(&arena);
}

enum { RING_MAX = 16 };

struct seat {
    struct weir_chan *source;
    struct weir_chan *target;
    uint64_t rounds;
};

static int pass_tokens(void *arg)
{
    struct seat *seat = arg;

    exchange_numbers(seat->target, seat->source, seat->rounds);
    return 0;
}

CASE(case_113_ring_of_selects, EVERYWHERE, 0)
{
    static const size_t sizes[] = { 3, 4, 7, RING_MAX };

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i];
        struct weir_chan *chans[RING_MAX];
        struct actor actors[RING_MAX];
        struct seat seats[RING_MAX];

        for (size_t j = 0; j < size; j++)
            chans[j] = make_chan(scene->capacity, NULL);
        for (size_t j = 0; j < size; j++) {
            seats[j] = (struct seat){
                .source = chans[j],
                .target = chans[(j + 1) % size],
                .rounds = (uint64_t)test_rounds(200, 20000, 20000),
            };
            actor_start_in_crowd(scene, &actors[j], j, pass_tokens, &seats[j]);
        }
        for (size_t j = 0; j < size; j++)
            actor_join(&actors[j]);
        for (size_t j = 0; j < size; j++)
            weir_chan_release(chans[j]);
    }
}

/* --- One sender, four forwarders, one receiver --- */

enum { LANES = 4 };

struct lane {
    struct weir_chan *source;
    struct weir_chan *target;
};

static int forward(void *arg)
{
    struct lane *lane = arg;
    uint64_t value;

    while (weir_chan_recv(lane->source, &value, WEIR_FOREVER) == 0)
        CHECK_SAME(weir_chan_send(lane->target, &value, WEIR_FOREVER), 0);
    return 0;
}

struct source {
    struct lane *lanes;
    uint64_t count;
};

static int send_to_any_lane(void *arg)
{
    struct source *source = arg;

    for (uint64_t value = 0; value < source->count; value++) {
        struct weir_clause clauses[LANES];

        for (size_t i = 0; i < LANES; i++)
            clauses[i] = weir_clause_send(source->lanes[i].source, &value);
        CHECK(weir_select(clauses, LANES, 0, WEIR_FOREVER) >= 0);
    }
    for (size_t i = 0; i < LANES; i++)
        CHECK_SAME(weir_chan_close(source->lanes[i].source, 0), 0);
    return 0;
}

CASE(case_115_select_over_four_lanes, EVERYWHERE, 0, 2)
{
    uint64_t count = (uint64_t)test_rounds(10000, 1000000, 1000000);
    struct weir_chan *target = make_chan(0, NULL);
    unsigned char *seen = calloc(count, 1);
    struct actor sender, forwarders[LANES];
    struct lane lanes[LANES];
    struct source source = { lanes, count };

    for (size_t i = 0; i < LANES; i++) {
        lanes[i] = (struct lane){ make_chan(scene->capacity, NULL), target };
        actor_start_in_crowd(scene, &forwarders[i], i, forward, &lanes[i]);
    }
    actor_start(scene, &sender, send_to_any_lane, &source);
    for (uint64_t i = 0, value; i < count; i++) {
        CHECK_SAME(weir_chan_recv(target, &value, WEIR_FOREVER), 0);
        if (CHECK(value < count))
            CHECK_SAME(seen[value]++, 0);
    }
    actor_join(&sender);
    for (size_t i = 0; i < LANES; i++) {
        actor_join(&forwarders[i]);
        weir_chan_release(lanes[i].source);
    }
    weir_chan_release(target);
    free(seen);
}

/* --- One instant --- */

static int look_at_both(void *arg)
{
    struct arena *arena = arg;
    uint64_t random = 1;

    for (long round = 0; round < arena->rounds; round++) {
        struct weir_clause clauses[] = {
            weir_clause_recv(arena->left, &arena->received),
            weir_clause_recv(arena->right, &arena->received),
        };

        meet(&arena->barrier);
        dawdle(&random);
        arena->won = weir_select(clauses, 2, 0, WEIR_NOW);
        meet(&arena->barrier);
    }
    return 0;
}

CASE(case_116_select_sees_one_instant, EVERYWHERE, 1)
{
    struct arena arena;
    struct actor actor;
    uint64_t random = 2, value;

    open_arena(&arena, scene->capacity, 2, test_rounds(10000, 100000, 100000));
    actor_start(scene, &actor, look_at_both, &arena);
    for (long round = 0; round < arena.rounds; round++) {
        struct weir_chan *first = round % 2 ? arena.left : arena.right;
        struct weir_chan *second = round % 2 ? arena.right : arena.left;

        fill(first, 1);
        meet(&arena.barrier);
        dawdle(&random);
        CHECK_SAME(weir_chan_send(second, &random, WEIR_NOW), 0);
        (void)!weir_chan_recv(first, &value, WEIR_NOW);
        meet(&arena.barrier);
        CHECK(arena.won == 0 || arena.won == 1);
        while (try_recv(arena.left, &value) == 0 || try_recv(arena.right, &value) == 0)
            ;
    }
    actor_join(&actor);
    close_arena(&arena);
}

/* --- Losers lose nothing --- */

static int put_left(void *arg)
{
    struct arena *arena = arg;
    uint64_t random = 3;

    for (long round = 0; round < arena->rounds; round++) {
        uint64_t value = 2 * (uint64_t)round;

        meet(&arena->barrier);
        dawdle(&random);
        CHECK_SAME(weir_chan_send(arena->left, &value, WEIR_FOREVER), 0);
        meet(&arena->barrier);
    }
    return 0;
}

static int put_right(void *arg)
{
    struct arena *arena = arg;
    uint64_t random = 4;

    for (long round = 0; round < arena->rounds; round++) {
        uint64_t value = 2 * (uint64_t)round + 1;

        meet(&arena->barrier);
        dawdle(&random);
        CHECK_SAME(weir_chan_send(arena->right, &value, WEIR_FOREVER), 0);
        meet(&arena->barrier);
    }
    return 0;
}

CASE(case_118_other_clauses_value_waits_for_the_next, EVERYWHERE, ANY_CAPACITY)
{
    struct actor actors[2];
    struct arena arena;

    open_arena(&arena, scene->capacity, 3, test_rounds(1000, 100000, 100000));
    actor_start(scene, &actors[0], put_left, &arena);
    actor_start(scene, &actors[1], put_right, &arena);
    for (long round = 0; round < arena.rounds; round++) {
        uint64_t values[2] = { UINT64_MAX, UINT64_MAX };
        struct weir_clause clauses[] = {
            weir_clause_recv(arena.left, &values[0]),
            weir_clause_recv(arena.right, &values[1]),
        };
        int won;

        meet(&arena.barrier);
        won = weir_select(clauses, 2, 0, WEIR_FOREVER);
        CHECK_SAME(values[won], 2 * round + won);
        CHECK_SAME(values[1 - won], -1);
        CHECK_SAME(weir_chan_recv(won ? arena.left : arena.right, &values[1 - won], WEIR_FOREVER),
                   0);
        CHECK_SAME(values[1 - won], 2 * round + 1 - won);
        meet(&arena.barrier);
    }
    actor_join(&actors[0]);
    actor_join(&actors[1]);
    close_arena(&arena);
}

static int try_left(void *arg)
{
    struct arena *arena = arg;
    uint64_t random = 5;

    for (long round = 0; round < arena->rounds; round++) {
        uint64_t value = 1;

        meet(&arena->barrier);
        dawdle(&random);
        arena->result = weir_chan_send(arena->left, &value, WEIR_NOW);
        meet(&arena->barrier);
    }
    return 0;
}

/* The left channel, of capacity 0, is tried by one while the right one becomes ready. */
CASE(case_121_claim_while_registering, EVERYWHERE, 0)
{
    struct weir_chan *buffered = make_chan(1, NULL);
    struct actor actors[2];
    struct arena arena;

    open_arena(&arena, scene->capacity, 3, test_rounds(4000, 400000, 400000));
    weir_chan_release(arena.right);
    arena.right = buffered;
    actor_start(scene, &actors[0], try_left, &arena);
    actor_start(scene, &actors[1], put_right, &arena);
    for (long round = 0; round < arena.rounds; round++) {
        uint64_t value = UINT64_MAX;
        struct weir_clause clauses[] = {
            weir_clause_recv(arena.left, &value),
            weir_clause_recv(arena.right, &value),
        };
        int won;

        meet(&arena.barrier);
        won = weir_select(clauses, 2, 0, WEIR_FOREVER);
        meet(&arena.barrier);
        CHECK_SAME(arena.result, won == 0 ? 0 : -EAGAIN);
        CHECK_SAME(value, won == 0 ? 1 : 2 * round + 1);
        CHECK_SAME(look(arena.right).count, won == 0);
        if (won == 0)
            take_value(arena.right, 2 * (uint64_t)round + 1);
    }
    actor_join(&actors[0]);
    actor_join(&actors[1]);
    close_arena(&arena);
}

/* --- Home --- */

enum { HOMES = 3 };

static int make_here(void *arg)
{
    struct weir_chan **chan = arg;

    *chan = make_chan(0, NULL);
    return weir_loop_index();
}

static int select_from_home(void *arg)
{
    struct scene scene = { .setting = TWO_LOOPS };
    struct weir_chan *chans[HOMES];
    uint64_t values[HOMES];
    struct actor actors[HOMES];

    (void)arg;
    CHECK_SAME(weir_scope_create(&scene.scope, WEIR_SCOPE_SUPERVISE, NULL), 0);
    for (int i = 0; i < HOMES; i++) {
        actor_start_at(&scene, &actors[i], i, make_here, &chans[i]);
        CHECK_SAME(actor_join(&actors[i]), i);
    }
    for (long round = 0; round < test_rounds(300, 30000, 30000); round++) {
        int from = (int)(round % HOMES);
        struct op put = { .chan = chans[from], .value = 5, .deadline_ns = WEIR_FOREVER };
        struct weir_clause clauses[HOMES];

        for (size_t i = 0; i < HOMES; i++)
            clauses[i] = weir_clause_recv(chans[i], &values[i]);
        actor_start_at(&scene, &put.actor, from, op_send, &put);
        CHECK_SAME(weir_select(clauses, HOMES, 0, WEIR_FOREVER), from);
        CHECK_SAME(weir_loop_index(), 0);
        CHECK_SAME(end_op(&put), 0);
    }
    for (size_t i = 0; i < HOMES; i++)
        weir_chan_release(chans[i]);
    return weir_scope_join(scene.scope, WEIR_FOREVER);
}

static void case_128_winner_wakes_the_task_at_home(void **state)
{
    (void)state;
    assert_int_equal(
        test_run(select_from_home, NULL, &(struct weir_options){ .loop_count = HOMES }), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_111_put_select_meets_take_select),
        cmocka_unit_test(case_112_opposite_pairs),
        cmocka_unit_test(case_113_ring_of_selects),
        cmocka_unit_test(case_115_select_over_four_lanes),
        cmocka_unit_test(case_116_select_sees_one_instant),
        cmocka_unit_test(case_118_other_clauses_value_waits_for_the_next),
        cmocka_unit_test(case_121_claim_while_registering),
        cmocka_unit_test(case_122_two_selects_commit_once),
        cmocka_unit_test(case_128_winner_wakes_the_task_at_home),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
