/* SPDX-License-Identifier: MIT */
/* weir: one task in a loop of reads and writes. */
#include "copy.h"
#include "weir_peer.h"

#include <weir/file.h>

#include <stdlib.h>

static int copy_all(void *arg)
{
    const struct copy_job *job = arg;
    char *buffer = malloc(COPY_STEP_BYTES);

    for (uint64_t done = 0; buffer != NULL && done < job->bytes; done += COPY_STEP_BYTES) {
        ssize_t count = weir_pread_all(job->source_fd, buffer, COPY_STEP_BYTES, (off_t)done, NULL,
                                       WEIR_FOREVER);
        trial_check((int)count, "weir_pread_all");
        count = weir_pwrite_all(job->target_fd, buffer, COPY_STEP_BYTES, (off_t)done, NULL,
                                WEIR_FOREVER);
        trial_check((int)count, "weir_pwrite_all");
    }
    free(buffer);
    return 0;
}

void weir_copy(struct copy_job *job)
{
    struct weir_options options = weir_peer_options();

    weir_peer_run(copy_all, job, &options);
}
