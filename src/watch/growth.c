/* SPDX-License-Identifier: MIT */
/* Who produces without a bound; see growth.h. */
#include "watch/growth.h"

#include "base/memory.h"
#include "unwind/symbol.h"
#include "watch/watchdog.h"

#include <weir/chan.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    NS_PER_MS = 1000000,
    MS_PER_S = 1000,
    PERCENT = 100,
    TENTHS = 10,
};

bool weir__growth_is_off(const struct weir_options *options)
{
    return options->growth_limit_ns < 0 && options->drop_limit_ns < 0;
}

int weir__growth_init(struct weir__growth *growth, unsigned loop_count)
{
    growth->growing_index = -1;
    growth->loops = weir__memory_zalloc(NULL, loop_count * sizeof *growth->loops);
    return growth->loops ? 0 : -ENOMEM;
}

void weir__growth_term(struct weir__growth *growth)
{
    weir__memory_free(growth->loops);
}

/* One look more: the row goes on, or is over. */
static void count_look(struct weir__streak *streak, bool goes_on, uint64_t in, uint64_t out,
                       int64_t then_ns)
{
    if (!goes_on) {
        streak->looks = 0;
        streak->is_told = false;
    } else if (streak->looks++ == 0) {
        streak->first_in = streak->in;
        streak->first_out = streak->out;
        streak->first_ns = then_ns;
    }
    streak->in = in;
    streak->out = out;
}

/* --- Tasks ------------------------------------------------------------------------------------ */

/* Whether this is the look at which the loop's growth is to be told of. */
static bool look_at_loop(const struct weir__watchdog *dog, unsigned index, int64_t then_ns)
{
    const struct weir__counters *counters = &dog->runtime->loops[index]->counters;
    struct weir__streak *streak = &dog->growth.loops[index];
    uint64_t living = weir__counter_get(counters, WEIR_TASKS_NOW);
    uint64_t started = weir__counter_get(counters, WEIR_TASKS_STARTED);
    uint64_t ended = started > living ? started - living : 0;
    uint64_t started_since = started - streak->in;
    uint64_t ended_since = ended > streak->out ? ended - streak->out : 0;

    count_look(streak, started_since > ended_since && TENTHS * ended_since <= started_since,
               started, ended, then_ns);
    return streak->looks >= WEIR__GROWTH_LOOKS && !streak->is_told &&
           streak->in - streak->first_in - (streak->out - streak->first_out) >=
               dog->runtime->options.growth_tasks;
}

static void look_at_loops(struct weir__watchdog *dog, int64_t then_ns)
{
    struct weir__growth *growth = &dog->growth;

    for (unsigned i = 0; i < dog->runtime->loop_count; i++)
        if (look_at_loop(dog, i, then_ns))
            growth->growing_index = (int)i;
}

/* Of the samples, one that was spawned where most were; *share: how many, in percent. */
static const struct weir__sighting *find_common(const struct weir__pile *samples, unsigned *share)
{
    const struct weir__sighting *common = NULL;
    size_t most = 0;

    for (size_t i = 0; i < samples->count; i++) {
        const struct weir__looked *one = weir__pile_at(samples, i);
        size_t same = 0;

        for (size_t other = 0; other < samples->count; other++) {
            const struct weir__looked *another = weir__pile_at(samples, other);

            same += one->sighting.spawned_at == another->sighting.spawned_at;
        }
        if (same > most) {
            most = same;
            common = &one->sighting;
        }
    }
    *share = samples->count ? (unsigned)(PERCENT * most / samples->count) : 0;
    return common;
}

static double seconds(int64_t ns)
{
    return (double)(ns / NS_PER_MS) / MS_PER_S;
}

void weir__growth_tell(struct weir__watchdog *dog, const struct weir__pile *samples, int64_t now_ns)
{
    struct weir__streak *streak = &dog->growth.loops[dog->growth.growing_index];
    uint64_t started = streak->in - streak->first_in, ended = streak->out - streak->first_out;
    char text[WEIR__SIGHTING_LINE_BYTES], place[WEIR__SYMBOL_BYTES] = "an unknown place";
    const struct weir__sighting *common;
    unsigned share;

    common = find_common(samples, &share);
    if (!common)
        return;
    if (common->spawned_at)
        weir__symbol_format(common->spawned_at, true, place, sizeof place);
    snprintf(text, sizeof text,
             "weir: a producer without bound: loop %d has %llu tasks more than %.3f s ago, and of "
             "%llu started only %llu ended; %u %% of the newest are like \"%s\" of scope \"%s\", "
             "spawned at %s. At %u tasks spawn is refused, or waits (tasks_per_loop). To do: bound "
             "the producer by a limit of the scope, a semaphore, or a listener's connections_max",
             dog->growth.growing_index, (unsigned long long)(started - ended),
             seconds(now_ns - streak->first_ns), (unsigned long long)started,
             (unsigned long long)ended, share, common->name, common->scope_name, place,
             dog->runtime->options.tasks_per_loop);
    streak->is_told = true;
    weir__warn(dog, WEIR_WARNING_GROWTH, text);
}

/* --- Channels --------------------------------------------------------------------------------- */

struct drop_look {
    struct weir__watchdog *dog;
    int64_t then_ns, now_ns;
};

static struct weir__dropping *find_chan(struct weir__growth *growth, const struct weir_chan *chan)
{
    struct weir__dropping *free_one = NULL;

    for (size_t i = 0; i < WEIR__GROWTH_CHANS; i++) {
        if (growth->chans[i].chan == chan)
            return &growth->chans[i];
        if (!growth->chans[i].chan && !free_one)
            free_one = &growth->chans[i];
    }
    return free_one;
}

static void tell_drops(const struct drop_look *look, const struct weir_chan *chan,
                       const struct weir_chan_stats *stats, const struct weir__streak *streak)
{
    uint64_t sent = streak->in - streak->first_in, dropped = streak->out - streak->first_out;
    char text[WEIR__SIGHTING_LINE_BYTES];

    snprintf(
        text, sizeof text,
        "weir: a producer without bound: channel \"%s\" has dropped %llu of %llu elements sent "
        "within %.3f s (%zu of %zu buffered, %zu waiting to receive). To do: a faster "
        "receiver, more of them, or a channel that parks its senders",
        weir_chan_name(chan), (unsigned long long)dropped, (unsigned long long)sent,
        seconds(look->now_ns - streak->first_ns), stats->count, stats->capacity,
        stats->waiting_receivers);
    weir__warn(look->dog, WEIR_WARNING_DROP, text);
}

static void look_at_chan(struct weir_chan *chan, const struct weir_chan_stats *stats, void *context)
{
    const struct drop_look *look = context;
    struct weir__dropping *dropping;
    struct weir__streak *streak;
    uint64_t sent, dropped;

    if (stats->dropped_total == 0)
        return;
    dropping = find_chan(&look->dog->growth, chan);
    if (!dropping)
        return;
    streak = &dropping->streak;
    dropping->is_seen = true;
    if (dropping->chan != chan || stats->sent_total < streak->in) { /* or another at its address */
        dropping->chan = chan;
        *streak = (struct weir__streak){ .in = stats->sent_total, .out = stats->dropped_total };
        return;
    }
    sent = stats->sent_total - streak->in;
    dropped = stats->dropped_total - streak->out;
    count_look(streak, dropped > 0 && TENTHS * dropped >= (TENTHS - 1) * sent, stats->sent_total,
               stats->dropped_total, look->then_ns);
    if (streak->looks < WEIR__GROWTH_LOOKS || streak->is_told)
        return;
    streak->is_told = true;
    tell_drops(look, chan, stats, streak);
}

static void look_at_chans(struct weir__watchdog *dog, int64_t then_ns, int64_t now_ns)
{
    struct drop_look look = { .dog = dog, .then_ns = then_ns, .now_ns = now_ns };
    struct weir__growth *growth = &dog->growth;

    for (size_t i = 0; i < WEIR__GROWTH_CHANS; i++)
        growth->chans[i].is_seen = false;
    if (weir_chan_walk(look_at_chan, &look) < 0)
        return;
    for (size_t i = 0; i < WEIR__GROWTH_CHANS; i++)
        if (!growth->chans[i].is_seen)
            growth->chans[i].chan = NULL;
}

/* Whether it is time, and then when the last look was and the next will be. */
static bool is_due(int64_t *next_ns, int64_t limit_ns, int64_t now_ns, int64_t *then_ns)
{
    int64_t period_ns = limit_ns / WEIR__GROWTH_LOOKS;

    if (limit_ns < 0) {
        *next_ns = INT64_MAX;
        return false;
    }
    if (now_ns < *next_ns)
        return false;
    period_ns = period_ns < NS_PER_MS ? NS_PER_MS : period_ns;
    *then_ns = now_ns - period_ns;
    *next_ns = now_ns > INT64_MAX - period_ns ? INT64_MAX : now_ns + period_ns;
    return true;
}

int64_t weir__growth_tick(struct weir__watchdog *dog, int64_t now_ns)
{
    const struct weir_options *options = &dog->runtime->options;
    struct weir__growth *growth = &dog->growth;
    int64_t then_ns;

    if (is_due(&growth->next_tasks_ns, options->growth_limit_ns, now_ns, &then_ns))
        look_at_loops(dog, then_ns);
    if (is_due(&growth->next_drops_ns, options->drop_limit_ns, now_ns, &then_ns))
        look_at_chans(dog, then_ns, now_ns);
    /* No task is started while no loop runs. */
    if (now_ns - dog->moved_ns > options->growth_limit_ns ||
        growth->next_drops_ns < growth->next_tasks_ns)
        return growth->next_drops_ns;
    return growth->next_tasks_ns;
}
