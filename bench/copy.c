/* SPDX-License-Identifier: MIT */
/*
 * The source, the trials on it, and the contenders that are not weir: the kernel's own copy, a loop
 * of reads and writes, and cp(1), which is given the files by the names of their descriptors.
 *
 * Policy: a loop is bound to one CPU, a pool, and cp, may use all. CPU time holds the children's.
 */
#include "copy.h"

#include "file.h"
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOURCE_BYTES       (UINT64_C(1) << 30)
#define SOURCE_BYTES_QUICK (UINT64_C(256) << 20)
#define CP_PATH            "/bin/cp"

static int source_fd = -1;
static uint64_t source_bytes;
static char reason[120];

/* Memory that a virtual machine uses for the first time costs it its host's page faults: the first
 * target is not measured. */
static void warm_up(const struct settings *settings)
{
    int target = file_open_unnamed(settings->folder);
    off_t from = 0;

    while (target >= 0 && copy_file_range(source_fd, &from, target, NULL, source_bytes, 0) > 0)
        ;
    close(target);
}

/* Source and target stay in memory, with as much to spare: no writeback joins in. */
static void copy_prepare(const struct bench *bench, const struct settings *settings)
{
    uint64_t bytes = settings->quick ? SOURCE_BYTES_QUICK : SOURCE_BYTES;
    uint64_t available_bytes = machine_memory_bytes("MemAvailable");

    (void)bench;
    if (available_bytes < 6 * bytes) {
        snprintf(reason, sizeof reason, "needs %llu MiB of memory, %llu are available",
                 (unsigned long long)(6 * bytes >> 20),
                 (unsigned long long)(available_bytes >> 20));
        return;
    }
    source_bytes = bytes;
    fprintf(stderr, "writing a file to copy of %llu MiB in %s\n", (unsigned long long)(bytes >> 20),
            settings->folder);
    source_fd = file_make(settings->folder, bytes);
    warm_up(settings);
}

static const char *copy_why_not(const struct bench *bench)
{
    (void)bench;
    return reason[0] != '\0' ? reason : NULL;
}

/* Also of children that have ended. */
static uint64_t cpu_ns(void)
{
    struct rusage children;

    getrusage(RUSAGE_CHILDREN, &children);
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID) +
           (uint64_t)(children.ru_utime.tv_sec + children.ru_stime.tv_sec) * NS_PER_S +
           (uint64_t)(children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1000;
}

static void copy_run(const struct trial *trial, struct outcome *outcome)
{
    struct copy_job job = {
        .source_fd = source_fd,
        .target_fd = trial_check(file_open_unnamed(trial->settings->folder), "a file to copy to"),
        .bytes = source_bytes,
    };
    double ops = (double)job.bytes / (double)COPY_STEP_BYTES;
    uint64_t start_ns = now_ns(), start_cpu_ns = cpu_ns(), elapsed_ns;
    struct stat target;

    trial->contender->copy(&job);
    elapsed_ns = now_ns() - start_ns;
    outcome->values[METRIC_OPS_PER_S] = ops * (double)NS_PER_S / (double)elapsed_ns;
    outcome->values[METRIC_CPU_NS_PER_OP] = (double)(cpu_ns() - start_cpu_ns) / ops;
    if (fstat(job.target_fd, &target) < 0 || (uint64_t)target.st_size != job.bytes)
        trial_fail("the copy has %llu bytes", (unsigned long long)target.st_size);
}

/* --- Contenders ------------------------------------------------------------------------------ */

void raw_copy(struct copy_job *job)
{
    off_t from = 0, to = 0;

    while ((uint64_t)to < job->bytes) {
        ssize_t count = copy_file_range(job->source_fd, &from, job->target_fd, &to,
                                        job->bytes - (uint64_t)to, 0);
        if (count <= 0)
            trial_fail("copy_file_range: %s", count < 0 ? strerror(errno) : "no bytes");
    }
}

void read_write_copy(struct copy_job *job)
{
    char *buffer = malloc(COPY_STEP_BYTES);

    for (uint64_t done = 0; buffer != NULL && done < job->bytes; done += COPY_STEP_BYTES) {
        ssize_t got = pread(job->source_fd, buffer, COPY_STEP_BYTES, (off_t)done);
        if (got != (ssize_t)COPY_STEP_BYTES)
            trial_fail("pread: %s", got < 0 ? strerror(errno) : "too few bytes");
        if (pwrite(job->target_fd, buffer, COPY_STEP_BYTES, (off_t)done) != got)
            trial_fail("pwrite: %s", strerror(errno));
    }
    free(buffer);
}

void cp_copy(struct copy_job *job)
{
    char source[32], target[32];
    char *arguments[] = { "cp", source, target, NULL };
    int status;
    pid_t cp;

    fcntl(job->source_fd, F_SETFD, 0);
    fcntl(job->target_fd, F_SETFD, 0);
    snprintf(source, sizeof source, "/dev/fd/%d", job->source_fd);
    snprintf(target, sizeof target, "/dev/fd/%d", job->target_fd);
    trial_check(-posix_spawn(&cp, CP_PATH, NULL, NULL, arguments, NULL), CP_PATH);
    if (waitpid(cp, &status, 0) < 0 || status != 0)
        trial_fail("cp failed");
}

const char *cp_why_not(const struct bench *bench)
{
    (void)bench;
    return access(CP_PATH, X_OK) < 0 ? CP_PATH " was not found" : NULL;
}

const struct family copy_family = {
    .policy = "an operation is 1 MiB; the source is in the page cache, nothing is synced; raw is "
              "copy_file_range, read-write a loop of 1 MiB steps; cp and pools may use every CPU",
    .prepare = copy_prepare,
    .why_not = copy_why_not,
    .run = copy_run,
    .rounds = 3,
    .rounds_quick = 2,
    .limit_s = 20,
};
