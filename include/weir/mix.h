/* SPDX-License-Identifier: MIT */
/*
 * A mix takes elements from many channels into one, as a mixing desk does: inputs come and go, and
 * each can be muted, paused or soloed while it runs.
 *
 *   mute    its elements are received, and go to the input's drop callback
 *   pause   it is not received from: its senders feel it
 *   solo    while any input is soloed, only soloed ones are heard; the others are muted, or paused,
 *           by the mix's solo mode
 *
 * Solo is stronger than pause, and pause than mute.
 *
 * A mix is one task of a scope. It looks at its verbs before each element; an element it has in
 * hand is delivered by the state it was taken under, also when its input was paused or removed
 * since. Verbs are carried out by that task, one after the other and each as a whole: when one
 * returns, the new state holds. They wait until the task takes them (while it waits for its inputs
 * or its output, it does so at once) and no longer than the deadline; then they are always done.
 * Called from a drop callback of one of its inputs they wait in vain: the mix waits for it.
 *
 * The end. An input that has ended is removed. The mix ends when its output is closed; what it has
 * in hand then goes to the drop callback of the input. It ends too when its last handle is released
 * and no input is left that could still be heard of. Closing the output is left to others.
 *
 * Example:
 *     struct weir_mix *mix;
 *     error = weir_mix_create(scope, loudspeaker, NULL, &mix);
 *     error = weir_mix_add(mix, music, 0, WEIR_FOREVER);
 *     error = weir_mix_add(mix, speech, WEIR_MIX_PAUSE, WEIR_FOREVER);
 *     ...
 *     struct weir_mix_change changes[] = {
 *         { .chan = music, .set = WEIR_MIX_MUTE },
 *         { .chan = speech, .clear = WEIR_MIX_PAUSE },
 *     };
 *     error = weir_mix_toggle(mix, changes, 2, WEIR_FOREVER);
 */
#ifndef WEIR_MIX_H
#define WEIR_MIX_H

#include <weir/base.h>

struct weir_chan;
struct weir_mix;
struct weir_scope;

/* The state of an input. */
enum weir_mix_flag {
    WEIR_MIX_MUTE = 1 << 0,
    WEIR_MIX_PAUSE = 1 << 1,
    WEIR_MIX_SOLO = 1 << 2,
};

/* Zeroed means default. */
struct weir_mix_options {
    size_t size;      /* sizeof(struct weir_mix_options); 0 means the first version's */
    const char *name; /* of the task; copied, under WEIR_NAME_BYTES; NULL: "mix" */
    size_t inputs_max;
    /* WEIR_MIX_MUTE or WEIR_MIX_PAUSE: what happens to the others when an input is soloed; 0:
     * WEIR_MIX_MUTE */
    unsigned solo_mode;
    uint64_t reserved[4]; /* must be zero */
};

#define WEIR_MIX_INPUTS_MAX 4096 /* the default of inputs_max */

/* The new state of an input is (its state & ~clear) | set. One that is not in the mix is added, in
 * the state `set`. */
struct weir_mix_change {
    struct weir_chan *chan;
    unsigned set; /* enum weir_mix_flag */
    unsigned clear;
};

struct weir_mix_stats {
    size_t inputs; /* now */
    size_t inputs_paused;
    size_t inputs_muted;
    size_t inputs_max; /* the bound */
    uint64_t sent_total;
    uint64_t muted_total;   /* elements that went to a drop callback because of the state */
    uint64_t refused_total; /* commands that would have passed the bound on inputs */
    bool ended;
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * Starts a mix without inputs as a task of `scope`, with one handle in *mix. The output is kept
 * alive while the mix runs or has handles.
 * Returns 0. Errors: -EINVAL, -E2BIG, -ENOMEM, and those of weir_spawn.
 */
WEIR_API WEIR_MUST_CHECK int weir_mix_create(struct weir_scope *scope, struct weir_chan *output,
                                             const struct weir_mix_options *options,
                                             struct weir_mix **mix) WEIR_ANY_THREAD;

/* One more handle; returns mix. */
WEIR_API struct weir_mix *weir_mix_retain(struct weir_mix *mix) WEIR_ANY_THREAD;

/* Gives a handle back. NULL is fine. */
WEIR_API void weir_mix_release(struct weir_mix *mix) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * The verbs. What they share, after each of which nothing has changed: -EPIPE the mix has ended;
 * -EAGAIN, -ETIME the mix did not take the command by then; -ECANCELED; -EINVAL.
 */

/*
 * Adds an input, whose elements have the size of the output's, in the given state; sets the state
 * of one that is in the mix already. The channel is kept alive.
 * Returns 0. Errors: -ENOBUFS inputs_max, or memory, is reached.
 */
WEIR_API WEIR_MUST_CHECK int weir_mix_add(struct weir_mix *mix, struct weir_chan *chan,
                                          unsigned state,
                                          int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Removes an input: from then on none of its elements is taken. Returns 0, or WEIR_ALREADY when it
 * was not in the mix, or had ended. */
WEIR_API WEIR_MUST_CHECK int weir_mix_remove(struct weir_mix *mix, struct weir_chan *chan,
                                             int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Removes all inputs. Returns 0. */
WEIR_API WEIR_MUST_CHECK int weir_mix_remove_all(struct weir_mix *mix,
                                                 int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * Applies all changes, in order, at one instant between two elements.
 * Returns 0. Errors, after which none was applied: -ENOBUFS inputs_max would be passed (each change
 * of a channel that is not in the mix counts), or memory is out.
 */
WEIR_API WEIR_MUST_CHECK int weir_mix_toggle(struct weir_mix *mix,
                                             const struct weir_mix_change *changes, size_t count,
                                             int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Sets the solo mode: WEIR_MIX_MUTE or WEIR_MIX_PAUSE. Returns 0. */
WEIR_API WEIR_MUST_CHECK int weir_mix_solo_mode(struct weir_mix *mix, unsigned mode,
                                                int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* One consistent reading, also after the end. Returns 0, or -EINVAL. */
WEIR_API int weir_mix_read_stats(struct weir_mix *mix,
                                 struct weir_mix_stats *stats) WEIR_ANY_THREAD;

WEIR_END

#endif
