/* SPDX-License-Identifier: MIT */
/* What a loop notes of its tasks for the watchdogs; see look.h. */
#include "watch/look.h"

#include "core/callback.h"
#include "io/op.h"
#include "sync/mutex.h"

enum { OWNED_MAX = 8 };

static bool is_past(int64_t age_ns, int64_t limit_ns)
{
    return limit_ns >= 0 && age_ns >= limit_ns;
}

/* The mutexes that the task holds: the one most waited for goes to *looked. */
static bool is_owner(struct weir_task *task, struct weir__looked *looked)
{
    struct weir_mutex *owned[OWNED_MAX];
    size_t count = 0;

    if (!task->has_ends)
        return false;
    weir__lock_acquire(&task->lock);
    for (struct weir__list *link = task->ends.next; link != &task->ends && count < OWNED_MAX;
         link = link->next) {
        owned[count] = weir__mutex_of_end(WEIR_CONTAINER_OF(link, struct weir__task_end, link));
        count += owned[count] != NULL;
    }
    weir__lock_release(&task->lock);
    for (size_t i = 0; i < count; i++) { /* only the task gives them back, and it is parked */
        size_t waiting;

        weir__lock_acquire(&owned[i]->line.lock);
        waiting = owned[i]->line.waiting;
        weir__lock_release(&owned[i]->line.lock);
        if (i > 0 && waiting <= looked->waiting)
            continue;
        looked->waiting = waiting;
        memcpy(looked->subject, owned[i]->line.name, sizeof looked->subject);
    }
    return count > 0;
}

/* Whether the task has waited longest of those who send; and who received last. */
static bool is_oldest_sender(const struct weir_task *task, struct weir__looked *looked)
{
    struct weir_chan *chan = (struct weir_chan *)(uintptr_t)task->wait.object;
    const struct weir__list *first;
    bool is_oldest;

    weir__lock_acquire(&chan->lock);
    first = chan->senders.waiters.next;
    is_oldest = first != &chan->senders.waiters &&
                WEIR_CONTAINER_OF(first, struct weir__waiter, link)->wait == &task->wait;
    looked->has_users = chan->users != NULL;
    if (chan->users) {
        looked->partner = chan->users->receivers.last;
        memcpy(looked->partner_name, chan->users->receivers.last_name, sizeof looked->partner_name);
    }
    weir__lock_release(&chan->lock);
    return is_oldest;
}

static bool is_old_operation(const struct weir__look *look, const struct weir_task *task,
                             const struct weir__reason *reason, int64_t age_ns)
{
    if (reason->phase == WEIR_PHASE_DEVICE)
        return is_past(age_ns, look->device_limit_ns);
    return reason == &weir__op_awaits_peer && task->deadline_ns == WEIR_FOREVER &&
           is_past(age_ns, look->peer_limit_ns);
}

static bool is_wanted(const struct weir__look *look, const struct weir_task *task)
{
    for (unsigned i = 0; i < look->wanted_count; i++)
        if (look->wanted[i] == task)
            return true;
    return false;
}

/* What a parked task is worth noting for, deadlocks aside. */
static unsigned judge(const struct weir__look *look, struct weir_task *task,
                      const struct weir__reason *reason, int64_t age_ns,
                      struct weir__looked *looked)
{
    unsigned found = 0;

    if (is_past(age_ns, look->mutex_limit_ns) && is_owner(task, looked))
        found |= WEIR__LOOK_OWNER;
    if (reason == &weir__chan_sends && is_past(age_ns, look->drain_limit_ns) &&
        is_oldest_sender(task, looked))
        found |= WEIR__LOOK_SENDER;
    if (is_old_operation(look, task, reason, age_ns)) {
        found |= WEIR__LOOK_OPERATION;
        looked->is_unlimited = reason->phase != WEIR_PHASE_DEVICE;
    }
    return found;
}

static void note_living(struct weir__survey_part *part, const struct weir_task *task)
{
    struct weir__living *living = weir__survey_note(part, WEIR__SURVEY_LIVING);

    if (living)
        *living = (struct weir__living){ .task = task, .scope = task->scope };
}

/* Home loop, while the task is looked at. */
static void note(struct weir__survey_part *part, struct weir_task *task,
                 const struct weir__look *look)
{
    const struct weir__reason *reason = weir__sighting_reason(task);
    int64_t age_ns = part->loop->now_ns - task->since_ns;
    struct weir__looked found = { .found = 0 };
    struct weir__looked *looked;

    if (reason == &weir__callback_awaits)
        return;
    part->living_count++;
    if (look->has_users)
        note_living(part, task);
    if (reason)
        found.found = judge(look, task, reason, age_ns, &found);
    if (reason && is_past(age_ns, look->deadlock_limit_ns) &&
        weir__ways_is_locked(task, reason, part->loop->now_ns) &&
        weir__ways_note(part, task, &found.sighting))
        found.found |= WEIR__LOOK_LOCKED;
    if (is_wanted(look, task))
        found.found |= WEIR__LOOK_WANTED;
    if (!found.found)
        return;
    weir__sighting_take(&found.sighting, part->loop, task);
    looked = weir__survey_note(part, WEIR__SURVEY_SIGHTINGS);
    if (looked)
        *looked = found;
}

static void look_at(struct weir__survey_part *part, struct weir_task *task)
{
    weir__chan_look_begin();
    note(part, task, (const void *)part->survey->context);
    weir__chan_look_end();
}

const struct weir__survey_view weir__look_view = {
    .record_bytes = { [WEIR__SURVEY_SIGHTINGS] = sizeof(struct weir__looked),
                      [WEIR__SURVEY_WAYS] = sizeof(struct weir__way),
                      [WEIR__SURVEY_LIVING] = sizeof(struct weir__living) },
    .task = look_at,
    .context_bytes = sizeof(struct weir__look),
};

static void sample(struct weir__survey_part *part, struct weir_task *task)
{
    const int *growing_index = (const void *)part->survey->context;
    struct weir__looked *looked;

    if (*growing_index != (int)part->loop->index ||
        weir__sighting_reason(task) == &weir__callback_awaits)
        return;
    looked = weir__survey_note(part, WEIR__SURVEY_SIGHTINGS);
    if (!looked)
        return;
    weir__chan_look_begin();
    weir__sighting_take(&looked->sighting, part->loop, task);
    weir__chan_look_end();
}

const struct weir__survey_view weir__sample_view = {
    .record_bytes = { [WEIR__SURVEY_SIGHTINGS] = sizeof(struct weir__looked) },
    .task = sample,
    .context_bytes = sizeof(int),
    .newest_only = true,
};
