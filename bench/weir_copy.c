/* SPDX-License-Identifier: MIT */
/* weir: one task, one call. */
#include "copy.h"
#include "weir_peer.h"

#include <weir/copy.h>

static int copy_all(void *arg)
{
    const struct copy_job *job = arg;

    return weir_copy(job->source_fd, 0, job->target_fd, 0, WEIR_COPY_ALL, NULL, NULL, WEIR_FOREVER);
}

void weir_copy_1g(struct copy_job *job)
{
    struct weir_options options = weir_peer_options();

    weir_peer_run(copy_all, job, &options);
}
