/* SPDX-License-Identifier: MIT */
/* A read that waits for its peer holds the whole loop. Repaired: the same call, parked. */
#include "gallery.h"

#include <unistd.h>

int wrong(void *arg)
{
    char byte;

    (void)arg;
    return read(gallery_descriptor(), &byte, 1) == 1 ? 0 : -1;
}

int repaired(void *arg)
{
    int fds[2];
    char byte = 'x';

    (void)arg;
    if (weir_pipe2(fds, 0) < 0 || weir_write(fds[1], &byte, 1, WEIR_FOREVER) != 1 ||
        weir_read(fds[0], &byte, 1, WEIR_FOREVER) != 1)
        return -1;
    weir_close(fds[0]);
    return weir_close(fds[1]);
}
