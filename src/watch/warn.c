/* SPDX-License-Identifier: MIT */
/* What a look found, deadlocks aside, in words; each state once. */
#include "base/log.h"
#include "base/memory.h"
#include "watch/watchdog.h"

#include <stdio.h>

enum {
    NS_PER_MS = 1000000,
    MS_PER_S = 1000,
    TOLD_A_LOOK = 8,                            /* of each kind; others at the next */
    LINE_BYTES = 4 * WEIR__SIGHTING_LINE_BYTES, /* longer than any text */
};

void weir__warn(struct weir__watchdog *dog, enum weir_warning_kind kind, const char *text)
{
    static const enum weir_counter counters[WEIR_WARNING_COUNT] = {
        [WEIR_WARNING_MUTEX] = WEIR_MUTEXES_HELD_LONG, [WEIR_WARNING_DRAIN] = WEIR_DRAINS_STOPPED,
        [WEIR_WARNING_OPERATION] = WEIR_OPS_OVERDUE,   [WEIR_WARNING_GROWTH] = WEIR_TASKS_GROWING,
        [WEIR_WARNING_DROP] = WEIR_CHANS_DROPPING,
    };
    const struct weir_warning warning = { .kind = kind, .text = text };
    const struct weir_options *options = &dog->runtime->options;
    char line[LINE_BYTES];

    weir__counter_add(&dog->counters, counters[kind], 1);
    if (options->on_warning) {
        options->on_warning(options->context, &warning);
        return;
    }
    snprintf(line, sizeof line, "%s\n", text);
    weir__log_text(line);
}

/* Whether this state of the task was told of; if not, it is from now on. */
static bool is_told(struct weir__watchdog *dog, const struct weir__sighting *sighting,
                    unsigned found)
{
    size_t count = dog->told_count < WEIR__TOLD_MAX ? dog->told_count : WEIR__TOLD_MAX;

    for (size_t i = 0; i < count; i++) {
        const struct weir__told *told = &dog->told[i];

        if (told->task == sighting->task && told->since_ns == sighting->since_ns &&
            told->found == found)
            return true;
    }
    dog->told[dog->told_count++ % WEIR__TOLD_MAX] = (struct weir__told){
        .task = sighting->task, .since_ns = sighting->since_ns, .found = found
    };
    return false;
}

struct who {
    char name[WEIR__SIGHTING_LINE_BYTES / 4];
    char state[WEIR__SIGHTING_LINE_BYTES / 2];
};

static void describe(const struct weir__sighting *sighting, struct who *who)
{
    weir__sighting_name(sighting, who->name, sizeof who->name);
    weir__sighting_tell(sighting, who->state, sizeof who->state);
}

static void warn_of_owner(struct weir__watchdog *dog, const struct weir__looked *looked)
{
    char text[2 * WEIR__SIGHTING_LINE_BYTES];
    struct who who;

    if (is_told(dog, &looked->sighting, WEIR__LOOK_OWNER))
        return;
    describe(&looked->sighting, &who);
    snprintf(text, sizeof text,
             "weir: mutex \"%s\" is held across a long park: its owner %s is %s; %zu wait for it. "
             "To do: unlock before the call that parks, or give what the mutex protects to one "
             "task and send it commands",
             looked->subject, who.name, who.state, looked->waiting);
    weir__warn(dog, WEIR_WARNING_MUTEX, text);
}

static void warn_of_operation(struct weir__watchdog *dog, const struct weir__looked *looked)
{
    char text[2 * WEIR__SIGHTING_LINE_BYTES];
    struct who who;

    if (is_told(dog, &looked->sighting, WEIR__LOOK_OPERATION))
        return;
    describe(&looked->sighting, &who);
    snprintf(
        text, sizeof text, "weir: an operation is overdue: %s is %s. %s", who.name, who.state,
        looked->is_unlimited
            ? "The peer is silent. To do: a deadline on the call"
            : "The device does not answer. To do: look at it, and at what is queued before it");
    weir__warn(dog, WEIR_WARNING_OPERATION, text);
}

/* --- Drains: told when it is known where the last receiver is --------------------------------- */

static bool was_wanted(const struct weir__look *look, const struct weir_task *task)
{
    for (unsigned i = 0; i < look->wanted_count; i++)
        if (look->wanted[i] == task)
            return true;
    return false;
}

static const struct weir__looked *find_looked(const struct weir__survey *survey,
                                              const struct weir_task *task)
{
    for (unsigned i = 0; i < survey->part_count; i++) {
        const struct weir__pile *pile = &survey->parts[i].piles[WEIR__SURVEY_SIGHTINGS];

        for (size_t at = 0; at < pile->count; at++) {
            const struct weir__looked *looked = weir__pile_at(pile, at);

            if (looked->sighting.task == task)
                return looked;
        }
    }
    return NULL;
}

/* What is known of the last receiver, in words; false: it must be looked for first. */
static bool describe_receiver(const struct weir__watchdog *dog, const struct weir__survey *survey,
                              const struct weir__looked *looked, char *text, size_t bytes)
{
    const struct weir__looked *receiver = NULL;
    struct who who;

    if (looked->partner)
        receiver = find_looked(survey, looked->partner);
    if (receiver) {
        describe(&receiver->sighting, &who);
        snprintf(text, bytes, "its last receiver %s is %s", who.name, who.state);
    } else if (!looked->has_users) {
        snprintf(text, bytes, "who receives is not noted (weir_options.channel_users)");
    } else if (!looked->partner) {
        snprintf(text, bytes, "no task has ever received from it");
    } else if (!was_wanted(&dog->look, looked->partner)) {
        return false;
    } else {
        snprintf(text, bytes, "its last receiver \"%s\" has ended", looked->partner_name);
    }
    return true;
}

/* Whether it was told, or need not be. */
static bool warn_of_drain(struct weir__watchdog *dog, const struct weir__survey *survey,
                          const struct weir__looked *looked)
{
    char text[3 * WEIR__SIGHTING_LINE_BYTES], receiver[WEIR__SIGHTING_LINE_BYTES];
    const struct weir__sighting *sighting = &looked->sighting;
    struct who who;

    if (!describe_receiver(dog, survey, looked, receiver, sizeof receiver))
        return false;
    if (is_told(dog, sighting, WEIR__LOOK_SENDER))
        return true;
    describe(sighting, &who);
    snprintf(text, sizeof text,
             "weir: a drain has stopped: nothing was received from %s for %.3f s; %s is parked in "
             "a send; %s. To do: look at the receiver; if it may be that slow, let the channel "
             "drop, or put a deadline on the send",
             sighting->what, (double)(weir__sighting_age_ns(sighting) / NS_PER_MS) / MS_PER_S,
             who.name, receiver);
    weir__warn(dog, WEIR_WARNING_DRAIN, text);
    return true;
}

/* --- All of them ------------------------------------------------------------------------------ */

/* What one look has told, and what the next is to look for. */
struct telling {
    struct weir__watchdog *dog;
    const struct weir__survey *survey;
    const struct weir_task *wanted[WEIR__LOOK_WANTED_MAX];
    unsigned wanted_count;
    uint64_t limits[WEIR_WARNING_COUNT]; /* of the counters */
};

static bool may_tell(const struct telling *telling, enum weir_counter counter,
                     enum weir_warning_kind kind)
{
    return weir__counter_get(&telling->dog->counters, counter) < telling->limits[kind];
}

static void warn_of_one(struct telling *telling, const struct weir__looked *looked)
{
    struct weir__watchdog *dog = telling->dog;

    if ((looked->found & WEIR__LOOK_OWNER) &&
        may_tell(telling, WEIR_MUTEXES_HELD_LONG, WEIR_WARNING_MUTEX))
        warn_of_owner(dog, looked);
    if ((looked->found & WEIR__LOOK_OPERATION) &&
        may_tell(telling, WEIR_OPS_OVERDUE, WEIR_WARNING_OPERATION))
        warn_of_operation(dog, looked);
    if ((looked->found & WEIR__LOOK_SENDER) &&
        may_tell(telling, WEIR_DRAINS_STOPPED, WEIR_WARNING_DRAIN) &&
        !warn_of_drain(dog, telling->survey, looked) &&
        telling->wanted_count < WEIR__LOOK_WANTED_MAX)
        telling->wanted[telling->wanted_count++] = looked->partner;
}

bool weir__warn_of(struct weir__watchdog *dog, const struct weir__survey *survey)
{
    struct telling telling = { .dog = dog, .survey = survey };

    telling.limits[WEIR_WARNING_MUTEX] =
        weir__counter_get(&dog->counters, WEIR_MUTEXES_HELD_LONG) + TOLD_A_LOOK;
    telling.limits[WEIR_WARNING_OPERATION] =
        weir__counter_get(&dog->counters, WEIR_OPS_OVERDUE) + TOLD_A_LOOK;
    telling.limits[WEIR_WARNING_DRAIN] =
        weir__counter_get(&dog->counters, WEIR_DRAINS_STOPPED) + TOLD_A_LOOK;
    for (unsigned i = 0; i < survey->part_count; i++) {
        const struct weir__pile *pile = &survey->parts[i].piles[WEIR__SURVEY_SIGHTINGS];

        for (size_t at = 0; at < pile->count; at++)
            warn_of_one(&telling, weir__pile_at(pile, at));
    }
    memcpy(dog->look.wanted, telling.wanted, sizeof telling.wanted);
    dog->look.wanted_count = telling.wanted_count;
    return telling.wanted_count > 0;
}
