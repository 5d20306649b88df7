/* SPDX-License-Identifier: MIT */
/*
 * A chain of interceptors: steps that are entered in order and left in reverse, in one task.
 *
 *   enter A -> enter B -> enter C -> leave C -> leave B -> leave A -> answer
 *
 * A step whose enter failed has not been entered: it undoes what it did itself. Then, and when a
 * leave fails, `error` is run instead of `leave` for the steps that are left, until one of them
 * returns 0: the error is handled, and the others are left as usual.
 *
 * Any step may park, or wait for a promise that somebody keeps on another loop or thread: the chain
 * goes on in its own task. A step that yields nothing definite is an error, and whatever happens,
 * the answer is given: exactly once.
 *
 * Example:
 *     static const struct weir_step steps[] = {
 *         { .name = "log", .leave = log_response, .error = log_failure },
 *         { .name = "login", .enter = find_user },
 *         { .name = "page", .enter = render },
 *     };
 *     int error = weir_chain_run(steps, 3, &request, send_response, weir_in_ms(200));
 */
#ifndef WEIR_CHAIN_H
#define WEIR_CHAIN_H

#include <weir/base.h>

struct weir_chain;
struct weir_chan;

/* 0; or an error. A positive result is the error -EPROTO. */
typedef int weir_step_fn(struct weir_chain *chain, void *context);

/* 0: handled; or the error that goes on, the same or another. */
typedef int weir_step_error_fn(struct weir_chain *chain, void *context, int error);

/* The end: `result` is 0, or the error that nobody handled. Not interrupted by a cancel. */
typedef void weir_chain_answer_fn(struct weir_chain *chain, void *context, int result);

/* Each function may be NULL: nothing to do. */
struct weir_step {
    const char *name;
    weir_step_fn *enter;
    weir_step_fn *leave;
    weir_step_error_fn *error;
};

WEIR_BEGIN

/*
 * Runs the steps, which stay in use until it returns, in the calling task. The deadline is kept
 * when entering a step, in weir_chain_await, and in the calls (weir/call.h) that steps make; a
 * cancel when entering a step, and wherever a step parks. Both are errors like any other: steps are
 * left, or told by `error`.
 * Returns what `answer` (may be NULL) was told. Errors of its own: -EINVAL no steps; -ETIME;
 * -EAGAIN with WEIR_NOW; -ECANCELED.
 */
WEIR_API int weir_chain_run(const struct weir_step *steps, size_t count, void *context,
                            weir_chain_answer_fn *answer,
                            int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * From a step: waits for the result that somebody sends to `promise`, a channel of int, and takes
 * the caller's reference of it, so that a step can end with `return weir_chain_await(chain, ...)`.
 * Returns 0, or the error sent. Errors: -EPROTO a positive result was sent; -ENODATA the promise
 * ended without one; or the reason it was closed with; -ETIME the chain's deadline; -ECANCELED;
 * -EINVAL not a channel of int.
 */
WEIR_API WEIR_MUST_CHECK int weir_chain_await(struct weir_chain *chain,
                                              struct weir_chan *promise) WEIR_SUSPENDS;

/* From an enter: no further step is entered. When it has returned 0, leaving begins with it. */
WEIR_API void weir_chain_terminate(struct weir_chain *chain);

/* The chain's deadline. */
WEIR_API int64_t weir_chain_deadline_ns(const struct weir_chain *chain);

/* The name of the step in which the last error began; NULL: in none. For error and answer. */
WEIR_API const char *weir_chain_failed_step(const struct weir_chain *chain);

WEIR_END

#endif
