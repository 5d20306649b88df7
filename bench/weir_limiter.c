/* SPDX-License-Identifier: MIT */
/*
 * What an adaptive limit finds, beside fixed ones: 64 tasks want the same backend at all times, a
 * pool of four threads that sleep for each request, and go through a limiter. Too low a limit
 * leaves threads idle; too high a one makes all wait in the pool's queue.
 */
#include "weir_peer.h"

#include <weir/limiter.h>
#include <weir/pool.h>
#include <weir/scope.h>
#include <weir/task.h>

#include <math.h>
#include <time.h>

enum {
    TASKS = 64,
    THREADS = 4,
    WORK_US = 2000,
    SLOWER = 4,
    FOUND_MS = 2000,    /* until the limit is measured */
    FOLLOWED_MS = 5000, /* until it is measured again, when work has become slower */
    MEASURED_MS = 1000,
    QUICK_SHARE = 2, /* of FOUND_MS, in quick runs */
};

struct scene {
    const struct trial *trial;
    struct outcome *outcome;
    unsigned limit; /* 0: adaptive */
    struct weir_limiter *limiter;
    struct weir_pool *pool;
    long work_ns;
    bool measuring, over;
    uint64_t finished;
    struct histogram latency_ns;
};

static int sleep_for_real(void *arg)
{
    const struct scene *scene = arg;
    struct timespec work = { .tv_nsec = scene->work_ns };

    nanosleep(&work, NULL);
    return 0;
}

static int work(void *arg, int64_t deadline_ns)
{
    struct scene *scene = arg;
    uint64_t start_ns = now_ns();
    int error = weir_pool_run_on(scene->pool, sleep_for_real, scene, NULL, deadline_ns);

    if (scene->measuring) {
        histogram_add(&scene->latency_ns, now_ns() - start_ns);
        scene->finished++;
    }
    return error;
}

static int want(void *arg)
{
    struct scene *scene = arg;

    while (!scene->over) {
        int error = weir_limiter_run(scene->limiter, work, scene, WEIR_FOREVER);

        if (error < 0) /* refused: it waited too long */
            trial_check(weir_yield(), "weir_yield");
    }
    return 0;
}

static void measure(struct scene *scene)
{
    uint64_t start_ns = now_ns();

    scene->measuring = true;
    trial_check(weir_sleep(weir_in_ms(MEASURED_MS)), "weir_sleep");
    scene->measuring = false;
    scene->outcome->values[METRIC_OPS_PER_S] =
        (double)scene->finished * (double)NS_PER_S / (double)(now_ns() - start_ns);
    scene->outcome->values[METRIC_P50_US] = histogram_quantile(&scene->latency_ns, 0.5) / 1e3;
    scene->outcome->values[METRIC_P99_US] = histogram_quantile(&scene->latency_ns, 0.99) / 1e3;
}

static int play(void *arg)
{
    const struct weir_pool_options pool = { .threads_min = THREADS, .threads_max = THREADS };
    struct scene *scene = arg;
    struct weir_limiter_options options = {
        .adaptive = scene->limit == 0,
        .limit = scene->limit,
    };
    struct weir_limiter_stats stats;
    struct weir_scope *scope;

    trial_check(weir_limiter_create(&scene->limiter, &options), "weir_limiter_create");
    trial_check(weir_pool_create(&scene->pool, "backend", &pool), "weir_pool_create");
    trial_check(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), "weir_scope_create");
    for (unsigned i = 0; i < TASKS; i++)
        trial_check(weir_spawn(scope, want, scene, NULL), "weir_spawn");
    trial_check(
        weir_sleep(weir_in_ms(scene->trial->settings->quick ? FOUND_MS / QUICK_SHARE : FOUND_MS)),
        "weir_sleep");
    if (scene->trial->bench->kind) {
        scene->work_ns *= SLOWER;
        trial_check(weir_sleep(weir_in_ms(FOLLOWED_MS)), "weir_sleep");
    }
    measure(scene);
    weir_limiter_read_stats(scene->limiter, &stats);
    snprintf(scene->outcome->note, sizeof scene->outcome->note, "limit %u at the end", stats.limit);
    scene->over = true;
    return weir_scope_join(scope, WEIR_FOREVER);
}

static void run(const struct trial *trial, struct outcome *outcome, unsigned limit)
{
    static struct scene scene;
    struct weir_options options = weir_peer_options();

    scene.trial = trial;
    scene.outcome = outcome;
    scene.limit = limit;
    scene.work_ns = WORK_US * 1000;
    weir_peer_run(play, &scene, &options);
}

void weir_limiter_adaptive(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, 0);
}

void weir_limiter_1(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, 1);
}

void weir_limiter_2(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, 2);
}

void weir_limiter_4(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, 4);
}

void weir_limiter_8(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, 8);
}

void weir_limiter_32(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, 32);
}
