/* SPDX-License-Identifier: MIT */
/* The ring of events; see <weir/events.h>. Its lock is taken under a channel's, and holds nothing
 * up for longer than one copy. */
#include "sync/events.h"

#include <errno.h>

#ifdef WEIR_EVENTS

#include "base/memory.h"
#include "sync/chan.h"

#include <limits.h>

static struct {
    struct weir__lock lock;
    struct weir_event *events;
    size_t capacity;
    size_t head;
    size_t count;
    uint64_t lost;
} ring;

static int loop_index(const struct weir__wait *wait)
{
    const struct weir__loop *loop = wait ? wait->loop : weir__loop_current;

    return loop ? (int)loop->index : -1;
}

static void put(const struct weir_event *event)
{
    weir__lock_acquire(&ring.lock);
    if (ring.count < ring.capacity)
        ring.events[(ring.head + ring.count++) % ring.capacity] = *event;
    else
        ring.lost++;
    weir__lock_release(&ring.lock);
}

void weir__event_note(struct weir_chan *chan, enum weir_event_kind kind,
                      const struct weir__wait *from, const struct weir__wait *to)
{
    struct weir_event event = {
        .kind = kind,
        .from_loop = kind == WEIR_EVENT_RECEIVED ? -1 : loop_index(from),
        .to_loop = kind == WEIR_EVENT_SENT ? -1 : loop_index(to),
        .chan = chan,
        .number = kind == WEIR_EVENT_RECEIVED ? chan->noted_out++ : chan->noted_in++,
    };

    if (kind == WEIR_EVENT_HANDED)
        chan->noted_out++;
    strcpy(event.name, chan->name);
    put(&event);
}

int weir_events_start(size_t capacity)
{
    struct weir_event *events = NULL;

    if (capacity > INT_MAX)
        return -ENOMEM;
    if (capacity) {
        events = weir__memory_alloc(NULL, capacity * sizeof *events);
        if (!events)
            return -ENOMEM;
    }
    weir__memory_free(ring.events);
    ring.events = events;
    ring.capacity = capacity;
    ring.head = 0;
    ring.count = 0;
    ring.lost = 0;
    return 0;
}

int weir_events_read(struct weir_event *events, size_t count, uint64_t *lost)
{
    size_t taken = 0;

    if (!lost || (count && !events))
        return -EINVAL;
    weir__lock_acquire(&ring.lock);
    for (; taken < count && ring.count > 0; taken++, ring.count--) {
        events[taken] = ring.events[ring.head];
        ring.head = (ring.head + 1) % ring.capacity;
    }
    *lost = ring.lost;
    ring.lost = 0;
    weir__lock_release(&ring.lock);
    return (int)taken;
}

#else

int weir_events_start(size_t capacity)
{
    (void)capacity;
    return -ENOTSUP;
}

int weir_events_read(struct weir_event *events, size_t count, uint64_t *lost)
{
    (void)events;
    (void)count;
    (void)lost;
    return -ENOTSUP;
}

#endif
