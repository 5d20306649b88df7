/* SPDX-License-Identifier: MIT */
/*
 * Sends and receives that return at once and complete later, by a callback: for code that may not
 * park. Everything else is better written as a task.
 *
 * The caller gives the storage: the operation and its element stay in use from a start that
 * returned 0 until the callback is called, which happens exactly once, in the callback task of the
 * loop that started it: never inside the starting call, never under a lock. The callback may start
 * the same operation anew, and use, close or release the channel.
 *
 * How many may wait on one side of a channel is weir_chan_options.async_limit. When the runtime
 * ends, operations that still wait complete with -ECANCELED.
 *
 * Example:
 *     static int stored(struct weir_async *async, int result) { ... }
 *
 *     order->async = (struct weir_async){ .done = stored };
 *     int error = weir_chan_send_async(orders, &order->item, &order->async, weir_in_ms(5));
 */
#ifndef WEIR_ASYNC_H
#define WEIR_ASYNC_H

#include <weir/base.h>

struct weir_async;
struct weir_chan;

/* `result` is what the single call would have returned. A negative return is reported, as that of a
 * task of the name "async" that nobody joins; 0 otherwise. */
typedef int weir_async_fn(struct weir_async *async, int result);

struct weir_async {
    weir_async_fn *done;
    void *context;      /* the caller's */
    void *internal[28]; /* the library's while it waits */
};

WEIR_BEGIN

/*
 * Start an operation. The element is read, or written, before the callback is called.
 * Return 0: the callback will be called. Errors, after which it will not: -EINVAL; -ENOBUFS
 * async_limit operations wait on this side already; -ECANCELED the calling task is cancelled, or
 * the runtime ends; -ENXIO not in a task, so no loop could run the callback. It waits for nothing
 * but the drop callback, when the element, or another, goes there at once.
 */
WEIR_API WEIR_MUST_CHECK int weir_chan_send_async(struct weir_chan *chan, const void *elem,
                                                  struct weir_async *async, int64_t deadline_ns);
WEIR_API WEIR_MUST_CHECK int weir_chan_recv_async(struct weir_chan *chan, void *elem,
                                                  struct weir_async *async, int64_t deadline_ns);

/*
 * Asks a started operation to end: its callback gets -ECANCELED. Returns 0, or WEIR_ALREADY when it
 * had been decided before; the callback is called in either case. Not after the callback has begun.
 */
WEIR_API int weir_async_cancel(struct weir_async *async) WEIR_ANY_THREAD;

WEIR_END

#endif
