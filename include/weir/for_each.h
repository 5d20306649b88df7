/* SPDX-License-Identifier: MIT */
/*
 * A function for each of many items, several at once, but never more than a bound: a parallel loop.
 *
 * A few tasks take the items, in order; each is done by one of them. So a million items cost no
 * more memory than `parallelism` tasks. The first error ends the loop: items that are under way are
 * cancelled, others are not begun; or, with `collect`, all are done whatever becomes of them.
 *
 * Each item begins with the caller's trace and task-local values. The loop is a scope
 * (weir/scope.h): what is said there of deadlines, cancel and shields holds here.
 *
 * Example:
 *     static int fetch(size_t index, void *pages)
 *     {
 *         return fetch_page(&((struct page *)pages)[index]);
 *     }
 *
 *     struct weir_for_each_options options = { .parallelism = 8 };
 *     int error = weir_for_each(page_count, fetch, pages, &options, weir_in_seconds(10));
 */
#ifndef WEIR_FOR_EACH_H
#define WEIR_FOR_EACH_H

#include <weir/base.h>
#include <weir/task.h>

/* Does item `index`. Returns >= 0, or an error. */
typedef int weir_item_fn(size_t index, void *context);

/* Zeroed means default. */
struct weir_for_each_options {
    size_t size;          /* sizeof(struct weir_for_each_options); 0 means the first version's */
    const char *name;     /* of the tasks; copied, under WEIR_NAME_BYTES; NULL: "for each" */
    unsigned parallelism; /* items at once, at most; 0: 1 */
    bool collect;         /* an error does not end the loop */
    bool everywhere;      /* the tasks are spread over the loops; false: on the caller's */
    size_t stack_bytes;   /* of a task; 0: the runtime's default */
    /* Room for `count` results (may be NULL): what the function returned for each item; -ECANCELED
     * for one that was not begun. */
    int *results;
    uint64_t reserved[4]; /* must be zero */
};

WEIR_BEGIN

/*
 * Calls fn(index, context) for each index from 0 to count - 1, until the deadline at the latest.
 * Where not as many tasks can be had as may be, fewer do.
 * Returns 0 when all succeeded.
 * Errors: the first one of an item; -ETIME, -ECANCELED some items were not begun, or cancelled;
 * those of weir_spawn: no task could be had; -EINVAL; -E2BIG name too long; -ENXIO not in a task;
 * -ENOMEM.
 * Owns: context and results stay the caller's, and are in use until the call returns.
 */
WEIR_API WEIR_MUST_CHECK int weir_for_each(size_t count, weir_item_fn *fn, void *context,
                                           const struct weir_for_each_options *options,
                                           int64_t deadline_ns) WEIR_SUSPENDS;

WEIR_END

#endif
