/* SPDX-License-Identifier: MIT */
/* Sends and receives that do not park. Section D of the conformance cases. */
#include "sync/fixture.h"

/* --- D. Without parking --- */

CASE(case_068_try_puts_and_takes, ALONE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    uint64_t value;

    fill(chan, scene->capacity);
    CHECK_SAME(try_send(chan, 9), -EAGAIN);
    drain(chan, scene->capacity);
    CHECK_SAME(try_recv(chan, &value), -EAGAIN);
    weir_chan_release(chan);
}

CASE(case_070_try_meets_the_parked, EVERYWHERE, 0)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct op take, put;

    begin_recv(scene, &take, chan);
    CHECK_SAME(try_send(chan, 3), 0);
    CHECK_SAME(end_op(&take), 0);
    CHECK_SAME(take.value, 3);
    begin_send(scene, &put, chan, 4);
    take_value(chan, 4);
    CHECK_SAME(end_op(&put), 0);
    weir_chan_release(chan);
}

CASE(case_071_try_take_tells_empty_from_closed, ALONE, ANY_CAPACITY)
{
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    uint64_t value;

    CHECK_SAME(try_recv(chan, &value), -EAGAIN);
    CHECK_SAME(weir_chan_close(chan, 0), 0);
    CHECK_SAME(try_recv(chan, &value), -EPIPE);
    weir_chan_release(chan);

    /* A reason that is the word for "empty" is still an end. */
    chan = make_chan(scene->capacity, NULL);
    CHECK_SAME(weir_chan_close(chan, -EAGAIN), 0);
    CHECK_SAME(weir_chan_recv(chan, &value, WEIR_FOREVER), -EAGAIN);
    weir_chan_release(chan);
}

CASE(case_073_failed_try_leaves_nothing, ALONE, ANY_CAPACITY)
{
    struct weir_chan *empty = make_chan(scene->capacity, NULL);
    struct weir_chan *full = make_chan(scene->capacity, NULL);
    uint64_t value = 0;

    fill(full, scene->capacity);
    for (long round = test_rounds(100000, 1000000, 1000000); round > 0; round--) {
        struct weir_clause clauses[] = {
            weir_clause_recv(empty, &value),
            weir_clause_send(full, &value),
        };

        CHECK_SAME(weir_chan_recv(empty, &value, WEIR_NOW), -EAGAIN);
        CHECK_SAME(weir_chan_send(full, &value, WEIR_NOW), -EAGAIN);
        CHECK_SAME(weir_select(clauses, 2, 0, WEIR_NOW), -EAGAIN);
    }
    CHECK_SAME(look(empty).waiting_receivers, 0);
    CHECK_SAME(look(full).waiting_senders, 0);
    weir_chan_release(empty);
    weir_chan_release(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_068_try_puts_and_takes),
        cmocka_unit_test(case_070_try_meets_the_parked),
        cmocka_unit_test(case_071_try_take_tells_empty_from_closed),
        cmocka_unit_test(case_073_failed_try_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
