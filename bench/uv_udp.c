/* SPDX-License-Identifier: MIT */
/* libuv, told to receive by recvmmsg; replies by uv_udp_try_send, which sends at once. */
#include "udp.h"
#include "uv_peer.h"

#include <uv.h>

enum { MMSG_BYTES = 20 * (64 << 10) }; /* libuv cuts it into datagrams of 64 KiB, 20 at most */

static char memory[MMSG_BYTES];

static void give_buffer(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
    (void)handle;
    (void)wanted;
    *buffer = uv_buf_init(memory, sizeof memory);
}

static void received(uv_udp_t *udp, ssize_t count, const uv_buf_t *buffer,
                     const struct sockaddr *address, unsigned flags)
{
    uv_buf_t reply;

    (void)flags;
    trial_check((int)count, "uv_udp_recv");
    if (address == NULL)
        return; /* nothing more to receive */
    reply = uv_buf_init(buffer->base, (unsigned)count);
    trial_check(uv_udp_try_send(udp, &reply, 1, address), "uv_udp_try_send");
}

void uv_peer_udp(const struct udp_job *job)
{
    uv_loop_t *loop = uv_default_loop();
    uv_udp_t udp;

    uv_peer_set_up(0);
    trial_check(uv_udp_init_ex(loop, &udp, UV_UDP_RECVMMSG), "uv_udp_init_ex");
    trial_check(uv_udp_open(&udp, job->fd), "uv_udp_open");
    trial_check(uv_udp_recv_start(&udp, give_buffer, received), "uv_udp_recv_start");
    uv_run(loop, UV_RUN_DEFAULT);
}
