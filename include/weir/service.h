/* SPDX-License-Identifier: MIT */
/*
 * A service under systemd, or anything that speaks as it does: the sockets that it inherits, and
 * what it tells its manager. Without a manager the first finds none, and the second is a no-op.
 *
 * Example:
 *     int main(void)
 *     {
 *         int count = weir_inherited_take(sockets, 8);          before weir_run
 *         ...
 *         error = weir_listener_adopt(listener, sockets[0].fd);         in a task
 *         weir_notify("READY=1\nSTATUS=serving", weir_in_ms(100));
 */
#ifndef WEIR_SERVICE_H
#define WEIR_SERVICE_H

#include <weir/base.h>

enum weir_inherited_kind {
    WEIR_INHERITED_OTHER,    /* a file, a device, ... */
    WEIR_INHERITED_LISTENER, /* a socket that listens: for weir_listener_adopt */
    WEIR_INHERITED_STREAM,   /* one that is connected (Accept=yes) */
    WEIR_INHERITED_DATAGRAM, /* UDP, unix-domain datagrams, netlink */
    WEIR_INHERITED_PIPE,
};

struct weir_inherited {
    int fd; /* close-on-exec by now; for weir_close */
    enum weir_inherited_kind kind;
    char name[256]; /* FileDescriptorName=; "unknown" without one */
};

WEIR_BEGIN

/*
 * Takes what was handed to this process (LISTEN_FDS for LISTEN_PID, named by LISTEN_FDNAMES), and
 * removes those variables, so that no child believes it was meant. Changing the environment is not
 * safe beside other threads: call it before weir_run.
 * Returns how many, 0 when there are none. Errors, and then nothing is taken: -E2BIG more than
 * `max`; -EINVAL variables that make no sense; -EBADF one is not open.
 */
WEIR_API WEIR_MUST_CHECK int weir_inherited_take(struct weir_inherited *inherited, size_t max);

/* The first of that name and kind; NULL when there is none. */
WEIR_API const struct weir_inherited *
weir_inherited_find(const struct weir_inherited *inherited, size_t count, const char *name,
                    enum weir_inherited_kind kind) WEIR_ANY_THREAD;

/*
 * Tells the manager (NOTIFY_SOCKET) one or several lines of "NAME=value": READY=1, RELOADING=1,
 * STOPPING=1, STATUS=what people shall see, MAINPID=, WATCHDOG=1; see sd_notify(3).
 * Returns 1; 0 when there is nobody to tell. Errors: -EMSGSIZE above 4096 bytes; -EINVAL;
 * -EAFNOSUPPORT neither a path nor an abstract name; -EAGAIN, -ETIME its queue was full until then;
 * -ECANCELED; -ECONNREFUSED, -ENOENT it is gone; -ENXIO not in a task.
 */
WEIR_API int weir_notify(const char *lines, int64_t deadline_ns) WEIR_SUSPENDS;

/* Gives the manager a copy of a descriptor to keep over a restart (FDSTORE=1), to be inherited
 * under this name. Returns and errors: as weir_notify; -EBADF. */
WEIR_API int weir_notify_store(const char *name, int fd, int64_t deadline_ns) WEIR_SUSPENDS;

/* How often the manager wants to hear WATCHDOG=1, in ns: tell it twice as often. 0: never. */
WEIR_API int64_t weir_notify_watchdog_ns(void) WEIR_ANY_THREAD;

WEIR_END

#endif
