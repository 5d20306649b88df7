/* SPDX-License-Identifier: MIT */
/*
 * The inside of a listener: sets of sockets, of which each is accepted from by one loop at a time,
 * and lanes, one for each loop that serves.
 *
 *   spread      sets                     who accepts            where a connection is served
 *   HERE        1                        the caller's loop      there
 *   PER_LOOP    one a loop               each loop its set      there
 *   HAND_OVER   1                        the caller's loop      the lane with the fewest; sent to
 *                                                               others through the lane's channel
 *
 * Accepting is poll, then accept4(2) on non-blocking sockets until one says -EAGAIN: so a cancel or
 * a deadline never meets an accept half done, and the bound on connections is taken only for one
 * that is there.
 */
#ifndef WEIR_NET_LISTENER_H
#define WEIR_NET_LISTENER_H

#include "base/gauge.h"
#include "base/lock.h"
#include "core/credit.h"
#include "core/mailbox.h"

#include <weir/listener.h>

#include <stdatomic.h>

struct weir__loop;
struct weir__waiter;
struct weir_chan;
struct weir_scope;
struct weir_task;

enum { WEIR__LISTENER_SOCKETS_MAX = 16, WEIR__LISTENER_NAME_BYTES = 32 };

struct weir__listen_set {
    struct weir_listener *listener;
    int fds[WEIR__LISTENER_SOCKETS_MAX]; /* both change under the listener's lock, without users */
    unsigned fd_count;
    int ready_fd;  /* epoll of all sockets when there are several; else -1 */
    unsigned next; /* of the loop that accepts: the socket whose turn it is */
    /* Under the listener's lock. */
    unsigned user_count;     /* calls that may touch the sockets */
    struct weir__loop *loop; /* theirs, while there are any */
    struct weir__mail mail;  /* to that loop: end what waits here */
};

struct weir__lane {
    struct weir_listener *listener;
    struct weir__listen_set *set; /* NULL: it gets its connections from another */
    struct weir_scope *clients;
    struct weir_chan *handed; /* of int; NULL: nobody hands over */
    struct weir_task *task;
    atomic_size_t open_count;
};

struct weir_listener {
    struct weir_listener_options options; /* filled in; constant */
    char name[WEIR__LISTENER_NAME_BYTES];
    struct weir__listen_set *sets;
    unsigned set_count;
    struct weir__lane *lanes;
    unsigned lane_count;
    struct weir__credits connections; /* the bound on those being served */
    struct weir__gauge gauge;         /* of `connections` */
    struct weir_chan *stops;          /* of int64_t: the deadline of weir_listener_stop */
    atomic_bool stopped;

    struct weir__lock lock;
    /* Under the lock, except that `closed` may be read without it: it stays. */
    bool serving;
    atomic_bool closed;
    struct weir__waiter *closer; /* waits for the last user */

    /* While it serves. */
    weir_client_fn *fn;
    void *context;

    /* Figures: any loop, relaxed. */
    atomic_ullong accepted, refused, lost, handed_over, paused, paused_ns, waited;
    atomic_uint paused_now;
};

/* A call begins, or ends, to use a set. 0; -EBADF; -EINVAL no socket; -EBUSY another loop does. */
int weir__listen_set_enter(struct weir__listen_set *set);
void weir__listen_set_leave(struct weir__listen_set *set);

/* Takes a connection that waits; pauses while descriptors or memory are short. The descriptor;
 * -EAGAIN nobody waits; -ETIME; -ECANCELED; -EBADF; errors of the sockets. */
int weir__listen_set_take(struct weir__listen_set *set, struct sockaddr *address,
                          socklen_t *address_bytes, int64_t deadline_ns);

/* Parks until somebody waits, or seems to. 0 or more; -EAGAIN, -ETIME, -ECANCELED, -EBADF. */
int weir__listen_set_await(struct weir__listen_set *set, int64_t deadline_ns);

/* Ends who accepts, with -EBADF, and closes the sockets. */
void weir__listener_close_sockets(struct weir_listener *listener);

static inline void weir__listener_count(atomic_ullong *figure, unsigned long long amount)
{
    atomic_fetch_add_explicit(figure, amount, memory_order_relaxed);
}

#endif
