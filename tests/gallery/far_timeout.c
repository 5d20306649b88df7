/* SPDX-License-Identifier: MIT */
/*
 * A request times out, and its log blames the file it wanted to read; but the one thread of the pool
 * has been busy with a report all the while. The error says where the time went. Repaired: reports
 * have a pool of their own.
 */
#include "gallery.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

void gallery_options(struct weir_options *options)
{
    options->pool_threads_max = 1;
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
    error = weir_pool_run(load_file, NULL, weir_in_ms(5));
    snprintf(text, sizeof text, "request: %s: its deadline passed in the %s\n",
             weir_error_name(error), weir_phase_name(weir_expired_phase()));
    gallery_report(text);
    if (weir_join(task, &result, WEIR_FOREVER) < 0)
        return -1;
    return error == -ETIME ? result : -1;
}
