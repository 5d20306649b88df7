/* SPDX-License-Identifier: MIT */
/*
 * Descriptors are plain numbers, and weir's calls are their POSIX twins. What is added:
 *
 * A pollable descriptor (socket, pipe) has a home: the loop that does I/O on it. When it is idle,
 * the next loop to use it becomes its home; while operations are in flight on one loop, another's
 * calls fail with -EBUSY. Regular files may be used from any loop at any time.
 *
 * Close descriptors that were used with weir by weir_close, or tell weir_forget after close(2).
 * All calls here and in the chapters on files and sockets need a task: elsewhere they return
 * -ENXIO.
 *
 * Example:
 *     int revents = weir_poll(fd, POLLIN, weir_in_ms(100));
 */
#ifndef WEIR_DESCRIPTOR_H
#define WEIR_DESCRIPTOR_H

#include <weir/base.h>

WEIR_BEGIN

/*
 * Closes: ends what is in flight on the descriptor first (those calls return -EBADF) and waits for
 * it, so no operation steals a byte afterwards or lands on a reused number. A release call: done
 * whether the task is cancelled or not. Sockets without SO_LINGER, and pipes, close at once; the
 * rest on the pool, since it may block.
 * Returns 0.
 * Errors: -EBADF; -EBUSY operations of another loop are in flight, nothing was closed; -EIO and
 * the like from close(2), after which it is closed all the same.
 */
WEIR_API int weir_close(int fd) WEIR_SUSPENDS;

/* Tells weir that the number no longer stands for what it did: it was closed or given away behind
 * its back. Nothing may be in flight on it. */
WEIR_API void weir_forget(int fd) WEIR_ANY_THREAD;

/*
 * Waits until one of `events` (POLLIN, POLLOUT, ... of poll(2)) is true of the descriptor.
 * Returns the events that are; POLLERR, POLLHUP and POLLRDHUP count unasked.
 * Errors: -EAGAIN, -ETIME none by then; -ECANCELED; -EBADF; -EBUSY in use on another loop.
 */
WEIR_API WEIR_MUST_CHECK int weir_poll(int fd, short events, int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
