/* SPDX-License-Identifier: MIT */
/*
 * The callback task: one per loop. What the library owes the user's functions (drops, failure
 * reports, in time async completions) runs there: never on a stranger's stack, never under a lock,
 * and one after the other.
 */
#ifndef WEIR_CORE_CALLBACK_H
#define WEIR_CORE_CALLBACK_H

#include "core/loop.h"

/* Why the callback task waits: it has nothing to do. */
extern const struct weir__reason weir__callback_awaits;

/* Starts the loop's callback task; 0 or -ENOMEM. */
int weir__callback_start(struct weir__loop *loop);

/* Runs what is queued, then ends the task. On the loop's main task. */
void weir__callback_stop(struct weir__loop *loop);

/* Home loop: mail->deliver(loop, mail) will run in the callback task. */
void weir__callback_post(struct weir__loop *loop, struct weir__mail *mail);

/*
 * Runs fn(arg) in the callback task of the calling loop, and returns when it has; a plain thread,
 * and the callback task itself, run it in place. A release call.
 */
void weir__callback_call(void (*fn)(void *arg), void *arg);

#endif
