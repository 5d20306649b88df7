/* SPDX-License-Identifier: MIT */
/*
 * The mix: a task that selects over its inputs, and owns all that changes; see command.h for how
 * the verbs reach it.
 *
 *                      an element that is heard
 *             .-------------------------------------.
 *             |                                     v
 *   WAITING for control, the output's end,    DELIVERING: waiting for control
 *   or any input that is not paused           or the output to take it
 *      |      ^                                     |  |
 *      |      `-------------------------------------'  |
 *      |                      sent                     |
 *      |  output closed, cancelled,                    |  output closed, cancelled: the element
 *      |  or nobody left to hear of                    |  goes to the drop callback of its input
 *      `-----------------------> ENDED <---------------'
 *
 * Before it waits it looks at control and at the output's end alone, for they come first: inputs
 * that are always ready would keep them waiting.
 *
 * Inputs are sorted by address, which is how a verb finds one, and the order in which select wants
 * their locks.
 */
#include "base/assert.h"
#include "base/lock.h"
#include "base/memory.h"
#include "flow/command.h"
#include "flow/options.h"
#include "sync/chan.h"
#include "sync/select.h"

#include <weir/mix.h>
#include <weir/select.h>
#include <weir/task.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

enum {
    ALL_FLAGS = WEIR_MIX_MUTE | WEIR_MIX_PAUSE | WEIR_MIX_SOLO,
    SPACE_MIN = 16, /* inputs that a new mix has room for */
};

/* The clauses of a wait. */
enum { CONTROL, OUTPUT_END, FIRST_INPUT };

struct input {
    struct weir_chan *chan; /* a reference */
    unsigned state;         /* enum weir_mix_flag */
};

enum treatment { HEARD, MUTED, PAUSED };

/* In the caller's frame. */
struct mix_command {
    struct weir__command command;
    int (*carry_out)(struct weir_mix *mix, const struct mix_command *command);
    const struct weir_mix_change *changes;
    size_t count;
    struct weir_chan *chan;
    unsigned mode;
};

struct weir_mix {
    /* Constant. */
    struct weir_chan *control; /* closed with the last handle, aborted at the end */
    struct weir_chan *output;  /* a reference */
    size_t inputs_max;

    atomic_uint handles;
    atomic_uint owners; /* the handles together, and the task */

    /* The task's. */
    bool has_handles;
    unsigned solo_mode;
    size_t count; /* inputs */
    size_t space; /* inputs that the arrays have room for */
    struct input *inputs;
    struct weir_clause *clauses; /* the block that holds the three arrays */
    size_t clause_count;
    struct weir__lock **locks;     /* select's room */
    struct weir__command *command; /* room for the next one */

    struct weir__lock lock;
    struct weir_mix_stats stats; /* under the lock; written by the task */

    _Alignas(16) unsigned char elem[]; /* room for one, the output's size */
};

/* --- Inputs --- */

/* Where `chan` is among the inputs, or would be. */
static size_t place_of(const struct weir_mix *mix, const struct weir_chan *chan)
{
    size_t low = 0, high = mix->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if ((uintptr_t)mix->inputs[middle].chan < (uintptr_t)chan)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct input *find(const struct weir_mix *mix, const struct weir_chan *chan)
{
    size_t place = place_of(mix, chan);

    return place < mix->count && mix->inputs[place].chan == chan ? &mix->inputs[place] : NULL;
}

/* Room for so many inputs. 0 or -ENOBUFS. */
static int reserve(struct weir_mix *mix, size_t count)
{
    size_t space = mix->space ? mix->space : SPACE_MIN;
    struct weir_clause *clauses;
    struct input *inputs;

    if (count <= mix->space)
        return 0;
    while (space < count)
        space *= 2;
    clauses = weir__memory_alloc(NULL, (FIRST_INPUT + space) *
                                           (sizeof *clauses + sizeof *inputs + sizeof *mix->locks));
    if (!clauses)
        return -ENOBUFS;
    inputs = (struct input *)(clauses + FIRST_INPUT + space);
    if (mix->count)
        memcpy(inputs, mix->inputs, mix->count * sizeof *inputs);
    weir__memory_free(mix->clauses);
    mix->clauses = clauses;
    mix->inputs = inputs;
    mix->locks = (struct weir__lock **)(inputs + space);
    mix->space = space;
    return 0;
}

static struct input *insert(struct weir_mix *mix, struct weir_chan *chan)
{
    size_t place = place_of(mix, chan);
    struct input *input = &mix->inputs[place];

    WEIR_ASSERT(mix->count < mix->space);
    memmove(input + 1, input, (mix->count - place) * sizeof *input);
    *input = (struct input){ .chan = weir_chan_retain(chan) };
    mix->count++;
    return input;
}

static void drop_input(struct weir_mix *mix, struct input *input)
{
    struct weir_chan *chan = input->chan;
    size_t place = (size_t)(input - mix->inputs);

    mix->count--;
    memmove(input, input + 1, (mix->count - place) * sizeof *input);
    weir_chan_release(chan);
}

static bool any_soloed(const struct weir_mix *mix)
{
    for (size_t i = 0; i < mix->count; i++)
        if (mix->inputs[i].state & WEIR_MIX_SOLO)
            return true;
    return false;
}

static enum treatment treat(const struct weir_mix *mix, const struct input *input, bool soloing)
{
    if (input->state & WEIR_MIX_SOLO)
        return HEARD;
    if (input->state & WEIR_MIX_PAUSE)
        return PAUSED;
    if (soloing)
        return mix->solo_mode == WEIR_MIX_PAUSE ? PAUSED : MUTED;
    return input->state & WEIR_MIX_MUTE ? MUTED : HEARD;
}

/* After each change of inputs, states or handles: what to wait for. */
static void arrange(struct weir_mix *mix)
{
    bool soloing = any_soloed(mix);
    size_t counts[PAUSED + 1] = { 0 };

    mix->clauses[CONTROL] = weir_clause_recv(mix->has_handles ? mix->control : NULL, &mix->command);
    mix->clauses[OUTPUT_END] = weir_clause_closed(mix->output);
    mix->clause_count = FIRST_INPUT;
    for (size_t i = 0; i < mix->count; i++) {
        struct input *input = &mix->inputs[i];
        enum treatment treatment = treat(mix, input, soloing);

        counts[treatment]++;
        if (treatment != PAUSED)
            mix->clauses[mix->clause_count++] = weir_clause_recv(input->chan, mix->elem);
    }
    weir__lock_acquire(&mix->lock);
    mix->stats.inputs = mix->count;
    mix->stats.inputs_paused = counts[PAUSED];
    mix->stats.inputs_muted = counts[MUTED];
    weir__lock_release(&mix->lock);
}

static void count_up(struct weir_mix *mix, uint64_t *counter)
{
    weir__lock_acquire(&mix->lock);
    ++*counter;
    weir__lock_release(&mix->lock);
}

/* --- Commands, in the task --- */

static int carry_out_toggle(struct weir_mix *mix, const struct mix_command *command)
{
    size_t fresh_count = 0;
    int error;

    for (size_t i = 0; i < command->count; i++)
        fresh_count += !find(mix, command->changes[i].chan);
    error = fresh_count > mix->inputs_max - mix->count ? -ENOBUFS
                                                       : reserve(mix, mix->count + fresh_count);
    if (error < 0) {
        count_up(mix, &mix->stats.refused_total);
        return error;
    }
    for (size_t i = 0; i < command->count; i++) {
        const struct weir_mix_change *change = &command->changes[i];
        struct input *input = find(mix, change->chan);

        if (!input)
            input = insert(mix, change->chan);
        input->state = (input->state & ~change->clear) | change->set;
    }
    return 0;
}

static int carry_out_remove(struct weir_mix *mix, const struct mix_command *command)
{
    struct input *input = find(mix, command->chan);

    if (!input)
        return WEIR_ALREADY;
    drop_input(mix, input);
    return 0;
}

static int carry_out_remove_all(struct weir_mix *mix, const struct mix_command *command)
{
    (void)command;
    while (mix->count)
        drop_input(mix, &mix->inputs[mix->count - 1]);
    return 0;
}

static int carry_out_solo_mode(struct weir_mix *mix, const struct mix_command *command)
{
    mix->solo_mode = command->mode;
    return 0;
}

/* What came from control: a command, or the end of the handles. */
static void obey(struct weir_mix *mix, int received)
{
    struct weir__command *command = mix->command;
    int result = 0;

    mix->has_handles = received >= 0;
    if (mix->has_handles) {
        struct mix_command *mine = WEIR_CONTAINER_OF(command, struct mix_command, command);

        result = mine->carry_out(mix, mine);
    }
    arrange(mix);
    if (mix->has_handles)
        weir__command_answer(command, result);
}

/* --- The task --- */

/* Hands the element on, obeying meanwhile. 0; -EPIPE the output is closed; -ECANCELED. */
static int deliver(struct weir_mix *mix, struct weir_chan *source)
{
    struct weir_clause clauses[] = {
        mix->clauses[CONTROL],
        weir_clause_send(mix->output, mix->elem),
    };
    int won;

    weir_chan_retain(source); /* it may be removed meanwhile */
    while ((won = weir_select(clauses, 2, 0, WEIR_FOREVER)) == CONTROL) {
        obey(mix, clauses[CONTROL].result);
        clauses[CONTROL] = mix->clauses[CONTROL];
    }
    won = won < 0 ? won : clauses[won].result;
    if (won < 0)
        weir__chan_discard(source, mix->elem);
    else
        count_up(mix, &mix->stats.sent_total);
    weir_chan_release(source);
    return won < 0 ? won : 0;
}

/* What an input gave: an element, or its end. */
static int hear(struct weir_mix *mix, struct weir_chan *source, int received)
{
    struct input *input = find(mix, source);

    if (received < 0) {
        drop_input(mix, input);
        arrange(mix);
        return 0;
    }
    if (treat(mix, input, any_soloed(mix)) == HEARD)
        return deliver(mix, source);
    weir__chan_discard(source, mix->elem);
    count_up(mix, &mix->stats.muted_total);
    return 0;
}

static int wait_for_any(struct weir_mix *mix)
{
    int won = weir_select(mix->clauses, FIRST_INPUT, WEIR_SELECT_PRIORITY, WEIR_NOW);

    return won != -EAGAIN ? won
                          : weir__select_with_room(mix->clauses, mix->clause_count, 0, WEIR_FOREVER,
                                                   mix->locks);
}

static int work(struct weir_mix *mix)
{
    int error = 0;

    while (error == 0 && (mix->has_handles || mix->clause_count > FIRST_INPUT)) {
        int won = wait_for_any(mix);

        if (won < 0 || won == OUTPUT_END)
            error = won < 0 ? won : -EPIPE;
        else if (won == CONTROL)
            obey(mix, mix->clauses[CONTROL].result);
        else
            error = hear(mix, mix->clauses[won].object, mix->clauses[won].result);
    }
    return error == -EPIPE ? 0 : error;
}

static void disown(struct weir_mix *mix)
{
    /* acq_rel: the last one sees what the other wrote */
    if (atomic_fetch_sub_explicit(&mix->owners, 1, memory_order_acq_rel) > 1)
        return;
    weir_chan_release(mix->control);
    weir_chan_release(mix->output);
    weir__memory_free(mix->clauses);
    weir__memory_free(mix);
}

static int run(void *arg)
{
    struct weir_mix *mix = arg;
    int error;

    arrange(mix);
    error = work(mix);
    weir_chan_abort(mix->control, 0);
    carry_out_remove_all(mix, NULL);
    arrange(mix);
    weir__lock_acquire(&mix->lock);
    mix->stats.ended = true;
    weir__lock_release(&mix->lock);
    disown(mix);
    return error;
}

/* --- Handles --- */

static int check_options(const struct weir_mix_options *options)
{
    if (options->solo_mode && options->solo_mode != WEIR_MIX_MUTE &&
        options->solo_mode != WEIR_MIX_PAUSE)
        return -EINVAL;
    if (options->inputs_max > SIZE_MAX / 2 / sizeof(struct weir_clause))
        return -EINVAL;
    return weir__options_check(options->size, sizeof *options, options->reserved, options->name);
}

/* A mix that has all but its task. */
static struct weir_mix *make(struct weir_chan *output, const struct weir_mix_options *options)
{
    struct weir_mix *mix = weir__memory_zalloc(NULL, sizeof *mix + weir_chan_elem_size(output));

    if (!mix)
        return NULL;
    mix->inputs_max = options->inputs_max ? options->inputs_max : WEIR_MIX_INPUTS_MAX;
    mix->stats.inputs_max = mix->inputs_max;
    mix->solo_mode = options->solo_mode;
    mix->has_handles = true;
    atomic_init(&mix->handles, 1);
    atomic_init(&mix->owners, 2);
    if (reserve(mix, SPACE_MIN) < 0)
        goto free_mix;
    if (weir__command_create_control(&mix->control) < 0)
        goto free_arrays;
    mix->output = weir_chan_retain(output);
    return mix;

free_arrays:
    weir__memory_free(mix->clauses);
free_mix:
    weir__memory_free(mix);
    return NULL;
}

int weir_mix_create(struct weir_scope *scope, struct weir_chan *output,
                    const struct weir_mix_options *options, struct weir_mix **mix)
{
    static const struct weir_mix_options defaults;
    struct weir_spawn_options spawn = { .name = "mix" };
    struct weir_mix *made;
    int error;

    options = options ? options : &defaults;
    error = scope && output && mix ? check_options(options) : -EINVAL;
    if (error < 0)
        return error;
    if (options->name)
        spawn.name = options->name;
    made = make(output, options);
    if (!made)
        return -ENOMEM;
    error = weir_spawn(scope, run, made, &spawn);
    if (error < 0) {
        atomic_store(&made->owners, 1);
        disown(made);
        return error;
    }
    *mix = made;
    return 0;
}

struct weir_mix *weir_mix_retain(struct weir_mix *mix)
{
    /* relaxed: the caller has a handle */
    unsigned before = atomic_fetch_add_explicit(&mix->handles, 1, memory_order_relaxed);

    WEIR_ASSERT(before > 0);
    return mix;
}

void weir_mix_release(struct weir_mix *mix)
{
    /* acq_rel: the last handle goes after whatever the others did */
    if (!mix || atomic_fetch_sub_explicit(&mix->handles, 1, memory_order_acq_rel) > 1)
        return;
    weir_chan_close(mix->control, 0);
    disown(mix);
}

/* --- Verbs --- */

int weir_mix_toggle(struct weir_mix *mix, const struct weir_mix_change *changes, size_t count,
                    int64_t deadline_ns)
{
    struct mix_command command = {
        .carry_out = carry_out_toggle,
        .changes = changes,
        .count = count,
    };

    if (!mix || (count && !changes))
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        const struct weir_mix_change *change = &changes[i];

        if (!change->chan || change->chan == mix->output ||
            ((change->set | change->clear) & ~(unsigned)ALL_FLAGS) ||
            weir_chan_elem_size(change->chan) != weir_chan_elem_size(mix->output))
            return -EINVAL;
    }
    return weir__command_call(mix->control, &command.command, deadline_ns);
}

int weir_mix_add(struct weir_mix *mix, struct weir_chan *chan, unsigned state, int64_t deadline_ns)
{
    const struct weir_mix_change change = { .chan = chan, .set = state, .clear = ALL_FLAGS };

    return weir_mix_toggle(mix, &change, 1, deadline_ns);
}

int weir_mix_remove(struct weir_mix *mix, struct weir_chan *chan, int64_t deadline_ns)
{
    struct mix_command command = { .carry_out = carry_out_remove, .chan = chan };

    if (!mix || !chan)
        return -EINVAL;
    return weir__command_call(mix->control, &command.command, deadline_ns);
}

int weir_mix_remove_all(struct weir_mix *mix, int64_t deadline_ns)
{
    struct mix_command command = { .carry_out = carry_out_remove_all };

    return mix ? weir__command_call(mix->control, &command.command, deadline_ns) : -EINVAL;
}

int weir_mix_solo_mode(struct weir_mix *mix, unsigned mode, int64_t deadline_ns)
{
    struct mix_command command = { .carry_out = carry_out_solo_mode, .mode = mode };

    if (!mix || (mode != WEIR_MIX_MUTE && mode != WEIR_MIX_PAUSE))
        return -EINVAL;
    return weir__command_call(mix->control, &command.command, deadline_ns);
}

int weir_mix_read_stats(struct weir_mix *mix, struct weir_mix_stats *stats)
{
    if (!mix || !stats)
        return -EINVAL;
    weir__lock_acquire(&mix->lock);
    *stats = mix->stats;
    weir__lock_release(&mix->lock);
    return 0;
}
