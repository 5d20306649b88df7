/* SPDX-License-Identifier: MIT */
/* The contenders that are programs of their own, built beside weir-bench where that can be. */
#include "chan.h"

#include "trial.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GO    "chan-go"
#define BOOST "chan-boost"

enum {
    CHILD_LIMIT_S = 20,
    LINE_BYTES = 160,
};

static char *const shape_names[CHAN_SHAPES] = {
    [CHAN_PAIR] = "pair",
    [CHAN_RENDEZVOUS] = "rendezvous",
    [CHAN_STREAM] = "stream",
    [CHAN_SELECT] = "select",
    [CHAN_SELECT_PARKED] = "select-parked",
    [CHAN_MPMC] = "mpmc",
    [CHAN_THREADS] = "threads",
    [CHAN_FANIN] = "fanin",
    [CHAN_RING] = "ring",
    [CHAN_SIEVE] = "sieve",
    [CHAN_PIPELINE] = "pipeline",
    [CHAN_MULT] = "mult",
    [CHAN_CLOSE] = "close",
};

/* The path of a program beside this one; false when it is not there. */
static bool find_program(const char *name, char path[static PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    char *slash;

    if (length < 0)
        return false;
    path[length] = '\0';
    slash = strrchr(path, '/');
    if (slash == NULL || (size_t)(slash + 1 - path) + strlen(name) >= PATH_MAX)
        return false;
    strcpy(slash + 1, name);
    return access(path, X_OK) == 0;
}

/* Runs a program, and reads the first line that it prints; "" when there is none. */
static void run_program(char *const *arguments, char line[static LINE_BYTES])
{
    char path[PATH_MAX];
    int ends[2];
    pid_t child;
    FILE *out;

    line[0] = '\0';
    if (!find_program(arguments[0], path) || pipe(ends) < 0)
        return;
    fflush(NULL);
    child = trial_fork(CHILD_LIMIT_S);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execv(path, arguments);
        _exit(127);
    }
    close(ends[1]);
    out = fdopen(ends[0], "r");
    if (out != NULL && fgets(line, LINE_BYTES, out) != NULL)
        line[strcspn(line, "\n")] = '\0';
    if (child > 0)
        waitpid(child, NULL, 0);
    if (out != NULL)
        fclose(out);
}

/* `more`: one argument more, or NULL. */
static uint64_t run_child(char *program, char *more, const struct chan_job *job)
{
    char size[16], loops[16], count[24], line[LINE_BYTES];
    char *arguments[] = { program, shape_names[job->shape], size, loops, count, more, NULL };
    unsigned long long elapsed_ns;
    char *end;

    snprintf(size, sizeof size, "%u", job->size);
    snprintf(loops, sizeof loops, "%u", job->loop_count);
    snprintf(count, sizeof count, "%llu", (unsigned long long)job->op_count);
    run_program(arguments, line);
    elapsed_ns = strtoull(line, &end, 10);
    if (end == line || *end != '\0')
        trial_fail("%s: %s", program, line[0] != '\0' ? line : "it ended without a figure");
    return elapsed_ns;
}

uint64_t chan_go(const struct chan_job *job)
{
    return run_child(GO, NULL, job);
}

uint64_t chan_go_bound(const struct chan_job *job)
{
    return run_child(GO, "bound", job);
}

uint64_t chan_boost(const struct chan_job *job)
{
    return run_child(BOOST, NULL, job);
}

const char *chan_go_why_not(const struct bench *bench)
{
    char path[PATH_MAX];

    (void)bench;
    return find_program(GO, path) ? NULL : "Go was not found at build time (Debian: golang-go)";
}

const char *chan_boost_why_not(const struct bench *bench)
{
    char path[PATH_MAX];

    (void)bench;
    return find_program(BOOST, path)
               ? NULL
               : "Boost.Fiber was not found at build time (Debian: libboost-fiber-dev, g++)";
}

static void print_version(FILE *out, char *program, const char *title)
{
    char *arguments[] = { program, "version", NULL };
    char line[LINE_BYTES];

    run_program(arguments, line);
    fprintf(out, "  %-8s %s\n", title, line[0] != '\0' ? line : "not found at build time");
}

void chan_print_versions(FILE *out)
{
    print_version(out, GO, "go");
    print_version(out, BOOST, "boost");
}
