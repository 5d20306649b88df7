/* SPDX-License-Identifier: MIT */
/*
 * The deadline of a scope: a timer on the wheel of the loop that set it, which any thread may take
 * back. Its memory goes on that loop only, so neither side waits for the other.
 */
#ifndef WEIR_CORE_ALARM_H
#define WEIR_CORE_ALARM_H

#include <stdint.h>

struct weir__alarm;
struct weir_scope;

/* On a loop: at the deadline the scope is cancelled, with -ETIME. NULL without memory. */
struct weir__alarm *weir__alarm_create(struct weir_scope *scope, int64_t deadline_ns);

/* Any thread, outside of the scope's lock: from here on the alarm does not touch the scope. */
void weir__alarm_end(struct weir__alarm *alarm);

#endif
