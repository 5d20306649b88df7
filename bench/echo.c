/* SPDX-License-Identifier: MIT */
/*
 * An echo trial: the trial's process is the load generator, and forks the server.
 *
 * Policy: the server's process is bound to one CPU, the load generator to another. The server's CPU
 * time is read from its process clock at both ends of the closed loop, so it holds every thread of
 * it, user and system. Every server receives into buffers of 4 KiB and sets TCP_NODELAY. What may
 * spin does so for at most 50 us before it sleeps; what may not sleeps at once.
 */
#include "echo.h"

#include "machine.h"
#include "trial.h"

#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SERVER_LIMIT_S = 11,
    SAMPLES_PER_ROUND = 36000, /* three rounds: over 10^5 */
    SAMPLES_QUICK = 12000,
    DESCRIPTORS_SPARE = 64,
};

int echo_accepted(int fd)
{
    int on = 1;

    trial_check_errno(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
    return fd;
}

pid_t echo_start_server(const struct trial *trial, struct sockaddr_in *address, unsigned limit_s)
{
    struct echo_job job = {
        .listener = trial_listen(address, ECHO_CONNECTIONS_MAX),
        .connections = trial->bench->size,
        .threads = trial->threads,
        .spin_ns = trial->contender->spin ? ECHO_SPIN_NS : 0,
    };
    pid_t server = trial_check(trial_fork(limit_s), "fork");

    if (server == 0) {
        machine_pin(trial->contender->unbound ? CPU_ANY : CPU_SERVER);
        trial->contender->echo(&job);
        trial_fail("the server ended by itself");
    }
    close(job.listener);
    return server;
}

static void load_server(const struct trial *trial, struct echo_load *load,
                        struct echo_figures *figures)
{
    pid_t server = echo_start_server(trial, &load->address, SERVER_LIMIT_S);

    load->connections = trial->bench->size;
    load->seed = UINT64_C(0x9E3779B97F4A7C15) + trial->round;
    if (clock_getcpuclockid(server, &load->server_clock) != 0)
        trial_fail("the server has no CPU clock");
    machine_pin(CPU_CLIENT);
    echo_load_run(load, figures);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

static void echo_run(const struct trial *trial, struct outcome *outcome)
{
    static struct echo_figures figures;
    bool quick = trial->settings->quick;
    struct echo_load load = {
        .warm_ns = (quick ? 50 : 100) * NS_PER_MS,
        .closed_ns = (quick ? 120 : 400) * NS_PER_MS,
        .open_share = 0.7,
        .open_samples = quick ? SAMPLES_QUICK : SAMPLES_PER_ROUND,
        .open_max_ns = (quick ? 200 : 4000) * NS_PER_MS,
    };

    load_server(trial, &load, &figures);
    outcome->values[METRIC_OPS_PER_S] = figures.ops_per_s;
    outcome->values[METRIC_CPU_NS_PER_OP] = figures.cpu_ns_per_op;
    outcome->values[METRIC_P50_US] = histogram_quantile(&figures.latency_ns, 0.5) / 1e3;
    outcome->values[METRIC_P99_US] = histogram_quantile(&figures.latency_ns, 0.99) / 1e3;
    outcome->values[METRIC_P999_US] = histogram_quantile(&figures.latency_ns, 0.999) / 1e3;
    snprintf(outcome->note, sizeof outcome->note, "load generator %.0f %% busy",
             figures.client_busy * 100);
}

static void waiting_run(const struct trial *trial, struct outcome *outcome)
{
    static struct echo_figures figures;
    bool quick = trial->settings->quick;
    struct echo_load load = {
        .warm_ns = 100 * NS_PER_MS,
        .closed_ns = (quick ? 400 : 1000) * NS_PER_MS,
    };

    load_server(trial, &load, &figures);
    outcome->values[METRIC_OPS_PER_S] = figures.ops_per_s;
    outcome->values[METRIC_CPU_NS_PER_OP] = figures.cpu_ns_per_op;
}

const char *echo_why_not(const struct bench *bench)
{
    static char reason[96];

    if (machine_ring_reason() != NULL)
        return machine_ring_reason(); /* the load generator needs it too */
    if (machine_descriptor_limit() >= bench->size + DESCRIPTORS_SPARE)
        return NULL;
    snprintf(reason, sizeof reason, "%u connections need more than the %u descriptors allowed",
             bench->size, machine_descriptor_limit());
    return reason;
}

const struct family echo_family = {
    .policy =
        "server on one CPU, load generator on another; 4 KiB receive buffers; latency open-loop "
        "at 70 % of the server's own closed-loop rate; -spin: may spin 50 us before it sleeps",
    .why_not = echo_why_not,
    .run = echo_run,
    .rounds = 3,
    .rounds_quick = 2,
    .limit_s = 12,
};

const struct family waiting_family = {
    .policy = "closed loop over 1000 connections; the wait for the backend is a sleep of 20 ms; "
              "threads has 50",
    .why_not = echo_why_not,
    .run = waiting_run,
    .rounds = 3,
    .rounds_quick = 2,
    .limit_s = 12,
};
