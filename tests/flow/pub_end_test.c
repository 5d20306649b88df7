/* SPDX-License-Identifier: MIT */
/* The pub: what its queues let go, its bounds, its ends. The cases are in pub_test.c. */
#include "base/memory.h"
#include "flow/pub_fixture.h"

/* --- Elements that reach nobody --- */

CASE(unheard_and_failed_are_dropped_and_counted, EVERYWHERE, ANY_CAPACITY)
{
    struct ledger ledger;
    struct weir_chan *source = make_source(scene->capacity, &ledger);
    struct weir_pub *pub = make_pub(scene, scene->scope, source, number_of, NULL);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_pub_stats stats;

    CHECK_SAME(weir_pub_sub(pub, TOPIC(1), chan, NULL, WEIR_FOREVER), 0);
    put(source, value_of(TOPIC_REFUSED, 0));
    put(source, value_of(TOPIC_TOO_LONG, 0));
    put(source, value_of(2, 0));
    put(source, value_of(1, 0));
    take(chan, value_of(1, 0));
    stats = look_at_pub(pub);
    CHECK_SAME(stats.received_total, 4);
    CHECK_SAME(stats.failed_total, 2);
    CHECK_SAME(stats.unheard_total, 1);
    CHECK_SAME(stats.dropped_total, 0);
    CHECK_SAME(ledger.dropped[WEIR_DROP_DISCARD], 3);
    CHECK_SAME(all_dropped(&ledger), 3);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    CHECK_SAME(take_end(chan), -EPIPE);
    weir_chan_release(chan);
    weir_pub_release(pub);
    weir_chan_release(source);
}

/* The empty topic is one like any other; so is the longest. */
static int topic_by_length(const void *elem, struct weir_topic *topic, void *context)
{
    static const unsigned char zeros[WEIR_TOPIC_BYTES_MAX];

    (void)context;
    *topic = (struct weir_topic){ zeros, topic_of_value(elem) };
    if (!topic->size)
        topic->bytes = NULL;
    return 0;
}

CASE(topics_of_any_length, ALONE, 1)
{
    static const unsigned char zeros[WEIR_TOPIC_BYTES_MAX];
    const struct weir_pub_options options = { .topics_max = WEIR_TOPIC_BYTES_MAX + 1 };
    struct weir_chan *chans[WEIR_TOPIC_BYTES_MAX + 1];
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_pub *pub = make_pub(scene, scene->scope, source, topic_by_length, &options);

    for (uint32_t size = WEIR_TOPIC_BYTES_MAX + 1; size-- > 0;) {
        struct weir_topic topic = { size ? zeros : NULL, size };

        chans[size] = make_chan(1, NULL);
        CHECK_SAME(weir_pub_sub(pub, &topic, chans[size], NULL, WEIR_FOREVER), 0);
    }
    for (uint32_t size = 0; size <= WEIR_TOPIC_BYTES_MAX; size++)
        put(source, value_of(size, size));
    CHECK_SAME(weir_chan_close(source, 0), 0);
    for (uint32_t size = 0; size <= WEIR_TOPIC_BYTES_MAX; size++) {
        take(chans[size], value_of(size, size));
        CHECK_SAME(take_end(chans[size]), -EPIPE);
        weir_chan_release(chans[size]);
    }
    weir_pub_release(pub);
    weir_chan_release(source);
}

/* --- Full queues --- */

/* A queue of one overflows only when its topic is held, not when it had no turn yet. */
CASE(who_is_merely_behind_loses_nothing, ALONE, 0, 1, 7)
{
    const struct weir_pub_options options = { .topic_capacity = 1 };
    struct ledger ledger;
    struct weir_chan *source = make_source(LEN_MAX, &ledger);
    struct weir_pub *pub = make_pub(scene, scene->scope, source, number_of, &options);
    struct reader readers[2];

    for (uint32_t i = 0; i < 2; i++) {
        struct weir_chan *chan = make_chan(scene->capacity, NULL);

        CHECK_SAME(weir_pub_sub(pub, TOPIC(0), chan, NULL, WEIR_FOREVER), 0);
        start_reader(scene, &readers[i], chan);
    }
    for (uint32_t i = 0; i < LEN_MAX - 1; i++)
        put(source, value_of(0, i));
    CHECK_SAME(weir_chan_close(source, 0), 0);
    for (uint32_t i = 0; i < 2; i++) {
        end_reader(&readers[i], value_of(0, 0), LEN_MAX - 1, -EPIPE);
        weir_chan_release(readers[i].chan);
    }
    CHECK_SAME(all_dropped(&ledger), 0);
    weir_pub_release(pub);
    weir_chan_release(source);
}

/* Counts the turns of the loop until the source is empty. */
static unsigned count_turns(struct weir_chan *source)
{
    unsigned turns = 0;

    while (look(source).count > 0 && weir_yield() == 0)
        turns++;
    return turns;
}

/* Waiting for each of its elements would take some turns for each. */
CASE(slow_topic_is_waited_for_once, ALONE, 0)
{
    enum { COUNT = 100 };
    const struct weir_pub_options options = { .topic_capacity = 1 };
    struct weir_chan *source = make_chan(COUNT, NULL);
    struct weir_pub *pub = make_pub(scene, scene->scope, source, number_of, &options);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    CHECK_SAME(weir_pub_sub(pub, TOPIC(0), chan, NULL, WEIR_FOREVER), 0);
    for (uint32_t i = 0; i < COUNT; i++)
        put(source, value_of(0, i));
    CHECK(count_turns(source) < COUNT / 2);
    CHECK_SAME(look_at_pub(pub).dropped_total, COUNT - 2);
    take(chan, value_of(0, 0));
    CHECK_SAME(weir_chan_close(source, 0), 0);
    take(chan, value_of(0, 1));
    CHECK_SAME(take_end(chan), -EPIPE);
    weir_chan_release(chan);
    weir_pub_release(pub);
    weir_chan_release(source);
}

/* A pub that waits for a full topic: the slow subscriber, its topic's task and its queue are full,
 * one more element of X is in the pub's hand, one of Y behind it. */
enum { X, Y, QUEUE = 3 };

struct hold {
    struct ledger ledger;
    struct weir_chan *source;
    struct weir_chan *slow;
    struct weir_chan *other;
    struct weir_pub *pub;
    uint32_t count; /* of elements of X */
};

static void begin_hold(struct scene *scene, struct weir_scope *scope, struct hold *hold)
{
    const struct weir_pub_options options = { .policy = WEIR_PUB_PARK, .topic_capacity = QUEUE };

    hold->count = (uint32_t)scene->capacity + 1 + QUEUE + 1;
    hold->source = make_source(LEN_MAX, &hold->ledger);
    hold->slow = make_chan(scene->capacity, NULL);
    hold->other = make_chan(1, NULL);
    hold->pub = make_pub(scene, scope, hold->source, number_of, &options);
    CHECK_SAME(weir_pub_sub(hold->pub, TOPIC(X), hold->slow, NULL, WEIR_FOREVER), 0);
    CHECK_SAME(weir_pub_sub(hold->pub, TOPIC(Y), hold->other, NULL, WEIR_FOREVER), 0);
    for (uint32_t i = 0; i < hold->count; i++)
        put(hold->source, value_of(X, i));
    put(hold->source, value_of(Y, 0));
    await_senders(hold->slow, 1);
    AWAIT(look_at_pub(hold->pub).received_total == hold->count);
    AWAIT(look_at_topic(hold->pub, X).count == QUEUE);
}

static void end_hold(struct hold *hold)
{
    weir_chan_abort(hold->slow, 0);
    weir_pub_release(hold->pub);
    weir_chan_release(hold->slow);
    weir_chan_release(hold->other);
    weir_chan_release(hold->source);
}

CASE(park_waits_for_the_slowest_topic, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_tap_stats blocker;
    struct weir_topic_stats stats;
    struct hold hold;

    begin_hold(scene, scene->scope, &hold);
    weir__sched_settle();
    CHECK_SAME(look(hold.other).count, 0);
    CHECK_SAME(weir_pub_read_topic_stats(hold.pub, TOPIC(X), &stats, &blocker, 1, WEIR_FOREVER), 0);
    CHECK_SAME(stats.capacity, QUEUE);
    CHECK(blocker.chan == hold.slow);
    CHECK(blocker.parked_since_ns != 0);
    for (uint32_t i = 0; i < hold.count; i++)
        take(hold.slow, value_of(X, i));
    take(hold.other, value_of(Y, 0));
    CHECK_SAME(weir_chan_close(hold.source, -EIO), 0);
    CHECK_SAME(take_end(hold.slow), -EIO);
    CHECK_SAME(take_end(hold.other), -EIO);
    CHECK_SAME(all_dropped(&hold.ledger), 0);
    end_hold(&hold);
}

/* What the topic that ends held is dropped: in the queue, in its task's hand, in the pub's. */
CASE(unsub_frees_a_parked_pub, EVERYWHERE, ANY_CAPACITY)
{
    struct hold hold;

    begin_hold(scene, scene->scope, &hold);
    CHECK_SAME(weir_pub_unsub(hold.pub, TOPIC(X), hold.slow, WEIR_FOREVER), 0);
    take(hold.other, value_of(Y, 0));
    AWAIT(all_dropped(&hold.ledger) == QUEUE + 2);
    AWAIT(look_at_pub(hold.pub).topic_count == 1);
    CHECK_SAME(look(hold.slow).sent_total, scene->capacity);
    CHECK_SAME(weir_pub_sub(hold.pub, TOPIC(X), hold.slow, NULL, WEIR_FOREVER), 0);
    CHECK_SAME(look_at_topic(hold.pub, X).count, 0);
    CHECK_SAME(weir_chan_close(hold.source, 0), 0);
    CHECK_SAME(take_end(hold.other), -EPIPE);
    end_hold(&hold);
}

/* --- Ends --- */

CASE(cancel_while_parked, ON_TASKS, ANY_CAPACITY)
{
    struct weir_scope *scope = make_scope();
    struct hold hold;

    begin_hold(scene, scope, &hold);
    cancel(scope);
    CHECK_SAME(all_dropped(&hold.ledger), QUEUE + 2);
    CHECK_SAME(look(hold.source).count, 1);
    for (uint32_t i = 0; i < scene->capacity; i++)
        take(hold.slow, value_of(X, i));
    CHECK_SAME(take_end(hold.slow), -ECANCELED);
    CHECK_SAME(take_end(hold.other), -ECANCELED);
    end_hold(&hold);
}

CASE(cancel_while_waiting, ON_TASKS, ANY_CAPACITY)
{
    struct weir_scope *scope = make_scope();
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_pub *pub = make_pub(scene, scope, source, number_of, NULL);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    CHECK_SAME(weir_pub_sub(pub, TOPIC(1), chan, NULL, WEIR_FOREVER), 0);
    cancel(scope);
    CHECK_SAME(take_end(chan), -ECANCELED);
    CHECK(!look(source).closed);
    CHECK(look_at_pub(pub).ended);
    weir_chan_release(chan);
    weir_pub_release(pub);
    weir_chan_release(source);
}

/* The source has ended; a slow subscriber keeps the pub from ending. */
static void begin_drain(struct scene *scene, struct weir_scope *scope, struct hold *hold)
{
    begin_hold(scene, scope, hold);
    CHECK_SAME(weir_chan_close(hold->source, -EIO), 0);
    take(hold->slow, value_of(X, 0));
    take(hold->other, value_of(Y, 0));
    CHECK_SAME(take_end(hold->other), -EIO);
    CHECK(look_at_pub(hold->pub).ended);
    CHECK_SAME(look_at_pub(hold->pub).topic_count, 1);
    CHECK_SAME(all_dropped(&hold->ledger), 0);
}

CASE(cancel_while_draining, ON_TASKS, ANY_CAPACITY)
{
    struct weir_scope *scope = make_scope();
    struct hold hold;

    begin_drain(scene, scope, &hold);
    cancel(scope);
    CHECK_SAME(all_dropped(&hold.ledger), QUEUE + 1);
    for (uint32_t i = 1; i < scene->capacity + 1; i++)
        take(hold.slow, value_of(X, i));
    CHECK_SAME(take_end(hold.slow), -ECANCELED);
    end_hold(&hold);
}

CASE(unsub_while_draining, EVERYWHERE, ANY_CAPACITY)
{
    struct weir_scope *scope = make_scope();
    struct hold hold;

    begin_drain(scene, scope, &hold);
    CHECK_SAME(weir_pub_unsub_all(hold.pub, NULL, WEIR_FOREVER), 0);
    CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
    CHECK_SAME(all_dropped(&hold.ledger), QUEUE + 1);
    CHECK(!look(hold.slow).closed);
    end_hold(&hold);
}

/* --- Bounds, bad input, no memory --- */

CASE(topics_are_bounded, EVERYWHERE, 1)
{
    const struct weir_pub_options options = { .topics_max = 3 };
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_pub *pub = make_pub(scene, scene->scope, source, number_of, &options);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);

    for (uint32_t i = 0; i < 3; i++)
        CHECK_SAME(weir_pub_sub(pub, TOPIC(i), chan, NULL, WEIR_FOREVER), 0);
    CHECK_SAME(weir_pub_sub(pub, TOPIC(3), chan, NULL, WEIR_FOREVER), -ENOBUFS);
    CHECK_SAME(look_at_pub(pub).topic_count, 3);
    CHECK_SAME(look_at_pub(pub).topic_count_max, 3);
    CHECK_SAME(look_at_pub(pub).refused_total, 1);
    CHECK_SAME(weir_pub_unsub_all(pub, TOPIC(1), WEIR_FOREVER), 0);
    AWAIT(look_at_pub(pub).topic_count == 2);
    CHECK_SAME(weir_pub_sub(pub, TOPIC(3), chan, NULL, WEIR_FOREVER), 0);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    weir_chan_release(chan);
    weir_pub_release(pub);
    weir_chan_release(source);
}

/* A new subscriber comes while the topic ends: it gets a new one. */
CASE(topic_ends_and_begins_anew, EVERYWHERE, 1)
{
    const struct weir_pub_options options = { .topics_max = 1 };
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_pub *pub = make_pub(scene, scene->scope, source, number_of, &options);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    long rounds = test_rounds(1000, 50000, 500000);

    for (uint32_t i = 0; i < rounds; i++) {
        CHECK_SAME(weir_pub_sub(pub, TOPIC(0), chan, NULL, WEIR_FOREVER), 0);
        put(source, value_of(0, i));
        take(chan, value_of(0, i));
        CHECK_SAME(weir_pub_unsub(pub, TOPIC(0), chan, WEIR_FOREVER), 0);
    }
    CHECK_SAME(weir_chan_close(source, 0), 0);
    AWAIT(weir_scope_count(scene->scope) == 0);
    weir_chan_release(chan);
    weir_pub_release(pub);
    weir_chan_release(source);
}

static void check_bad_options(struct weir_scope *scope, struct weir_chan *source)
{
    const struct weir_pub_options bad[] = {
        { .size = 1 },
        { .policy = WEIR_PUB_PARK + 1 },
        { .topics_max = (1 << 20) + 1 },
        { .reserved = { 0, 0, 0, 1 } },
    };
    const struct weir_pub_options named = { .name = "a name of thirty-two characters." };
    struct weir_pub *pub = NULL;

    CHECK_SAME(weir_pub_create(NULL, source, number_of, NULL, NULL, &pub), -EINVAL);
    CHECK_SAME(weir_pub_create(scope, NULL, number_of, NULL, NULL, &pub), -EINVAL);
    CHECK_SAME(weir_pub_create(scope, source, NULL, NULL, NULL, &pub), -EINVAL);
    CHECK_SAME(weir_pub_create(scope, source, number_of, NULL, NULL, NULL), -EINVAL);
    CHECK_SAME(weir_pub_create(scope, source, number_of, NULL, &named, &pub), -E2BIG);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_SAME(weir_pub_create(scope, source, number_of, NULL, &bad[i], &pub), -EINVAL);
    CHECK(!pub);
}

CASE(bad_input_is_refused, ALONE, 1)
{
    struct weir_chan *source = make_chan(scene->capacity, NULL), *narrow = NULL;
    const struct weir_topic bytes_missing = { NULL, 1 }, too_long = { "", 65 };
    const struct weir_tap_options bad = { .policy = WEIR_TAP_DISCONNECT + 1 };
    struct weir_chan *chan = make_chan(1, NULL);
    struct weir_topic_stats stats;
    struct weir_pub *pub;

    check_bad_options(scene->scope, source);
    CHECK_SAME(weir_chan_create(&narrow, 4, 1, NULL), 0);
    pub = make_pub(scene, scene->scope, source, number_of, NULL);
    CHECK_SAME(weir_pub_sub(NULL, TOPIC(1), chan, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_sub(pub, NULL, chan, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_sub(pub, &bytes_missing, chan, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_sub(pub, &too_long, chan, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_sub(pub, TOPIC(1), NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_sub(pub, TOPIC(1), narrow, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_sub(pub, TOPIC(1), source, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_sub(pub, TOPIC(1), chan, &bad, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_unsub(NULL, TOPIC(1), chan, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_unsub(pub, NULL, chan, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_unsub(pub, TOPIC(1), NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_unsub_all(NULL, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_unsub_all(pub, &too_long, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_read_stats(pub, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_read_topic_stats(pub, TOPIC(1), NULL, NULL, 0, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_read_topic_stats(pub, TOPIC(1), &stats, NULL, 1, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_pub_read_topic_stats(pub, TOPIC(1), &stats, NULL, 0, WEIR_FOREVER), -ENOENT);
    CHECK_SAME(look_at_pub(pub).topic_count, 0);
    weir_pub_release(NULL);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    weir_pub_release(weir_pub_retain(pub));
    weir_pub_release(pub);
    weir_chan_release(chan);
    weir_chan_release(narrow);
    weir_chan_release(source);
}

/* One allocation after the other fails, until the call succeeds: then it works. */
CASE(no_memory_leaves_no_trace, ALONE, 1)
{
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_chan *chan = make_chan(scene->capacity, NULL);
    struct weir_pub *pub = NULL;
    long failures = 0;
    int error;

    do {
        weir__memory_fail_after(++failures);
        error = weir_pub_create(scene->scope, source, number_of, NULL, NULL, &pub);
    } while (error == -ENOMEM);
    CHECK_SAME(error, 0);
    CHECK(failures > 4);
    failures = 0;
    do {
        weir__memory_fail_after(++failures);
        error = weir_pub_sub(pub, TOPIC(1), chan, NULL, WEIR_FOREVER);
        CHECK(error >= 0 || look_at_pub(pub).topic_count == 0);
    } while (error == -ENOBUFS || error == -ENOMEM);
    weir__memory_fail_after(-1);
    CHECK_SAME(error, 0);
    CHECK(failures > 4);
    put(source, value_of(1, 7));
    take(chan, value_of(1, 7));
    CHECK_SAME(weir_chan_close(source, 0), 0);
    CHECK_SAME(take_end(chan), -EPIPE);
    weir_chan_release(chan);
    weir_pub_release(pub);
    weir_chan_release(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unheard_and_failed_are_dropped_and_counted),
        cmocka_unit_test(topics_of_any_length),
        cmocka_unit_test(who_is_merely_behind_loses_nothing),
        cmocka_unit_test(slow_topic_is_waited_for_once),
        cmocka_unit_test(park_waits_for_the_slowest_topic),
        cmocka_unit_test(unsub_frees_a_parked_pub),
        cmocka_unit_test(cancel_while_parked),
        cmocka_unit_test(cancel_while_waiting),
        cmocka_unit_test(cancel_while_draining),
        cmocka_unit_test(unsub_while_draining),
        cmocka_unit_test(topics_are_bounded),
        cmocka_unit_test(topic_ends_and_begins_anew),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(no_memory_leaves_no_trace),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
