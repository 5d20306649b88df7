/* SPDX-License-Identifier: MIT */
/* Calls: the port, the caller, and the reply; see call.h for what holds. */
#include "flow/call.h"

#include "base/assert.h"
#include "core/local.h"
#include "core/park.h"
#include "sync/chan.h"

#include <errno.h>
#include <string.h>

enum { PORT_BITS = 32 }; /* each of the two sizes, in the context of the port's drop callback */

_Static_assert(sizeof(void *) * 8 >= 2 * PORT_BITS, "two sizes fit into a pointer");
_Static_assert((int)WEIR__CHAN_NAME_BYTES <= (int)WEIR_NAME_BYTES, "a port's name fits");

/* A port lets no call go but one that was received into nothing. Ports are known by it. */
static void drop_call(void *elem, void *context, enum weir_drop_reason reason)
{
    (void)context;
    (void)reason;
    weir_reply(*(struct weir_call **)elem, -EPIPE);
}

struct weir__port weir__port_of(const struct weir_chan *chan)
{
    bool is_port = chan && chan->drop == drop_call;
    uintptr_t sizes = is_port ? (uintptr_t)chan->context : 0;

    return (struct weir__port){
        .is_port = is_port,
        .request_bytes = sizes >> PORT_BITS,
        .response_bytes = sizes & UINT32_MAX,
    };
}

int weir_port_create(struct weir_chan **port, const char *name, size_t request_bytes,
                     size_t response_bytes)
{
    struct weir_chan_options options = {
        .name = name ? name : "port",
        .drop = drop_call,
        .context = (void *)((uintptr_t)request_bytes << PORT_BITS | response_bytes),
    };

    if (request_bytes > UINT32_MAX || response_bytes > UINT32_MAX)
        return -EOVERFLOW;
    return weir_chan_create(port, sizeof(struct weir_call *), 0, &options);
}

/* --- The caller --- */

static bool fits(const struct weir_chan *port, const void *request, const void *response)
{
    struct weir__port of = weir__port_of(port);

    return of.is_port && (request || !of.request_bytes) && (response || !of.response_bytes);
}

static void failure_begins(struct weir_call *call, int error, unsigned hops)
{
    call->failure.error = error;
    call->failure.hops = hops;
    strcpy(call->failure.port_name, weir_chan_name(call->port));
    strcpy(call->failure.task_name, weir_task_name(NULL));
}

/* The caller's home, or its thread: it would rather not wait. */
static void give_up(struct weir__wait *wait, int reason)
{
    struct weir_call *call = wait->subject;
    struct weir__loop *ring = NULL;
    bool already;

    weir__lock_acquire(&call->lock);
    if (!call->done && !call->status) {
        call->status = reason;
        if (call->handler)
            ring = weir__task_post_cancel(call->handler, &already);
    }
    weir__lock_release(&call->lock);
    if (ring)
        weir__loop_ring(ring);
}

const struct weir__reason weir__call_awaits_reply = { "reply to a call", WEIR_PHASE_TASK, NULL };

static int await_reply(struct weir_call *call)
{
    struct weir__wait *wait = weir__wait_self();
    bool done;

    weir__lock_acquire(&call->lock);
    done = call->done;
    if (!done) {
        weir__wait_begin(wait, &weir__call_awaits_reply, call);
        wait->interrupt = give_up;
        wait->subject = call;
        call->wait = wait;
    }
    weir__lock_release(&call->lock);
    if (!done)
        weir__wait_park(wait, call->inherited.deadline_ns, WEIR__PARK_CANCELLABLE);
    return call->result;
}

/* The failure goes to who asked, and, in case that the caller is a handler, to its caller. */
static void tell_failure(const struct weir_call *call, struct weir_call_failure *failure)
{
    struct weir_task *task = weir_task_self();

    if (failure)
        *failure = call->failure;
    if (!task || !task->has_ends)
        return;
    weir__lock_acquire(&task->lock);
    if (task->call)
        task->call->failure = call->failure;
    weir__lock_release(&task->lock);
}

int weir_call(struct weir_chan *port, const void *request, void *response,
              struct weir_call_failure *failure, int64_t deadline_ns)
{
    struct weir_call call, *sent = &call;
    int result;

    if (!fits(port, request, response))
        return -EINVAL;
    call.port = port;
    call.request = request;
    call.response = response;
    call.inherited = *weir__inherited_self();
    call.debtor = NULL;
    call.server = NULL;
    atomic_init(&call.lock.held, 0);
    call.wait = NULL;
    call.handler = NULL;
    call.status = 0;
    call.done = false;
    call.failure.error = 0;
    if (deadline_ns != WEIR_NOW && deadline_ns > call.inherited.deadline_ns)
        deadline_ns = call.inherited.deadline_ns;
    if (deadline_ns != WEIR_NOW)
        call.inherited.deadline_ns = deadline_ns;
    result = weir_chan_send(port, &sent, deadline_ns);
    if (WEIR_LIKELY(result >= 0))
        result = await_reply(&call);
    else
        failure_begins(&call, result, 0);
    if (WEIR_UNLIKELY(result < 0))
        tell_failure(&call, failure);
    return result;
}

/* --- The server --- */

/* The task that owes the reply ends. */
static void end_in_debt(struct weir__task_end *end)
{
    weir_reply(WEIR_CONTAINER_OF(end, struct weir_call, end), -EPIPE);
}

/* Nobody owes the reply any more. */
static void release_debtor(struct weir_call *call)
{
    struct weir_task *debtor = call->debtor;

    if (!debtor)
        return;
    weir__lock_acquire(&debtor->lock);
    weir__list_unlink(&call->end.link);
    if (debtor->call == call)
        debtor->call = NULL;
    weir__lock_release(&debtor->lock);
    call->debtor = NULL;
}

/* The calling task, if it is one, owes the reply. */
static void take_debt(struct weir_call *call, bool adopt)
{
    struct weir_task *task = weir_task_self();

    if (!task)
        return;
    call->debtor = task;
    call->end.run = end_in_debt;
    weir__lock_acquire(&task->lock);
    weir__task_add_end(task, &call->end);
    if (adopt)
        task->call = call;
    weir__lock_release(&task->lock);
}

int weir_call_recv(struct weir_chan *port, struct weir_call **call, int64_t deadline_ns)
{
    int error;

    if (!call || !weir__port_of(port).is_port)
        return -EINVAL;
    error = weir_chan_recv(port, call, deadline_ns);
    if (error >= 0)
        take_debt(*call, false);
    return error;
}

/* The task works for the call's sake. Its shield, if any, keeps the call's deadline away, too. */
static void inherit(struct weir_task *task, const struct weir_call *call)
{
    weir__inherited_replace(&task->inherited, &call->inherited);
    if (task->shield_depth > 0) {
        task->shielded_ns = task->inherited.deadline_ns;
        task->inherited.deadline_ns = WEIR_FOREVER;
    }
}

int weir_call_adopt(struct weir_call *call)
{
    struct weir_task *task = weir_task_self();
    int status;

    if (!call)
        return -EINVAL;
    if (!task)
        return -ENXIO;
    release_debtor(call);
    take_debt(call, true);
    inherit(task, call);
    weir__lock_acquire(&call->lock);
    call->handler = task;
    status = call->status;
    weir__lock_release(&call->lock);
    return status;
}

const void *weir_call_request(const struct weir_call *call)
{
    return call ? call->request : NULL;
}

void *weir_call_response(const struct weir_call *call)
{
    return call ? call->response : NULL;
}

int weir_call_status(struct weir_call *call)
{
    int status;

    if (!call)
        return -EINVAL;
    weir__lock_acquire(&call->lock);
    status = call->status;
    weir__lock_release(&call->lock);
    return status;
}

/* Under the call's lock. An error that the handler only passes on has begun elsewhere. */
static void note_failure(struct weir_call *call, int error)
{
    if (error == call->failure.error)
        call->failure.hops++;
    else
        failure_begins(call, error, 1);
}

int weir_reply(struct weir_call *call, int result)
{
    struct weir__wait *wait;

    if (!call)
        return -EINVAL;
    release_debtor(call);
    weir__lock_acquire(&call->lock);
    WEIR_ASSERT(!call->done);
    if (result == -ECANCELED)
        result = call->status ? call->status : -EPIPE;
    if (WEIR_UNLIKELY(result < 0))
        note_failure(call, result);
    call->result = result;
    call->handler = NULL;
    call->done = true;
    wait = call->wait;
    weir__lock_release(&call->lock);
    if (wait) {
        bool fired = weir__wait_fire(wait, 0);

        WEIR_ASSERT(fired);
    }
    return 0;
}
