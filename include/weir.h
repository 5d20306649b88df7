/* SPDX-License-Identifier: MIT */
/*
 * weir: tasks that park, never block, on channels and on file and socket I/O.
 *
 * The chapters, in reading order. What all calls share is said at the head of weir/base.h.
 */
#ifndef WEIR_H
#define WEIR_H

#include <weir/async.h>
#include <weir/attribute.h>
#include <weir/base.h>
#include <weir/blocking.h>
#include <weir/branch.h>
#include <weir/breaker.h>
#include <weir/bucket.h>
#include <weir/buffer.h>
#include <weir/call.h>
#include <weir/chain.h>
#include <weir/chan.h>
#include <weir/child.h>
#include <weir/copy.h>
#include <weir/datagram.h>
#include <weir/describe.h>
#include <weir/descriptor.h>
#include <weir/dial.h>
#include <weir/direct.h>
#include <weir/directory.h>
#include <weir/dump.h>
#include <weir/embed.h>
#include <weir/events.h>
#include <weir/file.h>
#include <weir/file_lock.h>
#include <weir/flow.h>
#include <weir/for_each.h>
#include <weir/limiter.h>
#include <weir/listen.h>
#include <weir/listener.h>
#include <weir/local.h>
#include <weir/mix.h>
#include <weir/mult.h>
#include <weir/mutex.h>
#include <weir/path.h>
#include <weir/pipeline.h>
#include <weir/pool.h>
#include <weir/pub.h>
#include <weir/queue.h>
#include <weir/resolve.h>
#include <weir/retry.h>
#include <weir/runtime.h>
#include <weir/scope.h>
#include <weir/select.h>
#include <weir/semaphore.h>
#include <weir/service.h>
#include <weir/shed.h>
#include <weir/signal.h>
#include <weir/socket.h>
#include <weir/socket_option.h>
#include <weir/stage.h>
#include <weir/stall.h>
#include <weir/stats.h>
#include <weir/stream.h>
#include <weir/task.h>
#include <weir/ticker.h>
#include <weir/trace.h>
#include <weir/unix.h>
#include <weir/watch.h>
#include <weir/watchdog.h>
#include <weir/whole.h>

#endif
