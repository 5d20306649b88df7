/* SPDX-License-Identifier: MIT */
/*
 * A listener: sockets that accept connections, at one address or several, and survive what kills
 * accept loops. When descriptors or memory run out it pauses until some are free (weir_close, on
 * any loop, wakes it; those closed behind weir's back are found within 0.1 s): no busy loop, and
 * the connections wait in the kernel's backlog meanwhile. Connections that died there are skipped.
 *
 * weir_listener_accept takes one connection. weir_listener_serve takes all: a task for each, at
 * most connections_max at once; then it stops accepting, the backlog fills, and the peers feel it.
 * Nothing that was accepted is lost: a cancel or deadline leaves the connection in the backlog, and
 * one for which no task can be had waits for it, unless refuse_at_once says otherwise.
 *
 * Example:
 *     struct weir_listener *listener;
 *     int error = weir_listener_open(&listener, "127.0.0.1:7000", NULL);
 *     if (error >= 0) {
 *         error = weir_listener_serve(listener, serve_client, &state);   until weir_listener_stop
 *         weir_listener_close(listener);
 *     }
 */
#ifndef WEIR_LISTENER_H
#define WEIR_LISTENER_H

#include <sys/socket.h>
#include <weir/base.h>

struct weir_listener;

/* One connection's task. The descriptor is its own: it ends with weir_close. A negative result is
 * reported as a task's failure. */
typedef int weir_client_fn(int fd, void *context);

/* On which loops connections are served. */
enum weir_listener_spread {
    WEIR_LISTENER_HERE,      /* the loop of the caller */
    WEIR_LISTENER_PER_LOOP,  /* all: each loop accepts on sockets of its own; the kernel spreads */
    WEIR_LISTENER_HAND_OVER, /* all: the caller's loop accepts for the one with the fewest */
};

/* Zeroed means default. */
struct weir_listener_options {
    size_t size; /* sizeof(struct weir_listener_options); 0 means the first version's */
    enum weir_listener_spread spread;
    int backlog;            /* connections not yet accepted, per socket; as weir_listen_options */
    bool no_nodelay;        /* leave Nagle's algorithm on */
    bool unlink_stale;      /* "unix:": remove a socket file that nobody listens on */
    bool refuse_at_once;    /* serve: close the connection when no task can be had for it */
    size_t connections_max; /* serve: being served at once; 0: 65536 */
    size_t stack_bytes;     /* serve: of a connection's task; 0: weir_options.stack_bytes */
    const char *name;       /* serve: of a connection's task, under 32 bytes; NULL: "client" */
    uint64_t reserved[4];   /* must be zero */
};

struct weir_listener_stats {
    uint64_t accepted;
    uint64_t refused;     /* closed unserved: no task could be had, and refuse_at_once or a stop */
    uint64_t lost;        /* gone before they could be accepted (-ECONNABORTED and the like) */
    uint64_t handed_over; /* accepted on one loop for another */
    uint64_t paused;      /* times without a descriptor or memory */
    uint64_t paused_ns;   /* how long, pauses that have ended */
    uint64_t full;        /* times at connections_max */
    uint64_t full_ns;     /* how long, waits that have ended */
    uint64_t waited;      /* connections that had to wait for a task */
    size_t open;          /* being served now */
    size_t backlog;       /* waiting in the kernel now; TCP only */
    size_t backlog_max;   /* for how many there is room; TCP only */
    bool paused_now;
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * Opens a listener in *listener, at an address as weir_listen_at takes them; NULL: at none yet.
 * WEIR_LISTENER_PER_LOOP opens one socket a loop (SO_REUSEPORT), all at the port of the first;
 * unix-domain and adopted ones, of which there can be only one, are shared by all loops.
 * Returns 0, for weir_listener_close. Errors: those of weir_listen_at; -E2BIG name too long;
 * -ENOMEM; -ENXIO not in a task.
 */
WEIR_API WEIR_MUST_CHECK int
weir_listener_open(struct weir_listener **listener, const char *address,
                   const struct weir_listener_options *options) WEIR_SUSPENDS;

/* Listens at one more address; before anybody accepts. Returns 0. Errors: as weir_listener_open;
 * -E2BIG there are 16; -EBUSY somebody accepts. */
WEIR_API WEIR_MUST_CHECK int weir_listener_add(struct weir_listener *listener,
                                               const char *address) WEIR_SUSPENDS;

/* Takes over a listening stream or seqpacket socket, which becomes non-blocking and close-on-exec.
 * Returns 0: the descriptor is the listener's. Errors: as weir_listener_add; -EINVAL no such
 * socket. */
WEIR_API WEIR_MUST_CHECK int weir_listener_adopt(struct weir_listener *listener,
                                                 int fd) WEIR_SUSPENDS;

/*
 * Takes the oldest connection, of the sockets in turn. `address` with `*address_bytes` of room gets
 * the peer's, both may be NULL. With WEIR_LISTENER_PER_LOOP, of the calling loop's sockets.
 * Returns the descriptor, for weir_close.
 * Errors: -EAGAIN, -ETIME none by then; -ECANCELED; -EBADF closed; -EINVAL it has no socket;
 * -EBUSY another loop is waiting here; what accept(2) says of a socket that listens no more.
 */
WEIR_API WEIR_MUST_CHECK int weir_listener_accept(struct weir_listener *listener,
                                                  struct sockaddr *address,
                                                  socklen_t *address_bytes,
                                                  int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * Serves: runs fn(fd, context) as a task for each connection, until weir_listener_stop, a cancel,
 * or an error of a socket. Then it closes its sockets, so that peers
 * are refused, waits for its connections, after a stop up to its deadline, and cancels those that
 * are left; a cancel is for them, too.
 * Returns 0 all of them ended by themselves. Errors: -ETIME, -ECANCELED some were cancelled; -EBUSY
 * it serves already; -EBADF it was stopped or closed; an error of accept(2);
 * -EAGAIN or -ENOMEM no task to accept.
 */
WEIR_API int weir_listener_serve(struct weir_listener *listener, weir_client_fn *fn,
                                 void *context) WEIR_SUSPENDS;

/* Makes weir_listener_serve stop, now or, if it does not run yet, when it does. `drain_ns` is the
 * deadline of its connections: WEIR_NOW cancels them at once. Returns 0, or WEIR_ALREADY:
 * it stops, by an earlier call or an error. */
WEIR_API int weir_listener_stop(struct weir_listener *listener, int64_t drain_ns) WEIR_ANY_THREAD;

/*
 * Closes the sockets and frees the listener: a release call. Who is waiting in weir_listener_accept
 * gets -EBADF first. NULL is fine. Returns 0; -EBUSY it serves: stop it first, nothing was closed.
 */
WEIR_API int weir_listener_close(struct weir_listener *listener) WEIR_SUSPENDS;

/* The address of the index-th socket, in the order of opening: so port 0 becomes known. Returns the
 * text's length. Errors: -ENOENT no such socket; those of weir_socket_address. */
WEIR_API WEIR_MUST_CHECK int weir_listener_address(struct weir_listener *listener, unsigned index,
                                                   char *text, size_t bytes) WEIR_ANY_THREAD;

/* One reading. Returns 0, or -EINVAL. */
WEIR_API int weir_listener_read_stats(struct weir_listener *listener,
                                      struct weir_listener_stats *stats) WEIR_ANY_THREAD;

WEIR_END

#endif
