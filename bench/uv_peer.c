/* SPDX-License-Identifier: MIT */
/* What the libuv contenders share. */
#include "uv_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

void uv_peer_set_up(unsigned threads)
{
    char size[16];

    snprintf(size, sizeof size, "%u", threads);
    if (threads > 0)
        setenv("UV_THREADPOOL_SIZE", size, 1);
    setenv("UV_USE_IO_URING", "0", 1);
}

const char *uv_peer_version(void)
{
    return uv_version_string();
}

const char *uv_peer_why_not(const struct bench *bench)
{
    (void)bench;
    return NULL;
}
