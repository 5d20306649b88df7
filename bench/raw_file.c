/* SPDX-License-Identifier: MIT */
/* The bare limit for one operation at a time: system calls in a loop, on one thread. */
#include "file.h"

#include <errno.h>
#include <unistd.h>

static void raw_operation(const struct file_job *job, uint64_t offset)
{
    char *buffer = file_buffer(job, 0);
    ssize_t moved;

    if (job->kind == FILE_READ_DIRECT || job->kind == FILE_READ_HOT)
        moved = pread(job->fd, buffer, FILE_BLOCK_BYTES, (off_t)offset);
    else
        moved = pwrite(job->fd, buffer, FILE_BLOCK_BYTES, (off_t)offset);
    file_check(moved < 0 ? -errno : moved, "pread or pwrite");
    if (job->kind == FILE_APPEND_FSYNC)
        trial_check_errno(fdatasync(job->fd), "fdatasync");
}

void raw_file(struct file_job *job)
{
    do
        raw_operation(job, file_next_offset(job));
    while (meter_count(&job->meter));
}
