/* SPDX-License-Identifier: MIT */
/* What the tests of mixes share: a mix between two inputs and an output, and those who feed it. */
#ifndef WEIR_TESTS_FLOW_DESK_H
#define WEIR_TESTS_FLOW_DESK_H

#include "sync/fixture.h"

#include <weir/mix.h>

enum { FEW = 20 };

/* --- A desk: a mix, its output, two inputs --- */

struct desk {
    struct weir_mix *mix;
    struct weir_chan *output;
    struct weir_chan *a;
    struct weir_chan *b;
    atomic_ulong dropped; /* elements of a and b */
    atomic_ulong wrong;   /* dropped for another reason than being received for nobody */
};

static inline void note_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    struct desk *desk = context;

    (void)elem;
    atomic_fetch_add(&desk->dropped, 1);
    if (reason != WEIR_DROP_DISCARD)
        atomic_fetch_add(&desk->wrong, 1);
}

static inline void open_desk(struct scene *scene, struct desk *desk,
                             const struct weir_mix_options *options)
{
    struct weir_chan_options inputs = { .drop = note_drop, .context = desk };

    *desk = (struct desk){
        .output = make_chan(0, NULL),
        .a = make_chan(scene->capacity, &inputs),
        .b = make_chan(scene->capacity, &inputs),
    };
    CHECK_SAME(weir_mix_create(scene->scope, desk->output, options, &desk->mix), 0);
}

static inline struct weir_mix_stats look_at(struct weir_mix *mix)
{
    struct weir_mix_stats stats;

    CHECK_SAME(weir_mix_read_stats(mix, &stats), 0);
    return stats;
}

static inline void add(struct weir_mix *mix, struct weir_chan *chan, unsigned state)
{
    CHECK_SAME(weir_mix_add(mix, chan, state, end_of_patience()), 0);
}

static inline void change(struct weir_mix *mix, struct weir_chan *chan, unsigned set,
                          unsigned clear)
{
    const struct weir_mix_change one = { .chan = chan, .set = set, .clear = clear };

    CHECK_SAME(weir_mix_toggle(mix, &one, 1, end_of_patience()), 0);
}

/* Ends the mix by its output, if it has not ended. */
static inline void close_desk(struct desk *desk)
{
    weir_chan_abort(desk->output, 0);
    AWAIT(look_at(desk->mix).ended);
    CHECK_SAME(desk->wrong, 0);
    weir_mix_release(desk->mix);
    weir_chan_abort(desk->a, 0);
    weir_chan_abort(desk->b, 0);
    weir_chan_release(desk->a);
    weir_chan_release(desk->b);
    weir_chan_release(desk->output);
}

/* Somebody who sends `count` values from `first` on. */
struct feeder {
    struct actor actor;
    struct weir_chan *chan;
    uint64_t first;
    uint64_t count;
    atomic_ulong sent;
};

static inline int feed(void *arg)
{
    struct feeder *feeder = arg;
    int error = 0;

    for (uint64_t i = 0; error >= 0 && i < feeder->count; i++) {
        uint64_t value = feeder->first + i;

        error = weir_chan_send(feeder->chan, &value, end_of_patience());
        if (error >= 0)
            atomic_fetch_add(&feeder->sent, 1);
    }
    return error;
}

static inline void start_feeder(struct scene *scene, struct feeder *feeder, struct weir_chan *chan,
                                uint64_t first, uint64_t count)
{
    *feeder = (struct feeder){ .chan = chan, .first = first, .count = count };
    actor_start(scene, &feeder->actor, feed, feeder);
}

/* Receives `count` values, which must be those from `first` on. */
static inline void expect_run(struct weir_chan *chan, uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t value = 0;

        CHECK_SAME(weir_chan_recv(chan, &value, end_of_patience()), 0);
        CHECK_SAME(value, first + i);
    }
}

static inline void check_refusals(struct desk *desk)
{
    CHECK_SAME(weir_mix_add(desk->mix, desk->a, 0, WEIR_FOREVER), -EPIPE);
    CHECK_SAME(weir_mix_remove(desk->mix, desk->a, WEIR_FOREVER), -EPIPE);
    CHECK_SAME(weir_mix_remove_all(desk->mix, WEIR_FOREVER), -EPIPE);
    CHECK_SAME(weir_mix_solo_mode(desk->mix, WEIR_MIX_MUTE, WEIR_FOREVER), -EPIPE);
}

#endif
