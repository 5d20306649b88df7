/* SPDX-License-Identifier: MIT */
/*
 * Copying one large file. The source is warm, in the page cache; nobody syncs, and the target is
 * gone before the disk gets much of it: what is measured is the way of the bytes, not the disk.
 */
#ifndef BENCH_COPY_H
#define BENCH_COPY_H

#include "bench.h"

#define COPY_STEP_BYTES (UINT64_C(1) << 20) /* of those who copy in steps; one operation */

struct copy_job {
    int source_fd, target_fd; /* the target is empty */
    uint64_t bytes;
};

copy_fn raw_copy, read_write_copy, cp_copy, weir_copy_1g;
reason_fn cp_why_not;

#endif
