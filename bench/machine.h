/* SPDX-License-Identifier: MIT */
/* The machine: which CPU does what, and what a reader must know to judge the figures. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum cpu_role {
    CPU_ANY,    /* all that the bench was given */
    CPU_SERVER, /* the contender's loop */
    CPU_CLIENT, /* the load generator */
};

/* Reads the CPUs given, and raises the soft limit on descriptors to the hard one. */
void machine_init(void);

/* Binds the calling thread, and what it starts from now on. */
void machine_pin(enum cpu_role role);

int machine_cpu(enum cpu_role role);
unsigned machine_cpu_count(void);
unsigned machine_descriptor_limit(void);

/* A line of /proc/meminfo, such as MemAvailable; 0: there is none. */
uint64_t machine_memory_bytes(const char *name);

/* Why io_uring with the flags that all contenders use cannot be had; NULL: it can. */
const char *machine_ring_reason(void);

/* The file system that holds a folder, as "ext4 on /dev/sda1". */
const char *machine_file_system(const char *folder);

void machine_print(FILE *out, const char *folder);

#endif
