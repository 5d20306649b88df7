/* SPDX-License-Identifier: MIT */
/*
 * Watches on the file system: what happens to files and directories, as records in a channel. One
 * watch stands for as many paths as wanted, each under a number; see inotify(7) for what the kernel
 * tells, and what it does not (network file systems, mapped writes).
 *
 * A directory's watch covers its entries, not those below: what appears between mkdir and the next
 * add would be missed without a word, so weir does not pretend. Add directories as they appear, and
 * then list them.
 *
 * When the kernel's queue is full (fs.inotify.max_queued_events, 16384) it drops what follows, and
 * a record with WEIR_WATCH_OVERFLOW says so: look at everything again. A channel that parks leaves
 * events in that queue; one that drops counts them.
 *
 * Example:
 *     struct weir_watch *watch;
 *     int error = weir_watch_open(&watch, events, scope);
 *     int id = weir_watch_add(watch, "/etc/service", IN_CLOSE_WRITE | IN_MOVED_TO, WEIR_FOREVER);
 *     struct weir_watch_event event;
 *     while (weir_chan_recv(events, &event, WEIR_FOREVER) >= 0)
 *         reload(event.id, event.name);
 */
#ifndef WEIR_WATCH_H
#define WEIR_WATCH_H

#include <sys/inotify.h>
#include <weir/base.h>

struct weir_chan;
struct weir_scope;
struct weir_watch;

#define WEIR_WATCH_OVERFLOW IN_Q_OVERFLOW

struct weir_watch_event {
    int id;            /* the number of its path; -1: overflow */
    uint32_t mask;     /* what happened: one of IN_*, and IN_ISDIR, IN_IGNORED, IN_UNMOUNT */
    uint32_t cookie;   /* the same in both halves of a rename */
    uint32_t reserved; /* zero */
    char name[256];    /* of the entry of a watched directory; "" for the path itself */
};

WEIR_BEGIN

/*
 * Sends a struct weir_watch_event to `output` for each event of the paths that will be added: a
 * task of `scope`. It ends with 0 when the output is closed; when it is cancelled, it closes the
 * output with -ECANCELED. Events it had read by then are lost.
 * Returns 0 with the watch in *watch. Errors: -EINVAL also elements of another size; -EMFILE no
 * descriptor, or no more instances (fs.inotify.max_user_instances; weir_last_error says which);
 * -ENOMEM; -ENXIO not in a task; those of weir_spawn.
 */
WEIR_API WEIR_MUST_CHECK int weir_watch_open(struct weir_watch **watch, struct weir_chan *output,
                                             struct weir_scope *scope) WEIR_SUSPENDS;

/*
 * Adds a path, or changes the mask of one that is there; `mask` of IN_*, IN_ONLYDIR, IN_DONT_FOLLOW
 * and so on. Walks the path on the pool.
 * Returns its number. Errors: inotify_add_watch(2), such as -ENOENT, -EACCES, and -ENOSPC for the
 * user's limit (fs.inotify.max_user_watches); -EPIPE the task has ended; -ETIME, -EAGAIN, -EBUSY,
 * -ECANCELED not begun.
 */
WEIR_API WEIR_MUST_CHECK int weir_watch_add(struct weir_watch *watch, const char *path,
                                            uint32_t mask, int64_t deadline_ns) WEIR_SUSPENDS;

/* Removes a path; a record with IN_IGNORED is the last of it. Returns 0. Errors: -EINVAL no such
 * number. */
WEIR_API int weir_watch_remove(struct weir_watch *watch, int id) WEIR_SUSPENDS;

/* Ends the task, and frees the watch: a release call. The output stays open if the task ends only
 * now. Returns 0; -ENXIO not in a task. NULL is fine. */
WEIR_API int weir_watch_close(struct weir_watch *watch) WEIR_SUSPENDS;

WEIR_END

#endif
