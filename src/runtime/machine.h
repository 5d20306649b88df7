/* SPDX-License-Identifier: MIT */
/* What this process may use of the machine: CPUs, by affinity, quota and the user's own choice. */
#ifndef WEIR_RUNTIME_MACHINE_H
#define WEIR_RUNTIME_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

enum { WEIR__LOOPS_MAX = 256 };

struct weir__machine {
    unsigned cpu_count;        /* CPUs in the affinity mask */
    unsigned quota_cpus;       /* the cgroup's cpu.max rounded up; 0: no quota */
    int cpus[WEIR__LOOPS_MAX]; /* the first of those CPUs, ascending */
    bool restricted;           /* fewer than affinity allows, by weir__machine_restrict */
};

void weir__machine_read(struct weir__machine *machine);

/* Leaves the CPUs that `list` names, such as "0-3,8". 0; -EINVAL with the reason in `why`: not such
 * a list, or a CPU that the process may not use. */
int weir__machine_restrict(struct weir__machine *machine, const char *list, char *why,
                           size_t why_bytes);

/* Binds the calling thread to one of the CPUs, by index, or to all of them (index < 0). */
void weir__machine_bind(const struct weir__machine *machine, int index);

#endif
