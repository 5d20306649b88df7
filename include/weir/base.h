/* SPDX-License-Identifier: MIT */
/*
 * What every call shares: results, deadlines, marks.
 *
 * Results. A call returns `>= 0`, or `-errno`. errno itself is never used: it belongs to the
 * thread, and another task may have run since. The effect happened if and only if the call reports
 * success: a cancel or a deadline that lost the race does not hide a success.
 *
 * Deadlines. The last argument is an absolute CLOCK_MONOTONIC time in ns. WEIR_NOW tries and
 * returns -EAGAIN where it would have parked; WEIR_FOREVER waits; a deadline that passed is -ETIME
 * (-ETIMEDOUT stays TCP's own). CLOCK_MONOTONIC stands still while the machine is suspended.
 *
 * Cancellation. A call in a cancelled task fails with -ECANCELED before it has any effect. Release
 * calls (close, release, scope join) ignore cancellation and are always done.
 *
 * Example:
 *     int error = weir_sleep(weir_in_ms(20));
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define WEIR_BEGIN extern "C" {
#define WEIR_END   }
#else
#define WEIR_BEGIN
#define WEIR_END
#endif

#define WEIR_API        __attribute__((visibility("default")))
#define WEIR_MUST_CHECK __attribute__((warn_unused_result))

/* May suspend the calling task: other tasks of its loop run meanwhile. Never under a mutex. */
#define WEIR_SUSPENDS
/* Any thread may call it, also one that weir did not start; there it blocks where a task parks. */
#define WEIR_ANY_THREAD

#define WEIR_VERSION_MAJOR 0
#define WEIR_VERSION_MINOR 1
#define WEIR_VERSION_PATCH 0

#define WEIR_NOW     ((int64_t)0)
#define WEIR_FOREVER INT64_MAX

/* Positive results with a meaning of their own. */
enum weir_result {
    WEIR_DROPPED = 1, /* send: accepted, and one element went to the drop callback */
    WEIR_ALREADY = 2, /* close, abort, cancel: it was done before */
};

/* What to do when a bounded queue is full. */
enum weir_when_full {
    WEIR_WHEN_FULL_PARK,   /* wait in order, as long as the call's own deadline allows */
    WEIR_WHEN_FULL_REFUSE, /* fail at once with -EBUSY */
    WEIR_WHEN_FULL_EXPIRE, /* wait in order, at most for the queue's own limit, then -ETIME */
};

/*
 * Who goes first where many wait: among the ready, for room for one more task, for a thread of a
 * pool, for the right to submit. Each class gets its share (weir_options.share_latency and those
 * after it), so that none waits for ever; one that does not use its own leaves it to the others.
 * Children, calls and jobs inherit it.
 *
 * A channel is one line, whoever waits there, and so are a port, the places of a scope and the
 * connections of a listener: what is more urgent gets one of its own.
 */
enum weir_priority {
    WEIR_PRIORITY_NORMAL = 0,
    WEIR_PRIORITY_LATENCY,    /* short, and somebody waits for it */
    WEIR_PRIORITY_BACKGROUND, /* whenever there is time, and a little always */
    WEIR_PRIORITY_COUNT,
};

/* Where the time of a call goes; what a deadline that passed was spent on. */
enum weir_phase {
    WEIR_PHASE_NONE,
    WEIR_PHASE_TASK,             /* parked until another task, or thread, acts */
    WEIR_PHASE_TIMER,            /* asleep by its own wish */
    WEIR_PHASE_READY_QUEUE,      /* could have run, but its loop was busy */
    WEIR_PHASE_SPAWN_QUEUE,      /* waiting for room for a task */
    WEIR_PHASE_SUBMISSION_QUEUE, /* waiting for the right to have one operation more in flight */
    WEIR_PHASE_POOL_QUEUE,       /* waiting for a thread of a pool */
    WEIR_PHASE_POOL,             /* a thread of a pool runs it */
    WEIR_PHASE_DEVICE,           /* the kernel works on a file */
    WEIR_PHASE_PEER,             /* the kernel waits for the other end of a connection */
    WEIR_PHASE_COUNT,
};

WEIR_BEGIN

/* The time in ns on the clock that deadlines use. Reads the clock. */
WEIR_API int64_t weir_now_ns(void) WEIR_ANY_THREAD;

/*
 * A deadline that lies a duration ahead. Reads the clock (about ten stack switches): a deadline
 * computed once can be passed to many calls. Saturates: a huge duration is WEIR_FOREVER, one that
 * is not positive has passed, and none ever equals WEIR_NOW.
 */
WEIR_API int64_t weir_in_ns(int64_t duration_ns) WEIR_ANY_THREAD;
WEIR_API int64_t weir_in_us(int64_t duration_us) WEIR_ANY_THREAD;
WEIR_API int64_t weir_in_ms(int64_t duration_ms) WEIR_ANY_THREAD;
WEIR_API int64_t weir_in_seconds(int64_t duration_s) WEIR_ANY_THREAD;

/* The name of a result code, such as "EPIPE"; never NULL. Negative and positive codes alike. */
WEIR_API const char *weir_error_name(int64_t error) WEIR_ANY_THREAD;

/*
 * Whether an accept that failed so may succeed when tried again: the peer left, or descriptors or
 * memory ran out for a while (-ECONNABORTED, -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM, the network
 * errors of accept(2)). Pause before the next try, or a lack of descriptors becomes a busy loop; or
 * use a weir_listener, which does.
 */
WEIR_API bool weir_is_transient(int64_t error) WEIR_ANY_THREAD;

/* The version of the library that runs, as "0.1.0". */
WEIR_API const char *weir_version(void) WEIR_ANY_THREAD;

WEIR_END

#endif
