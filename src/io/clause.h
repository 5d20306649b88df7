/* SPDX-License-Identifier: MIT */
/*
 * Select over I/O: a clause that waits for a descriptor to be ready, and moves no byte.
 *
 *   look     (outside of locks; at every sixteenth select, or when none will be waited for)
 *            poll(2) without waiting: what is true of the descriptor now
 *   ready    what the look saw
 *   launch   (armed, outside of locks) a standing poll on the ring; its end fires the waiter
 *   disarm   asks the kernel to end the poll
 *   finish   parks until the kernel and the descriptor table have let go of it
 *
 * So a clause that lost leaves nothing: no poll in the kernel, no hold on the descriptor.
 * weir_close ends the poll as it ends any op, and the clause wins with -EBADF.
 *
 * The poll lies in a record of the loop's, since a clause is too small for it; records are kept for
 * the next, as many as were ever in use at once.
 *
 * Other clauses that wait for a descriptor are made of this one: copy weir__clause_poll_verbs,
 * replace what differs, and make the clause by weir__clause_poll_make with the copy.
 *  - What reads something once it has won (a signal from a signalfd, the state of a child whose
 *    pidfd is readable) replaces `try` and `fired`: call this kind's, then, if clause->result is
 *    positive, read without blocking and leave the outcome in clause->elem and clause->result.
 *    Another may have read it first: then the result is -EAGAIN, and the caller selects again.
 *  - What may be ready without the kernel (bytes in a stream's buffer) replaces `ready` (and says
 *    so in `try`), which see no system call and are asked every time, and `launch`, which fires the
 *    waiter by weir__clause_poll_fire instead of starting a poll when bytes have come meanwhile. A
 *    handle that has a standing op of its own on the descriptor fires the waiter from that op's
 *    event; then it needs no poll: it hangs the waiter up in `arm` and takes it off in `disarm`.
 */
#ifndef WEIR_IO_CLAUSE_H
#define WEIR_IO_CLAUSE_H

#include "core/clause.h"

struct weir__io;

/* The clause's `object` is the descriptor, its `elem` is free for a kind's own use. */
extern const struct weir_clause_verbs weir__clause_poll_verbs;

/* A clause of this kind or of one made from it; a descriptor below zero disables it. */
struct weir_clause weir__clause_poll_make(const struct weir_clause_verbs *verbs, int fd,
                                          short events);

static inline int weir__clause_poll_fd(const struct weir_clause *clause)
{
    return (int)(intptr_t)clause->object;
}

/* In `launch`, which has the waiter from `arm`: the clause is ready, with `result`. */
void weir__clause_poll_fire(struct weir_clause *clause, int result);

/* The records of a loop, given back to the heap. */
void weir__clause_poll_term(struct weir__io *io);

#endif
