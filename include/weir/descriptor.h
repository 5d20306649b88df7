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
 * What has no position (pipes, ttys, eventfds, timerfds, signalfds, sockets) is read and written
 * on the ring; O_NONBLOCK makes no difference, and nothing raises SIGPIPE. Files have pread and
 * pwrite in <weir/file.h>; the calls here use and move the position of the open file, as POSIX has
 * it, on the pool. Open inotify and fanotify descriptors with their NONBLOCK flag (timerfds and
 * signalfds too before Linux 6.10, pipes before 6.4): without it the kernel reads them by a thread
 * of its own.
 *
 * Example:
 *     int revents = weir_poll(fd, POLLIN, weir_in_ms(100));
 *     ssize_t count = weir_read(fd, line, sizeof line, weir_in_ms(5000));
 */
#ifndef WEIR_DESCRIPTOR_H
#define WEIR_DESCRIPTOR_H

#include <sys/types.h>
#include <sys/uio.h>
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
 * Returns the events that are, or were while it waited: what they told of may have been read since,
 * and the kernel does not look again. POLLERR, POLLHUP and POLLRDHUP count unasked.
 * Errors: -EAGAIN, -ETIME none by then; -ECANCELED; -EBADF; -EBUSY in use on another loop.
 */
WEIR_API WEIR_MUST_CHECK int weir_poll(int fd, short events, int64_t deadline_ns) WEIR_SUSPENDS;

/* Makes a pipe: pair[0] to read from, pair[1] to write to, both close-on-exec; `flags` of pipe2(2)
 * (O_NONBLOCK is for others who use them: weir waits either way). Returns 0. Errors: pipe2(2);
 * -ECANCELED; -ENXIO not in a task. (weir_pipe is a stage, of flow.h.) */
WEIR_API WEIR_MUST_CHECK int weir_pipe2(int pair[2], int flags) WEIR_SUSPENDS;

/*
 * Reads what is there, once something is. Returns the number of bytes, 0 at the end: of a file, or
 * of a pipe that nobody writes any more.
 * Errors: read(2); -EINVAL a NULL or a size that cannot be; -EBADF also when weir_close ended it;
 * -EBUSY in use on another loop; -EAGAIN, -ETIME, -ECANCELED nothing was read.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_read(int fd, void *buffer, size_t bytes,
                                           int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Writes what there is room for, once there is; up to PIPE_BUF bytes go into a pipe as one. Returns
 * the number of bytes, which may be fewer than asked for.
 * Errors: write(2), -EPIPE nobody reads any more; else as weir_read, and nothing was written.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_write(int fd, const void *buffer, size_t bytes,
                                            int64_t deadline_ns) WEIR_SUSPENDS;

/* The same with several buffers, at most IOV_MAX. */
WEIR_API WEIR_MUST_CHECK ssize_t weir_readv(int fd, const struct iovec *vectors, int count,
                                            int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK ssize_t weir_writev(int fd, const struct iovec *vectors, int count,
                                             int64_t deadline_ns) WEIR_SUSPENDS;

/* Writes all. Returns `bytes`. After an error the first `*done_bytes` of them are written, the
 * others are not; NULL: not asked for. */
WEIR_API WEIR_MUST_CHECK ssize_t weir_write_all(int fd, const void *buffer, size_t bytes,
                                                size_t *done_bytes,
                                                int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
