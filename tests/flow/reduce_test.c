/* SPDX-License-Identifier: MIT */
/* What takes in the calling task, reduce and collect, and what sends an array. Section J of the
 * conformance cases. */
#include "flow/fixture.h"

enum { FEW = 5 };

/* --- Reduce, collect: by the other side --- */

static int add_up(const void *elem, void *context)
{
    uint64_t *sum = context;

    *sum += *(const uint64_t *)elem;
    if (*sum == 10)
        return WEIR_STOP;
    return *sum > 100 ? -EDOM : 0;
}

struct reducer {
    struct actor actor;
    struct weir_chan *input;
    uint64_t sum;
    unsigned flags;
    int64_t deadline_ns;
};

static int reduce(void *arg)
{
    struct reducer *reducer = arg;

    return weir_reduce(reducer->input, add_up, &reducer->sum, reducer->flags, reducer->deadline_ns);
}

static void start_reducer(struct scene *scene, struct reducer *reducer, struct weir_chan *input,
                          unsigned flags)
{
    *reducer = (struct reducer){ .input = input, .flags = flags, .deadline_ns = WEIR_FOREVER };
    actor_start(scene, &reducer->actor, reduce, reducer);
}

CASE(case_202_reduce_stops_early, EVERYWHERE, 0)
{
    static const unsigned flags[] = { 0, WEIR_STAGE_ABORT_INPUT };

    for (size_t i = 0; i < 2; i++) {
        struct weir_chan *input = make_chan(scene->capacity, NULL);
        struct reducer reducer;
        struct feeder source = { 0 };

        start_reducer(scene, &reducer, input, flags[i]);
        start_feeder(scene, &source, input, 1, FEW);
        CHECK_SAME(actor_join(&reducer.actor), 0);
        CHECK_SAME(reducer.sum, 1 + 2 + 3 + 4);
        if (i == 0)
            CHECK_SAME(await_value(input), 5); /* for whoever takes it */
        actor_join(&source.actor);
        CHECK_SAME(source.result, i == 0 ? 0 : -EPIPE);
        RELEASE(input);
    }
}

CASE(reduce_ends, EVERYWHERE, ANY_CAPACITY)
{
    static const int reasons[] = { 0, -EIO };

    for (size_t i = 0; i < 2; i++) {
        struct weir_chan *input = make_chan(scene->capacity, NULL);
        struct reducer reducer;

        start_reducer(scene, &reducer, input, 0);
        CHECK_SAME(weir_chan_send(input, &(uint64_t){ 7 }, end_of_patience()), 0);
        weir_chan_close(input, reasons[i]);
        CHECK_SAME(actor_join(&reducer.actor), reasons[i]);
        CHECK_SAME(reducer.sum, 7);
        RELEASE(input);
    }
}

CASE(reduce_fails, EVERYWHERE, ANY_CAPACITY)
{
    struct ledger ledger = { 0 };
    struct weir_chan *input = make_ledger_chan(scene->capacity, &ledger);
    struct reducer reducer;
    uint64_t sum = 0;

    start_reducer(scene, &reducer, input, WEIR_STAGE_ABORT_INPUT);
    CHECK_SAME(weir_chan_send(input, &(uint64_t){ 101 }, end_of_patience()), 0);
    CHECK_SAME(actor_join(&reducer.actor), -EDOM);
    check_ledger(&ledger, 101);
    CHECK_SAME(await_end(input), -EDOM);
    RELEASE(input);

    input = make_chan(scene->capacity, NULL);
    CHECK_SAME(weir_reduce(input, add_up, &sum, 0, WEIR_NOW), -EAGAIN);
    CHECK_SAME(weir_reduce(input, add_up, &sum, 0, weir_in_us(50)), -ETIME);
    CHECK_SAME(weir_reduce(NULL, add_up, &sum, 0, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_reduce(input, NULL, &sum, 0, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_reduce(input, add_up, &sum, WEIR_STAGE_KEEP_OPEN, WEIR_NOW), -EINVAL);
    CHECK(!look(input).closed);
    RELEASE(input);
}

static int check_bytes(const void *elem, void *context)
{
    const unsigned char *bytes = elem;
    size_t elem_size = *(size_t *)context;

    CHECK(bytes[0] == 1 && bytes[elem_size - 1] == 1);
    return WEIR_STOP;
}

CASE(reduce_of_large_elements, ALONE, 1)
{
    static unsigned char elem[70000];

    for (size_t elem_size = 256; elem_size < sizeof elem; elem_size += elem_size / 3) {
        struct weir_chan *input = NULL;

        memset(elem, 1, elem_size);
        CHECK_SAME(weir_chan_create(&input, elem_size, scene->capacity, NULL), 0);
        CHECK_SAME(weir_chan_send(input, elem, WEIR_NOW), 0);
        CHECK_SAME(weir_reduce(input, check_bytes, &elem_size, 0, WEIR_NOW), 0);
        RELEASE(input);
    }
}

struct collector {
    struct actor actor;
    struct weir_chan *input;
    uint64_t values[FEW];
    size_t capacity;
    size_t count;
};

static int collect(void *arg)
{
    struct collector *collector = arg;

    return weir_collect(collector->input, collector->values, collector->capacity, &collector->count,
                        WEIR_FOREVER);
}

/* Sends 1 .. FEW - 1, closes, and lets the other side collect. */
static int collect_some(struct scene *scene, struct collector *collector, size_t capacity,
                        int reason)
{
    struct weir_chan *input = make_chan(scene->capacity, NULL);
    struct feeder source = {
        .closes = true,
        .reason = reason,
        .chan = input,
        .first = 1,
        .count = FEW - 1,
    };
    int result;

    *collector = (struct collector){ .input = input, .capacity = capacity, .count = 99 };
    actor_start(scene, &collector->actor, collect, collector);
    actor_start_at(scene, &source.actor, 0, feed, &source);
    result = actor_join(&collector->actor);
    for (size_t i = 0; i < collector->count; i++)
        CHECK_SAME(collector->values[i], i + 1);
    expect_run(input, collector->count + 1, FEW - 1 - collector->count);
    CHECK_SAME(await_end(input), reason ? reason : -EPIPE);
    actor_join(&source.actor);
    RELEASE(input);
    return result;
}

CASE(case_203_collect_gets_all_in_order, EVERYWHERE, ANY_CAPACITY)
{
    struct collector collector;

    CHECK_SAME(collect_some(scene, &collector, FEW, 0), 0);
    CHECK_SAME(collector.count, FEW - 1);
    CHECK_SAME(collect_some(scene, &collector, FEW, -EIO), -EIO);
    CHECK_SAME(collector.count, FEW - 1);
    for (size_t capacity = 0; capacity < FEW; capacity++) {
        CHECK_SAME(collect_some(scene, &collector, capacity, 0), 0);
        CHECK_SAME(collector.count, capacity);
    }
}

CASE(collect_refuses_and_gives_up, ALONE, 2)
{
    struct weir_chan *input = make_chan(scene->capacity, NULL);
    uint64_t values[FEW];
    size_t count = 99;

    CHECK_SAME(weir_collect(NULL, values, FEW, &count, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_collect(input, NULL, FEW, &count, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_collect(input, values, FEW, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_collect(input, NULL, 0, &count, WEIR_NOW), 0);
    CHECK_SAME(count, 0);
    fill(input, 2);
    CHECK_SAME(weir_collect(input, values, FEW, &count, WEIR_NOW), -EAGAIN);
    CHECK_SAME(count, 2);
    CHECK_SAME(weir_collect(input, values, FEW, &count, weir_in_us(50)), -ETIME);
    CHECK_SAME(count, 0);
    RELEASE(input);
}

/* --- Arrays --- */

CASE(an_array_is_sent_and_closed, EVERYWHERE, ANY_CAPACITY)
{
    static const uint64_t values[] = { 4, 8, 15, 16, 23, 42 };
    struct weir_chan *output = make_chan(scene->capacity, NULL);
    struct collector collector;

    CHECK_SAME(weir_from_array(scene->scope, values, 6, output, NULL), 0);
    EXPECT(output, 4, 8, 15, 16, 23, 42);
    CHECK_SAME(await_end(output), -EPIPE);
    RELEASE(output);

    output = make_chan(scene->capacity, NULL);
    collector = (struct collector){ .input = output, .capacity = FEW };
    CHECK_SAME(weir_from_array(scene->scope, values, FEW, output, NULL), 0);
    actor_start(scene, &collector.actor, collect, &collector);
    CHECK_SAME(actor_join(&collector.actor), 0);
    CHECK_SAME(memcmp(collector.values, values, sizeof collector.values), 0);
    RELEASE(output);

    output = make_chan(scene->capacity, NULL);
    CHECK_SAME(weir_from_array(scene->scope, NULL, 0, output, NULL), 0);
    CHECK_SAME(await_end(output), -EPIPE);
    RELEASE(output);
}

CASE(an_array_keeps_what_nobody_wants, EVERYWHERE, ANY_CAPACITY)
{
    static const uint64_t values[200];
    struct ledger ledger = { 0 };
    struct weir_chan *output = make_ledger_chan(scene->capacity, &ledger);
    struct weir_stage *stage = NULL;
    const struct weir_stage_options options = { .stage = &stage };

    CHECK_SAME(weir_from_array(scene->scope, values, 200, output, &options), 0);
    await_senders(output, 1);
    weir_chan_abort(output, 0);
    end_stage(stage);
    CHECK_SAME(ledger.count, scene->capacity); /* the channel's, by the abort */
    RELEASE(output);
}

/* --- The group --- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_202_reduce_stops_early),
        cmocka_unit_test(reduce_ends),
        cmocka_unit_test(reduce_fails),
        cmocka_unit_test(reduce_of_large_elements),
        cmocka_unit_test(case_203_collect_gets_all_in_order),
        cmocka_unit_test(collect_refuses_and_gives_up),
        cmocka_unit_test(an_array_is_sent_and_closed),
        cmocka_unit_test(an_array_keeps_what_nobody_wants),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
