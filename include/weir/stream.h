/* SPDX-License-Identifier: MIT */
/*
 * Streams: the fast handle above a connected socket (TCP, unix), a pipe or a tty. It reads ahead
 * and writes behind, and never loses a byte.
 *
 * Reading. Bytes are received as they come, before anybody asks, into buffers that all streams of
 * a loop share; a quiet connection holds none. Who does not read is not sent to: beyond its limit a
 * stream stops receiving, and the peer feels it. Reads of 16 KiB and more, and everything but TCP,
 * receive straight into the caller's memory.
 *
 * Writing. weir_stream_write gathers bytes in the stream's buffer. They go out together when the
 * buffer is full, at a flush, and at the latest before a read waits for the peer: so a server that
 * reads a request and writes an answer sends it once, and waits for nothing. What did not fit is
 * sent from the caller's memory. An error of what was sent behind is returned by the next write,
 * flush, end or close.
 *
 * What a deadline or a cancel interrupts has had no effect but for the bytes that it reports: what
 * was received stays in the stream, what was written stays in the buffer.
 *
 * One task may read and one may write at a time; others are refused (-EBUSY). A stream belongs to
 * the loop that first uses it, until weir_stream_hand_over.
 *
 * Errors of all: -EINVAL a NULL or a size that cannot be; -EBUSY another task does the same, or the
 * stream belongs to another loop; -EBADF the stream is being closed; -ECANCELED; -EAGAIN, -ETIME
 * not done by the deadline; -ENXIO not in a task; -ENOMEM. Those of recv(2), send(2) remain: each
 * later call on that side returns them again.
 *
 * Example:
 *     while ((count = weir_stream_read(stream, data, sizeof data, WEIR_FOREVER)) > 0)
 *         if (weir_stream_write(stream, data, (size_t)count, WEIR_FOREVER) < 0)
 *             break;
 *     error = weir_stream_close(stream, weir_in_ms(1000));
 */
#ifndef WEIR_STREAM_H
#define WEIR_STREAM_H

#include <sys/types.h>
#include <sys/uio.h>
#include <weir/base.h>
#include <weir/select.h>

struct weir_stream;

enum weir_stream_flag {
    WEIR_STREAM_PLAIN_RECEIVE = 1 << 0, /* receive only when a read asks for it */
    WEIR_STREAM_NO_ZERO_COPY = 1 << 1,  /* always copy what is sent */
};

/* Zeroed means default. */
struct weir_stream_options {
    size_t size;                /* sizeof(struct weir_stream_options); 0: the first version's */
    unsigned flags;             /* enum weir_stream_flag */
    size_t receive_limit_bytes; /* of buffers with bytes that nobody has read; 0: 64 KiB */
    size_t write_buffer_bytes;  /* 0: 16 KiB */
    size_t zero_copy_bytes;     /* a write of so many is sent without a copy; 0: 32 KiB */
    uint64_t reserved[4];       /* must be zero */
};

struct weir_stream_stats {
    uint64_t received_bytes;
    uint64_t sent_bytes;      /* that the kernel has taken */
    size_t unread_bytes;      /* received, not yet read */
    size_t unsent_bytes;      /* written, not yet taken by the kernel */
    unsigned receive_buffers; /* of the loop's, held by unread bytes */
    uint64_t arm_count;       /* receives ahead, started */
    uint64_t stop_count;      /* of them, ended at the limit */
    uint64_t plain_count;     /* receives into the caller's memory */
    uint64_t zero_copy_count; /* sends without a copy; those that were copied after all not */
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * Makes a stream of a connected descriptor, which is the stream's from now on. It has no home yet:
 * the loop that first uses it becomes its home.
 * Returns 0. Errors: -EINVAL bad options, or not a descriptor that a stream can have (a regular
 * file, a datagram socket, a listener); -EBADF; -ENOMEM. Then the descriptor is the caller's still.
 */
WEIR_API WEIR_MUST_CHECK int weir_stream_open(struct weir_stream **stream, int fd,
                                              const struct weir_stream_options *options);

/* The descriptor, for getsockopt(2) and the like; neither for I/O nor for closing. */
WEIR_API int weir_stream_fd(const struct weir_stream *stream);

/* Reads what is there, once something is. Returns the number of bytes; 0: the peer has ended. */
WEIR_API WEIR_MUST_CHECK ssize_t weir_stream_read(struct weir_stream *stream, void *buffer,
                                                  size_t bytes, int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Reads all of `bytes`. Returns their number, fewer only when the peer has ended before. On an
 * error nothing was read: what had come stays in the stream. (When the memory for that cannot be
 * had, the number of those that came is returned.)
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_stream_read_exactly(struct weir_stream *stream, void *buffer,
                                                          size_t bytes,
                                                          int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Reads up to and including the first `delimiter`. Returns the number of bytes; when the peer has
 * ended, what is left, without a delimiter, then 0.
 * Errors: -EMSGSIZE no delimiter within `bytes`, or within the receive limit; nothing was read.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_stream_read_until(struct weir_stream *stream, char delimiter,
                                                        void *buffer, size_t bytes,
                                                        int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Shows the next bytes where they lie, without reading them: at least `least` in one piece, fewer
 * only when the peer has ended. They stay valid until the next call that reads or consumes.
 * Returns the number of bytes in *bytes; 0: the peer has ended, and all is read.
 * Errors: -EMSGSIZE `least` is above the receive limit.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_stream_peek(struct weir_stream *stream, const void **bytes,
                                                  size_t least, int64_t deadline_ns) WEIR_SUSPENDS;

/* Takes bytes that a peek has shown, cancelled or not. Returns 0. Errors: -EINVAL more than are
 * there. */
WEIR_API int weir_stream_consume(struct weir_stream *stream, size_t bytes);

/*
 * Writes: into the buffer, or, what is too much for it, to the peer. Returns the number of bytes
 * that were taken: all, unless an error came after some; the next call returns it.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_stream_write(struct weir_stream *stream, const void *data,
                                                   size_t bytes, int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API WEIR_MUST_CHECK ssize_t weir_stream_writev(struct weir_stream *stream,
                                                    const struct iovec *vectors, int count,
                                                    int64_t deadline_ns) WEIR_SUSPENDS;

/* Waits until the kernel has taken what was written. Returns 0. On -ETIME the rest goes on. */
WEIR_API WEIR_MUST_CHECK int weir_stream_flush(struct weir_stream *stream,
                                               int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Sends bytes of a regular file, after what was written. Returns the number of bytes, fewer than
 * asked for at the end of the file, or when an error came after some.
 */
WEIR_API WEIR_MUST_CHECK ssize_t weir_stream_send_file(struct weir_stream *stream, int file_fd,
                                                       off_t offset, size_t bytes,
                                                       int64_t deadline_ns) WEIR_SUSPENDS;

/* Ends what is written: a flush, then the peer reads the end. Reading goes on. Returns 0. */
WEIR_API WEIR_MUST_CHECK int weir_stream_end(struct weir_stream *stream,
                                             int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Leaves this loop: the next one to use the stream becomes its home. Waits until what is being sent
 * has gone, and copies what was received. Returns 0. Errors: -EBUSY a task reads or writes.
 */
WEIR_API WEIR_MUST_CHECK int weir_stream_hand_over(struct weir_stream *stream,
                                                   int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * A clause for weir_select: ready when a read would not wait, for bytes, the end or an error. No
 * byte has moved: who wins reads with WEIR_NOW, and selects again after -EAGAIN. The select counts
 * as the stream's reader (-EBUSY). NULL disables it. Make it anew for each select.
 */
WEIR_API struct weir_clause weir_clause_stream(struct weir_stream *stream);

WEIR_API int weir_stream_read_stats(const struct weir_stream *stream,
                                    struct weir_stream_stats *stats);

/*
 * Closes. Calls of other tasks end first, with -EBADF. With time left, what was written is sent,
 * the end is told, and the peer's own end is waited for (what it still sends is dropped), so that
 * the peer has all of it. A release call: whatever happens, cancelled or not, the stream is closed
 * and gone. With WEIR_NOW it is closed at once.
 * Returns 0: the peer has ended too, or is no socket. Errors, all of them closed: -ETIME, -EAGAIN
 * not by the deadline; an error of what was sent behind; -EBUSY: of another loop, not closed.
 */
WEIR_API int weir_stream_close(struct weir_stream *stream, int64_t deadline_ns) WEIR_SUSPENDS;

/* Closes at once and drops what is unsent; a TCP peer sees a reset. Else as weir_stream_close. */
WEIR_API int weir_stream_abort(struct weir_stream *stream) WEIR_SUSPENDS;

WEIR_END

#endif
