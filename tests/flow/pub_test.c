/* SPDX-License-Identifier: MIT */
/* The pub. Section M of the conformance cases; its policies and its ends are in pub_end_test.c. */
#include "flow/pub_fixture.h"

/* --- M. pub/sub --- */

/* A topic by its words. */
static int name_of(const void *value, struct weir_topic *topic, void *context)
{
    static const char *const names[] = { "coal", "coals" };
    const char *name = names[topic_of_value(value)];

    (void)context;
    *topic = (struct weir_topic){ name, strlen(name) };
    return 0;
}

static void play_topics(struct scene *scene, weir_topic_fn *topic_fn,
                        const struct weir_topic topics[2])
{
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_pub *pub = make_pub(scene, scene->scope, source, topic_fn, NULL);
    struct reader readers[4];

    for (unsigned i = 0; i < 4; i++) {
        struct weir_chan *chan = make_chan(scene->capacity, NULL);

        CHECK_SAME(weir_pub_sub(pub, &topics[i % 2], chan, NULL, WEIR_FOREVER), 0);
        start_reader(scene, &readers[i], chan);
    }
    CHECK_SAME(look_at_pub(pub).topic_count, 2);
    for (unsigned i = 0; i < 20; i++)
        put(source, value_of(i % 2, i / 2));
    CHECK_SAME(weir_chan_close(source, 0), 0);
    for (unsigned i = 0; i < 4; i++) {
        end_reader(&readers[i], value_of(i % 2, 0), 10, -EPIPE);
        weir_chan_release(readers[i].chan);
    }
    weir_pub_release(pub);
    weir_chan_release(source);
}

CASE(case_236_two_topics_two_subscribers_each, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_topic numbers[] = { *TOPIC(0), *TOPIC(1) };
    const struct weir_topic names[] = { { "coal", 4 }, { "coals", 5 } };

    play_topics(scene, number_of, numbers);
    play_topics(scene, name_of, names);
}

CASE(case_238_source_end_closes_or_keeps, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_tap_options keep = { .flags = WEIR_TAP_KEEP_OPEN };
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_pub *pub = make_pub(scene, scene->scope, source, number_of, NULL);
    struct weir_chan *closed = make_chan(LEN_MAX, NULL), *kept = make_chan(LEN_MAX, NULL);

    CHECK_SAME(weir_pub_sub(pub, TOPIC(1), closed, NULL, WEIR_FOREVER), 0);
    CHECK_SAME(weir_pub_sub(pub, TOPIC(1), kept, &keep, WEIR_FOREVER), 0);
    for (unsigned i = 0; i < 10; i++)
        put(source, value_of(1, i));
    CHECK_SAME(weir_chan_close(source, -EIO), 0);
    for (unsigned i = 0; i < 10; i++)
        take(closed, value_of(1, i));
    CHECK_SAME(take_end(closed), -EIO);
    AWAIT(weir_scope_count(scene->scope) == 0);
    CHECK_SAME(look(kept).count, 10);
    CHECK(!look(kept).closed);
    weir_chan_release(closed);
    weir_chan_release(kept);
    weir_pub_release(pub);
    weir_chan_release(source);
}

/* Elements of Y arrive one by one, while X has long been full. */
CASE(case_239_slow_topic_delays_no_other, EVERYWHERE, ANY_CAPACITY)
{
    static const enum weir_pub_policy policies[] = { WEIR_PUB_DROP_NEWEST, WEIR_PUB_DROP_OLDEST };
    enum { X, Y, QUEUE = 4, COUNT = 100 };

    for (size_t i = 0; i < 2; i++) {
        const struct weir_pub_options options = { .policy = policies[i], .topic_capacity = QUEUE };
        size_t kept = scene->capacity + 1 + QUEUE; /* one is in the hand of X's task */
        bool oldest = policies[i] == WEIR_PUB_DROP_OLDEST;
        struct ledger ledger;
        struct weir_chan *source = make_source(scene->capacity, &ledger);
        struct weir_pub *pub = make_pub(scene, scene->scope, source, number_of, &options);
        struct weir_chan *x = make_chan(scene->capacity, NULL), *y = make_chan(1, NULL);

        CHECK_SAME(weir_pub_sub(pub, TOPIC(X), x, NULL, WEIR_FOREVER), 0);
        CHECK_SAME(weir_pub_sub(pub, TOPIC(Y), y, NULL, WEIR_FOREVER), 0);
        for (unsigned j = 0; j < COUNT; j++) {
            put(source, value_of(X, j));
            if (j == scene->capacity)
                await_senders(x, 1);
            put(source, value_of(Y, j));
            take(y, value_of(Y, j));
        }
        CHECK_SAME(look_at_pub(pub).dropped_total, COUNT - kept);
        CHECK_SAME(ledger.dropped[WEIR_DROP_DISCARD], COUNT - kept);
        CHECK_SAME(look_at_topic(pub, X).count, QUEUE);
        CHECK_SAME(weir_chan_close(source, 0), 0);
        for (unsigned j = 0; j < kept; j++)
            take(x, value_of(X, oldest && j > scene->capacity ? COUNT - (unsigned)kept + j : j));
        CHECK_SAME(take_end(x), -EPIPE);
        CHECK_SAME(take_end(y), -EPIPE);
        AWAIT(weir_scope_count(scene->scope) == 0);
        CHECK_SAME(look_at_pub(pub).dropped_total, COUNT - kept);
        weir_chan_release(x);
        weir_chan_release(y);
        weir_pub_release(pub);
        weir_chan_release(source);
    }
}

static uint64_t count_tasks(void)
{
    uint64_t counters[WEIR_COUNTER_COUNT];

    CHECK(weir_stats_read(counters, WEIR_COUNTER_COUNT) > WEIR_TASKS_NOW);
    return counters[WEIR_TASKS_NOW];
}

CASE(case_241_last_unsub_ends_the_topic, EVERYWHERE, ANY_CAPACITY)
{
    struct ledger ledger;
    struct weir_chan *source = make_source(scene->capacity, &ledger);
    struct weir_pub *pub = make_pub(scene, scene->scope, source, number_of, NULL);
    struct weir_chan *a = make_chan(scene->capacity, NULL), *b = make_chan(scene->capacity, NULL);
    const uint64_t tasks = 2; /* the root, the pub */

    AWAIT(count_tasks() == tasks); /* who made it has ended */
    for (unsigned round = 0; round < 3; round++) {
        for (uint32_t topic = 0; topic < 3; topic++) {
            CHECK_SAME(weir_pub_sub(pub, TOPIC(topic), a, NULL, WEIR_FOREVER), 0);
            CHECK_SAME(weir_pub_sub(pub, TOPIC(topic), b, NULL, WEIR_FOREVER), 0);
            CHECK_SAME(weir_pub_sub(pub, TOPIC(topic), b, NULL, WEIR_FOREVER), WEIR_ALREADY);
        }
        AWAIT(count_tasks() == tasks + 3);
        CHECK_SAME(weir_pub_unsub_all(pub, TOPIC(0), WEIR_FOREVER), 0);
        CHECK_SAME(weir_pub_unsub_all(pub, TOPIC(0), WEIR_FOREVER), WEIR_ALREADY);
        CHECK_SAME(weir_pub_unsub(pub, TOPIC(1), a, WEIR_FOREVER), 0);
        CHECK_SAME(weir_pub_unsub(pub, TOPIC(1), a, WEIR_FOREVER), WEIR_ALREADY);
        AWAIT(count_tasks() == tasks + 2);
        CHECK_SAME(look_at_topic(pub, 1).mult.tap_count, 1);
        CHECK_SAME(weir_pub_unsub(pub, TOPIC(1), b, WEIR_FOREVER), 0);
        AWAIT(count_tasks() == tasks + 1);
        CHECK_SAME(weir_pub_unsub_all(pub, NULL, WEIR_FOREVER), 0);
        CHECK_SAME(weir_pub_unsub_all(pub, NULL, WEIR_FOREVER), WEIR_ALREADY);
        AWAIT(count_tasks() == tasks);
        CHECK_SAME(look_at_pub(pub).topic_count, 0);
    }
    put(source, value_of(0, 1));
    AWAIT(look_at_pub(pub).unheard_total == 1);
    CHECK_SAME(all_dropped(&ledger), 1);
    CHECK(!look(a).closed);
    CHECK(!look(b).closed);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    weir_chan_release(a);
    weir_chan_release(b);
    weir_pub_release(pub);
    weir_chan_release(source);
}

CASE(case_242_sub_after_the_end_is_ended_at_once, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_tap_options keep = { .flags = WEIR_TAP_KEEP_OPEN };
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_pub *pub = make_pub(scene, scene->scope, source, number_of, NULL);
    struct weir_chan *slow = make_chan(0, NULL), *late = make_chan(scene->capacity, NULL);
    struct weir_chan *later = make_chan(scene->capacity, NULL);

    CHECK_SAME(weir_pub_sub(pub, TOPIC(1), slow, NULL, WEIR_FOREVER), 0);
    put(source, value_of(1, 0));
    CHECK_SAME(weir_chan_close(source, -EIO), 0);
    AWAIT(look_at_pub(pub).ended);
    CHECK_SAME(weir_pub_sub(pub, TOPIC(1), late, NULL, WEIR_FOREVER), 0); /* it still delivers */
    CHECK_SAME(take_end(late), -EIO);
    take(slow, value_of(1, 0));
    CHECK_SAME(take_end(slow), -EIO);
    AWAIT(weir_scope_count(scene->scope) == 0);
    CHECK_SAME(weir_pub_sub(pub, TOPIC(2), later, &keep, WEIR_FOREVER), 0);
    CHECK(!look(later).closed);
    CHECK_SAME(weir_pub_sub(pub, TOPIC(2), later, NULL, WEIR_FOREVER), 0);
    CHECK_SAME(take_end(later), -EIO);
    CHECK_SAME(weir_pub_unsub(pub, TOPIC(1), slow, WEIR_FOREVER), WEIR_ALREADY);
    CHECK_SAME(weir_pub_unsub_all(pub, NULL, WEIR_FOREVER), WEIR_ALREADY);
    CHECK_SAME(look_at_pub(pub).topic_count, 0);
    weir_chan_release(slow);
    weir_chan_release(late);
    weir_chan_release(later);
    weir_pub_release(pub);
    weir_chan_release(source);
}

CASE(case_244_one_channel_two_topics, EVERYWHERE, ANY_CAPACITY)
{
    const struct weir_tap_options keep = { .flags = WEIR_TAP_KEEP_OPEN };
    struct weir_chan *source = make_chan(scene->capacity, NULL);
    struct weir_pub *pub = make_pub(scene, scene->scope, source, number_of, NULL);
    struct weir_chan *both = make_chan(scene->capacity, NULL);
    unsigned next[2] = { 0, 0 };

    for (uint32_t topic = 0; topic < 2; topic++)
        CHECK_SAME(weir_pub_sub(pub, TOPIC(topic), both, &keep, WEIR_FOREVER), 0);
    for (unsigned i = 0; i < 40; i++)
        put(source, value_of(i % 2, i / 2));
    CHECK_SAME(weir_chan_close(source, 0), 0);
    for (unsigned i = 0; i < 40; i++) {
        uint64_t value = UINT64_MAX;
        uint32_t topic;

        CHECK_SAME(weir_chan_recv(both, &value, end_of_patience()), 0);
        topic = topic_of_value(&value);
        if (CHECK(topic < 2))
            CHECK_SAME(value, value_of(topic, next[topic]++));
    }
    AWAIT(weir_scope_count(scene->scope) == 0);
    CHECK_SAME(look(both).sent_total, 40);
    weir_chan_release(both);
    weir_pub_release(pub);
    weir_chan_release(source);
}

/* A subscriber that takes one element, and ends. */
static int take_one_and_go(void *arg)
{
    struct weir_chan *chan = arg;
    uint64_t value;
    int error = weir_chan_recv(chan, &value, WEIR_FOREVER);

    weir_chan_close_receiver(chan);
    return error;
}

CASE(case_245_dead_subscriber_is_forgotten, EVERYWHERE, ANY_CAPACITY)
{
    struct ledger ledger;
    struct weir_chan *source = make_source(scene->capacity, &ledger);
    struct weir_pub *pub = make_pub(scene, scene->scope, source, number_of, NULL);
    struct weir_chan *dead = make_chan(scene->capacity, NULL);
    struct weir_chan *alive = make_chan(LEN_MAX, NULL);
    struct actor actor;

    CHECK_SAME(weir_chan_open_receiver(dead), 0);
    for (uint32_t topic = 0; topic < 2; topic++)
        CHECK_SAME(weir_pub_sub(pub, TOPIC(topic), alive, NULL, WEIR_FOREVER), 0);
    CHECK_SAME(weir_pub_sub(pub, TOPIC(1), dead, NULL, WEIR_FOREVER), 0);
    CHECK_SAME(weir_pub_sub(pub, TOPIC(2), dead, NULL, WEIR_FOREVER), 0);
    actor_start(scene, &actor, take_one_and_go, dead);
    put(source, value_of(1, 0));
    actor_join(&actor);
    put(source, value_of(1, 1));
    put(source, value_of(2, 2));
    put(source, value_of(0, 3));
    take(alive, value_of(1, 0));
    AWAIT(look(alive).count == 2);
    AWAIT(look_at_pub(pub).topic_count == 2);
    CHECK_SAME(look_at_topic(pub, 1).mult.tap_count, 1);
    CHECK_SAME(look_at_topic(pub, 1).mult.dropped_total, 1);
    AWAIT(all_dropped(&ledger) == 2);
    CHECK_SAME(weir_pub_unsub(pub, TOPIC(1), dead, WEIR_FOREVER), WEIR_ALREADY);
    CHECK_SAME(weir_chan_close(source, 0), 0);
    AWAIT(weir_scope_count(scene->scope) == 0);
    CHECK_SAME(all_dropped(&ledger), 2);
    weir_chan_release(dead);
    weir_chan_release(alive);
    weir_pub_release(pub);
    weir_chan_release(source);
}

/* --- Storm --- */

enum { STORMERS = 4, STORM_TOPICS = 3 };

struct stormer {
    struct actor actor;
    struct weir_pub *pub;
    struct weir_chan *chan;
    uint64_t random;
};

static int topic_of_payload(const void *elem, struct weir_topic *topic, void *context)
{
    static const unsigned char keys[STORM_TOPICS] = { 3, 4, 5 };

    (void)context;
    *topic = (struct weir_topic){ &keys[*(const uintptr_t *)elem / 32 % STORM_TOPICS], 1 };
    return 0;
}

static int storm(void *arg)
{
    struct stormer *stormer = arg;
    struct payload *payload;
    int error = 0;

    while (error >= 0) {
        unsigned char key = (unsigned char)(3 + roll(&stormer->random) % STORM_TOPICS);
        struct weir_topic topic = { &key, 1 };
        struct weir_tap_options options = { .policy = roll(&stormer->random) % 3 };
        uint64_t quota = roll(&stormer->random) % 8;

        CHECK(weir_pub_sub(stormer->pub, &topic, stormer->chan, &options, WEIR_FOREVER) >= 0);
        while (quota-- > 0 && error >= 0) {
            error = weir_chan_recv(stormer->chan, &payload, weir_in_us(200));
            if (error >= 0)
                release_payload(payload);
            error = error == -ETIME ? 0 : error;
        }
        CHECK(weir_pub_unsub(stormer->pub, &topic, stormer->chan, WEIR_FOREVER) >= 0);
    }
    return 0;
}

/* Nothing is lost, released twice, or hangs. */
CASE(storm_of_subscriptions, EVERYWHERE, 0, 7)
{
    const struct weir_chan_options options = { .drop = drop_payload, .retain = retain_payload };
    long count = test_rounds(3000, 300000, 3000000);

    for (enum weir_pub_policy policy = 0; policy <= WEIR_PUB_PARK; policy++) {
        const struct weir_pub_options small = { .policy = policy, .topic_capacity = 2 };
        struct weir_chan *source = make_chan(scene->capacity, &options);
        struct weir_pub *pub = make_pub(scene, scene->scope, source, topic_of_payload, &small);
        struct stormer stormers[STORMERS];
        atomic_long live = 0;

        for (size_t i = 0; i < STORMERS; i++) {
            stormers[i] = (struct stormer){
                .pub = pub,
                .chan = make_chan(scene->capacity, &options),
                .random = i + 1,
            };
            actor_start_in_crowd(scene, &stormers[i].actor, i, storm, &stormers[i]);
        }
        for (long i = 0; i < count; i++)
            send_payload(source, &live);
        CHECK_SAME(weir_chan_close(source, 0), 0);
        for (size_t i = 0; i < STORMERS; i++)
            actor_join(&stormers[i].actor);
        AWAIT(weir_scope_count(scene->scope) == 0);
        CHECK_SAME(look_at_pub(pub).received_total, count);
        for (size_t i = 0; i < STORMERS; i++)
            weir_chan_release(stormers[i].chan);
        weir_pub_release(pub);
        weir_chan_release(source);
        CHECK_SAME(live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_236_two_topics_two_subscribers_each),
        cmocka_unit_test(case_238_source_end_closes_or_keeps),
        cmocka_unit_test(case_239_slow_topic_delays_no_other),
        cmocka_unit_test(case_241_last_unsub_ends_the_topic),
        cmocka_unit_test(case_242_sub_after_the_end_is_ended_at_once),
        cmocka_unit_test(case_244_one_channel_two_topics),
        cmocka_unit_test(case_245_dead_subscriber_is_forgotten),
        cmocka_unit_test(storm_of_subscriptions),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
