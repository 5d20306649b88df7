/* SPDX-License-Identifier: MIT */
/*
 * The limit of a parked task: one resident page each, a stack and a guard apart.
 *
 * Page tables are not in the figure, here as in weir's: they follow from the distance between
 * stacks, and are the same for both.
 */
#include "machine.h"
#include "parked.h"
#include "raw_peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    COUNT = 1000000,
    COUNT_QUICK = 100000,
    NEED_BYTES = 6144, /* per task: its page, page tables, the runtime's own */
};

#define STRIDE_BYTES UINT64_C(131072) /* a stack of 64 KiB and its guard */

const char *parked_why_not(const struct bench *bench)
{
    (void)bench;
    return machine_memory_bytes("MemAvailable") / 2 < UINT64_C(10000) * NEED_BYTES
               ? "too little memory"
               : NULL;
}

unsigned parked_count(const struct trial *trial, struct outcome *outcome)
{
    uint64_t fitting = machine_memory_bytes("MemAvailable") / 2 / NEED_BYTES;
    uint64_t count = trial->settings->quick ? COUNT_QUICK : COUNT;

    if (count > fitting)
        count = fitting;
    snprintf(outcome->note, sizeof outcome->note, "%llu tasks", (unsigned long long)count);
    return (unsigned)count;
}

uint64_t parked_resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long pages = 0;

    if (file == NULL || fscanf(file, "%*u %llu", &pages) != 1)
        trial_fail("/proc/self/statm cannot be read");
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void raw_parked(const struct trial *trial, struct outcome *outcome)
{
    unsigned count = parked_count(trial, outcome);
    uint64_t before = parked_resident_bytes();
    char *memory = mmap(NULL, count * STRIDE_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        trial_fail("mmap: %s", strerror(errno));
    madvise(memory, count * STRIDE_BYTES, MADV_NOHUGEPAGE);
    for (unsigned task = 0; task < count; task++)
        memory[task * STRIDE_BYTES] = 1;
    outcome->values[METRIC_BYTES_PER_TASK] =
        (double)(parked_resident_bytes() - before) / (double)count;
}
