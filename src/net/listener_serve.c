/* SPDX-License-Identifier: MIT */
/*
 * Serving: one worker task a lane, on its loop; see listener.h.
 *
 *   a lane with sockets    credit -> accept -> a task here, or a place in another lane's channel
 *   a lane without         channel -> a task here
 *
 * A connection has its credit from before it is accepted until its task ends. In the end the first
 * kind is cancelled, which never catches it with a connection that it cannot pass on; then the
 * channels are closed, so the second kind ends when they are empty; then the clients are waited
 * for.
 */
#include "net/listener.h"

#include "base/memory.h"
#include "core/loop.h"
#include "core/park.h"

#include <weir/chan.h>
#include <weir/descriptor.h>
#include <weir/scope.h>
#include <weir/task.h>

#include <errno.h>

enum {
    HANDED_MAX = 64, /* connections on their way to one lane */
    /* Pauses while no task can be had for want of memory; it doubles. Room among the tasks of the
     * loop is waited for properly, in rounds of the longest pause. */
    PAUSE_MIN_NS = 1000000,
    PAUSE_MAX_NS = 64000000,
};

/* What a connection's task gets; freed as it begins. */
struct client {
    struct weir__lane *lane;
    int fd;
};

/* The connection is over: another one may come. */
static void leave_lane(struct weir__lane *lane)
{
    atomic_fetch_sub_explicit(&lane->open_count, 1, memory_order_relaxed);
    weir__credits_give(&lane->listener->connections);
}

static int run_client(void *arg)
{
    struct client client = *(struct client *)arg;
    struct weir_listener *listener = client.lane->listener;
    int result;

    weir__memory_free(arg);
    result = listener->fn(client.fd, listener->context);
    leave_lane(client.lane);
    return result;
}

static int spawn_client(struct weir__lane *lane, int fd, int64_t wait_ns)
{
    const struct weir_listener *listener = lane->listener;
    struct weir_spawn_options options = {
        .name = listener->name,
        .stack_bytes = listener->options.stack_bytes,
        .wait_ns = wait_ns,
    };
    struct client *client = weir__memory_alloc(weir__loop_current->heap, sizeof *client);
    int error;

    if (!client)
        return -ENOMEM;
    *client = (struct client){ .lane = lane, .fd = fd };
    error = weir_spawn(lane->clients, run_client, client, &options);
    if (error < 0)
        weir__memory_free(client);
    return error;
}

/* Tries until there is room for the task, or the caller is cancelled. */
static int spawn_patiently(struct weir__lane *lane, int fd)
{
    int64_t pause_ns = PAUSE_MIN_NS;
    int error;

    weir__listener_count(&lane->listener->waited, 1);
    for (;;) {
        error = spawn_client(lane, fd, PAUSE_MAX_NS);
        if (error != -ETIME && error != -EAGAIN && error != -ENOMEM)
            return error;
        if (error != -ETIME && weir_sleep(weir_in_ns(pause_ns)) < 0)
            return -ECANCELED;
        pause_ns = pause_ns * 2 < PAUSE_MAX_NS ? pause_ns * 2 : PAUSE_MAX_NS;
    }
}

/* The connection gets its task on this loop, now or when there is room. A cancel of the caller
 * (the listener stops) does not keep it from a task that can be had. */
static void start_client(struct weir__lane *lane, int fd)
{
    int error;

    weir_shield_enter();
    error = spawn_client(lane, fd, 0);
    weir_shield_leave();
    if (error < 0 && !lane->listener->options.refuse_at_once)
        error = spawn_patiently(lane, fd);
    if (error >= 0)
        return;
    weir__listener_count(&lane->listener->refused, 1);
    weir_close(fd);
    leave_lane(lane);
}

/* Whose turn a new connection is: the lane with the fewest; among equals the one that accepts,
 * which costs least. */
static struct weir__lane *least_loaded(struct weir__lane *self)
{
    struct weir_listener *listener = self->listener;
    struct weir__lane *best = self;
    size_t best_count = atomic_load_explicit(&self->open_count, memory_order_relaxed);

    for (unsigned i = 0; i < listener->lane_count; i++) {
        struct weir__lane *lane = &listener->lanes[i];
        size_t count = atomic_load_explicit(&lane->open_count, memory_order_relaxed);

        if (count < best_count) {
            best = lane;
            best_count = count;
        }
    }
    return best;
}

static void place(struct weir__lane *self, int fd)
{
    bool spread = self->listener->options.spread == WEIR_LISTENER_HAND_OVER;
    struct weir__lane *lane = spread ? least_loaded(self) : self;

    atomic_fetch_add_explicit(&lane->open_count, 1, memory_order_relaxed);
    if (lane != self) {
        if (weir_chan_send(lane->handed, &fd, WEIR_FOREVER) >= 0) {
            weir__listener_count(&self->listener->handed_over, 1);
            return;
        }
        /* Cancelled: it stays here. */
        atomic_fetch_sub_explicit(&lane->open_count, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&self->open_count, 1, memory_order_relaxed);
    }
    start_client(self, fd);
}

/* Accepts until it is cancelled, or its sockets fail. */
static int accept_clients(struct weir__lane *lane)
{
    struct weir__credits *connections = &lane->listener->connections;
    int result;

    do {
        result = weir__credits_take(connections, WEIR_FOREVER);
        if (result < 0)
            break;
        result = weir__listen_set_take(lane->set, NULL, NULL, WEIR_FOREVER);
        if (result >= 0) {
            place(lane, result);
            continue;
        }
        weir__credits_give(connections);
        if (result == -EAGAIN)
            result = weir__listen_set_await(lane->set, WEIR_FOREVER);
    } while (result >= 0);
    return result;
}

static int work(void *arg)
{
    struct weir__lane *lane = arg;
    int result, fd, told;

    if (!lane->set) {
        while ((result = weir_chan_recv(lane->handed, &fd, WEIR_FOREVER)) >= 0)
            start_client(lane, fd);
        return result == -EPIPE ? 0 : result;
    }
    result = weir__listen_set_enter(lane->set);
    if (result >= 0) {
        result = accept_clients(lane);
        weir__listen_set_leave(lane->set);
    }
    told = weir_listener_stop(lane->listener, WEIR_FOREVER);
    (void)told; /* it may be stopping anyway */
    return result;
}

static int start_lane(struct weir__lane *lane, unsigned loop_index, struct weir_scope *workers)
{
    struct weir_spawn_options options = {
        .name = "listener",
        .place = WEIR_PLACE_LOOP,
        .loop_index = loop_index,
        .task = &lane->task,
    };
    int error = weir_scope_create(&lane->clients, WEIR_SCOPE_SUPERVISE,
                                  &(struct weir_scope_options){ .name = lane->listener->name });

    if (error >= 0 && !lane->set)
        error = weir_chan_create(&lane->handed, sizeof(int), HANDED_MAX, NULL);
    return error < 0 ? error : weir_spawn(workers, work, lane, &options);
}

static int start_lanes(struct weir_listener *listener, struct weir_scope *workers)
{
    unsigned here = weir__loop_current->index;
    bool per_loop = listener->set_count > 1;
    int error = 0;

    for (unsigned i = 0; i < listener->lane_count && error >= 0; i++) {
        struct weir__lane *lane = &listener->lanes[i];
        unsigned loop_index = listener->lane_count > 1 ? i : here;

        lane->set = per_loop ? &listener->sets[i] : loop_index == here ? listener->sets : NULL;
        error = start_lane(lane, loop_index, workers);
    }
    return error;
}

/* Ends those who accept, then those who get from them. Returns why the first of them ended, or 0
 * when it was told to. */
static int stop_accepting(struct weir_listener *listener)
{
    int first_error = 0, result;

    for (unsigned i = 0; i < listener->lane_count; i++)
        if (listener->lanes[i].task && listener->lanes[i].set)
            weir_task_cancel(listener->lanes[i].task);
    for (unsigned i = 0; i < listener->lane_count; i++) {
        struct weir__lane *lane = &listener->lanes[i];

        if (!lane->task)
            continue;
        if (!lane->set) {
            weir_task_release(lane->task);
        } else if (weir_join(lane->task, &result, WEIR_FOREVER) >= 0 && result != -ECANCELED &&
                   first_error == 0) {
            first_error = result;
        }
        lane->task = NULL;
    }
    for (unsigned i = 0; i < listener->lane_count; i++)
        if (listener->lanes[i].handed)
            weir_chan_close(listener->lanes[i].handed, 0);
    return first_error;
}

/* What was handed over, and will not be served: the lane's worker was cancelled before. */
static void refuse_handed(struct weir__lane *lane)
{
    int fd;

    weir_shield_enter();
    while (weir_chan_recv(lane->handed, &fd, WEIR_NOW) >= 0) {
        weir__listener_count(&lane->listener->refused, 1);
        weir_close(fd);
        leave_lane(lane);
    }
    weir_shield_leave();
    weir_chan_release(lane->handed);
    lane->handed = NULL;
}

/* Waits for the connections. 0, or why some had to be cancelled. */
static int drain(struct weir_listener *listener, struct weir_scope *workers, int64_t drain_ns)
{
    int result = 0;

    weir_scope_join(workers, drain_ns);
    for (unsigned i = 0; i < listener->lane_count; i++) {
        struct weir__lane *lane = &listener->lanes[i];
        int error;

        if (lane->handed)
            refuse_handed(lane);
        if (!lane->clients)
            continue;
        error = weir_scope_join(lane->clients, drain_ns);
        lane->clients = NULL;
        if (error >= 0 || result < 0)
            continue;
        result = error;
        for (unsigned later = i + 1; later < listener->lane_count; later++)
            if (listener->lanes[later].clients)
                weir_scope_cancel(listener->lanes[later].clients);
    }
    return result;
}

static int begin_serving(struct weir_listener *listener, weir_client_fn *fn, void *context)
{
    int error = 0;

    weir__lock_acquire(&listener->lock);
    if (atomic_load_explicit(&listener->closed, memory_order_relaxed))
        error = -EBADF;
    else if (listener->serving)
        error = -EBUSY;
    else if (listener->sets[0].fd_count == 0)
        error = -EINVAL;
    if (error >= 0) {
        listener->serving = true;
        listener->fn = fn;
        listener->context = context;
    }
    weir__lock_release(&listener->lock);
    return error;
}

static void end_serving(struct weir_listener *listener)
{
    weir__lock_acquire(&listener->lock);
    listener->serving = false;
    weir__lock_release(&listener->lock);
}

int weir_listener_serve(struct weir_listener *listener, weir_client_fn *fn, void *context)
{
    int64_t drain_ns = WEIR_NOW;
    struct weir_scope *workers;
    int error, failed, drained;

    if (!listener || !fn)
        return -EINVAL;
    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    error = begin_serving(listener, fn, context);
    if (error < 0)
        return error;
    error = weir_scope_create(&workers, WEIR_SCOPE_COLLECT, NULL);
    if (error < 0)
        goto end;
    error = start_lanes(listener, workers);
    if (error >= 0)
        error = weir_chan_recv(listener->stops, &drain_ns, WEIR_FOREVER);
    weir_shield_enter();
    failed = stop_accepting(listener);
    weir_shield_leave();
    weir__listener_close_sockets(listener);
    drained = drain(listener, workers, drain_ns);
    error = error < 0 ? error : failed < 0 ? failed : drained;
end:
    end_serving(listener);
    return error;
}

int weir_listener_stop(struct weir_listener *listener, int64_t drain_ns)
{
    int error;

    if (!listener)
        return -EINVAL;
    if (atomic_exchange_explicit(&listener->stopped, true, memory_order_relaxed))
        return WEIR_ALREADY;
    weir_shield_enter(); /* who stops a server may be cancelled too */
    error = weir_chan_send(listener->stops, &drain_ns, WEIR_NOW);
    weir_shield_leave();
    return error == -EAGAIN ? WEIR_ALREADY : error;
}
