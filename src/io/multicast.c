/* SPDX-License-Identifier: MIT */
/* Multicast groups by text; the chapter is <weir/datagram.h>. */
#include "base/kernel.h"
#include "io/datagram.h"

#include <weir/datagram.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

int64_t weir__datagram_call_multicast(struct weir__op *op)
{
    struct group_req *request = op->address;
    const char *interface = op->other_address;

    /* To find an interface by its name asks the kernel's network configuration, too. */
    request->gr_interface = interface ? if_nametoindex(interface) : 0;
    if (interface && request->gr_interface == 0)
        return -ENODEV;
    return weir__kernel_setsockopt(op->fd, op->mode, op->flags, request, sizeof *request);
}

/* Returns the level of the group's version of IP, or -EINVAL. */
static int parse_group(const char *group, struct sockaddr_storage *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, group, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        return IN_MULTICAST(ntohl(v4->sin_addr.s_addr)) ? IPPROTO_IP : -EINVAL;
    }
    if (inet_pton(AF_INET6, group, &v6->sin6_addr) != 1)
        return -EINVAL;
    v6->sin6_family = AF_INET6;
    return IN6_IS_ADDR_MULTICAST(&v6->sin6_addr) ? IPPROTO_IPV6 : -EINVAL;
}

static int change(int fd, int what, const char *group, const char *interface, int64_t deadline_ns)
{
    struct group_req request = { 0 };
    struct weir__op op = { .fd = fd, .address = &request, .flags = what };

    op.mode = group ? parse_group(group, &request.gr_group) : -EINVAL;
    if (op.mode < 0)
        return op.mode;
    op.other_address = (void *)interface;
    return (int)weir__op_run(WEIR__OP_ID_MULTICAST, &op, deadline_ns);
}

int weir_multicast_join(int fd, const char *group, const char *interface, int64_t deadline_ns)
{
    return change(fd, MCAST_JOIN_GROUP, group, interface, deadline_ns);
}

int weir_multicast_leave(int fd, const char *group, const char *interface, int64_t deadline_ns)
{
    int result = change(fd, MCAST_LEAVE_GROUP, group, interface, deadline_ns);

    return result == -EADDRNOTAVAIL ? -EINVAL : result;
}
