/* SPDX-License-Identifier: MIT */
/* What of a path is at hand: known without waiting for a disk or a server. */
#ifndef WEIR_IO_AT_HAND_H
#define WEIR_IO_AT_HAND_H

#include "io/op.h"

#include <stdbool.h>

struct statx;

/*
 * Whether looking pays: the calls that it takes cost the loop more than handing the op to the pool.
 * So it does for a task that is alone, whom the way there and back would cost the more, and when
 * the pool has no thread to spare; not when others are ready to run. A try (WEIR_NOW) always looks.
 */
bool weir__at_hand_pays(const struct weir__op *op);

/*
 * What the path leads to, if the dentry cache knows it and it is on a local disk. `open_flags` are
 * O_NOFOLLOW and O_DIRECTORY, `mask` of STATX_*. Returns 0, or -EAGAIN.
 */
int weir__at_hand_statx(int dir_fd, const char *path, int open_flags, unsigned mask,
                        struct statx *file);

#endif
