/* SPDX-License-Identifier: MIT */
/* Lines; see line.h. */
#include "sync/line.h"

#include "base/memory.h"
#include "core/park.h"

#include <errno.h>
#include <string.h>

int weir__line_create(void **made, size_t bytes, const char *name, const char *nameless)
{
    struct weir__line *line;

    if (weir__loop_forked)
        return -EOWNERDEAD;
    if (name && strlen(name) >= sizeof line->name)
        return -E2BIG;
    line = weir__memory_zalloc(weir__loop_current ? weir__loop_current->heap : NULL, bytes);
    if (!line)
        return -ENOMEM;
    weir__list_init(&line->waiters);
    strcpy(line->name, name ? name : nameless);
    *made = line;
    return 0;
}

/* Under the lock: a wait has ended. */
static void count_wait(struct weir__line *line, int64_t start_ns, int code)
{
    uint64_t waited_ns = (uint64_t)(weir__wait_now() - start_ns);

    line->waiting--;
    line->waited_total++;
    line->wait_ns += waited_ns;
    if (line->wait_max_ns < waited_ns)
        line->wait_max_ns = waited_ns;
    line->expired_total += code == -ETIME;
}

int weir__line_wait(struct weir__line *line, const struct weir__reason *reason, const void *object,
                    int64_t deadline_ns)
{
    struct weir__waiter waiter = { .wait = weir__wait_self(), .alone = true };
    int64_t start_ns = weir__wait_now();
    int code = weir__wait_refuse(deadline_ns);

    if (code < 0) {
        line->refused_total += code == -EAGAIN;
        line->expired_total += code == -ETIME;
        weir__lock_release(&line->lock);
        return code;
    }
    weir__wait_begin(waiter.wait, reason, object);
    weir__list_append(&line->waiters, &waiter.link);
    if (++line->waiting > line->waiting_max)
        line->waiting_max = line->waiting;
    weir__lock_release(&line->lock);
    code = weir__wait_park(waiter.wait, deadline_ns, WEIR__PARK_CANCELLABLE);
    weir__lock_acquire(&line->lock);
    if (code < 0)
        weir__list_unlink(&waiter.link);
    count_wait(line, start_ns, code);
    weir__lock_release(&line->lock);
    return code < 0 ? code : waiter.result;
}
