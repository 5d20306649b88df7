/* SPDX-License-Identifier: MIT */
/*
 * Commands: how a verb, called by any task or thread, is carried out by the task that owns the
 * state (a mix, a mult), and hears the answer.
 *
 *   caller   puts the command in its frame, sends its address over a rendezvous channel
 *            `control`, and, once it is taken, waits for the answer, uninterruptibly
 *   owner    receives a struct weir__command *, acts, answers
 *
 * So deadline and cancel are exact: a command that was not taken has no effect, one that was taken
 * reports what it did. The owner must answer each command it takes, soon: a caller that cannot be
 * cancelled waits. Closing `control` refuses commands with -EPIPE: the owner's last act, by abort,
 * so that parked callers hear of it.
 */
#ifndef WEIR_FLOW_COMMAND_H
#define WEIR_FLOW_COMMAND_H

#include "base/lock.h"

#include <weir/chan.h>

struct weir__wait;

/* The first member of what an owner's verbs send. Zeroed at the start. */
struct weir__command {
    struct weir__lock lock;
    struct weir__wait *wait; /* the caller's, once it has parked for the answer */
    bool answered;
    int result;
};

/* The channel of commands, in *control. 0 or -ENOMEM. */
int weir__command_create_control(struct weir_chan **control);

/* The answer; or -EPIPE, -EAGAIN, -ETIME, -ECANCELED when the command was not taken. Any task or
 * thread; parks. */
int weir__command_call(struct weir_chan *control, struct weir__command *command,
                       int64_t deadline_ns);

/* Ends a command that was taken; it may not be touched any more. Does not park. */
void weir__command_answer(struct weir__command *command, int result);

#endif
