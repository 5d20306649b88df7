/* SPDX-License-Identifier: MIT */
/* Control data of messages; see control.h. */
#include "io/control.h"

#include "io/descriptor.h"

#include <weir/datagram.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

enum {
    TIMESTAMPING_SOFTWARE = 0, /* the three times of a SCM_TIMESTAMPING; the second is not used */
    TIMESTAMPING_HARDWARE = 2,
    TIMESTAMPING_COUNT = 3,
    NS_PER_SECOND = 1000000000,
};

/* The next part of a kind after `part`; NULL: from the first, or there is none. */
static const struct cmsghdr *find(const struct msghdr *message, const struct cmsghdr *part,
                                  int level, int type, size_t least_bytes)
{
    struct msghdr *walked = (struct msghdr *)message;

    for (part = part ? CMSG_NXTHDR(walked, (struct cmsghdr *)part) : CMSG_FIRSTHDR(walked); part;
         part = CMSG_NXTHDR(walked, (struct cmsghdr *)part))
        if (part->cmsg_level == level && part->cmsg_type == type &&
            part->cmsg_len >= CMSG_LEN(least_bytes))
            return part;
    return NULL;
}

void weir__control_ask_segments(struct msghdr *message, struct weir__control_segment *control,
                                size_t segment_bytes)
{
    uint16_t bytes = (uint16_t)segment_bytes;

    memset(control, 0, sizeof *control);
    control->head.cmsg_level = IPPROTO_UDP;
    control->head.cmsg_type = WEIR__UDP_SEGMENT;
    control->head.cmsg_len = CMSG_LEN(sizeof bytes);
    memcpy(CMSG_DATA(&control->head), &bytes, sizeof bytes);
    message->msg_control = control;
    message->msg_controllen = sizeof control->bytes;
}

void weir__control_put_fds(struct msghdr *message, struct weir__control_fds *control,
                           const int *fds, unsigned count)
{
    if (count == 0)
        return;
    memset(control, 0, CMSG_SPACE(count * sizeof *fds));
    control->head.cmsg_level = SOL_SOCKET;
    control->head.cmsg_type = SCM_RIGHTS;
    control->head.cmsg_len = CMSG_LEN(count * sizeof *fds);
    memcpy(CMSG_DATA(&control->head), fds, count * sizeof *fds);
    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(count * sizeof *fds);
}

unsigned weir__control_get_fds(const struct msghdr *message, int *fds, unsigned room)
{
    const struct cmsghdr *part = NULL;
    unsigned count = 0;

    while ((part = find(message, part, SOL_SOCKET, SCM_RIGHTS, sizeof(int)))) {
        size_t here = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (size_t i = 0; i < here; i++, count++)
            if (count < room)
                memcpy(&fds[count], CMSG_DATA((struct cmsghdr *)part) + i * sizeof(int),
                       sizeof(int));
    }
    return count;
}

void weir__control_forget_fds(const struct msghdr *message)
{
    int fds[WEIR_FDS_MAX];
    unsigned count;

    if (message->msg_controllen == 0)
        return;
    count = weir__control_get_fds(message, fds, WEIR_FDS_MAX);
    for (unsigned i = 0; i < count && i < WEIR_FDS_MAX; i++)
        weir__descriptor_forget(fds[i]);
}

void weir__control_get_credentials(const struct msghdr *message, struct weir_credentials *sender)
{
    const struct cmsghdr *part =
        find(message, NULL, SOL_SOCKET, SCM_CREDENTIALS, sizeof(struct ucred));
    struct ucred from = { -1, (uid_t)-1, (gid_t)-1 };

    if (part)
        memcpy(&from, CMSG_DATA((struct cmsghdr *)part), sizeof from);
    *sender = (struct weir_credentials){ from.pid, from.uid, from.gid };
}

size_t weir_message_segment(const struct msghdr *message, size_t bytes, size_t offset)
{
    const struct cmsghdr *part;
    int segment_bytes = 0;

    if (!message || offset >= bytes)
        return 0;
    part = find(message, NULL, IPPROTO_UDP, WEIR__UDP_GRO, sizeof segment_bytes);
    if (part)
        memcpy(&segment_bytes, CMSG_DATA((struct cmsghdr *)part), sizeof segment_bytes);
    if (segment_bytes <= 0 || (size_t)segment_bytes > bytes - offset)
        return bytes - offset;
    return (size_t)segment_bytes;
}

static int64_t to_ns(const struct timespec *time)
{
    return (int64_t)time->tv_sec * NS_PER_SECOND + time->tv_nsec;
}

int weir_message_timestamps(const struct msghdr *message, struct weir_timestamps *times)
{
    struct timespec read[TIMESTAMPING_COUNT];
    const struct cmsghdr *part;

    if (!message || !times)
        return -EINVAL;
    *times = (struct weir_timestamps){ 0 };
    part = find(message, NULL, SOL_SOCKET, SCM_TIMESTAMPING, sizeof read);
    if (!part)
        return -ENOENT;
    memcpy(read, CMSG_DATA((struct cmsghdr *)part), sizeof read);
    times->software_ns = to_ns(&read[TIMESTAMPING_SOFTWARE]);
    times->hardware_ns = to_ns(&read[TIMESTAMPING_HARDWARE]);
    return 0;
}
