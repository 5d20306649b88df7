/* SPDX-License-Identifier: MIT */
/* What a deadline that passed was spent on; the rule is told at weir_expired_phase. */
#ifndef WEIR_CORE_EXPIRY_H
#define WEIR_CORE_EXPIRY_H

#include <weir/base.h>

#include <stdint.h>

struct weir__loop;
struct weir_task;

/* A call of the loop's current task returns -ETIME, and its time went there. */
void weir__expiry_note(struct weir__loop *loop, enum weir_phase phase);

/* The same, of a call whose deadline had passed when it began; also on a plain thread. */
void weir__expiry_note_refused(int64_t deadline_ns);

/* The task's call begins with a deadline that has passed, and tries all the same: as below. */
void weir__expiry_came_before(struct weir_task *task, int64_t deadline_ns);

/* Home loop, from its wheel: the deadline has passed, and the task's wait was asked to end. Keeps
 * in `late_phase` what it was spent on. */
void weir__expiry_came(struct weir_task *task, int64_t deadline_ns);

#endif
