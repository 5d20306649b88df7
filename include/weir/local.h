/* SPDX-License-Identifier: MIT */
/*
 * Task-local values: what belongs to a request, and is wanted deep inside of it without being
 * handed from call to call: who asks, in which language, for whose account.
 *
 * Like the trace they are inherited: tasks that are spawned or detached, pool jobs and the handlers
 * of calls begin with those of whoever spawned, or called. What one of them then sets is seen by
 * itself and by those it starts from then on: never by whom it inherited from, nor by siblings. A
 * plain thread has values of its own.
 *
 * To inherit costs one reference, however many values there are; to set one copies the table.
 *
 * Example:
 *     static int user;                                      (at the start, once)
 *     user = weir_local_create("user", free);
 *     ...
 *     error = weir_local_set(user, strdup(name));           (in a request)
 *     ...
 *     const char *who = weir_local_get(user);               (anywhere below it)
 */
#ifndef WEIR_LOCAL_H
#define WEIR_LOCAL_H

#include <weir/base.h>

#define WEIR_LOCALS_MAX 16 /* keys in a process */

WEIR_BEGIN

/*
 * Makes a key, which lasts as long as the process. `name` is for those who look, and stays the
 * caller's. `destroy` (may be NULL) is called with each value once nobody can see it any more: in
 * the callback task of the loop that was the last to have it, or on the thread. It may not set
 * locals.
 * Returns the key, >= 0. Errors: -EINVAL no name; -ENOBUFS there are WEIR_LOCALS_MAX.
 */
WEIR_API WEIR_MUST_CHECK int weir_local_create(const char *name,
                                               void (*destroy)(void *value)) WEIR_ANY_THREAD;

/*
 * Sets the caller's value, from here on and for those it starts; NULL: none.
 * Returns 0. Errors: -EINVAL no such key; -ENOMEM: the value stays the caller's.
 * Owns: after success the value belongs to the key's `destroy`.
 */
WEIR_API WEIR_MUST_CHECK int weir_local_set(int key, void *value) WEIR_ANY_THREAD;

/* The caller's value, borrowed until the caller sets another or ends; NULL when there is none. */
WEIR_API void *weir_local_get(int key) WEIR_ANY_THREAD;

/* The name of a key, or NULL. */
WEIR_API const char *weir_local_name(int key) WEIR_ANY_THREAD;

WEIR_END

#endif
