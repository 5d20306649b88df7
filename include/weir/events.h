/* SPDX-License-Identifier: MIT */
/*
 * The way of single elements through channels, for those who look for one: which loop sent it,
 * which handed it over, which received it. Only in a library built with -DWEIR_EVENTS=ON; in any
 * other these calls return -ENOTSUP and channels contain no trace of it.
 *
 * Events go to one bounded ring of the process. What comes when it is full is lost, and counted.
 *
 * Example:
 *     struct weir_event events[64];
 *     uint64_t lost;
 *     int count = weir_events_read(events, 64, &lost);
 */
#ifndef WEIR_EVENTS_H
#define WEIR_EVENTS_H

#include <weir/base.h>

enum weir_event_kind {
    WEIR_EVENT_SENT,     /* into the buffer */
    WEIR_EVENT_HANDED,   /* from a sender to a receiver, without the buffer */
    WEIR_EVENT_RECEIVED, /* out of the buffer */
};

struct weir_event {
    enum weir_event_kind kind;
    int from_loop; /* index of the sender's loop; -1: a plain thread, or it is not known any more */
    int to_loop;   /* of the receiver's; -1: a plain thread, or not known yet */
    const void *chan; /* which, for comparing */
    uint64_t number;  /* of the element among those that this channel let in, from 0 */
    char name[32];    /* the channel's */
};

WEIR_BEGIN

/* Makes room for `capacity` events and begins to note them; 0 ends it. Returns 0; -ENOTSUP;
 * -ENOMEM. Not while channels are in use by other threads. */
WEIR_API int weir_events_start(size_t capacity) WEIR_ANY_THREAD;

/* Takes at most `count` events, oldest first, and says how many were lost since the last call.
 * Returns how many; -ENOTSUP; -EINVAL. */
WEIR_API int weir_events_read(struct weir_event *events, size_t count,
                              uint64_t *lost) WEIR_ANY_THREAD;

WEIR_END

#endif
