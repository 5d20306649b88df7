/* SPDX-License-Identifier: MIT */
/* Where channels say what happens to an element; nothing, unless built with WEIR_EVENTS. Under the
 * channel's lock. */
#ifndef WEIR_SYNC_EVENTS_H
#define WEIR_SYNC_EVENTS_H

#include <weir/events.h>

struct weir__wait;
struct weir_chan;

#ifdef WEIR_EVENTS

/* A NULL wait is the caller's. */
void weir__event_note(struct weir_chan *chan, enum weir_event_kind kind,
                      const struct weir__wait *from, const struct weir__wait *to);

#else

static inline void weir__event_note(struct weir_chan *chan, enum weir_event_kind kind,
                                    const struct weir__wait *from, const struct weir__wait *to)
{
    (void)chan;
    (void)kind;
    (void)from;
    (void)to;
}

#endif

#endif
