/* SPDX-License-Identifier: MIT */
/*
 * The trials of the dial storm: the contender's process dials, another one on another CPU accepts
 * and closes. The limit is one thread that dials one after the other, whose connects all succeed at
 * once: the loopback shakes hands inside of connect(2).
 */
#include "dial.h"

#include "machine.h"
#include "trial.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SERVER_LIMIT_S = 9,
    BACKLOG = 4096,
};

void dial_reset_at_close(int fd)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    trial_check_errno(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), "SO_LINGER");
}

bool dial_next(struct dial_job *job)
{
    if (job->started == DIAL_AT_ONCE) {
        job->start_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        job->start_ns = now_ns();
    }
    return job->started < job->count && ++job->started > 0;
}

static __attribute__((noreturn)) void accept_all(int listener)
{
    machine_pin(CPU_CLIENT);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        else if (errno != ECONNABORTED && errno != EINTR)
            trial_fail("accept: %s", strerror(errno));
    }
}

static void dial_run(const struct trial *trial, struct outcome *outcome)
{
    unsigned count = trial->settings->quick ? DIAL_COUNT_QUICK : DIAL_COUNT;
    struct dial_job job = { .count = count + DIAL_AT_ONCE };
    int listener = trial_listen(&job.address, BACKLOG);
    pid_t server = trial_check(trial_fork(SERVER_LIMIT_S), "fork");
    uint64_t elapsed_ns, cpu_ns;

    if (server == 0)
        accept_all(listener);
    close(listener);
    trial->contender->dial(&job);
    elapsed_ns = now_ns() - job.start_ns;
    cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - job.start_cpu_ns;
    outcome->values[METRIC_OPS_PER_S] = (double)count * (double)NS_PER_S / (double)elapsed_ns;
    outcome->values[METRIC_CPU_NS_PER_OP] = (double)cpu_ns / (double)count;
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

void raw_dial(struct dial_job *job)
{
    const struct sockaddr *address = (const struct sockaddr *)&job->address;

    while (dial_next(job)) {
        int fd = trial_check_errno(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        trial_check_errno(connect(fd, address, sizeof job->address), "connect");
        dial_reset_at_close(fd);
        close(fd);
    }
}

const struct family dial_family = {
    .policy = "256 at once (raw: one after the other), each reset once it stands; the listener's "
              "process is bound to another CPU; nobody spins",
    .run = dial_run,
    .rounds = 5,
    .rounds_quick = 3,
    .limit_s = 10,
};
