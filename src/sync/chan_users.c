/* SPDX-License-Identifier: MIT */
/* Users of channels, and channels that are looked at; see chan_users.h. */
#include "sync/chan_users.h"

#include "core/task.h"

#include <errno.h>

atomic_uint weir__chan_looker_count;
static struct weir__lock left_lock;
static struct weir__list left = { &left, &left }; /* weir_chan.listed; under its lock */

int weir__chan_users_create(struct weir_chan *chan, struct weir__loop *loop)
{
    chan->users = weir__memory_zalloc(loop->heap, sizeof *chan->users);
    if (!chan->users)
        return -ENOMEM;
    chan->special |= WEIR__CHAN_NOTED;
    return 0;
}

static void add(struct weir__chan_user_set *set, const struct weir_task *task,
                const struct weir_scope *scope)
{
    for (unsigned i = 0; i < set->count; i++) {
        struct weir__chan_user *user = &set->list[i];

        if (user->scope != scope)
            continue;
        if (user->task != task)
            user->task = NULL;
        return;
    }
    if (set->count == WEIR__CHAN_USERS_MAX)
        set->is_open = true;
    else
        set->list[set->count++] = (struct weir__chan_user){ .task = task, .scope = scope };
}

void weir__chan_users_note(struct weir__chan_user_set *set)
{
    struct weir__loop *loop = weir__loop_current;
    const struct weir_task *task = loop ? loop->current : NULL;

    if (!task) {
        set->is_open = true;
        return;
    }
    if (set->last == task && set->last_scope == task->scope)
        return;
    set->last = task;
    set->last_scope = task->scope;
    memcpy(set->last_name, task->name, sizeof set->last_name);
    add(set, task, task->scope);
}

static void free_all(struct weir_chan *chan)
{
    weir__memory_free(chan->users);
    weir__memory_free(chan);
}

void weir__chan_look_begin(void)
{
    /* seq_cst; see the head of chan_users.h */
    atomic_fetch_add_explicit(&weir__chan_looker_count, 1, memory_order_seq_cst);
}

void weir__chan_look_end(void)
{
    struct weir__list gone;
    struct weir__list *link;

    weir__list_init(&gone);
    weir__lock_acquire(&left_lock);
    /* seq_cst; under the lock, so that nobody leaves more to a looker that has gone */
    if (atomic_fetch_sub_explicit(&weir__chan_looker_count, 1, memory_order_seq_cst) == 1)
        weir__list_splice(&gone, &left);
    weir__lock_release(&left_lock);
    while ((link = weir__list_pop(&gone)))
        free_all(WEIR_CONTAINER_OF(link, struct weir_chan, listed));
}

void weir__chan_give_memory_slowly(struct weir_chan *chan)
{
    bool is_seen;

    /* seq_cst; pairs with weir__chan_look_begin */
    atomic_thread_fence(memory_order_seq_cst);
    weir__lock_acquire(&left_lock);
    is_seen = atomic_load_explicit(&weir__chan_looker_count, memory_order_acquire) > 0;
    if (is_seen)
        weir__list_append(&left, &chan->listed);
    weir__lock_release(&left_lock);
    if (!is_seen)
        free_all(chan);
}
