/* SPDX-License-Identifier: MIT */
/* Level-triggered epoll; up to 64 datagrams by one recvmmsg, sent back by one sendmmsg. */
#include "udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct epoll_udp {
    struct mmsghdr messages[UDP_BATCH];
    struct iovec vectors[UDP_BATCH];
    struct sockaddr_in addresses[UDP_BATCH];
    char buffers[UDP_BATCH][UDP_BUFFER_BYTES];
};

static int receive(struct epoll_udp *server, int fd)
{
    for (unsigned index = 0; index < UDP_BATCH; index++) {
        server->vectors[index] = (struct iovec){ server->buffers[index], UDP_BUFFER_BYTES };
        server->messages[index].msg_hdr = (struct msghdr){
            .msg_name = &server->addresses[index],
            .msg_namelen = sizeof server->addresses[index],
            .msg_iov = &server->vectors[index],
            .msg_iovlen = 1,
        };
    }
    return recvmmsg(fd, server->messages, UDP_BATCH, MSG_DONTWAIT, NULL);
}

static void send_back(struct epoll_udp *server, int fd, int count)
{
    for (int index = 0; index < count; index++)
        server->vectors[index].iov_len = server->messages[index].msg_len;
    for (int sent = 0; sent < count;)
        sent += trial_check_errno(
            sendmmsg(fd, server->messages + sent, (unsigned)(count - sent), 0), "sendmmsg");
}

void epoll_udp(const struct udp_job *job)
{
    static struct epoll_udp server;
    struct epoll_event event = { .events = EPOLLIN };
    int epoll = trial_check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");

    trial_check_errno(epoll_ctl(epoll, EPOLL_CTL_ADD, job->fd, &event), "epoll_ctl");
    for (;;) {
        epoll_wait(epoll, &event, 1, -1);
        int count = receive(&server, job->fd);
        if (count > 0)
            send_back(&server, job->fd, count);
        else if (errno != EAGAIN)
            trial_fail("recvmmsg: %s", strerror(errno));
    }
}
