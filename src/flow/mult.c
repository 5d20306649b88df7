/* SPDX-License-Identifier: MIT */
/*
 * The mult: a task that owns its taps, and all that changes; see command.h for how the verbs reach
 * it.
 *
 *                  an element; every tap is owed a copy
 *             .------------------------------------------.
 *             |                                          v
 *   WAITING for an element                     DELIVERING: no tap that is owed a copy has room;
 *   or a command                               waiting for room, for such a tap's end, or a command
 *      |      ^                                          |  |
 *      |      `------------------------------------------'  |
 *      |              no tap is owed a copy                 |
 *      |  the source has ended, cancelled                   |  cancelled: copies still owed are
 *      |                                                    |  dropped
 *      `------------------------> ENDED <-------------------'
 *
 * A copy that is owed is delivered, or dropped with its tap, exactly once: so the element is
 * retained for all taps before the first one gets it. Nobody but the task touches a tap, and a
 * command is carried out between two waits: a tap that was taken away is in no wait any more.
 *
 * Taps are sorted by address, which is how a verb finds one, and the order in which select wants
 * their locks.
 */
#include "flow/mult.h"

#include "base/clock.h"
#include "base/memory.h"
#include "flow/command.h"
#include "flow/options.h"
#include "sync/chan.h"
#include "sync/select.h"

#include <weir/select.h>

#include <stdatomic.h>

enum {
    SPACE_MIN = 4,       /* taps that the first one makes room for */
    COMMAND_RHYTHM = 16, /* elements, while there are any, between two looks for a command */
};

/* The clauses of a delivery: the command's, then two for each tap. */
enum { CONTROL, FIRST_TAP };

struct tap {
    struct weir_chan *chan; /* a reference */
    struct weir_tap_options options;
    bool owed; /* a copy of the element in hand */
    struct weir_tap_stats stats;
};

/* In the caller's frame. */
struct mult_command {
    struct weir__command command;
    int (*carry_out)(struct weir_mult *mult, const struct mult_command *command);
    struct weir_chan *chan;
    const struct weir_tap_options *options;
    struct weir_mult_stats *stats;
    struct weir_tap_stats *taps;
    size_t capacity;
};

struct weir_mult {
    atomic_uint refs; /* the handles, and the task */

    /* Constant. */
    struct weir_chan *control; /* aborted at the end */
    size_t elem_size;
    bool only_heard;

    /* The task's, and after its end nobody's: constant. */
    struct weir_chan *source; /* a reference; NULL after the end */
    int reason;               /* what taps get in the end */
    size_t count;             /* taps */
    size_t owed_count;        /* of them */
    size_t space;             /* taps that the arrays have room for */
    struct tap *taps;
    struct weir_clause *clauses; /* the block that holds the three arrays */
    struct weir__lock **locks;   /* select's room */
    struct weir_mult_stats stats;
    unsigned turns;

    unsigned char *scrap;              /* what the drop callback gets */
    _Alignas(16) unsigned char elem[]; /* in hand; behind it the scrap */
};

/* --- Taps --- */

/* Where `chan` is among the taps, or would be. */
static size_t place_of(const struct weir_mult *mult, const struct weir_chan *chan)
{
    size_t low = 0, high = mult->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if ((uintptr_t)mult->taps[middle].chan < (uintptr_t)chan)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct tap *find(const struct weir_mult *mult, const struct weir_chan *chan)
{
    size_t place = place_of(mult, chan);

    return place < mult->count && mult->taps[place].chan == chan ? &mult->taps[place] : NULL;
}

static size_t clause_count(size_t taps)
{
    return FIRST_TAP + 2 * taps;
}

/* Makes room for one more tap. 0 or -ENOBUFS. */
static int reserve(struct weir_mult *mult)
{
    size_t space = mult->space ? 2 * mult->space : SPACE_MIN;
    struct weir_clause *clauses;
    struct tap *taps;

    if (mult->count == WEIR_MULT_TAPS_MAX) {
        mult->stats.refused_total++;
        return -ENOBUFS;
    }
    if (mult->count < mult->space)
        return 0;
    clauses = weir__memory_alloc(
        NULL, clause_count(space) * (sizeof *clauses + sizeof *mult->locks) + space * sizeof *taps);
    if (!clauses)
        return -ENOBUFS;
    taps = (struct tap *)(clauses + clause_count(space));
    if (mult->count)
        memcpy(taps, mult->taps, mult->count * sizeof *taps);
    weir__memory_free(mult->clauses);
    mult->clauses = clauses;
    mult->taps = taps;
    mult->locks = (struct weir__lock **)(taps + space);
    mult->space = space;
    return 0;
}

int weir__mult_add(struct weir_mult *mult, struct weir_chan *chan,
                   const struct weir_tap_options *options)
{
    size_t place = place_of(mult, chan);
    int error = reserve(mult);
    struct tap *tap;

    if (error < 0)
        return error;
    tap = &mult->taps[place];
    memmove(tap + 1, tap, (mult->count - place) * sizeof *tap);
    *tap = (struct tap){ .chan = weir_chan_retain(chan), .stats.chan = chan };
    if (options)
        tap->options = *options;
    if (++mult->count > mult->stats.tap_count_max)
        mult->stats.tap_count_max = mult->count;
    return 0;
}

/* The tap has had its copy, or will never have it. */
static void settle_debt(struct weir_mult *mult, struct tap *tap)
{
    tap->owed = false;
    mult->owed_count--;
    if (tap->stats.parked_since_ns)
        tap->stats.parked_ns += (uint64_t)(weir__clock_now() - tap->stats.parked_since_ns);
    tap->stats.parked_since_ns = 0;
}

/* The callback may do with its bytes what it likes: others are still owed the element. */
static void drop_copy(struct weir_mult *mult, struct tap *tap, enum weir_drop_reason reason)
{
    settle_debt(mult, tap);
    tap->stats.dropped_total++;
    mult->stats.dropped_total++;
    memcpy(mult->scrap, mult->elem, mult->elem_size);
    weir__chan_drop(mult->source, mult->scrap, reason);
}

static void remove_tap(struct weir_mult *mult, struct tap *tap)
{
    struct weir_chan *chan = tap->chan;

    if (tap->owed)
        drop_copy(mult, tap, WEIR_DROP_DISCARD);
    mult->count--;
    memmove(tap, tap + 1, (size_t)(mult->taps + mult->count - tap) * sizeof *tap);
    weir_chan_release(chan);
}

void weir__tap_end(struct weir_chan *chan, const struct weir_tap_options *options, int reason)
{
    if (!options || !(options->flags & WEIR_TAP_KEEP_OPEN))
        weir_chan_close(chan, reason);
}

/* --- Commands, carried out by the task; after its end by their callers --- */

static int carry_out_tap(struct weir_mult *mult, const struct mult_command *command)
{
    struct tap *tap = find(mult, command->chan);

    if (command->chan == mult->source)
        return -EINVAL;
    if (!tap)
        return weir__mult_add(mult, command->chan, command->options);
    tap->options = command->options ? *command->options : (struct weir_tap_options){ 0 };
    return WEIR_ALREADY;
}

static int carry_out_untap(struct weir_mult *mult, const struct mult_command *command)
{
    struct tap *tap = find(mult, command->chan);

    if (!tap)
        return WEIR_ALREADY;
    remove_tap(mult, tap);
    return 0;
}

static int carry_out_untap_all(struct weir_mult *mult, const struct mult_command *command)
{
    (void)command;
    if (mult->count == 0)
        return WEIR_ALREADY;
    while (mult->count > 0)
        remove_tap(mult, &mult->taps[mult->count - 1]);
    return 0;
}

static int carry_out_read_stats(struct weir_mult *mult, const struct mult_command *command)
{
    *command->stats = mult->stats;
    command->stats->tap_count = mult->count;
    for (size_t i = 0; i < mult->count && i < command->capacity; i++) {
        struct weir_tap_stats *stats = &command->taps[i];

        *stats = mult->taps[i].stats;
        if (stats->parked_since_ns)
            stats->parked_ns += (uint64_t)(weir__clock_now() - stats->parked_since_ns);
    }
    return 0;
}

static void obey(struct weir_mult *mult, struct weir__command *command)
{
    const struct mult_command *full = WEIR_CONTAINER_OF(command, struct mult_command, command);

    weir__command_answer(command, full->carry_out(mult, full));
}

/* --- The task --- */

/* What came of a delivery, or of a try. */
static void note_result(struct weir_mult *mult, struct tap *tap, int result)
{
    bool is_full = result == -EAGAIN;

    if (result >= 0) {
        settle_debt(mult, tap);
        tap->stats.delivered_total++;
    } else if (result == -EPIPE) {
        remove_tap(mult, tap);
    } else if (is_full && tap->options.policy == WEIR_TAP_PARK) {
        if (tap->stats.parked_since_ns)
            return;
        tap->stats.parked_since_ns = weir__clock_now();
        tap->stats.parked_total++;
    } else if (result != -ECANCELED) { /* of the task: its next wait will say so */
        drop_copy(mult, tap, WEIR_DROP_NEWEST);
        if (is_full && tap->options.policy == WEIR_TAP_DISCONNECT) {
            weir_chan_close(tap->chan, -ENOBUFS);
            remove_tap(mult, tap);
        }
    }
}

/* Lets the oldest element of a full tap go, and tries again. */
static int send_evicting(struct weir_mult *mult, struct tap *tap)
{
    int error = weir_chan_recv(tap->chan, NULL, WEIR_NOW);

    if (error >= 0)
        tap->stats.dropped_total++;
    else if (error != -EAGAIN)
        return error;
    return weir_chan_send(tap->chan, mult->elem, WEIR_NOW);
}

/* Tries each tap that is owed a copy. Downwards: a tap may be removed on the way. */
static void deliver_to_ready(struct weir_mult *mult)
{
    for (size_t i = mult->count; i-- > 0;) {
        struct tap *tap = &mult->taps[i];
        int result;

        if (!tap->owed)
            continue;
        result = weir_chan_send(tap->chan, mult->elem, WEIR_NOW);
        if (result == -EAGAIN && tap->options.policy == WEIR_TAP_DROP_OLDEST)
            result = send_evicting(mult, tap);
        note_result(mult, tap, result);
    }
}

/* Waits until one tap that is owed a copy takes it, or ends, or for a command. 0, or an error. */
static int await_room(struct weir_mult *mult)
{
    struct weir_clause *clauses = mult->clauses;
    struct weir__command *command;
    int won;

    clauses[CONTROL] = weir_clause_recv(mult->control, &command);
    for (size_t i = 0; i < mult->count; i++) {
        struct weir_chan *chan = mult->taps[i].owed ? mult->taps[i].chan : NULL;

        clauses[FIRST_TAP + 2 * i] = weir_clause_send(chan, mult->elem);
        clauses[FIRST_TAP + 2 * i + 1] = weir_clause_closed(chan);
    }
    won = weir__select_with_room(clauses, clause_count(mult->count), 0, WEIR_FOREVER, mult->locks);
    if (won >= FIRST_TAP) {
        size_t place = (size_t)won - FIRST_TAP;

        note_result(mult, &mult->taps[place / 2], place % 2 ? -EPIPE : clauses[won].result);
    } else if (won == CONTROL) {
        obey(mult, command);
    }
    return won < 0 ? won : 0;
}

static int deliver(struct weir_mult *mult)
{
    int error = 0;

    mult->stats.received_total++;
    if (mult->count == 0) {
        mult->stats.unheard_total++;
        weir__chan_discard(mult->source, mult->elem);
    }
    for (size_t i = 0; i < mult->count; i++) {
        if (i > 0)
            weir__chan_retain_elem(mult->source, mult->elem);
        mult->taps[i].owed = true;
    }
    mult->owed_count = mult->count;
    while (mult->owed_count > 0 && error >= 0) {
        deliver_to_ready(mult);
        if (mult->owed_count > 0)
            error = await_room(mult);
    }
    return error;
}

/* One element or one command. 0; 1 when the source has ended; or an error. */
static int take_any(struct weir_mult *mult)
{
    struct weir__command *command;
    struct weir_clause clauses[] = {
        weir_clause_recv(mult->source, mult->elem),
        weir_clause_recv(mult->control, &command),
    };
    int won = weir_select(clauses, 2, 0, WEIR_FOREVER);

    if (won < 0)
        return won;
    if (won == 1) {
        obey(mult, command);
        return 0;
    }
    mult->reason = clauses[0].result;
    return mult->reason < 0 ? 1 : deliver(mult);
}

/* Mostly there is an element, and commands can wait for a few. */
static int take_turn(struct weir_mult *mult)
{
    if (++mult->turns % COMMAND_RHYTHM && weir_chan_recv(mult->source, mult->elem, WEIR_NOW) == 0)
        return deliver(mult);
    return take_any(mult);
}

/* First the taps, then control: a verb that finds it aborted finds no tap, either. */
static void end(struct weir_mult *mult)
{
    while (mult->count > 0) {
        struct tap *tap = &mult->taps[mult->count - 1];

        weir__tap_end(tap->chan, &tap->options, mult->reason);
        remove_tap(mult, tap);
    }
    weir_chan_release(mult->source);
    mult->source = NULL;
    mult->stats.ended = true;
    weir_chan_abort(mult->control, 0);
}

int weir__mult_run(struct weir_mult *mult)
{
    int result;

    do
        result = take_turn(mult);
    while (result == 0 && !(mult->only_heard && mult->count == 0));
    if (result < 0)
        mult->reason = result;
    end(mult);
    return result < 0 ? result : 0;
}

static int run(void *arg)
{
    struct weir_mult *mult = arg;
    int result = weir__mult_run(mult);

    weir_mult_release(mult);
    return result;
}

/* --- The handle --- */

int weir__mult_make(struct weir_chan *source, bool only_heard, struct weir_mult **mult)
{
    size_t elem_size = weir_chan_elem_size(source);
    struct weir_mult *made;
    int error = -ENOMEM;

    if (elem_size > SIZE_MAX / 4)
        return error;
    made = weir__memory_zalloc(NULL, sizeof *made + 2 * elem_size + 16);
    if (!made)
        return error;
    error = weir__command_create_control(&made->control);
    if (error < 0) {
        weir__memory_free(made);
        return error;
    }
    atomic_init(&made->refs, 1);
    made->source = weir_chan_retain(source);
    made->elem_size = elem_size;
    made->scrap = made->elem + (elem_size + 15) / 16 * 16;
    made->only_heard = only_heard;
    *mult = made;
    return 0;
}

int weir_mult_create(struct weir_scope *scope, struct weir_chan *source,
                     const struct weir_mult_options *options, struct weir_mult **mult)
{
    static const struct weir_mult_options defaults;
    struct weir_spawn_options task = { .name = "mult" };
    struct weir_mult *made;
    int error;

    options = options ? options : &defaults;
    error = weir__options_check(options->size, sizeof *options, options->reserved, options->name);
    if (error < 0)
        return error;
    if (!source || !mult)
        return -EINVAL;
    error = weir__mult_make(source, false, &made);
    if (error < 0)
        return error;
    if (options->name)
        task.name = options->name;
    error = weir_spawn(scope, run, weir_mult_retain(made), &task);
    if (error < 0) {
        weir_mult_release(made); /* the task's */
        weir_mult_release(made);
        return error;
    }
    *mult = made;
    return 0;
}

struct weir_mult *weir_mult_retain(struct weir_mult *mult)
{
    /* relaxed: whoever retains holds a reference */
    atomic_fetch_add_explicit(&mult->refs, 1, memory_order_relaxed);
    return mult;
}

void weir_mult_release(struct weir_mult *mult)
{
    /* acq_rel: the last one sees what the others did before they let go */
    if (!mult || atomic_fetch_sub_explicit(&mult->refs, 1, memory_order_acq_rel) != 1)
        return;
    while (mult->count > 0) /* it never ran */
        remove_tap(mult, &mult->taps[mult->count - 1]);
    weir_chan_release(mult->source);
    weir_chan_release(mult->control);
    weir__memory_free(mult->clauses);
    weir__memory_free(mult);
}

/* --- The verbs --- */

/* After the end the mult lies still: the caller carries out the command by itself. */
static int call(struct weir_mult *mult, struct mult_command *command, int64_t deadline_ns)
{
    int result = weir__command_call(mult->control, &command->command, deadline_ns);

    return result == -EPIPE ? command->carry_out(mult, command) : result;
}

int weir__tap_check(const struct weir_chan *chan, size_t elem_size,
                    const struct weir_tap_options *options)
{
    if (!chan || weir_chan_elem_size(chan) != elem_size)
        return -EINVAL;
    if (!options)
        return 0;
    if (options->policy > WEIR_TAP_DISCONNECT || options->flags & ~(unsigned)WEIR_TAP_KEEP_OPEN)
        return -EINVAL;
    return weir__options_check(options->size, sizeof *options, options->reserved, NULL);
}

int weir__mult_tap(struct weir_mult *mult, struct weir_chan *chan,
                   const struct weir_tap_options *options, int64_t deadline_ns)
{
    struct mult_command command = {
        .carry_out = carry_out_tap,
        .chan = chan,
        .options = options,
    };

    return weir__command_call(mult->control, &command.command, deadline_ns);
}

int weir_mult_tap(struct weir_mult *mult, struct weir_chan *chan,
                  const struct weir_tap_options *options, int64_t deadline_ns)
{
    int result = mult ? weir__tap_check(chan, mult->elem_size, options) : -EINVAL;

    if (result < 0)
        return result;
    result = weir__mult_tap(mult, chan, options, deadline_ns);
    if (result != -EPIPE)
        return result;
    weir__tap_end(chan, options, mult->reason);
    return 0;
}

int weir_mult_untap(struct weir_mult *mult, struct weir_chan *chan, int64_t deadline_ns)
{
    struct mult_command command = { .carry_out = carry_out_untap, .chan = chan };

    return mult && chan ? call(mult, &command, deadline_ns) : -EINVAL;
}

int weir_mult_untap_all(struct weir_mult *mult, int64_t deadline_ns)
{
    struct mult_command command = { .carry_out = carry_out_untap_all };

    return mult ? call(mult, &command, deadline_ns) : -EINVAL;
}

int weir_mult_read_stats(struct weir_mult *mult, struct weir_mult_stats *stats,
                         struct weir_tap_stats *taps, size_t capacity, int64_t deadline_ns)
{
    struct mult_command command = {
        .carry_out = carry_out_read_stats,
        .stats = stats,
        .taps = taps,
        .capacity = capacity,
    };

    return mult && stats && (taps || !capacity) ? call(mult, &command, deadline_ns) : -EINVAL;
}
