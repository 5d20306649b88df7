/* SPDX-License-Identifier: MIT */
/*
 * Accepting from a set of sockets, and the pause while there is no descriptor or memory for one
 * more connection; see listener.h.
 *
 * The kernel takes a descriptor before it takes a connection, so -EMFILE leaves the connection in
 * the backlog. Nothing is ready then that could be polled for: the socket is readable all the time.
 * What is awaited is a close.
 */
#include "base/clock.h"
#include "core/park.h"
#include "io/socket.h"
#include "io/spare.h"
#include "net/listener.h"

#include <weir/base.h>
#include <weir/descriptor.h>
#include <weir/task.h>

#include <errno.h>
#include <poll.h>

enum {
    LOST_MAX = 1000, /* dead connections in a row: beyond, it is no longer they who are ill */
    /* How long closes behind weir's back may go unnoticed; it doubles. */
    LOOK_MIN_NS = 1000000,
    LOOK_MAX_NS = 100000000,
};

static bool is_short(int result)
{
    return result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS;
}

static bool is_lost(int result)
{
    return result < 0 && result != -EAGAIN && !is_short(result) && weir_is_transient(result);
}

/* One socket's oldest connection that is still alive. */
static int try_socket(struct weir__listen_set *set, int fd, struct sockaddr *address,
                      socklen_t *address_bytes)
{
    socklen_t room = address_bytes ? *address_bytes : 0;
    unsigned lost_count = 0;
    int result;

    for (;;) {
        result = weir__socket_accept_now(fd, address, address_bytes);
        if (!is_lost(result) || lost_count++ == LOST_MAX)
            break;
        weir__listener_count(&set->listener->lost, 1);
        if (address_bytes)
            *address_bytes = room;
    }
    return result;
}

/* Each socket, beginning with the one whose turn it is. */
static int try_sockets(struct weir__listen_set *set, struct sockaddr *address,
                       socklen_t *address_bytes)
{
    int result = -EAGAIN;

    for (unsigned i = 0; i < set->fd_count && result == -EAGAIN; i++) {
        unsigned at = set->next % set->fd_count;

        set->next = at + 1;
        result = try_socket(set, set->fds[at], address, address_bytes);
    }
    if (result >= 0)
        weir__listener_count(&set->listener->accepted, 1);
    return result;
}

static bool is_closed(const struct weir__listen_set *set)
{
    /* relaxed: the closer wakes those who may have read it too early */
    return atomic_load_explicit(&set->listener->closed, memory_order_relaxed);
}

/* Tries whenever a descriptor may have become free. */
static int try_until(struct weir__listen_set *set, struct sockaddr *address,
                     socklen_t *address_bytes, int64_t deadline_ns)
{
    int64_t look_ns = LOOK_MIN_NS;
    uint32_t seen = weir__spare_watch();
    int result, error = 0;

    for (;;) {
        int64_t next_ns;

        result = is_closed(set) ? -EBADF : try_sockets(set, address, address_bytes);
        if (!is_short(result) || error < 0)
            break;
        next_ns = weir__clock_add(weir__clock_now(), look_ns);
        error = weir__spare_wait(&seen, next_ns < deadline_ns ? next_ns : deadline_ns);
        if (error == -ETIME && next_ns < deadline_ns) {
            error = 0;
            look_ns = look_ns * 2 < LOOK_MAX_NS ? look_ns * 2 : LOOK_MAX_NS;
        }
    }
    weir__spare_unwatch();
    return error < 0 && is_short(result) ? error : result;
}

/* Waits until there is a descriptor and memory for the connection that is there. */
static int pause_for(struct weir__listen_set *set, struct sockaddr *address,
                     socklen_t *address_bytes, int64_t deadline_ns)
{
    struct weir_listener *listener = set->listener;
    int64_t start_ns = weir__clock_now();
    int result;

    if (deadline_ns == WEIR_NOW)
        return -EAGAIN;
    weir__listener_count(&listener->paused, 1);
    atomic_fetch_add_explicit(&listener->paused_now, 1, memory_order_relaxed);
    result = try_until(set, address, address_bytes, deadline_ns);
    atomic_fetch_sub_explicit(&listener->paused_now, 1, memory_order_relaxed);
    weir__listener_count(&listener->paused_ns, (unsigned long long)(weir__clock_now() - start_ns));
    return result;
}

int weir__listen_set_take(struct weir__listen_set *set, struct sockaddr *address,
                          socklen_t *address_bytes, int64_t deadline_ns)
{
    int result = is_closed(set) ? -EBADF : try_sockets(set, address, address_bytes);

    return is_short(result) ? pause_for(set, address, address_bytes, deadline_ns) : result;
}

int weir__listen_set_await(struct weir__listen_set *set, int64_t deadline_ns)
{
    if (deadline_ns == WEIR_NOW)
        return -EAGAIN;
    if (is_closed(set)) /* its mail may have come already; from here to the park nobody else runs */
        return -EBADF;
    return weir_poll(set->ready_fd >= 0 ? set->ready_fd : set->fds[0], POLLIN, deadline_ns);
}

int weir_listener_accept(struct weir_listener *listener, struct sockaddr *address,
                         socklen_t *address_bytes, int64_t deadline_ns)
{
    struct weir__listen_set *set;
    int result;

    if (!listener || (address && !address_bytes))
        return -EINVAL;
    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    set = &listener->sets[listener->set_count > 1 ? weir__loop_current->index : 0];
    result = weir__listen_set_enter(set);
    if (result < 0)
        return result;
    do {
        result = weir__listen_set_take(set, address, address_bytes, deadline_ns);
        if (result != -EAGAIN)
            break;
        result = weir__listen_set_await(set, deadline_ns);
    } while (result >= 0);
    weir__listen_set_leave(set);
    return result;
}
