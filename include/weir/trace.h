/* SPDX-License-Identifier: MIT */
/*
 * The trace context of W3C (www.w3.org/TR/trace-context): which request work is done for. It is a
 * property of the task. Tasks that it spawns or detaches, pool jobs and the handlers of its calls
 * begin with a copy; a plain thread has one of its own.
 *
 * Example, in a server:
 *     struct weir_trace trace;
 *     if (weir_trace_parse(header, length, &trace) < 0 || weir_trace_set(&trace) < 0)
 *         weir_trace_begin(WEIR_TRACE_SAMPLED);
 *     weir_trace_child();
 */
#ifndef WEIR_TRACE_H
#define WEIR_TRACE_H

#include <weir/base.h>

enum weir_trace_flag {
    WEIR_TRACE_SAMPLED = 1 << 0, /* the only one that the standard defines */
};

#define WEIR_TRACEPARENT_LENGTH 55 /* of the header's value, without a final zero */

/* All zero: none. */
struct weir_trace {
    uint8_t trace_id[16]; /* the same for all that is done for one request */
    uint8_t span_id[8];   /* of one piece of it; "parent-id" in the header */
    uint8_t flags;        /* enum weir_trace_flag */
    uint8_t reserved[7];  /* zero */
};

WEIR_BEGIN

/* The caller's trace, in *trace. Returns 0, or -ENODATA when there is none (*trace is zeroed then);
 * -EINVAL. */
WEIR_API int weir_trace_get(struct weir_trace *trace) WEIR_ANY_THREAD;

/* Makes a copy of it the caller's trace; NULL ends it. Flags that the standard does not define are
 * left out. Returns 0, or -EINVAL when one of the two ids is zero. */
WEIR_API WEIR_MUST_CHECK int weir_trace_set(const struct weir_trace *trace) WEIR_ANY_THREAD;

/* The caller begins a new trace, with random ids. Returns 0, or -EINVAL for unknown flags. */
WEIR_API int weir_trace_begin(unsigned flags) WEIR_ANY_THREAD;

/* The caller goes on in a new span of the same trace. Returns 0, or -ENODATA without a trace. */
WEIR_API int weir_trace_child(void) WEIR_ANY_THREAD;

/*
 * Reads the value of a `traceparent` header. As the standard asks: lower case only, no zero ids,
 * not version ff; version 00 has exactly 55 characters, a later one may go on after a dash.
 * Returns 0, or -EINVAL; *trace is as it was then.
 */
WEIR_API WEIR_MUST_CHECK int weir_trace_parse(const char *text, size_t length,
                                              struct weir_trace *trace) WEIR_ANY_THREAD;

/* Writes the 55 characters of the header's value, of version 00, and a final zero. Returns 55, or
 * -EINVAL when one of the two ids is zero. */
WEIR_API WEIR_MUST_CHECK int
weir_trace_format(const struct weir_trace *trace,
                  char text[WEIR_TRACEPARENT_LENGTH + 1]) WEIR_ANY_THREAD;

WEIR_END

#endif
