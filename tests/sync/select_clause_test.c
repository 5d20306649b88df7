/* SPDX-License-Identifier: MIT */
/* Select: what it costs, and its kinds of clauses. The second part of section E. */
#include "sync/fixture.h"

#include "base/memory.h"

/* --- What it costs --- */

CASE(case_124_never_ready_channel_costs_nothing, EVERYWHERE, 1)
{
    struct weir_chan *never = make_chan(0, NULL);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    uint64_t value = 0;
    struct weir_clause clauses[] = {
        weir_clause_recv(never, &value),
        weir_clause_recv(chan, &value),
        weir_clause_send(never, &value),
    };
    unsigned long allocated = weir__memory_alloc_count();

    for (long round = test_rounds(100000, 1000000, 1000000); round > 0; round--) {
        if (round % 2)
            CHECK_SAME(weir_chan_send(chan, &value, WEIR_NOW), 0);
        CHECK_SAME(weir_select(clauses, 3, 0, WEIR_NOW), round % 2 ? 1 : -EAGAIN);
    }
    for (long round = test_rounds(500, 10000, 10000); round > 0; round--)
        CHECK_SAME(weir_select(clauses, 3, 0, weir_in_us(1)), -ETIME); /* these park */
    CHECK_SAME(weir__memory_alloc_count(), allocated);
    CHECK_SAME(count_waiters(never), 0);
    weir_chan_release(never);
    weir_chan_release(chan);
}

static void must_not_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)elem;
    (void)context;
    CHECK_SAME(reason, -1);
}

CASE(case_125_losing_put_keeps_its_element, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_chan_options options = { .drop = must_not_drop };
    struct weir_chan *full = make_chan(scene->capacity, &options);
    struct weir_chan *chan = make_chan(0, NULL);
    uint64_t sent = 0x1234567890abcdef, received = 0;
    struct pick pick;

    fill(full, scene->capacity);
    begin_pick(scene, &pick, 2,
               (struct weir_clause[]){
                   weir_clause_send(full, &sent),
                   weir_clause_recv(chan, &received),
               });
    CHECK_SAME(try_send(chan, 3), 0);
    CHECK_SAME(end_pick(&pick), 1);
    CHECK_SAME(received, 3);
    CHECK_SAME(sent, 0x1234567890abcdef);
    drain(full, scene->capacity);
    CHECK_SAME(look(full).sent_total, scene->capacity);
    weir_chan_release(full);
    weir_chan_release(chan);
}

/* A select over `count` channels that parks, and is woken by the one in the middle. */
static void select_of_many(struct scene *scene, size_t count)
{
    struct weir_chan **chans = calloc(count, sizeof *chans);
    struct weir_clause *clauses = calloc(count, sizeof *clauses);
    uint64_t *values = calloc(count, sizeof *values);
    struct op put = { .value = 1 + count / 2, .deadline_ns = WEIR_FOREVER };

    for (size_t i = 0; i < count; i++) {
        chans[i] = make_chan(scene->capacity, NULL);
        clauses[i] = weir_clause_recv(chans[i], &values[i]);
    }
    CHECK_SAME(weir_select(clauses, count, 0, WEIR_NOW), -EAGAIN);
    CHECK_SAME(weir_select(clauses, count, 0, weir_in_us(50)), -ETIME);
    put.chan = chans[count / 2];
    actor_start(scene, &put.actor, op_send, &put);
    CHECK_SAME(weir_select(clauses, count, 0, WEIR_FOREVER), count / 2);
    CHECK_SAME(end_op(&put), 0);
    for (size_t i = 0; i < count; i++) {
        CHECK_SAME(values[i], i == count / 2 ? put.value : 0);
        CHECK_SAME(count_waiters(chans[i]), 0);
        weir_chan_release(chans[i]);
    }
    free(chans);
    free(clauses);
    free(values);
}

CASE(case_127_from_one_to_a_thousand_clauses, EVERYWHERE, 0, 1)
{
    static const size_t counts[] = { 1, 8, 9, 64, 65, 1000, WEIR_SELECT_MAX };

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        select_of_many(scene, counts[i]);
}

/* --- Other kinds of clauses --- */

static int return_seven(void *arg)
{
    uint64_t value;

    CHECK_SAME(weir_chan_recv(arg, &value, WEIR_FOREVER), 0);
    return 7;
}

CASE(join_clause_tells_the_end, ON_TASKS, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct actor actor;
    uint64_t value = 0;
    int result = 0;

    actor_start(scene, &actor, return_seven, chan);
    for (int round = 0; round < 2; round++) {
        struct weir_clause clauses[] = {
            weir_clause_timer(WEIR_FOREVER),
            weir_clause_join(actor.task, &result),
        };

        CHECK_SAME(weir_select(clauses, 2, 0, round ? WEIR_NOW : weir_in_us(200)),
                   round ? 1 : -ETIME);
        if (round == 0) {
            CHECK_SAME(weir_chan_send(chan, &value, WEIR_FOREVER), 0);
            CHECK_SAME(weir_select(clauses, 2, 0, WEIR_FOREVER), 1); /* parks, as a rule */
        }
        CHECK_SAME(clauses[1].result, 0);
        CHECK_SAME(result, 7);
    }
    CHECK_SAME(actor_join(&actor), 7); /* winning did not end the handle */
    weir_chan_release(chan);
}

struct dropped {
    size_t count;
    size_t bytes;
    enum weir_drop_reason reason;
};

static void check_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    struct dropped *dropped = context;
    const unsigned char *byte = elem;

    dropped->count++;
    CHECK_SAME(reason, dropped->reason);
    for (size_t i = 0; i < dropped->bytes; i++)
        CHECK_SAME(byte[i], dropped->count);
}

/* Elements that fit a clause's own room, and larger ones. */
CASE(put_clause_of_a_dropping_channel, ALONE, 1)
{
    static const size_t sizes[] = { 0, 1, 8, 40, 41, 300, 5000 };

    for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        bool oldest = i % 2;
        struct dropped dropped = {
            .bytes = sizes[i / 2],
            .reason = oldest ? WEIR_DROP_OLDEST : WEIR_DROP_NEWEST,
        };
        struct weir_chan_options options = {
            .policy = oldest ? WEIR_CHAN_DROP_OLDEST : WEIR_CHAN_DROP_NEWEST,
            .drop = check_drop,
            .context = &dropped,
        };
        unsigned char elem[5000];
        struct weir_chan *chan, *never = make_chan(0, NULL);
        struct weir_clause clauses[] = { weir_clause_recv(never, elem), { 0 } };

        CHECK_SAME(weir_chan_create(&chan, sizes[i / 2], scene->capacity, &options), 0);
        clauses[1] = weir_clause_send(chan, elem);
        for (int round = 0; round <= 10;
             round++) { /* each round drops an element of bytes `round` */
            memset(elem, oldest ? round + 1 : round, sizeof elem);
            CHECK_SAME(weir_select(clauses, 2, 0, WEIR_FOREVER), 1);
            CHECK_SAME(clauses[1].result, round ? WEIR_DROPPED : 0);
            CHECK_SAME(dropped.count, round);
        }
        dropped.reason = WEIR_DROP_DESTROY;
        dropped.bytes = 0;
        weir_chan_release(chan);
        weir_chan_release(never);
    }
}

/* --- Bugs --- */

/* After its park, select asked the channel of each put clause whether it drops. */
CASE(select_survives_the_channel, EVERYWHERE, 1)
{
    struct weir_chan *full = make_chan(scene->capacity, NULL);
    struct weir_chan *other = make_chan(0, NULL);
    char text[256];
    uint64_t value = 1;
    struct pick pick;

    fill(full, 1);
    begin_pick(scene, &pick, 2,
               (struct weir_clause[]){
                   weir_clause_send(full, &value),
                   weir_clause_send(other, &value),
               });
    CHECK_SAME(release_overheard(full, text, sizeof text), -EBUSY);
    release_overheard(other, text, sizeof text); /* it lost, and may not be back yet */
    CHECK_SAME(end_pick(&pick), 0);
    CHECK_SAME(pick.clauses[0].result, -EPIPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_124_never_ready_channel_costs_nothing),
        cmocka_unit_test(case_125_losing_put_keeps_its_element),
        cmocka_unit_test(case_127_from_one_to_a_thousand_clauses),
        cmocka_unit_test(join_clause_tells_the_end),
        cmocka_unit_test(put_clause_of_a_dropping_channel),
        cmocka_unit_test(select_survives_the_channel),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
