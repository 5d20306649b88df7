/* SPDX-License-Identifier: MIT */
/* What the runtime must know of async operations. */
#ifndef WEIR_SYNC_ASYNC_H
#define WEIR_SYNC_ASYNC_H

struct weir__loop;

/* On the loop's main task, when no other task is left: ends what still waits, refuses what would
 * come, and returns when every callback has run, while all loops still do. */
void weir__async_stop(struct weir__loop *loop);

#endif
