/* SPDX-License-Identifier: MIT */
/* Options: validated, defaults filled in, and fitted to this machine. */
#ifndef WEIR_OPTIONS_H
#define WEIR_OPTIONS_H

#include <weir/runtime.h>

enum { WEIR__LOOPS_MAX = 256 };

/* What this process may use. */
struct weir__machine {
    unsigned cpu_count;        /* CPUs in the affinity mask */
    unsigned quota_cpus;       /* the cgroup's cpu.max rounded up; 0: no quota */
    int cpus[WEIR__LOOPS_MAX]; /* the first of those CPUs */
};

void weir__machine_read(struct weir__machine *machine);

/*
 * Copies `given` (NULL: all defaults) to `options` with every default filled in. `one_loop` makes
 * one loop the default count. -EINVAL with the reason in `why` for anything out of range.
 */
int weir__options_fill(struct weir_options *options, const struct weir_options *given,
                       const struct weir__machine *machine, bool one_loop, char *why,
                       size_t why_bytes);

#endif
