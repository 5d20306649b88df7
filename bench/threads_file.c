/* SPDX-License-Identifier: MIT */
/* A pool of threads: each does the blocking calls of one operation. */
#include "file.h"
#include "thread_pool.h"

#include <errno.h>
#include <unistd.h>

struct request {
    struct pool_request head;
    uint64_t offset;
    int64_t result;
    unsigned slot;
};

static void operate(void *argument, struct pool_request *head)
{
    struct request *request = (struct request *)head;
    const struct file_job *job = argument;
    char *buffer = file_buffer(job, request->slot);
    ssize_t moved;

    if (job->kind == FILE_READ_DIRECT || job->kind == FILE_READ_HOT)
        moved = pread(job->fd, buffer, FILE_BLOCK_BYTES, (off_t)request->offset);
    else
        moved = pwrite(job->fd, buffer, FILE_BLOCK_BYTES, (off_t)request->offset);
    if (moved >= 0 && job->kind == FILE_APPEND_FSYNC && fdatasync(job->fd) < 0)
        moved = -1;
    request->result = moved < 0 ? -errno : moved;
}

static bool finish(void *argument, struct pool_request *head)
{
    struct request *request = (struct request *)head;
    struct file_job *job = argument;

    file_check(request->result, "a block in the pool");
    if (!meter_count(&job->meter))
        return false;
    request->offset = file_next_offset(job);
    return true;
}

void threads_file(struct file_job *job)
{
    struct pool_work work = { .job = job, .operate = operate, .finish = finish };
    struct request requests[FILE_DEPTH_MAX];
    struct pool_request *next = NULL;

    for (unsigned slot = 0; slot < job->depth; slot++) {
        requests[slot] = (struct request){ { next }, file_next_offset(job), 0, slot };
        next = &requests[slot].head;
    }
    thread_pool_run(&work, job->threads, next);
}
