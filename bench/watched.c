/* SPDX-License-Identifier: MIT */
/*
 * What stall detection costs an echo server: two servers, with it and without, both on the server's
 * CPU, driven in turn in slices of 20 ms by one load generator. What the machine does to one it
 * does to the other within 40 ms, so a pair says far more than two runs do, and there are hundreds.
 *
 * The server's figures are the one with detection; the note has the medians over the pairs of its
 * ratio to the other's, each with its standard error (from the middle half of the pairs).
 */
#include "echo.h"

#include "machine.h"
#include "trial.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

enum {
    SERVER_LIMIT_S = 58,
    PAIRS_MAX = 700,
    PAIRS_QUICK = 50,
    PAIRS_WARM = 5,
    SLICE_MS = 20,
};

enum { WITH, WITHOUT, SERVER_COUNT };

struct server {
    struct trial trial;
    struct contender contender;
    pid_t process;
    struct echo_load load;
    struct echo_client *client;
};

static void start(struct server *server, const struct trial *trial, echo_fn *echo)
{
    server->contender = *trial->contender;
    server->contender.echo = echo;
    server->trial = *trial;
    server->trial.contender = &server->contender;
    server->process = echo_start_server(&server->trial, &server->load.address, SERVER_LIMIT_S);
    server->load.connections = trial->bench->size;
    if (clock_getcpuclockid(server->process, &server->load.server_clock) != 0)
        trial_fail("the server has no CPU clock");
}

/* The median of the ratios, which get sorted, and its standard error were they normal. */
static double ratio_of_pairs(double *ratios, unsigned count, double *error)
{
    double middle = median(ratios, count);
    double deviation = (ratios[count * 3 / 4] - ratios[count / 4]) / 1.349;

    *error = 1.2533 * deviation / sqrt(count);
    return middle;
}

static void compare(struct server *servers, unsigned pair_count, struct outcome *outcome)
{
    static double cpu[PAIRS_MAX], requests[PAIRS_MAX];
    struct echo_slice total = { 0 };
    double cpu_error, requests_error;

    for (unsigned pair = 0; pair < pair_count + PAIRS_WARM; pair++) {
        struct echo_slice slices[SERVER_COUNT];
        unsigned index = pair >= PAIRS_WARM ? pair - PAIRS_WARM : 0;

        for (unsigned turn = 0; turn < SERVER_COUNT; turn++) {
            unsigned which = (turn + pair) % SERVER_COUNT; /* now the one first, now the other */
            echo_client_slice(servers[which].client, SLICE_MS * NS_PER_MS, &slices[which]);
        }
        double with = (double)slices[WITH].count, without = (double)slices[WITHOUT].count;
        cpu[index] =
            (double)slices[WITH].cpu_ns / with / ((double)slices[WITHOUT].cpu_ns / without);
        requests[index] =
            with / (double)slices[WITH].elapsed_ns / (without / (double)slices[WITHOUT].elapsed_ns);
        total.count += slices[WITH].count;
        total.elapsed_ns += slices[WITH].elapsed_ns;
        total.cpu_ns += slices[WITH].cpu_ns;
    }
    outcome->values[METRIC_OPS_PER_S] =
        (double)total.count * (double)NS_PER_S / (double)total.elapsed_ns;
    outcome->values[METRIC_CPU_NS_PER_OP] = (double)total.cpu_ns / (double)total.count;
    double cpu_ratio = ratio_of_pairs(cpu, pair_count, &cpu_error);
    double requests_ratio = ratio_of_pairs(requests, pair_count, &requests_error);
    snprintf(outcome->note, sizeof outcome->note,
             "to without: CPU %.3fx±%.3f, requests %.3fx±%.3f, %u pairs", cpu_ratio, cpu_error,
             requests_ratio, requests_error, pair_count);
}

static void watched_run(const struct trial *trial, struct outcome *outcome)
{
    static struct server servers[SERVER_COUNT];

    start(&servers[WITH], trial, weir_echo);
    start(&servers[WITHOUT], trial, weir_unwatched_echo);
    machine_pin(CPU_CLIENT);
    for (unsigned which = 0; which < SERVER_COUNT; which++)
        servers[which].client = echo_client_open(&servers[which].load);
    compare(servers, trial->settings->quick ? PAIRS_QUICK : PAIRS_MAX, outcome);
    for (unsigned which = 0; which < SERVER_COUNT; which++) {
        kill(servers[which].process, SIGKILL);
        waitpid(servers[which].process, NULL, 0);
    }
}

const struct family watched_family = {
    .policy =
        "two servers on one CPU, driven in turn by one load generator in slices of 20 ms; the "
        "figures are the server's with detection, the note compares",
    .why_not = echo_why_not,
    .run = watched_run,
    .rounds = 1,
    .rounds_quick = 1,
    .limit_s = 59,
};
