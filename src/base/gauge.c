/* SPDX-License-Identifier: MIT */
/* The list of gauges; see gauge.h. */
#include "base/gauge.h"

#include "base/lock.h"

#include <string.h>

static struct weir__lock list_lock;
static struct weir__list gauges = { &gauges, &gauges };

void weir__gauge_add(struct weir__gauge *gauge)
{
    weir__lock_acquire(&list_lock);
    weir__list_append(&gauges, &gauge->link);
    weir__lock_release(&list_lock);
}

void weir__gauge_remove(struct weir__gauge *gauge)
{
    weir__lock_acquire(&list_lock);
    if (gauge->link.next) /* its neighbours write it, too */
        weir__list_unlink(&gauge->link);
    weir__lock_release(&list_lock);
}

size_t weir__gauge_read_all(struct weir_queue_stats *stats, size_t capacity)
{
    size_t count = 0;

    weir__lock_acquire(&list_lock);
    for (struct weir__list *link = gauges.next; link != &gauges; link = link->next, count++) {
        struct weir__gauge *gauge = WEIR_CONTAINER_OF(link, struct weir__gauge, link);

        if (count >= capacity)
            continue;
        stats[count] = (struct weir_queue_stats){ .loop_index = -1 };
        gauge->read(gauge, &stats[count]);
    }
    weir__lock_release(&list_lock);
    return count;
}

static void copy_name(char *target, const char *name)
{
    size_t bytes = strnlen(name, WEIR_QUEUE_NAME_BYTES - 1);

    memcpy(target, name, bytes);
    target[bytes] = 0;
}

void weir__gauge_name(struct weir_queue_stats *stats, const char *name, const char *owner)
{
    copy_name(stats->name, name);
    copy_name(stats->owner, owner);
}
