/* SPDX-License-Identifier: MIT */
/*
 * What a silent connection costs a server in memory. The contenders are echo servers; each
 * connection is opened, served once, and left alone. The kernel's memory is not in the figure:
 * sockets that ended a moment ago blur it.
 *
 * Many connections need more ports than one address has: the clients come from several.
 */
#include "echo.h"
#include "machine.h"
#include "trial.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    COUNT_QUICK = 10000,
    COUNT_LEAST = 1000,
    WARM_COUNT = 100,   /* before the measure begins: what a server needs once */
    BATCH = 250,        /* connections made before the replies are awaited */
    PER_ADDRESS = 5000, /* beyond, the search for a free port takes its time */
    DESCRIPTORS_SPARE = 64,
    NEED_BYTES = 48 << 10, /* of a connection with both ends, at most */
    LIMIT_S = 40,
};

static unsigned count;
static char reason[80];

/* How many descriptors there may be; the hard limit is raised where that is allowed. */
static unsigned descriptor_limit(unsigned wanted)
{
    struct rlimit limit = { wanted, wanted };

    if (machine_descriptor_limit() >= wanted || setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return wanted;
    return machine_descriptor_limit();
}

/* As many as there are descriptors and memory for; the note says how many. */
static void idle_prepare(const struct bench *bench, const struct settings *settings)
{
    uint64_t fitting = machine_memory_bytes("MemAvailable") / 2 / NEED_BYTES;
    unsigned limit;

    count = settings->quick ? COUNT_QUICK : bench->size;
    limit = descriptor_limit(count + DESCRIPTORS_SPARE);
    if (count > limit - DESCRIPTORS_SPARE)
        count = limit - DESCRIPTORS_SPARE;
    if (count > fitting)
        count = (unsigned)fitting;
    if (count < COUNT_LEAST)
        snprintf(reason, sizeof reason, "memory or descriptors for only %u connections", count);
}

static const char *idle_why_not(const struct bench *bench)
{
    (void)bench;
    return reason[0] != '\0' ? reason : NULL;
}

static uint64_t resident_bytes(pid_t pid)
{
    unsigned long long pages = 0;
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    file = fopen(path, "re");
    if (file == NULL || fscanf(file, "%*u %llu", &pages) != 1)
        trial_fail("%s cannot be read", path);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* From the address that the connection's number gives, and with a request on its way. */
static int open_connection(const struct sockaddr_in *server, unsigned number)
{
    static const char request[ECHO_REQUEST_BYTES];
    struct sockaddr_in source = { .sin_family = AF_INET };
    int on = 1, fd = trial_check_errno(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number / PER_ADDRESS);
    trial_check_errno(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on),
                      "IP_BIND_ADDRESS_NO_PORT");
    trial_check_errno(bind(fd, (struct sockaddr *)&source, sizeof source), "bind");
    trial_check_errno(connect(fd, (const struct sockaddr *)server, sizeof *server), "connect");
    if (send(fd, request, sizeof request, MSG_NOSIGNAL) != sizeof request)
        trial_fail("send: %s", strerror(errno));
    return fd;
}

static void open_connections(const struct sockaddr_in *server, unsigned first, unsigned last)
{
    char reply[ECHO_REQUEST_BYTES];
    int fds[BATCH];

    while (first < last) {
        unsigned batch = last - first < BATCH ? last - first : BATCH;
        for (unsigned index = 0; index < batch; index++)
            fds[index] = open_connection(server, first + index);
        for (unsigned index = 0; index < batch; index++)
            if (recv(fds[index], reply, sizeof reply, MSG_WAITALL) != sizeof reply)
                trial_fail("a connection was not served: %s", strerror(errno));
        first += batch;
    }
}

static void idle_run(const struct trial *trial, struct outcome *outcome)
{
    struct sockaddr_in address;
    pid_t server = echo_start_server(trial, &address, LIMIT_S);
    uint64_t before_bytes, bytes;

    machine_pin(CPU_CLIENT);
    open_connections(&address, 0, WARM_COUNT);
    before_bytes = resident_bytes(server);
    open_connections(&address, WARM_COUNT, count);
    bytes = resident_bytes(server) - before_bytes;
    outcome->values[METRIC_BYTES_PER_CONNECTION] = (double)bytes / (double)(count - WARM_COUNT);
    snprintf(outcome->note, sizeof outcome->note, "%u connections", count);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

const struct family idle_family = {
    .policy =
        "resident memory of the server's process for each connection that was served once; "
        "weir has a buffer of 4 KiB in each task, weir-small one of 256 B, libuv one for all; "
        "epoll keeps nothing for a connection",
    .prepare = idle_prepare,
    .why_not = idle_why_not,
    .run = idle_run,
    .rounds = 1,
    .rounds_quick = 1,
    .limit_s = LIMIT_S,
};
