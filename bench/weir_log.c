/* SPDX-License-Identifier: MIT */
/*
 * weir: a task per appender, which calls the writer through a port; the writer takes all calls that
 * are there, commits them, and replies to each.
 */
#include "log.h"
#include "weir_peer.h"

#include <weir/call.h>
#include <weir/chan.h>
#include <weir/file.h>
#include <weir/scope.h>
#include <weir/task.h>

#include <string.h>

struct weir_log {
    struct log_job *job;
    struct weir_chan *port;
    struct weir_call *calls[LOG_APPENDERS_MAX];
    char batch[LOG_BATCH_BYTES];
};

/* Returns 0, or -EPIPE when the writer has ended. */
static int append(void *arg)
{
    char record[LOG_RECORD_BYTES] = "record";
    struct weir_log *log = arg;

    while (weir_call(log->port, record, NULL, NULL, WEIR_FOREVER) >= 0)
        ;
    return 0;
}

/* Waits for the first call; the others are there or not. Returns how many. */
static unsigned take_calls(struct weir_log *log)
{
    int64_t deadline_ns = WEIR_FOREVER;
    unsigned count = 0;

    while (count < LOG_APPENDERS_MAX &&
           weir_call_recv(log->port, &log->calls[count], deadline_ns) >= 0) {
        memcpy(log->batch + (size_t)count * LOG_RECORD_BYTES, weir_call_request(log->calls[count]),
               LOG_RECORD_BYTES);
        deadline_ns = WEIR_NOW;
        count++;
    }
    return count;
}

static int write_batches(struct weir_log *log)
{
    struct log_job *job = log->job;
    bool more;

    do {
        unsigned count = take_calls(log);
        size_t bytes = (size_t)count * LOG_RECORD_BYTES;
        if (weir_pwrite_all(job->fd, log->batch, bytes, (off_t)job->end, NULL, WEIR_FOREVER) < 0)
            trial_fail("weir_pwrite_all failed");
        trial_check(weir_fdatasync(job->fd, WEIR_FOREVER), "weir_fdatasync");
        more = log_committed(job, bytes);
        for (unsigned index = 0; index < count; index++)
            weir_reply(log->calls[index], 0);
    } while (more);
    return weir_chan_abort(log->port, 0);
}

static int serve(void *arg)
{
    struct weir_log *log = arg;
    struct weir_scope *scope;
    int error;

    trial_check(weir_port_create(&log->port, "log", LOG_RECORD_BYTES, 0), "weir_port_create");
    trial_check(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), "weir_scope_create");
    for (unsigned index = 0; index < log->job->appenders; index++)
        trial_check(weir_spawn(scope, append, log, NULL), "weir_spawn");
    write_batches(log);
    error = weir_scope_join(scope, WEIR_FOREVER);
    weir_chan_release(log->port);
    return error;
}

void weir_log(struct log_job *job)
{
    struct weir_options options = weir_peer_options();
    static struct weir_log log;

    log.job = job;
    weir_peer_run(serve, &log, &options);
}
