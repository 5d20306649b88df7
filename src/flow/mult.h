/* SPDX-License-Identifier: MIT */
/* The mult as pub uses it: one per topic, run by a task of the pub's, over when its last tap is. */
#ifndef WEIR_FLOW_MULT_H
#define WEIR_FLOW_MULT_H

#include <weir/mult.h>

/* 0, or -EINVAL. `options` may be NULL: the default. */
int weir__tap_check(const struct weir_chan *chan, size_t elem_size,
                    const struct weir_tap_options *options);

/* The end of what feeds a tap: closes its channel with the reason, unless it is to be kept open. */
void weir__tap_end(struct weir_chan *chan, const struct weir_tap_options *options, int reason);

/*
 * A mult that nobody runs yet, in *mult, with one reference. `only_heard`: it ends with its last
 * tap, too. 0 or -ENOMEM.
 */
int weir__mult_make(struct weir_chan *source, bool only_heard, struct weir_mult **mult);

/* Before it runs: adds a tap, by checked options. 0 or -ENOBUFS. */
int weir__mult_add(struct weir_mult *mult, struct weir_chan *chan,
                   const struct weir_tap_options *options);

/* As weir_mult_tap with checked options, but -EPIPE after the end, and nothing has changed. */
int weir__mult_tap(struct weir_mult *mult, struct weir_chan *chan,
                   const struct weir_tap_options *options, int64_t deadline_ns);

/* The mult, in the calling task, from begin to end. 0; negative when it could not go on, -ECANCELED
 * when the task was cancelled. */
int weir__mult_run(struct weir_mult *mult);

#endif
