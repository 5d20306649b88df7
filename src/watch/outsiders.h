/* SPDX-License-Identifier: MIT */
/* Whether somebody who is no task of a runtime may act on its channels. */
#ifndef WEIR_WATCH_OUTSIDERS_H
#define WEIR_WATCH_OUTSIDERS_H

#include <stdbool.h>

struct weir__runtime;

/*
 * A foreign loop that drives it, another runtime, a pool thread at work, or a thread that weir did
 * not start, beyond `known_count`: they cannot be told apart from those that never will. Reads
 * /proc; not on a loop's thread. When that cannot be read, there may be some.
 */
bool weir__outsiders_exist(struct weir__runtime *runtime, unsigned known_count);

#endif
