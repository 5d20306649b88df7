/* SPDX-License-Identifier: MIT */
/*
 * What those who look at channels from outside need.
 *
 * Who uses a channel: by side, the tasks that have tried to send or to receive. Noted only on
 * channels made by tasks of a runtime with weir_options.channel_users: such a channel takes the
 * long way through send and recv, all others pay nothing. Of a scope with several users all tasks
 * count: whom one worker talks to, its siblings may. The pointers are for comparing, never to be
 * followed; a struct that was used again looks like its predecessor, if its scope is the same.
 *
 * That it is still there: an aborter frees a channel whose woken waiters have not run yet, so a
 * task's own loop cannot be sure of what the task waits on. Between look_begin and look_end no
 * channel's memory goes:
 *
 *   looker    count up (seq_cst) ... is the wait open? then its channel is there, until look_end
 *   freer     claim the wait ... fence (seq_cst), count? > 0: leave the memory to the looker
 *
 * Either the freer sees the count, or the looker's count came later, and so it sees the claim.
 */
#ifndef WEIR_SYNC_CHAN_USERS_H
#define WEIR_SYNC_CHAN_USERS_H

#include "base/memory.h"
#include "sync/chan.h"

#include <weir/task.h>

enum { WEIR__CHAN_USERS_MAX = 8 };

struct weir__chan_user {
    const struct weir_task *task; /* NULL: any of the scope */
    const struct weir_scope *scope;
};

/* Under the channel's lock. */
struct weir__chan_user_set {
    struct weir__chan_user list[WEIR__CHAN_USERS_MAX];
    unsigned count;
    bool is_open; /* a plain thread, or more than can be noted: it may be anybody */
    const struct weir_task *last;
    const struct weir_scope *last_scope; /* the struct may be another task's by now */
    char last_name[WEIR_NAME_BYTES];
};

struct weir__chan_users {
    struct weir__chan_user_set senders, receivers;
};

/* For a new channel of the loop's current task, whose runtime wants that: 0 or -ENOMEM. */
int weir__chan_users_create(struct weir_chan *chan, struct weir__loop *loop);

/* Under the channel's lock, which has users: the caller tries to send, or to receive. */
void weir__chan_users_note(struct weir__chan_user_set *set);

/* Any thread; they nest. */
void weir__chan_look_begin(void);
void weir__chan_look_end(void);

extern atomic_uint weir__chan_looker_count;

/* The end of a channel's memory, at once or by the last looker; any channel. */
void weir__chan_give_memory_slowly(struct weir_chan *chan);

/* The same, of one without users. */
static inline void weir__chan_give_memory(struct weir_chan *chan)
{
    /* seq_cst; pairs with weir__chan_look_begin */
    atomic_thread_fence(memory_order_seq_cst);
    /* acquire; pairs with weir__chan_look_end: what was read of the channel was read before */
    if (WEIR_LIKELY(!atomic_load_explicit(&weir__chan_looker_count, memory_order_acquire)))
        weir__memory_free(chan);
    else
        weir__chan_give_memory_slowly(chan);
}

#endif
