/* SPDX-License-Identifier: MIT */
/* libuv: uv_tcp_connect, and uv_tcp_close_reset. */
#include "dial.h"
#include "uv_peer.h"

#include <uv.h>

struct uv_dialer {
    uv_tcp_t tcp;
    uv_connect_t request;
    struct dial_job *job;
};

static void dial(struct uv_dialer *dialer);

static void closed(uv_handle_t *handle)
{
    dial(handle->data);
}

static void connected(uv_connect_t *request, int status)
{
    struct uv_dialer *dialer = request->data;

    trial_check(status, "uv_tcp_connect");
    trial_check(uv_tcp_close_reset(&dialer->tcp, closed), "uv_tcp_close_reset");
}

static void dial(struct uv_dialer *dialer)
{
    struct dial_job *job = dialer->job;

    if (!dial_next(job))
        return;
    trial_check(uv_tcp_init(uv_default_loop(), &dialer->tcp), "uv_tcp_init");
    dialer->tcp.data = dialer;
    dialer->request.data = dialer;
    trial_check(uv_tcp_connect(&dialer->request, &dialer->tcp,
                               (const struct sockaddr *)&job->address, connected),
                "uv_tcp_connect");
}

void uv_peer_dial(struct dial_job *job)
{
    static struct uv_dialer dialers[DIAL_AT_ONCE];

    uv_peer_set_up(0);
    for (unsigned index = 0; index < DIAL_AT_ONCE; index++) {
        dialers[index].job = job;
        dial(&dialers[index]);
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
