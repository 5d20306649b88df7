/* SPDX-License-Identifier: MIT */
/* How a task's end reaches those who want to know: joiners, its scope, the failure report. */
#ifndef WEIR_CORE_JOIN_H
#define WEIR_CORE_JOIN_H

#include "core/task.h"

/* Why one waits for the end of a task; the object is the task. */
extern const struct weir__reason weir__join_awaits_task;

/*
 * Home loop: the task's result stands. Wakes its joiners and tells its scope. Returns whether its
 * failure is still to be reported: then the caller's reference has passed to the report.
 */
bool weir__join_task_ended(struct weir__loop *loop, struct weir_task *task);

/* In the callback task: a user's callback failed, and nobody else can hear of it. */
void weir__join_callback_failed(struct weir__loop *loop, const char *name, int error);

/*
 * How a place in the code is written where a failure is printed: "%p", until a higher room that
 * knows the symbols sets another, once and for all.
 */
typedef void weir__place_format_fn(const void *return_address, char *text, size_t bytes);
extern weir__place_format_fn *_Atomic weir__join_format_place;

/* In that way. */
void weir__join_place(const void *return_address, char *text, size_t bytes);

#endif
