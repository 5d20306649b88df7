/* SPDX-License-Identifier: MIT */
/*
 * A scope owns tasks: it ends when all of them have. So no task is orphaned, and no error is lost.
 *
 * fail-fast   all: the first child that fails cancels its siblings; join returns its error
 * collect     all children run to their end; join returns the first error
 * supervise   a child's failure is reported and its siblings live on; join returns 0
 * race        the first child to end decides and cancels the others; join returns its result
 * any         the first to succeed decides and cancels the others; join returns its result, or the
 *             first error when all have failed
 *
 * A child's error is reported exactly once: to the joiner of its handle, else by what join returns
 * (the first one), else to on_failure; but race and any expect losers, and report none of them.
 * Ended children are freed at once. What the first failure was, and who decided, the scope tells:
 * struct weir_scope_outcome.
 *
 * Deadline and cancel go down.
 *  - When a scope is cancelled, each call in which one of its children is parked ends, and so does
 *    each later one, with -ECANCELED. At its deadline a scope is cancelled; join returns -ETIME.
 *  - A scope belongs to the task that created it, as long as that lives: when that task is
 *    cancelled, so is the scope, at once, wherever the task is parked. Thus the tree below a scope
 *    is cancelled as a whole, in one go. A scope made with `cancel_at_join` is left alone until the
 *    cancelled task joins it: for servers that let their clients finish, under a shield.
 *  - A shield (weir/task.h) keeps cancel and deadline from what is done and joined under it: the
 *    shielded task's scopes are cancelled when it leaves the shield.
 *  - Children, their children, their pool jobs and calls see the earliest deadline above them:
 *    weir_deadline_ns.
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
    WEIR_SCOPE_RACE,
    WEIR_SCOPE_ANY,
};

/* Zeroed means default. */
struct weir_scope_options {
    size_t size;      /* sizeof(struct weir_scope_options); 0 means the first version's */
    const char *name; /* copied, under WEIR_NAME_BYTES; NULL: "scope" */
    /* As weir_options.on_failure, for this scope's children; NULL: the runtime's. */
    void (*on_failure)(void *context, const struct weir_failure *failure);
    void *context;
    size_t
        limit; /* most children at once: spawn is refused or waits beyond; 0: as many as can be */
    int64_t duration_ns;  /* weir_scope_set_deadline, so long after the creation; 0: none */
    bool cancel_at_join;  /* its creator's cancel reaches it only in weir_scope_join */
    uint64_t reserved[3]; /* must be zero */
};

/* How a child ended, as its scope remembers it. */
struct weir_scope_end {
    int result;             /* what it returned */
    unsigned loop_index;    /* its home */
    void *arg;              /* what it was spawned with */
    const void *spawned_at; /* as in weir_failure */
    int64_t age_ns;         /* from its spawn to its end */
    char task_name[WEIR_NAME_BYTES];
    uint64_t reserved[2];
};

/* What a scope remembers of its children. Being cancelled is no failure. */
struct weir_scope_outcome {
    bool has_winner;               /* race and any: somebody decided */
    bool has_failure;              /* somebody failed, reported or not */
    struct weir_scope_end winner;  /* all zero when there is none */
    struct weir_scope_end failure; /* the first one; all zero when there is none */
    uint64_t reserved[4];
};

/* The bound of a scope with a limit. Without one only `children` counts. With a name, too, it is
 * seen in weir_queue_walk as well: "NAME" of "scope". */
struct weir_scope_stats {
    size_t children;         /* now */
    size_t children_max;     /* most at once */
    size_t waiting;          /* spawns parked for a place now */
    size_t waiting_max;      /* most at once */
    uint64_t spawns_refused; /* -EAGAIN at the limit */
    uint64_t spawns_waited;  /* had to park, and have gone on */
    uint64_t spawns_expired; /* -ETIME: no place within their wait_ns */
    uint64_t wait_ns;        /* sum over those that parked */
    uint64_t wait_max_ns;
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * Creates a scope in *scope. It must be joined, by one task or thread, once: one that is not ends
 * the process when the runtime ends, with its name and place.
 * Returns 0. Errors: -EINVAL, -E2BIG name too long, -ENOMEM; -ENXIO duration_ns outside of a task.
 */
WEIR_API WEIR_MUST_CHECK int
weir_scope_create(struct weir_scope **scope, enum weir_scope_kind kind,
                  const struct weir_scope_options *options) WEIR_ANY_THREAD;

/*
 * Waits until every child has ended, then frees the scope: a release call, always done. When the
 * deadline passes or the caller is cancelled first, the children are cancelled and waited for.
 * Returns 0, or the first child's error (fail-fast, collect), or the result of who decided (race,
 * any: >= 0, or an error of a race), or the first error when all failed (any).
 * Errors, unless a child decided: -ETIME this deadline or the scope's passed, -ECANCELED the
 * caller or the scope's creator was cancelled, and children had to be for it; -ENOENT nobody took
 * part in a race. -EINVAL without a scope; -EDEADLK from one of its own children.
 */
WEIR_API int weir_scope_join(struct weir_scope *scope,
                             int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* As weir_scope_join; *outcome (may be NULL) gets what weir_scope_read would tell at the end. */
WEIR_API int weir_scope_join_outcome(struct weir_scope *scope, struct weir_scope_outcome *outcome,
                                     int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* What the scope remembers by now. Returns 0, or -EINVAL. */
WEIR_API int weir_scope_read(struct weir_scope *scope,
                             struct weir_scope_outcome *outcome) WEIR_ANY_THREAD;

/*
 * Sets when the scope is cancelled, in place of the deadline it had; WEIR_FOREVER: never. Children
 * that are spawned from now on see it in weir_deadline_ns, unless an earlier one is above them.
 * Returns 0. Errors: -EINVAL; -ENXIO not in a task: a deadline is kept by the caller's loop;
 * -ENOMEM.
 */
WEIR_API WEIR_MUST_CHECK int weir_scope_set_deadline(struct weir_scope *scope, int64_t deadline_ns);

/* Cancels every child, and refuses new ones. Returns 0, or WEIR_ALREADY. */
WEIR_API int weir_scope_cancel(struct weir_scope *scope) WEIR_ANY_THREAD;

/* The number of children that have not ended. */
WEIR_API size_t weir_scope_count(struct weir_scope *scope) WEIR_ANY_THREAD;

/* One reading of the scope's bound. Returns 0, or -EINVAL. */
WEIR_API int weir_scope_read_stats(struct weir_scope *scope,
                                   struct weir_scope_stats *stats) WEIR_ANY_THREAD;

WEIR_END

#endif
