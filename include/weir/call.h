/* SPDX-License-Identifier: MIT */
/*
 * Call and reply. A call to a port returns only when whoever serves the port has finished, and all
 * whom it called in turn: with the result or the error of the last of them.
 *
 * A port is an unbuffered channel, made by weir_port_create, through which callers and servers
 * meet: it is retained, closed, selected on and looked at as any other. Request and response stay
 * where they are, in the caller's hands, and are the handler's from the moment it takes the call to
 * its reply. Nothing is allocated for a call.
 *
 * What travels down: the trace (weir/trace.h) and the task-local values (weir/local.h); the
 * deadline, the earliest of all on the way; a cancel. As long as no server has taken the call, a
 * deadline or a cancel withdraws it. After that the handler's task is cancelled, and the caller
 * waits until it has finished: a handler that succeeds after all is a success.
 *
 * What travels up: the result, a number >= 0 or an error, as it is; and where the error began
 * (struct weir_call_failure). -ECANCELED only ever means that the caller itself was cancelled: a
 * handler that gives up without that is a dead hop to its caller, -EPIPE, as is a server that
 * ends, a port that is aborted, and a task that ends without a reply.
 *
 * Example:
 *     static int price(const void *request, void *response, void *context)
 *     {
 *         return weir_call(stock, request, response, NULL, WEIR_FOREVER);
 *     }
 *
 *     error = weir_serve(scope, shop, price, NULL, NULL);
 *     ...
 *     error = weir_call(shop, &item, &cents, NULL, weir_in_ms(50));
 */
#ifndef WEIR_CALL_H
#define WEIR_CALL_H

#include <weir/base.h>
#include <weir/task.h>

struct weir_call;
struct weir_chan;
struct weir_scope;

/* Where an error began. */
struct weir_call_failure {
    int error; /* there; what is returned here, unless a handler in between made another of it */
    unsigned hops; /* handlers that it passed through; 0: no server had taken the call */
    char port_name[WEIR_NAME_BYTES]; /* of the last call on the way down */
    char task_name[WEIR_NAME_BYTES]; /* who replied so; with 0 hops: who called */
};

/* Handles one call, in a task of its own. Returns the call's result: >= 0 or an error. */
typedef int weir_handler_fn(const void *request, void *response, void *context);

/* Zeroed means default. */
struct weir_serve_options {
    size_t size;          /* sizeof(struct weir_serve_options); 0 means the first version's */
    const char *name;     /* of the tasks; copied, under WEIR_NAME_BYTES; NULL: "serve" */
    unsigned parallelism; /* calls handled at once: others wait in the port; 0: 1 */
    size_t stack_bytes;   /* of a handler's task; 0: the runtime's default */
    uint64_t reserved[4]; /* must be zero */
};

WEIR_BEGIN

/*
 * Creates a port, with one reference, for requests and responses of these sizes (0: none). It ends
 * with weir_chan_release. With `name` NULL it is called "port".
 * Returns 0. Errors: -EINVAL; -E2BIG name too long; -EOVERFLOW a size is beyond UINT32_MAX;
 * -ENOMEM.
 */
WEIR_API WEIR_MUST_CHECK int weir_port_create(struct weir_chan **port, const char *name,
                                              size_t request_bytes,
                                              size_t response_bytes) WEIR_ANY_THREAD;

/*
 * Calls: waits until a server of the port takes the call, and then until it has replied. Of the
 * deadline and that of the call that the caller itself handles the earlier one holds. WEIR_NOW
 * calls only if a server is free at this moment, and then waits for it.
 * Returns what the handler returned.
 * Errors: the handler's; -EPIPE no server, or one that died; -ETIME, -EAGAIN, -ECANCELED; -EINVAL
 * not a port, or a NULL where it has bytes. *failure (may be NULL) tells after any error but
 * -EINVAL where it began: with 0 hops nothing has happened.
 * Owns: request and response stay the caller's, and in use until the call returns.
 */
WEIR_API WEIR_MUST_CHECK int weir_call(struct weir_chan *port, const void *request, void *response,
                                       struct weir_call_failure *failure,
                                       int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * Serves a port: a task of `scope`, on the caller's loop, takes calls and runs handler(request,
 * response, context) for each, in a task of its own that the caller's cancel or deadline cancels.
 * It ends with 0 when the port has ended, after its last handler. When it is cancelled, so are its
 * handlers. It holds a counted receiver: the end of a port's last server aborts the port. A call
 * for which no task can be had, at the bound on tasks or stacks, gets -EAGAIN.
 * Returns 0. Errors: -EINVAL; -E2BIG name too long; -EPIPE the port is closed; those of weir_spawn;
 * -ENXIO not in a task; -ENOMEM.
 */
WEIR_API WEIR_MUST_CHECK int weir_serve(struct weir_scope *scope, struct weir_chan *port,
                                        weir_handler_fn *handler, void *context,
                                        const struct weir_serve_options *options);

/*
 * Serving by hand. Whoever does should hold a counted receiver (weir_chan_open_receiver) of the
 * port: when it closes, calls that wait in the port fail instead of waiting for ever.
 *
 * Takes a call, which the receiving task now owes a reply: if it ends without one, the caller gets
 * -EPIPE. A call that came by a select clause or weir_chan_recv is owed by nobody until adopted.
 * Errors: those of weir_chan_recv; -EINVAL not a port.
 */
WEIR_API WEIR_MUST_CHECK int weir_call_recv(struct weir_chan *port, struct weir_call **call,
                                            int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * The calling task makes the call its own: it owes the reply from now on, works under the call's
 * trace and deadline, and is cancelled with it: for good, so it should handle nothing else after.
 * The task that owed the reply before must not end until then.
 * Returns 0. Errors, after each of which a reply is still due: -ETIME, -ECANCELED the caller has
 * given up, and the call is the task's all the same; -ENXIO not in a task; -EINVAL.
 */
WEIR_API WEIR_MUST_CHECK int weir_call_adopt(struct weir_call *call);

/* What the caller gave; the response is what it may be answered in. Valid until the reply. */
WEIR_API const void *weir_call_request(const struct weir_call *call) WEIR_ANY_THREAD;
WEIR_API void *weir_call_response(const struct weir_call *call) WEIR_ANY_THREAD;

/* 0 as long as the caller wants the result; -ETIME, -ECANCELED when it would rather not wait. */
WEIR_API int weir_call_status(struct weir_call *call) WEIR_ANY_THREAD;

/*
 * Ends a call with its result, exactly once: it does not exist afterwards. From any task or thread,
 * as long as the task that owes the reply has not ended. Returns 0, or -EINVAL.
 */
WEIR_API int weir_reply(struct weir_call *call, int result) WEIR_ANY_THREAD;

/*
 * Calls `port`, which has no response, with one element of `input` after the other, each when the
 * one before has been handled. *handled (may be NULL) says how many were, after an error too.
 * Returns 0 at the end of the input.
 * Errors: the first of a call: the element in hand goes to the drop callback of the input, which
 * stays open; the reason that the input was closed with; -ETIME, -EAGAIN, -ECANCELED; -EINVAL not a
 * port, or its requests are not of the input's elements; -ENOBUFS.
 */
WEIR_API WEIR_MUST_CHECK int weir_each(struct weir_chan *input, struct weir_chan *port,
                                       uint64_t *handled,
                                       int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * Fire and forget: as weir_spawn, into a scope that somebody answers for, which has a name and a
 * limit (weir_scope_options). The task keeps the trace and the task-local values; the deadline
 * above the caller (weir_deadline_ns), its cancel and its end are not its business: those of the
 * scope it goes into are.
 * Errors: those of weir_spawn, -EAGAIN at the scope's limit; -EINVAL the scope has no name or no
 * limit.
 */
WEIR_API WEIR_MUST_CHECK int weir_detach(struct weir_scope *scope, weir_task_fn *fn, void *arg,
                                         const struct weir_spawn_options *options) WEIR_ANY_THREAD;

WEIR_END

#endif
