/* SPDX-License-Identifier: MIT */
/* The watches of all runtimes; see watch.h. */
#include "watch/watch.h"

#include "base/memory.h"
#include "core/park.h"
#include "watch/survey.h"
#include "watch/watchdog.h"

#include <weir/mutex.h>

#include <errno.h>

static struct weir__lock list_lock;
static struct weir__list listed = { &listed, &listed };

int weir__watch_create(struct weir__runtime *runtime)
{
    struct weir__watch *watch = weir__memory_zalloc(NULL, sizeof *watch);

    if (!watch)
        return -ENOMEM;
    watch->runtime = runtime;
    weir__list_init(&watch->listed);
    if (weir_mutex_create(&watch->turn, "survey") < 0)
        goto free_watch;
    if (weir__survey_create_spare(watch) < 0)
        goto destroy_turn;
    runtime->watch = watch;
    if (weir__watchdog_create(runtime) >= 0)
        return 0;

    weir__survey_destroy_spare(watch);
destroy_turn:
    weir_mutex_destroy(watch->turn);
free_watch:
    weir__memory_free(watch);
    return -ENOMEM;
}

void weir__watch_destroy(struct weir__runtime *runtime)
{
    weir__watchdog_destroy(runtime);
    weir__survey_destroy_spare(runtime->watch);
    weir_mutex_destroy(runtime->watch->turn);
    weir__memory_free(runtime->watch);
}

void weir__watch_start(struct weir__runtime *runtime)
{
    weir__lock_acquire(&list_lock);
    weir__list_append(&listed, &runtime->watch->listed);
    weir__lock_release(&list_lock);
}

static const struct weir__reason awaits_users = { "end of a look at all tasks", WEIR_PHASE_TASK,
                                                  NULL };

void weir__watch_stop(struct weir__runtime *runtime)
{
    struct weir__watch *watch = runtime->watch;
    struct weir__wait *wait = weir__wait_self();
    bool used;

    weir__lock_acquire(&list_lock);
    weir__list_unlink(&watch->listed);
    used = watch->user_count > 0;
    if (used) {
        weir__wait_begin(wait, &awaits_users, NULL);
        watch->stopper = wait;
    }
    weir__lock_release(&list_lock);
    if (used)
        weir__wait_park(wait, WEIR_FOREVER, WEIR__PARK_RELEASE);
}

struct weir__watch *weir__watch_use(unsigned index)
{
    struct weir__watch *watch = NULL;

    weir__lock_acquire(&list_lock);
    for (struct weir__list *link = listed.next; link != &listed; link = link->next)
        if (index-- == 0) {
            watch = WEIR_CONTAINER_OF(link, struct weir__watch, listed);
            watch->user_count++;
            break;
        }
    weir__lock_release(&list_lock);
    return watch;
}

bool weir__watch_try_join(struct weir__watch *watch)
{
    bool is_listed;

    weir__lock_acquire(&list_lock);
    is_listed = !weir__list_empty(&watch->listed);
    watch->user_count += is_listed;
    weir__lock_release(&list_lock);
    return is_listed;
}

void weir__watch_join(struct weir__watch *watch)
{
    weir__lock_acquire(&list_lock);
    watch->user_count++;
    weir__lock_release(&list_lock);
}

void weir__watch_leave(struct weir__watch *watch)
{
    struct weir__wait *wake = NULL;

    weir__lock_acquire(&list_lock);
    if (--watch->user_count == 0 && watch->stopper && weir__wait_claim(watch->stopper, 0))
        wake = watch->stopper;
    weir__lock_release(&list_lock);
    if (wake)
        weir__wait_wake(wake);
}
