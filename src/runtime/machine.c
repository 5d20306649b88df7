/* SPDX-License-Identifier: MIT */
/* CPUs; see machine.h. */
#include "runtime/machine.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* cgroup v2: "max 100000" or "QUOTA PERIOD", in the process's own group. */
static unsigned read_quota(void)
{
    char line[512] = "", path[1024], quota_text[32] = "";
    FILE *file = fopen("/proc/self/cgroup", "re");
    long long quota, period = 0;

    while (file && fgets(line, sizeof line, file) && strncmp(line, "0::", 3) != 0)
        line[0] = 0;
    if (file)
        fclose(file);
    if (strncmp(line, "0::", 3) != 0)
        return 0;
    line[strcspn(line, "\n")] = 0;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", line + 3);
    file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%31s %lld", quota_text, &period) != 2)
        period = 0;
    fclose(file);
    if (period <= 0 || sscanf(quota_text, "%lld", &quota) != 1 || quota <= 0)
        return 0;
    return (unsigned)((quota + period - 1) / period);
}

void weir__machine_read(struct weir__machine *machine)
{
    cpu_set_t mask;

    *machine = (struct weir__machine){ .quota_cpus = read_quota() };
    if (sched_getaffinity(0, sizeof mask, &mask) < 0) {
        machine->cpu_count = 1;
        return;
    }
    for (int cpu = 0; cpu < CPU_SETSIZE && machine->cpu_count < WEIR__LOOPS_MAX; cpu++)
        if (CPU_ISSET((size_t)cpu, &mask))
            machine->cpus[machine->cpu_count++] = cpu;
}

/* "A" or "A-B" at *text, which is left behind it; false: neither. */
static bool read_range(const char **text, long *first, long *last)
{
    char *end;

    if (**text < '0' || **text > '9')
        return false;
    *first = *last = strtol(*text, &end, 10);
    if (*end == '-' && end[1] >= '0' && end[1] <= '9')
        *last = strtol(end + 1, &end, 10);
    *text = end;
    return *first <= *last && *last < CPU_SETSIZE;
}

static int read_list(const char *list, cpu_set_t *cpus)
{
    const char *text = list;
    long first, last;

    CPU_ZERO(cpus);
    do {
        if (!read_range(&text, &first, &last))
            return -EINVAL;
        for (long cpu = first; cpu <= last; cpu++)
            CPU_SET((size_t)cpu, cpus);
    } while (*text++ == ',');
    return text[-1] == '\0' ? 0 : -EINVAL;
}

int weir__machine_restrict(struct weir__machine *machine, const char *list, char *why,
                           size_t why_bytes)
{
    struct weir__machine before = *machine;
    cpu_set_t named;

    if (read_list(list, &named) < 0) {
        snprintf(why, why_bytes,
                 "weir_options.loop_cpus is \"%s\"; it must name CPUs by number, such as \"0-3,8\"",
                 list);
        return -EINVAL;
    }
    machine->cpu_count = 0;
    for (unsigned i = 0; i < before.cpu_count; i++)
        if (CPU_ISSET((size_t)before.cpus[i], &named)) {
            machine->cpus[machine->cpu_count++] = before.cpus[i];
            CPU_CLR((size_t)before.cpus[i], &named);
        }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, &named)) {
            *machine = before;
            snprintf(why, why_bytes,
                     "weir_options.loop_cpus names CPU %d, which this process may not use; see its "
                     "affinity (taskset -p) and cpuset, or name others",
                     cpu);
            return -EINVAL;
        }
    machine->restricted = machine->cpu_count < before.cpu_count;
    return 0;
}

void weir__machine_bind(const struct weir__machine *machine, int index)
{
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    for (unsigned i = 0; i < machine->cpu_count; i++)
        if (index < 0 || i == (unsigned)index % machine->cpu_count)
            CPU_SET((size_t)machine->cpus[i], &cpus);
    pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
}
