/* SPDX-License-Identifier: MIT */
/*
 * A scope owns tasks: it ends when all of them have. So no task is orphaned, and no error is lost.
 *
 * fail-fast   the first child that fails cancels its siblings, and its error is what join returns
 * collect     all children run to their end; join returns the first error
 * supervise   a child's failure is reported and its siblings live on; join returns 0
 *
 * A child's error is reported exactly once: to the joiner of its handle, else by what join returns
 * (fail-fast and collect, first error), else to on_failure. Ended children are freed at once.
 *
 * Example:
 *     struct weir_scope *scope;
 *     int error = weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL);
 *     if (error >= 0) {
 *         error = weir_spawn(scope, left, &job, NULL);
 *         if (error >= 0)
 *             error = weir_spawn(scope, right, &job, NULL);
 *         int joined = weir_scope_join(scope, weir_in_ms(100));
 *         error = error < 0 ? error : joined;
 *     }
 */
#ifndef WEIR_SCOPE_H
#define WEIR_SCOPE_H

#include <weir/base.h>
#include <weir/runtime.h>

struct weir_scope;

enum weir_scope_kind {
    WEIR_SCOPE_FAIL_FAST,
    WEIR_SCOPE_COLLECT,
    WEIR_SCOPE_SUPERVISE,
};

/* Zeroed means default. */
struct weir_scope_options {
    size_t size;      /* sizeof(struct weir_scope_options); 0 means the first version's */
    const char *name; /* copied, under WEIR_NAME_BYTES; NULL: "scope" */
    /* As weir_options.on_failure, for this scope's children; NULL: the runtime's. */
    void (*on_failure)(void *context, const struct weir_failure *failure);
    void *context;
    size_t limit;         /* most children at once: spawn is refused beyond; 0: as many as can be */
    uint64_t reserved[3]; /* must be zero */
};

WEIR_BEGIN

/*
 * Creates a scope in *scope. It must be joined, by one task or thread, once.
 * Returns 0. Errors: -EINVAL, -E2BIG name too long, -ENOMEM.
 */
WEIR_API WEIR_MUST_CHECK int
weir_scope_create(struct weir_scope **scope, enum weir_scope_kind kind,
                  const struct weir_scope_options *options) WEIR_ANY_THREAD;

/*
 * Waits until every child has ended, then frees the scope: a release call, always done. When the
 * deadline passes or the caller is cancelled first, the children are cancelled and waited for.
 * Returns 0, or the first child's error (fail-fast, collect), or -ETIME, or -ECANCELED when the
 * wait had to cancel children. -EINVAL without a scope; -EDEADLK from one of its own children.
 */
WEIR_API int weir_scope_join(struct weir_scope *scope,
                             int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Cancels every child, and refuses new ones. Returns 0, or WEIR_ALREADY. */
WEIR_API int weir_scope_cancel(struct weir_scope *scope) WEIR_ANY_THREAD;

/* The number of children that have not ended. */
WEIR_API size_t weir_scope_count(struct weir_scope *scope) WEIR_ANY_THREAD;

WEIR_END

#endif
