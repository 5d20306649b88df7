/* SPDX-License-Identifier: MIT */
/* weir's echo of datagrams: one task that takes batches, or a few that take one at a time. */
#include "udp.h"
#include "weir_peer.h"

#include <weir/datagram.h>
#include <weir/scope.h>
#include <weir/socket.h>
#include <weir/task.h>

#include <netinet/in.h>

enum { TASKS = 8 };

/* --- By batches ------------------------------------------------------------------------------ */

struct batch {
    struct mmsghdr messages[UDP_BATCH];
    struct iovec vectors[UDP_BATCH];
    struct sockaddr_in addresses[UDP_BATCH];
    char buffers[UDP_BATCH][UDP_BUFFER_BYTES];
};

static int receive(struct batch *batch, int fd)
{
    for (unsigned index = 0; index < UDP_BATCH; index++) {
        batch->vectors[index] = (struct iovec){ batch->buffers[index], UDP_BUFFER_BYTES };
        batch->messages[index].msg_hdr = (struct msghdr){
            .msg_name = &batch->addresses[index],
            .msg_namelen = sizeof batch->addresses[index],
            .msg_iov = &batch->vectors[index],
            .msg_iovlen = 1,
        };
    }
    return trial_check(weir_recvmmsg(fd, batch->messages, UDP_BATCH, 0, WEIR_FOREVER),
                       "weir_recvmmsg");
}

static void send_back(struct batch *batch, int fd, int count)
{
    for (int index = 0; index < count; index++)
        batch->vectors[index].iov_len = batch->messages[index].msg_len;
    for (int sent = 0; sent < count;)
        sent += trial_check(
            weir_sendmmsg(fd, batch->messages + sent, (unsigned)(count - sent), 0, WEIR_FOREVER),
            "weir_sendmmsg");
}

static int serve_batches(void *arg)
{
    static struct batch batch;
    const struct udp_job *job = arg;
    int count;

    while ((count = receive(&batch, job->fd)) > 0)
        send_back(&batch, job->fd, count);
    trial_fail("weir_recvmmsg got nothing");
}

void weir_udp(const struct udp_job *job)
{
    struct weir_options options = weir_peer_options();

    weir_peer_run(serve_batches, (void *)job, &options);
}

/* --- One at a time --------------------------------------------------------------------------- */

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

void weir_plain_udp(const struct udp_job *job)
{
    struct weir_options options = weir_peer_options();

    weir_peer_run(serve_all, (void *)job, &options);
}
