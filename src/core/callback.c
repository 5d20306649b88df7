/* SPDX-License-Identifier: MIT */
/* The callback task; see callback.h. */
#include "core/callback.h"

#include "core/park.h"

#include <errno.h>

const struct weir__reason weir__callback_awaits = { "callbacks", WEIR_PHASE_TASK, NULL };

static int run_callbacks(void *arg)
{
    struct weir__loop *loop = arg;
    struct weir__wait *wait = &loop->current->wait;
    struct weir__mail *mail;

    for (;;) {
        while ((mail = weir__queue_pop(&loop->callbacks))) {
            weir__counter_add(&loop->counters, WEIR_CALLBACKS_RUN, 1);
            mail->deliver(loop, mail);
            weir__sched_pay(loop);
        }
        if (!loop->callback_task)
            return 0;
        weir__wait_begin(wait, &weir__callback_awaits, NULL);
        loop->callback_idle = true;
        weir__wait_park(wait, INT64_MAX, WEIR__PARK_RELEASE);
    }
}

static void wake(struct weir__loop *loop, struct weir_task *task)
{
    if (!loop->callback_idle)
        return;
    loop->callback_idle = false;
    weir__wait_fire(&task->wait, 0);
}

int weir__callback_start(struct weir__loop *loop)
{
    loop->callback_task = weir__task_spawn_internal(loop, "callbacks", run_callbacks, loop);
    return loop->callback_task ? 0 : -ENOMEM;
}

void weir__callback_stop(struct weir__loop *loop)
{
    struct weir_task *task = loop->callback_task;

    weir__sched_settle(); /* it has run what was queued, and is idle */
    loop->callback_task = NULL;
    wake(loop, task);
    weir__sched_settle();
}

void weir__callback_post(struct weir__loop *loop, struct weir__mail *mail)
{
    weir__queue_push(&loop->callbacks, mail);
    wake(loop, loop->callback_task);
}

struct call {
    struct weir__mail mail;
    void (*fn)(void *arg);
    void *arg;
    struct weir__wait *wait;
};

static void deliver_call(struct weir__loop *loop, struct weir__mail *mail)
{
    struct call *call = WEIR_CONTAINER_OF(mail, struct call, mail);

    (void)loop;
    call->fn(call->arg);
    weir__wait_fire(call->wait, 0);
}

static const struct weir__reason awaits_callback = { "callback", WEIR_PHASE_TASK, NULL };

void weir__callback_call(void (*fn)(void *arg), void *arg)
{
    struct weir__loop *loop = weir__loop_current;
    struct call call = { .mail.deliver = deliver_call, .fn = fn, .arg = arg };

    if (!loop || loop->current == loop->callback_task) {
        fn(arg);
        return;
    }
    call.wait = weir__wait_self();
    weir__wait_begin(call.wait, &awaits_callback, NULL);
    weir__callback_post(loop, &call.mail);
    weir__wait_park(call.wait, INT64_MAX, WEIR__PARK_RELEASE);
}
