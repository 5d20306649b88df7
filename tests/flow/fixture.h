/* SPDX-License-Identifier: MIT */
/* What tests of stages share: channels that keep a ledger of what they drop, and those who feed
 * and drain them from the other side. */
#ifndef WEIR_TESTS_FLOW_FIXTURE_H
#define WEIR_TESTS_FLOW_FIXTURE_H

#include "sync/fixture.h"

#include <weir/stage.h>

/* What went to a channel's drop callback. */
struct ledger {
    atomic_ulong count;
    atomic_ulong sum;   /* of the values */
    atomic_ulong wrong; /* for another reason than that nobody would use it */
};

static inline void enter_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    struct ledger *ledger = context;
    uint64_t value;

    memcpy(&value, elem, sizeof value);
    atomic_fetch_add(&ledger->count, 1);
    atomic_fetch_add(&ledger->sum, value);
    if (reason != WEIR_DROP_DISCARD)
        atomic_fetch_add(&ledger->wrong, 1);
}

static inline struct weir_chan *make_ledger_chan(size_t capacity, struct ledger *ledger)
{
    const struct weir_chan_options options = { .drop = enter_drop, .context = ledger };

    return make_chan(capacity, &options);
}

/* The ledger holds just this one value, or, with UINT64_MAX, none. */
static inline void check_ledger(struct ledger *ledger, uint64_t value)
{
    bool none = value == UINT64_MAX;

    CHECK_SAME(atomic_load(&ledger->count), none ? 0 : 1);
    CHECK_SAME(atomic_load(&ledger->sum), none ? 0 : value);
    CHECK_SAME(atomic_load(&ledger->wrong), 0);
}

/* --- The other side --- */

/* Sends the values first .. first + count - 1, then closes if asked to. */
struct feeder {
    struct actor actor;
    struct weir_chan *chan;
    uint64_t first;
    uint64_t count;
    bool closes;
    int reason;        /* of the close */
    atomic_ulong sent; /* so far */
    int result;        /* of the last send */
};

static inline int feed(void *arg)
{
    struct feeder *feeder = arg;

    for (uint64_t i = 0; feeder->result >= 0 && i < feeder->count; i++) {
        uint64_t value = feeder->first + i;

        feeder->result = weir_chan_send(feeder->chan, &value, end_of_patience());
        if (feeder->result >= 0)
            atomic_fetch_add(&feeder->sent, 1);
    }
    if (feeder->closes)
        weir_chan_close(feeder->chan, feeder->reason);
    return 0;
}

static inline void start_feeder(struct scene *scene, struct feeder *feeder, struct weir_chan *chan,
                                uint64_t first, uint64_t count)
{
    feeder->chan = chan;
    feeder->first = first;
    feeder->count = count;
    actor_start(scene, &feeder->actor, feed, feeder);
}

/* A feeder that closes after its last value. */
static inline void start_source(struct scene *scene, struct feeder *feeder, struct weir_chan *chan,
                                uint64_t first, uint64_t count)
{
    *feeder = (struct feeder){ .closes = true };
    start_feeder(scene, feeder, chan, first, count);
}

/* Receives a value, waiting for it; UINT64_MAX when there is none. */
static inline uint64_t await_value(struct weir_chan *chan)
{
    uint64_t value = UINT64_MAX;

    CHECK_SAME(weir_chan_recv(chan, &value, end_of_patience()), 0);
    return value;
}

/* Receives these values, in order. */
static inline void expect_values(struct weir_chan *chan, const uint64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK_SAME(await_value(chan), values[i]);
}

#define EXPECT(chan, ...)                                                                          \
    do {                                                                                           \
        const uint64_t expect_them[] = { __VA_ARGS__ };                                            \
        expect_values(chan, expect_them, sizeof expect_them / sizeof expect_them[0]);              \
    } while (0)

static inline void expect_run(struct weir_chan *chan, uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        CHECK_SAME(await_value(chan), first + i);
}

/* How the channel ends, with nothing before. */
static inline int await_end(struct weir_chan *chan)
{
    uint64_t value;
    int result = weir_chan_recv(chan, &value, end_of_patience());

    CHECK(result < 0);
    return result;
}

/* --- Functions --- */

static inline int add_one(const void *source, void *target, void *context)
{
    (void)context;
    *(uint64_t *)target = *(const uint64_t *)source + 1;
    return 0;
}

static inline int is_odd(const void *elem, void *context)
{
    (void)context;
    return *(const uint64_t *)elem % 2 == 1;
}

/* Fails on the value at `context`. */
static inline int map_but(const void *source, void *target, void *context)
{
    if (*(const uint64_t *)source == *(uint64_t *)context)
        return -EDOM;
    *(uint64_t *)target = *(const uint64_t *)source;
    return 0;
}

static inline int filter_but(const void *elem, void *context)
{
    return *(const uint64_t *)elem == *(uint64_t *)context ? -EDOM : 1;
}

static inline int expand_but(const void *source, struct weir_emit *emit, void *context)
{
    if (!source)
        return 0;
    return *(const uint64_t *)source == *(uint64_t *)context ? -EDOM : weir_emit(emit, source);
}

/* The kinds with a function that may fail, each with one that fails on 3. */
enum failing { FAILING_MAP, FAILING_FILTER, FAILING_EXPAND, FAILING_COUNT };

static inline int start_failing(enum failing kind, struct weir_scope *scope,
                                struct weir_chan *input, struct weir_chan *output,
                                const struct weir_stage_options *options)
{
    static uint64_t bad = 3;

    switch (kind) {
    case FAILING_MAP:
        return weir_map(scope, input, output, map_but, &bad, options);
    case FAILING_FILTER:
        return weir_filter(scope, input, output, filter_but, &bad, options);
    default:
        return weir_expand(scope, input, output, expand_but, &bad, options);
    }
}

/* --- Stages --- */

/* A scope of its own, whose join tells what the stage returned. */
static inline struct weir_scope *make_scope(enum weir_scope_kind kind)
{
    struct weir_scope *scope = NULL;

    CHECK_SAME(weir_scope_create(&scope, kind, NULL), 0);
    return scope;
}

static inline struct weir_stage_stats look_at(struct weir_stage *stage)
{
    struct weir_stage_stats stats;

    CHECK_SAME(weir_stage_read_stats(stage, &stats), 0);
    return stats;
}

/* Waits until the stage has ended, and ends the handle. */
static inline void end_stage(struct weir_stage *stage)
{
    AWAIT(look_at(stage).ended);
    weir_stage_release(stage);
}

/* Gives back the caller's reference; what is left in the channel is dropped. */
static inline void release_all(struct weir_chan *const *chans, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK_SAME(weir_chan_release(chans[i]), 0);
}

#define RELEASE(...)                                                                               \
    do {                                                                                           \
        struct weir_chan *const release_them[] = { __VA_ARGS__ };                                  \
        release_all(release_them, sizeof release_them / sizeof release_them[0]);                   \
    } while (0)

#endif
