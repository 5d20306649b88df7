/* SPDX-License-Identifier: MIT */
/* What a task hands on to those it starts, by copy; see weir__inherited_self in task.h
 * and weir__inherited_replace in local.h. */
#ifndef WEIR_CORE_TRACE_H
#define WEIR_CORE_TRACE_H

#include <weir/trace.h>

struct weir__locals;

struct weir__inherited {
    struct weir_trace trace;
    int64_t deadline_ns;         /* the earliest of scopes and calls above; WEIR_FOREVER: none */
    struct weir__locals *locals; /* with a reference, but in a call; NULL: none */
    enum weir_priority priority;
};

/* Without trace and deadline. */
extern const struct weir__inherited weir__inherited_nothing;

/* Of a thread that runs no task. */
extern __thread struct weir__inherited weir__inherited_of_thread
    __attribute__((tls_model("initial-exec")));

#endif
