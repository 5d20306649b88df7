/* SPDX-License-Identifier: MIT */
/*
 * The test files and the trials on them.
 *
 * Policy: the loop of a contender without a pool is bound to the server's CPU. A pool, and the
 * thread in front of it, may use every CPU, which favours the pools. Nobody spins. Buffers are
 * 4 KiB each, aligned, and not registered with the kernel; all use the same seed for their offsets.
 */
#include "file.h"

#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#define DIRECT_BYTES       (UINT64_C(512) << 20)
#define DIRECT_BYTES_QUICK (UINT64_C(128) << 20)
#define HOT_BYTES          (UINT64_C(32) << 20)
#define CHUNK_BYTES        (UINT64_C(1) << 20)

/* The files live as long as the bench: they are inherited by each trial. */
static int direct_fd = -1, hot_fd = -1;
static uint64_t direct_bytes;
static char direct_reason[160];

/* --- Preparation ----------------------------------------------------------------------------- */

static __attribute__((noreturn)) void give_up(const char *folder, int error)
{
    fprintf(stderr, "weir-bench: cannot make the test file in %s: %s", folder, strerror(error));
    if (error == ENOSPC || error == EDQUOT)
        fprintf(stderr, " (it takes up to %llu MiB; --quick takes %llu)",
                (unsigned long long)((DIRECT_BYTES + HOT_BYTES) >> 20),
                (unsigned long long)((DIRECT_BYTES_QUICK + HOT_BYTES) >> 20));
    fprintf(stderr, "\nNothing was left behind. Choose another folder with --dir.\n");
    exit(1);
}

int file_open_unnamed(const char *folder)
{
    char path[PATH_MAX];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd < 0 ? -errno : fd;
    /* The file system has no O_TMPFILE: the name lives for a moment. */
    snprintf(path, sizeof path, "%s/weir-bench-XXXXXX", folder);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

/* A second open description of the file, for O_DIRECT, or -1 with errno. */
static int reopen_direct(int fd)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
}

/* Writes every block, so that reads go to the disk; not zeros, which a store may keep as holes. */
static void fill(int fd, uint64_t bytes, const char *folder)
{
    uint64_t random = 88172645463325252u;
    uint64_t *chunk =
        mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (chunk == MAP_FAILED)
        give_up(folder, errno);
    /* A full disk is told at once, before anything is written. */
    if (fallocate(fd, 0, 0, (off_t)bytes) < 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        give_up(folder, errno);
    for (uint64_t offset = 0; offset < bytes; offset += CHUNK_BYTES) {
        for (size_t word = 0; word < CHUNK_BYTES / sizeof *chunk; word++)
            chunk[word] = random_next(&random);
        ssize_t written = pwrite(fd, chunk, CHUNK_BYTES, (off_t)offset);
        if (written != (ssize_t)CHUNK_BYTES)
            give_up(folder, written < 0 ? errno : ENOSPC);
    }
    if (fsync(fd) < 0)
        give_up(folder, errno);
    munmap(chunk, CHUNK_BYTES);
}

int file_make(const char *folder, uint64_t bytes)
{
    int fd = file_open_unnamed(folder);

    if (fd < 0)
        give_up(folder, -fd);
    fill(fd, bytes, folder);
    return fd;
}

/* tmpfs accepts O_DIRECT and then serves it from memory: no disk is measured there. */
static bool lives_in_memory(int fd)
{
    struct statfs facts;

    return fstatfs(fd, &facts) == 0 && (facts.f_type == TMPFS_MAGIC || facts.f_type == RAMFS_MAGIC);
}

void file_prepare_direct(const struct bench *bench, const struct settings *settings)
{
    int fd;

    (void)bench;
    if (direct_fd >= 0 || direct_reason[0] != '\0')
        return;
    fd = file_open_unnamed(settings->folder);
    if (fd < 0)
        give_up(settings->folder, -fd);
    direct_fd = lives_in_memory(fd) ? -1 : reopen_direct(fd);
    if (direct_fd < 0) {
        snprintf(direct_reason, sizeof direct_reason, "no O_DIRECT in %.60s (%.60s)",
                 settings->folder, machine_file_system(settings->folder));
        close(fd);
        return;
    }
    direct_bytes = settings->quick ? DIRECT_BYTES_QUICK : DIRECT_BYTES;
    fprintf(stderr, "writing a test file of %llu MiB in %s\n",
            (unsigned long long)(direct_bytes >> 20), settings->folder);
    fill(direct_fd, direct_bytes, settings->folder);
    close(fd);
}

static void prepare_hot(const struct settings *settings)
{
    if (hot_fd >= 0)
        return;
    hot_fd = file_make(settings->folder, HOT_BYTES);
}

void file_need_unnamed(const struct settings *settings)
{
    int fd = file_open_unnamed(settings->folder);

    if (fd < 0)
        give_up(settings->folder, -fd);
    close(fd);
}

static void file_prepare(const struct bench *bench, const struct settings *settings)
{
    if (bench->kind == FILE_READ_HOT) {
        prepare_hot(settings);
    } else if (bench->kind == FILE_APPEND_FSYNC) {
        file_need_unnamed(settings); /* each trial makes its own: here we only ask */
    } else {
        file_prepare_direct(bench, settings);
    }
}

const char *file_direct_reason(const struct bench *bench)
{
    (void)bench;
    return direct_reason[0] != '\0' ? direct_reason : NULL;
}

int file_direct_fd(void)
{
    return direct_fd;
}

uint64_t file_direct_block_count(void)
{
    return direct_bytes / FILE_BLOCK_BYTES;
}

static const char *file_why_not(const struct bench *bench)
{
    bool direct = bench->kind == FILE_READ_DIRECT || bench->kind == FILE_WRITE_DIRECT;

    return direct ? file_direct_reason(bench) : NULL;
}

/* --- A trial --------------------------------------------------------------------------------- */

void file_check(int64_t result, const char *what)
{
    if (result < 0)
        trial_check((int)result, what);
    if (result != (int64_t)FILE_BLOCK_BYTES)
        trial_fail("%s: %lld bytes instead of a block", what, (long long)result);
}

static void file_set_times(struct file_job *job, const struct trial *trial)
{
    static const unsigned measure_ms[2][2] = {
        { 500, 180 }, /* a trial: default, quick */
        { 150, 50 },  /* a try for the best number of threads: default, quick */
    };
    bool quick = trial->settings->quick;

    job->meter.warm_ns = (quick || trial->tuning ? 20 : 100) * NS_PER_MS;
    job->meter.measure_ns = measure_ms[trial->tuning][quick] * NS_PER_MS;
}

static void file_run(const struct trial *trial, struct outcome *outcome)
{
    const struct bench *bench = trial->bench;
    struct file_job job = {
        .kind = (enum file_kind)bench->kind,
        .depth = bench->size,
        .threads = trial->threads,
        .random = UINT64_C(0x9E3779B97F4A7C15) + trial->round,
    };

    file_set_times(&job, trial);
    if (job.kind == FILE_APPEND_FSYNC)
        job.fd = trial_check(file_open_unnamed(trial->settings->folder), "a file to append to");
    else
        job.fd = job.kind == FILE_READ_HOT ? hot_fd : direct_fd;
    job.block_count = (job.kind == FILE_READ_HOT ? HOT_BYTES : direct_bytes) / FILE_BLOCK_BYTES;
    job.buffers = mmap(NULL, job.depth * FILE_BLOCK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (job.buffers == MAP_FAILED)
        trial_fail("mmap: %s", strerror(errno));
    memset(job.buffers, 'w', job.depth * FILE_BLOCK_BYTES);
    trial->contender->file(&job);
    outcome->values[METRIC_OPS_PER_S] = meter_ops_per_s(&job.meter);
    outcome->values[METRIC_CPU_NS_PER_OP] = meter_cpu_ns_per_op(&job.meter);
}

const struct family file_family = {
    .policy =
        "4 KiB, random offsets; a loop is bound to one CPU, a pool and the thread in front of "
        "it use all; nobody spins",
    .prepare = file_prepare,
    .why_not = file_why_not,
    .run = file_run,
    .rounds = 3,
    .rounds_quick = 2,
    .limit_s = 12,
};
