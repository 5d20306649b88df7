/* SPDX-License-Identifier: MIT */
/* Deadlines of scopes; see alarm.h. */
#include "core/alarm.h"

#include "core/park.h"
#include "core/scope.h"

#include <errno.h>

struct weir__alarm {
    struct weir__loop *home;
    struct weir__timer timer; /* home loop only */
    struct weir__mail mail;   /* ends it from elsewhere */
    struct weir__lock lock;
    struct weir_scope *scope; /* under the lock; NULL: taken back */
};

/* Under the alarm's lock the scope cannot go: who ends it takes that lock first. */
static void ring(struct weir__timer *timer)
{
    struct weir__alarm *alarm = WEIR_CONTAINER_OF(timer, struct weir__alarm, timer);
    struct weir__errands errands;

    weir__errands_init(&errands);
    weir__lock_acquire(&alarm->lock);
    if (alarm->scope) {
        weir__lock_acquire(&alarm->scope->lock);
        weir__scope_cancel_children(alarm->scope, -ETIME, &errands);
        weir__lock_release(&alarm->scope->lock);
    }
    weir__lock_release(&alarm->lock);
    weir__errands_run(&errands);
}

struct weir__alarm *weir__alarm_create(struct weir_scope *scope, int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;
    struct weir__alarm *alarm = weir__memory_zalloc(loop->heap, sizeof *alarm);

    if (!alarm)
        return NULL;
    alarm->home = loop;
    alarm->scope = scope;
    weir__timer_init(&alarm->timer, ring);
    weir__timer_arm(&loop->wheel, &alarm->timer, deadline_ns);
    return alarm;
}

static void destroy(struct weir__loop *loop, struct weir__mail *mail)
{
    struct weir__alarm *alarm = WEIR_CONTAINER_OF(mail, struct weir__alarm, mail);

    weir__timer_disarm(&loop->wheel, &alarm->timer);
    weir__memory_free(alarm);
}

void weir__alarm_end(struct weir__alarm *alarm)
{
    weir__lock_acquire(&alarm->lock);
    alarm->scope = NULL;
    weir__lock_release(&alarm->lock);
    alarm->mail.deliver = destroy;
    if (alarm->home == weir__loop_current)
        destroy(alarm->home, &alarm->mail);
    else
        weir__loop_post(alarm->home, &alarm->mail);
}
