/* SPDX-License-Identifier: MIT */
/* What kind of thing a descriptor is, and whether a read or a write of it can wait. */
#ifndef WEIR_WATCH_CHECK_FD_H
#define WEIR_WATCH_CHECK_FD_H

#include <stdbool.h>

enum weir__check_wait {
    WEIR__CHECK_WAITS_NEVER, /* memory, or no descriptor at all */
    WEIR__CHECK_WAITS_DISK,  /* O_NONBLOCK changes nothing */
    WEIR__CHECK_WAITS_PEER,  /* unless it is non-blocking */
};

struct weir__check_fd {
    const char *kind;
    enum weir__check_wait wait; /* PEER only where it is blocking */
    bool is_stream;             /* of what waits for a peer: a connection, not datagrams */
    bool is_socket;
};

/* Async-signal-safe; makes system calls, and changes errno. */
struct weir__check_fd weir__check_fd_look(int fd);

#endif
