/* SPDX-License-Identifier: MIT */
/* libuv: appenders are callbacks; a batch is a write and an fdatasync on the pool of threads. */
#include "log.h"
#include "uv_peer.h"

#include <string.h>
#include <uv.h>

struct uv_log {
    uv_fs_t request;
    struct log_job *job;
    size_t bytes; /* of the batch under way */
    char batch[LOG_BATCH_BYTES];
};

static void start(struct uv_log *log);

/* Every appender of the batch has its record durable, and appends the next. */
static void synced(uv_fs_t *request)
{
    struct uv_log *log = request->data;

    trial_check((int)request->result, "uv_fs_fdatasync");
    uv_fs_req_cleanup(request);
    if (log_committed(log->job, log->bytes))
        start(log);
}

static void written(uv_fs_t *request)
{
    struct uv_log *log = request->data;

    trial_check((int)request->result, "uv_fs_write");
    if ((size_t)request->result != log->bytes)
        trial_fail("uv_fs_write: not the whole batch");
    uv_fs_req_cleanup(request);
    trial_check(uv_fs_fdatasync(uv_default_loop(), request, log->job->fd, synced),
                "uv_fs_fdatasync");
}

static void start(struct uv_log *log)
{
    const char record[LOG_RECORD_BYTES] = "record";
    uv_buf_t buffer;

    log->bytes = 0;
    for (unsigned index = 0; index < log->job->appenders; index++) {
        memcpy(log->batch + log->bytes, record, sizeof record);
        log->bytes += sizeof record;
    }
    buffer = uv_buf_init(log->batch, (unsigned)log->bytes);
    trial_check(uv_fs_write(uv_default_loop(), &log->request, log->job->fd, &buffer, 1,
                            (int64_t)log->job->end, written),
                "uv_fs_write");
}

void uv_peer_log(struct log_job *job)
{
    static struct uv_log log;

    uv_peer_set_up(THREADS_DEFAULT);
    log.job = job;
    log.request.data = &log;
    start(&log);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
