/* SPDX-License-Identifier: MIT */
/* libuv: each call is a trip to its pool of threads, as its users have it. */
#include "storm.h"
#include "uv_peer.h"

#include <fcntl.h>
#include <uv.h>

struct uv_slot {
    uv_fs_t request;
    uv_buf_t buffer;
    struct storm_job *job;
    int fd;
    char name[STORM_NAME_BYTES];
    char content[STORM_FILE_BYTES];
};

static void start(struct uv_slot *slot);

/* The call's result; its request may be used again. */
static int64_t take_result(uv_fs_t *request)
{
    int64_t result = request->result;

    trial_check((int)result, "uv_fs");
    uv_fs_req_cleanup(request);
    return result;
}

static void ended(uv_fs_t *request)
{
    struct uv_slot *slot = request->data;

    take_result(request);
    if (meter_count(&slot->job->meter))
        start(slot);
}

static void got(uv_fs_t *request)
{
    struct uv_slot *slot = request->data;

    if (take_result(request) != STORM_FILE_BYTES)
        trial_fail("uv_fs_read: not the whole file");
    trial_check(uv_fs_close(uv_default_loop(), request, slot->fd, ended), "uv_fs_close");
}

static void opened(uv_fs_t *request)
{
    struct uv_slot *slot = request->data;

    slot->fd = (int)take_result(request);
    trial_check(uv_fs_read(uv_default_loop(), request, slot->fd, &slot->buffer, 1, 0, got),
                "uv_fs_read");
}

static void start(struct uv_slot *slot)
{
    uv_loop_t *loop = uv_default_loop();

    slot->request.data = slot;
    storm_next(slot->job, slot->name);
    if (slot->job->kind == STORM_STAT)
        trial_check(uv_fs_stat(loop, &slot->request, slot->name, ended), "uv_fs_stat");
    else
        trial_check(uv_fs_open(loop, &slot->request, slot->name, O_RDONLY, 0, opened),
                    "uv_fs_open");
}

void uv_peer_storm(struct storm_job *job)
{
    static struct uv_slot slots[STORM_DEPTH];

    uv_peer_set_up(job->threads);
    for (unsigned index = 0; index < job->depth; index++) {
        slots[index].job = job;
        slots[index].buffer = uv_buf_init(slots[index].content, STORM_FILE_BYTES);
        start(&slots[index]);
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
