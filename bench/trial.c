/* SPDX-License-Identifier: MIT */
/*
 * One trial, one process: fresh state, CPU time that is the contender's alone, and a crash that
 * costs one outcome.
 *
 * Nothing survives: a child is killed by the kernel when its parent ends (PR_SET_PDEATHSIG) and by
 * its own alarm when it takes too long.
 */
#include "trial.h"

#include "machine.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct outcome *shared; /* of the trial that runs now */

void trial_init(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("weir-bench: mmap");
        exit(1);
    }
}

void trial_fail(const char *format, ...)
{
    va_list arguments;

    /* The first error is the cause; later ones follow from it. */
    if (shared->error[0] == '\0') {
        va_start(arguments, format);
        vsnprintf(shared->error, sizeof shared->error, format, arguments);
        va_end(arguments);
    }
    _exit(1);
}

void trial_fail_error(int error, const char *what)
{
    trial_fail("%s: %s", what, strerror(-error));
}

int trial_check_errno(int result, const char *what)
{
    if (result < 0)
        trial_fail_error(-errno, what);
    return result;
}

pid_t trial_fork(unsigned limit_s)
{
    pid_t parent = getpid();
    pid_t child = fork();

    if (child < 0)
        return -errno;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        signal(SIGALRM, SIG_DFL);
        signal(SIGPIPE, SIG_IGN);
        alarm(limit_s);
    }
    return child;
}

int trial_listen(struct sockaddr_in *address, int backlog)
{
    socklen_t length = sizeof *address;
    int fd = trial_check_errno(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

    *address = (struct sockaddr_in){ .sin_family = AF_INET };
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    trial_check_errno(bind(fd, (struct sockaddr *)address, sizeof *address), "bind");
    trial_check_errno(listen(fd, backlog), "listen");
    getsockname(fd, (struct sockaddr *)address, &length);
    return fd;
}

static void run_in_child(const struct trial *trial)
{
    const struct contender *contender = trial->contender;

    machine_pin(contender->unbound || contender->threads != THREADS_NONE ? CPU_ANY : CPU_SERVER);
    trial->bench->family->run(trial, shared);
    _exit(0);
}

/* Says how the child ended when it could not say so itself. */
static void explain_end(int status, unsigned limit_s)
{
    size_t room = sizeof shared->error;

    if (shared->error[0] != '\0')
        return;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(shared->error, room, "not done after %u s", limit_s);
    else if (WIFSIGNALED(status))
        snprintf(shared->error, room, "ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        snprintf(shared->error, room, "ended with status %d", WEXITSTATUS(status));
}

void trial_run(const struct trial *trial, struct outcome *outcome)
{
    unsigned limit_s = trial->bench->family->limit_s;
    int status = 0;
    pid_t child;

    memset(shared, 0, sizeof *shared);
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        shared->values[metric] = NAN;
    fflush(NULL);
    child = trial_fork(limit_s);
    if (child == 0)
        run_in_child(trial);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0)
        snprintf(shared->error, sizeof shared->error, "fork: %s", strerror(-child));
    else
        explain_end(status, limit_s);
    *outcome = *shared;
}
