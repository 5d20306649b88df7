/* SPDX-License-Identifier: MIT */
/* The counters' names. */
#include "base/counter.h"

static const char *const names[WEIR_COUNTER_COUNT] = {
    [WEIR_TASKS_NOW] = "tasks_now",
    [WEIR_TASKS_STARTED] = "tasks_started",
    [WEIR_TASKS_FAILED] = "tasks_failed",
    [WEIR_FAILURES_REPORTED] = "failures_reported",
    [WEIR_SPAWNS_WAITED] = "spawns_waited",
    [WEIR_SPAWN_WAIT_NS] = "spawn_wait_ns",
    [WEIR_SPAWNS_REFUSED] = "spawns_refused",
    [WEIR_SPAWNS_EXPIRED] = "spawns_expired",
    [WEIR_STACKS_NOW] = "stacks_now",
    [WEIR_STACKS_KEPT_NOW] = "stacks_kept_now",
    [WEIR_STACK_BYTES_NOW] = "stack_bytes_now",
    [WEIR_SWITCHES] = "switches",
    [WEIR_TURNS] = "turns",
    [WEIR_SLEEPS] = "sleeps",
    [WEIR_SPINS] = "spins",
    [WEIR_SPINS_WON] = "spins_won",
    [WEIR_MAIL_RECEIVED] = "mail_received",
    [WEIR_DOORBELLS_RUNG] = "doorbells_rung",
    [WEIR_TIMERS_NOW] = "timers_now",
    [WEIR_CANCELS_RECEIVED] = "cancels_received",
    [WEIR_CALLBACKS_RUN] = "callbacks_run",
    [WEIR_OPS_INLINE] = "ops_inline",
    [WEIR_OPS_RING] = "ops_ring",
    [WEIR_OPS_POOL] = "ops_pool",
    [WEIR_OPS_CANCELLED] = "ops_cancelled",
    [WEIR_OPS_EXPIRED] = "ops_expired",
    [WEIR_SUBMISSIONS_NOW] = "submissions_now",
    [WEIR_SUBMISSIONS_WAITED] = "submissions_waited",
    [WEIR_SUBMISSION_WAIT_NS] = "submission_wait_ns",
    [WEIR_SUBMISSIONS_REFUSED] = "submissions_refused",
    [WEIR_SUBMISSIONS_EXPIRED] = "submissions_expired",
    [WEIR_RING_ENTERS] = "ring_enters",
    [WEIR_RING_SUBMITTED] = "ring_submitted",
    [WEIR_RING_COMPLETED] = "ring_completed",
    [WEIR_RING_OVERFLOWS] = "ring_overflows",
    [WEIR_RECEIVE_BUFFERS_NOW] = "receive_buffers_now",
    [WEIR_RECEIVE_BUFFERS_MAX] = "receive_buffers_max",
    [WEIR_RECEIVE_BUFFERS_MISSING] = "receive_buffers_missing",
    [WEIR_STREAMS_STARVED] = "streams_starved",
    [WEIR_OPS_REGISTERED] = "ops_registered",
    [WEIR_BUFFERS_NOW] = "buffers_now",
    [WEIR_BUFFER_BYTES_NOW] = "buffer_bytes_now",
    [WEIR_OPS_REFUSED] = "ops_refused",
    [WEIR_OPS_REROUTED] = "ops_rerouted",
};

const char *weir_counter_name(int counter)
{
    return counter >= 0 && counter < WEIR_COUNTER_COUNT ? names[counter] : NULL;
}
