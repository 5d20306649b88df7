/* SPDX-License-Identifier: MIT */
/*
 * Watches on the file system: an inotify descriptor, and a task that copies its events into
 * records. The descriptor lives as long as the watch, not as the task, so that an add on another
 * thread never meets a number that stands for something else.
 */
#include "base/error.h"
#include "base/kernel.h"
#include "base/memory.h"
#include "core/loop.h"
#include "io/descriptor.h"
#include "pool/pool.h"

#include <weir/chan.h>
#include <weir/descriptor.h>
#include <weir/select.h>
#include <weir/task.h>
#include <weir/watch.h>

#include <errno.h>
#include <string.h>

enum { BATCH_BYTES = 4096 }; /* 13 of the longest events, on the task's stack */

_Static_assert(sizeof(struct weir_watch_event) == 272, "a record is as long as the chapter says");

struct weir_watch {
    int fd;
    struct weir_chan *output; /* a reference */
    struct weir_task *task;
    atomic_bool ended; /* the task has, or is about to */
};

static int send_event(struct weir_watch *watch, const struct inotify_event *event)
{
    struct weir_watch_event record = {
        .id = event->wd,
        .mask = event->mask,
        .cookie = event->cookie,
    };

    if (event->len) /* filled up with zeros by the kernel */
        strncpy(record.name, event->name, sizeof record.name - 1);
    return weir_chan_send(watch->output, &record, WEIR_FOREVER);
}

static int send_batch(struct weir_watch *watch, const char *bytes, size_t count)
{
    int error = 0;

    for (size_t at = 0; at < count && error >= 0;) {
        const struct inotify_event *event = (const void *)(bytes + at);

        error = send_event(watch, event);
        at += sizeof *event + event->len;
    }
    return error;
}

enum { OUTPUT_END, EVENTS, CLAUSE_COUNT };

/* Until the output ends, or an error comes. */
static int send_events(struct weir_watch *watch)
{
    char bytes[BATCH_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));
    struct weir_clause clauses[CLAUSE_COUNT] = {
        [OUTPUT_END] = weir_clause_closed(watch->output),
        [EVENTS] = weir_clause_readable(watch->fd),
    };
    int64_t count = 0;

    for (;;) {
        int won = weir_select(clauses, CLAUSE_COUNT, WEIR_SELECT_PRIORITY, WEIR_FOREVER);
        int error = won < 0 ? won : clauses[won].result;

        if (won == OUTPUT_END)
            return 0;
        if (error >= 0) {
            count = weir__kernel_read(watch->fd, bytes, sizeof bytes);
            error = count < 0 ? (int)count : send_batch(watch, bytes, (size_t)count);
        }
        if (error == -EPIPE)
            return 0;
        if (error < 0 && error != -EAGAIN)
            return error;
    }
}

static int run(void *arg)
{
    struct weir_watch *watch = arg;
    int error = send_events(watch);

    /* relaxed: a hint for those who add; the join orders the rest */
    if (!atomic_exchange_explicit(&watch->ended, true, memory_order_relaxed))
        weir_chan_close(watch->output, error);
    return error;
}

static void destroy(struct weir_watch *watch)
{
    weir_chan_release(watch->output);
    weir__memory_free(watch);
}

static int explain(int error)
{
    if (error == -EMFILE)
        return weir__error_explain(error,
                                   "inotify_init1: EMFILE: no descriptor is free (ulimit -n), or "
                                   "the user has as many instances as allowed: raise "
                                   "fs.inotify.max_user_instances");
    if (error == -ENOSPC)
        return weir__error_explain(error, "inotify_add_watch: ENOSPC: the user watches as many "
                                          "paths as allowed: raise fs.inotify.max_user_watches");
    return error;
}

int weir_watch_open(struct weir_watch **out, struct weir_chan *output, struct weir_scope *scope)
{
    struct weir_watch *watch;
    struct weir_spawn_options spawn = { .name = "watch" };
    int error;

    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    if (!out || !output || !scope || weir_chan_elem_size(output) != sizeof(struct weir_watch_event))
        return -EINVAL;
    watch = weir__memory_zalloc(NULL, sizeof *watch);
    if (!watch)
        return -ENOMEM;
    watch->output = weir_chan_retain(output);
    watch->fd = weir__kernel_inotify_init();
    if (watch->fd < 0) {
        error = watch->fd;
        destroy(watch);
        return explain(error);
    }
    weir__descriptor_forget(watch->fd);
    spawn.task = &watch->task;
    error = weir_spawn(scope, run, watch, &spawn);
    if (error < 0) {
        weir_close(watch->fd);
        destroy(watch);
        return error;
    }
    *out = watch;
    return 0;
}

/* An add, as a job of the pool. */
struct addition {
    int fd;
    const char *path;
    uint32_t mask;
};

static int add_on_pool(void *arg)
{
    const struct addition *addition = arg;

    return weir__kernel_inotify_add(addition->fd, addition->path, addition->mask);
}

int weir_watch_add(struct weir_watch *watch, const char *path, uint32_t mask, int64_t deadline_ns)
{
    struct addition addition = { .path = path, .mask = mask };

    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    if (!watch || !path)
        return -EINVAL;
    if (atomic_load_explicit(&watch->ended, memory_order_relaxed))
        return -EPIPE;
    addition.fd = watch->fd;
    return explain(
        weir__pool_call(weir__loop_current->runtime->pool, add_on_pool, &addition, deadline_ns));
}

int weir_watch_remove(struct weir_watch *watch, int id)
{
    if (weir__loop_forked)
        return -EOWNERDEAD;
    return watch ? weir__kernel_inotify_remove(watch->fd, id) : -EINVAL;
}

int weir_watch_close(struct weir_watch *watch)
{
    if (!watch)
        return 0;
    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    atomic_store_explicit(&watch->ended, true, memory_order_relaxed);
    weir_task_cancel(watch->task);
    weir_shield_enter();
    if (weir_join(watch->task, NULL, WEIR_FOREVER) < 0)
        weir_task_release(watch->task);
    weir_shield_leave();
    weir_close(watch->fd);
    destroy(watch);
    return 0;
}
