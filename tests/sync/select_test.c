/* SPDX-License-Identifier: MIT */
/* Select: what wins, what is refused. The first part of section E. */
#include "sync/fixture.h"

/* --- One of several --- */

CASE(case_088_ready_put_wins, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_chan *full = make_chan(0, NULL);
    uint64_t value = 5;
    struct weir_clause clauses[] = {
        weir_clause_send(full, &value),
        weir_clause_send(chan, &value),
    };
    struct op take;

    begin_recv(scene, &take, chan);
    CHECK_SAME(weir_select(clauses, 2, 0, WEIR_FOREVER), 1);
    CHECK_SAME(clauses[1].result, 0);
    CHECK_SAME(end_op(&take), 0);
    CHECK_SAME(take.value, 5);
    weir_chan_release(chan);
    weir_chan_release(full);
}

CASE(case_089_parked_alts_wakes_by_any_clause, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chans[3];
    uint64_t values[3];
    struct weir_clause clauses[3];

    for (size_t i = 0; i < 3; i++) {
        chans[i] = make_chan(scene->capacity, NULL);
        clauses[i] = weir_clause_recv(chans[i], &values[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        struct pick pick;

        memset(values, 0, sizeof values);
        begin_pick(scene, &pick, 3, clauses);
        CHECK_SAME(try_send(chans[i], 7 + i), 0);
        CHECK_SAME(end_pick(&pick), i);
        CHECK_SAME(pick.clauses[i].result, 0);
        for (size_t j = 0; j < 3; j++) {
            CHECK_SAME(values[j], j == i ? 7 + i : 0);
            CHECK_SAME(count_waiters(chans[j]), 0);
        }
    }
    for (size_t i = 0; i < 3; i++)
        weir_chan_release(chans[i]);
}

CASE(case_091_ready_clause_beats_the_try, ALONE, 1)
{
    struct weir_chan *ready = make_chan(scene->capacity, NULL);
    struct weir_chan *never = make_chan(0, NULL);
    uint64_t value = 1;
    struct weir_clause clauses[] = {
        weir_clause_recv(never, &value),
        weir_clause_recv(ready, &value),
        weir_clause_send(never, &value),
    };

    for (int round = 0; round < 10000; round++) {
        fill(ready, 1);
        CHECK_SAME(weir_select(clauses, 3, 0, WEIR_NOW), 1);
    }
    CHECK_SAME(weir_select(clauses, 3, 0, WEIR_NOW), -EAGAIN);
    weir_chan_release(ready);
    weir_chan_release(never);
}

/* How often each clause wins, of a select whose clauses' channels are closed (so ready for ever)
 * where `ready` says so. */
static void count_wins(const bool *ready, size_t count, unsigned flags, unsigned rounds,
                       unsigned *wins)
{
    struct weir_chan *chans[PICK_MAX];
    struct weir_clause clauses[PICK_MAX];
    uint64_t value;

    for (size_t i = 0; i < count; i++) {
        chans[i] = make_chan(0, NULL);
        clauses[i] = weir_clause_recv(chans[i], &value);
        wins[i] = 0;
        if (ready[i])
            CHECK_SAME(weir_chan_close(chans[i], 0), 0);
    }
    for (unsigned round = 0; round < rounds; round++) {
        int won = weir_select(clauses, count, flags, WEIR_FOREVER);

        if (CHECK(won >= 0 && (size_t)won < count))
            wins[won]++;
    }
    for (size_t i = 0; i < count; i++)
        weir_chan_release(chans[i]);
}

CASE(case_092_random_choice_is_even, ALONE, 0)
{
    const bool ready[] = { true, true, true };
    unsigned wins[3];

    (void)scene;
    count_wins(ready, 3, 0, 2000, wins);
    for (size_t i = 0; i < 3; i++)
        CHECK(wins[i] > 560 && wins[i] < 780);
}

CASE(case_094_priority_keeps_the_order, ALONE, 0)
{
    const bool ready[] = { false, true, true, true };
    unsigned wins[4];

    (void)scene;
    count_wins(ready, 4, WEIR_SELECT_PRIORITY, 100000, wins);
    CHECK_SAME(wins[1], 100000);
}

CASE(case_095_dead_clauses_do_not_tip_the_scales, ALONE, 0)
{
    static const bool ready[][4] = {
        { false, false, true, true },
        { false, true, false, true },
        { true, false, false, true },
    };
    unsigned wins[4];

    (void)scene;
    for (size_t row = 0; row < 3; row++) {
        count_wins(ready[row], 4, 0, 2000, wins);
        for (size_t i = 0; i < 4; i++)
            CHECK(ready[row][i] ? wins[i] > 860 && wins[i] < 1140 : wins[i] == 0);
    }
}

CASE(case_097_null_is_a_disabled_clause, ALONE, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    uint64_t value = 1;
    struct weir_clause clauses[] = {
        weir_clause_send(NULL, &value),
        weir_clause_recv(NULL, &value),
        weir_clause_join(NULL, NULL),
        weir_clause_recv(chan, &value),
    };

    for (int round = 0; round < 1000; round++) {
        fill(chan, 1);
        CHECK_SAME(weir_select(clauses, 4, 0, WEIR_FOREVER), 3);
    }
    CHECK_SAME(weir_select(clauses, 3, 0, WEIR_FOREVER), -EINVAL); /* nothing could ever win */
    CHECK_SAME(weir_select(clauses, 3, 0, WEIR_NOW), -EAGAIN);
    CHECK_SAME(weir_select(clauses, 3, 0, weir_in_us(50)), -ETIME);
    CHECK_SAME(weir_select(NULL, 0, 0, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_select(NULL, 0, 0, weir_in_us(50)), -ETIME);
    weir_chan_release(chan);
}

CASE(case_098_invalid_clause_has_no_effect, ALONE, 1)
{
    struct weir_chan *ready = make_chan(scene->capacity, NULL);
    struct weir_chan *room = make_chan(scene->capacity, NULL);
    struct weir_clause many[1] = { weir_clause_timer(1) };
    uint64_t value = 8;

    fill(ready, 1);
    for (size_t broken = 0; broken < 3; broken++) {
        struct weir_clause clauses[] = {
            weir_clause_recv(ready, &value),
            weir_clause_send(room, &value),
            weir_clause_timer(1),
            broken == 0   ? weir_clause_recv(room, NULL)
            : broken == 1 ? weir_clause_send(room, NULL)
                          : weir_clause_join(weir_task_self(), NULL),
        };

        CHECK_SAME(weir_select(clauses, 4, WEIR_SELECT_PRIORITY, WEIR_NOW), -EINVAL);
        CHECK_SAME(weir_select(clauses, 3, 1u << 7, WEIR_NOW), -EINVAL);
    }
    CHECK_SAME(weir_select(many, WEIR_SELECT_MAX + 1, 0, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_select(NULL, 1, 0, WEIR_NOW), -EINVAL);
    CHECK_SAME(value, 8);
    CHECK_SAME(look(room).count, 0);
    take_value(ready, 1);
    weir_chan_release(ready);
    weir_chan_release(room);
}

/* Not for sanitizers, which report it as what it is: the use of freed memory. */
static void use_a_freed_channel(struct scene *scene)
{
    struct weir_chan *ready = make_chan(scene->capacity, NULL);
    struct weir_chan *freed = make_chan(scene->capacity, NULL);
    struct weir_clause clauses[2];
    struct weir_async async = { .done = (weir_async_fn *)(uintptr_t)1 };
    struct weir_chan_stats stats;
    uint64_t value = 8;

    fill(ready, 1);
    CHECK_SAME(weir_chan_release(freed), 0);
    CHECK_SAME(weir_chan_send(freed, &value, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_chan_recv(freed, &value, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_chan_send_async(freed, &value, &async, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_chan_close(freed, 0), -EINVAL);
    CHECK_SAME(weir_chan_abort(freed, 0), -EINVAL);
    CHECK_SAME(weir_chan_open_sender(freed), -EINVAL);
    CHECK_SAME(weir_chan_close_receiver(freed), -EINVAL);
    CHECK_SAME(weir_chan_read_stats(freed, &stats), -EINVAL);
    clauses[0] = weir_clause_recv(ready, &value);
    clauses[1] = weir_clause_send(freed, &value);
    CHECK_SAME(weir_select(clauses, 2, 0, WEIR_NOW), -EINVAL);
    clauses[1] = weir_clause_closed(freed);
    CHECK_SAME(weir_select(clauses, 2, 0, WEIR_NOW), -EINVAL);
    CHECK_SAME(value, 8);
    take_value(ready, 1);
    weir_chan_release(ready);
}

CASE(case_098_freed_channel_is_found_out, ALONE, 1)
{
    if (!TEST_SANITIZED)
        use_a_freed_channel(scene);
}

/* --- Ends --- */

CASE(case_100_closed_put_clause_is_ready, ALONE, ANY_CAPACITY)
{
    struct weir_chan *closed = make_chan(scene->capacity, NULL);
    struct weir_chan *never = make_chan(0, NULL);
    uint64_t value = 77;
    struct weir_clause clauses[] = {
        weir_clause_recv(never, &value),
        weir_clause_send(closed, &value),
    };

    CHECK_SAME(weir_chan_close(closed, -EIO), 0);
    CHECK_SAME(weir_select(clauses, 2, 0, WEIR_FOREVER), 1);
    CHECK_SAME(clauses[1].result, -EPIPE);
    CHECK_SAME(value, 77);
    weir_chan_release(closed);
    weir_chan_release(never);
}

CASE(case_101_no_residue_of_losers, ALONE, 0)
{
    struct weir_chan *open = make_chan(scene->capacity, NULL);
    struct weir_chan *closed = make_chan(scene->capacity, NULL);
    uint64_t value = 1;
    struct weir_clause clauses[] = {
        weir_clause_recv(open, &value),
        weir_clause_send(closed, &value),
    };

    CHECK_SAME(weir_chan_close(closed, 0), 0);
    for (int round = 0; round < 10000; round++)
        CHECK_SAME(weir_select(clauses, 2, WEIR_SELECT_PRIORITY, WEIR_FOREVER), 1);
    CHECK_SAME(count_waiters(open), 0);
    CHECK(weir__list_empty(&open->receivers.waiters));
    weir_chan_release(open);
    weir_chan_release(closed);
}

CASE(case_103_abort_wakes_parked_put_clause, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *full = make_chan(scene->capacity, NULL);
    struct weir_chan *never = make_chan(0, NULL);
    uint64_t value = 99, other = 0;
    struct pick pick;

    fill(full, scene->capacity);
    begin_pick(scene, &pick, 2,
               (struct weir_clause[]){
                   weir_clause_send(full, &value),
                   weir_clause_recv(never, &other),
               });
    CHECK_SAME(weir_chan_abort(full, -EIO), 0);
    CHECK_SAME(end_pick(&pick), 0);
    CHECK_SAME(pick.clauses[0].result, -EPIPE);
    CHECK_SAME(value, 99);
    CHECK_SAME(count_waiters(never), 0);
    weir_chan_release(full);
    weir_chan_release(never);
}

CASE(case_104_both_channels_close, EVERYWHERE, ANY_CAPACITY)
{
    for (long round = test_rounds(100, 10000, 10000); round > 0; round--) {
        struct weir_chan *left = make_chan(scene->capacity, NULL);
        struct weir_chan *right = make_chan(scene->capacity, NULL);
        uint64_t value;
        struct pick pick;
        int won;

        begin_pick(scene, &pick, 2,
                   (struct weir_clause[]){
                       weir_clause_recv(left, &value),
                       weir_clause_recv(right, &value),
                   });
        CHECK_SAME(weir_chan_close(round % 2 ? left : right, 0), 0);
        CHECK_SAME(weir_chan_close(round % 2 ? right : left, 0), 0);
        won = end_pick(&pick);
        CHECK_SAME(won, round % 2 ? 0 : 1);
        CHECK_SAME(pick.clauses[won == 1].result, -EPIPE);
        weir_chan_release(left);
        weir_chan_release(right);
    }
}

CASE(case_106_committed_value_beats_later_close, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *left = make_chan(scene->capacity, NULL);
    struct weir_chan *right = make_chan(scene->capacity, NULL);
    uint64_t values[2] = { 0, 0 };
    struct pick pick;

    begin_pick(scene, &pick, 2,
               (struct weir_clause[]){
                   weir_clause_recv(left, &values[0]),
                   weir_clause_recv(right, &values[1]),
               });
    CHECK_SAME(try_send(right, 6), 0);
    CHECK_SAME(weir_chan_close(left, 0), 0);
    CHECK_SAME(weir_chan_abort(right, 0), 0);
    CHECK_SAME(end_pick(&pick), 1);
    CHECK_SAME(pick.clauses[1].result, 0);
    CHECK_SAME(values[1], 6);
    weir_chan_release(left);
    weir_chan_release(right);
}

/* --- The same channel more than once --- */

CASE(case_107_same_channel_twice, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    uint64_t values[2] = { 0, 0 };
    struct pick pick;
    struct op behind;

    begin_pick(scene, &pick, 2,
               (struct weir_clause[]){
                   weir_clause_recv(chan, &values[0]),
                   weir_clause_recv(chan, &values[1]),
               });
    CHECK_SAME(look(chan).waiting_receivers, 2);
    begin_recv(scene, &behind, chan);
    CHECK_SAME(try_send(chan, 1), 0);
    CHECK_SAME(try_send(chan, 2), 0);
    CHECK_SAME(end_pick(&pick), 0);
    CHECK_SAME(values[0], 1);
    CHECK_SAME(values[1], 0);
    CHECK_SAME(end_op(&behind), 0);
    CHECK_SAME(behind.value, 2);
    CHECK_SAME(count_waiters(chan), 0);
    weir_chan_release(chan);
}

CASE(case_108_select_never_meets_itself, EVERYWHERE, 0)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    uint64_t sent = 1, received = 0;
    struct weir_clause clauses[] = {
        weir_clause_send(chan, &sent),
        weir_clause_recv(chan, &received),
    };
    struct pick pick;

    CHECK_SAME(weir_select(clauses, 2, 0, WEIR_NOW), -EAGAIN);
    CHECK_SAME(weir_select(clauses, 2, 0, weir_in_us(200)), -ETIME);
    CHECK_SAME(count_waiters(chan), 0);
    begin_pick(scene, &pick, 2, clauses);
    CHECK_SAME(count_waiters(chan), 2);
    CHECK_SAME(try_send(chan, 9), 0);
    CHECK_SAME(end_pick(&pick), 1);
    CHECK_SAME(received, 9);
    CHECK_SAME(count_waiters(chan), 0);
    weir_chan_release(chan);
}

CASE(case_109_buffered_channel_may_feed_itself, ALONE, 1)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    uint64_t sent = 4, received = 0;
    struct weir_clause clauses[] = {
        weir_clause_send(chan, &sent),
        weir_clause_recv(chan, &received),
    };

    CHECK_SAME(weir_select(clauses, 2, 0, WEIR_FOREVER), 0);
    CHECK_SAME(weir_select(clauses, 2, 0, WEIR_FOREVER), 1);
    CHECK_SAME(received, 4);
    weir_chan_release(chan);
}

enum { SELF_ROUNDS = 1000 };

struct player {
    struct weir_chan *chan;
    uint64_t number;
};

/* Sends its number or receives the other's, a thousand times. */
static int play_both_sides(void *arg)
{
    struct player *player = arg;

    for (int round = 0; round < SELF_ROUNDS; round++) {
        uint64_t received = 0;
        struct weir_clause clauses[] = {
            weir_clause_send(player->chan, &player->number),
            weir_clause_recv(player->chan, &received),
        };
        int won = weir_select(clauses, 2, 0, WEIR_FOREVER);

        CHECK(won == 0 || won == 1);
        if (won == 1)
            CHECK_SAME(received, 3 - player->number);
    }
    return 0;
}

CASE(case_110_two_who_send_and_receive, EVERYWHERE, 0)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct player here = { chan, 1 }, there = { chan, 2 };
    struct actor actor;

    actor_start(scene, &actor, play_both_sides, &there);
    play_both_sides(&here);
    actor_join(&actor);
    CHECK_SAME(look(chan).sent_total, SELF_ROUNDS);
    CHECK_SAME(count_waiters(chan), 0);
    weir_chan_release(chan);
}

CASE(case_119_taker_behind_a_select_is_served, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan *left = make_chan(scene->capacity, NULL);
    struct weir_chan *right = make_chan(scene->capacity, NULL);
    uint64_t value;
    struct pick pick;
    struct op behind;

    begin_pick(scene, &pick, 2,
               (struct weir_clause[]){
                   weir_clause_recv(left, &value),
                   weir_clause_recv(right, &value),
               });
    begin_recv(scene, &behind, right);
    CHECK_SAME(try_send(left, 1), 0);
    CHECK_SAME(try_send(right, 2), 0); /* the select, though listed first there, has won left */
    CHECK_SAME(end_pick(&pick), 0);
    CHECK_SAME(value, 1);
    CHECK_SAME(end_op(&behind), 0);
    CHECK_SAME(behind.value, 2);
    weir_chan_release(left);
    weir_chan_release(right);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_088_ready_put_wins),
        cmocka_unit_test(case_089_parked_alts_wakes_by_any_clause),
        cmocka_unit_test(case_091_ready_clause_beats_the_try),
        cmocka_unit_test(case_092_random_choice_is_even),
        cmocka_unit_test(case_094_priority_keeps_the_order),
        cmocka_unit_test(case_095_dead_clauses_do_not_tip_the_scales),
        cmocka_unit_test(case_097_null_is_a_disabled_clause),
        cmocka_unit_test(case_098_invalid_clause_has_no_effect),
        cmocka_unit_test(case_098_freed_channel_is_found_out),
        cmocka_unit_test(case_100_closed_put_clause_is_ready),
        cmocka_unit_test(case_101_no_residue_of_losers),
        cmocka_unit_test(case_103_abort_wakes_parked_put_clause),
        cmocka_unit_test(case_104_both_channels_close),
        cmocka_unit_test(case_106_committed_value_beats_later_close),
        cmocka_unit_test(case_107_same_channel_twice),
        cmocka_unit_test(case_108_select_never_meets_itself),
        cmocka_unit_test(case_109_buffered_channel_may_feed_itself),
        cmocka_unit_test(case_110_two_who_send_and_receive),
        cmocka_unit_test(case_119_taker_behind_a_select_is_served),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
