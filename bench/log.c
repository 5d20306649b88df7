/* SPDX-License-Identifier: MIT */
/*
 * The trials of the log.
 *
 * Policy: 256 appenders, each with one record under way; a loop is bound to the server's CPU,
 * threads may use every CPU; nobody spins. The limit is one thread that writes full batches.
 */
#include "log.h"

#include "file.h"

#include <errno.h>
#include <unistd.h>

int log_write(const struct log_job *job, const void *batch, size_t bytes)
{
    ssize_t written = pwrite(job->fd, batch, bytes, (off_t)job->end);

    if (written != (ssize_t)bytes)
        return written < 0 ? -errno : -ENOSPC;
    return fdatasync(job->fd) < 0 ? -errno : 0;
}

bool log_committed(struct log_job *job, size_t bytes)
{
    bool more = true;

    job->end += bytes;
    for (size_t done = 0; done < bytes; done += LOG_RECORD_BYTES)
        more = meter_count(&job->meter);
    return more;
}

void raw_log(struct log_job *job)
{
    static char batch[LOG_BATCH_BYTES];
    size_t bytes = (size_t)job->appenders * LOG_RECORD_BYTES;

    do
        trial_check(log_write(job, batch, bytes), "a batch");
    while (log_committed(job, bytes));
}

static void log_run(const struct trial *trial, struct outcome *outcome)
{
    struct log_job job = {
        .appenders = trial->bench->size,
        .fd = trial_check(file_open_unnamed(trial->settings->folder), "a file to append to"),
    };

    job.meter.warm_ns = 50 * NS_PER_MS;
    job.meter.measure_ns = (trial->settings->quick ? 200 : 600) * NS_PER_MS;
    trial->contender->log(&job);
    outcome->values[METRIC_OPS_PER_S] = meter_ops_per_s(&job.meter);
    outcome->values[METRIC_CPU_NS_PER_OP] = meter_cpu_ns_per_op(&job.meter);
}

static void log_prepare(const struct bench *bench, const struct settings *settings)
{
    (void)bench;
    file_need_unnamed(settings);
}

const struct family log_family = {
    .policy = "records of 128 B; each is durable before its appender's next; raw: one thread that "
              "writes full batches; a loop is bound to one CPU, threads use all; nobody spins",
    .prepare = log_prepare,
    .run = log_run,
    .rounds = 3,
    .rounds_quick = 2,
    .limit_s = 8,
};
