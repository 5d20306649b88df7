/* SPDX-License-Identifier: MIT */
/* Reading /proc about a thread; see sleeper.h. */
#include "watch/sleeper.h"

#include "base/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { TEXT_BYTES = 512 };

/* A file about the thread, with a NUL behind it. False: the error is noted. */
static bool read_file(pid_t tid, const char *name, char *text, struct weir__sleeper *sleeper)
{
    char path[64];
    int64_t count;
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%d/%s", (int)tid, name);
    fd = weir__kernel_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        sleeper->error = fd;
        return false;
    }
    count = weir__kernel_read(fd, text, TEXT_BYTES - 1);
    weir__kernel_close(fd);
    if (count <= 0) {
        sleeper->error = count < 0 ? (int)count : -ENODATA;
        return false;
    }
    text[count] = '\0';
    return true;
}

void weir__sleeper_look(pid_t tid, struct weir__sleeper *sleeper)
{
    char text[TEXT_BYTES], *at;

    *sleeper = (struct weir__sleeper){ 0 };
    if (!read_file(tid, "stat", text, sleeper))
        return;
    at = strrchr(text, ')'); /* the name before it may hold anything */
    if (at && at[1] == ' ')
        sleeper->state = at[2];
    if (!read_file(tid, "schedstat", text, sleeper))
        return;
    sleeper->run_ns = strtoull(text, &at, 10);
    sleeper->wait_ns = strtoull(at, &at, 10);
    sleeper->slices = strtoull(at, NULL, 10);
}

/* "running", "-1 SP IP", or "NUMBER ARG ... SP IP". */
static void read_call(char *text, struct weir__sleeper *sleeper)
{
    char *at;

    if (text[0] == 'r')
        return;
    sleeper->number = strtol(text, &at, 10);
    sleeper->in_call = sleeper->number >= 0;
    sleeper->in_fault = sleeper->number < 0;
    for (int i = 0; i < 6 && sleeper->in_call; i++)
        sleeper->args[i] = strtoull(at, &at, 16);
    sleeper->sp = (uintptr_t)strtoull(at, &at, 16);
    sleeper->ip = (uintptr_t)strtoull(at, &at, 16);
}

void weir__sleeper_look_closely(pid_t tid, struct weir__sleeper *sleeper)
{
    char text[TEXT_BYTES];

    weir__sleeper_look(tid, sleeper);
    if (sleeper->state == 'S' || sleeper->state == 'D')
        if (read_file(tid, "syscall", text, sleeper))
            read_call(text, sleeper);
}

bool weir__sleeper_copy(void *to, const void *from, size_t bytes)
{
    struct iovec target = { .iov_base = to, .iov_len = bytes };
    struct iovec source = { .iov_base = (void *)from, .iov_len = bytes };

    return process_vm_readv(getpid(), &target, 1, &source, 1, 0) == (ssize_t)bytes;
}
