/* SPDX-License-Identifier: MIT */
/*
 * A log that many append to. Each appender's record of LOG_RECORD_BYTES must be durable before its
 * next; what was appended while one commit was under way goes into the next, as one write and one
 * fdatasync.
 *
 * Whoever has committed a batch calls log_committed, never two at once.
 */
#ifndef BENCH_LOG_H
#define BENCH_LOG_H

#include "bench.h"

#include <stddef.h>

enum {
    LOG_RECORD_BYTES = 128,
    LOG_APPENDERS_MAX = 256,
    LOG_BATCH_BYTES = LOG_RECORD_BYTES * LOG_APPENDERS_MAX,
};

struct log_job {
    struct meter meter;
    int fd;
    unsigned appenders;
    uint64_t end; /* of the log, in bytes */
};

/* Blocking: writes the batch at the end of the log and makes it durable. Returns 0 or -errno. */
int log_write(const struct log_job *job, const void *batch, size_t bytes);

/* The batch is durable. Returns false when the measured time is over: append no more. */
bool log_committed(struct log_job *job, size_t bytes);

log_fn raw_log, threads_log, weir_log;

#endif
