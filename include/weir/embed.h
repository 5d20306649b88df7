/* SPDX-License-Identifier: MIT */
/*
 * A foreign loop (epoll, libuv, glib, libevent) that drives weir: loop 0 lives on the foreign
 * loop's thread without taking it. weir gives a descriptor that becomes readable when there is
 * something to do (I/O that is done, a timer that is due, a wake from another thread), and a call
 * that does it and never waits.
 *
 *     foreign loop:  wait for descriptors --> the embed's is readable --> weir_embed_turn --> wait
 *
 * Between turns the thread is a plain thread to weir: what it calls (spawn into the embed's scope,
 * send to a channel) makes the descriptor readable when tasks are to run, and what waits holds the
 * foreign loop; for a task of loop 0 it would wait for ever. So call with WEIR_NOW there.
 *
 * The kernel completes I/O on the thread, so the foreign wait may return EINTR, as after a signal,
 * before it finds the descriptor readable. While it is open, the thread blocks SIGPIPE; a CPU mask
 * or pinning of the options binds it.
 *
 * Example:
 *     struct weir_embed *embed;
 *     struct epoll_event event = { .events = EPOLLIN };
 *     int error = weir_embed_open(&embed, NULL);
 *     epoll_ctl(epoll_fd, EPOLL_CTL_ADD, weir_embed_fd(embed), &event);
 *     error = weir_spawn(weir_embed_scope(embed), serve, NULL, NULL);
 *     while (weir_scope_count(weir_embed_scope(embed)) > 0) {
 *         epoll_wait(epoll_fd, &event, 1, -1);
 *         weir_embed_turn(embed);
 *     }
 *     weir_embed_close(embed, WEIR_NOW);
 */
#ifndef WEIR_EMBED_H
#define WEIR_EMBED_H

#include <weir/base.h>

struct weir_embed;
struct weir_options;
struct weir_scope;

WEIR_BEGIN

/*
 * Starts a runtime whose loop 0 is the calling thread, and the only one unless loop_count says
 * more. Returns 0 with the embed in *embed. Errors: as weir_run.
 */
WEIR_API WEIR_MUST_CHECK int weir_embed_open(struct weir_embed **embed,
                                             const struct weir_options *options);

/* What to watch for reading, level- or edge-triggered; weir reads it. Valid until the close. */
WEIR_API int weir_embed_fd(const struct weir_embed *embed);

/* The scope for the tasks of the embed (WEIR_SCOPE_SUPERVISE); close joins it. */
WEIR_API struct weir_scope *weir_embed_scope(const struct weir_embed *embed);

/*
 * Runs what is ready, and what that makes ready, and never waits. It ends when nothing is ready, or
 * after `WEIR_EMBED_ROUNDS` rounds in each of which every ready task went on: then the descriptor
 * is readable again, and other sources of the foreign loop get their chance.
 * Returns 0; 1 when there is more to do. Errors: -EINVAL; -EPERM another thread's embed; -EDEADLK
 * called from a task; -EOWNERDEAD in a forked child.
 */
#define WEIR_EMBED_ROUNDS 64
WEIR_API int weir_embed_turn(struct weir_embed *embed);

/* For foreign loops that want it: ms until the next timer is due, rounded up; 0 there is more to
 * do; -1 no timer. Not needed: the descriptor becomes readable then. */
WEIR_API int weir_embed_timeout(const struct weir_embed *embed);

/*
 * Joins the embed's scope as weir_scope_join does (its tasks are cancelled at the deadline), stops
 * all loops and pools, and frees everything. The foreign loop must not watch the descriptor any
 * more. Holds the thread as long as it takes.
 * Returns 0, or -ETIME when tasks had to be cancelled. Errors, after which it is still open: as
 * weir_embed_turn.
 */
WEIR_API int weir_embed_close(struct weir_embed *embed, int64_t deadline_ns);

WEIR_END

#endif
