/* SPDX-License-Identifier: MIT */
/*
 * The machine's facts.
 *
 * One CPU runs the contender's loop and another the load generator; on hardware with two threads a
 * core, of another core. With a single CPU both share it, and the tables say so.
 */
#include "machine.h"

#include "chan.h"
#include "ring_twin.h"
#include "uv_peer.h"
#include "weir_peer.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#define LOAD_IDLE 0.5

static cpu_set_t cpus_given;
static int server_cpu, client_cpu;
static unsigned descriptor_limit;
static double load_before; /* the run's own load is no fault of the machine */

/* The first line of a small file without its newline; false when there is none. */
static bool read_line(const char *path, char *line, size_t room)
{
    FILE *file = fopen(path, "re");
    bool got = file != NULL && fgets(line, (int)room, file) != NULL;

    if (file != NULL)
        fclose(file);
    if (got)
        line[strcspn(line, "\n")] = '\0';
    return got;
}

/* Whether the two CPUs are threads of one core. */
static bool share_core(int left, int right)
{
    char path[96], first[64], second[64];
    const char *form = "/sys/devices/system/cpu/cpu%d/topology/core_cpus_list";

    snprintf(path, sizeof path, form, left);
    if (!read_line(path, first, sizeof first))
        return false;
    snprintf(path, sizeof path, form, right);
    return read_line(path, second, sizeof second) && strcmp(first, second) == 0;
}

static void choose_cpus(void)
{
    server_cpu = client_cpu = -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET((size_t)cpu, &cpus_given))
            continue;
        if (server_cpu < 0)
            server_cpu = client_cpu = cpu;
        else if (client_cpu == server_cpu)
            client_cpu = cpu;
        else if (share_core(server_cpu, client_cpu))
            client_cpu = cpu;
    }
}

void machine_init(void)
{
    struct rlimit limit;

    if (sched_getaffinity(0, sizeof cpus_given, &cpus_given) < 0)
        CPU_SET(0, &cpus_given);
    choose_cpus();
    getloadavg(&load_before, 1);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
        descriptor_limit = limit.rlim_cur > UINT_MAX ? UINT_MAX : (unsigned)limit.rlim_cur;
    }
}

int machine_cpu(enum cpu_role role)
{
    return role == CPU_CLIENT ? client_cpu : server_cpu;
}

void machine_pin(enum cpu_role role)
{
    cpu_set_t set;

    if (role == CPU_ANY) {
        sched_setaffinity(0, sizeof cpus_given, &cpus_given);
        return;
    }
    CPU_ZERO(&set);
    CPU_SET((size_t)machine_cpu(role), &set);
    sched_setaffinity(0, sizeof set, &set);
}

unsigned machine_cpu_count(void)
{
    return (unsigned)CPU_COUNT(&cpus_given);
}

unsigned machine_descriptor_limit(void)
{
    return descriptor_limit;
}

uint64_t machine_memory_bytes(const char *name)
{
    FILE *file = fopen("/proc/meminfo", "re");
    size_t length = strlen(name);
    unsigned long long kib = 0;
    char line[128];

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, length) == 0 && sscanf(line + length, ": %llu", &kib) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kib * 1024;
}

const char *machine_ring_reason(void)
{
    static char reason[160];
    static bool known, usable;
    struct io_uring ring;
    int error;

    if (!known) {
        error = ring_twin_open(&ring, 8);
        usable = error >= 0;
        known = true;
        if (usable)
            io_uring_queue_exit(&ring);
        else if (error == -EPERM)
            snprintf(reason, sizeof reason,
                     "io_uring is not permitted here (sysctl kernel.io_uring_disabled, or a "
                     "container's seccomp profile)");
        else
            snprintf(reason, sizeof reason, "no io_uring with the flags of Linux 6.1: %s",
                     strerror(-error));
    }
    return usable ? NULL : reason;
}

const char *machine_file_system(const char *folder)
{
    static char best[PATH_MAX + 128];
    char path[PATH_MAX], line[4096], mount[PATH_MAX], type[64], source[256];
    FILE *file = fopen("/proc/self/mountinfo", "re");
    size_t best_length = 0;
    char *rest;

    snprintf(best, sizeof best, "an unknown file system");
    if (file == NULL)
        return best;
    while (realpath(folder, path) != NULL && fgets(line, sizeof line, file) != NULL) {
        rest = strstr(line, " - ");
        if (rest == NULL || sscanf(line, "%*s %*s %*s %*s %4095s", mount) != 1 ||
            sscanf(rest, " - %63s %255s", type, source) != 2)
            continue;
        size_t length = strcmp(mount, "/") == 0 ? 0 : strlen(mount);
        bool holds =
            strncmp(path, mount, length) == 0 && (path[length] == '/' || path[length] == '\0');
        if (holds && length >= best_length) {
            best_length = length;
            snprintf(best, sizeof best, "%s on %s", type, source);
        }
    }
    fclose(file);
    return best;
}

/* --- For people ------------------------------------------------------------------------------ */

static void print_cpu(FILE *out)
{
    char line[512], governor[64] = "not shown";
    FILE *file = fopen("/proc/cpuinfo", "re");
    const char *model = "unknown model", *found;

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        found = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && found != NULL) {
            line[strcspn(line, "\n")] = '\0';
            model = found + 2;
            break;
        }
    }
    read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor, sizeof governor);
    fprintf(out, "  cpu      %s, %u CPUs given; loop on %d, load generator on %d; governor %s\n",
            model, machine_cpu_count(), server_cpu, client_cpu, governor);
    if (file != NULL)
        fclose(file);
    if (server_cpu == client_cpu)
        fprintf(out, "           one CPU: server and load generator share it, spinning is off\n");
}

static void print_ring(FILE *out)
{
    struct io_uring ring;
    struct io_uring_probe *probe;
    unsigned op_count = 0;

    if (machine_ring_reason() != NULL) {
        fprintf(out, "  io_uring %s\n", machine_ring_reason());
        return;
    }
    if (ring_twin_open(&ring, 8) < 0)
        return;
    probe = io_uring_get_probe_ring(&ring);
    for (int op = 0; probe != NULL && op <= probe->last_op; op++)
        op_count += io_uring_opcode_supported(probe, op) != 0;
    fprintf(out,
            "  io_uring SINGLE_ISSUER DEFER_TASKRUN SUBMIT_ALL, ring fd %sregistered, features "
            "%#x, %u operations\n",
            ring.enter_ring_fd != ring.ring_fd ? "" : "not ", ring.features, op_count);
    io_uring_free_probe(probe);
    io_uring_queue_exit(&ring);
}

void machine_print(FILE *out, const char *folder)
{
    struct utsname kernel;

    uname(&kernel);
    fprintf(out, "machine\n");
    print_cpu(out);
    fprintf(out, "  kernel   %s %s %s\n", kernel.sysname, kernel.release, kernel.machine);
    print_ring(out);
    if (machine_ring_reason() == NULL)
        weir_peer_print(out);
    fprintf(out, "  files    in %s: %s\n", folder, machine_file_system(folder));
    fprintf(out, "  libuv    %s\n", uv_peer_version());
    chan_print_versions(out);
    if (load_before > LOAD_IDLE)
        fprintf(out,
                "  load     %.1f at the start: not an idle machine; distrust small differences\n",
                load_before);
}
