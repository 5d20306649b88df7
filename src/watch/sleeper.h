/* SPDX-License-Identifier: MIT */
/*
 * What a thread of this process is doing, by /proc/self/task: without stopping, waking or asking
 * it. Any thread.
 *
 * See: proc(5), task/TID/stat, syscall, schedstat.
 */
#ifndef WEIR_WATCH_SLEEPER_H
#define WEIR_WATCH_SLEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct weir__sleeper {
    char state;       /* R runs or is ready to, S and D sleep, T is stopped; 0: not known */
    uint64_t run_ns;  /* time on a CPU */
    uint64_t wait_ns; /* time ready without one; told when it gets one */
    uint64_t slices;  /* times that it got a CPU: who has as many as before slept all along */
    bool in_call;     /* asleep in a system call: `number`, `args` */
    bool in_fault;    /* asleep in a page fault */
    long number;
    uint64_t args[6];
    uintptr_t sp, ip; /* of the call or the fault */
    int error;        /* why not all is known, or 0 */
};

/* State and times. */
void weir__sleeper_look(pid_t tid, struct weir__sleeper *sleeper);

/* What a sleeping one sleeps in, as well. */
void weir__sleeper_look_closely(pid_t tid, struct weir__sleeper *sleeper);

/* Copies memory of this process that may be gone: then false. */
bool weir__sleeper_copy(void *to, const void *from, size_t bytes);

#endif
