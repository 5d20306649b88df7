/* SPDX-License-Identifier: MIT */
/* A function that looks asynchronous, since it spawns a task; the task blocks all the same.
 * Repaired: the task parks. */
#include "gallery.h"

#include <unistd.h>

static int read_blocking(void *arg)
{
    char byte;

    return read(*(int *)arg, &byte, 1) == 1 ? byte : -1;
}

static int read_parked(void *arg)
{
    char byte;

    return weir_read(*(int *)arg, &byte, 1, WEIR_FOREVER) == 1 ? byte : -1;
}

static int read_async(weir_task_fn *fn, int *fd, struct weir_task **task)
{
    const struct weir_spawn_options options = { .name = "read_async", .task = task };

    return weir_spawn(weir_task_scope(), fn, fd, &options);
}

int wrong(void *arg)
{
    int fd = gallery_descriptor(), byte;
    struct weir_task *task;

    (void)arg;
    if (read_async(read_blocking, &fd, &task) < 0 || weir_join(task, &byte, WEIR_FOREVER) < 0)
        return -1;
    return byte >= 0 ? 0 : -1;
}

int repaired(void *arg)
{
    struct weir_task *task;
    int fds[2], byte;

    (void)arg;
    if (weir_pipe2(fds, 0) < 0 || read_async(read_parked, &fds[0], &task) < 0 ||
        weir_write(fds[1], "x", 1, WEIR_FOREVER) != 1 || weir_join(task, &byte, WEIR_FOREVER) < 0)
        return -1;
    weir_close(fds[0]);
    weir_close(fds[1]);
    return byte == 'x' ? 0 : -1;
}
