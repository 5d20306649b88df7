/* SPDX-License-Identifier: MIT */
/* When the watchdogs look; see watchdog.h. */
#include "watch/watchdog.h"

#include "base/clock.h"
#include "base/memory.h"
#include "pool/pool.h"
#include "watch/outsiders.h"

#include <errno.h>
#include <stdio.h>

enum {
    NS_PER_MS = 1000000,
    SOON_NS = 100 * NS_PER_MS,     /* until a suspicion is looked at again, at most */
    STEP_NS = NS_PER_MS,           /* between two questions whether all have answered */
    GIVE_UP_NS = 1000 * NS_PER_MS, /* so long a loop may take */
    PERIOD_MIN_NS = NS_PER_MS,
    QUIET_LIMITS = 2,
};

/* The limits that are looked after by looks at all tasks. */
static size_t list_limits(const struct weir_options *options, int64_t *limits)
{
    const int64_t all[] = {
        options->deadlock_limit_ns, options->mutex_limit_ns, options->drain_limit_ns,
        options->device_limit_ns,   options->peer_limit_ns,
    };
    size_t count = 0;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i] >= 0)
            limits[count++] = all[i];
    return count;
}

bool weir__watchdog_is_off(const struct weir__runtime *runtime)
{
    int64_t limits[8];

    return list_limits(&runtime->options, limits) == 0 && weir__growth_is_off(&runtime->options);
}

/* Twice in the shortest limit; and quiet is twice the longest. */
static void set_times(struct weir__watchdog *dog)
{
    int64_t limits[8];
    size_t count = list_limits(&dog->runtime->options, limits);
    int64_t longest_ns = 0, shortest_ns = INT64_MAX;

    for (size_t i = 0; i < count; i++) {
        longest_ns = limits[i] > longest_ns ? limits[i] : longest_ns;
        shortest_ns = limits[i] < shortest_ns ? limits[i] : shortest_ns;
    }
    dog->period_ns = shortest_ns == INT64_MAX ? INT64_MAX : shortest_ns / 2;
    if (dog->period_ns < PERIOD_MIN_NS)
        dog->period_ns = PERIOD_MIN_NS;
    dog->quiet_ns = longest_ns > INT64_MAX / QUIET_LIMITS ? INT64_MAX : QUIET_LIMITS * longest_ns;
}

int weir__watchdog_create(struct weir__runtime *runtime)
{
    const struct weir_options *options = &runtime->options;
    struct weir__watchdog *dog = weir__memory_zalloc(NULL, sizeof *dog);

    if (!dog)
        return -ENOMEM;
    dog->runtime = runtime;
    dog->known_threads = 1;
    dog->look = (struct weir__look){
        .deadlock_limit_ns = options->deadlock_limit_ns,
        .mutex_limit_ns = options->mutex_limit_ns,
        .drain_limit_ns = options->drain_limit_ns,
        .device_limit_ns = options->device_limit_ns,
        .peer_limit_ns = options->peer_limit_ns,
        .has_users = options->channel_users,
        .growing_index = -1,
    };
    weir__growth_init(&dog->growth);
    set_times(dog);
    runtime->watch->dog = dog;
    return 0;
}

void weir__watchdog_destroy(struct weir__runtime *runtime)
{
    struct weir__watchdog *dog = runtime->watch->dog;

    weir__growth_term(&dog->growth);
    weir__memory_free(dog->marks.list);
    weir__memory_free(dog);
}

static uint64_t count_switches(const struct weir__runtime *runtime)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < runtime->loop_count; i++)
        sum += weir__counter_get(&runtime->loops[i]->counters, WEIR_SWITCHES);
    return sum;
}

/* Whether something may have changed since the looks so far. */
static bool has_moved(struct weir__watchdog *dog, int64_t now_ns)
{
    uint64_t switches = count_switches(dog->runtime);

    if (switches != dog->switches) {
        dog->switches = switches;
        dog->moved_ns = now_ns;
    }
    return dog->quiet_ns == INT64_MAX || now_ns - dog->moved_ns <= dog->quiet_ns + dog->period_ns;
}

static void report(void *context, const struct weir_deadlock *deadlock)
{
    const struct weir__watchdog *dog = context;
    const struct weir_options *options = &dog->runtime->options;

    if (options->on_deadlock)
        options->on_deadlock(options->context, deadlock);
    else
        fputs(deadlock->text, stderr);
}

static bool is_good(const struct weir__survey *survey)
{
    for (unsigned i = 0; i < survey->part_count; i++)
        if (!survey->parts[i].is_good || survey->parts[i].lacks_memory)
            return false;
    return true;
}

/* Whether there are async operations, or jobs that no task waits for. */
static bool has_others(const struct weir__watchdog *dog, const struct weir__survey *survey)
{
    for (unsigned i = 0; i < survey->part_count; i++)
        if (survey->parts[i].is_busy)
            return true;
    return weir__outsiders_exist(dog->runtime, dog->known_threads);
}

/* A look that is complete. */
static void judge(struct weir__watchdog *dog, const struct weir__survey *survey, int64_t now_ns)
{
    bool is_suspicious = false;
    unsigned told_count;

    if (dog->look.deadlock_limit_ns >= 0) {
        bool any = weir__deadlock_count_locked(survey) > 0;
        struct weir__deadlock_look look = {
            .survey = survey,
            .has_outsiders = any && has_others(dog, survey),
            .report = report,
            .context = dog,
        };

        told_count = weir__deadlock_judge(&look, &dog->marks, &is_suspicious);
        weir__counter_add(&dog->counters, WEIR_DEADLOCKS, told_count);
    }
    is_suspicious |= weir__warn_of(dog, survey, now_ns);
    if (is_suspicious)
        dog->next_ns = now_ns + (dog->period_ns < SOON_NS ? dog->period_ns : SOON_NS);
}

static void begin(struct weir__watchdog *dog, int64_t now_ns)
{
    struct weir__survey_view view = weir__look_view;

    dog->look.growing_index = dog->growth.growing_index;
    view.context = &dog->look;
    dog->next_ns = weir__clock_add(now_ns, dog->period_ns);
    dog->started_ns = now_ns;
    if (weir__survey_start(dog->runtime->watch, &view, &dog->survey) < 0)
        dog->survey = NULL; /* a dump is under way, or there is no memory: next time */
    else
        weir__counter_add(&dog->counters, WEIR_WATCHDOG_LOOKS, 1);
}

static void end(struct weir__watchdog *dog, int64_t now_ns)
{
    struct weir__survey *survey = dog->survey;

    dog->survey = NULL;
    weir__survey_stop(survey);
    if (is_good(survey))
        judge(dog, survey, now_ns);
    weir__survey_release(survey);
    dog->growth.growing_index = -1;
}

int64_t weir__watchdog_tick(struct weir__runtime *runtime, int64_t now_ns)
{
    struct weir__watchdog *dog = runtime->watch->dog;
    int64_t next_ns;

    if (weir__watchdog_is_off(runtime))
        return INT64_MAX;
    if (dog->survey) {
        if (!weir__survey_is_answered(dog->survey) && now_ns - dog->started_ns < GIVE_UP_NS)
            return now_ns + STEP_NS;
        end(dog, now_ns);
    }
    if (dog->next_ns == 0) {
        dog->next_ns = weir__clock_add(now_ns, dog->period_ns);
        dog->moved_ns = now_ns;
    }
    next_ns = weir__growth_tick(dog, now_ns);
    if (dog->growth.growing_index >= 0 || now_ns >= dog->next_ns) {
        if (dog->growth.growing_index >= 0 || has_moved(dog, now_ns)) {
            begin(dog, now_ns);
            return now_ns + STEP_NS;
        }
        dog->next_ns = weir__clock_add(now_ns, dog->period_ns);
    }
    return next_ns < dog->next_ns ? next_ns : dog->next_ns;
}

void weir__watchdog_leave(struct weir__runtime *runtime)
{
    struct weir__watchdog *dog = runtime->watch->dog;

    if (!dog->survey)
        return;
    weir__survey_stop(dog->survey);
    weir__survey_release(dog->survey);
    dog->survey = NULL;
}
