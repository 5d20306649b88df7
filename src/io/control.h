/* SPDX-License-Identifier: MIT */
/* Control data of messages: written and read in one place. */
#ifndef WEIR_IO_CONTROL_H
#define WEIR_IO_CONTROL_H

#include <weir/unix.h>

#include <stdint.h>
#include <sys/socket.h>

/* Options of UDP, and the kinds of its control data; glibc has the names where it is new enough. */
enum {
    WEIR__UDP_SEGMENT = 103, /* Linux 4.18 */
    WEIR__UDP_GRO = 104,     /* Linux 5.0 */
};

/* Room for one part that asks the kernel to cut what is sent. */
struct weir__control_segment {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
    };
};

void weir__control_ask_segments(struct msghdr *message, struct weir__control_segment *control,
                                size_t segment_bytes);

/* Room for all that the kernel puts into a message with descriptors. */
struct weir__control_fds {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(WEIR_FDS_MAX * sizeof(int)) +
                   CMSG_SPACE(sizeof(struct weir_credentials)) + CMSG_SPACE(256)];
    };
};

/* Puts `count` descriptors, if any, into a message about to be sent. */
void weir__control_put_fds(struct msghdr *message, struct weir__control_fds *control,
                           const int *fds, unsigned count);

/* The descriptors of a received message, in order: fds[0..room). Returns how many there are,
 * perhaps more. */
unsigned weir__control_get_fds(const struct msghdr *message, int *fds, unsigned room);

/* The descriptors in a received message are new numbers. */
void weir__control_forget_fds(const struct msghdr *message);

/* The sender, all -1 when the message does not say. */
void weir__control_get_credentials(const struct msghdr *message, struct weir_credentials *sender);

#endif
