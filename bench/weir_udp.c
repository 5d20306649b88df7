/* SPDX-License-Identifier: MIT */
/* weir's echo of datagrams by plain calls: a few tasks on one socket. */
#include "udp.h"
#include "weir_peer.h"

#include <weir/scope.h>
#include <weir/socket.h>
#include <weir/task.h>

#include <netinet/in.h>

enum { TASKS = 8 };

static int serve(void *arg)
{
    const struct udp_job *job = arg;
    char buffer[UDP_BUFFER_BYTES];
    struct sockaddr_in address;
    struct iovec vector;
    struct msghdr message = {
        .msg_name = &address,
        .msg_iov = &vector,
        .msg_iovlen = 1,
    };
    ssize_t count;

    do {
        vector = (struct iovec){ buffer, sizeof buffer };
        message.msg_namelen = sizeof address;
        count = weir_recvmsg(job->fd, &message, 0, WEIR_FOREVER);
        if (count < 0)
            break;
        vector.iov_len = (size_t)count;
        count = weir_sendmsg(job->fd, &message, 0, WEIR_FOREVER);
    } while (count >= 0);
    trial_fail("weir_recvmsg or weir_sendmsg: %s", weir_error_name((int)count));
}

static int serve_all(void *arg)
{
    struct weir_scope *scope;

    trial_check(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), "weir_scope_create");
    for (unsigned index = 0; index < TASKS; index++)
        trial_check(weir_spawn(scope, serve, arg, NULL), "weir_spawn");
    return weir_scope_join(scope, WEIR_FOREVER);
}

void weir_udp(const struct udp_job *job)
{
    struct weir_options options = weir_peer_options();

    weir_peer_run(serve_all, (void *)job, &options);
}
