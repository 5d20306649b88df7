/* SPDX-License-Identifier: MIT */
/*
 * The folder of small files, and the trials on it.
 *
 * Policy: as for the other file benches: the loop of a contender without a pool is bound to the
 * server's CPU, a pool and the thread in front of it may use every CPU, nobody spins.
 *
 * Names cannot be without a trace as O_TMPFILE is. So a process of its own, which nobody
 * interrupts, waits until the bench has ended, however it ended, and removes them.
 */
#include "storm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FILES = 4000,
    FILES_QUICK = 1000,
};

static char folder[PATH_MAX];
static unsigned file_count;
static int janitor_pipe = -1; /* closed by the kernel when the bench ends */
static pid_t janitor;

/* --- Preparation ----------------------------------------------------------------------------- */

static void name_file(char name[static STORM_NAME_BYTES], unsigned number)
{
    snprintf(name, STORM_NAME_BYTES, "file-%05u", number);
}

static void remove_folder(void)
{
    char name[STORM_NAME_BYTES];

    for (unsigned number = 0; chdir(folder) == 0 && number < file_count; number++) {
        name_file(name, number);
        unlink(name);
    }
    rmdir(folder);
}

static void end_janitor(void)
{
    close(janitor_pipe);
    waitpid(janitor, NULL, 0);
}

static void start_janitor(void)
{
    int ends[2];
    char byte;

    if (pipe2(ends, O_CLOEXEC) < 0 || (janitor = fork()) < 0) {
        fprintf(stderr, "weir-bench: cannot start who cleans up: %s\n", strerror(errno));
        rmdir(folder);
        exit(1);
    }
    if (janitor == 0) {
        setsid(); /* ^C is not for it */
        close(ends[1]);
        while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
            ;
        remove_folder();
        _exit(0);
    }
    close(ends[0]);
    janitor_pipe = ends[1];
    atexit(end_janitor);
}

static __attribute__((noreturn)) void give_up(const char *where, int error)
{
    fprintf(stderr, "weir-bench: cannot make small files in %s: %s\n", where, strerror(error));
    exit(1);
}

static void make_file(int folder_fd, unsigned number)
{
    static char content[STORM_FILE_BYTES];
    char name[STORM_NAME_BYTES];
    int fd;

    memset(content, 'w', sizeof content);
    name_file(name, number);
    fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, content, sizeof content) != (ssize_t)sizeof content)
        give_up(folder, fd < 0 ? errno : ENOSPC);
    close(fd);
}

static void storm_prepare(const struct bench *bench, const struct settings *settings)
{
    char path[PATH_MAX];
    int fd;

    (void)bench;
    if (janitor_pipe >= 0)
        return;
    snprintf(path, sizeof path, "%s/weir-bench-XXXXXX", settings->folder);
    if (mkdtemp(path) == NULL || realpath(path, folder) == NULL)
        give_up(settings->folder, errno);
    file_count = settings->quick ? FILES_QUICK : FILES;
    start_janitor();
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        give_up(folder, errno);
    for (unsigned number = 0; number < file_count; number++)
        make_file(fd, number);
    syncfs(fd); /* so that no writeback runs beside the trials */
    close(fd);
}

/* --- A trial --------------------------------------------------------------------------------- */

void storm_next(struct storm_job *job, char name[static STORM_NAME_BYTES])
{
    name_file(name, (unsigned)(random_next(&job->random) % job->file_count));
}

static int open_read_close(const char *name)
{
    char content[STORM_FILE_BYTES];
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    int error = 0;

    if (fd < 0)
        return -errno;
    if (read(fd, content, sizeof content) != (ssize_t)sizeof content)
        error = -EIO;
    if (close(fd) < 0)
        error = -errno;
    return error;
}

int storm_operate(enum storm_kind kind, const char *name)
{
    struct statx result;

    if (kind == STORM_OPEN)
        return open_read_close(name);
    return statx(AT_FDCWD, name, 0, STORM_STATX_MASK, &result) < 0 ? -errno : 0;
}

static void storm_run(const struct trial *trial, struct outcome *outcome)
{
    bool quick = trial->settings->quick;
    struct storm_job job = {
        .kind = (enum storm_kind)trial->bench->kind,
        .depth = trial->bench->size,
        .threads = trial->threads,
        .file_count = file_count,
        .random = UINT64_C(0x9E3779B97F4A7C15) + trial->round,
    };

    job.meter.warm_ns = 30 * NS_PER_MS;
    job.meter.measure_ns = (trial->tuning ? 40 : quick ? 100 : 250) * NS_PER_MS;
    trial_check_errno(chdir(folder), folder);
    trial->contender->storm(&job);
    outcome->values[METRIC_OPS_PER_S] = meter_ops_per_s(&job.meter);
    outcome->values[METRIC_CPU_NS_PER_OP] = meter_cpu_ns_per_op(&job.meter);
}

/* --- The bare limit: calls in a loop, on one thread ------------------------------------------ */

void raw_storm(struct storm_job *job)
{
    char name[STORM_NAME_BYTES];

    do {
        storm_next(job, name);
        trial_check(storm_operate(job->kind, name), name);
    } while (meter_count(&job->meter));
}

const struct family storm_family = {
    .policy = "files of 4 KiB, warm, by name, 64 in flight (raw: 1); a loop is bound to one CPU, a "
              "pool and the thread in front of it use all; nobody spins",
    .prepare = storm_prepare,
    .run = storm_run,
    .rounds = 3,
    .rounds_quick = 2,
    .limit_s = 8,
};
