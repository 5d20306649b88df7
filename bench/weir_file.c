/* SPDX-License-Identifier: MIT */
/* weir: as many tasks as operations in flight, each in a plain loop of calls. */
#include "file.h"
#include "weir_peer.h"

#include <weir/file.h>
#include <weir/scope.h>
#include <weir/task.h>

struct weir_slot {
    struct file_job *job;
    char *buffer;
};

static void operate(const struct weir_slot *slot)
{
    struct file_job *job = slot->job;
    int64_t offset = (int64_t)file_next_offset(job);

    if (job->kind == FILE_READ_DIRECT || job->kind == FILE_READ_HOT)
        file_check(weir_pread(job->fd, slot->buffer, FILE_BLOCK_BYTES, offset, WEIR_FOREVER),
                   "weir_pread");
    else
        file_check(weir_pwrite(job->fd, slot->buffer, FILE_BLOCK_BYTES, offset, WEIR_FOREVER),
                   "weir_pwrite");
    if (job->kind == FILE_APPEND_FSYNC)
        trial_check(weir_fdatasync(job->fd, WEIR_FOREVER), "weir_fdatasync");
}

static int keep_one_in_flight(void *arg)
{
    struct weir_slot *slot = arg;

    do
        operate(slot);
    while (meter_count(&slot->job->meter));
    return 0;
}

static int keep_all_in_flight(void *arg)
{
    struct weir_slot slots[FILE_DEPTH_MAX];
    struct file_job *job = arg;
    struct weir_scope *scope;

    trial_check(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), "weir_scope_create");
    for (unsigned index = 0; index < job->depth; index++) {
        slots[index] = (struct weir_slot){ job, file_buffer(job, index) };
        trial_check(weir_spawn(scope, keep_one_in_flight, &slots[index], NULL), "weir_spawn");
    }
    return weir_scope_join(scope, WEIR_FOREVER);
}

void weir_file(struct file_job *job)
{
    struct weir_options options = weir_peer_options();

    weir_peer_run(keep_all_in_flight, job, &options);
}
