/* SPDX-License-Identifier: MIT */
/*
 * weir-check: runs a program that is linked with weir, statically or dynamically, with the
 * blocking-call check on, and says at the end how many places were found.
 *
 *     weir-check ./server 7000
 *     weir-check --abort --allow getaddrinfo,libfoo ./server 7000
 *
 * Exits as the program did, with 128 + N when signal N ended it; with 1 when --abort ended it at a
 * report; with 2 when there is nothing to run.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char interposer[] = "libweir-interpose.so";

enum { STATUS_REPORTED = 1, STATUS_UNUSABLE = 2, STATUS_SIGNAL = 128 };

struct settings {
    bool aborts;
    bool interposes;
    const char *allow;
    char **program; /* and its arguments */
};

/* What the checked runtimes have left, a word a line. */
struct tally {
    unsigned runtimes;
    unsigned sites;
    bool more;
};

static volatile pid_t child;

static int usage(void)
{
    fputs(
        "usage: weir-check [--abort] [--allow NAME,...] [--interposer] PROGRAM [ARGUMENT...]\n"
        "  --abort        end at the first blocking call, with a core dump where enabled\n"
        "  --allow        functions and libraries whose blocking calls are not reported\n"
        "  --interposer   by a library in front of the C library, also where the kernel can stop\n"
        "                 system calls itself\n",
        stderr);
    return STATUS_UNUSABLE;
}

static bool parse(char **argv, struct settings *settings)
{
    char **next = argv + 1;

    *settings = (struct settings){ 0 };
    for (; *next && strncmp(*next, "--", 2) == 0; next++) {
        if (strcmp(*next, "--") == 0) {
            next++;
            break;
        } else if (strcmp(*next, "--abort") == 0) {
            settings->aborts = true;
        } else if (strcmp(*next, "--interposer") == 0) {
            settings->interposes = true;
        } else if (strcmp(*next, "--allow") == 0 && next[1]) {
            settings->allow = *++next;
        } else {
            return false;
        }
    }
    settings->program = next;
    return *next != NULL;
}

/* Linux 5.11, x86-64. */
static bool kernel_stops_calls(void)
{
    return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) == 0;
}

/* The interposer lies beside this program. */
static bool preload(void)
{
    const char *others = getenv("LD_PRELOAD");
    char path[PATH_MAX], list[2 * PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof interposer - 1);
    char *slash;

    path[length < 0 ? 0 : length] = '\0';
    slash = strrchr(path, '/');
    strcpy(slash ? slash + 1 : path, interposer);
    if (access(path, R_OK) < 0) {
        fprintf(stderr,
                "weir-check: %s: %s; this kernel cannot stop system calls, and without it "
                "nothing is seen: build it (target weir_interpose)\n",
                path, strerror(errno));
        return false;
    }
    snprintf(list, sizeof list, "%s%s%s", path, others ? ":" : "", others ? others : "");
    return setenv("LD_PRELOAD", list, 1) == 0 &&
           setenv("WEIR_BLOCKING_CHECK_BY", "interposer", 1) == 0;
}

static bool prepare(const struct settings *settings, const char *tally)
{
    if ((settings->interposes || !kernel_stops_calls()) && !preload())
        return false;
    if (settings->allow && setenv("WEIR_BLOCKING_ALLOW", settings->allow, 1) < 0)
        return false;
    return setenv("WEIR_BLOCKING_CHECK", settings->aborts ? "abort" : "warn", 1) == 0 &&
           setenv("WEIR_BLOCKING_TALLY", tally, 1) == 0;
}

static void pass_on(int signo)
{
    if (child > 0)
        kill(child, signo);
}

/* What ends this program ends the other one, which may want to say something first. What the
 * terminal sends has reached it already. */
static void share_signals(void)
{
    static const int passed[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };

    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
        signal(passed[i], pass_on);
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
}

/* Returns the wait status, or -1. */
static int run(const struct settings *settings, const char *tally)
{
    int status;

    child = fork();
    if (child == 0) {
        if (!prepare(settings, tally))
            _exit(STATUS_UNUSABLE);
        execvp(settings->program[0], settings->program);
        fprintf(stderr, "weir-check: %s: %s\n", settings->program[0], strerror(errno));
        _exit(STATUS_UNUSABLE);
    }
    if (child < 0) {
        perror("weir-check: fork");
        return -1;
    }
    share_signals();
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static void count(FILE *file, struct tally *tally)
{
    char line[64];

    *tally = (struct tally){ 0 };
    rewind(file);
    while (fgets(line, sizeof line, file)) {
        tally->runtimes += strcmp(line, "checked\n") == 0;
        tally->sites += strcmp(line, "site\n") == 0;
        tally->more |= strcmp(line, "unnamed\n") == 0;
    }
}

static void sum_up(const char *program, const struct tally *tally)
{
    if (!tally->runtimes)
        fprintf(stderr, "weir-check: %s started no runtime of weir: nothing was checked\n",
                program);
    else if (!tally->sites)
        fprintf(stderr, "weir-check: %s: no blocking call in a task\n", program);
    else
        fprintf(stderr, "weir-check: %s: blocking calls in tasks at %u place%s%s\n", program,
                tally->sites, tally->sites == 1 ? "" : "s", tally->more ? ", and more" : "");
}

static int exit_status(const struct settings *settings, const struct tally *tally, int status)
{
    if (settings->aborts && tally->sites)
        return STATUS_REPORTED;
    if (WIFSIGNALED(status))
        return STATUS_SIGNAL + WTERMSIG(status);
    return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    char path[] = "/tmp/weir-check-XXXXXX";
    struct settings settings;
    struct tally tally;
    int status, fd;
    FILE *file;

    (void)argc;
    if (!parse(argv, &settings))
        return usage();
    fd = mkostemp(path, O_CLOEXEC);
    file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file) {
        perror("weir-check: a file in /tmp");
        return STATUS_UNUSABLE;
    }
    status = run(&settings, path);
    count(file, &tally);
    fclose(file);
    unlink(path);
    if (status == -1)
        return STATUS_UNUSABLE;
    sum_up(settings.program[0], &tally);
    return exit_status(&settings, &tally, status);
}
