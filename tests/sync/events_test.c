/* SPDX-License-Identifier: MIT */
/* The way of single elements: the channels of this program were compiled with WEIR_EVENTS. */
#include "sync/fixture.h"

static int other_loop(const struct scene *scene)
{
    switch (scene->setting) {
    case SAME_LOOP:
        return 0;
    case TWO_LOOPS:
        return 1;
    default:
        return -1;
    }
}

static void expect(const struct weir_event *event, enum weir_event_kind kind, uint64_t number,
                   int from_loop, int to_loop)
{
    CHECK_SAME(event->kind, kind);
    CHECK_SAME(event->number, number);
    CHECK_SAME(event->from_loop, from_loop);
    CHECK_SAME(event->to_loop, to_loop);
    assert_string_equal(event->name, "traced");
}

static struct weir_chan *make_traced(size_t capacity)
{
    CHECK_SAME(weir_events_start(16), 0);
    return make_chan(capacity, &(struct weir_chan_options){ .name = "traced" });
}

static int read_events(struct weir_event *events, size_t count)
{
    uint64_t lost = 1;
    int taken = weir_events_read(events, count, &lost);

    CHECK_SAME(lost, 0);
    return taken;
}

CASE(case_289_an_element_through_the_buffer, EVERYWHERE, 1)
{
    struct weir_chan *chan = make_traced(scene->capacity);
    struct weir_event events[16];
    struct op first, second;

    first = (struct op){ .chan = chan, .value = 1, .deadline_ns = WEIR_FOREVER };
    actor_start(scene, &first.actor, op_send, &first);
    CHECK_SAME(end_op(&first), 0);
    begin_send(scene, &second, chan, 2); /* parks; our receive moves it in */
    take_value(chan, 1);
    CHECK_SAME(end_op(&second), 0);
    take_value(chan, 2);
    CHECK_SAME(read_events(events, 16), 4);
    expect(&events[0], WEIR_EVENT_SENT, 0, other_loop(scene), -1);
    expect(&events[1], WEIR_EVENT_RECEIVED, 0, -1, 0);
    expect(&events[2], WEIR_EVENT_SENT, 1, other_loop(scene), -1);
    expect(&events[3], WEIR_EVENT_RECEIVED, 1, -1, 0);
    weir_chan_release(chan);
}

CASE(case_289_an_element_from_hand_to_hand, EVERYWHERE, 0)
{
    struct weir_chan *chan = make_traced(scene->capacity);
    struct weir_event events[16];
    struct op sender, receiver;

    begin_send(scene, &sender, chan, 1);
    take_value(chan, 1);
    CHECK_SAME(end_op(&sender), 0);
    begin_recv(scene, &receiver, chan);
    CHECK_SAME(try_send(chan, 2), 0);
    CHECK_SAME(end_op(&receiver), 0);
    CHECK_SAME(read_events(events, 16), 2);
    expect(&events[0], WEIR_EVENT_HANDED, 0, other_loop(scene), 0);
    expect(&events[1], WEIR_EVENT_HANDED, 1, 0, other_loop(scene));
    weir_chan_release(chan);
}

CASE(events_beyond_the_ring_are_counted, ALONE, 64)
{
    struct weir_chan *chan = make_traced(scene->capacity);
    struct weir_event events[32];
    uint64_t lost = 0;

    fill(chan, 20);
    CHECK_SAME(weir_events_read(events, 32, &lost), 16);
    CHECK_SAME(lost, 4);
    CHECK_SAME(weir_events_read(NULL, 1, &lost), -EINVAL);
    CHECK_SAME(weir_events_read(events, 32, NULL), -EINVAL);
    CHECK_SAME(weir_events_start(0), 0);
    drain(chan, 20);
    CHECK_SAME(weir_events_read(events, 32, &lost), 0);
    weir_chan_release(chan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_289_an_element_through_the_buffer),
        cmocka_unit_test(case_289_an_element_from_hand_to_hand),
        cmocka_unit_test(events_beyond_the_ring_are_counted),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
