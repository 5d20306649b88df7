/* SPDX-License-Identifier: MIT */
/* Async operations whose callbacks tell what they saw. */
#ifndef WEIR_TESTS_SYNC_ASYNC_FIXTURE_H
#define WEIR_TESTS_SYNC_ASYNC_FIXTURE_H

#include "sync/fixture.h"

/* An operation, and what its callback saw. */
struct call {
    struct weir_async async;
    struct weir_chan *chan;
    uint64_t value;
    int result;
    int answer; /* what the callback returns */
    atomic_int count;
};

static inline int note(struct weir_async *async, int result)
{
    struct call *call = async->context;

    CHECK(strcmp(weir_task_name(NULL), "callbacks") == 0);
    call->result = result;
    atomic_fetch_add(&call->count, 1);
    return call->answer;
}

static inline void prepare_call(struct call *call, struct weir_chan *chan, uint64_t value)
{
    *call = (struct call){ .chan = chan, .value = value };
    call->async = (struct weir_async){ .done = note, .context = call };
}

static inline int start_send(struct call *call, struct weir_chan *chan, uint64_t value,
                             int64_t deadline_ns)
{
    prepare_call(call, chan, value);
    return weir_chan_send_async(chan, &call->value, &call->async, deadline_ns);
}

static inline int start_recv(struct call *call, struct weir_chan *chan, int64_t deadline_ns)
{
    prepare_call(call, chan, UINT64_MAX);
    return weir_chan_recv_async(chan, &call->value, &call->async, deadline_ns);
}

static inline bool is_called(struct call *call)
{
    return atomic_load(&call->count) > 0;
}

/* Its callback has come, once and no more. */
static inline int end_call(struct call *call)
{
    AWAIT(is_called(call));
    weir__sched_settle();
    CHECK_SAME(call->count, 1);
    return call->result;
}

#endif
