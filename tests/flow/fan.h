/* SPDX-License-Identifier: MIT */
/* What the tests of mult and pub share: sources that tell what became of their elements, readers,
 * and a mult that is held by a slow tap. */
#ifndef WEIR_TESTS_FLOW_FAN_H
#define WEIR_TESTS_FLOW_FAN_H

#include "sync/fixture.h"

#include <weir/mult.h>

enum { LEN_MAX = 128, TAPS = 5 };

/* --- Sources that count what becomes of their elements --- */

struct ledger {
    atomic_ulong retained;
    atomic_ulong dropped[WEIR_DROP_DISCARD + 1]; /* by reason */
    atomic_ulong dropped_last;
};

static inline void note_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    struct ledger *ledger = context;

    atomic_fetch_add(&ledger->dropped[reason], 1);
    atomic_store(&ledger->dropped_last, *(uint64_t *)elem);
    memset(elem, 0xff, sizeof(uint64_t)); /* the bytes are the callback's */
}

static inline void note_retain(void *elem, void *context)
{
    (void)elem;
    atomic_fetch_add(&((struct ledger *)context)->retained, 1);
}

static inline unsigned long all_dropped(struct ledger *ledger)
{
    unsigned long sum = 0;

    for (size_t i = 0; i <= WEIR_DROP_DISCARD; i++)
        sum += atomic_load(&ledger->dropped[i]);
    return sum;
}

static inline struct weir_chan *make_source(size_t capacity, struct ledger *ledger)
{
    struct weir_chan_options options = {
        .drop = note_drop,
        .retain = note_retain,
        .context = ledger,
    };

    *ledger = (struct ledger){ 0 };
    return make_chan(capacity, &options);
}

static inline struct weir_mult *make_mult(struct weir_scope *scope, struct weir_chan *source)
{
    struct weir_mult *mult = NULL;

    CHECK_SAME(weir_mult_create(scope, source, NULL, &mult), 0);
    return mult;
}

static inline void tap(struct weir_mult *mult, struct weir_chan *chan, enum weir_tap_policy policy,
                       unsigned flags)
{
    struct weir_tap_options options = { .policy = policy, .flags = flags };

    CHECK_SAME(weir_mult_tap(mult, chan, &options, WEIR_FOREVER), 0);
}

static inline void put(struct weir_chan *chan, uint64_t value)
{
    CHECK_SAME(weir_chan_send(chan, &value, end_of_patience()), 0);
}

static inline void take(struct weir_chan *chan, uint64_t expected)
{
    uint64_t value = UINT64_MAX;

    CHECK_SAME(weir_chan_recv(chan, &value, end_of_patience()), 0);
    CHECK_SAME(value, expected);
}

static inline int take_end(struct weir_chan *chan)
{
    uint64_t value;

    return weir_chan_recv(chan, &value, end_of_patience());
}

static inline struct weir_mult_stats look_at(struct weir_mult *mult)
{
    struct weir_mult_stats stats = { 0 };

    CHECK_SAME(weir_mult_read_stats(mult, &stats, NULL, 0, WEIR_FOREVER), 0);
    return stats;
}

/* The figures of one tap; all zero when it is none. */
static inline struct weir_tap_stats look_at_tap(struct weir_mult *mult, struct weir_chan *chan)
{
    struct weir_tap_stats taps[TAPS];
    struct weir_mult_stats stats = { 0 };

    CHECK_SAME(weir_mult_read_stats(mult, &stats, taps, TAPS, WEIR_FOREVER), 0);
    CHECK(stats.tap_count <= TAPS);
    for (size_t i = 0; i < stats.tap_count; i++)
        if (taps[i].chan == chan)
            return taps[i];
    return (struct weir_tap_stats){ 0 };
}

static inline bool is_parked(struct weir_mult *mult, struct weir_chan *chan)
{
    return look_at_tap(mult, chan).parked_since_ns != 0;
}

/* Somebody who receives until the end. */
struct reader {
    struct actor actor;
    struct weir_chan *chan;
    uint64_t values[LEN_MAX];
    size_t count;
    int end;
};

static inline int read_all(void *arg)
{
    struct reader *reader = arg;

    while (reader->count < LEN_MAX &&
           (reader->end =
                weir_chan_recv(reader->chan, &reader->values[reader->count], WEIR_FOREVER)) == 0)
        reader->count++;
    return 0;
}

static inline void start_reader(struct scene *scene, struct reader *reader, struct weir_chan *chan)
{
    *reader = (struct reader){ .chan = chan };
    actor_start(scene, &reader->actor, read_all, reader);
}

/* Its end: it must have received first .. first + count - 1. */
static inline void end_reader(struct reader *reader, uint64_t first, size_t count, int end)
{
    actor_join(&reader->actor);
    CHECK_SAME(reader->end, end);
    CHECK_SAME(reader->count, count);
    for (size_t i = 0; i < reader->count; i++)
        CHECK_SAME(reader->values[i], first + i);
}

/* A verb by an actor. */
struct verb {
    struct actor actor;
    struct weir_mult *mult;
    struct weir_chan *chan;
    int64_t deadline_ns;
    int result;
};

static inline int do_tap(void *arg)
{
    struct verb *verb = arg;

    verb->result = weir_mult_tap(verb->mult, verb->chan, NULL, verb->deadline_ns);
    return 0;
}

/* --- Counted payloads --- */

struct payload {
    atomic_long refs;
    atomic_long *live;
};

static inline void retain_payload(void *elem, void *context)
{
    struct payload *payload = *(struct payload **)elem;

    (void)context;
    CHECK(atomic_fetch_add(&payload->refs, 1) > 0);
}

static inline void release_payload(struct payload *payload)
{
    long before = atomic_fetch_sub(&payload->refs, 1);

    CHECK(before > 0);
    if (before == 1) {
        atomic_fetch_sub(payload->live, 1);
        free(payload);
    }
}

static inline void drop_payload(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)context;
    (void)reason;
    release_payload(*(struct payload **)elem);
}

static inline void send_payload(struct weir_chan *chan, atomic_long *live)
{
    struct payload *payload = malloc(sizeof *payload);

    *payload = (struct payload){ .refs = 1, .live = live };
    atomic_fetch_add(live, 1);
    CHECK_SAME(weir_chan_send(chan, &payload, end_of_patience()), 0);
}

/* --- Scopes that are cancelled --- */

static inline void cancel(struct weir_scope *scope)
{
    CHECK_SAME(weir_scope_cancel(scope), 0);
    CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
}

static inline struct weir_scope *make_scope(void)
{
    struct weir_scope *scope = NULL;

    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    return scope;
}

/* --- Jams --- */

/* A mult with a slow tap, full and with a delivery parked, and a fast one. */
struct jam {
    struct ledger ledger;
    struct weir_chan *source;
    struct weir_chan *fast;
    struct weir_chan *slow;
    struct weir_mult *mult;
    size_t capacity; /* of the slow one */
};

static inline void begin_jam(struct scene *scene, struct weir_scope *scope, struct jam *jam)
{
    jam->capacity = scene->capacity;
    jam->source = make_source(LEN_MAX, &jam->ledger);
    jam->fast = make_chan(LEN_MAX, NULL);
    jam->slow = make_chan(scene->capacity, NULL);
    jam->mult = make_mult(scope, jam->source);
    tap(jam->mult, jam->fast, WEIR_TAP_PARK, 0);
    tap(jam->mult, jam->slow, WEIR_TAP_PARK, 0);
    for (uint64_t value = 0; value < jam->capacity + 4; value++)
        put(jam->source, value);
    AWAIT(is_parked(jam->mult, jam->slow) &&
          look_at_tap(jam->mult, jam->fast).delivered_total == jam->capacity + 1);
}

/* Releases everything; the fast tap must have got `count` elements in all, and then the end. */
static inline void end_jam(struct jam *jam, size_t count, int end)
{
    for (uint64_t value = 0; value < count; value++)
        take(jam->fast, value);
    CHECK_SAME(take_end(jam->fast), end);
    weir_chan_abort(jam->slow, 0);
    weir_mult_release(jam->mult);
    weir_chan_release(jam->fast);
    weir_chan_release(jam->slow);
    weir_chan_release(jam->source);
}

#endif
