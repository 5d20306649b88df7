/* SPDX-License-Identifier: MIT */
/* Between arrays and channels: from_array, collect. */
#include "flow/worker.h"

#include <errno.h>

/* What could not be sent is still the array's: nothing is dropped. */
static int array_step(struct weir__worker *worker)
{
    const struct weir__plan *plan = &worker->crew->plan;
    struct weir_chan *output = plan->outputs[0];
    int result;

    if (worker->count == plan->count)
        return WEIR__STEP_ENDED;
    weir__meter_begin(worker->meter);
    weir__meter_received(worker->meter);
    result = weir_chan_send(output, plan->elems + worker->count * weir_chan_elem_size(output),
                            WEIR_FOREVER);
    if (result < 0)
        return weir__step_of(result);
    weir__meter_sent(worker->meter);
    worker->count++;
    return 0;
}

static const struct weir__stage_verbs array_verbs = {
    .name = "from_array",
    .step = array_step,
};

int weir_from_array(struct weir_scope *scope, const void *elems, size_t count,
                    struct weir_chan *output, const struct weir_stage_options *options)
{
    struct weir__plan plan = {
        .verbs = &array_verbs,
        .scope = scope,
        .outputs = { output },
        .elems = elems,
        .count = count,
    };

    if (!elems && count && weir_chan_elem_size(output))
        return -EINVAL;
    return weir__crew_start(&plan, options);
}

int weir_collect(struct weir_chan *input, void *elems, size_t capacity, size_t *count,
                 int64_t deadline_ns)
{
    size_t elem_size = weir_chan_elem_size(input);
    int error = 0;

    if (!input || !count || (!elems && capacity && elem_size))
        return -EINVAL;
    for (*count = 0; *count < capacity; ++*count) {
        error = weir_chan_recv(input, (unsigned char *)elems + *count * elem_size, deadline_ns);
        if (error < 0)
            break;
    }
    return error == -EPIPE ? 0 : error;
}
