/* SPDX-License-Identifier: MIT */
/* The call that blocks is in a library's library. Repaired: the library's whole call on the
 * pool. */
#include "gallery.h"

#include <unistd.h>

/* Not inlined, and something to do afterwards: so each is a frame of the report. */
#define LIBRARY __attribute__((noinline)) static int

LIBRARY read_header(int fd)
{
    char byte;

    return read(fd, &byte, 1) == 1 ? byte : -1;
}

LIBRARY open_archive(int fd)
{
    return read_header(fd) + 1;
}

LIBRARY load_template(int fd)
{
    return open_archive(fd) - 1;
}

int wrong(void *arg)
{
    (void)arg;
    return load_template(gallery_descriptor()) >= 0 ? 0 : -1;
}

static int load_on_pool(void *arg)
{
    const int *fds = arg;

    return write(fds[1], "x", 1) == 1 && load_template(fds[0]) >= 0 ? 0 : -1;
}

int repaired(void *arg)
{
    int fds[2], error;

    (void)arg;
    if (weir_pipe2(fds, 0) < 0)
        return -1;
    error = weir_pool_run(load_on_pool, fds, WEIR_FOREVER);
    weir_close(fds[0]);
    weir_close(fds[1]);
    return error;
}
