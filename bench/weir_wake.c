/* SPDX-License-Identifier: MIT */
/*
 * A message to a task on another loop and back, through channels of capacity one, so that the way
 * back is the only wait, as in the bare twins; one operation is one way. Without spinning each loop
 * sleeps in the kernel when the message comes.
 */
#include "weir_peer.h"

#include "echo.h"

#include <weir/chan.h>
#include <weir/scope.h>
#include <weir/task.h>

struct wake {
    uint64_t turn_count;
    uint64_t elapsed_ns;
    struct weir_chan *there, *back;
};

static int answer(void *arg)
{
    struct wake *wake = arg;
    uint64_t value;

    for (uint64_t turn = 0; turn < wake->turn_count; turn++) {
        trial_check(weir_chan_recv(wake->there, &value, WEIR_FOREVER), "weir_chan_recv");
        trial_check(weir_chan_send(wake->back, &value, WEIR_FOREVER), "weir_chan_send");
    }
    return 0;
}

static int ask(void *arg)
{
    struct weir_spawn_options other_loop = {
        .size = sizeof other_loop,
        .place = WEIR_PLACE_LOOP,
        .loop_index = 1,
    };
    struct wake *wake = arg;
    struct weir_scope *scope;
    uint64_t start_ns, value;

    trial_check(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), "weir_scope_create");
    trial_check(weir_spawn(scope, answer, wake, &other_loop), "weir_spawn");
    start_ns = now_ns();
    for (uint64_t turn = 0; turn < wake->turn_count; turn++) {
        trial_check(weir_chan_send(wake->there, &turn, WEIR_FOREVER), "weir_chan_send");
        trial_check(weir_chan_recv(wake->back, &value, WEIR_FOREVER), "weir_chan_recv");
    }
    wake->elapsed_ns = now_ns() - start_ns;
    return weir_scope_join(scope, WEIR_FOREVER);
}

static uint64_t run(uint64_t op_count, int64_t spin_max_ns)
{
    struct weir_options options = weir_peer_options();
    struct wake wake = { .turn_count = op_count / 2 };

    options.loop_count = 2;
    options.spin_max_ns = spin_max_ns;
    trial_check(weir_chan_create(&wake.there, sizeof(uint64_t), 1, NULL), "weir_chan_create");
    trial_check(weir_chan_create(&wake.back, sizeof(uint64_t), 1, NULL), "weir_chan_create");
    weir_peer_run(ask, &wake, &options);
    trial_check(weir_chan_release(wake.there), "weir_chan_release");
    trial_check(weir_chan_release(wake.back), "weir_chan_release");
    return wake.elapsed_ns;
}

uint64_t weir_wake_asleep(uint64_t op_count)
{
    return run(op_count, -1);
}

uint64_t weir_wake_spinning(uint64_t op_count)
{
    return run(op_count, (int64_t)ECHO_SPIN_NS);
}
