/* SPDX-License-Identifier: MIT */
/*
 * Several functions at once, each in a task of its own, and one call that waits for them.
 *
 * weir_all    until each has succeeded; the first error cancels the others
 * weir_race   until the first has ended; the others are cancelled
 * weir_any    until the first has succeeded; the others are cancelled
 *
 * None of them returns before all of their tasks have ended, so what the functions use may lie on
 * the caller's stack. What each function returned stands in its branch afterwards: a loser that
 * succeeded nevertheless says so there, and each error is told, reported to nobody else.
 *
 * They are scopes (weir/scope.h): what is said there of deadlines, cancel and shields holds here.
 *
 * Example: a reply from whichever replica is first.
 *     struct weir_branch branches[] = {
 *         { .fn = ask, .arg = &replicas[0] },
 *         { .fn = ask, .arg = &replicas[1] },
 *     };
 *     int won = weir_any(branches, 2, weir_in_ms(50));
 *     if (won >= 0)
 *         use(&replicas[won]);
 */
#ifndef WEIR_BRANCH_H
#define WEIR_BRANCH_H

#include <weir/base.h>
#include <weir/task.h>

struct weir_branch {
    weir_task_fn *fn;
    void *arg;
    const char *name; /* of the task; copied, under WEIR_NAME_BYTES; NULL: "branch" */
    int result;       /* out: what fn returned; if it was not begun, -ECANCELED or why not */
    uint64_t reserved[2];
};

WEIR_BEGIN

/*
 * Runs all of them, on the caller's loop, until the deadline at the latest. A cancel, the deadline,
 * and a task that could not be had cancel those that run.
 * Returns 0 when each has succeeded.
 * Errors: the first one of a branch; -ETIME, -ECANCELED; those of weir_spawn: not all were begun;
 * -EINVAL; -E2BIG; -ENXIO not in a task; -ENOMEM.
 * Owns: the branches stay the caller's, and are in use until the call returns.
 */
WEIR_API WEIR_MUST_CHECK int weir_all(struct weir_branch *branches, size_t count,
                                      int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * The same until the first has ended, in whichever way.
 * Returns the index of that branch, whose `result` may be an error.
 * Errors: as weir_all, when no branch has ended by itself, nor succeeded after all; -EINVAL also
 * for none at all.
 */
WEIR_API WEIR_MUST_CHECK int weir_race(struct weir_branch *branches, size_t count,
                                       int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * The same until the first has succeeded.
 * Returns the index of that branch.
 * Errors: the first error when all have failed; otherwise as weir_race.
 */
WEIR_API WEIR_MUST_CHECK int weir_any(struct weir_branch *branches, size_t count,
                                      int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
