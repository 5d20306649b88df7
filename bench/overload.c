/* SPDX-License-Identifier: MIT */
/*
 * An overload trial: the trial's process is the load generator, and forks the server. After a short
 * half load, during which everything is touched for the first time, comes the load that is
 * measured. What the server holds is read before and at its end, when the queues are longest.
 */
#include "overload.h"

#include "file.h"
#include "machine.h"
#include "trial.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SERVER_LIMIT_S = 14,
    WARM_MS = 300,
    MEASURED_MS = 2000,
    MEASURED_QUICK_MS = 1000,
    DRAIN_MS = 500,
    TENTHS = 10, /* bench->size is in tenths of the capacity */
};

static uint64_t resident_bytes(pid_t pid)
{
    char path[64], line[128];
    unsigned long kib = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmRSS: %lu", &kib) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return (uint64_t)kib << 10;
}

static pid_t start_server(const struct trial *trial, struct sockaddr_in *address)
{
    struct overload_job job = {
        .listener = trial_listen(address, OVERLOAD_CONNECTIONS),
        .kind = (enum overload_kind)trial->bench->kind,
        .file = -1,
    };
    pid_t server;

    if (job.kind == OVERLOAD_FILE)
        job.file = file_make(trial->settings->folder, OVERLOAD_BLOCKS * OVERLOAD_BLOCK_BYTES);
    server = trial_check(trial_fork(SERVER_LIMIT_S), "fork");
    if (server == 0) {
        machine_pin(CPU_SERVER);
        trial->contender->overload(&job);
        trial_fail("the server ended by itself");
    }
    close(job.listener);
    if (job.file >= 0)
        close(job.file);
    return server;
}

static void overload_run(const struct trial *trial, struct outcome *outcome)
{
    static struct overload_figures warm, figures;
    uint64_t measured_ms = trial->settings->quick ? MEASURED_QUICK_MS : MEASURED_MS;
    double seconds = (double)measured_ms / 1000, offered = OVERLOAD_CAPACITY * trial->bench->size;
    struct overload_load load = {
        .rate = OVERLOAD_CAPACITY / 2,
        .duration_ns = WARM_MS * NS_PER_MS,
        .drain_ns = DRAIN_MS * NS_PER_MS,
    };
    pid_t server = start_server(trial, &load.address);
    uint64_t before_bytes, after_bytes;

    machine_pin(CPU_CLIENT);
    overload_load_run(&load, &warm);
    before_bytes = resident_bytes(server);
    load.rate = offered / TENTHS;
    load.duration_ns = measured_ms * NS_PER_MS;
    overload_load_run(&load, &figures);
    after_bytes = resident_bytes(server);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    if (figures.sent == 0)
        trial_fail("nothing was sent");
    outcome->values[METRIC_OPS_PER_S] = (double)figures.good / seconds;
    outcome->values[METRIC_P50_US] = histogram_quantile(&figures.latency_ns, 0.5) / 1e3;
    outcome->values[METRIC_P99_US] = histogram_quantile(&figures.latency_ns, 0.99) / 1e3;
    snprintf(outcome->note, sizeof outcome->note,
             "offered %.0f/s, refused %.0f %%, unanswered %.0f %%, RSS %.1f to %.1f MiB",
             (double)figures.sent / seconds, 100.0 * (double)figures.refused / (double)figures.sent,
             100.0 * (double)figures.unanswered / (double)figures.sent,
             (double)before_bytes / (1 << 20), (double)after_bytes / (1 << 20));
}

const struct family overload_family = {
    .policy = "4 desks, 4 ms each: capacity 1000/s; requests open-loop, latency from when they "
              "were due; an answer after 50 ms is no operation; server and load generator each "
              "on a CPU; libuv: no bounds",
    .run = overload_run,
    .rounds = 3,
    .rounds_quick = 1,
    .limit_s = 15,
};
