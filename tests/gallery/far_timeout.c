/* SPDX-License-Identifier: MIT */
/*
 * A request times out, and its log blames the file it wanted to read; but the one thread of the
 * pool has been busy with a report all the while. The error says where the time went. Repaired:
 * reports have a pool of their own.
 */
#include "gallery.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

void gallery_options(struct weir_options *options)
{
    options->pool_threads_max = 1;
    options->blocking_check = WEIR_BLOCKING_CHECK_OFF; /* it would name the program's own log */
}

static int write_report(void *arg)
{
    char byte;

    (void)arg;
    return read(gallery_descriptor(), &byte, 1) == 1 ? 0 : -1;
}

static int load_file(void *arg)
{
    (void)arg;
    return access("/etc/passwd", R_OK);
}

static int report_task(void *arg)
{
    (void)arg;
    return weir_pool_run(write_report, NULL, WEIR_FOREVER);
}

static void await_thread_at_work(void)
{
    struct weir_pool_stats stats = { 0 };

    while (weir_pool_read_stats(&stats) == 0 && stats.threads_busy == 0)
        weir_yield();
}

int wrong(void *arg)
{
    char text[128];
    struct weir_task *task;
    const struct weir_spawn_options options = { .name = "report", .task = &task };
    int error = weir_spawn(weir_task_scope(), report_task, NULL, &options), result;

    (void)arg;
    if (error < 0)
        return error;
    await_thread_at_work();
    error = weir_pool_run(load_file, NULL, weir_in_ms(100));
    snprintf(text, sizeof text, "request: %s: its deadline passed in the %s\n",
             weir_error_name(error), weir_phase_name(weir_expired_phase()));
    gallery_report(text);
    if (weir_join(task, &result, WEIR_FOREVER) < 0)
        return -1;
    return error == -ETIME ? result : -1;
}

static struct own_report {
    struct weir_pool *pool;
    int fd;
} own_report;

static int write_own_report(void *arg)
{
    char byte;

    (void)arg;
    return read(own_report.fd, &byte, 1) == 1 ? 0 : -1;
}

static int own_report_task(void *arg)
{
    return weir_pool_run_on(own_report.pool, write_own_report, arg, NULL, WEIR_FOREVER);
}

int repaired(void *arg)
{
    struct weir_pool *reports;
    struct weir_task *task;
    int fds[2], result, error;

    (void)arg;
    if (weir_pool_create(&reports, "reports", NULL) < 0 || weir_pipe2(fds, 0) < 0)
        return -1;
    own_report = (struct own_report){ .pool = reports, .fd = fds[0] };
    error = weir_spawn(weir_task_scope(), own_report_task, NULL,
                       &(struct weir_spawn_options){ .name = "report", .task = &task });
    if (error >= 0)
        error = weir_pool_run(load_file, NULL, weir_in_seconds(60));
    if (weir_write(fds[1], "x", 1, WEIR_FOREVER) != 1 || weir_join(task, &result, WEIR_FOREVER) < 0)
        return -1;
    weir_close(fds[0]);
    weir_close(fds[1]);
    return weir_pool_destroy(reports) < 0 || result < 0 ? -1 : error;
}
