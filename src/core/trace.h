/* SPDX-License-Identifier: MIT */
/* What a task hands on to those it starts, by copy; see weir__inherited_self in task.h. */
#ifndef WEIR_CORE_TRACE_H
#define WEIR_CORE_TRACE_H

#include <weir/trace.h>

struct weir__inherited {
    struct weir_trace trace;
    int64_t deadline_ns; /* of the call that is being handled; WEIR_FOREVER: none */
    enum weir_priority priority;
};

/* Without trace and deadline. */
extern const struct weir__inherited weir__inherited_nothing;

/* Of a thread that runs no task. */
extern __thread struct weir__inherited weir__inherited_of_thread
    __attribute__((tls_model("initial-exec")));

#endif
