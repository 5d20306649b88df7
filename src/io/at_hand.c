/* SPDX-License-Identifier: MIT */
/*
 * A path is looked at through O_PATH, which has no effect on what is there, with RESOLVE_CACHED:
 * the kernel resolves it in its dentry cache or not at all. What it found holds its inode in
 * memory.
 */
#include "io/at_hand.h"

#include "base/kernel.h"
#include "core/loop.h"
#include "io/descriptor.h"
#include "pool/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { READY_FEW = 2 }; /* so many others may wait for the loop */

/* Measured with 64 tasks on two CPUs. Open, read and close: 50 k/s at 25 us of CPU with a look at
 * each path, 105 k/s at 17 us with none, 123 k/s at 14.5 us so. statx: 180, 470 and 450 k/s. */
bool weir__at_hand_pays(const struct weir__op *op)
{
    const struct weir__loop *loop = weir__loop_current;
    const struct weir__mail *ready = loop->ready.head;
    enum weir__pool_load load = weir__pool_load(loop->runtime->pool);

    if (op->deadline_ns == WEIR_NOW || load == WEIR__POOL_CROWDED)
        return true;
    for (unsigned count = 0; ready && count < READY_FEW; count++)
        ready = ready->next;
    return load == WEIR__POOL_IDLE && !ready;
}

int weir__at_hand_statx(int dir_fd, const char *path, int open_flags, unsigned mask,
                        struct statx *file)
{
    int fd = weir__kernel_open_cached(dir_fd, path, O_PATH | O_CLOEXEC | open_flags);
    int error;

    if (fd < 0)
        return -EAGAIN; /* whatever it is, the pool's call decides */
    error = weir__kernel_statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, mask, file);
    weir__kernel_close(fd);
    /* Elsewhere (remote, stacked, in user space) anybody may be asked. */
    if (error < 0 || !weir__descriptor_is_local(file->stx_dev_major, file->stx_dev_minor))
        return -EAGAIN;
    return 0;
}
