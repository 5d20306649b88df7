/* SPDX-License-Identifier: MIT */
/*
 * A call: a record in the caller's frame, whose address goes through the port.
 *
 *            a server receives             adopt                  reply
 *   sent ---------------------> taken --------------> adopted ----------> done: the caller
 *     |                           |                      |                goes on, it is gone
 *     | deadline, cancel,         | deadline, cancel:    | deadline, cancel:
 *     | port aborted              v noted                v noted, and the handler cancelled
 *     v
 *   withdrawn: nothing happened
 *
 * What holds:
 *  - From taken to done the caller stays: only the reply claims its wait.
 *  - The handler is cancelled under the call's lock, and no more the handler under it once done: so
 *    the task is there, and the cancel is for this call.
 *  - A task that owes a reply has the call among its ends, and gives the reply there at the latest.
 *  - The replier's last touch is the wake of the caller, or, when the caller is not parked yet, the
 *    release of the lock, which the caller takes once more.
 */
#ifndef WEIR_FLOW_CALL_H
#define WEIR_FLOW_CALL_H

#include "base/lock.h"
#include "core/task.h"

#include <weir/call.h>

struct weir_call {
    /* The caller's; constant once sent. */
    struct weir_chan *port;
    const void *request;
    void *response;
    struct weir__inherited inherited; /* for the handler */

    /* The server's. */
    struct weir_task *debtor;  /* owes the reply; NULL: a plain thread took it */
    struct weir__task_end end; /* the debtor's */
    void *server;              /* weir_serve's */

    struct weir__lock lock;
    /* Under the lock. */
    struct weir__wait *wait;   /* the caller's, once it is parked for the reply */
    struct weir_task *handler; /* who is cancelled with the call */
    int status;                /* why the caller gave up; 0: it did not */
    int result;
    bool done;

    /* Of the call that the handler made last and that failed; once done, of this one. Under the
     * lock of the task that has adopted the call, until done. */
    struct weir_call_failure failure;
};

/* Why one waits for a reply; the object is the call. */
extern const struct weir__reason weir__call_awaits_reply;

/* Whether the channel was made by weir_port_create, and for what. */
struct weir__port {
    bool is_port;
    size_t request_bytes;
    size_t response_bytes;
};

struct weir__port weir__port_of(const struct weir_chan *chan);

#endif
