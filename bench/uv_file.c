/* SPDX-License-Identifier: MIT */
/* libuv: file operations on its pool of threads, as its users write them. */
#include "file.h"
#include "uv_peer.h"

#include <uv.h>

struct uv_slot {
    uv_fs_t request;
    uv_buf_t buffer;
    struct file_job *job;
};

static void start(struct uv_slot *slot);

static void synced(uv_fs_t *request)
{
    struct uv_slot *slot = request->data;

    trial_check((int)request->result, "uv_fs_fdatasync");
    uv_fs_req_cleanup(request);
    if (meter_count(&slot->job->meter))
        start(slot);
}

static void moved(uv_fs_t *request)
{
    struct uv_slot *slot = request->data;

    file_check(request->result, "uv_fs_read or uv_fs_write");
    uv_fs_req_cleanup(request);
    if (slot->job->kind == FILE_APPEND_FSYNC)
        trial_check(uv_fs_fdatasync(uv_default_loop(), request, slot->job->fd, synced),
                    "uv_fs_fdatasync");
    else if (meter_count(&slot->job->meter))
        start(slot);
}

static void start(struct uv_slot *slot)
{
    struct file_job *job = slot->job;
    int64_t offset = (int64_t)file_next_offset(job);
    uv_loop_t *loop = uv_default_loop();
    int error;

    slot->request.data = slot;
    if (job->kind == FILE_READ_DIRECT || job->kind == FILE_READ_HOT)
        error = uv_fs_read(loop, &slot->request, job->fd, &slot->buffer, 1, offset, moved);
    else
        error = uv_fs_write(loop, &slot->request, job->fd, &slot->buffer, 1, offset, moved);
    trial_check(error, "uv_fs_read or uv_fs_write");
}

void uv_peer_file(struct file_job *job)
{
    static struct uv_slot slots[FILE_DEPTH_MAX];

    uv_peer_set_up(job->threads);
    for (unsigned index = 0; index < job->depth; index++) {
        slots[index].job = job;
        slots[index].buffer = uv_buf_init(file_buffer(job, index), FILE_BLOCK_BYTES);
        start(&slots[index]);
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
