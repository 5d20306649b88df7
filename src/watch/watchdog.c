/* SPDX-License-Identifier: MIT */
/* When the watchdogs look; see watchdog.h. */
#include "watch/watchdog.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "pool/pool.h"
#include "watch/outsiders.h"

#include <errno.h>

enum {
    NS_PER_MS = 1000000,
    SOON_NS = 100 * NS_PER_MS,     /* until a suspicion is looked at again, at most */
    STEP_NS = NS_PER_MS,           /* between two questions whether all have answered */
    GIVE_UP_NS = 1000 * NS_PER_MS, /* so long a loop may take */
    PERIOD_MIN_NS = NS_PER_MS,
};

/* The limits that are looked after by looks at all tasks. */
static size_t list_limits(const struct weir_options *options, int64_t *limits_ns)
{
    const int64_t all[WEIR__WATCHDOG_LIMITS] = {
        options->deadlock_limit_ns, options->mutex_limit_ns, options->drain_limit_ns,
        options->device_limit_ns,   options->peer_limit_ns,
    };
    size_t count = 0;

    for (size_t i = 0; i < WEIR__WATCHDOG_LIMITS; i++)
        if (all[i] >= 0)
            limits_ns[count++] = all[i];
    return count;
}

bool weir__watchdog_is_off(const struct weir__runtime *runtime)
{
    int64_t limits_ns[WEIR__WATCHDOG_LIMITS];

    return list_limits(&runtime->options, limits_ns) == 0 && weir__growth_is_off(&runtime->options);
}

/* Twice in the shortest limit. */
static void set_times(struct weir__watchdog *dog)
{
    int64_t shortest_ns = INT64_MAX;

    dog->limit_count = list_limits(&dog->runtime->options, dog->limits_ns);
    for (size_t i = 0; i < dog->limit_count; i++)
        if (dog->limits_ns[i] < shortest_ns)
            shortest_ns = dog->limits_ns[i];
    dog->period_ns = shortest_ns == INT64_MAX ? INT64_MAX : shortest_ns / 2;
    if (dog->period_ns < PERIOD_MIN_NS)
        dog->period_ns = PERIOD_MIN_NS;
}

int weir__watchdog_create(struct weir__runtime *runtime)
{
    const struct weir_options *options = &runtime->options;
    struct weir__watchdog *dog = weir__memory_zalloc(NULL, sizeof *dog);

    if (!dog)
        return -ENOMEM;
    dog->runtime = runtime;
    atomic_init(&dog->known_threads, 1);
    dog->look = (struct weir__look){
        .deadlock_limit_ns = options->deadlock_limit_ns,
        .mutex_limit_ns = options->mutex_limit_ns,
        .drain_limit_ns = options->drain_limit_ns,
        .device_limit_ns = options->device_limit_ns,
        .peer_limit_ns = options->peer_limit_ns,
        .has_users = options->channel_users,
    };
    if (weir__growth_init(&dog->growth, runtime->loop_count) < 0) {
        weir__memory_free(dog);
        return -ENOMEM;
    }
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

static void note_moves(struct weir__watchdog *dog, int64_t now_ns)
{
    uint64_t switches = count_switches(dog->runtime);

    if (switches == dog->switches && dog->moved_ns)
        return;
    if (dog->switches == dog->look_switches && !dog->is_suspicious) /* at rest so far */
        dog->next_ns = weir__clock_add(now_ns, dog->period_ns);
    dog->switches = switches;
    dog->moved_ns = now_ns;
}

/* When those that are parked since the last move pass the next limit, as seen from the last look;
 * INT64_MAX: they have passed all. */
static int64_t next_limit_ns(const struct weir__watchdog *dog)
{
    int64_t next_ns = INT64_MAX;

    for (size_t i = 0; i < dog->limit_count; i++) {
        int64_t passed_ns = weir__clock_add(dog->moved_ns, dog->limits_ns[i]);

        if (passed_ns > dog->started_ns && passed_ns < next_ns)
            next_ns = passed_ns;
    }
    return next_ns;
}

/* When the next look is due. */
static int64_t due_ns(const struct weir__watchdog *dog)
{
    if (dog->limit_count == 0)
        return INT64_MAX;
    if (dog->switches != dog->look_switches || dog->is_suspicious ||
        atomic_load_explicit(&dog->is_restless, memory_order_relaxed))
        return dog->next_ns;
    return next_limit_ns(dog);
}

static void report(void *context, const struct weir_deadlock *deadlock)
{
    const struct weir__watchdog *dog = context;
    const struct weir_options *options = &dog->runtime->options;

    if (options->on_deadlock)
        options->on_deadlock(options->context, deadlock);
    else
        weir__log_text(deadlock->text);
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
    return weir__outsiders_exist(dog->runtime, atomic_load(&dog->known_threads));
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

        told_count = any ? weir__deadlock_judge(&look, &dog->marks, &is_suspicious) : 0;
        dog->marks.count = any ? dog->marks.count : 0;
        weir__counter_add(&dog->counters, WEIR_DEADLOCKS, told_count);
    }
    is_suspicious |= weir__warn_of(dog, survey);
    dog->is_suspicious = is_suspicious;
    if (is_suspicious)
        dog->next_ns = now_ns + (dog->period_ns < SOON_NS ? dog->period_ns : SOON_NS);
}

/* While a dump is under way, or without memory, nothing begins: at the next tick. */
static void begin(struct weir__watchdog *dog, int64_t now_ns)
{
    struct weir__survey_view view = weir__look_view;

    view.context = &dog->look;
    if (weir__survey_start(dog->runtime->watch, &view, &dog->survey) < 0) {
        dog->survey = NULL;
        return;
    }
    dog->next_ns = weir__clock_add(now_ns, dog->period_ns);
    dog->started_ns = dog->asked_ns = now_ns;
    dog->look_switches = dog->switches;
    dog->is_suspicious = false;
    weir__counter_add(&dog->counters, WEIR_WATCHDOG_LOOKS, 1);
}

/* Of the loop that grows; the other loops only let it pass. */
static void begin_sample(struct weir__watchdog *dog, int64_t now_ns)
{
    struct weir__survey_view view = weir__sample_view;

    view.context = &dog->growth.growing_index;
    if (weir__survey_start(dog->runtime->watch, &view, &dog->survey) < 0) {
        dog->survey = NULL;
        return;
    }
    dog->asked_ns = now_ns;
}

/* Whatever the other loops did; and if this one did not answer, the next time it is found. */
static void end_sample(struct weir__watchdog *dog, const struct weir__survey *survey,
                       int64_t now_ns)
{
    const struct weir__survey_part *part = &survey->parts[dog->growth.growing_index];

    if (part->is_good)
        weir__growth_tell(dog, &part->piles[WEIR__SURVEY_SIGHTINGS], now_ns);
    dog->growth.growing_index = -1;
}

static void end(struct weir__watchdog *dog, int64_t now_ns)
{
    struct weir__survey *survey = dog->survey;

    dog->survey = NULL;
    weir__survey_stop(survey);
    if (survey->view.newest_only)
        end_sample(dog, survey, now_ns);
    else if (is_good(survey))
        judge(dog, survey, now_ns);
    else
        dog->is_suspicious = true;
    weir__survey_release(survey);
}

/* While the loops run. */
static int64_t tick(struct weir__watchdog *dog, int64_t now_ns)
{
    int64_t next_ns;

    if (dog->survey) {
        if (!weir__survey_is_answered(dog->survey) && now_ns - dog->asked_ns < GIVE_UP_NS)
            return now_ns + STEP_NS;
        end(dog, now_ns);
    }
    note_moves(dog, now_ns);
    next_ns = weir__growth_tick(dog, now_ns);
    if (dog->growth.growing_index >= 0) {
        begin_sample(dog, now_ns);
        return now_ns + STEP_NS;
    }
    if (now_ns >= due_ns(dog)) {
        begin(dog, now_ns);
        return now_ns + STEP_NS;
    }
    return next_ns < due_ns(dog) ? next_ns : due_ns(dog);
}

int64_t weir__watchdog_tick(struct weir__runtime *runtime, int64_t now_ns)
{
    int64_t next_ns;

    if (weir__watchdog_is_off(runtime))
        return INT64_MAX;
    if (!weir__watch_try_join(runtime->watch)) {
        weir__watchdog_leave(runtime);
        return now_ns + SOON_NS;
    }
    next_ns = tick(runtime->watch->dog, now_ns);
    weir__watch_leave(runtime->watch);
    return next_ns;
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
