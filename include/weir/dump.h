/* SPDX-License-Identifier: MIT */
/*
 * The dump: every task of every loop, as it stands. Its name, scope and place of birth, what it is
 * parked in and on, for how long and until when, and with WEIR_DUMP_BACKTRACES where it stands.
 *
 * It never stops the world: each loop looks at its own tasks, a few a turn, so two lines may be
 * some turns apart. A loop that does not answer by the deadline is named: a task holds it.
 *
 * Example, a task that dumps at each SIGUSR1:
 *     struct weir_signal signal;
 *     while (weir_chan_recv(signals, &signal, WEIR_FOREVER) >= 0)
 *         weir_dump_to(STDERR_FILENO, WEIR_DUMP_BACKTRACES, weir_in_ms(1000));
 *
 * A line of it:
 *     "fetch" of scope "clients", spawned at serve_one+0x4c (server): parked for 1.204 s in recv,
 *         channel "orders" (0 of 8 buffered, 1 waiting to receive), deadline in 0.796 s
 */
#ifndef WEIR_DUMP_H
#define WEIR_DUMP_H

#include <weir/base.h>

enum weir_dump_flags {
    WEIR_DUMP_BACKTRACES = 1 << 0, /* where each parked task stands */
};

/* Gets one line after the other, without its end, in the calling task or thread; it may park. */
typedef void weir_dump_line_fn(void *context, const char *line);

WEIR_BEGIN

/*
 * Of the calling task's runtime; from a plain thread, of all runtimes of the process. Loops have
 * until the deadline to answer.
 * Returns how many tasks it told of. Errors: -EINVAL; -ETIME another dump, or a look of the
 * watchdogs, was under way until the deadline; -ECANCELED; -ENOMEM; -EOWNERDEAD a forked child.
 */
WEIR_API WEIR_MUST_CHECK int weir_dump(weir_dump_line_fn *line, void *context, unsigned flags,
                                       int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* The same to a descriptor, by plain write(2). */
WEIR_API int weir_dump_to(int fd, unsigned flags,
                          int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

WEIR_END

#endif
